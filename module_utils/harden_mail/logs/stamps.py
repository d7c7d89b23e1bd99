"""Lines of a log: bounded in length, and what their stamps say."""

import calendar
import re
import time
from typing import BinaryIO, Callable, Dict, Iterator, Optional, Sequence, Tuple, Union

# No log-in needs so much. A hole of zeros, as copytruncate leaves it, is one "line" of any size.
LONGEST_LINE = 64 * 1024

_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}

# "2026-11-24T20:56:42.048842+00:00 vps ", of rsyslog and of journalctl, which older releases write as "+0000"
_ISO_STAMP = re.compile(
    rb"(\d{4}-\d\d-\d\d[T ]\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)? (?:(?![^ ]*:(?: |$))([^ ]+) )?"
)
# "Nov 24 20:56:42 vps ", of RFC 3164; Dovecot's own log file has no host, but "imap-login: " at that place
_SYSLOG_STAMP = re.compile(rb"([A-Z][a-z]{2} [ \d]\d \d\d):(\d\d):(\d\d) (?:(?![^ ]*:(?: |$))([^ ]+) )?")

DAY = 86400

# Lines between two looks at whether enough was read.
_PAUSE = 4096


class Clock:
    """Reads the stamps of one file.

    :ivar bytes host: of the line that was read last; None when it names none
    """

    def __init__(self, modified: float):
        """
        :param modified: epoch seconds after which no line was written
        """
        # Clocks are set, and a file's time can be that of its copying.
        self._latest = modified + DAY
        # Hours seen, for it is slow to turn one into seconds.
        self._hours: Dict[tuple, Union[int, bool]] = {}
        self.host: Optional[bytes] = None

    def read(self, line: bytes) -> Tuple[Optional[int], str]:
        """Epoch seconds, None where a line has none that is known, and the rest of it."""
        match = _SYSLOG_STAMP.match(line) or _ISO_STAMP.match(line)
        if match is None:
            self.host = None
            return None, as_text(line)
        self.host = match.group(match.lastindex) if match.lastindex == match.re.groups else None
        hour = match.group(1), match.group(4) if match.re is _ISO_STAMP else None
        start = self._hours.get(hour)
        if start is None:
            if len(self._hours) > 10000:
                self._hours.clear()
            start = self._hours[hour] = self._hour(*hour)
        if start is False:
            return None, as_text(line)
        stamp = start + 60 * int(match.group(2)) + int(match.group(3))
        return stamp, as_text(line[match.end() :])

    def _hour(self, text, offset):
        """Epoch seconds of a full hour; False when there is no such hour."""
        if text[:1].isdigit():
            year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
            return _seconds(year, month, day, int(text[11:13]), offset)
        month, day, hour = _MONTHS.get(text[:3].decode("ascii")), int(text[4:6]), int(text[7:9])
        year = time.localtime(self._latest).tm_year
        # 29 February may be eight years back (1896 to 1904, 2096 to 2104).
        for candidate in range(year, year - 9, -1) if month else ():
            start = _seconds(candidate, month, day, hour, None)
            if start is not False and start <= self._latest:
                return start
        return False


def _seconds(year, month, day, hour, offset):
    """Epoch seconds; without an offset (``Z``, ``+01:00``, ``+0100``) in the host's time zone. False: no such hour."""
    if not (1970 <= year <= 2100 and 1 <= month <= 12 and hour <= 23):
        return False
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return False
    moment = (year, month, day, hour, 0, 0, 0, 0, -1)
    if offset is None:
        return int(time.mktime(moment))
    east = 0
    if offset != b"Z":
        east = int(offset[:1] + b"1") * (3600 * int(offset[1:3]) + 60 * int(offset[-2:]))
    return calendar.timegm(moment) - east


def as_text(line: bytes) -> str:
    """A line as text, without its end."""
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def bounded_lines(
    handle: BinaryIO, wanted: Sequence[bytes], pause: Optional[Callable[[], bool]] = None
) -> Iterator[bytes]:
    """Lines that contain one of ``wanted`` (empty: all); those longer than LONGEST_LINE are left out.

    :param pause: asked now and then: whether to stop here (None: never)
    """
    whole = True
    for number, line in enumerate(iter(lambda: handle.readline(LONGEST_LINE), b""), 1):
        started, whole = whole, line.endswith(b"\n")
        if not number % _PAUSE and pause is not None and pause():
            return
        # The last line may still lack its end; the next run reads it.
        if started and whole:
            # A loop, for most of the time goes here, and a generator's frame for each line takes twice as long.
            for word in wanted or (b"",):
                if word in line:
                    yield line
                    break
