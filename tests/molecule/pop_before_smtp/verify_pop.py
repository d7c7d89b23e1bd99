"""Who may send, seen by those who try: with and without a log-in, with and without a password."""

import threading
import time

import pytest
from code_on_host import put_code
from hosts.lab import Lab, side_by_side
from once import once
from pop_clients import (
    DATABASE,
    PROGRAM,
    REFUSED,
    age,
    forget,
    imap,
    pop,
    receives,
    run,
    sql,
    submit,
    tidy_up,
)

LAB = Lab.current()
HOSTS = [host.name for host in LAB.hosts()]

USER, BOT = LAB.client("allowed"), LAB.client("refused")


@pytest.fixture(scope="module", autouse=True)
def tidied_up():
    yield
    for made in LAB.hosts():
        tidy_up(made)


@pytest.fixture(params=HOSTS)
def host(request):
    made = LAB.host(request.param)
    forget(made)
    yield made
    made.run("systemctl start harden-mail-pop.timer")


@pytest.mark.parametrize("family", [4, 6])
def test_both_a_log_in_and_a_password_are_needed(host, family):
    for port in (587, 465):
        assert submit(BOT, host, family, port) == REFUSED, "AUTH only"
        assert submit(BOT, host, family, port, auth=False) == ("hidden", None, 554), "nothing"
    pop(USER, host, family)
    for port in (587, 465):
        assert submit(USER, host, family, port) == ("offered", 235, 250), "both"
        assert submit(USER, host, family, port, auth=False) == ("offered", None, 554), "a log-in only"
        assert submit(BOT, host, family, port) == REFUSED, "another address"
    assert submit(USER, host, 10 - family) == REFUSED, "the same client's other address"
    assert receives(BOT, host, family)


def test_auth_is_not_taken_without_ehlo_either(host):
    for greeting in ("HELO client.example.com", "NOOP"):
        with BOT.smtp(host.address(), 587) as session:
            session.docmd(greeting)
            assert session.docmd("AUTH", "PLAIN AGluZm9AZXhhbXBsZS5jb20AaW5mbw==")[0] == 503


def test_an_imap_log_in_counts_too_and_expires(host):
    imap(USER, host).logout()
    assert submit(USER, host) == ("offered", 235, 250)
    ((address, left),) = sql(host, "SELECT ip, expires - strftime('%s','now') FROM seen")
    assert address == USER.address(4)
    assert 50 <= left <= 60
    age(host)
    assert submit(USER, host) == REFUSED
    imap(USER, host).logout()
    assert submit(USER, host) == ("offered", 235, 250)


def test_the_host_itself_sends_as_before(host):
    code = (
        "import smtplib; s = smtplib.SMTP('127.0.0.1', 587); s.ehlo('me'); print(s.has_extn('auth')); "
        "s.mail('a@example.com'); print(s.rcpt('x@example.net')[0])"
    )
    assert host.run('exec python3 -c "$(cat)"', stdin=code.encode()).split() == ["True", "250"]


@once
def test_a_session_that_stays_open_renews_its_log_in_and_others_expire():
    """In real time."""

    def check(host):
        forget(host)
        session = imap(USER, host)
        pop(BOT, host)
        assert submit(BOT, host) == ("offered", 235, 250)
        time.sleep(63)
        assert submit(BOT, host) == REFUSED
        assert submit(USER, host) == ("offered", 235, 250)
        assert receives(BOT, host)
        session.logout()

    side_by_side(check, LAB.hosts())


def test_a_stopped_timer_lets_nobody_in(host):
    host.run(QUIET)
    pop(USER, host)
    age(host)
    assert submit(USER, host) == REFUSED
    host.run("systemctl start harden-mail-pop.timer")


def closed(host):
    """587 takes nothing from anybody without a log-in, however it says so; 25 takes mail."""
    for client in (USER, BOT):
        try:
            _offered, auth, code = submit(client, host, timeout=3)
        except OSError:
            continue  # smtplib's errors are of this kind: no answer, or cut off
        assert auth != 235, "AUTH was taken"
        assert code >= 400, code
    assert receives(BOT, host)


