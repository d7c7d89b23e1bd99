"""Before: a guessed password is enough, and nobody relays without one. On Plesk, nothing is done undeclared."""

import os
import subprocess

import pytest
import queue_host
from backends import BOT, COURIER, IS_NOTQMAIL, LAB, NOT_RELAYED, PLESK, QMAIL, SEND_PORTS, takes_mail
from pop_clients import submit

MISC = "plesk db -N -B -e 'SELECT * FROM misc ORDER BY param'"


@pytest.mark.parametrize("host", [COURIER, QMAIL], ids=lambda host: host.name)
@pytest.mark.parametrize("family", [4, 6])
def test_a_guessed_password_is_enough(host, family):
    for port in SEND_PORTS[host.name]:
        if not (host is QMAIL and IS_NOTQMAIL):
            assert submit(BOT, host, family, port) == ("offered", 235, 250)
        assert submit(BOT, host, family, port, auth=False)[2] in (454, NOT_RELAYED[host.name])
    assert takes_mail(host, BOT, family)


def test_plesk_is_noncompliant_and_left_alone_while_nobody_has_declared_its_meaning():
    before = PLESK.run(MISC)
    LAB.note("plesk-misc", before)
    done = queue_host.module(PLESK, "pop_before_smtp", backend="plesk")
    assert not done["failed"] and not done["changed"]
    (finding,) = done["findings"]
    assert finding.startswith("Plesk can't ask for both a POP log-in and SMTP AUTH: it only takes the log-in instead")
    assert "Declare pop_before_smtp_meaning: either for this host" in finding

    command = ["ansible-playbook", "-i", LAB.path("inventory.json"), "playbooks/compliance.yml", "--limit", "plesk"]
    command += ["--tags", "mail_host,pop_before_smtp", "-e", "pop_before_smtp_enabled=true"]
    played = subprocess.run(
        command,
        cwd=queue_host.PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(queue_host.PROJECT, "ansible.cfg"), ANSIBLE_NOCOLOR="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert played.returncode == 2, played.stdout
    said = " ".join(played.stdout.split())
    assert "noncompliant" in said and "Plesk can't ask for both a POP log-in and SMTP AUTH" in said, played.stdout
    assert PLESK.run(MISC) == before


def test_plesk_refuses_a_meaning_that_it_has_not():
    done = queue_host.module(PLESK, "pop_before_smtp", backend="plesk", meaning="both")
    assert done["failed"]
    assert done["msg"] == "meaning is both, which plesk can't do: give either."
