"""Trying words at hashes, piece by piece, in this process or in several.

No word leaves a process: only which account was guessed, the class of the rule, and the word's keyed hash.
"""

import itertools
import os
import struct
import time
from bisect import bisect_right
from collections import namedtuple

from ...errors import UserError
from ...module_runner import place_of
from ...parallel import together
from ..hashes.parse import Uncheckable, Unreadable, matcher
from . import cost, jobs, process_guard

# Words that are handed to a matcher at once, at most; and seconds that this may take.
_BLOCK = 5000
_BLOCK_SECONDS = 0.05

# A guess that takes so many times longer than any may is the last one at its hash: it was measured badly.
_MISJUDGED = 2

_TOKEN = struct.Struct("=q")

# What an answer is to weigh for ``together``: to be told at once.
_AT_ONCE = 1000

# In place of a job's number in an answer: a process waited because the host was busy; or could not be protected.
WAITED = -1
UNPROTECTED = -2


# What a process must know to try words.
#   own:      callable, as ``rounds.Words.own``
#   word_mac: callable, word (bytes) -> str
#   limits:   ``guessing.Limits``
Trial = namedtuple("Trial", "own word_mac limits")

# Words that all accounts share: list of bytes; their kinds as [(index of the first, kind)]; the position of the first.
General = namedtuple("General", "words kinds base")


class Worker:
    """Does pieces of jobs, in this process or a forked one.

    :param list work: of ``jobs.Job``
    :param list pieces: of (index of the job, number of the piece)
    :param General general: those words that the jobs need
    :param Trial trial: what else there is to know
    :param float deadline: on the monotonic clock
    """

    def __init__(self, work, pieces, general, trial, deadline):
        self._jobs, self._pieces, self._general = work, pieces, general
        self._trial, self._deadline = trial, deadline
        self._next_look = 0.0

    def work(self, turns):
        """Iterator of (weight, answer), as ``together`` wants it.

        An answer is (number of the job, of the piece, words done, seconds, hits, whether its words ended, failure);
        or (``WAITED``, seconds).

        :param turns: iterator of indices of pieces, those that this process is to do
        """
        told = time.monotonic()
        for turn in turns:
            yield from self._wait()
            index, piece = self._pieces[turn]
            answer = self._piece(self._jobs[index], piece)
            now = time.monotonic()
            yield _AT_ONCE if now - told > jobs.PIECE else 1, (index, piece) + answer
            if now - told > jobs.PIECE:
                told = now
            if now >= self._deadline:
                return

    def _wait(self):
        began = now = time.monotonic()
        if now < self._next_look:
            return
        while now < self._deadline and self._is_too_busy():
            time.sleep(jobs.PIECE)
            yield _AT_ONCE, None
            now = time.monotonic()
        self._next_look = now + 1
        if now > began:
            yield 1, (WAITED, now - began)

    def _piece(self, job, piece):
        began = time.monotonic()
        start, stop = job.bounds(piece)
        try:
            words, kind_of, has_ended = self._words_of(job, start, stop)
            done, hits = self._try(job, words, start, kind_of)
        except Uncheckable as error:
            return 0, 0.0, [], False, error.reason
        except Exception as error:
            # The text of an exception may quote a word.
            return 0, 0.0, [], False, "harden-mail has a defect, {0}; please report it".format(place_of(error))
        return done, time.monotonic() - began, hits, has_ended and done == len(words), None

    def _try(self, job, words, start, kind_of):
        """(words done, hits) of a piece; hits as [(place of the target, kind, keyed hash of the word)]."""
        wanted = {}
        for place, target in enumerate(job.targets):
            wanted.setdefault(target.digest, []).append(place)
        match = matcher(job.targets[0].group, wanted)
        # What a guess costs may be known badly: more and more at once, as long as it is quick.
        block = max(1, min(_BLOCK, int(_BLOCK_SECONDS / 10 / job.cost)))
        hits, found, done, now = [], set(), 0, time.monotonic()
        while done < len(words):
            some, spent = words[done : done + block], time.process_time()
            for index, digest in match(some):
                for place in wanted[digest]:
                    position = start + done + index
                    if place not in found and self._counts(job, place, position):
                        found.add(place)
                        hits.append((place, kind_of(done + index), self._trial.word_mac(some[index])))
            done += len(some)
            if not hits and time.process_time() - spent > _MISJUDGED * cost.MOST_SECONDS * len(some):
                raise Unreadable(cost.too_slow())
            began, now = now, time.monotonic()
            if len(found) == len(job.targets) or now >= self._deadline:
                break
            if now - began < _BLOCK_SECONDS / 2:
                block = min(_BLOCK, block * 2)
        return done, hits

    def _words_of(self, job, start, stop):
        """Words of a piece and their kinds: (list, callable from index to kind, whether there are no more)."""
        if job.is_own:
            target = job.targets[0]
            found = list(itertools.islice(self._trial.own(target.name, target.hints), start, stop))
            return [word for word, _ in found], lambda index: found[index][1], len(found) < stop - start
        words, kinds, base = self._general
        firsts = [first for first, _ in kinds]
        return (
            words[start - base : stop - base],
            lambda index: kinds[bisect_right(firsts, start - base + index) - 1][1],
            False,
        )

    def _is_too_busy(self):
        """Whether others on this host have work to do; what our own processes add is no reason to wait."""
        limits = self._trial.limits
        return limits.max_load is not None and os.getloadavg()[0] - limits.processes > limits.max_load

    @staticmethod
    def _counts(job, place, position):
        entry = job.targets[place].entry
        return (entry.own if job.is_own else entry.general) <= position < job.stops[place]


def shared(worker, processes, number):
    """Answers of several processes, each of which takes the next piece whenever it has done one.

    :param int number: of pieces, in all
    :raises UserError: one of them was killed
    """
    reader, writer = os.pipe()
    # Who has read the token is the only one who has it, until it writes the next number.
    os.write(writer, _TOKEN.pack(0))

    def turns():
        while True:
            (turn,) = _TOKEN.unpack(os.read(reader, _TOKEN.size))
            os.write(writer, _TOKEN.pack(turn + 1))
            if turn >= number:
                return
            yield turn

    def work(_part):
        if process_guard.protect_fork():
            yield 1, (UNPROTECTED, 0)
        yield from worker.work(turns())

    try:
        yield from together(processes, work)
    except RuntimeError:
        raise UserError(
            "A process that tried passwords was killed, perhaps for want of memory; what was found is kept."
        ) from None
    finally:
        os.close(reader)
        os.close(writer)
