"""Reads what somebody other than root wrote in a process that has that user's rights only, and little memory and time.

Parsers of whole formats (SQLite, Berkeley DB) are large; what an attacker makes of them there, the attacker could do
before. Rows come back as JSON, one a line, and are bounded here.
"""

import contextlib
import fcntl
import json
import os
import pwd
import resource
import select
import signal
import time
from typing import Any, BinaryIO, Callable, Iterable, Iterator, List, NamedTuple, Tuple

from .errors import UserError
from .module_runner import place_of
from .untrusted_walk import NotRead, trusted_users


class Bounds(NamedTuple):
    """Of what is read in a process of a file's owner.

    :ivar seconds: that the rows are waited for, by the clock, in all
    :ivar memory: bytes beside what it begins with
    :ivar bytes: of all rows together, as JSON
    :ivar rows: how many
    :ivar row: bytes of a single one
    """

    seconds: float
    memory: int
    bytes: int
    rows: int
    row: int


DATABASE = Bounds(120, 256 << 20, 256 << 20, 500000, 65536)

_CHUNK = 1 << 16

# Seconds for a process to go that was killed: what waits for a file system of its user's own (FUSE) can't be.
_GONE = 5

_ROW, _TELL, _DONE = 0, 1, 2


def rows_as_owner(path: str, work: Callable[[], Iterable[Any]], owner: int, bounds: Bounds = DATABASE) -> Iterator[Any]:
    """Yield what some work yields, done in a process of a file's owner.

    :param path: of the file, for messages only
    :param work: gives what JSON can carry; it opens its files by itself, as that user, and imports nothing: Ansible's
        copy of this code is root's. A UserError or NotRead of it is said; of anything else only the kind
    :param owner: user id; as root's own the work is bounded in the same way
    :param bounds: beyond which it is ended
    :raises NotRead: it failed, broke a bound, or can't become that user; rows that came before were yielded
    """
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        _child(work, owner, bounds, writer)
    os.close(writer)
    try:
        yield from _rows(path, reader, bounds)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        _wait_for(process)


def _wait_for(process: int) -> None:
    """Wait until a process that was killed has ended, or for some seconds; what is left then ends by itself."""
    end = time.monotonic() + _GONE
    while not os.waitpid(process, os.WNOHANG)[0] and time.monotonic() < end:
        time.sleep(0.005)


def _rows(path: str, reader: int, bounds: Bounds) -> Iterator[Any]:
    wait, left, count, heard = bounds.seconds, bounds.bytes, 0, bytearray()
    # Unlike select(2), for descriptors of any number.
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while True:
        # What is done with rows that came is no waiting.
        began = time.monotonic()
        is_ready = poll.poll(max(0.0, wait) * 1000)
        wait -= time.monotonic() - began
        if wait <= 0 or not is_ready:
            raise NotRead(path, "was not read to its end within {0} seconds".format(bounds.seconds))
        chunk = os.read(reader, _CHUNK)
        if not chunk:
            raise NotRead(path, "could not be read within the memory and time that a file of a user gets")
        heard += chunk
        left -= len(chunk)
        if left < 0:
            raise NotRead(path, "gives more than {0:,} bytes; the rest is not read".format(bounds.bytes))
        *lines, heard = heard.split(b"\n")
        if max([len(heard)] + [len(line) for line in lines]) > bounds.row + 16:
            raise NotRead(path, "has a row of more than {0:,} bytes; the rest is not read".format(bounds.row))
        for line in lines:
            kind, value = _message(path, line)
            if kind == _DONE:
                return
            if kind == _TELL:
                raise NotRead(path, value)
            count += 1
            if count > bounds.rows:
                raise NotRead(path, "has more than {0:,} rows; the rest is not read".format(bounds.rows))
            yield value


def _message(path: str, line: bytearray) -> Tuple[int, Any]:
    # Who has taken over that process can write anything.
    with contextlib.suppress(ValueError, RecursionError):
        message = json.loads(line.decode())
        if isinstance(message, list) and len(message) == 2 and message[0] in (_ROW, _TELL, _DONE):
            kind, value = message
            return kind, value if kind == _ROW else str(value)[:500]
    raise NotRead(path, "could not be read: the process that read it answered with nonsense")


def _child(work: Callable[[], Iterable[Any]], owner: int, bounds: Bounds, writer: int) -> None:
    """Become the owner, do the work, end."""
    try:
        # Whoever started this may have closed the first three, which are to lead nowhere.
        writer = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, 3)
        with os.fdopen(writer, "wb") as stream:
            try:
                _confine(owner, bounds, writer)
                for value in work():
                    _say(stream, _ROW, value)
                _say(stream, _DONE, None)
            except BrokenPipeError:
                raise
            except NotRead as error:
                _say(stream, _TELL, error.why)
            except UserError as error:
                _say(stream, _TELL, "could not be read: {0}".format(error))
            except BaseException as error:
                # Without its text, which may quote a row.
                _say(stream, _TELL, "could not be read ({0})".format(place_of(error)))
    finally:
        # Nothing that this process has in common with the other one is to be flushed, unlocked or removed.
        os._exit(0)


def _say(stream: BinaryIO, kind: int, value: Any) -> None:
    stream.write(json.dumps([kind, value]).encode() + b"\n")


def _confine(owner: int, bounds: Bounds, writer: int) -> None:
    """Drop all rights but the owner's, and bound memory, processor time and files.

    A change of user also takes the process's memory, a copy of root's, out of that user's reach (ptrace(2): dumpable).
    """
    # Not even the module's own output: what is written there counts as root's answer.
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    for descriptor in _open_descriptors():
        if descriptor > 2 and descriptor != writer:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    # Root's own it reads as whoever this is: root, but for unit tests.
    if owner not in trusted_users():
        try:
            about = pwd.getpwuid(owner)
            os.initgroups(about.pw_name, about.pw_gid)
            os.setgid(about.pw_gid)
        except KeyError:
            os.setgroups([])
            os.setgid(65534)
        os.setuid(owner)
    # A user's own limit, as that of root's shell, may be lower already.
    seconds = int(bounds.seconds) + 1
    for name, value in (
        (resource.RLIMIT_AS, _size() + bounds.memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(name)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (most, most))


def _open_descriptors() -> List[int]:
    return [int(name) for name in os.listdir("/proc/self/fd")]


def _size() -> int:
    """Bytes of address space that this process has now; proc(5), statm."""
    with open("/proc/self/statm", "rb") as handle:
        return int(handle.read().split()[0]) * resource.getpagesize()
