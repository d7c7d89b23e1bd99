"""Guessing: everybody in turn, within limits, and as if it had never been stopped."""

import base64
import copy
import hashlib
import os
import random
import signal
import time

import pytest
from harden_mail.errors import UserError
from harden_mail.passwords.guessing import jobs, lanes, worker
from harden_mail.passwords.guessing import run as guessing
from harden_mail.passwords.guessing.jobs import Target
from harden_mail.passwords.guessing.rounds import Rounds, Stream, Words
from harden_mail.passwords.guessing.run import Guessing, Limits
from harden_mail.passwords.hashes import parse as hashes
from harden_mail.passwords.notebook import Entry
from hypothesis import given
from hypothesis import strategies as st

QUOTAS = ((10, 4), (50, 12), (200, 30))
GENERAL = ["word{0}".format(number).encode() for number in range(700)]
NO_LIMITS = Limits(60, None, None, 1, None)


def own(name, _hints):
    for number in range(20 if name.startswith("short") else 40):
        yield "{0}{1}".format(name, number).encode(), "account"


def general():
    for start in range(0, len(GENERAL), 37):
        yield GENERAL[start : start + 37], "common" if start < 370 else "english"


WORDS = Words(own, general, QUOTAS)

# Where sizes of work are.
PLACES = {"_WAVE": guessing, "_ALONE": guessing, "PIECE": jobs, "_BLOCK_SECONDS": worker}


def slow_are(monkeypatch, kind, seconds=0.01):
    """Have groups of a kind taken for slow ones, of which a guess takes so long."""
    for module in (guessing, lanes):
        monkeypatch.setattr(module, "speed_class", lambda group: "slow" if group[0] == kind else "plain")
    monkeypatch.setattr(guessing.cost, "seconds", lambda group: seconds if group[0] == kind else 1e-6)


def mac(word):
    return "mac of {0}".format(len(word))


def target(name, stored, scheme="PLAIN", crowd=None):
    return Target(name, (), hashes.parse(stored, scheme, name), Entry("mac", "store", 1), crowd)


def guess(targets, limits=NO_LIMITS, between=lambda: None, words=WORDS):
    return Guessing(targets, words, limits, mac).run(between)


def state(targets):
    names = ("own", "own_ended", "general", "general_ended", "kind", "within", "word_mac")
    return [tuple(getattr(one.entry, name) for name in names) for one in targets]


def ssha(password, salt=b"salt"):
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password + salt).digest() + salt).decode()


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


def watched(monkeypatch):
    """Have each word that is tried noted: list of (group, word)."""
    seen, real = [], hashes.matcher

    def matcher(group, digests):
        match = real(group, digests)

        def noting(words):
            seen.extend((group, word) for word in words)
            return match(words)

        return noting

    monkeypatch.setattr(worker, "matcher", matcher)
    return seen


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


class Killed(BaseException):
    pass


def mixed():
    targets = [target("plain{0}".format(n), "{{PLAIN}}{0}".format(word)) for n, word in enumerate(PASSWORDS)]
    targets += [target("same{0}".format(n), ssha(word.encode())) for n, word in enumerate(PASSWORDS)]
    targets += [target("salted{0}".format(n), ssha(word.encode(), b"%d" % n)) for n, word in enumerate(PASSWORDS)]
    # Only the first eight characters count: "word10" and nothing else, but "word100" comes with "word1000" too.
    targets += [target("short", "{PLAIN-TRUNC}6-word10"), target("wrong", "{PLAIN}no-no")]
    return targets


PASSWORDS = ["plain03", "word0", "word77", "word699", "same15", "x-x", "salted628", "word150", "same40"]


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

    for module in (guessing, lanes):
        monkeypatch.setattr(module, "speed_class", lambda group: "slow")
    monkeypatch.setattr(guessing.cost, "seconds", cost_of)
    monkeypatch.setattr(lanes, "_DEAR_SECONDS", pause / 4)
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
    monkeypatch.setattr(lanes, "MOST_OF_ONE", 8)
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
    monkeypatch.setattr(lanes, "MOST_OF_ONE", 2)
    targets = [target("x{0}".format(n), ssha(b"word5", b"%d" % n), crowd=n % 2) for n in range(8)]
    targets += [target("dear{0}".format(n), sha(b"word5"), crowd=n % 2) for n in range(8)]
    assert guess(targets) is True and all(one.entry.kind == "common" for one in targets)


def test_dear_hashes_have_the_same_time_as_others(monkeypatch):
    dear_ones(monkeypatch)
    # So that it is nothing but their share that decides.
    monkeypatch.setattr(lanes, "_DEAR_SECONDS", 1e9)
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
    monkeypatch.setattr(lanes, "speed_class", lambda group: "slow" if group[0] == "HASH" else "plain")
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
