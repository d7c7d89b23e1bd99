"""A managed host whose answers are made by an attacker: it costs its own row, and steers nobody's terminal."""

import json
import os

import pytest
from hostile import HERE, play
from hosts.lab import Lab
from once import once

LAB = Lab.current()
EVIL, HONEST = LAB.hosts()
# Bytes that mean something to a terminal.
STEERING = ("\x1b", "\x07", "\x9b", "\r")


@pytest.fixture(scope="module")
def inventory():
    with open(os.path.join(HERE, "poison"), "rb") as handle:
        EVIL.run("cat >/tmp/poison; chmod 755 /tmp/poison", stdin=handle.read())
    hosts = {
        HONEST.name: HONEST.connection(),
        "evil": dict(EVIL.connection(), ansible_python_interpreter="/tmp/poison"),
    }
    path = LAB.path("poisoned.json")
    with open(path, "w", encoding="utf-8") as handle:
        json.dump({"all": {"hosts": hosts}}, handle)
    yield path
    EVIL.run("rm -f /tmp/poison*")


@once
def test_a_poisoned_listing_costs_one_row(inventory):
    done, _, _ = play("playbooks/queue.yml", inventory=inventory)
    assert not [sign for sign in STEERING if sign in done.stdout]
    assert "0 messages in the queue" in done.stdout, "the honest host's table"
    assert "Traceback" not in done.stdout


@once
def test_poisoned_changes_end_and_are_errors(inventory):
    done, report, seconds = play(
        "harden-mail.yml", "--limit", "evil", inventory=inventory, password_audit_budget_seconds=3
    )
    assert not [sign for sign in STEERING if sign in done.stdout]
    assert done.returncode == 2
    assert seconds < 60
    assert report["defect"] is None
    assert report["hosts"]["evil"]["outcome"] == "error"
