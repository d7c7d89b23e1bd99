"""Guesses at few passwords with few words, for the tests of guessing."""

import base64
import hashlib

from harden_mail.passwords.guessing import jobs, speed_groups, worker
from harden_mail.passwords.guessing import run as guessing
from harden_mail.passwords.guessing.jobs import Target
from harden_mail.passwords.guessing.rounds import Words
from harden_mail.passwords.guessing.run import Guessing, Limits
from harden_mail.passwords.hashes import parse as hashes
from harden_mail.passwords.notebook import Entry

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


def slow_are(monkeypatch, kind, seconds=0.01):
    """Have groups of a kind taken for slow ones, of which a guess takes so long."""
    for module in (guessing, speed_groups):
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


def mixed():
    targets = [target("plain{0}".format(n), "{{PLAIN}}{0}".format(word)) for n, word in enumerate(PASSWORDS)]
    targets += [target("same{0}".format(n), ssha(word.encode())) for n, word in enumerate(PASSWORDS)]
    targets += [target("salted{0}".format(n), ssha(word.encode(), b"%d" % n)) for n, word in enumerate(PASSWORDS)]
    # Only the first eight characters count: "word10" and nothing else, but "word100" comes with "word1000" too.
    targets += [target("short", "{PLAIN-TRUNC}6-word10"), target("wrong", "{PLAIN}no-no")]
    return targets


PASSWORDS = ["plain03", "word0", "word77", "word699", "same15", "x-x", "salted628", "word150", "same40"]
