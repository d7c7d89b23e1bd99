import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile

import pytest
from harden_mail import archive
from harden_mail.addresses import fold_address
from harden_mail.errors import UserError
from harden_mail.logs.cutoffs import as_utc
from harden_mail.pop import database, follower
from harden_mail.pop.follower import Follower
from hypothesis import given
from hypothesis import strategies as st

NOON = 1795521600  # 2026-11-24T12:00:00Z
LOGIN = "imapd: LOGIN, user=bob, ip=[::ffff:{0}], port=[{1}], protocol=IMAP"
LOGOUT = "imapd: LOGOUT, user=bob, ip=[::ffff:{0}], port=[{1}], headers=0, body=0, rcvd=1, sent=2, time=10"


class Host:
    def __init__(self, path, **options):
        self.path, self.peers = str(path), set()
        self.make()
        self.follower = Follower(
            **dict({"minutes": 20, "prefix6": 128, "path": self.path, "peers": lambda: self.peers}, **options)
        )

    def make(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with contextlib.closing(sqlite3.connect(self.path)) as base:
            base.execute(database.SCHEMA)

    def see(self, *lines, now=NOON):
        self.follower.take([(now, line) if isinstance(line, str) else line for line in lines], now)
        self.follower.flush(now)
        return self.rows()

    def rows(self):
        with contextlib.closing(sqlite3.connect(self.path)) as base:
            return dict(base.execute("SELECT ip, expires FROM seen"))


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "seen.sqlite")


def test_a_log_in_counts_from_its_time(host):
    assert host.see((NOON - 100, LOGIN.format("192.0.2.1", 7))) == {"192.0.2.1": NOON - 100 + 1200}


@pytest.mark.parametrize(
    "line",
    [
        "imapd: LOGIN FAILED, user=bob, ip=[::ffff:192.0.2.1]",
        "imapd: Connection, ip=[::ffff:192.0.2.1]",
        "postfix/smtpd[7]: A1: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=bob",
        LOGOUT.format("192.0.2.1", 7),
        "nonsense",
    ],
)
def test_nothing_else_counts(host, line):
    assert host.see(line) == {}


def test_an_old_log_in_is_not_written_and_none_counts_for_the_future(host):
    assert host.see((NOON - 1200, LOGIN.format("192.0.2.1", 7))) == {}
    assert host.see((NOON + 500, LOGIN.format("192.0.2.1", 7))) == {"192.0.2.1": NOON + 1200}
    assert host.see((None, LOGIN.format("192.0.2.2", 7)))["192.0.2.2"] == NOON + 1200


def test_a_later_log_in_renews_and_an_earlier_one_takes_nothing(host):
    host.see(LOGIN.format("192.0.2.1", 7))
    assert host.see(LOGIN.format("192.0.2.1", 8), now=NOON + 60) == {"192.0.2.1": NOON + 1260}
    assert host.see((NOON, LOGIN.format("192.0.2.1", 8)), now=NOON + 60) == {"192.0.2.1": NOON + 1260}


def test_ipv6(tmp_path):
    line = "imapd: LOGIN, user=bob, ip=[2001:db8:0:1::5], port=[7]"
    assert set(Host(tmp_path / "one").see(line)) == {"2001:db8:0:1::5"}
    (key,) = Host(tmp_path / "net", prefix6=64).see(line)
    with contextlib.closing(sqlite3.connect(":memory:")) as base:
        assert base.execute("SELECT " + database.key("'2001:db8:0:1::99'", 64)).fetchone() == (key,)


# --- sessions ---------------------------------------------------------------------------------------------------


def test_who_is_still_connected_is_renewed(host):
    host.see(LOGIN.format("192.0.2.1", 7), LOGIN.format("192.0.2.2", 7))
    host.peers = {("192.0.2.1", 7), ("192.0.2.2", 8), ("192.0.2.3", 7)}
    host.follower.renew(NOON + 5000)
    assert host.see(now=NOON + 5000) == {"192.0.2.1": NOON + 6200, "192.0.2.2": NOON + 1200}
    # Whoever was away once has to log in again.
    host.peers = {("192.0.2.2", 7)}
    host.follower.renew(NOON + 9000)
    assert host.see(now=NOON + 9000)["192.0.2.2"] == NOON + 1200


def test_who_logged_out_is_not(host):
    host.see(LOGIN.format("192.0.2.1", 7), LOGOUT.format("192.0.2.1", 7))
    host.peers = {("192.0.2.1", 7)}
    host.follower.renew(NOON + 5000)
    assert host.see(now=NOON + 5000) == {"192.0.2.1": NOON + 1200}


def test_a_session_that_began_hours_ago_is_taken_up(host):
    host.peers = {("192.0.2.1", 7)}
    assert host.see((NOON - 7000, LOGIN.format("192.0.2.1", 7))) == {}
    host.follower.renew(NOON)
    assert host.see() == {"192.0.2.1": NOON + 1200}