# What makes the database anew neither runs nor is about to.
QUIET = "systemctl stop harden-mail-pop.timer harden-mail-pop.service"

SPOIL = ("rm " + DATABASE, "head -c 20000 /dev/urandom >" + DATABASE, ": >" + DATABASE)


@once
def test_without_its_database_nobody_sends_mail_comes_in_and_it_is_made_anew():
    def check(host):
        host.run(QUIET)
        for spoil in SPOIL:
            forget(host)
            host.run(spoil + "; postfix reload 2>/dev/null")
            pop(USER, host)
            closed(host)
            host.run(PROGRAM)
            # Postfix waits for a minute before it starts anew what has failed at its start.
            host.run("systemctl restart postfix")
            assert submit(USER, host) == REFUSED
            pop(USER, host)
            assert submit(USER, host) == ("offered", 235, 250)
            assert submit(BOT, host) == REFUSED
            assert receives(BOT, host)
        host.run("systemctl start harden-mail-pop.timer")

    side_by_side(check, LAB.hosts())


@once
def test_a_full_disk_refuses_no_log_in_and_opens_nothing():
    directory = DATABASE.rsplit("/", 1)[0]

    def check(host):
        forget(host)
        host.run(QUIET + "; mount -t tmpfs -o size=32k tmpfs " + directory)
        try:
            # Dovecot lives in a mount namespace of its own.
            host.run("systemctl restart dovecot")
            host.run(PROGRAM + "; cat /dev/zero >{0}/fill 2>/dev/null || true".format(directory))
            host.run("postfix reload 2>/dev/null")
            pop(USER, host)
            imap(USER, host).logout()
            closed(host)
        finally:
            # An smtpd may have it open still.
            host.run("umount -l {0}; systemctl restart postfix dovecot".format(directory))
            host.run("systemctl start harden-mail-pop.timer")

    side_by_side(check, LAB.hosts())


@once
def test_a_locked_database_holds_a_log_in_up_for_a_moment_only():
    code = (
        "import sqlite3, time; base = sqlite3.connect({0!r}, isolation_level=None); base.execute('BEGIN EXCLUSIVE'); "
        "time.sleep(11)"
    ).format(DATABASE)

    def check(host):
        locked = threading.Thread(target=host.run, args=('exec python3 -c "$(cat)"',), kwargs={"stdin": code.encode()})
        locked.start()
        time.sleep(1)
        began = time.monotonic()
        pop(USER, host)
        assert 4 < time.monotonic() - began < 9
        locked.join()

    side_by_side(check, LAB.hosts())


