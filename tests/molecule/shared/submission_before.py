"""Before the hosts are hardened: everyone gets in, so that a denial afterwards means something."""

import pytest
from hosts.lab import Lab

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
FAMILIES = pytest.mark.parametrize("family", (4, 6), ids=("IPv4", "IPv6"))
CLIENTS = pytest.mark.parametrize("client", ("allowed", "refused", "controller"))


@HOSTS
@FAMILIES
@CLIENTS
def test_everyone_gets_in(host, family, client):
    for port in (25, 587, 465):
        result = LAB.client(client).connect(host.address(family), port, tls=port == 465)
        assert result.banner.startswith("220"), (port, result)


@HOSTS
@FAMILIES
def test_connections_are_held_open(host, family):
    """They are looked at again when the host is hardened."""
    for client in ("allowed", "refused"):
        for port in (25, 587):
            LAB.client(client).hold(host.address(family), port)
            assert LAB.client(client).is_held(host.address(family), port)


@HOSTS
def test_foreign_rules_are_there(host):
    """Noted, to be compared when the host is hardened; every scenario's prepare.yml bans 203.0.113.7."""
    tables = foreign_tables(host)
    assert "203.0.113.7" in "".join(tables.values()), tables
    LAB.note("foreign-" + host.name, tables)


def foreign_tables(host):
    """{table: its listing} of all that is in the kernel, in nftables' words, which iptables' rules have too."""
    tables = {}
    for line in host.run("nft list tables").splitlines():
        name = line.split(" ", 1)[1] if line.startswith("table ") else None
        if name:
            tables[name] = host.run("nft -s list table " + name)
    return tables
