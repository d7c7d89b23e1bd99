"""Guessing: what is tried on whom, in which order, and that no interruption changes what comes of it."""

import copy
import os
import random
import signal
import time

import pytest
from harden_mail.errors import UserError
from harden_mail.passwords.guessing import run as guessing
from harden_mail.passwords.guessing import worker
from harden_mail.passwords.guessing.rounds import Rounds, Stream, Words
from harden_mail.passwords.guessing.run import Guessing
from harden_mail.passwords.hashes import parse as hashes
from harden_mail.passwords.notebook import Entry
from hypothesis import given
from hypothesis import strategies as st
from passwords_guesses import (
    NO_LIMITS,
    PLACES,
    QUOTAS,
    WORDS,
    general,
    guess,
    mac,
    mixed,
    own,
    ssha,
    state,
    target,
    watched,
)


@pytest.mark.parametrize(
    ("password", "kind", "within"),
    [
        (b"bob0", "account", 10),
        (b"bob3", "account", 10),
        (b"bob4", "account", 50),
        (b"word0", "common", 10),
        (b"word5", "common", 10),
        (b"word6", "common", 50),
        (b"word37", "common", 50),
        (b"word38", "common", 200),
        (b"word169", "common", 200),
        (b"word370", "english", None),
        (b"word699", "english", None),
        (b"bob29", "account", 200),
    ],
)
@pytest.mark.parametrize("store", [lambda password: "{PLAIN}" + password.decode(), ssha])
def test_a_guess_says_the_class_of_its_rule_and_its_round(password, kind, within, store):
    bob, other = target("bob", store(password)), target("other", store(b"never guessed"))
    assert guess([bob, other]) is True
    assert (bob.entry.kind, bob.entry.within, bob.entry.word_mac) == (kind, within, mac(password))
    assert (bob.entry.own, bob.entry.general) == (0, 0)
    assert other.entry.kind is None


def test_what_nobody_guesses_was_tried_with_everything():
    bob, short = target("bob", "{PLAIN}x-x"), target("short", "{PLAIN}x-x")
    assert guess([bob, short]) is True
    # Own guesses end with the last quota.
    assert state([bob, short]) == [
        (30, False, 700, True, None, None, None),
        (20, True, 700, True, None, None, None),
    ]


def test_another_accounts_own_words_are_not_tried():
    bob = target("bob", "{PLAIN}alice0")
    assert guess([bob, target("alice", "{PLAIN}x-x")]) is True
    assert bob.entry.kind is None


def test_everybodys_first_guesses_come_before_anybodys_next(monkeypatch):
    seen = watched(monkeypatch)
    targets = [target("user{0}".format(n), ssha(b"x-x", b"salt%d" % n)) for n in range(7)]
    assert guess(targets) is True
    counts = dict.fromkeys((one.group for one in targets), 0)
    for group, _ in seen:
        counts[group] += 1
        for limit, _ in QUOTAS:
            if counts[group] > limit:
                assert min(counts.values()) >= limit
    assert set(counts.values()) == {730}


def test_those_who_share_a_salt_share_the_general_guesses(monkeypatch):
    seen = watched(monkeypatch)
    targets = [target("user{0}".format(n), ssha(b"x-x%d" % n)) for n in range(50)]
    assert guess(targets) is True
    assert len([word for _, word in seen if word.startswith(b"word")]) == 700
    assert len(seen) == 700 + 50 * 30


def test_a_newcomer_catches_up_in_a_shared_group(monkeypatch):
    old, new = target("old", ssha(b"word3")), target("new", ssha(b"word3"))
    old.entry.own, old.entry.general = 4, 5
    assert guess([old, new]) is True
    # What the old one has had is not tried again: it would have been guessed.
    assert old.entry.kind is None
    assert new.entry.kind == "common"


@pytest.mark.parametrize("limit", [1, 4, 9, 10, 11, 49, 53, 200, 500])
def test_guesses_at_an_account_end_at_their_limit(monkeypatch, limit):
    seen = watched(monkeypatch)
    targets = [target("a", ssha(b"x-x", b"1")), target("short", ssha(b"x-x", b"2")), target("b", ssha(b"x-x", b"2"))]
    assert guess(targets, NO_LIMITS._replace(guesses_per_account=limit)) is True
    assert [one.entry.tried for one in targets] == [limit] * 3
    assert len([None for group, _ in seen if group == targets[0].group]) == limit


