import ipaddress
import os
import tracemalloc

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.logs import cutoffs as cutoffs_module
from harden_mail.logs import guard as guard_module
from harden_mail.logs.cutoffs import Accepted, as_utc, preview, sentence
from harden_mail.logs.events import Login
from harden_mail.logs.guard import GUARD_ARGUMENTS, guard
from hypothesis import given
from hypothesis import strategies as st

OFFICE = ipaddress.ip_network("192.0.2.0/24")
NOON = 1795521600  # 2026-11-24T12:00:00Z


def login(account="bob", address="203.0.113.5", accepted=True, time=NOON, kind="smtp", service="postfix/smtpd"):
    return Login(time, kind, account, address, accepted, service)


def outside_office(one):
    return ipaddress.ip_address(one.address) not in OFFICE


def test_who_would_be_refused():
    found = preview(
        [
            login("bob", "203.0.113.5", time=NOON),
            login("bob", "203.0.113.5", time=NOON + 60),
            login("alice", "192.0.2.9"),
            login("carol", "203.0.113.5", kind="imap"),
            login("dave", "203.0.113.5", accepted=False),
        ],
        outside_office,
    )
    assert found == [
        {
            "account": "bob",
            "address": "203.0.113.5",
            "logins": 2,
            "first": "2026-11-24T12:00:00Z",
            "last": "2026-11-24T12:01:00Z",
            "failures": 0,
            "account_failures": 0,
            "likely_attacker": False,
            "accepted": False,
            "in_journal": False,
            "uid": None,
        }
    ]


def test_failures_before_the_first_log_in_count_those_after_do_not():
    guesses = [login(name, "203.0.113.66", False, kind="imap") for name in ("a", "b", "bob", None)]
    elsewhere = [login("bob", "198.51.100.1", False)] * 2
    found = preview(guesses + elsewhere + [login("bob", "203.0.113.66")] + guesses, outside_office)
    assert (found[0]["failures"], found[0]["account_failures"]) == (4, 3)


@pytest.mark.parametrize("failures, attacker", [(9, False), (10, True)])
def test_likely_attackers(failures, attacker):
    guesses = [login("bob", "203.0.113.66", False)] * failures
    assert preview(guesses + [login("bob", "203.0.113.66")], outside_office)[0]["likely_attacker"] is attacker


def test_the_order():
    guesses = [login("a", "203.0.113.66", False)] * 10
    found = preview(
        guesses
        + [
            login("a", "203.0.113.66"),
            login("b", "203.0.113.20"),
            login("b", "203.0.113.3"),
            login(None, "2001:db8::1"),
        ]
        + [login("a", "203.0.113.1")],
        outside_office,
        ["a from 203.0.113.1"],
    )
    assert [(cutoff["account"], cutoff["address"]) for cutoff in found] == [
        (None, "2001:db8::1"),
        ("b", "203.0.113.3"),
        ("b", "203.0.113.20"),
        ("a", "203.0.113.66"),
        ("a", "203.0.113.1"),
    ]


def test_each_service_is_asked_about_once():
    asked = []

    def is_refused(one):
        asked.append(one.service)
        return one.service == "postfix/smtpd"

    found = preview([login(), login(service="postfix/submission/smtpd")] * 5, is_refused)
    assert asked == ["postfix/smtpd", "postfix/submission/smtpd"]
    assert [cutoff["logins"] for cutoff in found] == [5]


def test_lines_without_a_time():
    found = preview([login(time=None), login(time=None)], outside_office)
    assert (found[0]["first"], found[0]["last"], found[0]["logins"]) == (None, None, 2)
    assert "2 times)" in sentence(found)


def test_a_brute_force_of_millions_of_addresses_fits(monkeypatch):
    monkeypatch.setattr(cutoffs_module, "REMEMBERED_LIMIT", 1000)

    def guesses():
        for number in range(40000):
            address = "203.{0}.{1}.{2}".format(number >> 16, number >> 8 & 255, number & 255)
            yield login("user{0}".format(number), address, False)
            if number % 500 == 0:
                yield login("bob", "198.51.100.66", False)
        yield login("bob", "198.51.100.66")

    tracemalloc.start()
    found = preview(guesses(), outside_office)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2000000
    assert found[0]["failures"] == 80 and found[0]["likely_attacker"]


