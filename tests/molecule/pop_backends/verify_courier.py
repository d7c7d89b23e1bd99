"""Log-ins from Courier's lines in the journal: what is forged there, and what becomes of a follower that was killed."""

import time

import pytest
from backends import BOT, COURIER, USER, known, nobody_has_read, read, sees, tidy_up
from once import once
from pop_clients import pop, sql

FOLLOWER = "harden-mail-pop-follower.service"
PID = "$(systemctl show -p MainPID --value {0})".format(FOLLOWER)


@pytest.fixture(scope="module", autouse=True)
def tidied_up():
    yield
    tidy_up(COURIER)


def test_what_others_write_into_the_log_is_no_log_in():
    nobody_has_read(COURIER)
    line = "LOGIN, user=info@example.com, ip=[::ffff:{0}], port=[1234], protocol=POP3".format(BOT.address())
    for who in ("", "runuser -u nobody -- "):
        for name in ("pop3d", "courierpop3d", "pop3d-ssl"):
            COURIER.run("{0}logger -t {1} -p mail.info '{2}'".format(who, name, line))
    # A user's name is the client's to choose.
    for name in ("x, ip=[::ffff:{0}]", "x]\\nLOGIN, user=y, ip=[::ffff:{0}], port=[1]"):
        with pytest.raises(Exception, match=r"(?i)fail"):
            pop(USER, COURIER, user=name.format(BOT.address()), password="wrong")
    read(USER, COURIER)
    assert sql(COURIER, "SELECT ip FROM seen") == [[USER.address()]]
    sees(COURIER, BOT, 4, has_read=False)
    # The control: that line, had Courier said it, is a log-in.
    assert "LOGIN, user=info@example.com, ip=[::ffff:{0}]".format(USER.address()) in COURIER.run(
        "journalctl -b --no-pager -o cat _SYSTEMD_UNIT=courier-pop.service"
    )


def test_the_follower_may_do_little():
    owner = COURIER.run("ps -o user:32= -p " + PID).strip()
    assert owner == "harden-mail-pop"
    assert "CapEff:\t0000000000000000" in COURIER.run("cat /proc/{0}/status".format(PID))
    done = COURIER.run("runuser -u {0} -- touch /usr/local/lib/harden-mail/x 2>&1 || echo no".format(owner))
    assert done.strip().endswith("no")


@once
def test_who_logs_in_while_the_follower_is_dead_is_let_in_afterwards():
    nobody_has_read(COURIER)
    pid = COURIER.run("echo " + PID)
    COURIER.run("kill -9 " + PID)
    pop(USER, COURIER)
    print("after a kill a log-in is in the database {0:.1f} s later".format(known(USER, COURIER)))
    assert COURIER.run("echo " + PID) != pid
    sees(COURIER, USER, 4, has_read=True)


@once
def test_a_stopped_follower_lets_nobody_in():
    COURIER.run("systemctl stop " + FOLLOWER)
    nobody_has_read(COURIER)
    pop(USER, COURIER)
    time.sleep(2)
    sees(COURIER, USER, 4, has_read=False)
    COURIER.run("systemctl start " + FOLLOWER)
    known(USER, COURIER)
    sees(COURIER, USER, 4, has_read=True)


@once
def test_the_journal_may_be_restarted():
    COURIER.run("systemctl restart systemd-journald")
    time.sleep(1)
    nobody_has_read(COURIER)
    pop(USER, COURIER)
    known(USER, COURIER, seconds=20)
    assert COURIER.run("systemctl is-active " + FOLLOWER).strip() == "active"


@once
def test_how_long_a_log_in_takes_to_count():
    took = []
    for _time in range(3):
        nobody_has_read(COURIER)
        pop(USER, COURIER)
        took.append(known(USER, COURIER))
    print("from log-in to database: {0}".format(" ".join("{0:.2f} s".format(seconds) for seconds in took)))
    assert max(took) < 2
