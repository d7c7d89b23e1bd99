"""The files of a qmail queue, and where they are.

Sources: qmail's ``INTERNALS``, ``qmail-queue.c``, ``qmail-send.c``, ``qmail-qread.c``. A message has a number N, the
inode of ``mess/N`` when it was made. ``todo/N`` is its envelope as it was submitted, ``u<uid>\\0p<pid>\\0F<sender>\\0``
and ``T<recipient>\\0`` for each. Of it, qmail-send makes ``info/N`` (``F<sender>\\0``, its time is the arrival),
``local/N`` and ``remote/N`` (``T<recipient>\\0``; the first letter becomes D when it is done, and when all are, the
file goes).
"""

import contextlib
import itertools
import os
import re
from typing import Optional

from .virtual_domains import VirtualDomains

PARTS = ("mess", "info", "local", "remote", "bounce", "todo", "intd")

# Split in every qmail, all by the same number; the big-todo patch splits todo, and often intd, by that too.
_ALWAYS_SPLIT = ("mess", "info", "local", "remote")
_SOMETIMES_SPLIT = ("todo", "intd")

# No inode has more digits.
_NUMBER = re.compile(r"[1-9][0-9]{0,18}\Z")

# Names of a directory that are remembered.
_FEW = 50000


class Layout:
    """Where the parts of a message are in a queue: ``PART/ID``, or ``PART/ID % split/ID``.

    :ivar str directory: the queue's, as this process reaches it
    :ivar dict split: part -> number of directories, 0: not split
    :ivar str mutex: the file that qmail-send has locked while it runs
    """

    def __init__(self, directory, split):
        self.directory, self.split = directory, split
        self.mutex = os.path.join(directory, "lock", "sendmutex")
        self._tops = {part: "{0}/{1}/".format(directory, part) for part in PARTS}
        self._virtual = None

    @classmethod
    def detect(cls, directory: str) -> Optional["Layout"]:
        """The layout of a queue, or None: this is none.

        How much a part is split was decided when qmail was built, and is found by counting.
        """
        found = {part: _subdirectories(os.path.join(directory, part)) for part in PARTS}
        numbers = {found[part] for part in _ALWAYS_SPLIT}
        if None in found.values() or len(numbers) > 1 or numbers == {0}:
            return None
        number = numbers.pop()
        split = dict.fromkeys(PARTS, 0)
        split.update(dict.fromkeys(_ALWAYS_SPLIT, number))
        split.update({part: number for part in _SOMETIMES_SPLIT if found[part] >= number})
        layout = cls(directory, split)
        return layout if os.path.isfile(layout.mutex) else None

    def path(self, part, number):
        split = self.split[part]
        if split:
            return self._tops[part] + str(number % split) + "/" + str(number)
        return self._tops[part] + str(number)

    def directories(self, part=None):
        """All directories that hold files, of one part or of all."""
        found = []
        for name in (part,) if part else PARTS:
            top = os.path.join(self.directory, name)
            found += [os.path.join(top, str(number)) for number in range(self.split[name])] or [top]
        return found

    def numbers(self, part, unreadable=None, only=None):
        """Yield the numbers that have this part.

        :param list unreadable: gets (path, why) of what else lies there
        :param int only: those of this one of its directories (None: of all)
        """
        is_number, split = _NUMBER.match, self.split[part] or 1
        for rest, directory in enumerate(self.directories(part)):
            if only not in (None, rest):
                continue
            with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
                for entry in entries:
                    name = entry.name
                    number = int(name) if is_number(name) else -1
                    if number > 0 and number % split == rest:
                        yield number
                    elif unreadable is not None:
                        unreadable.append((entry.path, "not a file of qmail's"))

    def count(self, part):
        return sum(1 for _ in self.numbers(part))

    def as_written(self, address):
        """A local recipient as the sender wrote it: ``control/virtualdomains`` has put a user's name before it."""
        if self._virtual is None:
            control = os.path.join(os.path.dirname(self.directory), "control", "virtualdomains")
            self._virtual = VirtualDomains(control)
        return self._virtual.as_written(address)


class SettledDirectory:
    """One directory of info, and the others of those messages, for messages that are settled: that were complete before
    a look at the queue began.

    Such a message is in todo no more, and has no channels but those that were seen after that. Who asks for others, for
    each message, takes a quarter of all the time.

    :ivar Layout layout: that it is of
    :ivar float before: what was changed since then is not settled
    :ivar str mess: with info, the paths that the numbers are to be put behind
    """

    def __init__(self, layout, rest, before):
        self.layout, self.before = layout, before
        tops = {part: layout.directories(part)[rest] for part in _ALWAYS_SPLIT}
        self._tops = {part: top + "/" for part, top in tops.items()}
        self.mess, self.info = self._tops["mess"], self._tops["info"]
        self._names = {part: _names(tops[part]) for part in ("local", "remote")}

    def path(self, part, number):
        return self._tops[part] + str(number)

    def has(self, part, name):
        """Whether a message may have this channel."""
        names = self._names[part]
        return names is None or name in names


def _names(directory):
    """The names in a directory, a set; None: they are too many, or not to be had."""
    try:
        with os.scandir(directory) as entries:
            names = {entry.name for entry in itertools.islice(entries, _FEW + 1)}
    except OSError:
        return None
    return names if len(names) <= _FEW else None


def _subdirectories(directory):
    """How many directories there are with the names 0, 1, ... in a row; None: there is no such directory."""
    if not os.path.isdir(directory):
        return None
    return next(number for number in itertools.count() if not os.path.isdir(os.path.join(directory, str(number))))
