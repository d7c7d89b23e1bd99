"""A host whose submission is restricted, from outside and in its own words."""

import pytest
from submission_before import CLIENTS, FAMILIES, HOSTS, LAB, foreign_tables

# Asks for a banner from the host itself; {0} is an address.
FROM_THE_HOST = """python3 -c '
import socket
print(socket.create_connection(("{0}", 587), 5).recv(99).decode())'"""


@HOSTS
@FAMILIES
@pytest.mark.parametrize("client", ("allowed", "controller"))
def test_allowed_client_gets_in(host, family, client):
    for port in (587, 465):
        result = LAB.client(client).connect(host.address(family), port, tls=port == 465)
        assert result.banner.startswith("220"), (port, result)


@HOSTS
@FAMILIES
def test_allowed_client_logs_in(host, family):
    for port in (587, 465):
        assert LAB.client("allowed").log_in(host.address(family), "info@example.com", "info", port) == 235


@HOSTS
@FAMILIES
def test_refused_client_does_not_get_in(host, family):
    for port in (587, 465):
        result = LAB.client("refused").connect(host.address(family), port, tls=port == 465)
        assert result.outcome != "open", (port, result)


@HOSTS
@FAMILIES
@CLIENTS
def test_other_services_are_open_to_everyone(host, family, client):
    for port, greeting in ((25, "220"), (110, "+OK"), (143, "* OK")):
        result = LAB.client(client).connect(host.address(family), port)
        assert result.banner.startswith(greeting), (port, result)


@HOSTS
def test_host_reaches_itself(host):
    for address in ("127.0.0.1", "::1", host.address(4), host.address(6)):
        assert host.run(FROM_THE_HOST.format(address)).startswith("220"), address


@HOSTS
@FAMILIES
def test_open_connection_is_cut(host, family):
    address = host.address(family)
    assert not LAB.client("refused").is_held(address, 587)
    if not LAB.read("reboot"):  # which ends every connection
        assert LAB.client("refused").is_held(address, 25), "port 25 is nobody's business"
        assert LAB.client("allowed").is_held(address, 587)


@HOSTS
def test_who_may_connect_is_for_root_alone(host):
    files = host.run("find /etc/harden-mail /etc/firewalld -path '*harden*' -type f ! -name '*.service'", check=False)
    for path in [line for line in files.splitlines() if line.startswith("/")]:
        assert host.run("stat -c '%a %U' " + path).strip() == "600 root", path


@HOSTS
def test_foreign_rules_are_the_same(host):
    """Every table, chain and set of others as it was, line by line, but for a jump to our chain."""
    now = foreign_tables(host)
    for table, listing in LAB.read("foreign-" + host.name).items():
        before, after = blocks(listing), blocks(now[table])
        for head, lines in before.items():
            assert [line for line in after[head] if not is_ours(line)] == lines
        assert all(is_ours(head) for head in after if head not in before)


def blocks(listing):
    """{"chain INPUT": its lines} of a table's listing by nft."""
    found, head = {}, None
    for line in listing.splitlines():
        if line.startswith("\t") and line.endswith("{") and not line.startswith("\t\t"):
            head = line.strip("\t {")
            found[head] = []
        elif line.startswith("\t\t"):
            found[head].append(line)
    return found


def is_ours(text):
    return "harden-mail" in text.lower().replace("_", "-")
