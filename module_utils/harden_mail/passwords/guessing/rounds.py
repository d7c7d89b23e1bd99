"""In which order guesses are tried: round by round over all accounts, an account's own before those that all share."""

import time
from collections import namedtuple

# Buckets of a result end here: a finer or higher one would be a position in a public list.
_LARGEST_BUCKET = 10000

# The guesses.
#   own:     callable, (name, hints) -> iterator of (bytes word, str kind)
#   general: callable, () -> iterator of (list of bytes words, str kind)
#   quotas:  as candidates.QUOTAS
Words = namedtuple("Words", "own general quotas")


class Rounds:
    """What belongs to which round.

    :param quotas: as ``candidates.QUOTAS``
    """

    def __init__(self, quotas):
        # (own guesses, general guesses, guesses in all); in the last round, all general ones that there are.
        self.limits = [(own, total - own, total) for total, own in quotas]
        self.limits.append((self.limits[-1][0], None, None))

    def of(self, entry):
        """Number of the round that an entry is in; ``len(limits)``: it is through."""
        own, general = entry.own, entry.general
        own_ended, general_ended = entry.own_ended, entry.general_ended
        for number, (own_limit, general_limit, _) in enumerate(self.limits):
            if not own_ended and own < own_limit:
                return number
            if not general_ended and (general_limit is None or general < general_limit):
                return number
        return len(self.limits)

    def bucket(self, number):
        """Within how many guesses a hit of a round is; None: more."""
        total = self.limits[number][2]
        return total if total is not None and total <= _LARGEST_BUCKET else None

    def guesses_before(self, number):
        """Guesses (int) that who is in a round has had; None: all that there are."""
        if number >= len(self.limits):
            return None
        return self.limits[number - 1][2] if number else 0


class Stream:
    """The general guesses, of which some are looked at after others."""

    def __init__(self, make):
        self._make, self._position, self._batches, self._rest = make, 0, None, ([], None)
        self.length = None

    def take(self, start, stop, deadline=None):
        """Guesses of these positions, or as many as there are: (list of words, list of (position, kind)).

        :param deadline: on the monotonic clock; when it comes before the first of these is reached, there are none, and
            the next call goes on from there
        """
        if self._batches is None or start < self._position:
            self._batches, self._position, self._rest = iter(self._make()), 0, ([], None)
        words, kinds = [], []
        while self._position < stop:
            batch, kind = self._rest
            if not batch:
                if deadline is not None and self._position < start and time.monotonic() >= deadline:
                    break
                try:
                    self._rest = next(self._batches)
                except StopIteration:
                    self.length = self._position
                    break
                continue
            wanted = stop - self._position
            taken, left = (batch, []) if len(batch) <= wanted else (batch[:wanted], batch[wanted:])
            skipped = max(0, start - self._position)
            if skipped < len(taken):
                kinds.append((len(words), kind))
                words += taken[skipped:] if skipped else taken
            self._position += len(taken)
            self._rest = (left, kind)
        return words, kinds
