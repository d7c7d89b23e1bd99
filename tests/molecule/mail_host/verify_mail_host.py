"""The facts of a booted host beside what ss, nft, dpkg, systemctl and a stranger's EHLO say."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid

import pytest
from hosts import snapshot
from hosts.clients import NoTls
from hosts.lab import Lab

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
FAMILIES = pytest.mark.parametrize("family", (4, 6), ids=("IPv4", "IPv6"))

ON_HOST = "/tmp/harden-mail-facts"
GATHER = """cd {0} && python3 -B -c '
import json
from harden_mail.host.facts import gather
from harden_mail.system import System
print(json.dumps(gather(System())))'""".format(ON_HOST)


@pytest.fixture(scope="module", autouse=True)
def code_on_hosts():
    """It goes where no snapshot looks; every host is left as it was found."""
    before = {host.name: host.snapshot() for host in LAB.hosts()}
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(PROJECT, "module_utils", "harden_mail")
        shutil.copytree(source, directory + ON_HOST + "/harden_mail", ignore=shutil.ignore_patterns("__pycache__"))
        for host in LAB.hosts():
            host.put(directory)
    yield
    for host in LAB.hosts():
        assert not snapshot.differences(before[host.name], host.snapshot()), host.name


def facts_of(host):
    return json.loads(host.run(GATHER))


def module(host, *arguments):
    """The module's result over SSH, as users run it."""
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible"), "-i", LAB.path("inventory.json"), host.name]
        + ["-m", "mail_host_facts"]
        + list(arguments),
        cwd=PROJECT,
        env=dict(
            os.environ,
            ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg"),
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout[done.stdout.index("{") :])


@HOSTS
def test_module_says_the_same_in_check_mode(host):
    result = module(host)
    over_ssh, directly = result["ansible_facts"]["mail_host"], facts_of(host)
    # Over SSH root is the container's, without CAP_SYS_PTRACE: what it can't see it must conclude.
    evidence = over_ssh.pop("evidence")
    directly.pop("evidence")
    assert over_ssh == directly
    assert not result["changed"]
    assert "not_applicable" not in result
    assert module(host, "--check")["ansible_facts"]["mail_host"] == dict(over_ssh, evidence=evidence)


@HOSTS
def test_listeners_as_ss_sees_them(host):
    lines = host.run("ss -Hltnp '( sport = :25 or sport = :465 or sport = :587 )'").splitlines()
    seen = set()
    for line in lines:
        address, port = line.split()[3].rsplit(":", 1)
        programs = re.findall(r'\("([^"]+)"', line)
        seen.add((int(port), address.strip("[]"), "master" if "master" in programs else programs[0]))
    found = {(entry["port"], entry["address"], entry["program"]) for entry in facts_of(host)["listeners"]}
    assert found == seen
    assert len(found) == 6


@HOSTS
@FAMILIES
def test_offers_as_a_stranger_sees_them(host, family):
    found = {entry["port"]: entry for entry in facts_of(host)["listeners"] if entry["family"] == family}
    for port, entry in found.items():
        with LAB.client("refused").smtp(host.address(family), port, tls=port == 465) as session:
            session.ehlo()
            offered = session.esmtp_features.get("auth", "").split()
            assert entry["starttls"] == session.has_extn("starttls"), port
            if port != 465:
                assert set(entry["auth_plain"]) == set(offered), port
                session.starttls(context=NoTls())
                session.ehlo()
                offered = session.esmtp_features.get("auth", "").split()
            else:
                assert entry["auth_plain"] == []
            assert set(entry["auth_tls"]) == set(offered), port
    assert found[25]["auth_tls"], "this test needs a host that offers AUTH on 25"


@HOSTS
def test_auth_hidden_from_loopback_only_is_found(host):
    host.run("postconf -e smtpd_sasl_exceptions_networks=127.0.0.0/8,[::1]/128 && postfix reload")
    try:
        assert all(entry["auth_tls"] for entry in facts_of(host)["listeners"])
    finally:
        host.run("postconf -X smtpd_sasl_exceptions_networks && postfix reload")


@HOSTS
def test_services_are_those_of_master_cf(host):
    entries = facts_of(host)["listeners"]
    assert {(entry["port"], entry["service"]) for entry in entries} == {
        (25, "smtp"),
        (465, "smtps"),
        (587, "submission"),
    }
    for entry in entries:
        assert host.run("postconf -M {0}/inet".format(entry["service"])).strip()


@HOSTS
def test_versions_are_those_of_the_packages(host):
    facts = facts_of(host)
    for package, version in (("postfix", facts["mta"]["version"]), ("dovecot-core", facts["pop"]["version"])):
        # "1:2.4.1+dfsg1-6": epoch, upstream's, Debian's
        installed = host.run("dpkg-query -W -f '${{Version}}' {0}".format(package)).split(":")[-1]
        assert re.match(re.escape(version) + r"([-+~.]|$)", installed), (version, installed)


