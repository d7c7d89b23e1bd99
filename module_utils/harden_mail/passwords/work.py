"""Guessing: in rounds over all accounts, shared among processes, within limits of time and number.

A round brings every account to the same number of guesses, first its own, then general ones (``candidates.QUOTAS``).
It is done in waves: some more words for each account that is behind, as many as will take a few seconds. A wave is cut
into pieces, words to be tried against hashes of one group, which the processes take one after another. So nobody is
ever more than a wave ahead of the others, also where time runs out; and since a piece counts only when all before it
are done, an audit that was stopped anywhere goes on as if it had not been.

Hashes that are quick to try go their rounds apart from the slow ones, in a quarter of the time at most: they need next
to nothing, and would otherwise wait for days.

No word leaves a process: only which account was guessed, the class of the rule, and the word's keyed hash.
"""

import itertools
import os
import struct
import time
from bisect import bisect_right
from collections import namedtuple

from ..errors import UserError
from ..surface import place_of
from ..together import together
from .hashes import Uncheckable, matcher, speed_class
from .process_guard import protect_fork

# Seconds (of a processor) that a wave is meant to take, and a piece.
_WAVE = 5.0
_PIECE = 0.5

# Processes are not worth their start for less than this, seconds.
_ALONE = 0.2

# Words of a wave at most, so that memory does not grow with the lists.
_MOST_WORDS = 100000

# Words that are handed to a matcher at once, at most; and seconds that this may take.
_BLOCK = 5000
_BLOCK_SECONDS = 0.05

# Seconds that a guess takes, until it is known.
_FIRST_COST = {"plain": 2e-7, "fast": 3e-6, "slow": 2e-3}

# The share of the time that quick hashes may take while slow ones wait.
_QUICK_SHARE = 0.25

# Buckets of a result end here: a finer or higher one would be a position in a public list.
_LARGEST_BUCKET = 10000

_TOKEN = struct.Struct("=q")

# What an answer is to weigh for ``together``: to be told at once.
_AT_ONCE = 1000

# In place of a job's number in an answer: a process waited because the host was busy.
_WAITED = -1

# The guesses.
#   own:     callable, (name, hints) -> iterator of (bytes word, str kind)
#   general: callable, () -> iterator of (list of bytes words, str kind)
#   quotas:  as candidates.QUOTAS
Words = namedtuple("Words", "own general quotas")

# What is not to be exceeded; None: no limit.
#   seconds:             of time from now, in all
#   seconds_per_account: of a processor
#   guesses_per_account: number
#   processes:           how many
#   max_load:            load average of others
Limits = namedtuple("Limits", "seconds seconds_per_account guesses_per_account processes max_load")


class Target:
    """An account at whose password is guessed.

    :ivar str name: account
    :ivar tuple hints: see ``account.Account``
    :ivar str scheme: of its hash; as ``hashes.Hash``, as the next two
    :ivar group: what it shares with others
    :ivar digest: secret
    :ivar entry: ``notebook.Entry``
    :ivar failure: str, why nothing can be tried, or None
    """

    __slots__ = ("cost", "digest", "entry", "failure", "group", "hints", "name", "scheme")

    def __init__(self, name, hints, found, entry):
        self.name, self.hints, self.entry = name, hints, entry
        self.scheme, self.group, self.digest = found.scheme, found.group, found.digest
        self.failure = self.cost = None

    def __repr__(self):
        return "Target({0!r})".format(self.name)


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


