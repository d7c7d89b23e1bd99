"""The blocked account reads and doesn't send, however its name is written; others send, and mail comes in."""

import re

import pytest
from block_host import PORTS, SENT, hand_over, opened, send
from hosts.lab import Lab
from pop_clients import imap, pop, tidy_up

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])


@pytest.fixture(scope="module", autouse=True)
def tidied_up():
    yield
    for host in LAB.hosts():
        tidy_up(host)


@HOSTS
@FAMILIES
def test_the_account_does_not_send(host, family):
    for port in PORTS:
        for user in ("info@example.com", "INFO@example.COM", "info", "Info"):
            assert send(LAB.client("allowed"), host, user, port, family) == 554, (port, user)


@HOSTS
@FAMILIES
def test_the_account_reads(host, family):
    pop(LAB.client("allowed"), host, family)
    imap(LAB.client("allowed"), host, family).logout()


@HOSTS
@FAMILIES
def test_another_account_sends(host, family):
    for port in PORTS:
        assert send(LAB.client("allowed"), host, "sales@example.com", port, family) == SENT, port


@HOSTS
def test_the_address_does_not_send_and_its_other_one_does(host):
    for port in PORTS:
        # By 25 other mail servers come, and a finding says that it takes AUTH.
        expected = SENT if port == 25 else 554
        assert send(LAB.client("refused"), host, "sales@example.com", port, 6) == expected
        assert send(LAB.client("refused"), host, "sales@example.com", port, 4) == SENT


@HOSTS
@FAMILIES
def test_mail_comes_in_and_the_host_itself_sends(host, family):
    with opened(LAB.client("refused"), host, None, 25, family) as session:
        assert hand_over(session) == SENT
    host.run("echo hello | sendmail -f info@example.com webmaster@example.com")


@HOSTS
def test_only_root_reads_who_is_blocked(host):
    for path in ("/etc/postfix/harden-mail-blocked-*", "/var/lib/harden-mail/submission_block/lists.json"):
        assert set(host.run("stat -c '%a %U' " + path).split("\n")) == {"600 root", ""}


@HOSTS
def test_its_owner_was_told_once(host):
    logged = host.run("cat /var/log/mail.log")
    ids = re.findall(r"(\w+): message-id=<harden-mail\.password-notice\.", logged)
    assert len(ids) == 1, ids
    delivered = [line for line in logged.splitlines() if ids[0] + ": to=<" in line]
    assert len(delivered) == 1 and "to=<info@example.com>" in delivered[0] and "status=sent" in delivered[0], delivered
    assert host.run("stat -c '%a %U' /var/lib/harden-mail/password_audit/notices.json").strip() == "600 root"
