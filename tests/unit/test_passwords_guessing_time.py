"""The time of guessing: who gets it, where it ends, and what dear hashes take."""

import base64
import hashlib
import os
import time

import pytest
from harden_mail.passwords.guessing import run as guessing
from harden_mail.passwords.guessing import speed_groups, worker
from harden_mail.passwords.guessing.rounds import Stream, Words
from harden_mail.passwords.guessing.run import Guessing
from harden_mail.passwords.hashes import parse as hashes
from passwords_guesses import (
    GENERAL,
    NO_LIMITS,
    PLACES,
    QUOTAS,
    WORDS,
    general,
    guess,
    mac,
    mixed,
    own,
    slow_are,
    ssha,
    state,
    target,
    watched,
)


def test_time_ends_and_everybody_has_had_about_the_same(monkeypatch):
    real = hashes.matcher

    def matcher(group, digests):
        match = real(group, digests)

        def sleeping(words):
            time.sleep(0.001 * len(words))
            return match(words)

        return sleeping

    monkeypatch.setattr(worker, "matcher", matcher)
    monkeypatch.setattr(guessing, "_WAVE", 0.05)
    targets = [target("user{0}".format(n), ssha(b"x-x", b"%d" % n)) for n in range(5)]
    assert guess(targets, NO_LIMITS._replace(seconds=0.4)) is False
    tried = [one.entry.tried for one in targets]
    assert min(tried) > 0
    assert max(tried) - min(tried) <= 60


def test_with_no_time_nothing_is_tried(monkeypatch):
    seen = watched(monkeypatch)
    assert guess([target("a", "{PLAIN}a0")], NO_LIMITS._replace(seconds=0)) is False
    assert seen == []


def test_quick_hashes_do_not_wait_for_slow_ones(monkeypatch):
    slow_are(monkeypatch, "HASH")
    real = hashes.matcher

    def matcher(group, digests):
        match = real(group, digests)

        def sleeping(words):
            if group[0] == "HASH":
                time.sleep(0.01 * len(words))
            return match(words)

        return sleeping

    monkeypatch.setattr(worker, "matcher", matcher)
    slow, quick = target("slow", ssha(b"x-x")), target("quick", "{PLAIN}x-x")
    guess_all = Guessing([slow, quick], WORDS, NO_LIMITS._replace(seconds=0.3), mac)
    assert guess_all.run(lambda: None) is False
    assert quick.entry.tried == 730
    assert 0 < slow.entry.tried < 200
    assert guess_all.reached()[0] in (0, 10)


def test_slow_hashes_do_not_wait_for_a_long_wave_of_quick_ones(monkeypatch):
    slow_are(monkeypatch, "HASH")
    monkeypatch.setattr(guessing, "_WAVE", 0.02)

    def dear(name, _hints):
        for number in range(100):
            time.sleep(0.001)
            yield b"%d-" % number, "account"

    slow = target("slow", ssha(b"x-x"))
    quick = [target("quick{0}".format(n), "{PLAIN}x-x") for n in range(60)]
    guess_all = Guessing([slow, *quick], Words(dear, general, ((1000, 100),)), NO_LIMITS._replace(seconds=0.5), mac)
    assert guess_all.run(lambda: None) is False
    assert slow.entry.tried > 0
    assert quick[0].entry.tried > 0


@pytest.mark.parametrize("processes", [1, 2])
def test_where_the_time_ends_makes_no_difference(monkeypatch, processes):
    unbroken = mixed()
    assert guess(unbroken) is True
    for name, value in (("PIECE", 0.0005), ("_BLOCK_SECONDS", 0.0001), ("_ALONE", 0.0 if processes > 1 else 1.0)):
        monkeypatch.setattr(PLACES[name], name, value)
    real = hashes.matcher

    def matcher(group, digests):
        match = real(group, digests)

        def sleeping(words):
            time.sleep(0.00002 * len(words))
            return match(words)

        return sleeping

    monkeypatch.setattr(worker, "matcher", matcher)
    targets, times = mixed(), 0
    # More and more, so that it ends soon on a busy machine, too.
    while not guess(targets, NO_LIMITS._replace(processes=processes, seconds=0.01 * 1.5**times)):
        times += 1
    assert times >= 3
    assert state(targets) == state(unbroken)