class _Job:
    """Hashes of one group and the positions of words to be tried against them; and the pieces of that work.

    :ivar bool is_own: the words are the account's own
    :ivar list targets: all of one group
    :ivar list stops: of each target, where it ends for it
    """

    __slots__ = ("answers", "is_own", "next_piece", "start", "step", "stop", "stops", "targets")

    def __init__(self, is_own, targets, start, stops, cost):
        self.is_own, self.targets, self.start, self.stops = is_own, targets, start, stops
        self.stop = max(stops)
        self.step = max(1, min(self.stop - start, int(_PIECE / cost)))
        self.answers, self.next_piece = {}, 0

    def end_at(self, stop):
        """There are no more words than that."""
        self.stop = min(self.stop, stop)

    def pieces(self):
        return range(-(-max(0, self.stop - self.start) // self.step))

    def bounds(self, piece):
        start = self.start + piece * self.step
        return start, min(self.stop, start + self.step)


class _Lane:
    """Targets that go their rounds together."""

    def __init__(self, targets, stream):
        self.targets, self.stream, self.seconds = targets, stream, 0.0


class Guessing:
    """The guessing at all accounts of a host.

    :param list targets: of :class:`Target`, no two with the same entry
    :param Words words: the guesses
    :param Limits limits: what is not to be exceeded
    :param word_mac: callable, word (bytes) -> str
    :ivar Limits limits: these; may be set to others, to ask what would be left with them
    :ivar float waited: seconds that processes waited because others had work to do
    """

    def __init__(self, targets, words, limits, word_mac):
        self._words, self.limits, self._word_mac = words, limits, word_mac
        self._rounds = Rounds(words.quotas)
        quick = [target for target in targets if speed_class(target.group) != "slow"]
        slow = [target for target in targets if speed_class(target.group) == "slow"]
        self._lanes = [_Lane(some, Stream(words.general)) for some in (quick, slow) if some]
        self._costs = {}
        self.waited = 0.0

    def run(self, between):
        """Guess until everything was tried or a limit is reached.

        :param between: callable, called now and then while entries are in order, to have them saved
        :returns: bool, whether nothing is left to be tried within the limits of each account
        """
        now = time.monotonic()
        deadline = now + self.limits.seconds
        while True:
            busy = [(lane, number, behind) for lane in self._lanes for number, behind in [self._behind(lane)] if behind]
            if not busy:
                return True
            if now >= deadline:
                return False
            lane, number, behind = busy[0]
            if len(busy) > 1 and lane.seconds > _QUICK_SHARE * sum(other.seconds for other in self._lanes):
                lane, number, behind = busy[1]
            began = now
            # A wave of quick ones may be long; while others wait, it ends early, and the rest is for the next one.
            end = deadline if len(busy) == 1 else min(deadline, now + _WAVE * 2)
            self._carry_out(lane, self._wave(number, behind, deadline - now), number, end, between)
            now = time.monotonic()
            lane.seconds += now - began
            between()

    def everyones(self):
        """In so many guesses nobody who is not guessed yet was left out; None: in all that there are."""
        numbers = [number for lane in self._lanes for number, behind in [self._behind(lane)] if behind]
        if not numbers:
            return None
        return self._rounds.limits[min(numbers) - 1][2] if min(numbers) else 0

    def _behind(self, lane):
        """The lowest round that somebody is in, and who is: (number, targets)."""
        lowest, found = len(self._rounds.limits), []
        for target in lane.targets:
            if self._is_through(target):
                continue
            number = self._rounds.of(target.entry)
            if number < lowest:
                lowest, found = number, []
            if number == lowest < len(self._rounds.limits):
                found.append(target)
        return lowest, found

    def _is_through(self, target):
        entry, limits = target.entry, self.limits
        return (
            entry.kind is not None
            or target.failure is not None
            or (limits.guesses_per_account is not None and entry.tried >= limits.guesses_per_account)
            or (limits.seconds_per_account is not None and entry.seconds >= limits.seconds_per_account)
        )

    # --- a wave -------------------------------------------------------------------------------------------

    def _wave(self, number, behind, seconds):
        """The jobs of the next wave."""
        own_limit, general_limit, _ = self._rounds.limits[number]
        own = [target for target in behind if not target.entry.own_ended and target.entry.own < own_limit]
        if own:
            # Who has had least is first, should the time not suffice for all.
            own.sort(key=lambda target: target.entry.own)
            # Their making costs more than a quick hash, and begins anew with each wave.
            is_quick = speed_class(own[0].group) != "slow"
            share = own_limit if is_quick else self._share([[target] for target in own], seconds)
            return [self._own_job(target, min(own_limit, target.entry.own + share)) for target in own]
        start = min(target.entry.general for target in behind)
        groups = {}
        for target in behind:
            groups.setdefault(target.group, []).append(target)
        share = self._share(groups.values(), seconds)
        stop = start + share if general_limit is None else min(general_limit, start + share)
        jobs = [self._general_job(targets, stop) for targets in groups.values()]
        return [job for job in jobs if job]

    def _share(self, works, seconds):
        """So many words are enough for a wave of some works, lists of targets that share it."""
        cost = sum(self._cost(targets[0]) for targets in works)
        return max(1, min(_MOST_WORDS, int(min(_WAVE, seconds) * self.limits.processes / cost)))

    def _own_job(self, target, stop):
        start = target.entry.own
        return _Job(True, [target], start, [self._allowed(target, start, stop)], self._cost(target))

    def _general_job(self, targets, stop):
        targets = [target for target in targets if target.entry.general < stop]
        if not targets:
            return None
        stops = [self._allowed(target, target.entry.general, stop) for target in targets]
        start = min(target.entry.general for target in targets)
        return _Job(False, targets, start, stops, self._cost(targets[0]))

    def _allowed(self, target, start, stop):
        """Where the limits of an account end; at least one guess is left."""
        limits, entry = self.limits, target.entry
        if limits.guesses_per_account is not None:
            stop = min(stop, start + limits.guesses_per_account - entry.tried)
        if limits.seconds_per_account is not None:
            left = limits.seconds_per_account - entry.seconds
            stop = min(stop, start + max(1, int(min(stop - start, left / self._cost(target)))))
        return stop

    def _cost(self, target):
        """Seconds that a guess takes: as it was for this account, for its scheme, or as it mostly is."""
        if target.cost is not None:
            return target.cost
        if target.scheme not in self._costs:
            self._costs[target.scheme] = _FIRST_COST[speed_class(target.group)]
        return self._costs[target.scheme]

    def _carry_out(self, lane, jobs, number, deadline, between):
        general = [job for job in jobs if not job.is_own]
        words = ([], [])
        base = 0
        if general:
            base = min(job.start for job in general)
            words = lane.stream.take(base, max(job.stop for job in general), deadline)
            for job in general:
                job.end_at(base + len(words[0]))
        pieces = [(index, piece) for index, job in enumerate(jobs) for piece in job.pieces()]
        expected = sum(self._cost(job.targets[0]) * (job.stop - job.start) for job in jobs)
        processes = min(self.limits.processes, len(pieces))
        worker = _Worker(jobs, pieces, words, base, self, deadline)
        if processes < 2 or expected < _ALONE:
            answers = (answer for _, answer in worker.work(iter(range(len(pieces)))) if answer)
        else:
            answers = _shared(worker, processes, len(pieces))
        for index, piece, *answer in answers:
            if index == _WAITED:
                self.waited += piece
                continue
            job = jobs[index]
            job.answers[piece] = answer
            self._take(job, number)
            between()
        if general and lane.stream.length is not None:
            for job in general:
                for target in job.targets:
                    if target.failure is None and target.entry.general >= lane.stream.length:
                        target.entry.general_ended = True

    def _take(self, job, number):
        """Make entries of the answers to a job's pieces, as far as there is none missing before them."""
        while job.next_piece in job.answers:
            start, stop = job.bounds(job.next_piece)
            done, seconds, hits, has_ended, failure = job.answers.pop(job.next_piece)
            job.next_piece += 1
            if failure is not None:
                for target in job.targets:
                    target.failure = failure
                # Later pieces may have gone well; their words count when those of this one were tried, the next time.
                job.next_piece = -1
                return
            for place, kind, word_mac in hits:
                entry = job.targets[place].entry
                if entry.kind is None:
                    entry.guess(kind, self._rounds.bucket(number), word_mac)
            self._note_costs(job, done, seconds)
            for target, limit in zip(job.targets, job.stops):
                if target.entry.kind is not None:
                    continue
                reached = min(limit, start + done)
                if job.is_own:
                    target.entry.own = max(target.entry.own, reached)
                    target.entry.own_ended = has_ended
                else:
                    target.entry.general = max(target.entry.general, reached)
            if start + done < stop:
                # The time was over, or there are no more words: what other processes have done beyond is done anew.
                job.next_piece = -1

    def _note_costs(self, job, done, seconds):
        share = seconds / len(job.targets)
        for target in job.targets:
            if target.entry.kind is None:
                target.entry.seconds += share
        if done:
            cost = max(seconds / done, 1e-8)
            self._costs[job.targets[0].scheme] = cost
            for target in job.targets:
                target.cost = cost

    # --- in a process -------------------------------------------------------------------------------------

    def words_of(self, job, start, stop, words, base):
        """Words of a piece and their kinds: (list, callable from index to kind, whether there are no more)."""
        if job.is_own:
            target = job.targets[0]
            found = list(itertools.islice(self._words.own(target.name, target.hints), start, stop))
            return [word for word, _ in found], lambda index: found[index][1], len(found) < stop - start
        some, kinds = words
        firsts = [first for first, _ in kinds]
        return (
            some[start - base : stop - base],
            lambda index: kinds[bisect_right(firsts, start - base + index) - 1][1],
            False,
        )

    def mac_of(self, word):
        return self._word_mac(word)

    def cost_of(self, job):
        return self._cost(job.targets[0])

    def is_too_busy(self):
        """Whether others on this host have work to do; what our own processes add is no reason to wait."""
        limit = self.limits.max_load
        return limit is not None and os.getloadavg()[0] - self.limits.processes > limit


class _Worker:
    """Does pieces of jobs, in this process or a forked one."""

    def __init__(self, jobs, pieces, words, base, guessing, deadline):
        self._jobs, self._pieces, self._words, self._base = jobs, pieces, words, base
        self._guessing, self._deadline = guessing, deadline
        self._next_look = 0.0

    def work(self, turns):
        """Iterator of (weight, answer), as ``together`` wants it.

        An answer is (number of the job, of the piece, words done, seconds, hits, whether its words ended, failure);
        or (``_WAITED``, seconds).

        :param turns: iterator of indices of pieces, those that this process is to do
        """
        told = time.monotonic()
        for turn in turns:
            yield from self._wait()
            index, piece = self._pieces[turn]
            answer = self._piece(self._jobs[index], piece)
            now = time.monotonic()
            yield _AT_ONCE if now - told > _PIECE else 1, (index, piece) + answer
            if now - told > _PIECE:
                told = now
            if now >= self._deadline:
                return

    def _wait(self):
        began = now = time.monotonic()
        if now < self._next_look:
            return
        while now < self._deadline and self._guessing.is_too_busy():
            time.sleep(_PIECE)
            yield _AT_ONCE, None
            now = time.monotonic()
        self._next_look = now + 1
        if now > began:
            yield 1, (_WAITED, now - began)

    def _piece(self, job, piece):
        began = time.monotonic()
        start, stop = job.bounds(piece)
        try:
            words, kind_of, has_ended = self._guessing.words_of(job, start, stop, self._words, self._base)
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
        block = max(1, min(_BLOCK, int(_BLOCK_SECONDS / 10 / self._guessing.cost_of(job))))
        hits, found, done, now = [], set(), 0, time.monotonic()
        while done < len(words):
            some = words[done : done + block]
            for index, digest in match(some):
                for place in wanted[digest]:
                    position = start + done + index
                    if place not in found and self._counts(job, place, position):
                        found.add(place)
                        hits.append((place, kind_of(done + index), self._guessing.mac_of(some[index])))
            done += len(some)
            began, now = now, time.monotonic()
            if len(found) == len(job.targets) or now >= self._deadline:
                break
            if now - began < _BLOCK_SECONDS / 2:
                block = min(_BLOCK, block * 2)
        return done, hits

    @staticmethod
    def _counts(job, place, position):
        entry = job.targets[place].entry
        return (entry.own if job.is_own else entry.general) <= position < job.stops[place]


def _shared(worker, processes, number):
    """Answers of several processes, each of which takes the next piece whenever it has done one."""
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
        protect_fork()
        return worker.work(turns())

    try:
        yield from together(processes, work)
    except RuntimeError:
        raise UserError(
            "A process that tried passwords was killed, perhaps for want of memory; what was found is kept."
        ) from None
    finally:
        os.close(reader)
        os.close(writer)
