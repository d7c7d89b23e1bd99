"""Counts over many messages."""

import marshal
from collections import Counter

import pytest
from harden_mail.queue.listing import Found
from harden_mail.queue.message import Message, Recipient
from harden_mail.queue.summary import Summary, Top, origin_text
from hypothesis import given
from hypothesis import strategies as st

NOW = 1700000000


def message(number=0, **values):
    usual = {
        "id": str(number),
        "states": ("deferred",),
        "sender": "bob@example.com",
        "recipients": [Recipient("a@One.example", False), Recipient("b@one.example", True), Recipient("c", False)],
        "subject": "当選",
        "size": 100,
        "arrival": NOW - 30,
        "sasl_user": None,
        "client": None,
        "uid": None,
        "script": None,
    }
    return Message(**dict(usual, **values))


def test_a_summary_counts_everything_once():
    summary = Summary(10, NOW)
    summary.add(message())
    summary.add(message(sender="", subject=None, arrival=NOW - 7200, states=("local", "remote"), uid=33, size=50))
    result = summary.result()
    assert result["matched"] == 2
    assert result["bytes"] == 150
    assert result["oldest"] == NOW - 7200
    assert result["states"] == {"deferred": 1, "local+remote": 1}
    assert {name: count for name, count in result["ages"].items() if count} == {"10m": 1, "6h": 1}
    assert result["top_senders"] == [{"value": "<>", "count": 1}, {"value": "bob@example.com", "count": 1}]
    # A domain once a message, however many recipients it has there.
    assert {"value": "one.example", "count": 2} in result["top_recipient_domains"]
    assert result["top_subjects"] == [{"value": "当選", "count": 1}]
    assert result["top_origins"] == [{"value": "uid 33", "count": 1}]
    assert result["top_clients"] == []
    assert set(result["errors"].values()) == {0}


def test_an_empty_summary():
    assert Summary(10, NOW).result()["oldest"] is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"sasl_user": "bob", "client": "192.0.2.1"}, "account bob"),
        ({"uid": 33, "script": "33:a.php"}, "uid 33 (says script a.php)"),
        ({"uid": 1000, "script": "33:innocent-site.php"}, "uid 1000 (says script 33:innocent-site.php)"),
        ({"uid": 33, "script": "shop.example 33:a.php"}, "uid 33 (says script shop.example a.php)"),
        ({"uid": 3, "script": "33:a.php"}, "uid 3 (says script 33:a.php)"),
        ({"uid": 33, "script": "33:a b.php"}, "uid 33 (says script a b.php)"),
        ({"uid": 0}, "uid 0"),
        ({"client": "192.0.2.1"}, "client 192.0.2.1"),
        ({}, None),
    ],
)
def test_an_origin_in_words(values, text):
    assert origin_text(message(**values)) == text


def test_values_are_fit_for_a_terminal_and_short():
    summary = Summary(10, NOW)
    summary.add(message(subject="\x1b[2J" + "x" * 5000))
    value = summary.result()["top_subjects"][0]["value"]
    assert value.startswith("\\x1b[2J")
    assert len(value) <= 120


@given(st.lists(st.integers(0, 40), max_size=400), st.integers(2, 60))
def test_counts_are_exact_while_there_is_room_and_off_by_no_more_than_is_said(values, kept):
    top = Top(kept)
    for value in values:
        top.add(str(value))
    true = Counter(str(value) for value in values)
    counted = {entry["value"]: entry["count"] for entry in top.result(1000)}
    assert len(counted) <= kept
    if len(true) <= kept:
        assert top.error == 0
        assert counted == true
    for value, count in true.items():
        assert count - top.error <= counted.get(value, 0) <= count
    assert top.error <= len(values) / (kept // 2)


@given(st.lists(st.lists(st.integers(0, 80), max_size=200), max_size=4), st.integers(2, 30))
def test_merged_counts_are_as_exact_as_those_of_one(parts, kept):
    merged = Top(kept)
    for part in parts:
        top = Top(kept)
        for value in part:
            top.add(str(value))
        merged.merge(marshal.loads(marshal.dumps(top.summary())))
    true = Counter(str(value) for part in parts for value in part)
    counted = {entry["value"]: entry["count"] for entry in merged.result(1000)}
    assert len(counted) <= kept
    if len(true) <= kept:
        assert merged.error == 0
        assert counted == true
    for value, count in true.items():
        assert count - merged.error <= counted.get(value, 0) <= count
    assert merged.error <= sum(true.values()) / (kept // 2)


MESSAGES = st.builds(
    message,
    instance=st.sampled_from([None, "out"]),
    states=st.sampled_from([("deferred",), ("local", "remote")]),
    sender=st.sampled_from(["", "bob@example.com", "x" * 200]),
    recipients=st.lists(st.builds(Recipient, st.sampled_from(["a@One.example", "b@one.example", "c"]), st.booleans())),
    subject=st.sampled_from([None, "", "当選", "\ud800\x1b"]),
    arrival=st.integers(NOW - 10, NOW) | st.integers(NOW - 10**6, NOW + 10),
    sasl_user=st.sampled_from([None, "bob"]),
    client=st.sampled_from([None, "192.0.2.1", "192.0.2.2"]),
    uid=st.sampled_from([None, 0, 33]),
    script=st.sampled_from([None, "33:a.php"]),
)


@given(st.lists(st.lists(MESSAGES, max_size=12), max_size=4), st.integers(0, 12))
def test_what_several_found_is_what_one_finds(parts, limit):
    alone, merged, number = Found(limit, NOW), Found(limit, NOW), 0
    for part in parts:
        found = merged.another()
        for one in part:
            number += 1
            one.id = "{0:X}".format(number * 7919 % 97)
            alone.add(one)
            found.add(one)
        merged.merge(marshal.loads(marshal.dumps(found.summary())))
    expected = alone.result()
    keys = [(entry["arrival"], entry["id"], entry["instance"] or "") for entry in expected["messages"]]
    assert keys == sorted(keys, reverse=True)
    assert len(keys) == min(limit, number)
    assert merged.result() == expected


def test_memory_is_bounded_and_what_is_frequent_is_found():
    top = Top(100)
    for number in range(20000):
        top.add("spam" if number % 10 == 0 else "other {0}".format(number))
    assert len(top) <= 100
    best = top.result(1)[0]
    assert best["value"] == "spam"
    assert 2000 - top.error <= best["count"] <= 2000


def test_addresses_are_counted_apart_from_the_accounts_that_used_them():
    summary = Summary(5, now=NOW)
    for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        summary.add(message(sasl_user="bob", client=client))
    assert summary.result()["top_origins"] == [{"value": "account bob", "count": 3}]
    assert summary.result()["top_clients"] == [{"value": "192.0.2.1", "count": 2}, {"value": "192.0.2.2", "count": 1}]
