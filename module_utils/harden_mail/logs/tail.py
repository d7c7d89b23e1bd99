"""Lines of a mail log as they are written: a file, across its rotations, and the journal."""

import contextlib
import fcntl
import glob
import os
import subprocess
import time
from collections import namedtuple
from typing import IO, Callable, List, Optional, Set, Tuple, cast

from ..errors import UserError
from ..system import System
from ..untrusted import NoProblems, NotRead, matching, opened
from .stamps import LONGEST_LINE, Clock

# After a log was rotated, seconds for which its former file is still read: the log's writer changes over when told.
_ROTATION_TIMEOUT = 60

# Bytes that are read at a time, and at most in one call: a log may grow faster than it is read.
_BLOCK = 1 << 20
_READ_LIMIT = 64 * _BLOCK

# A clock works out the year of stamps that have none from when it was made.
_CLOCK_TIMEOUT = 3600

# left: time.monotonic() at which the name was found to mean another file, or None
_Open = namedtuple("_Open", "handle identity left")


class FileTail:
    """One log file and what rotation makes of it.

    Who may write to its directory can put anything in its place: only plain files are read, by safe steps.
    """

    def __init__(self, path: str, since: float, note: Optional[Callable[[str], None]] = None):
        """
        :param path: where the log is; it may come later
        :param note: is given, once each, sentences on why a file is not read
        :param since: epoch seconds: older lines that are there already are passed over, as far as they are at the
            file's beginning; so are those of a file that rotation has put aside and compressed
        """
        self.path, self._since = path, since
        self._note, self._system = note, System()
        self._noted: Set[str] = set()
        self._lines = _Lines()
        self._current: Optional[_Open] = None
        self._former: List[_Open] = []
        self._begin()

    def read(self) -> List[Tuple[Optional[int], str]]:
        """What was written since the last call: epoch seconds and lines, as reader.Logs gives them."""
        found = []
        for former in list(self._former):
            found += self._rest(former)
            if time.monotonic() > former.left + _ROTATION_TIMEOUT:
                self._lines.forget(former.handle)
                former.handle.close()
                self._former.remove(former)
        if self._current is not None:
            found += self._rest(self._current)
        if self._current is None or _identity_of(self.path) not in (None, self._current.identity):
            if self._current is not None:
                self._former.append(self._current._replace(left=time.monotonic()))
            self._current = self._open(self.path)
            found += self._rest(self._current) if self._current else []
        return found

    def _begin(self):
        """Take up what was written since ``since``, also to a file that was just put aside."""
        for path in matching(self._system, glob.escape(os.path.abspath(self.path)) + "[.-]*", NoProblems()):
            if not path.endswith((".gz", ".bz2", ".xz", ".zst", ".lz4")):
                former = self._open(path)
                if former is None:
                    continue
                if os.fstat(former.handle.fileno()).st_mtime >= self._since:
                    former.handle.seek(_start(former.handle, self._since))
                    self._former.append(former._replace(left=time.monotonic()))
                else:
                    former.handle.close()
        self._former.sort(key=lambda former: os.fstat(former.handle.fileno()).st_mtime)
        self._current = self._open(self.path)
        if self._current is not None:
            self._current.handle.seek(_start(self._current.handle, self._since))

    def _rest(self, opened):
        handle, found = opened.handle, []
        if os.fstat(handle.fileno()).st_size < handle.tell():
            handle.seek(0)  # emptied in place, as logrotate's copytruncate does
            self._lines.forget(handle)
        for _number in range(_READ_LIMIT // _BLOCK):
            block = handle.read(_BLOCK)
            if not block:
                break
            found += self._lines.of(handle, block)
        return found

    def _open(self, path):
        try:
            handle = opened(self._system, os.path.abspath(path), None)
        except NotRead as error:
            if self._note is not None and not error.missing and str(error) not in self._noted:
                self._noted.add(str(error))
                self._note("{0}.".format(error))
            return None
        about = os.fstat(handle.fileno())
        return _Open(handle, (about.st_dev, about.st_ino), None)


class JournalTail:
    """What processes of root's in some units write to the journal, as POP servers do before they become a user.

    The unit alone proves nothing: a mail server runs its users' own programs (.qmail, .forward) in it.
    """

    def __init__(self, units: List[str], since: float):
        """
        :param units: names of systemd units
        :param since: epoch seconds of the first line
        :raises UserError: there is no journalctl
        """
        argv = ["journalctl", "--follow", "--no-tail", "--quiet", "--no-pager", "--all", "--output=short-iso"]
        argv += ["--since=@{0}".format(int(since))] + ["_SYSTEMD_UNIT=" + unit for unit in units] + ["_UID=0"]
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        except OSError as error:
            raise UserError("journalctl could not be run: {0}.".format(error.strerror)) from None
        self._out = cast(IO[bytes], self._process.stdout)
        descriptor = self._out.fileno()
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK)
        self._lines = _Lines()

    def read(self) -> List[Tuple[Optional[int], str]]:
        """As :meth:`FileTail.read`.

        :raises UserError: journalctl has ended
        """
        found: List[Tuple[Optional[int], str]] = []
        while True:
            try:
                block = os.read(self._out.fileno(), _BLOCK)
            except BlockingIOError:
                return found
            if not block:
                raise UserError("journalctl has ended, with status {0}.".format(self._process.wait()))
            found += self._lines.of(self, block)

    def fileno(self) -> int:
        """What select(2) waits for."""
        return self._out.fileno()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._out.close()
        self._process.wait()


class _Lines:
    """Turns blocks of bytes into lines; keeps what has no end yet, of each source for itself."""

    def __init__(self):
        self._rests, self._clock, self._made = {}, None, None

    def of(self, source, block):
        if self._clock is None or time.time() - self._made > _CLOCK_TIMEOUT:
            self._made = time.time()
            self._clock = Clock(self._made)
        *lines, rest = (self._rests.pop(source, b"") + block).split(b"\n")
        # A line of any length, as zeros that a crash has left, is cut off: it is none.
        self._rests[source] = rest[-LONGEST_LINE:]
        return [self._clock.read(line) for line in lines if len(line) < LONGEST_LINE]

    def forget(self, source):
        self._rests.pop(source, None)


def _identity_of(path):
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _start(handle, since):
    """Where in a file the lines since a time begin: bisection, for logs are long and in the order of time."""
    low, high = 0, os.fstat(handle.fileno()).st_size
    clock = Clock(time.time())
    while high - low > _BLOCK:
        middle = (low + high) // 2
        handle.seek(middle)
        handle.readline(_BLOCK)
        some = handle.read(2 * LONGEST_LINE).split(b"\n")
        stamp = next((stamp for stamp, _text in map(clock.read, some) if stamp is not None), None)
        if stamp is None or stamp >= since:
            high = middle
        else:
            low = middle
    handle.seek(low)
    if low:
        handle.readline()
    return handle.tell()
