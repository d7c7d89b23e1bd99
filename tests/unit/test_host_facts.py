"""Whole facts of hosts: a directory of tests/data/hosts is a tree, what its commands print, and what must be found."""

import json
import pathlib

import pytest
from fake_system import FakeSystem
from harden_mail.host.facts import gather, why_not_applicable
from harden_mail.smtp import Offer
from harden_mail.system import Completed

DATA = pathlib.Path(__file__).resolve().parents[1] / "data" / "hosts"
NAMES = sorted(path.parent.name for path in DATA.glob("*/host.json"))


def host(name):
    """The host's System, and the probe that answers for its SMTP servers."""
    recorded = json.loads((DATA / name / "host.json").read_text(encoding="utf-8"))
    commands = {
        line: answer if isinstance(answer, str) else Completed(*answer) for line, answer in recorded["commands"].items()
    }

    def probe(servers):
        return [Offer(*recorded["offers"]["{0} {1}".format(port, addresses[0])]) for port, addresses in servers]

    return FakeSystem(DATA / name / "tree", commands), probe


def expected(name):
    return json.loads((DATA / name / "facts.json").read_text(encoding="utf-8"))


def leaves(value, path=""):
    """(dotted path, value) of everything that isn't a container."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, "{0}.{1}".format(path, key))
    else:
        yield path.lstrip("."), value


@pytest.mark.parametrize("name", NAMES)
def test_facts(name):
    system, probe = host(name)
    facts = gather(system, probe)
    wanted = expected(name)
    for key in wanted:
        assert facts[key] == wanted[key], key
    assert set(facts) == set(wanted)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_its_evidence(name):
    """At its own dotted path or an earlier part of it."""
    facts = expected(name)
    evidence = facts.pop("evidence")
    for path, value in leaves(facts):
        parts = path.split(".")
        if value is not None:
            assert any(".".join(parts[:length]) in evidence for length in range(1, len(parts) + 1)), path


@pytest.mark.parametrize("name", NAMES)
def test_discovery_changes_nothing(name):
    """It runs only commands that are known to read."""
    system, probe = host(name)
    gather(system, probe)
    reading = (
        "systemctl show ", "postconf -c ", "doveconf -n", "dovecot --version", "nft list chains", "nft --version",
        "iptables -V", "iptables-save", "ip6tables-save",
    )  # fmt: skip
    assert [line for line, _stdin in system.calls if not line.startswith(reading)] == []


def test_nothing_secret():
    for name in NAMES:
        text = (DATA / name / "facts.json").read_text(encoding="utf-8")
        assert "masked" not in text and "$6$" not in text


@pytest.mark.parametrize("name", NAMES)
def test_not_applicable_only_without_a_mail_server(name):
    system, _probe = host(name)
    sentence = why_not_applicable(system, expected(name))
    if name == "no-mail-server":
        assert sentence == (
            "This host has no mail server that is known here (Postfix or qmail); /usr/bin/msmtp sends its mail."
        )
    else:
        assert sentence is None


def test_nothing_at_all_is_reported_not_failed(tmp_path):
    system = FakeSystem(tmp_path)
    facts = gather(system, lambda servers: [])
    assert facts["mta"]["name"] is None and facts["mta"]["instances"] == []
    assert facts["firewall"]["backend"] is None and facts["firewall"]["persistence"] is None
    assert facts["listeners"] == [] and facts["service_manager"] is None
    assert facts["logs"] == {"files": [], "journal": False}
    assert why_not_applicable(system, facts).endswith("nothing sends mail.")
