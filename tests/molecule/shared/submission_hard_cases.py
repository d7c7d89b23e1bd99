"""What must also hold for every firewall, on hosts that ``state: absent`` has just given back:

a kill -9 at any time, rules changed behind our back, a lock-out, 10,000 sources. A scenario of the name
submission_BACKEND imports this in its absent_hard_cases.py. Every test ends with the host as it found it.
"""

import json
import os
import subprocess
import sys
import time

import pytest
from code_on_host import put_code, work
from hosts import snapshot
from hosts.lab import Lab, side_by_side

SHARED = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(SHARED)))
BACKEND = os.path.basename(os.environ["MOLECULE_SCENARIO_DIRECTORY"]).split("_", 1)[1]
PORTS = (587, 465)
# A kill before each of so many changes; unit tests are killed before every one.
STRIDE = 9

# What somebody may do to our rules behind our back, and how to undo what our run does not.
DRIFTS = {
    "iptables": [
        ("iptables -I INPUT -p tcp --dport 587 -j ACCEPT", "iptables -D INPUT -p tcp --dport 587 -j ACCEPT"),
        ("ip6tables -I HARDEN-MAIL-SUBMISSION -j RETURN", "true"),
        ("iptables -F HARDEN-MAIL-SUBMISSION", "true"),
        ("ip6tables-save | grep -v '^-A INPUT.*HARDEN-MAIL' | ip6tables-restore", "true"),
    ],
    "nftables": [
        ("nft insert rule inet harden_mail_submission input accept", "true"),
        ("nft add element inet harden_mail_submission allowed4 '{ 198.51.100.66 }'", "true"),
        ("nft delete table inet harden_mail_submission", "true"),
        ("rm /etc/harden-mail/submission.nft", "true"),
        ("chmod 644 /etc/harden-mail/submission.nft", "true"),
        (
            # One of these is what loads it at boot.
            "sed -i /harden-mail/d /etc/nftables.conf; "
            "rm -f /etc/systemd/system/sysinit.target.wants/harden-mail-submission*.service",
            "true",
        ),
    ],
    "firewalld": [
        ("firewall-cmd -q --zone=public --add-service=smtp-submission", "true"),
        ("firewall-cmd -q --ipset=harden-mail-submission4 --add-entry=198.51.100.66", "true"),
        ("chmod 644 /etc/firewalld/ipsets/harden-mail-submission4.xml", "true"),
        (
            "firewall-cmd -q --permanent --delete-policy=harden-submission && firewall-cmd -q --reload",
            "true",
        ),
    ],
}


# What each way back can't do without.
PROGRAM = {"iptables": "iptables-restore", "nftables": "nft", "firewalld": "firewall-cmd"}


@pytest.fixture(scope="module")
def lab():
    return Lab.current()


@pytest.fixture(autouse=True)
def as_found(lab):
    """Every test leaves the hosts as they were."""
    before = snapshots(lab)
    yield
    after = snapshots(lab)
    for name in before:
        differences = snapshot.differences(before[name], after[name])
        assert not differences, "{0}:\n{1}".format(name, differences)


@pytest.fixture(scope="module", autouse=True)
def code_on_hosts(lab):
    side_by_side(put_code, lab.hosts())


def snapshots(lab):
    return {host.name: host.snapshot() for host in lab.hosts()}


def sources(lab):
    return [lab.client(name).address(family) for name in ("allowed", "controller") for family in (4, 6)]


def run(host, state, fatal=0, addresses=(), confirm_within=0, backend=BACKEND):
    """The work of submission_firewall, killed before its change ``fatal``; see code_on_host.work."""
    options = {"state": state, "backend": backend, "confirm_within": confirm_within, "sources": list(addresses) or None}
    return work(host, "submission_firewall", fatal, **options)


def present(host, addresses, backend=BACKEND):
    return run(host, "present", 0, addresses, backend=backend)


def absent(host):
    return run(host, "absent")


def outcomes(lab, host, client):
    """What a client gets on the ports: set of outcomes."""
    return {
        lab.client(client).connect(host.address(family), port, tls=port == 465).outcome
        for family in (4, 6)
        for port in PORTS
    }


def assert_restricted(lab, host):
    assert outcomes(lab, host, "allowed") == {"open"}
    assert outcomes(lab, host, "refused") == {"refused"}


def playbook(lab, host, *arguments):
    """Run the two roles on a host over SSH as a user does; returns CompletedProcess."""
    return subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", lab.path("inventory.json")]
        + ["--limit", host.name, os.path.join(SHARED, "submission.yml")]
        + ["-e", json.dumps({"submission_firewall_backend": BACKEND})]
        + list(arguments),
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )


def test_killed_at_any_time_the_next_run_completes(lab):
    def check(host):
        for state, complete, undo in (("present", present, absent), ("absent", absent, None)):
            # Not the same ones on each host.
            fatal = 1 + host.number % STRIDE
            while True:
                if state == "absent":
                    present(host, sources(lab))
                result = run(host, state, fatal, sources(lab))
                if "killed" not in result:
                    break
                if state == "present":
                    complete(host, sources(lab))
                    assert_restricted(lab, host)
                    undo(host)
                else:
                    complete(host)
                    assert host.run("ls -d /etc/harden-mail /var/lib/harden-mail 2>/dev/null", check=False) == ""
                assert outcomes(lab, host, "refused") == {"open"}
                fatal += STRIDE
            assert fatal > result["changes"] >= 30
            if undo:
                undo(host)

    side_by_side(check, lab.hosts())


