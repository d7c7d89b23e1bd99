"""The reading of a whole queue, by this process or by several: then each reads its part of the messages."""

import itertools
import os
from typing import Any, Callable, Generator, Iterable, Iterator, List, Optional, Tuple

from ..parallel import together
from .lazy_message import LazyMessage

# Greater than any stride between the inodes of messages (one in two may be that of a log), so that every process gets
# its share of them.
PRIME = 8191

# From so many messages on, several processes read, one for each processor, up to:
_MANY = 5000
_PROCESSES = 8

# Of so many messages a process notices that this one is gone.
_OFTEN = 100


class Scanner:
    """One look at a queue, or at a part of its messages: those whose inode says ``inode % PRIME % parts == part``.

    :ivar int met: how many messages there were, wanted or not; right when ``messages`` has come to its end
    """

    def __init__(
        self,
        unreadable: List[Tuple[str, str]],
        wanted: Optional[Callable[[LazyMessage], bool]],
        part: int = 0,
        parts: int = 1,
    ):
        """
        :param unreadable: gets (path, why) of what is no message that can be read; it is passed over
        :param wanted: says whether a message is; None: all are
        """
        self.unreadable, self.wanted = unreadable, wanted
        self.part, self.parts = part, parts
        self.met = 0

    def messages(self) -> Iterator[Optional[LazyMessage]]:
        """Yield those that are wanted, worked out, and None for each that is not, or no message."""
        raise NotImplementedError

    def names(self) -> Iterable:
        """Something for each message that there may be, without reading any."""
        raise NotImplementedError


def scan(
    scanner_of: Callable[..., Scanner], message_of: Callable[[tuple], LazyMessage], unreadable: List[Tuple[str, str]]
) -> Generator[Any, None, int]:
    """Yield the messages that are wanted.

    :param scanner_of: ``scanner_of(unreadable, part, parts)``
    :param message_of: makes of a ``LazyMessage.summary`` the message again
    :returns: yields messages that no longer need their files; the generator's value is how many there were
    """
    parts = _processes(scanner_of)
    if parts == 1:
        scanner = scanner_of(unreadable)
        for message in scanner.messages():
            if message:
                yield message.keep()
        return scanner.met
    met = 0
    for is_message, value in together(parts, lambda part: _summaries(scanner_of([], part, parts))):
        if is_message:
            yield message_of(value)
        else:
            met += value[0]
            unreadable += value[1]
    return met


def gather(scanner_of: Callable[..., Scanner], found, unreadable: List[Tuple[str, str]]) -> int:
    """Add the messages that ``scan`` would yield to something; of several processes each adds to one of its own.

    :param found: see ``backend.Queue.gather``
    :returns: how many there were, wanted or not
    """
    parts = _processes(scanner_of)
    if parts == 1:
        scanner = scanner_of(unreadable)
        for message in scanner.messages():
            if message:
                found.add(message)
        return scanner.met
    met = 0
    for summary, theirs, problems in together(
        parts, lambda part: _gathered(scanner_of([], part, parts), found.another())
    ):
        found.merge(summary)
        met += theirs
        unreadable += problems
    return met


def _summaries(scanner):
    """Messages for ``together``; at the end, how many were met, and what could not be read."""
    for message in scanner.messages():
        if message:
            yield len(message.recipients), (True, message.keep().summary())
        else:
            yield 1, None
    yield 0, (False, (scanner.met, scanner.unreadable))


def _gathered(scanner, found):
    add = found.add
    for number, message in enumerate(scanner.messages()):
        if message:
            add(message)
        if number % _OFTEN == 0:
            yield _OFTEN, None
    yield 0, (found.summary(), scanner.met, scanner.unreadable)


def _processes(scanner_of):
    """How many processes are to read a queue."""
    parts = min(len(os.sched_getaffinity(0)), _PROCESSES)
    return parts if parts > 1 and _has_many(scanner_of) else 1


def _has_many(scanner_of):
    """Whether there are so many messages that a second process is worth its start."""
    return next(itertools.islice(scanner_of([]).names(), _MANY, None), None) is not None