def test_accounts_that_unicode_alone_folds_to_one_are_two():
    assert Accepted(["kate"]).covers("KATE", "203.0.113.5")
    assert not Accepted(["kate"]).covers("\u212aate", "203.0.113.5")


# --- accepted cut-offs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item, account, address, covered",
    [
        ("bob@example.com", "Bob@Example.com", "203.0.113.5", True),
        ("bob@example.com", "bob", "203.0.113.5", False),
        (" bob ", "bob", "203.0.113.5", True),
        ("203.0.113.5", "bob", "203.0.113.5", True),
        ("203.0.113.5", None, "203.0.113.5", True),
        ("203.0.113.5", "bob", "203.0.113.6", False),
        ("::ffff:203.0.113.5", "bob", "203.0.113.5", True),
        ("203.0.113.0/24", "bob", "203.0.113.6", True),
        ("203.0.113.0/24", "bob", "2001:db8::1", False),
        ("2001:db8::/32", "bob", "2001:db8::1", True),
        ("bob from 203.0.113.5", "bob", "203.0.113.5", True),
        ("bob from 203.0.113.5", "bob", "203.0.113.6", False),
        ("bob from 203.0.113.5", "alice", "203.0.113.5", False),
        ("bob from 203.0.113.5", None, "203.0.113.5", False),
        ("bob from 203.0.113.0/24", "bob", "203.0.113.6", True),
    ],
)
def test_accepted(item, account, address, covered):
    assert Accepted([item]).covers(account, address) is covered


@pytest.mark.parametrize(
    "item, said",
    [
        ("", "which is no account"),
        ("bob example", "which is no account"),
        ("*@example.com", "which is no account"),
        ("bob from", "which is no account"),
        (" from 203.0.113.5", "which is no account"),
        ("bob from office", "'office' is neither address nor network"),
        ("203.0.113.300", "'203.0.113.300' is neither address nor network"),
        ("203.0.113.0/33", "neither address nor network"),
        ("203.0.113", "neither address nor network"),
        ("2001:db8::/129", "neither address nor network"),
        ("203.0.113.5/24", "write 203.0.113.0/24 for the network, or 203.0.113.5 for the one address"),
    ],
)
def test_a_wrong_item_is_said(item, said):
    with pytest.raises(UserError) as caught:
        Accepted(["alice", item])
    assert str(caught.value).startswith("accepted_cutoffs contains '{0}'".format(item))
    assert said in str(caught.value)


@given(st.text())
def test_any_item_is_read_or_refused(item):
    try:
        accepted = Accepted([item])
    except UserError:
        return
    assert accepted.covers("bob", "203.0.113.5") in (True, False)


# --- words -------------------------------------------------------------------------------------------------


def test_the_sentence_names_a_few_and_says_how_many():
    guesses = [login("a", "203.0.113.66", False)] * 12
    found = preview(guesses + [login("a", "203.0.113.66"), login(None, "203.0.113.7")], outside_office)
    assert sentence(found) == (
        "2 accounts and addresses: an account that the log does not name from 203.0.113.7 (once, last at "
        "2026-11-24T12:00:00Z); a from 203.0.113.66 (once, last at 2026-11-24T12:00:00Z, likely an attacker: 12 "
        "failures before)"
    )
    assert sentence(found[:1]).startswith("1 account and address: ")
    assert sentence(found * 5).endswith("; and 5 more")


def test_as_utc():
    assert as_utc(NOON + 0.9) == "2026-11-24T12:00:00Z"


# --- the guard ---------------------------------------------------------------------------------------------


def params(**given_options):
    found = {name: option["default"] for name, option in GUARD_ARGUMENTS.items()}
    return dict(found, log_journal=False, **given_options)


def host(tmp_path, monkeypatch, address="203.0.113.5", days_of_log=20):
    monkeypatch.setattr(guard_module.time, "time", lambda: NOON)
    form = "{0} vps postfix/smtpd[1]: {1}\n"
    first = as_utc(NOON - days_of_log * 86400)
    sent = "A1: client=x[{0}], sasl_method=PLAIN, sasl_username=bob".format(address)
    path = tmp_path / "var" / "log" / "mail.log"
    path.parent.mkdir(parents=True)
    path.write_text(form.format(first, "connect from x[192.0.2.1]") + form.format("2026-11-24T11:00:00Z", sent))
    os.utime(str(path), (NOON, NOON))
    return FakeSystem(tmp_path)


