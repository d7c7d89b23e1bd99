"""Counts over any number of messages, in bounded memory."""

import time
from bisect import bisect

from ..text import printable

# Distinct values that are counted exactly; beyond, a count may be too low by what is said with it.
KEPT = 5000

# Upper limits in seconds, and their names, youngest first.
AGES = ((600, "10m"), (3600, "1h"), (6 * 3600, "6h"), (86400, "1d"), (3 * 86400, "3d"), (float("inf"), "older"))
_YOUNGER = [most for most, _ in AGES[:-1]]

_TOPS = ("top_senders", "top_recipient_domains", "top_subjects", "top_origins", "top_clients")

# A value's share in a summary: subjects and addresses may be long.
LONGEST = 120


class Top:
    """The most frequent of a stream of values: Misra and Gries' algorithm, with the decrements done in batches.

    Exact up to ``kept`` distinct values. After that, each count may be too low by ``error`` at most, which never gets
    greater than the number of values divided by half of ``kept``; whatever is more frequent than that is in it. The
    same holds of several that were merged, for all their values together (Agarwal and others, "Mergeable summaries",
    2012): every decrement, in whichever of them, took as much from each of more than half of ``kept`` counts.
    """

    def __init__(self, kept=KEPT):
        self.kept, self.error = kept, 0
        self._counts = {}

    def add(self, value):
        counts = self._counts
        if value in counts:
            counts[value] += 1
            return
        counts[value] = 1
        if len(counts) > self.kept:
            self._shrink()

    def summary(self):
        """What ``merge`` takes, of what ``marshal`` can write."""
        return self.error, self._counts

    def merge(self, summary):
        """Add the summary that another one of the same size made of other values."""
        error, counts = summary
        self.error += error
        own = self._counts
        for value, count in counts.items():
            own[value] = own.get(value, 0) + count
        if len(own) > self.kept:
            self._shrink()

    def _shrink(self):
        # Half of them go, so that the next time is far off.
        least = sorted(self._counts.values(), reverse=True)[self.kept // 2]
        self.error += least
        self._counts = {value: count - least for value, count in self._counts.items() if count > least}

    def result(self, limit):
        """[{value, count}], most frequent first, values printable."""
        best = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return [{"value": printable(value, LONGEST), "count": count} for value, count in best]

    def __len__(self):
        return len(self._counts)


class Summary:
    """What many messages have in common.

    :param int limit: entries of each list in the result
    :param float now: epoch seconds, from which ages count (None: now)
    """

    def __init__(self, limit, now=None):
        self.limit, self.now = limit, time.time() if now is None else now
        self.matched = self.bytes = 0
        self.oldest = None
        self._states, self._ages = {}, [0] * len(AGES)
        self._tops = {name: Top() for name in _TOPS}
        self._counters = [self._tops[name] for name in _TOPS]

    def add(self, message):
        """:param Message message: its lazy parts are all asked for"""
        self.matched += 1
        self.bytes += message.size
        arrival = message.arrival
        if self.oldest is None or arrival < self.oldest:
            self.oldest = arrival
        states = message.states
        state = states[0] if len(states) == 1 else "+".join(states)
        self._states[state] = self._states.get(state, 0) + 1
        self._ages[bisect(_YOUNGER, self.now - arrival)] += 1
        senders, domains, subjects, origins, clients = self._counters
        senders.add(message.sender[:LONGEST] or "<>")
        recipients = message.recipients
        if len(recipients) == 1:
            domains.add(recipients[0].address.rpartition("@")[2][:LONGEST].lower())
        else:
            for domain in {recipient.address.rpartition("@")[2][:LONGEST].lower() for recipient in recipients}:
                domains.add(domain)
        subject = message.subject
        if subject is not None:
            subjects.add(subject[:LONGEST])
        origin = origin_text(message)
        if origin:
            origins.add(origin[:LONGEST])
        # Apart from its origin: whoever guessed a password sends from other addresses than the account's owner.
        client = message.client
        if client is not None:
            clients.add(client[:LONGEST])

    def another(self):
        """An empty one that can be merged into this."""
        return Summary(self.limit, self.now)

    def summary(self):
        """What ``merge`` takes, of what ``marshal`` can write."""
        tops = {name: top.summary() for name, top in self._tops.items()}
        return self.matched, self.bytes, self.oldest, self._states, self._ages, tops

    def merge(self, summary):
        """Add the summary of other messages: as if they had been added here, as far as counts are exact."""
        matched, size, oldest, states, ages, tops = summary
        self.matched += matched
        self.bytes += size
        if oldest is not None and (self.oldest is None or oldest < self.oldest):
            self.oldest = oldest
        for state, count in states.items():
            self._states[state] = self._states.get(state, 0) + count
        self._ages = [own + other for own, other in zip(self._ages, ages)]
        for name, top in self._tops.items():
            top.merge(tops[name])

    def result(self):
        """:returns: dict: matched, bytes, oldest (epoch seconds or None), states, ages ({name: count}), the five lists
        with {value, count}, and ``errors``: by how much the counts of each list may be too low"""
        result = {name: top.result(self.limit) for name, top in self._tops.items()}
        return dict(
            result,
            matched=self.matched,
            bytes=self.bytes,
            oldest=self.oldest,
            states=dict(self._states),
            ages={name: count for (_, name), count in zip(AGES, self._ages)},
            errors={name: top.error for name, top in self._tops.items()},
        )


def origin_text(message):
    """Who sent a message, in a word and its value; the account before the user before the address.

    The user says which script it was, and can say what it likes: "uid 33 (says script contact.php)".
    """
    if message.sasl_user is not None:
        return "account " + message.sasl_user
    if message.uid is not None:
        text = "uid {0}".format(message.uid)
        return text if message.script is None else "{0} (says script {1})".format(text, _of_uid(message))
    if message.client is not None:
        return "client " + message.client
    return None


def _of_uid(message):
    """The script, without PHP's word on the user id as far as it is true."""
    said = "{0}:".format(message.uid)
    if message.script.startswith(said):
        return message.script[len(said) :]
    site, blank, script = message.script.partition(" ")
    return site + blank + script[len(said) :] if script.startswith(said) else message.script
