"""Opens, reads and writes files where somebody other than root can put what they like, with bounds on all of it.

The way to a file is walked by safe steps only (:mod:`untrusted_walk`); what is larger or longer than a bound is refused
or cut, and said.
"""

import contextlib
import fnmatch
import io
import os
import re
import stat
import time
from typing import AbstractSet, Any, BinaryIO, Iterable, Iterator, List, NamedTuple, Optional, Tuple, cast

from .system import System
from .untrusted_walk import LINK, NotRead, as_not_read, require_same, trusted_users, user_name, walked, why_not

# Longest line in bytes; a hash and its owner's name need a hundredth.
LONGEST_LINE = 65536


class Limits(NamedTuple):
    """Of one file: bytes and lines, and seconds until its end is read."""

    bytes: int
    lines: int
    seconds: float


# Of a file of accounts: half a million rows of a hundred bytes fit in.
ACCOUNT_FILE = Limits(64 << 20, 500000, 60)

# Entries of one directory that are looked at.
_MOST_ENTRIES = 100000

# O_NONBLOCK: neither a FIFO without a writer nor a lease of the file's owner is waited for.
_PLAIN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


class NoProblems:
    """For callers that need not know what could not be read."""

    def add(self, place: str, what: str, line: Optional[int] = None) -> None:
        pass


def opened(
    system: System,
    path: str,
    limit: Optional[int] = ACCOUNT_FILE.bytes,
    owners: Optional[Iterable[int]] = None,
    peers: AbstractSet[int] = frozenset(),
) -> io.BufferedReader:
    """A plain file, open for reading, to be closed by the caller.

    :param system: the host
    :param path: absolute, on the host
    :param limit: bytes; a larger file is refused (None: any size, for callers that bound what they read)
    :param owners: user ids besides root's of whom the file may be (None: of anybody)
    :param peers: user ids that are as good as each other; see :func:`untrusted_walk.walked`
    :raises NotRead: it is missing, no plain file, too large, somebody else's, or the way there can't be trusted
    """
    with walked(system, path, peers=peers) as (directory, name, about):
        if about is None:
            raise NotRead(path, "is not there", missing=True)
        if stat.S_ISLNK(about.st_mode):
            raise NotRead(path, LINK)
        if not stat.S_ISREG(about.st_mode):
            raise NotRead(path, "is no plain file, so it is not read")
        if owners is not None and about.st_uid not in trusted_users() | set(owners):
            raise NotRead(path, "belongs to {0}, so it is not read".format(user_name(about.st_uid)))
        if limit is not None and about.st_size > limit:
            raise NotRead(path, "has more than {0:,} bytes, so it is not read".format(limit))
        with as_not_read(path):
            descriptor = os.open(name, _PLAIN, dir_fd=directory.descriptor)
    try:
        require_same(path, about, os.fstat(descriptor))
    except NotRead:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_untrusted(
    system: System, path: str, limit: int = 1 << 20, owners: Optional[Iterable[int]] = None
) -> Optional[str]:
    """Whole text of a file (UTF-8, surrogateescape), or None when it is not there.

    :param limit: bytes
    :raises NotRead: see :func:`opened`; also when it grows beyond the limit while it is read
    """
    try:
        handle = opened(system, path, limit, owners)
    except NotRead as error:
        if error.missing:
            return None
        raise
    with handle, as_not_read(path):
        content = handle.read(limit + 1)
    if len(content) > limit:
        raise NotRead(path, "has more than {0:,} bytes, so it is not read".format(limit))
    return content.decode("utf-8", "surrogateescape")


def lines_untrusted(
    system: System,
    path: str,
    problems: Any = None,
    limits: Limits = ACCOUNT_FILE,
    owners: Optional[Iterable[int]] = None,
    peers: AbstractSet[int] = frozenset(),
) -> Iterator[Tuple[int, str]]:
    """Lines of a file, one at a time, in constant memory.

    What is not read is told to ``problems`` (its method ``add(place, what, line=None)``): the file, as by
    :func:`opened`, lines that are too long or hold a NUL, and all that is beyond a limit.

    :returns: of (number from 1, line without its end; "\\r\\n" is an end too)
    """
    problems = problems or NoProblems()
    try:
        with opened(system, path, limits.bytes, owners, peers) as handle:
            source = _Bounded(path, handle, limits)
            for number, line in numbered(io.BufferedReader(source, 1 << 16)):
                if number > limits.lines:
                    problems.add(path, "more than {0:,} lines; the rest is not read".format(limits.lines))
                    return
                if line is None:
                    problems.add(path, "more than {0:,} bytes".format(LONGEST_LINE), number)
                elif b"\0" in line:
                    problems.add(path, "a NUL byte", number)
                else:
                    yield number, line.decode("utf-8", "surrogateescape")
    except NotRead as error:
        problems.add(path, error.why)
    except OSError as error:
        problems.add(path, why_not(error))


class _Bounded(io.RawIOBase):
    """Reads a file up to limits, whatever happens to it meanwhile; raises NotRead beyond them."""

    def __init__(self, path: str, handle: io.BufferedReader, limits: Limits) -> None:
        super().__init__()
        self._path, self._handle, self._left = path, handle, limits.bytes
        self._deadline = time.monotonic() + limits.seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left < 0 or time.monotonic() > self._deadline:
            raise NotRead(self._path, "grows, or is read too slowly; the rest is not read")
        count = cast(io.RawIOBase, self._handle.raw).readinto(buffer)
        self._left -= count
        return count


