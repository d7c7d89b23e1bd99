"""What the alert's configuration may say: settings, or a sentence."""

import json
import string

import pytest
from harden_mail.alert.settings import DEFAULTS, WAYS, check, describe, uses_own_queue
from harden_mail.errors import UserError
from hypothesis import given
from hypothesis import strategies as st

CANARY = "canary5ecret"
SMTP = {"type": "smtp", "host": "smtp.example.net", "to": ["admin@example.net"]}
HOOK = {"type": "webhook", "url": "https://hooks.example.net/" + CANARY}
SENDMAIL = {"type": "sendmail", "to": ["root"]}
SMTP_GIVEN = dict(SMTP, port=587)


def refusal(given_settings):
    with pytest.raises(UserError) as caught:
        check(given_settings)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_what_is_left_out_has_its_default():
    settings = check({"ways": [SMTP, HOOK, SENDMAIL], "language": None})
    assert set(settings) == set(DEFAULTS)
    assert (settings["limit"], settings["language"]) == (300, "en")
    for way in settings["ways"]:
        assert set(way) == {"type"} | set(WAYS[way["type"]])
    assert (settings["ways"][0]["port"], settings["ways"][0]["verify"]) == (587, True)


@pytest.mark.parametrize(
    ("value", "limit"), [(5, 5), ("5", 5), ("auto", "auto"), (0, 0), ("0", 0), ("999999999", 999999999)]
)
def test_a_limit_is_a_number_or_auto(value, limit):
    assert check({"limit": value})["limit"] == limit


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ({"limit": -1}, ["limit", "-1", "0"]),
        ({"limit": "-1"}, ["limit", "-1", "0"]),
        ({"limit": "many"}, ["limit", "'many'", "auto"]),
        ({"limit": "\u00b2"}, ["limit", "auto"]),
        ({"limit": "9" * 5000}, ["limit", "auto"]),
        ({"limit": True}, ["limit", "True", "number"]),
        ({"limit": 2.5}, ["limit", "2.5"]),
        ({"limit": 10, "clear_below": 11}, ["clear_below", "11", "limit (10)"]),
        ({"oldest_minutes": 0}, ["oldest_minutes", "0", "1"]),
        ({"growth_minutes": 1441}, ["growth_minutes", "1441", "1440"]),
        ({"one_origin": "5"}, ["one_origin", "'5'", "number"]),
        ({"repeat_minutes": 10**10}, ["repeat_minutes", "1000000000"]),
        ({"all_clear": "yes"}, ["all_clear", "'yes'", "true"]),
        ({"quiet_hours": "22-7"}, ["quiet_hours", "'22-7'", "22:00-07:00"]),
        ({"quiet_hours": "22:00-22:00"}, ["quiet_hours", "22:00-07:00"]),
        ({"quiet_hours": "24:00-07:00"}, ["quiet_hours"]),
        ({"language": "fr"}, ["language", "'fr'", "en, ja"]),
        ({"charset": "latin1"}, ["charset", "iso-2022-jp"]),
        ({"mta": "exim"}, ["mta", "postfix"]),
        ({"prometheus_file": "metrics.prom"}, ["prometheus_file", "absolute"]),
        ({"queue_dir": "/a\nb"}, ["queue_dir", "absolute"]),
        ({"inventory_name": "a\nb"}, ["inventory_name", "'a\\nb'"]),
        ({"ping_url": "ftp://example.net/" + CANARY}, ["ping_url", "http"]),
        ({"ping_url": 5}, ["ping_url", "text"]),
        ({"limits": 5}, ["limits", "not known", "limit"]),
        ({"ways": dict(HOOK)}, ["ways", "list"]),
        ({"ways": [HOOK["url"]]}, ["ways[1]", "dictionary"]),
        ({"ways": [SMTP, {"type": "fax"}]}, ["ways[2].type", "'fax'", "smtp"]),
        ({"ways": [{"type": ["smtp"]}]}, ["ways[1].type", "smtp"]),
        ({"ways": [{}]}, ["ways[1].type", "None"]),
    ],
)
def test_a_wrong_value_is_a_sentence(wrong, parts):
    sentence = refusal(wrong)
    for part in parts:
        assert part in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("way", "change", "parts"),
    [
        (SMTP, {"host": None}, ["host", "missing", "smtp"]),
        (SMTP, {"host": "a b"}, ["host", "'a b'"]),
        (SMTP, {"to": []}, ["to", "missing"]),
        (SMTP, {"to": [""]}, ["to", "admin@example.com"]),
        (SMTP, {"to": ["a@example.net\nBcc: x@example.net"]}, ["to", "admin@example.com"]),
        (SMTP, {"to": "admin@example.net"}, ["to", "list"]),
        (SMTP, {"to": [5]}, ["to", "5"]),
        (SMTP, {"from": "Admin <a@example.net>"}, ["from", "admin@example.com"]),
        (SMTP, {"from": ""}, ["from", "admin@example.com"]),
        (SMTP, {"port": 0}, ["port", "65535"]),
        (SMTP, {"timeout": 61}, ["timeout", "61", "60"]),
        (SMTP, {"tls": "ssl"}, ["tls", "'ssl'", "starttls"]),
        (SMTP, {"user": "a"}, ["user and password"]),
        (SMTP, {"password": CANARY}, ["user and password"]),
        (SMTP, {"user": "a", "password": CANARY, "tls": "none"}, ["tls", "none", "clear"]),
        (SMTP, {"user": "a", "password": CANARY + "\u3042"}, ["password", "ASCII"]),
        (SMTP, {"user": "a", "password": [CANARY]}, ["password", "text"]),
        (SMTP, {"ca_file": "ca.pem"}, ["ca_file", "absolute"]),
        (SMTP, {"url": HOOK["url"]}, ["url", "not known"]),
        (HOOK, {"url": None}, ["url", "missing"]),
        (HOOK, {"url": [CANARY]}, ["url", "text"]),
        (HOOK, {"url": "https:///" + CANARY}, ["url", "http"]),
        (HOOK, {"url": "https://a b/" + CANARY}, ["url", "http"]),
        (HOOK, {"url": "https://example.net:x/" + CANARY}, ["url", "http"]),
        (HOOK, {"url": "https://example.net/\r\nX: " + CANARY}, ["url", "http"]),
        (HOOK, {"url": "https://[::1/" + CANARY}, ["url", "http"]),
        (HOOK, {"url": "https://a:" + CANARY + "@example.net/"}, ["url", "Authorization"]),
        (HOOK, {"headers": {"X-Token": CANARY + "\nX: y"}}, ["headers", "X-Token"]),
        (HOOK, {"headers": {"X-Token: " + CANARY: ""}}, ["headers", "name"]),
        (HOOK, {"headers": {"X-Number": 5}}, ["headers", "X-Number"]),
        (HOOK, {"headers": [CANARY]}, ["headers", "dictionary"]),
        (HOOK, {"shape": "discord"}, ["shape", "'discord'", "slack"]),
        (HOOK, {"shape": "json"}, ["shape", "template"]),
        (SENDMAIL, {"path": "sendmail"}, ["path", "absolute"]),
    ],
)
def test_a_wrong_way_is_a_sentence_with_its_number(way, change, parts):
    sentence = refusal({"ways": [SENDMAIL, dict(way, **change)]})
    for part in ["ways[2]"] + parts:
        assert part in sentence
    assert sentence.endswith(".")


