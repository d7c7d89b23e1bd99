"""Who may send on a host with Courier, whose log is followed, and on one with qmail, where a gate is before it."""

import time

import pytest
from backends import (
    BOT,
    COURIER,
    QMAIL,
    USER,
    begins_anew,
    expected,
    known,
    nobody_has_read,
    read,
    run,
    sees,
    takes_mail,
    tidy_up,
)
from code_on_host import put_code
from hosts.lab import side_by_side
from once import once
from pop_clients import DATABASE, PROGRAM, age, imap, pop, submit

HOSTS = [COURIER, QMAIL]

# What makes the database anew neither runs nor is about to.
QUIET = "systemctl stop harden-mail-pop.timer harden-mail-pop.service"

SPOIL = ("rm " + DATABASE, "head -c 20000 /dev/urandom >" + DATABASE, ": >" + DATABASE)


@pytest.fixture(scope="module", autouse=True)
def tidied_up():
    yield
    for host in HOSTS:
        tidy_up(host)


@pytest.mark.parametrize("family", [4, 6])
def test_both_a_log_in_and_a_password_are_needed(family):
    def check(host):
        nobody_has_read(host)
        for client in (USER, BOT):
            sees(host, client, family, has_read=False)
        read(USER, host, family)
        sees(host, USER, family, has_read=True)
        sees(host, BOT, family, has_read=False)
        sees(host, USER, 10 - family, has_read=False)
        age(host)
        sees(host, USER, family, has_read=False)
        assert takes_mail(host, BOT, family)

    side_by_side(check, HOSTS)


@once
def test_a_session_that_stays_open_renews_its_log_in_and_others_expire():
    """In real time."""

    def check(host):
        nobody_has_read(host)
        session = imap(USER, host)
        read(BOT, host, 6)
        known(USER, host)
        sees(host, BOT, 6, has_read=True)
        time.sleep(63)
        sees(host, BOT, 6, has_read=False)
        sees(host, USER, 4, has_read=True)
        session.logout()

    side_by_side(check, HOSTS)


def test_a_wrong_password_is_no_log_in():
    def check(host):
        nobody_has_read(host)
        with pytest.raises(Exception, match=r"(?i)fail"):
            pop(USER, host, password="wrong")
        time.sleep(2)
        sees(host, USER, 4, has_read=False)

    side_by_side(check, HOSTS)


def closed(host):
    """Nobody sends, however that is said; mail comes in."""
    for client in (USER, BOT):
        try:
            _offered, auth, code = submit(client, host, timeout=3)
        except OSError:
            continue  # smtplib's errors are of this kind: no answer, or cut off
        assert auth != 235, "AUTH was taken"
        assert code >= 400, code
    assert takes_mail(host)


@once
def test_without_its_database_nobody_sends_mail_comes_in_and_it_is_made_anew():
    def check(host):
        host.run(QUIET)
        for spoil in SPOIL:
            nobody_has_read(host)
            host.run(spoil)
            if host is COURIER:
                host.run("postfix reload 2>/dev/null")
            pop(USER, host)
            closed(host)
            host.run(PROGRAM)
            if host is COURIER:
                # Postfix waits for a minute before it starts anew what has failed at its start. The follower
                # writes what it could not write.
                host.run("systemctl restart postfix")
                known(USER, host)
            else:
                assert submit(USER, host) == expected(host, False, True)
                pop(USER, host)
            sees(host, USER, 4, has_read=True)
            sees(host, BOT, 4, has_read=False)
        host.run("systemctl start harden-mail-pop.timer")

    side_by_side(check, HOSTS)


def test_either_takes_a_log_in_or_a_password_and_a_second_run_changes_nothing():
    def check(host):
        put_code(host)
        assert not run(host)["changed"]
        assert run(host, meaning="either")["changed"]
        begins_anew(host)
        for family in (4, 6):
            nobody_has_read(host)
            sees(host, USER, family, False, "either")
            read(USER, host, family)
            sees(host, USER, family, True, "either")
            sees(host, BOT, family, False, "either")
            age(host)
            sees(host, USER, family, False, "either")
            assert takes_mail(host, USER, family)
        assert not run(host, meaning="either")["changed"]
        # An exempt host sends as before: a log-in of webmail's users is nobody's password.
        exempt = ["127.0.0.0/8", "::1/128", USER.address(4)]
        run(host, meaning="either", exempt=exempt)
        read(USER, host)
        sees(host, USER, 4, False, "either")
        run(host)
        begins_anew(host)
        host.run("rm -rf /tmp/code")
        nobody_has_read(host)
        sees(host, BOT, 4, has_read=False)

    side_by_side(check, HOSTS)
