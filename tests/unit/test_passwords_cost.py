"""What a guess takes is known before the first: whoever can write a hash chooses its parameters."""

import re
import time

import pytest
from harden_mail.passwords.guessing import cost
from harden_mail.passwords.hashes.parse import Unavailable, Uncheckable, Unreadable, computer, parse

USER = "info@example.com"
SLOW = "one guess would take more than 3 seconds"
HUGE = r"one guess would take [0-9,]+ MiB of memory, and 256 are given"


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """A host with memory, that measures anew."""
    monkeypatch.setattr(cost, "most_memory_kib", lambda: 256 * 1024)
    monkeypatch.setattr(cost, "_measured", {})
    monkeypatch.setattr(cost, "_spent", [0.0])


def sha512_crypt(rounds):
    return "$6$rounds={0}$salt$".format(rounds) + "a" * 86


def bcrypt(number):
    return "$2y$" + number + "$" + "a" * 53


def argon2(parameters):
    return "$argon2id$v=19$" + parameters + "$c2FsdHNhbHQ$" + "A" * 43


def yescrypt(parameters):
    return "$y$" + parameters + "$salt$" + "a" * 43


def group(stored, scheme="CRYPT"):
    return parse(stored, scheme, USER).group


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (sha512_crypt(999999999), SLOW),
        (sha512_crypt(10**11), SLOW),
        ("$5$rounds=999999999$salt$" + "a" * 43, SLOW),
        (bcrypt("31"), SLOW),
        (bcrypt("99"), SLOW),
        (bcrypt("20"), SLOW),
        ("$sha1$4294967295$salt$" + "a" * 28, SLOW),
        ("$md5,rounds=4294967295$salt$" + "a" * 22, SLOW),
        ("$P$R" + "a" * 21 + "." * 9, SLOW),
        ("$pbkdf2-sha512$999999999$c2FsdA$" + "a" * 86, SLOW),
        ("{PBKDF2}$1$salt$4294967295$" + "0" * 40, SLOW),
        ("{SCRAM-SHA-1}4294967295,c2FsdA==,NA/OqmF4hhrsrB9KR7po+dliTGM=,QBiURvQaE6H6qYTmeghDHLANBFQ=", SLOW),
        ("{OTP}sha1 999999999 seed 0123456789abcdef", SLOW),
        ("{OTP}md4 999999999 seed 0123456789abcdef", SLOW),
        ("{OTP}sha1 100000000000 seed 0123456789abcdef", SLOW),
        (argon2("m=8388608,t=1,p=1"), HUGE),
        (argon2("m=999999999999,t=1,p=1"), HUGE),
        (argon2("m=65536,t=4294967295,p=1"), SLOW),
        ("$7$" + "L" + "6...." + "/...." + "salt$" + "a" * 43, HUGE),
        ("$7$" + "B" + "6...." + "zzzzz" + "salt$" + "a" * 43, SLOW),
        ("$7$" + "z" + "zzzzz" + "zzzzz" + "salt$" + "a" * 43, HUGE),
        ("$y$jLT$salt$" + "a" * 43, HUGE),
        ("$gy$jLT$salt$" + "a" * 43, HUGE),
        # Which of Yescrypt's parameters follow: 1 is p, 2 is t, 4 is g, each of which makes four times the memory.
        (yescrypt("jFT"), HUGE),
        (yescrypt("j9s.."), HUGE),
        (yescrypt("j9T.s.."), SLOW),
        (yescrypt("j9T/s.."), SLOW),
        (yescrypt("j9T0s..."), SLOW),
        (yescrypt("j9T10"), HUGE),
    ],
)
def test_what_takes_too_much_is_known_at_once(stored, why):
    began = time.process_time()
    for scheme in ("CRYPT", "PLAIN"):
        with pytest.raises(Uncheckable) as caught:
            cost.check(group(stored, scheme))
        # Where a host lacks a function, it is not tried in any case.
        found = caught.value.reason if not isinstance(caught.value, Unavailable) else why.replace("[0-9,]+", "1")
        assert re.match(why + r"\Z", found), found
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "stored",
    [
        "a" * 13, "$1$saltsalt$" + "a" * 22, sha512_crypt(100000), bcrypt("10"), yescrypt("j9T"), yescrypt("j9T.."),
        "$sha1$20000$saltsalt$" + "a" * 28, "_J9..salt" + "a" * 11, "$apr1$saltsalt$" + "a" * 22,
        "$P$B" + "a" * 21 + "." * 9, "{PBKDF2}$1$saltsaltsaltsalt$100000$" + "0" * 40,
        "{OTP}sha1 1000 seed 0123456789abcdef", "$7$A6..../....saltsalt$" + "a" * 43, argon2("m=65536,t=1,p=1"),
        "{SCRAM-SHA-1}4096,c2FsdHNhbHRzYWx0,NA/OqmF4hhrsrB9KR7po+dliTGM=,QBiURvQaE6H6qYTmeghDHLANBFQ=",
    ],
)  # fmt: skip
def test_what_hosts_really_have_is_tried_and_takes_about_as_long_as_was_said(stored):
    try:
        cost.check(group(stored))
    except Unavailable:
        return
    compute = computer(group(stored))
    times = []
    for word in (b"a", b"b", b"c"):
        began = time.process_time()
        compute(word)
        times.append(time.process_time() - began)
    assert min(times) / 4 < cost.seconds(group(stored)) < max(times) * 4


