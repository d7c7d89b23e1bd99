"""What who writes the database, a clock that moves, a kill, or a host without processes to spare makes of it."""

import contextlib
import errno
import time

import pytest
from code_on_host import put_code
from hosts.lab import Lab
from pop_clients import DATABASE, PROGRAM, REFUSED, forget, imap, pop, run, sql, submit, tidy_up

LAB = Lab.current()
HOSTS = [host.name for host in LAB.hosts()]

USER, BOT = LAB.client("allowed"), LAB.client("refused")

HOOK = "/usr/local/lib/harden-mail/pop-login"

SERVICE = "harden-mail-pop.service"

TIMER = "harden-mail-pop.timer"


@pytest.fixture(scope="module", autouse=True)
def alone():
    """Nothing but a test runs what makes the database anew; all is as before in the end.

    Once for all of them: systemd refuses a unit that is started more than five times in ten seconds.
    """
    for made in LAB.hosts():
        made.run("systemctl stop {0} {1}".format(TIMER, SERVICE))
    yield
    for made in LAB.hosts():
        made.run("systemctl start " + TIMER)
        tidy_up(made)


@pytest.fixture(params=HOSTS)
def host(request):
    made = LAB.host(request.param)
    forget(made)
    return made


def test_a_row_from_the_future_lets_nobody_in_and_keeps_nobody_out(host):
    for seconds in (120, 86400, 10 * 365 * 86400):
        for client in (USER, BOT):
            sql(
                host,
                "INSERT OR REPLACE INTO seen VALUES ('{0}', strftime('%s','now') + {1})".format(
                    client.address(4), seconds
                ),
            )
            assert submit(client, host) == REFUSED, seconds
        pop(USER, host)
        assert submit(USER, host) == ("offered", 235, 250)
        assert submit(BOT, host) == REFUSED
    host.run(PROGRAM)
    assert [address for (address,) in sql(host, "SELECT ip FROM seen")] == [USER.address(4)]


def test_a_clock_that_is_set_back_opens_nothing(host):
    """To the look-up, that is the same as log-ins that are as much later."""
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)
    sql(host, "UPDATE seen SET expires = expires + strftime('%s','now')")
    assert submit(USER, host) == REFUSED
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)


# Runs the hook where the kernel gives no process more: a filter (seccomp(2)) of the system calls that make one.
FAILING = """\
#!/usr/bin/python3
import ctypes, os, platform, struct, sys
numbers = {{"x86_64": (56, 57, 58, 435), "aarch64": (220, 435)}}[platform.machine()]
steps = [(0x20, 0, 0, 0)] + [(0x15, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
steps += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | {error})]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(steps), ctypes.addressof(code))), 0, 0) == 0
os.execv("{shell}", ["{shell}", "{hook}.real"] + sys.argv[1:])
"""


@contextlib.contextmanager
def without_processes(host, error, shell):
    text = FAILING.format(error=int(error), shell=shell, hook=HOOK)
    host.run("cp -p {0} {0}.real; cat >{0}".format(HOOK), stdin=text.encode())
    try:
        yield
    finally:
        host.run("mv {0}.real {0}".format(HOOK))


# Bash tries again for a quarter of a minute where it is told to, so it is not told to here.
@pytest.mark.parametrize(
    ("error", "shell"), [(errno.EAGAIN, "/bin/sh"), (errno.ENOMEM, "/bin/sh"), (errno.ENOMEM, "/bin/bash")]
)
def test_a_log_in_goes_on_where_no_process_is_to_be_had(host, error, shell):
    with without_processes(host, error, shell):
        pop(USER, host)
        session = imap(USER, host)
        assert session.noop()[0] == "OK"
        session.logout()
        assert sql(host, "SELECT * FROM seen") == []
        said = host.run("IP=192.0.2.1 {0} printf '%s|' 'let in' 'two  words' '' '*' 2>/dev/null".format(HOOK))
        assert said == "let in|two  words||*|"
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)


# A writer that is killed when a part of what it writes is in the file and the rest is not.
KILLED = """\
import os, sqlite3
base = sqlite3.connect("file:{0}?mode=rw", uri=True, isolation_level=None)
base.execute("PRAGMA cache_size=1")
base.execute("BEGIN IMMEDIATE")
for number in range(3000):
    base.execute("INSERT INTO seen VALUES (?, 1)", ("x" * 100 + str(number),))
os.kill(os.getpid(), 9)
"""

# What an administrator does who wants to know who is in there.
LOOK = "sqlite3.connect('file:{0}?mode={1}', uri=True).execute('SELECT count(*) FROM seen').fetchone()"