def test_no_word_is_left_out_where_the_time_ended(monkeypatch):
    for name, value in (("PIECE", 0.0005), ("_BLOCK_SECONDS", 0.0001), ("_ALONE", 0.0)):
        monkeypatch.setattr(PLACES[name], name, value)
    real = hashes.matcher

    def matcher(group, digests):
        match = real(group, digests)
        # Some processes are quicker than others.
        pause = 0.00001 * (1 + os.getpid() % 3)

        def sleeping(words):
            time.sleep(pause * len(words))
            return match(words)

        return sleeping

    monkeypatch.setattr(worker, "matcher", matcher)
    words = Words(lambda *_: iter(()), general, ((2000, 0),))
    targets = [target("user{0}".format(n), ssha(word)) for n, word in enumerate(GENERAL[::3])]
    times = 0
    while not guess(targets, NO_LIMITS._replace(processes=3, seconds=0.001 * 1.3**times), words=words):
        times += 1
    assert times >= 3
    assert {one.entry.kind for one in targets} == {"common", "english"}


def test_the_way_to_where_it_goes_on_ends_with_the_time(monkeypatch):
    bob = target("bob", ssha(b"x-x"))
    assert guess([bob], NO_LIMITS._replace(guesses_per_account=600)) is True
    before = state([bob])
    now = [0.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])

    def slowly():
        for batch in general():
            now[0] += 1
            yield batch

    words = Words(own, slowly, QUOTAS)
    assert guess([bob], NO_LIMITS._replace(seconds=5), words=words) is False
    assert state([bob]) == before
    assert now[0] <= 6
    assert guess([bob], words=words) is True
    assert bob.entry.general_ended


def test_what_was_skipped_until_the_time_ended_need_not_be_skipped_again():
    stream = Stream(general)
    assert stream.take(300, 302, deadline=0) == ([], [])
    assert stream.length is None
    assert stream.take(300, 302)[0] == GENERAL[300:302]


def test_endless_seconds_of_an_account_are_no_limit():
    bob = target("bob", "{PLAIN}x-x")
    assert guess([bob], NO_LIMITS._replace(seconds=1e308, seconds_per_account=1e308)) is True
    assert bob.entry.general_ended


# --- what is shared is time -------------------------------------------------------------------------------


def dear_ones(monkeypatch, pause=0.02, usual=0.0005):
    """Have a guess at {SSHA} take some time, and at unsalted {SHA} much more, by a clock of their own: [now]."""
    now = [0.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])

    def cost_of(group):
        return usual if group[3] else pause

    for module in (guessing, speed_groups):
        monkeypatch.setattr(module, "speed_class", lambda group: "slow")
    monkeypatch.setattr(guessing.cost, "seconds", cost_of)
    monkeypatch.setattr(speed_groups, "_DEAR_SECONDS", pause / 4)
    monkeypatch.setattr(guessing, "_WAVE", 0.05)
    real = hashes.matcher

    def matcher(group, digests):
        match = real(group, digests)

        def sleeping(words):
            now[0] += cost_of(group) * len(words)
            return match(words)

        return sleeping

    monkeypatch.setattr(worker, "matcher", matcher)
    return now


def sha(password):
    return "{SHA}" + base64.b64encode(hashlib.sha1(password).digest()).decode()


@pytest.mark.parametrize("number", [1, 8])
def test_dear_hashes_hold_up_nobody_however_many_they_are(monkeypatch, number):
    now = dear_ones(monkeypatch)
    weak = [target("weak{0}".format(n), ssha(b"word60", b"%d" % n)) for n in range(8)]
    # One group would be one guess for all of them.
    evil = [target("evil{0}".format(n), "{PLAIN-MD4}" + format(n, "032x")) for n in range(number)]
    for n, one in enumerate(evil):
        one.group = hashes.Group(("HASH", "sha1", b"%d" % n, b""))
    everybody = Guessing(evil + weak, WORDS, NO_LIMITS._replace(seconds=3), mac)
    found_at = []

    def between():
        if not found_at and all(one.entry.kind for one in weak):
            found_at.append(now[0])

    assert everybody.run(between) is False
    # 72 guesses at 8 accounts, half a millisecond each, are 0.3 seconds; of those at one that is dear, 1.4.
    assert found_at
    assert found_at[0] < 0.6
    # When nobody else is left, they have all of the time.
    assert max(one.entry.tried for one in evil) > 0
    everyone, behind = everybody.reached()
    assert (everyone, behind) == ((None, 1) if number == 1 else (everyone, 0))
    assert number == 1 or everyone in (0, 10, 50)


