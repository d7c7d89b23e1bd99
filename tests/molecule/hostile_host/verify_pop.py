"""POP-before-SMTP on a bad day: a row from the future, a journal left behind, a machine that can't fork."""

import pytest
from hostile import send
from hosts.lab import Lab
from once import once
from pop_clients import DATABASE, PROGRAM, forget, pop, sql, tidy_up

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
USER = LAB.client("allowed")
HOOK = "/usr/local/lib/harden-mail/pop-login"
QUIET = "systemctl stop harden-mail-pop.timer harden-mail-pop.service"
HANAKO = ("hanako@example.com", "correct-horse-7-battery")

# Dies in the middle of a change that has begun to reach the file.
DYING = """
import os, sqlite3
base = sqlite3.connect({0!r}, isolation_level=None)
base.execute("PRAGMA cache_size = 1")
base.execute("BEGIN IMMEDIATE")
for number in range(4000):
    base.execute("INSERT INTO seen VALUES (?, 1)", ("192.0.2." + str(number) + "x" * 200,))
os._exit(9)
""".format(DATABASE)

# What an administrator does who wonders.
LOOK = """
import sqlite3
try:
    print(sqlite3.connect("file:{0}?mode=ro", uri=True).execute("PRAGMA quick_check").fetchone())
except sqlite3.Error as error:
    print(error)
""".format(DATABASE)


@pytest.fixture(autouse=True)
def quiet(host):
    host.run(QUIET)
    forget(host)
    yield
    host.run("systemctl start harden-mail-pop.timer")
    tidy_up(host)


@HOSTS
def test_a_row_from_the_future_lets_nobody_in(host):
    sql(host, "INSERT INTO seen VALUES ('{0}', strftime('%s','now') + 315360000)".format(USER.address(4)))
    assert send(USER, host, "hanako@example.com") == (None, None)
    # The control: the same row, when it is a log-in.
    sql(host, "UPDATE seen SET expires = strftime('%s','now') + 600")
    assert send(USER, host, "hanako@example.com") == (235, 250)


@once
@HOSTS
def test_a_journal_that_a_killed_writer_left_is_mended(host):
    host.run("runuser -u dovecot -- python3 - || test $? = 9", stdin=DYING.encode())
    assert host.run("stat -c %s {0}-journal".format(DATABASE)).strip() != "0"
    print(host.run("python3 -", stdin=LOOK.encode()), host.run("ls -la " + DATABASE + "*"))
    host.run(PROGRAM)
    print(host.run("ls -la " + DATABASE + "*"))
    pop(USER, host, 4, *HANAKO)
    assert send(USER, host, HANAKO[0]) == (235, 250)


@once
@HOSTS
def test_a_log_in_goes_on_where_nothing_can_be_started(host):
    for limit, address in ((0, "198.51.100.20"), (100, "1.2.3.4'); DELETE FROM seen; --"), (100, "$(touch /tmp/made)")):
        command = 'runuser -u dovecot -- prlimit --nproc={0} env "IP=$IP" {1} /bin/echo on'.format(limit, HOOK)
        said = host.run("IP=$(cat); export IP; " + command, stdin=address.encode(), check=False)
        assert said.splitlines()[-1:] == ["on"], said
    assert host.run("test -e /tmp/made || echo none") == "none\n"
