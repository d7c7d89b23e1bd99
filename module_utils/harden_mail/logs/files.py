"""Lines of mail logs in files, with their rotated and compressed parts."""

import bz2
import glob
import gzip
import lzma
import os
import re
import time
import zlib
from collections import namedtuple
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from ..system import System
from ..untrusted import NotRead, matching, opened
from .stamps import Clock, bounded_lines
from .xz import xz_open

_OPENERS = {"": lambda handle, _mode: handle, ".gz": gzip.open, ".bz2": bz2.open, ".xz": xz_open}

# What reading a damaged file raises.
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)

# Rotation makes some dozens of parts of a log.
_PART_LIMIT = 5000

# path: on the host; modified: epoch seconds; packing: the ending of its name, a key of OPENERS when it can be read
# identity: of the file behind the name, for a log with two names
_Part = namedtuple("_Part", "path modified packing identity")

# Seconds that all files of one look may take: some hundred million lines.
_READ_TIMEOUT = 1800


class LogFiles:
    """The files of mail logs in a period.

    Who may write there may put anything in a log's place: only plain files are read, by safe steps, for a bounded time.

    :ivar bool is_whole: whether all that was there in the period was read, as far as is known
    """

    def __init__(
        self,
        system: System,
        paths: List[str],
        period: Tuple[float, Optional[float]],
        wanted: Sequence[bytes],
        note: Callable[[str], None],
    ):
        """
        :param paths: of current logs, whose rotated parts are found beside them
        :param period: epoch seconds of the first line that matters, and of the first that no longer does (None:
            there is none)
        :param wanted: see :class:`reader.Logs`
        :param note: is given sentences on what could not be read
        """
        self._system, self._paths, self._wanted, self._note = system, paths, wanted, note
        self._since, self._until = period
        self._deadline = time.monotonic() + _READ_TIMEOUT
        self.is_whole = True
        # Whether a file goes back to before the period.
        self._reaches_back = False
        self._logs = [parts for parts in map(self._matter, self._known_once(paths)) if parts]

    def start(self) -> Optional[float]:
        """Since when in the period there are lines: epoch seconds."""
        starts = [start for start in map(self._start_of, self._logs) if start is not None]
        if not starts:
            return None
        return self._since if self._reaches_back else max(self._since, min(starts))

    def logs(self) -> List[Iterator[Tuple[Optional[int], str, Optional[bytes]]]]:
        """The lines of each log, in the order of time: epoch seconds, the line without stamp and host, the host."""
        return [self._read_log(parts) for parts in self._logs]

    def _known_once(self, paths):
        """For each path, the parts that stand for no file that came before: iterator of list of _Part."""
        seen = set()
        for path in paths:
            parts = self._parts(path)
            if not parts:
                self._note("There is no log {0} that can be read.".format(path))
            # Plesk's log is a link to the system's on some hosts.
            yield [part for part in parts if not (part.identity in seen or seen.add(part.identity))]

    def _matter(self, parts):
        """Those of a log's parts that hold something of the period and can be read, in the order of time."""
        recent = [part for part in parts if part.modified >= self._since]
        if recent and len(recent) < len(parts):
            self._reaches_back = True
        readable = [part for part in recent if part.packing in _OPENERS]
        for part in recent:
            if part not in readable:
                self.add(part.path, "is compressed in a way that can't be read here")
        return sorted(readable, key=lambda part: part.modified)

    def _parts(self, path):
        """A log and what rotation made of it: list of _Part."""
        name = os.path.basename(path)
        # .1, .2.gz, -20261101.xz, and Plesk's maillog.processed
        pattern = re.compile(re.escape(name) + r"(?:\.processed)?(?:[.-]\d[\d.-]*?)?(\.gz|\.bz2|\.xz|\.zst|\.lz4)?\Z")
        parts = []
        for sibling in matching(self._system, glob.escape(path) + "*", self, _PART_LIMIT):
            match = pattern.match(os.path.basename(sibling))
            if match:
                try:
                    with opened(self._system, sibling, None) as handle:
                        status = os.fstat(handle.fileno())
                except NotRead as error:
                    self.add(sibling, error.why)
                    continue
                identity = (status.st_dev, status.st_ino)
                parts.append(_Part(sibling, status.st_mtime, match.group(1) or "", identity))
        return parts

    def _start_of(self, parts):
        """Stamp of a log's first line that has one, or None."""
        for part in parts:
            for stamp, _text, _host in self._read_part(part, wanted=()):
                if stamp is not None:
                    return stamp
        return None

    def _read_log(self, parts):
        for part in parts:
            for line in self._read_part(part, self._wanted):
                stamp = line[0]
                if stamp is None or (stamp >= self._since and (self._until is None or stamp < self._until)):
                    yield line

    def _read_part(self, part, wanted):
        clock = Clock(part.modified)
        try:
            with opened(self._system, part.path, None) as raw:
                # What is written while this reads is not waited for.
                size = os.fstat(raw.fileno()).st_size
                with _OPENERS[part.packing](raw, "rb") as packed:
                    for line in bounded_lines(packed, wanted, lambda: self._is_enough(part, raw, size)):
                        stamp, text = clock.read(line)
                        yield stamp, text, clock.host
        except NotRead as error:
            self.add(part.path, error.why)
        except _DAMAGE as error:
            self.add(part.path, "could not be read: {0}".format(getattr(error, "strerror", None) or str(error)))

    def _is_enough(self, part, raw, size):
        if time.monotonic() > self._deadline:
            where = "{0} of {1} bytes".format(raw.tell(), size)
            self.add(part.path, "was not read beyond {0}, after {1} seconds in all".format(where, _READ_TIMEOUT))
            return True
        return part.packing == "" and raw.tell() > size

    def add(self, place: str, what: str, line: Optional[int] = None) -> None:
        """Note what is not read of a file: a clause that follows its path."""
        self.is_whole = False
        self._note("{0} {1}.".format(place, what.rstrip(".")))