@pytest.mark.parametrize("crowds", [1, 5])
def test_thousands_of_accounts_of_one_hold_up_nobody(monkeypatch, crowds):
    now = dear_ones(monkeypatch)
    monkeypatch.setattr(speed_groups, "MOST_OF_ONE", 8)
    # Whatever others had in former runs: these have new hashes each night, and had none.
    weak = [target("weak{0}".format(n), ssha(b"word60", b"%d" % n), crowd="c{0}".format(n % 2)) for n in range(8)]
    for one in weak:
        one.entry.seconds = 1.0
    many = [
        target("many{0}".format(n), ssha(b"x-x", b"m%d" % n), crowd="crowd {0}".format(n % crowds)) for n in range(2000)
    ]
    everybody, found_at = Guessing(many + weak, WORDS, NO_LIMITS._replace(seconds=6), mac), []

    def between():
        if not found_at and all(one.entry.kind for one in weak):
            found_at.append(now[0])

    assert everybody.run(between) is False
    # 72 guesses at 8 accounts take 0.3 seconds, and at 2,008 accounts 72.
    assert found_at and found_at[0] < 1.2
    assert sum(one.entry.tried for one in many) > 8000, "when nobody else is left, they have all of the time"
    had = [sum(one.entry.seconds for one in many if one.crowd == "crowd {0}".format(n)) for n in range(crowds)]
    assert max(had) < 1.5 * min(had)


def test_crowds_alone_share_all_of_the_time(monkeypatch):
    dear_ones(monkeypatch)
    monkeypatch.setattr(speed_groups, "MOST_OF_ONE", 2)
    targets = [target("x{0}".format(n), ssha(b"word5", b"%d" % n), crowd=n % 2) for n in range(8)]
    targets += [target("dear{0}".format(n), sha(b"word5"), crowd=n % 2) for n in range(8)]
    assert guess(targets) is True and all(one.entry.kind == "common" for one in targets)


def test_dear_hashes_have_the_same_time_as_others(monkeypatch):
    dear_ones(monkeypatch)
    # So that it is nothing but their share that decides.
    monkeypatch.setattr(speed_groups, "_DEAR_SECONDS", 1e9)
    cheap = [target("cheap{0}".format(n), ssha(b"x-x", b"%d" % n)) for n in range(3)]
    dear = target("dear", sha(b"x-x"))
    everybody = Guessing([dear, *cheap], WORDS, NO_LIMITS._replace(seconds=1.0), mac)
    assert everybody.run(lambda: None) is False
    seconds = [one.entry.seconds for one in [dear, *cheap]]
    assert 0 < seconds[0] < 1.5 * max(seconds[1:])
    assert dear.entry.tried < min(one.entry.tried for one in cheap)
    everyone, behind = everybody.reached()
    assert behind == 1
    assert everyone in (10, 50, 200)


def test_where_time_was_given_is_remembered_from_one_run_to_the_next(monkeypatch):
    dear_ones(monkeypatch)
    cheap, dear = [target("cheap{0}".format(n), ssha(b"x-x", b"%d" % n)) for n in range(3)], target("dear", sha(b"x-x"))
    for one in cheap:
        # As a former run left it.
        one.entry.seconds = 10.0
    assert guess([dear, *cheap], NO_LIMITS._replace(seconds=0.5)) is False
    assert dear.entry.tried > 0


def test_who_had_the_time_of_an_account_is_behind(monkeypatch):
    dear_ones(monkeypatch)
    cheap, dear = [target("cheap{0}".format(n), "{PLAIN}x-x") for n in range(3)], target("dear", sha(b"x-x"))
    for one in cheap:
        one.group = hashes.Group(("PLAIN",))
    monkeypatch.setattr(guessing.cost, "seconds", lambda group: 0.02 if group[0] == "HASH" else 1e-6)
    monkeypatch.setattr(speed_groups, "speed_class", lambda group: "slow" if group[0] == "HASH" else "plain")
    monkeypatch.setattr(worker, "matcher", hashes.matcher)
    everybody = Guessing([dear, *cheap], WORDS, NO_LIMITS._replace(seconds_per_account=0.001), mac)
    dear.entry.seconds = 0.002
    assert everybody.run(lambda: None) is True
    assert everybody.reached() == (None, 1)
    assert dear.entry.tried == 0


def test_a_guess_that_takes_much_longer_than_was_said_is_the_last_one(monkeypatch):
    monkeypatch.setattr(worker.cost, "MOST_SECONDS", 1e-9)
    bob = target("bob", ssha(b"x-x"))
    assert guess([bob]) is True
    assert bob.failure == "one guess would take more than 1e-09 seconds"


def test_that_a_process_could_not_be_protected_is_known(monkeypatch):
    monkeypatch.setattr(guessing, "_ALONE", 0.0)
    for missing in ([], ["Memory could not be locked."]):
        monkeypatch.setattr(worker.process_guard, "protect_fork", lambda missing=missing: missing)
        targets = [target("user{0}".format(n), ssha(b"word5", b"%d" % n)) for n in range(4)]
        everybody = Guessing(targets, WORDS, NO_LIMITS._replace(processes=2), mac)
        assert everybody.run(lambda: None) is True
        assert everybody.unprotected is bool(missing)