def test_a_quick_hash_costs_next_to_nothing_and_is_not_measured():
    for stored in ("{PLAIN}x", "{SHA.hex}" + "0" * 40):
        cost.check(group(stored))
        assert 0 < cost.seconds(group(stored)) < 1e-4
    assert cost._measured == {}


def test_each_function_is_measured_once():
    for rounds in (5000, 6000, 999999999):
        cost.seconds(group(sha512_crypt(rounds)))
    assert len(cost._measured) == 1


def test_a_writer_of_argon2_hashes_can_not_ask_for_many_measurements(monkeypatch):
    monkeypatch.setattr(cost, "_measure", lambda _sample: 0.01)
    seconds = {}
    for kind in ("i", "d", "id"):
        for version in (16, 19):
            for lanes in range(1, 256):
                stored = "$argon2{0}$v={1}$m=65536,t=3,p={2}$c2FsdHNhbHQ$".format(kind, version, lanes) + "A" * 43
                seconds[lanes] = cost.seconds(group(stored))
    assert len(cost._measured) == 3
    # Threads cost something as well, so more of them are never said to take less.
    assert sorted(seconds.values()) == [seconds[lanes] for lanes in range(1, 256)] and seconds[1] < seconds[255]


def test_measuring_has_an_end(monkeypatch):
    def slowly(_sample):
        now[0] += 6
        return 1e-3

    now = [1000.0]
    monkeypatch.setattr(cost.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(cost, "_measure", slowly)
    for stored in (sha512_crypt(5000), bcrypt("10")):
        cost.seconds(group(stored))
    other = group("$5$salt$" + "a" * 43)
    with pytest.raises(Unreadable, match="how long one guess takes was not measured"):
        cost.check(other)
    assert cost.seconds(other) > 0
    # What was measured before is known.
    assert cost.seconds(group(sha512_crypt(5001))) > 0
    assert now[0] == 1012.0


def test_a_small_host_gives_less_memory(monkeypatch):
    monkeypatch.undo()
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": (1 << 30) // 4096}
    monkeypatch.setattr(cost.os, "sysconf", sizes.get)
    assert cost.most_memory_kib() == 128 * 1024
    with pytest.raises(Unreadable, match="take 129 MiB of memory, and 128 are given"):
        cost.check(group(argon2("m=132096,t=1,p=1")))


def test_what_can_not_be_made_here_is_said(monkeypatch):
    def lacking(_):
        raise Unavailable("install something")

    monkeypatch.setattr(cost, "computer", lacking)
    with pytest.raises(Unavailable, match="install something"):
        cost.check(group(bcrypt("10")))
    assert cost.seconds(group(bcrypt("10"))) > 0