def test_the_hosts_own_queue_is_the_last_way_wherever_it_stands():
    local = dict(SMTP, host="127.0.0.1", port=25)
    ways = check({"ways": [SENDMAIL, local, HOOK, SMTP, dict(SMTP, host="LOCALHOST."), dict(SMTP, host="::1")]})["ways"]
    assert [describe(way) for way in ways[:2]] == ["webhook (slack) at https://hooks.example.net", describe(SMTP_GIVEN)]
    assert all(uses_own_queue(way) for way in ways[2:])
    tunnel = check({"ways": [dict(local, port=2525)]})["ways"][0]
    assert not uses_own_queue(tunnel), "that leads elsewhere"


def test_the_null_sender_is_one_and_other_brackets_are_not():
    for way in (SMTP, SENDMAIL):
        assert check({"ways": [dict(way, **{"from": "<>"})]})["ways"][0]["from"] == "<>"
    assert "from" in refusal({"ways": [dict(SMTP, **{"from": "<a@example.net>"})]})
    assert "to" in refusal({"ways": [dict(SMTP, to=["<>"])]})


def test_a_way_in_words_has_no_secret():
    ways = check(
        {
            "ways": [
                dict(SMTP, user="u", password=CANARY),
                dict(HOOK, headers={"X": CANARY}),
                dict(HOOK, url="http://[2001:db8::1]:8080?" + CANARY),
                SENDMAIL,
            ]
        }
    )["ways"]
    assert [describe(way) for way in ways] == [
        "smtp to smtp.example.net:587",
        "webhook (slack) at https://hooks.example.net",
        "webhook (slack) at http://[2001:db8::1]:8080",
        "sendmail to root",
    ]


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["auto", "smtp", "webhook", "sendmail", "a@example.net", "https://example.net/", "/x", "22:00-07:00"]
    ),
)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(string.ascii_letters, max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
OPTIONS = sorted({option for options in WAYS.values() for option in options})
ONE_WAY = st.one_of(
    ANYTHING,
    st.builds(
        lambda base, change: dict(base, **change),
        st.sampled_from([SMTP, HOOK, SENDMAIL, {}]),
        st.dictionaries(st.sampled_from(OPTIONS + ["type"]), ANYTHING, max_size=4),
    ),
)


@given(
    st.dictionaries(st.one_of(st.sampled_from(sorted(DEFAULTS)), st.text(max_size=3)), ANYTHING, max_size=5),
    st.one_of(st.none(), st.lists(ONE_WAY, max_size=3)),
)
def test_anything_is_settings_or_a_sentence(options, ways):
    try:
        settings = check(dict(options, ways=ways))
    except UserError as error:
        assert str(error).endswith(".")
    else:
        assert check(json.loads(json.dumps(settings))) == settings
        for way in settings["ways"]:
            assert describe(way)