def test_established_connections_are_seen():
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as server, socket.socket(family) as client:
            try:
                server.bind((address, 0))
            except OSError:
                continue  # a container without IPv6
            server.listen(1)
            client.connect(server.getsockname()[:2])
            connection, _peer = server.accept()
            with connection:
                assert (address, client.getsockname()[1]) in follower.established()
            assert (address, server.getsockname()[1] + 1) not in follower.established()


def test_an_ipv4_client_of_an_ipv6_socket_is_folded():
    with socket.socket(socket.AF_INET6) as server, socket.socket() as client:
        try:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.bind(("::", 0))
        except OSError:
            pytest.skip("a container without IPv6")
        server.listen(1)
        client.connect(("127.0.0.1", server.getsockname()[1]))
        connection, _peer = server.accept()
        with connection:
            assert ("127.0.0.1", client.getsockname()[1]) in follower.established()


# --- patterns -----------------------------------------------------------------------------------------------------


def test_another_server_by_a_pattern(tmp_path):
    host = Host(
        tmp_path / "x", patterns=[r"^popper\[\d+\]: \(v[\d.]+\) POP login by user \S+ at \((?P<address>[^)]+)\)"]
    )
    line = "popper[7]: (v4.1) POP login by user bob at (2001:DB8::1)"
    assert set(host.see(line, "popper[7]: POP login by eve at (192.0.2.9)", line.replace("2001:DB8::1", "x"))) == {
        "2001:db8::1"
    }


def test_a_group_that_took_no_part(tmp_path):
    assert Host(tmp_path / "x", patterns=[r"in(?: from (?P<address>\S+))?"]).see("in") == {}


@pytest.mark.parametrize("pattern, said", [("(", "is no regular expression"), ("x", "has no group (?P<address>...)")])
def test_wrong_patterns(pattern, said):
    with pytest.raises(UserError) as caught:
        Follower(20, 128, [pattern])
    assert str(caught.value).startswith("pattern '{0}'".format(pattern)) and said in str(caught.value)


STAMPS = st.one_of(st.none(), st.integers(-(10**12), 10**12), st.integers(NOON - 1300, NOON + 100))
TEXTS = st.one_of(
    st.text(), st.sampled_from(["192.0.2.1", "::ffff:192.0.2.1", "2001:DB8::1", LOGIN.format("::1", "7")])
)


@given(st.lists(st.tuples(STAMPS, TEXTS), max_size=5))
def test_any_line_is_taken(lines):
    one = Follower(20, 128, [r"(?P<address>\S+)"])
    one.take(lines, NOON)
    assert all(fold_address(address) == address for address in one._recent)
    assert all(NOON - 1200 < stamp <= NOON for stamp in one._recent.values())


# --- the database --------------------------------------------------------------------------------------------------


