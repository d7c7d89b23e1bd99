"""Guessing: in rounds over all accounts, shared among processes, within limits of time and number.

A round brings every account of a speed group to the same number of guesses, first its own, then general ones
(``candidates.QUOTAS``). It is done in waves: some more words for each account that is behind, as many as will take a
few seconds. A wave is cut into pieces, words to be tried against hashes of one group, which the processes take one
after another. So nobody is ever more than a wave ahead of the others in the speed group, also where time runs out; and
since a piece counts only when all before it are done, an audit that was stopped anywhere goes on as if it had not been.

Speed groups are of hashes whose guesses take about as long, and have their turns by time (``speed_groups.py``).
"""

import time
from collections import namedtuple

from ..hashes.parse import speed_class
from . import cost
from .jobs import Job
from .rounds import Rounds
from .speed_groups import next_of, speed_groups_of
from .worker import UNPROTECTED, WAITED, General, Trial, Worker, shared

# Seconds (of a processor) that a wave is meant to take.
_WAVE = 5.0

# Processes are not worth their start for less than this, seconds.
_ALONE = 0.2

# Words of a wave at most, so that memory does not grow with the lists.
_MOST_WORDS = 100000

# Of all accounts, so many may be behind the others without being what "everyone" has had.
_BEHIND_SHARE = 0.25

# What is not to be exceeded; None: no limit.
#   seconds:             of time from now, in all
#   seconds_per_account: of a processor
#   guesses_per_account: number
#   processes:           how many
#   max_load:            load average of others
Limits = namedtuple("Limits", "seconds seconds_per_account guesses_per_account processes max_load")