@once
def test_two_hundred_log_ins_at_once_are_all_let_in_and_count():
    clients = [(USER, 4), (USER, 6), (BOT, 4), (BOT, 6)]

    def check(host):
        failures = []
        forget(host)

        def log_in(number):
            client, family = clients[number % 4]
            user = number % 20
            try:
                pop(client, host, family, "user{0}@example.com".format(user), "pass{0}".format(user))
            except Exception as error:
                failures.append(repr(error))

        threads = [threading.Thread(target=log_in, args=(number,)) for number in range(200)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[:5]
        seen = {address for (address,) in sql(host, "SELECT ip FROM seen")}
        assert {client.address(family) for client, family in clients} <= seen
        lost = host.run("journalctl -b --no-pager -o cat | grep -c 'harden-mail-pop: Error.*locked' || true").strip()
        print("{0}: {1:.1f} s, {2} rows not written".format(host.name, time.monotonic() - began, lost))

    # The third writes as the first does.
    side_by_side(check, [LAB.host("deb12"), LAB.host("deb13")])


def test_each_way_to_write_and_to_look_up_is_seen():
    ways = {}
    for name in HOSTS:
        made = LAB.host(name)
        writes = made.run("grep -o -m 1 '/usr/bin/python3\\|/usr/bin/sqlite3' /usr/local/lib/harden-mail/pop-login")
        asks = made.run("grep -o -m 1 'socketmap:\\|sqlite:' /etc/postfix/master.cf")
        ways[name] = (writes.strip(), asks.strip())
    assert ways == {
        "deb12": ("/usr/bin/python3", "sqlite:"),
        "deb13": ("/usr/bin/sqlite3", "sqlite:"),
        "nosqlite": ("/usr/bin/python3", "socketmap:"),
    }


LOOK_UP = "/usr/local/lib/harden-mail/pop-lookup"

# systemd gives up on a service that is started too often in too few seconds, as it is here.
RESTART = "systemctl reset-failed 'postfix*'; systemctl restart postfix"

# Not there, one that ends at once, one that says something else.
NO_LOOK_UP = ("rm {0}", "echo '#!/bin/false' >{0}", "printf '#!/bin/sh\\necho hello\\n' >{0}")


@once
@pytest.mark.parametrize("spoil", NO_LOOK_UP)
def test_without_the_program_that_looks_up_nobody_sends_and_mail_comes_in(spoil):
    host = LAB.host("nosqlite")
    forget(host)
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)
    # What is running would go on answering.
    host.run("cp -p {0} /root/kept; ".format(LOOK_UP) + spoil.format(LOOK_UP) + "; " + RESTART)
    closed(host)
    host.run("mv /root/kept {0}; {1}".format(LOOK_UP, RESTART))
    assert submit(USER, host) == ("offered", 235, 250)
    assert submit(BOT, host) == REFUSED


@once
def test_the_program_takes_up_a_database_that_was_made_anew_at_once():
    host = LAB.host("nosqlite")
    host.run(QUIET)
    forget(host)
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)
    host.run("rm {0}; {1}".format(DATABASE, PROGRAM))
    assert submit(USER, host) == REFUSED
    pop(USER, host)
    assert submit(USER, host) == ("offered", 235, 250)
    host.run("systemctl start harden-mail-pop.timer")


def test_only_the_writer_writes_and_only_root_replaces_the_file(host):
    assert host.run("stat -c '%a %U:%G' {0} $(dirname {0})".format(DATABASE)).split("\n")[:2] == [
        "660 root:dovecot",
        "3770 root:dovecot",
    ]
    for command in ("mv {0} {0}.x", "rm -f {0}", "ln -sf /etc/passwd {0}"):
        done = "runuser -u dovecot -- sh -c '{0}' 2>/dev/null && echo done || true".format(command.format(DATABASE))
        assert "done" not in host.run(done), command
    assert "done" not in host.run("runuser -u postfix -- cat {0} >/dev/null 2>&1 && echo done || true".format(DATABASE))


@once
def test_either_takes_a_log_in_or_a_password_and_a_network_is_one_client_where_that_is_asked():
    def check(host):
        put_code(host)
        run(host, meaning="either")
        forget(host)
        for family in (4, 6):
            for port in (587, 465):
                assert submit(BOT, host, family, port, auth=False)[2] == 554, "nothing"
                assert submit(BOT, host, family, port)[1:] == (235, 250), "AUTH only"
            pop(USER, host, family)
            for port in (587, 465):
                assert submit(USER, host, family, port, auth=False)[2] == 250, "a log-in only"
                assert submit(USER, host, family, port)[1:] == (235, 250), "both"
        age(host)
        assert submit(USER, host, auth=False)[2] == 554, "expired"
        assert receives(BOT, host)
        # The same for a whole network, while we are at it.
        run(host, ipv6_prefix=64)
        forget(host)
        assert submit(BOT, host, 6) == REFUSED
        pop(USER, host, 6)
        pop(USER, host, 4)
        assert submit(BOT, host, 6) == ("offered", 235, 250)
        assert submit(BOT, host, 4) == REFUSED
        run(host)
        host.run("rm -rf /tmp/code")
        forget(host)
        assert submit(BOT, host) == REFUSED

    side_by_side(check, LAB.hosts())
