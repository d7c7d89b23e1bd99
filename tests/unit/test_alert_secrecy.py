"""What of the alert's secrets others could read on their way, and in what is shown."""

import json

import pytest
from harden_mail.alert import secrecy
from harden_mail.alert.settings import check

CANARY = "canary5ecret"


def webhook(url, **more):
    return {"ways": [dict({"type": "webhook", "url": url}, **more)]}


def relay(**more):
    return {"ways": [dict({"type": "smtp", "host": "smtp.example.net", "to": ["a@example.net"]}, **more)]}


LOGIN = {"user": "a", "password": CANARY}


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (webhook("http://hooks.example.net/" + CANARY), ("queue_alert_ways", "webhook", "its URL", "https")),
        (webhook("http://hooks.example.net/?key=" + CANARY), ("queue_alert_ways", "its URL")),
        (webhook("http://hooks.example.net", headers={"Authorization": CANARY}), ("queue_alert_ways", "its headers")),
        (webhook("http://192.0.2.1:8080/x", headers={"X": CANARY}), ("its headers and its URL",)),
        (relay(verify=False, **LOGIN), ("queue_alert_ways", "smtp.example.net:587", "verify", "password")),
        (relay(verify=False, tls="tls", port=465, **LOGIN), ("queue_alert_ways", "verify")),
        ({"ping_url": "http://ping.example.net/" + CANARY}, ("queue_alert_ping_url", "ping.example.net", "https")),
    ],
)
def test_a_secret_that_others_can_read_is_a_finding_without_it(given, parts):
    (finding,) = secrecy.exposed(check(given))
    for part in parts:
        assert part in finding
    assert CANARY not in finding


@pytest.mark.parametrize(
    "given",
    [
        webhook("https://hooks.example.net/" + CANARY, headers={"X": CANARY}),
        webhook("http://127.0.0.1:8065/hooks/" + CANARY),
        webhook("http://[::1]/hooks/" + CANARY),
        webhook("http://localhost/" + CANARY, headers={"X": CANARY}),
        webhook("http://hooks.example.net/"),
        relay(**LOGIN),
        relay(verify=False),
        relay(tls="none"),
        relay(verify=False, **dict(LOGIN, host="127.0.0.1")),
        {"ping_url": "https://ping.example.net/" + CANARY},
        {"ping_url": "http://localhost:8000/" + CANARY},
    ],
)
def test_what_nobody_can_read_is_none(given):
    assert secrecy.exposed(check(given)) == []


def test_what_is_shown_has_no_secret():
    text = json.dumps(dict(webhook("https://x/" + CANARY, headers={"X": CANARY}), ping_url="https://p/" + CANARY))
    assert CANARY not in secrecy.hidden(text)
    assert CANARY not in secrecy.hidden('{"ways": "' + CANARY)