def test_guard_fails_and_hands_over_what_it_found(tmp_path, monkeypatch):
    with pytest.raises(UserError) as caught:
        guard(host(tmp_path, monkeypatch), params(), outside_office, "Closing 587")
    assert str(caught.value).startswith(
        "Closing 587 would cut off 1 account and address: bob from 203.0.113.5 (once, last at 2026-11-24T11:00:00Z)."
    )
    assert caught.value.result["cutoffs_total"] == 1
    assert caught.value.result["cutoffs"][0]["account"] == "bob"
    assert caught.value.result["covered_since"] == "2026-11-10T12:00:00Z"
    assert caught.value.result["warnings"] == []


def test_guard_warns(tmp_path, monkeypatch):
    result = guard(host(tmp_path, monkeypatch), params(on_cutoff="warn"), outside_office, "Closing 587")
    assert result["cutoffs_total"] == 1
    assert len(result["warnings"]) == 1 and result["warnings"][0].startswith("Closing 587 would cut off 1 account")


def test_guard_ignores(tmp_path, monkeypatch):
    result = guard(host(tmp_path, monkeypatch), params(on_cutoff="ignore"), None, "Closing 587")
    lists = {"cutoffs": [], "cutoff_groups": [], "forged": []}
    totals = {"cutoffs_total": 0, "cutoff_groups_total": 0, "forged_total": 0}
    assert result == dict(lists, findings=[], warnings=[], covered_since=None, **totals)


def test_guard_lets_pass_what_is_meant_and_still_lists_it(tmp_path, monkeypatch):
    result = guard(host(tmp_path, monkeypatch), params(accepted_cutoffs=["bob"]), outside_office, "Closing 587")
    assert [cutoff["accepted"] for cutoff in result["cutoffs"]] == [True]
    assert result["warnings"] == []


def test_guard_lets_pass_who_is_not_refused(tmp_path, monkeypatch):
    result = guard(host(tmp_path, monkeypatch, "192.0.2.5"), params(), outside_office, "Closing 587")
    assert result["cutoffs"] == [] and result["warnings"] == []


def test_guard_says_how_far_the_logs_reach(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch, "192.0.2.5", days_of_log=3)
    assert guard(system, params(), outside_office, "Closing 587")["warnings"] == [
        "The mail logs reach back to 2026-11-21T12:00:00Z only, not 14 days: who sent mail before that is not known."
    ]
    assert guard(system, params(lookback_days=3), outside_office, "Closing 587")["warnings"] == []


def test_guard_without_any_log(tmp_path):
    result = guard(FakeSystem(tmp_path), params(), outside_office, "Closing 587")
    assert result["covered_since"] is None
    assert result["warnings"] == ["No mail log of the last 14 days was found: who would be cut off is not known."]


def test_guard_caps_the_list(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch)
    with open(str(tmp_path / "var/log/mail.log"), "a") as handle:
        for number in range(99):
            handle.write(
                "2026-11-24T11:00:00Z vps postfix/smtpd[{0}]: A1: client=x[203.0.113.{0}], sasl_method=PLAIN, "
                "sasl_username=user\n".format(number + 10)
            )
    result = guard(system, params(on_cutoff="warn"), outside_office, "Closing 587")
    assert (len(result["cutoffs"]), result["cutoffs_total"]) == (50, 100)
    assert "and 95 more" in result["warnings"][0]


@pytest.mark.parametrize(
    "wrong", [{"lookback_days": 0}, {"lookback_days": -1}, {"lookback_days": 99999}, {"accepted_cutoffs": ["*"]}]
)
@pytest.mark.parametrize("on_cutoff", ["fail", "ignore"])
def test_guard_refuses_wrong_options(tmp_path, wrong, on_cutoff):
    with pytest.raises(UserError) as caught:
        guard(FakeSystem(tmp_path), params(on_cutoff=on_cutoff, **wrong), outside_office, "Closing 587")
    assert str(caught.value).startswith(next(iter(wrong)))