def test_a_raised_limit_goes_on():
    first, again = [target("a", ssha(b"word200")) for _ in range(2)]
    guess([first])
    guess([again], NO_LIMITS._replace(guesses_per_account=33))
    assert again.entry.tried == 33
    guess([again])
    assert state([again]) == state([first])


def test_seconds_of_an_account_end_its_guesses(monkeypatch):
    slow, quick = target("slow", ssha(b"x-x", b"1")), target("quick", ssha(b"x-x", b"2"))
    real = hashes.matcher

    def matcher(group, digests):
        match = real(group, digests)

        def sleeping(words):
            time.sleep(0.002 * len(words) if group == slow.group else 0)
            return match(words)

        return sleeping

    monkeypatch.setattr(worker, "matcher", matcher)
    assert guess([slow, quick], NO_LIMITS._replace(seconds_per_account=0.2)) is True
    assert 10 < slow.entry.tried < 400
    assert slow.entry.seconds >= 0.2
    assert quick.entry.tried == 730


class Killed(BaseException):
    pass


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_stopped_anywhere_and_resumed_it_ends_as_if_unbroken(monkeypatch, processes, seed):
    unbroken = mixed()
    assert guess(unbroken) is True
    # Small pieces in small waves, so that there are many places to stop.
    for name, value in (("_WAVE", 0.0002), ("PIECE", 0.00002), ("_ALONE", 0.0 if processes > 1 else 1.0)):
        monkeypatch.setattr(PLACES[name], name, value)
    if processes > 1:
        monkeypatch.setattr(worker.process_guard, "protect_fork", list)
    choice = random.Random(seed)
    targets = mixed()
    stops = 0
    for _ in range(12):
        saved = [copy.copy(one.entry) for one in targets]
        left = [choice.randrange(1, 40)]

        def between(targets=targets, saved=saved, left=left):
            if choice.random() < 0.3:
                saved[:] = [copy.copy(one.entry) for one in targets]
            left[0] -= 1
            if not left[0]:
                raise Killed

        try:
            guess(targets, NO_LIMITS._replace(processes=processes), between)
            break
        except Killed:
            stops += 1
            for one, entry in zip(targets, saved):
                one.entry = entry
                one.cost = None
    else:
        assert guess(targets) is True
    assert stops >= 3
    assert state(targets) == state(unbroken)


def test_of_two_guesses_that_fit_the_first_counts_whichever_process_is_quicker(monkeypatch):
    for name, value in (("PIECE", 0.00001), ("_ALONE", 0.0)):
        monkeypatch.setattr(PLACES[name], name, value)

    def doubled():
        yield [b"one", b"twice"] + [b"w%d" % n for n in range(500)], "common"
        yield [b"twice"] * 100, "english"

    for _ in range(5):
        bob = target("bob", ssha(b"twice"))
        words = Words(lambda *_: iter(()), doubled, ((1000, 0),))
        assert guess([bob], NO_LIMITS._replace(processes=3), words=words) is True
        assert bob.entry.kind == "common"


def test_work_is_shared_and_no_word_comes_back(monkeypatch):
    monkeypatch.setattr(guessing, "_ALONE", 0.0)
    heard, real = [], worker.together

    def listening(processes, function):
        for answer in real(processes, function):
            heard.append(answer)
            yield answer

    monkeypatch.setattr(worker, "together", listening)
    targets = [target("user{0}".format(n), ssha(b"word5", b"%d" % n)) for n in range(20)]
    assert guess(targets, NO_LIMITS._replace(processes=2)) is True
    assert {one.entry.kind for one in targets} == {"common"}
    assert heard
    assert "word5" not in repr(heard)


