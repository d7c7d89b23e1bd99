"""Whose turn it is: accounts whose guesses take about as long go their rounds together, and each account has its share.

What is shared is time, not the number of guesses: the next wave is for the speed group whose accounts have had the
least time each. So a hash of which one guess takes seconds holds nobody up. Nor does whoever writes thousands of
accounts: those of one writer or of one domain are a crowd when they are many, and all crowds have half of the time.
"""

import math
from collections import Counter

from ..hashes.parse import speed_class
from . import cost
from .rounds import Stream

# In a speed group, a guess takes at most so many times longer at one account than at another.
_SPAN = 4

# Hashes that are quick to try go ahead, in this share of the time while slow ones wait: they need next to nothing.
_QUICK_SHARE = 0.25

# All hashes together of which a guess takes so many seconds have this share at most while others wait: whoever can
# write many of them gets no more by it.
_DEAR_SECONDS = 0.5
_DEAR_SHARE = 0.25

# More accounts of one than this are a crowd. While others wait, all crowds have this share of the time, each as much as
# another.
MOST_OF_ONE = 500
_CROWDS_SHARE = 0.5

_QUICK = None


class SpeedGroup:
    """Targets that go their rounds together.

    :ivar list targets: of ``jobs.Target``
    :ivar Stream stream: the general guesses, as far as they are with them
    :ivar float seconds: of time that they had in this run
    :ivar bool is_quick: hashes that were not made to be slow
    :ivar bool is_dear: see ``_DEAR_SECONDS``
    :ivar crowd: as ``jobs.Target.crowd`` of all of them, where these are a crowd; else None
    """

    def __init__(self, key, stream, crowd=None):
        self.targets, self.stream, self.seconds, self.crowd = [], stream, 0.0, crowd
        self.is_quick = key is _QUICK
        self.is_dear = not self.is_quick and _SPAN**key >= _DEAR_SECONDS


def speed_groups_of(targets, general):
    """List of :class:`SpeedGroup`, the quickest first.

    :param general: as ``rounds.Words.general``
    """
    found, crowds = {}, Counter(target.crowd for target in targets if target.crowd is not None)
    for target in targets:
        crowd = target.crowd if crowds[target.crowd] > MOST_OF_ONE else None
        key = _key(target.group)
        if (key, crowd) not in found:
            found[key, crowd] = SpeedGroup(key, Stream(general), crowd)
        found[key, crowd].targets.append(target)
    return [found[key] for key in sorted(found, key=lambda key: -math.inf if key[0] is _QUICK else key[0])]


def _key(group):
    if speed_class(group) != "slow":
        return _QUICK
    return math.floor(math.log(cost.seconds(group), _SPAN))


def next_of(busy, everything, wave):
    """Which of some speed groups is to have the next wave.

    :param list busy: of (speed group, targets that it is about, guesses that each of them has left in its round), the
        quickest first; not empty
    :param float everything: seconds that all speed groups had in this run
    :param float wave: seconds of a processor that a wave is meant to take
    :returns: index in that list
    """
    candidates, everything = _of_one_crowd(busy, everything)
    first = busy[candidates[0]][0]
    if first.is_quick and len(candidates) > 1:
        if first.seconds <= _QUICK_SHARE * everything:
            return candidates[0]
        candidates = candidates[1:]
    cheap = [index for index in candidates if not busy[index][0].is_dear]
    dear_seconds = sum(busy[index][0].seconds for index in candidates if busy[index][0].is_dear)
    if cheap and dear_seconds >= _DEAR_SHARE * everything:
        candidates = cheap
    return min(candidates, key=lambda index: _after(*busy[index][1:], wave))


def _of_one_crowd(busy, everything):
    """Speed groups of the crowd whose turn it is, or of those who are in none: (their indices, their seconds)."""
    had, of_crowd = Counter(), {}
    for index, (speed_group, _, _) in enumerate(busy):
        had[speed_group.crowd] += speed_group.seconds
        of_crowd.setdefault(speed_group.crowd, []).append(index)
    of_crowds = sum(seconds for crowd, seconds in had.items() if crowd is not None)
    others = of_crowd.get(None)
    if others and (len(of_crowd) == 1 or of_crowds >= _CROWDS_SHARE * everything):
        return others, everything - of_crowds
    crowd = min((crowd for crowd in of_crowd if crowd is not None), key=lambda crowd: (had[crowd], of_crowd[crowd]))
    return of_crowd[crowd], had[crowd]


def _after(targets, left, wave):
    """Seconds of a processor that each of some targets will have had, more or less, after another wave."""
    had = sum(target.entry.seconds for target in targets)
    longest = max(cost.seconds(target.group) for target in targets)
    return (had + max(longest, min(wave, longest * left * len(targets)))) / len(targets)
