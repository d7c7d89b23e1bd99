"""The messages in a qmail queue, one after the other, as its files say."""

import functools
import itertools
import time
from array import array
from bisect import bisect_left
from typing import Callable, Generator, List, Optional, Tuple

from .. import scanner
from ..scanner import PRIME, Scanner
from .layout import Layout, SettledDirectory
from .message import QmailMessage, read

# Seconds before a look at the queue, in which what was written counts as new: file systems have clocks of their own.
_SLACK = 2


def scan(
    layout: Layout, unreadable: List[Tuple[str, str]], wanted: Optional[Callable[[QmailMessage], bool]] = None
) -> Generator[QmailMessage, None, int]:
    """Yield the messages of a queue, each once, reading only.

    Files without todo and info are the rest of something, or are just being made: no messages. A big queue is read by
    several processes at once.

    :param unreadable: gets (path, why) of what could not be read, or isn't qmail's
    :param wanted: says of a message whether it is yielded; asked in the process that reads. None: all
    :returns: yields messages that no longer need their files; the generator's value is how many there were
    """
    return scanner.scan(functools.partial(QmailScanner, layout, wanted), QmailMessage.from_summary, unreadable)


def gather(layout: Layout, unreadable: List[Tuple[str, str]], wanted, found) -> int:
    """Add the messages that ``scan`` would yield to something; see ``backend.Queue.gather``.

    :returns: how many there were, wanted or not
    """
    return scanner.gather(functools.partial(QmailScanner, layout, wanted), found, unreadable)


class QmailScanner(Scanner):
    """See ``scanner.Scanner``."""

    def __init__(self, layout: Layout, wanted, unreadable, part=0, parts=1):
        super().__init__(unreadable, wanted, part, parts)
        self.layout = layout

    def messages(self):
        layout, unreadable, as_written = self.layout, self.unreadable, self.layout.as_written
        before = time.time() - _SLACK
        # A message moves from todo to info, so todo is read first. 8 bytes for each of a million.
        met = array("q")
        for number in self._mine("todo"):
            problems = len(unreadable)
            message = read(layout, number, unreadable, as_written)
            if message or len(unreadable) > problems:
                met.append(number)
            yield self._wanted(message)
        met = array("q", sorted(met))
        for rest in range(len(layout.directories("info"))):
            directory = SettledDirectory(layout, rest, before)
            for number in self._mine("info", rest):
                at = bisect_left(met, number) if met else 0
                if at == len(met) or met[at] != number:
                    yield self._wanted(read(directory, number, unreadable, as_written))

    def names(self):
        return itertools.chain(self.layout.numbers("todo"), self.layout.numbers("info"))

    def _mine(self, part, only=None):
        mine, parts = self.part, self.parts
        for number in self.layout.numbers(part, self.unreadable if mine == 0 else None, only):
            if number % PRIME % parts == mine:
                yield number

    def _wanted(self, message):
        if message is None:
            return None
        self.met += 1
        return message.work_out() if self.wanted is None or self.wanted(message) else None
