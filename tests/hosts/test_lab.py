"""The test hosts themselves: labs don't meet, always go away, and a snapshot sees what it should.

Needs root; `tests/molecule/run.py hosts` runs it.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from hosts import podman, snapshot
from hosts.lab import Lab

LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab.py")

# How a run may end before its time: the owner (or, by Ctrl-C, everyone) gets a signal.
ENDS = {
    "Ctrl-C": lambda process: os.killpg(process.pid, signal.SIGINT),
    "SIGTERM": lambda process: process.terminate(),
    "SIGHUP": lambda process: process.send_signal(signal.SIGHUP),
}

# What someone may change on a host, and what the diff must then show.
CHANGES = {
    "content": ("echo x >> /etc/motd", "+x"),
    "mode": ("chmod 600 /etc/motd", "+0600 root:root"),
    "owner": ("chown mail /etc/motd", "mail:root"),
    "link": ("ln -s /etc/motd /usr/local/bin/motd", "-> /etc/motd"),
    "removal": ("rm /etc/motd", "+++ absent"),
    "iptables": ("iptables -A INPUT -p tcp --dport 99 -j ACCEPT", "+-A INPUT -p tcp -m tcp --dport 99 -j ACCEPT"),
    "ip6tables": ("ip6tables -N own", "+:own - "),
    "nftables": ("nft add table inet own", "+table inet own"),
    "ipset": ("ipset create own hash:ip; ipset add own 203.0.113.7", "+203.0.113.7"),
    "unit enabled": ("systemctl enable nftables", "+nftables.service enabled"),
    "unit stopped": ("systemctl stop cron", "-cron.service loaded active"),
    "queue": ("echo hello | sendmail -f a@example.org nobody@example.org; sleep 1", "+queued"),
}


@pytest.fixture(scope="module")
def lab():
    with Lab.made() as made:
        yield made


@pytest.fixture(scope="module")
def host(lab):
    host = lab.add("deb12")
    host.boot_first()
    host.make_sick()
    return host


def start(command):
    """A run of a lab with one host in the background; returns the process and the lab's name, once it's up."""
    process = subprocess.Popen(
        [sys.executable, LAB, "run", "--host", "deb12", "--", "sh", "-c", "echo $HARDEN_MAIL_LAB; " + command],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    return process, os.path.basename(process.stdout.readline().decode().strip())


def traces(lab_id):
    """Whatever is left of a lab on this machine."""
    left = [name for name in os.listdir("/run/netns") if name.startswith(lab_id)]
    left += podman.podman("ps", "--all", "--format", "{{.Names}}", "--filter", "name=" + lab_id).split()
    left += [name for name in os.listdir(podman.STATE) if name == lab_id]
    return left


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_lab_is_gone_however_it_ends(end):
    process, lab_id = start("sleep 300 & sleep 301")
    assert len(traces(lab_id)) > 5
    end(process)
    assert process.wait(30) != 0
    assert traces(lab_id) == []


def test_a_killed_lab_goes_when_the_next_comes():
    process, lab_id = start("sleep 300")
    process.kill()
    process.wait()
    assert traces(lab_id)
    with Lab.made() as lab:
        assert traces(lab_id) == []
        assert lab.id != lab_id


def test_exit_status_is_the_commands():
    assert subprocess.call([sys.executable, LAB, "run", "--", "sh", "-c", "exit 7"]) == 7


def test_labs_do_not_meet(lab, host):
    """Two labs have the same addresses, and each its own machines behind them."""
    process, other_id = start("sleep 300")
    try:
        other = Lab(os.path.join(podman.STATE, other_id))
        assert other.host("deb12").address() == host.address()
        other.host("deb12").run("systemctl mask --now postfix")
        assert lab.client("refused").connect(host.address(), 25).banner.startswith("220")
        assert other.client("refused").connect(host.address(), 25).outcome == "refused"
    finally:
        process.terminate()
        process.wait()


def test_reboot_is_true(host):
    """Rules that nobody saved are gone, what was written stays, and neighbours find the host at once."""
    host.run("nft add table inet unsaved; echo saved > /etc/saved; echo gone > /run/gone")
    host.reboot()
    assert "unsaved" not in host.run("nft list tables")
    assert host.run("cat /etc/saved") == "saved\n"
    assert "No such file" in host.run("cat /run/gone", check=False)
    for client in ("allowed", "refused"):
        for family in (4, 6):
            assert host.lab.client(client).connect(host.address(family), 587).banner.startswith("220")
    host.run("rm /etc/saved")


def test_prober_sees_a_port_open_and_closed(host):
    target = (host.address(), 587)
    client = host.lab.client("refused")
    with client.probing([target]) as probes:
        time.sleep(0.3)
    assert probes[target].tried > 20
    assert probes[target].opened == probes[target].tried
    host.run("nft 'table inet closed { chain input { type filter hook input priority 0; tcp dport 587 drop; }; }'")
    with client.probing([target]) as probes:
        time.sleep(0.3)
    host.run("nft delete table inet closed")
    assert probes[target].tried > 20
    assert probes[target].opened == 0
    assert probes[target].last == "timeout"


def test_held_connection_is_seen_cut(host):
    client = host.lab.client("refused")
    client.hold(host.address(6), 587)
    assert client.is_held(host.address(6), 587)
    host.run("systemctl restart 'postfix@-'")
    assert not client.is_held(host.address(6), 587)


def test_untouched_host_stays_the_same(host):
    before = host.snapshot()
    for port in (25, 587, 110, 143):
        host.lab.client("allowed").connect(host.address(), port)
    assert host.lab.client("allowed").log_in(host.address(), "info@example.com", "info") == 235
    host.reboot()
    assert snapshot.differences(before, host.snapshot()) == ""


@pytest.mark.parametrize("change", CHANGES)
def test_snapshot_sees(host, change):
    command, shown = CHANGES[change]
    before = host.snapshot()
    host.run("cp -a /etc/motd /run/motd; " + command)
    try:
        assert shown in snapshot.differences(before, host.snapshot())
    finally:
        host.run(
            "cp -a /run/motd /etc/motd; rm -f /usr/local/bin/motd; systemctl disable nftables; systemctl start cron"
            "; iptables -F INPUT; ip6tables -X; nft flush ruleset; ipset destroy; postsuper -d ALL",
            check=False,
        )
