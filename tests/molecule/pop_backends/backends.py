"""What the hosts of this scenario have in common, and where they differ."""

import os
import time

import pop_clients
from hosts.lab import Lab
from pop_clients import DATABASE, forget, sql, submit

LAB = Lab.current()
USER, BOT = LAB.client("allowed"), LAB.client("refused")
COURIER, QMAIL, PLESK = LAB.host("courier"), LAB.host("qmail"), LAB.host("plesk")

# A real qmail-smtpd without patches, which knows no AUTH.
IS_NOTQMAIL = bool(os.environ.get("HARDEN_MAIL_QMAIL"))

# Whom each may relay for: options that the role gives it.
OPTIONS = {
    "courier": {"backend": "postfix_courier"},
    "qmail": {"backend": "qmail_dovecot", "config_dirs": [], "edit_run_scripts": True},
    "plesk": {"backend": "plesk", "meaning": "either"},
}
NOT_RELAYED = {"courier": 554, "qmail": 553}
SEND_PORTS = {"courier": (587, 465), "qmail": (587,)}

SCRIPT = "/service/submission/run"
GATE = "/usr/local/lib/harden-mail/pop-gate"


def run(host, **options):
    """Run what the module runs, with the options that this host has."""
    return pop_clients.run(host, **dict(OPTIONS[host.name], **options))


def expected(host, has_read, password, meaning="both"):
    """What :func:`submit` gives a client on a submission port."""
    knows_auth = host is not QMAIL or not IS_NOTQMAIL
    offered = knows_auth and (has_read or meaning == "either")
    relayed = (offered and password) or (has_read and meaning == "either")
    code = (235 if offered else 503 if knows_auth else 502) if password else None
    return "offered" if offered else "hidden", code, 250 if relayed else NOT_RELAYED[host.name]


def sees(host, client, family, has_read, meaning="both"):
    """Try each port with and without a password.

    :raises AssertionError: one gives something else than it should
    """
    for port in SEND_PORTS[host.name]:
        for password in (True, False):
            got = submit(client, host, family, port, password)
            assert got == expected(host, has_read, password, meaning), (host.name, client.name, family, port, password)


def takes_mail(host, client=BOT, family=4):
    """Whether port 25 takes mail for somebody here, and relays none."""
    codes = [submit(client, host, family, 25, False, to)[2] for to in ("old@example.com", "somebody@example.net")]
    return codes == [250, 454 if host is not QMAIL else 553]


def read(client, host, family=4):
    """Log in by POP, and wait until that is known: the follower of a log needs a moment."""
    pop_clients.pop(client, host, family)
    known(client, host, family)


def known(client, host, family=4, seconds=10):
    """Wait until a log-in is in the database; returns how long that took, seconds."""
    began = time.monotonic()
    while [client.address(family)] not in sql(host, "SELECT ip FROM seen WHERE expires > strftime('%s','now')+0"):
        assert time.monotonic() < began + seconds, "{0} is not in {1}".format(client.address(family), DATABASE)
        time.sleep(0.05)
    return time.monotonic() - began


def nobody_has_read(host):
    """Begin anew. The follower takes log-ins by whole seconds, the next one must be of another."""
    forget(host)
    time.sleep(1.1)


# Whether the tcpserver that runs is one of the run script as it is now.
IS_ANEW = (
    "pid=$(svstat /service/submission | sed 's/.*(pid \\([0-9]*\\)).*/\\1/'); "
    "tr '\\0' ' ' </proc/$pid/cmdline >/run/line; "
    "grep -q ^tcpserver /run/line && [ $(grep -c {0} /run/line) = $(grep -c {0} {1}) ] && echo yes || true"
).format(GATE, SCRIPT)


def begins_anew(host):
    """Wait until daemontools have tcpserver running again with the run script as it is now."""
    began = time.monotonic()
    while (host is QMAIL and "yes" not in host.run(IS_ANEW)) or USER.connect(host.address(), 587).banner[:3] != "220":
        assert time.monotonic() < began + 10
        time.sleep(0.1)


def tidy_up(host):
    """Take away what POP and IMAP servers put beside mailboxes: no configuration of the host."""
    if host is COURIER:
        host.run("find /var/vmail/example.com -mindepth 3 ! -name new ! -name cur ! -name tmp -delete")
    else:
        pop_clients.tidy_up(host)
    host.run("rm -rf /tmp/code")
