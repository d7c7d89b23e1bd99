"""Every statement to the database, on the SQLite that is here."""

import ipaddress
import sqlite3
import time

import pytest
from harden_mail.pop import database
from hypothesis import assume, given
from hypothesis import strategies as st

GROUPS = st.lists(st.sampled_from([0, 0, 0, 1, 0x50, 0xFFFF]), min_size=8, max_size=8)


@pytest.fixture
def base():
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute(database.SCHEMA)
    return made


def let_in(base, address, minutes=20, prefix6=128):
    base.execute(database.write("?", minutes, prefix6), (address,))


def knows(base, address, prefix6=128, minutes=20):
    return base.execute(database.look_up("yes", "?", minutes, prefix6), (address,)).fetchall() == [("yes",)]


def test_a_log_in_counts_for_its_address_until_it_expires(base):
    assert not knows(base, "192.0.2.1")
    let_in(base, "192.0.2.1")
    assert knows(base, "192.0.2.1")
    assert not knows(base, "192.0.2.10")
    ((expires,),) = base.execute("SELECT expires FROM seen").fetchall()
    assert 1190 <= expires - time.time() <= 1210
    base.execute("UPDATE seen SET expires = {0}".format(database.NOW))
    assert not knows(base, "192.0.2.1")
    base.execute(database.prune(20))
    assert base.execute("SELECT count(*) FROM seen").fetchone() == (0,)


def test_pruning_leaves_what_counts(base):
    let_in(base, "192.0.2.1", 1)
    base.execute(database.prune(20))
    assert knows(base, "192.0.2.1")


def test_a_later_log_in_lengthens_and_an_earlier_one_never_shortens(base):
    statement = database.write("?", 20, now="?")
    for ago in (600, 0, 900):
        base.execute(statement, ("192.0.2.1", int(time.time()) - ago))
    ((expires,),) = base.execute("SELECT expires FROM seen").fetchall()
    assert expires - time.time() > 1190


@given(GROUPS)
def test_a_key_is_the_networks_first_four_groups(groups):
    address = ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
    # That is an IPv4 address, and never written so.
    assume(address.ipv4_mapped is None)
    (found,) = sqlite3.connect(":memory:").execute("SELECT " + database.key("?", 64), (str(address),)).fetchone()
    assert found == ":".join("{0:x}".format(group) for group in groups[:4]) + "/64"


def test_a_log_in_counts_for_its_network_only_where_that_is_asked(base):
    let_in(base, "2001:db8::5", 20, 64)
    assert knows(base, "2001:db8::1:2:3:4", 64)
    assert not knows(base, "2001:db8:0:1::5", 64)
    let_in(base, "192.0.2.1", 20, 64)
    assert knows(base, "192.0.2.1", 64)
    assert not knows(base, "192.0.2.2", 64)
    let_in(base, "2001:db8:9::5")
    assert not knows(base, "2001:db8:9::6")


TEN_YEARS = 10 * 365 * 86400


@pytest.mark.parametrize(
    ("expires", "counts"),
    [
        (1, True),
        (1199, True),
        (1200, True),
        (1210, False),
        (TEN_YEARS, False),
        (9e18, False),
        ("for ever", False),
        (b"for ever", False),
        (float("inf"), False),
        (0, False),
        (-TEN_YEARS, False),
    ],
)
def test_a_row_counts_only_as_long_as_a_log_in_of_now_would(base, expires, counts):
    value = expires + int(time.time()) if isinstance(expires, int) else expires
    base.execute("INSERT INTO seen VALUES ('192.0.2.66', ?)", (value,))
    assert knows(base, "192.0.2.66") is counts
    base.execute(database.prune(20))
    assert base.execute("SELECT count(*) FROM seen").fetchone() == (int(counts),)


def test_no_row_counts_when_the_clock_stands_before_it(base, monkeypatch):
    let_in(base, "192.0.2.1")
    monkeypatch.setattr(database, "NOW", "CAST(strftime('%s','1970-01-02') AS INTEGER)")
    assert not knows(base, "192.0.2.1")


def test_who_logs_in_is_let_in_whatever_row_from_the_future_is_there(base):
    base.execute("INSERT INTO seen VALUES ('192.0.2.1', ?)", (int(time.time()) + TEN_YEARS,))
    let_in(base, "192.0.2.1")
    assert knows(base, "192.0.2.1")


def test_a_shorter_time_holds_for_log_ins_that_were_made_for_a_longer_one(base):
    let_in(base, "192.0.2.1", 60)
    base.execute("INSERT INTO seen VALUES ('192.0.2.66', ?)", (int(time.time()) + TEN_YEARS,))
    assert not knows(base, "192.0.2.1")
    base.execute(database.shorten(60, 20))
    assert knows(base, "192.0.2.1")
    assert not knows(base, "192.0.2.66")