def numbered(handle: BinaryIO, carriage_return: bool = True) -> Iterator[Tuple[int, Optional[bytes]]]:
    """Lines of a binary file.

    :param carriage_return: whether one before the line's end is part of that end
    :returns: of (number from 1, the line without its end, or None for one that is too long)
    """
    number = 0
    while True:
        line = handle.readline(LONGEST_LINE + 2)
        if not line:
            return
        number += 1
        whole = line.endswith(b"\n")
        line = line[:-1] if whole else line
        line = line[:-1] if carriage_return and line.endswith(b"\r") else line
        if len(line) > LONGEST_LINE:
            while not whole and line:
                line = handle.readline(LONGEST_LINE)
                whole = line.endswith(b"\n")
            yield number, None
        else:
            yield number, line


def matching(
    system: System,
    pattern: str,
    problems: Any = None,
    most: int = _MOST_ENTRIES,
    peers: AbstractSet[int] = frozenset(),
) -> List[str]:
    """Paths (sorted, absolute on the host) that match a pattern of the shell and are reached by safe steps.

    :param pattern: absolute; ``*``, ``?`` and ``[...]`` within a component, none of which match a leading dot
    :param problems: told of directories that are not looked into, and of what is beyond a bound
    :param most: paths at most
    """
    problems = problems or NoProblems()
    found = [""]
    for part in [part for part in pattern.split("/") if part]:
        if re.search(r"[*?[]", part):
            found = [path + "/" + name for path in found for name in _entries(system, path or "/", part, problems)]
        else:
            found = [path + "/" + part for path in found]
        if len(found) > most:
            problems.add(pattern, "more than {0:,} files match; the rest is not read".format(most))
            found = found[:most]
    return [path for path in found if _is_there(system, path, problems, peers)]


def write_untrusted(system: System, path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file in a directory that somebody else may own, in one step.

    A link that others than root made is replaced, never followed; the new content is made under a name that nobody can
    guess. What a kill left behind goes with the next call.

    :param text: UTF-8 with surrogateescape
    :raises NotRead: the way there can't be trusted
    :raises OSError: the disk is full, and the like
    """
    with walked(system, path, replaces=True) as (directory, name, about):
        if about is not None and not (stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode)):
            raise NotRead(path, "is no plain file, so it is not written")
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.descriptor)
        try:
            _remove_left(descriptor, name)
            temporary = _left(name) + os.urandom(8).hex()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.fdopen(os.open(temporary, flags, 0o600, dir_fd=descriptor), "wb")
            try:
                with handle:
                    handle.write(text.encode("utf-8", "surrogateescape"))
                    handle.flush()
                    os.fchmod(handle.fileno(), mode)
                    os.fsync(handle.fileno())
                os.rename(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=descriptor)
                raise
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_untrusted(system: System, path: str) -> None:
    """Remove a file, or a link itself, and what a killed call of :func:`write_untrusted` has left beside it.

    By the same steps; nothing happens when it is not there.

    :raises NotRead: the way there can't be trusted
    """
    with contextlib.suppress(FileNotFoundError), walked(system, path, replaces=True) as (directory, name, about):
        _remove_left(directory.descriptor, name)
        if about is not None:
            os.unlink(name, dir_fd=directory.descriptor)


def is_there_untrusted(system: System, path: str) -> bool:
    """Whether :func:`remove_untrusted` would remove something."""
    try:
        with walked(system, path, replaces=True) as (directory, name, about):
            return about is not None or any(entry.startswith(_left(name)) for entry in _names(directory.descriptor))
    except NotRead:
        return False


def owner_of(system: System, path: str, peers: AbstractSet[int] = frozenset()) -> int:
    """User id of a plain file that :func:`opened` would open.

    :raises NotRead: as there
    """
    with opened(system, path, None, peers=peers) as handle:
        return os.fstat(handle.fileno()).st_uid


def _entries(system: System, path: str, pattern: str, problems: Any) -> List[str]:
    """Sorted names in a directory that match one component of a pattern."""
    found = []
    try:
        with walked(system, path.rstrip("/") + "/.harden-mail") as (directory, _name, _about):
            for position, name in enumerate(_names(directory.descriptor)):
                if position >= _MOST_ENTRIES:
                    problems.add(path, "more than {0:,} entries; the rest is not looked at".format(_MOST_ENTRIES))
                    break
                if fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith(".")):
                    found.append(name)
    except NotRead as error:
        if not error.missing:
            problems.add(path, error.why)
    except OSError as error:
        problems.add(path, why_not(error))
    return sorted(found)


def _names(descriptor: int) -> Iterator[str]:
    """Names in a directory, one at a time: a list of millions would be long in memory."""
    # Python 3.6 can't scan a descriptor; the kernel's name for one does everywhere.
    with os.scandir("/proc/self/fd/{0}".format(descriptor)) as entries:
        for entry in entries:
            yield entry.name


def _is_there(system: System, path: str, problems: Any, peers: AbstractSet[int]) -> bool:
    try:
        with walked(system, path, peers=peers) as (_directory, _name, about):
            return about is not None
    except NotRead as error:
        if not error.missing:
            problems.add(path, error.why)
        return False


def _left(name: str) -> str:
    return ".{0}.harden-mail-".format(name)


def _remove_left(descriptor: int, name: str) -> None:
    """Remove what a killed call has left of its own in a directory."""
    for position, entry in enumerate(_names(descriptor)):
        if position >= _MOST_ENTRIES:
            return
        if entry.startswith(_left(name)):
            with contextlib.suppress(OSError):
                if os.stat(entry, dir_fd=descriptor, follow_symlinks=False).st_uid in trusted_users():
                    os.unlink(entry, dir_fd=descriptor)