class Guessing:
    """The guessing at all accounts of a host.

    :param list targets: of :class:`Target`, no two with the same entry
    :param Words words: the guesses
    :param Limits limits: what is not to be exceeded
    :param word_mac: callable, word (bytes) -> str
    :ivar Limits limits: these; may be set to others, to ask what would be left with them
    :ivar float waited: seconds that processes waited because others had work to do
    :ivar bool unprotected: whether ``process_guard`` could not protect one of them as it ought to be
    """

    def __init__(self, targets, words, limits, word_mac):
        self._words, self.limits, self._word_mac = words, limits, word_mac
        self._rounds = Rounds(words.quotas)
        self._targets = targets
        self._speed_groups = speed_groups_of(targets, words.general)
        # Of quick hashes, seconds that a guess took at last, by scheme.
        self._costs = {}
        self.waited, self.unprotected = 0.0, False

    def run(self, between):
        """Guess until everything was tried or a limit is reached.

        :param between: callable, called now and then while entries are in order, to have them saved
        :returns: bool, whether nothing is left to be tried within the limits of each account
        """
        now = time.monotonic()
        deadline = now + self.limits.seconds
        while True:
            busy = self._busy()
            if not busy:
                return True
            if now >= deadline:
                return False
            everything = sum(speed_group.seconds for speed_group in self._speed_groups)
            turn = next_of(
                [(speed_group, behind, left) for speed_group, _, behind, left in busy], everything, self._wave_seconds()
            )
            speed_group, number, behind, _ = busy[turn]
            began = now
            # A wave may be longer than it was meant to be; while others wait, it ends early.
            end = deadline if len(busy) == 1 else min(deadline, now + _WAVE * 2)
            self._carry_out(speed_group, self._wave(number, behind, deadline - now), number, end, between)
            now = time.monotonic()
            speed_group.seconds += now - began
            between()

    @property
    def is_finished(self):
        """Whether nothing is left to be tried within the limits of each account."""
        return not self._busy()

    def reached(self):
        """How far it is: (guesses that everyone has had who is not guessed yet, accounts that have had fewer).

        The first is None where there are no more. Behind are accounts that can't be tried, that had the time of an
        account, and that are in speed groups behind the others, a quarter of all in all at most.
        """
        behind, speed_groups, end = 0, [], len(self._rounds.limits)
        for speed_group in self._speed_groups:
            lowest, number = end, 0
            for target in speed_group.targets:
                is_guessed = target.entry.kind is not None
                if not is_guessed and (target.failure is not None or self._had_its_time(target.entry)):
                    behind += 1
                    continue
                number += 1
                if not self._is_through(target):
                    lowest = min(lowest, self._rounds.of(target.entry))
            if number:
                speed_groups.append((lowest, number))
        speed_groups.sort()
        while len(speed_groups) > 1 and speed_groups[0][0] < speed_groups[1][0]:
            if behind + speed_groups[0][1] > _BEHIND_SHARE * len(self._targets):
                break
            behind += speed_groups.pop(0)[1]
        return self._rounds.guesses_before(speed_groups[0][0] if speed_groups else end), behind

    def _busy(self):
        """Speed groups in which something is left: list of (speed group, round, targets in it, guesses left)."""
        found = []
        for speed_group in self._speed_groups:
            number, behind = self._behind(speed_group)
            if behind:
                total = self._rounds.limits[number][2]
                left = _MOST_WORDS if total is None else max(1, total - max(one.entry.tried for one in behind))
                found.append((speed_group, number, behind, left))
        return found

    def _wave_seconds(self):
        return _WAVE * self.limits.processes

    def _behind(self, speed_group):
        """The lowest round that somebody is in, and who is: (number, targets)."""
        lowest, found = len(self._rounds.limits), []
        for target in speed_group.targets:
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
            or self._had_its_time(entry)
        )

    def _had_its_time(self, entry):
        limit = self.limits.seconds_per_account
        return limit is not None and entry.seconds >= limit

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
        each = sum(self._cost(targets[0]) for targets in works)
        return max(1, min(_MOST_WORDS, int(min(_WAVE, seconds) * self.limits.processes / each)))

    def _own_job(self, target, stop):
        start = target.entry.own
        return Job(True, [target], start, [self._allowed(target, start, stop)], self._cost(target))

    def _general_job(self, targets, stop):
        targets = [target for target in targets if target.entry.general < stop]
        if not targets:
            return None
        stops = [self._allowed(target, target.entry.general, stop) for target in targets]
        start = min(target.entry.general for target in targets)
        return Job(False, targets, start, stops, self._cost(targets[0]))

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
        if speed_class(target.group) == "slow":
            return cost.seconds(target.group)
        return self._costs.get(target.scheme) or cost.seconds(target.group)

    def _carry_out(self, speed_group, jobs, number, deadline, between):
        general = [job for job in jobs if not job.is_own]
        words = General([], [], 0)
        if general:
            base = min(job.start for job in general)
            words = General(*speed_group.stream.take(base, max(job.stop for job in general), deadline), base)
            for job in general:
                job.end_at(base + len(words.words))
        pieces = [(index, piece) for index, job in enumerate(jobs) for piece in job.pieces()]
        expected = sum(self._cost(job.targets[0]) * (job.stop - job.start) for job in jobs)
        processes = min(self.limits.processes, len(pieces))
        worker = Worker(jobs, pieces, words, Trial(self._words.own, self._word_mac, self.limits), deadline)
        if processes < 2 or expected < _ALONE:
            answers = (answer for _, answer in worker.work(iter(range(len(pieces)))) if answer)
        else:
            answers = shared(worker, processes, len(pieces))
        for index, piece, *answer in answers:
            if index == WAITED:
                self.waited += piece
                continue
            if index == UNPROTECTED:
                self.unprotected = True
                continue
            job = jobs[index]
            job.answers[piece] = answer
            self._take(job, number)
            between()
        if general and speed_group.stream.length is not None:
            for job in general:
                for target in job.targets:
                    if target.failure is None and target.entry.general >= speed_group.stream.length:
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
            each = max(seconds / done, 1e-8)
            self._costs[job.targets[0].scheme] = each
            for target in job.targets:
                target.cost = each