def test_the_service_does_all_of_it_with_what_it_keeps_of_root(host):
    """From nothing: the directory, the file, who is connected, and that Postfix opens it anew."""
    session = imap(USER, host)
    host.run("rm -rf $(dirname {0}); systemctl start {1}; systemctl restart postfix".format(DATABASE, SERVICE))
    assert submit(USER, host) == ("offered", 235, 250)
    session.logout()
    host.run("rm {0}; systemctl start {1}".format(DATABASE, SERVICE))
    assert submit(USER, host) == REFUSED, "Postfix has not opened it anew"
    shown = host.run("systemctl show -p CapabilityBoundingSet -p NoNewPrivileges -p Result " + SERVICE)
    assert "cap_sys_admin" not in shown
    assert "NoNewPrivileges=yes" in shown
    assert "Result=success" in shown


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_a_look_by_root_after_a_kill_stops_nothing_for_long(host, mode):
    pop(USER, host)
    host.run('runuser -u dovecot -- python3 -c "$(cat)" || true', stdin=KILLED.format(DATABASE).encode())
    journal = DATABASE + "-journal"
    assert host.run("stat -c %U " + journal).strip() == "dovecot"
    host.run('python3 -c "import sqlite3; {0}" || true'.format(LOOK.format(DATABASE, mode)))
    if mode == "ro":
        # SQLite has given it to the owner of the database; in a sticky directory the writer can't remove it then.
        assert host.run("stat -c %U " + journal).strip() == "root"
    host.run(PROGRAM)
    assert "journal" not in host.run("ls " + DATABASE.rsplit("/", 1)[0])
    assert submit(USER, host) == ("offered", 235, 250)
    forget(host)
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)


VIEW = (
    "DROP TABLE seen; CREATE VIEW seen AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
    "SELECT 'nobody' AS ip, x AS expires FROM n"
)


def test_a_view_in_the_place_of_the_table_is_taken_away(host):
    code = "import sqlite3; sqlite3.connect('{0}').executescript(\"{1}\")".format(DATABASE, VIEW)
    host.run('exec runuser -u dovecot -- python3 -c "$(cat)"', stdin=code.encode())
    host.run(PROGRAM)
    # Postfix waits for a minute before it starts anew what has failed at its start.
    host.run("systemctl restart postfix")
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)
    assert submit(BOT, host) == REFUSED


# The first is a second name of a file of root's, as anybody can make where fs.protected_hardlinks is off.
@pytest.mark.parametrize("put", ["ln /etc/shadow", "runuser -u dovecot -- ln -s /etc/shadow", "mkfifo -m 666"])
def test_what_is_put_in_the_place_of_a_missing_file_is_not_made_the_writers(host, put):
    before = host.run("stat -c '%a %u %g %h' /etc/shadow")
    host.run("rm {0}; {1} {0}; {2}".format(DATABASE, put, PROGRAM))
    assert host.run("stat -c '%a %u %g %h' /etc/shadow") == before
    assert host.run("stat -c '%F %a' " + DATABASE).strip() == "regular file 660"
    host.run("systemctl restart postfix")
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)


def findings(host):
    put_code(host)
    try:
        return run(host)["findings"]
    finally:
        host.run("rm -rf /tmp/code")


def _sent_as(client, host):
    """Answer (int) to a recipient elsewhere where BOT says that it is another client; or to XCLIENT, if it is a no."""
    with BOT.smtp(host.address(), 587) as session:
        session.ehlo("client.example.com")
        answer = session.docmd("XCLIENT", "ADDR={0} LOGIN=info@example.com".format(client.address(4)))[0]
        if answer != 220:
            return answer
        session.ehlo("client.example.com")
        session.mail("info@example.com")
        return session.rcpt("somebody@example.net")[0]


def test_who_may_name_another_clients_address_sends_and_is_a_finding(host):
    """By XCLIENT; the same client was refused before."""
    service = host.run("postconf -M submission/inet 2>/dev/null | grep -q . && echo submission || echo 587").strip()
    setting = "{0}/inet/smtpd_authorized_xclient_hosts".format(service)
    assert not any("XCLIENT" in finding for finding in findings(host))
    pop(USER, host)
    assert submit(BOT, host) == REFUSED
    host.run("postconf -P {0}={1}; postfix reload 2>/dev/null".format(setting, BOT.address(4)))
    try:
        # A process that was there before the reload may take one more session.
        end = time.monotonic() + 20
        while _sent_as(USER, host) != 250:
            assert time.monotonic() < end
            time.sleep(0.5)
        (finding,) = [finding for finding in findings(host) if "XCLIENT" in finding]
        assert "service {0}/inet".format(service) in finding
        assert BOT.address(4) in finding
    finally:
        host.run("postconf -PX {0}; postfix reload 2>/dev/null".format(setting))
    assert not any("XCLIENT" in finding for finding in findings(host))


def test_whom_dovecot_believes_about_an_address_is_a_finding(host):
    path = "/etc/dovecot/conf.d/98-trusted.conf"
    code = (
        "import imaplib; s = imaplib.IMAP4('127.0.0.1'); "
        's.xatom(\'ID\', \'("x-originating-ip" "{0}" "x-originating-port" "1234")\'); '
        "s.login('info@example.com', 'info')"
    ).format(BOT.address(4))
    assert submit(BOT, host) == REFUSED
    host.run("echo 'login_trusted_networks = 127.0.0.0/8 203.0.113.0/24' >{0}; doveadm reload".format(path))
    try:
        host.run('exec runuser -u www-data -- python3 -c "$(cat)"', stdin=code.encode())
        assert submit(BOT, host) == ("offered", 235, 250), "let in by what www-data said"
        (finding,) = [finding for finding in findings(host) if "login_trusted_networks" in finding]
        assert "= 127.0.0.0/8 203.0.113.0/24: " in finding
        assert "every user and web application of this host" in finding
    finally:
        host.run("rm {0}; doveadm reload".format(path))
    assert not any("login_trusted_networks" in finding for finding in findings(host))