@HOSTS
def test_mail_server(host):
    facts = facts_of(host)
    assert facts["mta"]["name"] == "postfix" and facts["mta"]["flavour"] == "debian"
    assert host.run("postconf -h queue_directory").strip() == facts["mta"]["queue_dir"]
    assert host.run("systemctl is-active {0}".format(facts["mta"]["service"])).strip() == "active"
    assert facts["mta"]["instances"] == [
        {"name": None, "config_dir": facts["mta"]["config_dir"], "queue_dir": facts["mta"]["queue_dir"]}
    ]
    assert facts["panel"] == {"name": None, "version": None, "root": None}


@HOSTS
def test_service_manager_and_cron(host):
    facts = facts_of(host)
    assert facts["service_manager"] == host.run("cat /proc/1/comm").strip() == "systemd"
    assert host.run("systemctl is-active {0}".format(facts["cron"]["service"])).strip() == "active"
    assert host.run("test -d {0} && echo yes".format(facts["cron"]["directory"])).strip() == "yes"


@HOSTS
def test_accounts_are_where_dovecot_looks(host):
    (account,) = facts_of(host)["accounts"]
    assert account["store"] == "dovecot-passwd-file"
    assert account["path"] in host.run("doveconf -n")
    assert account["count"] == int(host.run("grep -c : {0}".format(account["path"])))


@HOSTS
def test_mail_is_logged_there(host):
    logs, word = facts_of(host)["logs"], uuid.uuid4().hex
    assert logs["journal"] and logs["files"]
    host.run("logger -p mail.info {0} && sleep 0.5".format(word))
    assert any(word in host.run("cat {0}".format(path)) for path in logs["files"])
    assert word in host.run("journalctl --no-pager -n 50")


RULE = "iptables -A INPUT -p tcp --dport 23 -j DROP"
FLUSH = "nft flush ruleset"
OURS = """nft add table inet harden_mail_submission
nft add chain inet harden_mail_submission input '{ type filter hook input priority -10; }'
nft add rule inet harden_mail_submission input tcp dport 9 drop
iptables -N HARDEN-MAIL-SUBMISSION
iptables -A HARDEN-MAIL-SUBMISSION -j RETURN
iptables -I INPUT -p tcp --dport 9 -j HARDEN-MAIL-SUBMISSION"""

# What is done and undone; what nft shows of it; (backend, variant, running, persistence); who knows the version.
FIREWALLS = {
    "nothing": ("true", "true", "", ("nftables", None, False, "unit"), "nft --version"),
    "iptables": (RULE, FLUSH, "tcp dport 23", ("iptables", "nft", True, "unit"), "iptables -V"),
    "netfilter-persistent": (
        "systemctl -q enable netfilter-persistent; " + RULE,
        FLUSH + "; systemctl -q disable netfilter-persistent",
        "tcp dport 23",
        ("iptables", "nft", True, "netfilter-persistent"),
        "iptables -V",
    ),
    "ip6tables": ("ip6" + RULE[2:], FLUSH, "table ip6 filter", ("iptables", "nft", True, "unit"), "iptables -V"),
    "nftables.service": (
        "systemctl -q enable --now nftables",
        "systemctl -q disable --now nftables",
        "table inet filter",
        ("nftables", None, True, "nftables"),
        "nft --version",
    ),
    "nftables.service, nothing loaded": (
        "systemctl -q enable nftables",
        "systemctl -q disable nftables",
        "",
        ("nftables", None, False, "nftables"),
        "nft --version",
    ),
    "firewalld": (
        "systemctl -q unmask firewalld; systemctl start firewalld; firewall-cmd -q --state",
        "systemctl stop firewalld; systemctl -q mask firewalld",
        "table inet firewalld",
        ("firewalld", None, True, "firewalld"),
        "firewall-cmd --version",
    ),
}  # fmt: skip


@HOSTS
@pytest.mark.parametrize("ours", (False, True), ids=("before", "after"))
@pytest.mark.parametrize("name", sorted(FIREWALLS))
def test_firewall(host, name, ours):
    """What is in use, before our rules are there and after; nothing in the kernel is touched."""
    make, undo, word, wanted, version = FIREWALLS[name]
    host.run(make)
    try:
        if ours:
            host.run(OURS)
        rules = "nft -s list ruleset 2>/dev/null; iptables-save 2>/dev/null | grep '^-A'"
        kernel = host.run(rules, check=False)
        assert word in kernel
        found = facts_of(host)["firewall"]
        assert (found["backend"], found["variant"], found["running"], found["persistence"]) == wanted
        assert found["version"] in host.run(version)
        assert host.run("test -e {0} && echo yes".format(found["persistent_path"]), check=False).strip() == "yes" or (
            found["persistence"] in ("unit", "netfilter-persistent")
        )
        assert host.run(rules, check=False) == kernel
    finally:
        if ours:
            host.run("nft delete table inet harden_mail_submission")
            host.run("iptables -D INPUT -p tcp --dport 9 -j HARDEN-MAIL-SUBMISSION; iptables -F HARDEN-MAIL-SUBMISSION")
            host.run("iptables -X HARDEN-MAIL-SUBMISSION")
        host.run(undo)
        host.run("{0}; ! systemctl -q is-active firewalld nftables".format(FLUSH))