def test_what_could_not_be_written_is_written_later(host):
    with contextlib.closing(sqlite3.connect(host.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        host.follower.take([(NOON, LOGIN.format("192.0.2.1", 7))], NOON)
        database_busy, database.BUSY_SECONDS = database.BUSY_SECONDS, 0
        try:
            with pytest.raises(sqlite3.Error):
                host.follower.flush(NOON)
        finally:
            database.BUSY_SECONDS = database_busy
    assert host.see() == {"192.0.2.1": NOON + 1200}


def test_a_database_that_is_not_there_is_not_made(host):
    os.unlink(host.path)
    with pytest.raises(sqlite3.Error):
        host.see(LOGIN.format("192.0.2.1", 7))
    assert not os.path.exists(host.path)


def test_a_database_that_was_made_anew_gets_everything_again(host):
    host.see(LOGIN.format("192.0.2.1", 7))
    host.see(LOGIN.format("192.0.2.2", 7), now=NOON + 600)
    os.rename(host.path, host.path + ".old")
    host.make()
    assert host.see(now=NOON + 660) == {"192.0.2.1": NOON + 1200, "192.0.2.2": NOON + 1800}
    os.rename(host.path, host.path + ".older")
    host.make()
    assert host.see(now=NOON + 1200) == {"192.0.2.2": NOON + 1800}


def test_nothing_is_written_where_nothing_happened(host, monkeypatch):
    host.see(LOGIN.format("192.0.2.1", 7))
    monkeypatch.setattr(follower.sqlite3, "connect", None)
    host.follower.flush(NOON)
    host.follower.take([(NOON, LOGIN.format("192.0.2.1", 7))], NOON)
    host.follower.flush(NOON)


def test_memory_is_bounded(host, monkeypatch):
    monkeypatch.setattr(follower, "MOST_REMEMBERED", 100)
    lines = [LOGIN.format("10.0.{0}.{1}".format(number >> 8, number & 255), 7) for number in range(1000)]
    assert len(host.see(*lines)) == 100
    assert len(host.follower._sessions) == len(host.follower._recent) == 100


# --- the loop --------------------------------------------------------------------------------------------------------


class Ended(Exception):
    pass


class Lines:
    """A tail that says what it is told, then ends the loop."""

    def __init__(self, *batches):
        self.batches = list(batches)

    def read(self):
        if not self.batches:
            raise Ended
        return self.batches.pop(0)


def loop(host, tail, step=1):
    now, waits = [NOON - step], []

    def clock():
        now[0] += step
        return now[0]

    with pytest.raises((Ended, UserError)) as caught:
        follower.run(host.follower, [tail], clock, waits.append)
    return caught, waits


def test_the_loop_writes_and_renews(host):
    host.peers = {("192.0.2.1", 7)}
    caught, waits = loop(host, Lines([(NOON, LOGIN.format("192.0.2.1", 7))], *([[]] * 100)))
    assert caught.type is Ended and set(waits) == {None}
    assert host.rows() == {"192.0.2.1": NOON + 60 + 1200}


def test_a_short_window_is_renewed_in_time(tmp_path):
    host = Host(tmp_path / "x", minutes=1)
    host.peers = {("192.0.2.1", 7)}
    loop(host, Lines([(NOON, LOGIN.format("192.0.2.1", 7))], *([[]] * 100)))
    assert host.rows() == {"192.0.2.1": NOON + 100 + 60}


def test_the_loop_outlives_a_database_that_fails_for_a_while(host, capsys):
    os.unlink(host.path)
    caught, waits = loop(host, Lines([(NOON, LOGIN.format("192.0.2.1", 7))], *([[]] * 100)))
    assert caught.type is Ended and set(waits) == {1}
    assert capsys.readouterr().out.count("The database can't be written") == 1


def test_the_loop_gives_up_at_last(host):
    os.unlink(host.path)
    lines = [[(NOON + number, LOGIN.format("192.0.2.1", 7))] for number in range(500)]
    caught, waits = loop(host, Lines(*lines))
    assert caught.type is UserError and "for long" in str(caught.value)
    assert len(waits) == follower.DATABASE_TIMEOUT + 1


def test_failures_that_ended_are_forgotten(host):
    class Times(Lines):
        def read(self):
            left = len(self.batches)
            if left == 300:
                host.make()
            if left in (500, 299):
                os.unlink(host.path)
            return super().read()

    caught, _waits = loop(host, Times(*[[(NOON + number, LOGIN.format("192.0.2.1", 7))] for number in range(501)]))
    assert caught.type is Ended


# --- the program -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "follower"
    path.write_bytes(archive.build_program(follower).encode("utf-8", "surrogateescape"))
    path.chmod(0o755)
    return path


def test_the_program_is_what_it_needs_and_nothing_more(program):
    with zipfile.ZipFile(str(program)) as made:
        names = set(made.namelist())
    assert names == {
        "__main__.py",
        "harden_mail/__init__.py",
        "harden_mail/addresses.py",
        "harden_mail/errors.py",
        "harden_mail/logs/__init__.py",
        "harden_mail/logs/events.py",
        "harden_mail/logs/formats/__init__.py",
        "harden_mail/logs/formats/courier.py",
        "harden_mail/logs/formats/dovecot.py",
        "harden_mail/logs/formats/format.py",
        "harden_mail/logs/formats/plesk.py",
        "harden_mail/logs/formats/postfix.py",
        "harden_mail/logs/formats/registry.py",
        "harden_mail/logs/formats/vpopmail.py",
        "harden_mail/logs/logins.py",
        "harden_mail/logs/stamps.py",
        "harden_mail/logs/tail.py",
        "harden_mail/paths.py",
        "harden_mail/pop/__init__.py",
        "harden_mail/pop/database.py",
        "harden_mail/pop/follower.py",
        "harden_mail/system.py",
        "harden_mail/untrusted.py",
        "harden_mail/untrusted_walk.py",
    }


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-I", str(program), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_for(host, address):
    for _times in range(1200):
        if address in host.rows():
            return
        time.sleep(0.05)
    pytest.fail("{0} is not in the database".format(address))


def test_the_program_follows_a_file(program, tmp_path):
    host = Host(tmp_path / "seen.sqlite")
    log = tmp_path / "mail.log"
    now = int(time.time())

    def line(ago, address):
        return "{0} vps {1}\n".format(as_utc(now - ago), LOGIN.format(address, 7))

    log.write_text(line(60, "192.0.2.1") + line(1200, "192.0.2.9"))
    running = start(program, "--minutes", "20", "--file", str(log), "--database", host.path)
    try:
        wait_for(host, "192.0.2.1")
        log.rename(str(log) + ".1")
        log.write_text(line(0, "192.0.2.2"))
        wait_for(host, "192.0.2.2")
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate()
    assert host.rows() == {"192.0.2.1": now - 60 + 1200, "192.0.2.2": now + 1200}


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--minutes", "20"], "give --unit or --file"),
        (["--minutes", "x", "--file", "/x"], "invalid int value"),
        (["--minutes", "20", "--file", "/x", "--pattern", "("], "is no regular expression"),
    ],
)
def test_wrong_arguments_are_said(program, arguments, said):
    running = start(program, *arguments)
    _out, errors = running.communicate()
    assert running.returncode != 0
    assert said in errors.decode() and "Traceback" not in errors.decode()