def test_what_is_missing_is_said_and_the_others_go_on(monkeypatch):
    lacking, broken = target("lacking", ssha(b"x", b"1")), target("broken", ssha(b"x", b"2"))
    fine, real = target("fine", ssha(b"word1", b"3")), hashes.matcher

    def matcher(group, digests):
        if group == lacking.group:
            raise hashes.Unavailable("install something")
        if group == broken.group:
            raise ValueError("canary")
        return real(group, digests)

    monkeypatch.setattr(worker, "matcher", matcher)
    assert guess([lacking, broken, fine]) is True
    assert lacking.failure == "install something"
    assert broken.failure.startswith("harden-mail has a defect, ValueError at test_passwords_guessing.py:")
    assert "canary" not in broken.failure
    assert fine.entry.kind == "common"


def test_a_killed_process_is_told_and_what_is_known_is_kept(monkeypatch):
    monkeypatch.setattr(guessing, "_ALONE", 0.0)
    here, real = os.getpid(), hashes.matcher

    def matcher(group, digests):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(group, digests)

    monkeypatch.setattr(worker, "matcher", matcher)
    targets = [target("user{0}".format(n), ssha(b"x", b"%d" % n)) for n in range(4)]
    with pytest.raises(UserError, match="was killed, perhaps for want of memory"):
        guess(targets, NO_LIMITS._replace(processes=2))


def test_it_waits_while_others_have_work_to_do(monkeypatch):
    loads, slept = [9.0, 9.0, 3.4], []
    monkeypatch.setattr(worker.os, "getloadavg", lambda: (loads.pop(0) if len(loads) > 1 else loads[0], 0, 0))
    monkeypatch.setattr(worker.time, "sleep", slept.append)
    guess_all = Guessing([target("a", "{PLAIN}x-x")], WORDS, NO_LIMITS._replace(max_load=2.5), mac)
    assert guess_all.run(lambda: None) is True
    assert len(slept) == 2
    assert guess_all.waited > 0


@given(
    st.lists(st.integers(0, 9), max_size=12), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=6)
)
def test_any_range_of_the_general_guesses_can_be_taken(sizes, ranges):
    everything, batches = [], []
    for number, size in enumerate(sizes):
        batch = ["{0}.{1}".format(number, index).encode() for index in range(size)]
        batches.append((batch, str(number)))
        everything += batch
    stream = Stream(lambda: iter(batches))
    for start, count in ranges:
        words, kinds = stream.take(start, start + count)
        assert words == everything[start : start + count]
        if start + count > len(everything):
            assert stream.length == len(everything)
        for index, word in enumerate(words):
            kind = [kind for first, kind in kinds if first <= index][-1]
            assert kind == word.decode().split(".")[0]


def test_rounds():
    rounds, entry = Rounds(QUOTAS), Entry("mac", "store", 1)
    assert rounds.of(entry) == 0
    entry.own, entry.general = 4, 6
    assert rounds.of(entry) == 1
    entry.own, entry.general = 4, 170
    assert rounds.of(entry) == 1
    entry.own_ended = True
    assert rounds.of(entry) == 3
    entry.general_ended = True
    assert rounds.of(entry) == 4
    assert [rounds.bucket(number) for number in range(4)] == [10, 50, 200, None]


def test_a_target_does_not_show_its_hash():
    assert repr(target("bob", "{PLAIN}canary")) == "Target('bob')"


@pytest.mark.parametrize("words", [Words(own, general, QUOTAS), Words(lambda *_: iter(()), general, ((2000, 0),))])
def test_what_fails_for_once_is_tried_again_and_nothing_is_left_out(monkeypatch, words):
    for name, value in (("PIECE", 0.00001), ("_ALONE", 1.0)):
        monkeypatch.setattr(PLACES[name], name, value)
    real, calls = hashes.matcher, []

    def matcher(group, digests):
        calls.append(group)
        if len(calls) == 2:
            raise hashes.Unavailable("no memory")
        return real(group, digests)

    monkeypatch.setattr(worker, "matcher", matcher)
    bob = target("bob", ssha(b"x-x"))
    assert guess([bob], words=words) is True
    assert bob.failure == "no memory"
    # The first piece of three words was done.
    assert bob.entry.tried == 3
    assert not bob.entry.general_ended
    bob.failure = None
    assert guess([bob], words=words) is True
    assert (bob.entry.general, bob.entry.general_ended) == (700, True)
