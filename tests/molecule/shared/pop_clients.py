"""What people and bots do on a mail host with POP-before-SMTP, from any client of the lab; and its database."""

import base64
import collections
import contextlib
import imaplib
import json
import os
import poplib
import threading
import time

from code_on_host import work

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DATABASE = "/var/lib/harden-mail-pop/seen.sqlite"
PROGRAM = "/usr/local/lib/harden-mail/pop-before-smtp"
PLAIN = base64.b64encode(b"\0info@example.com\0info").decode()

# What a client without a log-in gets, with AUTH as without.
REFUSED = ("hidden", 503, 554)


def pop(client, host, family=4, user="info@example.com", password="info"):
    """Log in by POP3, which must succeed, and leave."""
    address = host.address(family)

    class Session(poplib.POP3):
        def _create_socket(self, timeout):
            connection = client.socket(family)
            connection.settimeout(30)
            connection.connect((address, 110))
            return connection

    session = Session(address)
    try:
        session.user(user)
        assert session.pass_(password).startswith(b"+OK")
    finally:
        # A mailbox that can't be opened is no matter here.
        with contextlib.suppress(poplib.error_proto, OSError):
            session.quit()
        session.close()


def imap(client, host, family=4):
    """Log in by IMAP; returns the session, which stays open."""
    address = host.address(family)

    class Session(imaplib.IMAP4):
        def _create_socket(self, *_):
            connection = client.socket(family)
            connection.settimeout(30)
            connection.connect((address, 143))
            return connection

    session = Session(address)
    session.login("info@example.com", "info")
    return session


def submit(client, host, family=4, port=587, auth=True, to="somebody@example.net", timeout=10):
    """Try to have a message to another host taken.

    :returns: ("offered" or "hidden": AUTH, the server's code to it (None: not tried), its code to the recipient)
    """
    with client.smtp(host.address(family), port, tls=port == 465, timeout=timeout) as session:
        session.ehlo("client.example.com")
        offered = "offered" if session.has_extn("auth") else "hidden"
        code = session.docmd("AUTH", "PLAIN " + PLAIN)[0] if auth else None
        session.mail("info@example.com")
        return offered, code, session.rcpt(to)[0]


def receives(client, host, family=4):
    """Whether port 25 takes a mail for somebody here, through proxymap, and relays none."""
    return submit(client, host, family, 25, False, "old@example.com")[2] == 250 and (
        submit(client, host, family, 25, False)[2] == 454
    )


def relays(client, host, targets=((4, 25), (4, 587), (4, 465), (6, 25), (6, 587), (6, 465))):
    """Ask a host to take mail to another one, without AUTH, by each port.

    :param targets: of (4 or 6, port)
    :returns: {(4 or 6, port): its code to the recipient, 0 when there was none}
    """
    codes = {}
    for family, port in targets:
        codes[family, port] = 0
        # smtplib's errors are of this kind, too.
        with contextlib.suppress(OSError):
            codes[family, port] = submit(client, host, family, port, False, timeout=3)[2]
    return codes


@contextlib.contextmanager
def probing(client, host):
    """:func:`relays` again and again while a ``with`` block runs.

    :returns: {(4 or 6, port): collections.Counter of codes}, which fills meanwhile
    """
    seen, stop, failures = collections.defaultdict(collections.Counter), threading.Event(), []

    def probe():
        try:
            while not stop.is_set():
                for target, code in relays(client, host).items():
                    seen[target][code] += 1
                time.sleep(0.2)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def sql(host, statement):
    """Rows (list of list) that a statement gives on the host's database."""
    code = (
        "import json, sqlite3; base = sqlite3.connect({0!r}, timeout=10); "
        "print(json.dumps(base.execute({1!r}).fetchall())); base.commit()"
    ).format(DATABASE, statement)
    return json.loads(host.run('exec python3 -c "$(cat)"', stdin=code.encode()))


def forget(host):
    """Nobody has logged in."""
    sql(host, "DELETE FROM seen")


def age(host):
    """Every log-in has just expired."""
    sql(host, "UPDATE seen SET expires = CAST(strftime('%s','now') AS INTEGER)")


def tidy_up(host):
    """Take away the mailboxes that Dovecot has made for those who logged in: no configuration of the host."""
    host.run("rm -rf /var/vmail/example.com")


def run(host, fatal=0, **options):
    """The work of pop_before_smtp: its result (dict), or None when it was killed before its change ``fatal``.

    :raises AssertionError: with the sentence, where it was refused
    """
    result = work(host, "pop_before_smtp", fatal, **options)
    assert "refused" not in result, result["refused"]
    return None if "killed" in result else result