def test_drift_is_mended(lab):
    def check(host):
        present(host, sources(lab))
        for sabotage, tidy_up in DRIFTS[BACKEND]:
            host.run(sabotage)
            assert present(host, sources(lab))["changed"], sabotage
            assert_restricted(lab, host)
            assert not present(host, sources(lab))["changed"], sabotage
            host.run(tidy_up)
        absent(host)

    side_by_side(check, lab.hosts())


def test_ten_thousand_sources_in_one_call(lab):
    many = ["10.{0}.{1}.1".format(n // 100, n % 100) for n in range(9996)] + sources(lab)

    def check(host):
        started = time.monotonic()
        result = present(host, many)
        seconds = time.monotonic() - started
        assert result["sources"]["networks4"] == 9998
        assert_restricted(lab, host)
        assert not present(host, many)["changed"]
        absent(host)
        print("{0}: {1:.1f} s".format(host.name, seconds))

    side_by_side(check, lab.hosts())


def test_a_lock_out_undoes_itself(lab):
    """The rules shut Ansible's own way in: what it changed is back some seconds later, and it gets in again."""

    def check(host):
        options = {
            "submission_firewall_ports": [22, 587, 465],
            "submission_firewall_sources": [lab.client("allowed").address(4)],
            "submission_firewall_confirm_within": 10,
            "submission_firewall_on_cutoff": "ignore",
        }
        done = playbook(lab, host, "-e", json.dumps(options), "-T", "4")
        assert done.returncode != 0, done.stdout
        assert lab.client("controller").connect(host.address(4), 22).outcome == "refused", done.stdout
        deadline = time.monotonic() + 60
        while lab.client("controller").connect(host.address(4), 22).outcome != "open":
            assert time.monotonic() < deadline, "still locked out after a minute"
            time.sleep(0.5)
        while "harden-mail" in host.run("ls /var/lib; systemctl list-units --plain --no-legend 'harden-mail*'"):
            assert time.monotonic() < deadline, "the rollback has not ended after a minute"
            time.sleep(0.5)
        assert outcomes(lab, host, "refused") == {"open"}

    side_by_side(check, lab.hosts())


def test_a_change_that_does_no_harm_is_confirmed(lab):
    def check(host):
        options = {
            "submission_firewall_sources": sources(lab),
            "submission_firewall_confirm_within": 60,
            "submission_firewall_on_cutoff": "ignore",
        }
        done = playbook(lab, host, "-e", json.dumps(options))
        assert done.returncode == 0, done.stdout
        assert "harden-mail-rollback" not in host.run("ls /etc/systemd/system /var/lib/harden-mail/submission_firewall")
        assert_restricted(lab, host)
        done = playbook(lab, host, "-e", json.dumps(options))
        assert "changed=0" in done.stdout, done.stdout
        absent(host)

    side_by_side(check, lab.hosts())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"submission_firewall_sources": []}, "sources is an empty list"),
        ({"submission_firewall_sources": ["mail.example.com"]}, "resolve_names: true"),
        ({"submission_firewall_sources": ["::/1"]}, "submission_firewall_sources covers every IPv6 address"),
        ({"submission_firewall_ports": [True, 587.5]}, "submission_firewall_ports contains True"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(lab, options, sentence):
    def check(host):
        wrong = dict({"submission_firewall_sources": sources(lab)}, **options)
        done = playbook(lab, host, "-e", json.dumps(wrong))
        assert done.returncode == 2, done.stdout
        assert sentence in " ".join(done.stdout.split()), done.stdout
        assert "Traceback" not in done.stdout

    side_by_side(check, lab.hosts())


def test_neither_a_reboot_nor_a_step_that_fails_loses_the_way_back(lab):
    """Last, for a boot empties /tmp, where the code of the other tests lies."""

    def check(host):
        result = run(host, "present", 0, sources(lab), confirm_within=20)
        assert result["pending"]
        host.reboot()
        assert outcomes(lab, host, "refused") == {"refused"}, "not confirmed, but restricted from the first moment"
        program = host.run("command -v " + PROGRAM[BACKEND]).strip()
        host.run("mv {0} {0}.gone".format(program))
        deadline = time.monotonic() + 60
        while "auto-restart" not in host.run("systemctl show -p SubState harden-mail-rollback.service"):
            assert time.monotonic() < deadline, "it does not fail"
            time.sleep(0.5)
        told = host.run("journalctl -b -t harden-mail -o cat")
        assert "is NOT back" in told and "is back" not in told, told
        host.run("ls /var/lib/harden-mail/submission_firewall/rollback/undo.sh")
        # It would be started by itself half a minute later.
        host.run("mv {0}.gone {0}; systemctl restart harden-mail-rollback.service".format(program))
        deadline = time.monotonic() + 60
        while "harden-mail" in host.run("ls /var/lib /etc; systemctl list-units --plain --no-legend 'harden-mail*'"):
            assert time.monotonic() < deadline, "the rollback has not ended after a minute"
            time.sleep(0.5)
        assert outcomes(lab, host, "refused") == {"open"}

    side_by_side(check, lab.hosts())
