"""``backend: auto`` beside firewalls of others, on hosts that ``state: absent`` has just given back.

A scenario of the name submission_BACKEND imports this in its absent_auto.py.
"""

import contextlib
import pathlib
import time

import pytest
from guest import guest
from hosts.lab import side_by_side
from submission_hard_cases import (  # noqa: F401
    PORTS,
    PROJECT,
    absent,
    as_found,
    assert_restricted,
    code_on_hosts,
    lab,
    present,
    sources,
)

# Others' rules (tests/data/firewall) that lead past a rule in INPUT.
RULES = ("dmz-whole-address", "dnat-all-but-ssh", "kube-service-dnat", "redirect-in-user-chain")

# A tool that writes with the old iptables beside rules of the new one.
LEGACY = b"""\
*nat
-A PREROUTING -p tcp -m tcp --dport 587 -j REDIRECT --to-ports 25
-A PREROUTING -p tcp -m tcp --dport 465 -j REDIRECT --to-ports 25
COMMIT
"""


def test_a_hardened_host_moves_to_the_table_and_is_never_open(lab):  # noqa: F811
    def check(host):
        present(host, sources(lab))
        targets = [(host.address(family), port) for family in (4, 6) for port in PORTS]
        with lab.client("refused").probing(targets, 0.003) as strangers:
            time.sleep(0.2)
            moved = present(host, sources(lab), backend="auto")
            time.sleep(0.2)
        assert "kernel, nftables, table inet harden_mail_submission" in moved["steps"]
        assert all(probe.tried > 50 and probe.opened == 0 for probe in strangers.values()), strangers
        assert_restricted(lab, host)
        assert not present(host, sources(lab), backend="auto")["changed"]
        assert_only_the_table_is_there(host)
        absent(host)

    side_by_side(check, lab.hosts())


def assert_only_the_table_is_there(host):
    left = host.run(
        "{ iptables-save; ip6tables-save; firewall-cmd --list-all-policies; firewall-cmd --get-ipsets; ipset list -n; "
        "ls /etc/firewalld/policies /etc/firewalld/ipsets; nft list tables; } 2>/dev/null | grep -i harden.mail",
        check=False,
    )
    assert left.strip() == "table inet harden_mail_submission", left


@pytest.fixture(scope="module")
def guests(lab):  # noqa: F811
    """Every host has a guest."""
    with contextlib.ExitStack() as stack:
        for host in lab.hosts():
            stack.enter_context(guest(lab, host))
            # Tables are listed in the order in which they were loaded: from here on, as after each test.
            host.run("iptables-save | iptables-restore")
        yield
        for host in lab.hosts():
            host.run("ip6tables-save | ip6tables-restore")


@pytest.mark.parametrize("name", RULES)
def test_no_rule_of_others_leads_past_it(lab, guests, name):  # noqa: F811
    def check(host):
        before = host.run("iptables-save")
        try:
            host.run("iptables -P FORWARD ACCEPT")
            check_closed(
                lab,
                host,
                "iptables-restore",
                pathlib.Path(PROJECT, "tests/data/firewall", name + ".rules").read_bytes(),
            )
        finally:
            host.run("iptables-restore", stdin=before.encode())

    side_by_side(check, lab.hosts())


def test_no_rule_of_the_old_iptables_leads_past_it(lab):  # noqa: F811
    def check(host):
        try:
            check_closed(lab, host, "iptables-legacy-restore", LEGACY)
        finally:
            host.run("iptables-legacy -t nat -F")

    side_by_side(check, lab.hosts())


def check_closed(lab, host, program, rules):  # noqa: F811
    """With these rules the port answers both clients, and then only the allowed one."""
    host.run(program, stdin=rules)
    address = host.address(4)
    for client in ("allowed", "refused"):
        before = lab.client(client).connect(address, 587)
        assert before.banner.startswith("220"), (client, before)
    present(host, sources(lab), backend="auto")
    assert lab.client("refused").connect(address, 587).outcome == "refused"
    after = lab.client("allowed").connect(address, 587)
    assert after.banner.startswith("220"), after
    assert not present(host, sources(lab), backend="auto")["changed"]
    absent(host)
