"""Lines of mail logs since some time: files with their rotated and compressed parts, and the journal."""

import bz2
import calendar
import gzip
import heapq
import lzma
import os
import re
import time
import zlib
from collections import Counter, namedtuple

from ..errors import CommandError

# Where distributions and Plesk put the mail log; used when nobody says where it is.
USUAL_FILES = (
    "/var/log/mail.log",
    "/var/log/maillog",
    "/opt/psa/var/log/maillog",
    "/usr/local/psa/var/log/maillog",
)

# Everything of syslog's facility "mail" (2), and what Dovecot prints when it is told not to use syslog.
JOURNAL_MATCH = ("SYSLOG_FACILITY=2", "+", "_SYSTEMD_UNIT=dovecot.service")

# No log-in needs so much. A hole of zeros, as copytruncate leaves it, is one "line" of any size.
LONGEST_LINE = 64 * 1024

OPENERS = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

# What reading a damaged file raises.
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)

MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}

# "2026-11-24T20:56:42.048842+00:00 vps ", of rsyslog and of journalctl, which older releases write as "+0000"
ISO_STAMP = re.compile(
    rb"(\d{4}-\d\d-\d\d[T ]\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)? (?:(?![^ ]*:(?: |$))[^ ]+ )?"
)
# "Nov 24 20:56:42 vps ", of RFC 3164; Dovecot's own log file has no host, but "imap-login: " at that place
SYSLOG_STAMP = re.compile(rb"([A-Z][a-z]{2} [ \d]\d \d\d):(\d\d):(\d\d) (?:(?![^ ]*:(?: |$))[^ ]+ )?")

DAY = 86400

# path: on the host; modified: epoch seconds; packing: the ending of its name, a key of OPENERS when it can be read
# identity: of the file behind the name, for a log with two names
_Part = namedtuple("_Part", "path modified packing identity")


class Logs:
    """Mail logs of a host in a period.

    Files come first; the journal fills in what lies before their first and after their last line, so that an event
    that is in both is read once. A stamp without a year is taken for the last such day before the file's last
    change: a log that goes back more than a year without rotation is read wrongly.

    :ivar covered_since: once read: epoch seconds since when the logs reach without a gap, at the earliest ``since``;
        None when there is no log
    :ivar list notes: once read: sentences on what could not be read
    """

    def __init__(self, system, files, journal, since, until=None, wanted=()):
        """
        :param System system: the host
        :param list files: paths of current logs, whose rotated parts are found beside them
        :param bool journal: whether to read the journal
        :param since: epoch seconds of the first line that matters
        :param until: epoch seconds of the first line that no longer matters (None: now)
        :param tuple wanted: of bytes; lines with none of them are passed over, which is far quicker than to look at
            them (empty: every line)
        """
        self.system, self.files, self.journal = system, files, journal
        self.since, self.until, self.wanted = since, until, tuple(wanted)
        self.covered_since, self.notes = None, []

    def lines(self):
        """Go through the logs.

        :returns: iterator of (epoch seconds or None: no stamp that is known, str: the line without stamp and host)
        """
        self.covered_since, self.notes = None, []
        logs = self._logs()
        starts = [start for start in map(self._start_of, logs) if start is not None]
        # The files have everything from here ...
        start = min(starts) if starts else self.until
        if starts:
            self._cover(start)
        if self.journal and (start is None or start > self.since):
            for line in self._journal(self.since, start):
                yield line
        # ... to here: what was written since, or all of it where syslog was given up for the journal.
        end = max(self.since, start) if starts else None
        streams = [self._read_log(parts) for parts in logs]
        for stamp, text in streams[0] if len(streams) == 1 else _merged(streams):
            if stamp is not None:
                end = max(stamp + 1, end)
            yield stamp, text
        if self.journal and starts:
            for line in self._journal(end, self.until):
                yield line

    # --- files --------------------------------------------------------------------------------------------

    def _logs(self):
        """The parts of each log that matter, in the order of time: list of list of _Part."""
        logs, seen = [], set()
        for path in self.files:
            parts = self._parts(path)
            if not parts:
                self.notes.append("There is no log {0}.".format(path))
            # Plesk's log is a link to the system's on some hosts.
            parts = [part for part in parts if not (part.identity in seen or seen.add(part.identity))]
            recent = [part for part in parts if part.modified >= self.since]
            if recent and len(recent) < len(parts):
                self._cover(self.since)
            readable = [part for part in recent if part.packing in OPENERS]
            for part in recent:
                if part not in readable:
                    self.notes.append("{0} is compressed in a way that can't be read here.".format(part.path))
            if readable:
                logs.append(sorted(readable, key=lambda part: part.modified))
        return logs

    def _parts(self, path):
        """A log and what rotation made of it: list of _Part."""
        directory, name = os.path.split(path)
        # .1, .2.gz, -20261101.xz, and Plesk's maillog.processed
        pattern = re.compile(re.escape(name) + r"(?:\.processed)?(?:[.-]\d[\d.-]*?)?(\.gz|\.bz2|\.xz|\.zst|\.lz4)?\Z")
        parts = []
        for sibling in self.system.listdir(directory):
            match = pattern.match(sibling)
            if match:
                part_path = os.path.join(directory, sibling)
                try:
                    status = os.stat(self.system.real(part_path))
                except OSError as error:
                    self._note(part_path, error)
                    continue
                identity = (status.st_dev, status.st_ino)
                parts.append(_Part(part_path, status.st_mtime, match.group(1) or "", identity))
        return parts

    def _start_of(self, parts):
        """Stamp of a log's first line that has one, or None."""
        for part in parts:
            for stamp, _text in self._read_part(part, wanted=()):
                if stamp is not None:
                    return stamp
        return None

    def _read_log(self, parts):
        for part in parts:
            for stamp, text in self._read_part(part, self.wanted):
                if stamp is None or (stamp >= self.since and (self.until is None or stamp < self.until)):
                    yield stamp, text

    def _read_part(self, part, wanted):
        clock = Clock(part.modified)
        try:
            with OPENERS[part.packing](self.system.real(part.path), "rb") as handle:
                for line in _bounded_lines(handle, wanted):
                    yield clock.read(line)
        except DAMAGE as error:
            self._note(part.path, error)

    def _note(self, path, error):
        why = getattr(error, "strerror", None) or str(error)
        sentence = "{0} could not be read: {1}.".format(path, why.rstrip("."))
        if sentence not in self.notes:
            self.notes.append(sentence)

    # --- the journal ----------------------------------------------------------------------------------------

    def _journal(self, since, until):
        """Lines of the journal from a time up to another (None: to its end)."""
        command = ["journalctl", "--quiet", "--no-pager", "--all", "--output=short-iso"]
        clock = Clock(time.time())
        try:
            self._cover_by_journal(command, clock)
            argv = command + ["--since=@{0}".format(int(since))] + list(JOURNAL_MATCH)
            if until is not None:
                argv.insert(len(command), "--until=@{0}".format(int(until)))
            with self.system.stream(argv) as handle:
                for line in _bounded_lines(handle, self.wanted):
                    stamp, text = clock.read(line)
                    # A line without a stamp continues one before it: nothing that a log-in is written as.
                    if stamp is not None and stamp >= since and (until is None or stamp < until):
                        yield stamp, text
        except CommandError as error:
            self.notes.append("The journal could not be read: {0}.".format(str(error).rstrip(".")))

    def _cover_by_journal(self, command, clock):
        with self.system.stream(command) as handle:
            for line in _bounded_lines(handle, ()):
                stamp, _text = clock.read(line)
                if stamp is not None:
                    self._cover(stamp)
                    return

    def _cover(self, stamp):
        known = [self.covered_since] if self.covered_since is not None else []
        self.covered_since = max(self.since, min(known + [stamp]))


class Clock:
    """Reads the stamps of one file."""

    def __init__(self, modified):
        """
        :param modified: epoch seconds after which no line was written
        """
        # Clocks are set, and a file's time can be that of its copying.
        self._latest = modified + DAY
        # Hours seen, for it is slow to turn one into seconds.
        self._hours = {}

    def read(self, line):
        """(epoch seconds or None, the rest as str) of a line (bytes)."""
        match = SYSLOG_STAMP.match(line) or ISO_STAMP.match(line)
        if match is None:
            return None, _text(line)
        hour = match.group(1), match.group(4) if match.re is ISO_STAMP else None
        start = self._hours.get(hour)
        if start is None:
            if len(self._hours) > 10000:
                self._hours.clear()
            start = self._hours[hour] = self._hour(*hour)
        if start is False:
            return None, _text(line)
        stamp = start + 60 * int(match.group(2)) + int(match.group(3))
        return stamp, _text(line[match.end() :])

    def _hour(self, text, offset):
        """Epoch seconds of a full hour; False when there is no such hour."""
        if text[:1].isdigit():
            year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
            return _seconds(year, month, day, int(text[11:13]), offset)
        month, day, hour = MONTHS.get(text[:3].decode("ascii")), int(text[4:6]), int(text[7:9])
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


def _text(line):
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _bounded_lines(handle, wanted):
    """Lines (bytes) that contain one of ``wanted`` (empty: all); those longer than LONGEST_LINE are left out."""
    whole = True
    for line in iter(lambda: handle.readline(LONGEST_LINE), b""):
        started, whole = whole, line.endswith(b"\n")
        # The last line may still lack its end; the next run reads it.
        if started and whole:
            # A loop, for most of the time goes here, and a generator's frame for each line takes twice as long.
            for word in wanted or (b"",):
                if word in line:
                    yield line
                    break


def _merged(streams):
    """Several logs as one, in the order of time; a line that stands in more than one of them comes once.

    Debian's mail.info holds what mail.log holds. A line that stands twice in *one* log happened twice.
    """
    second, given, seen = None, Counter(), Counter()
    numbered = [_numbered(stream, number) for number, stream in enumerate(streams)]
    for stamp, number, text in heapq.merge(*numbered, key=lambda item: item[0]):
        if stamp != second:
            second, given, seen = stamp, Counter(), Counter()
        seen[number, text] += 1
        if seen[number, text] > given[text]:
            given[text] += 1
            yield stamp or None, text


def _numbered(stream, number):
    for stamp, text in stream:
        yield stamp or 0, number, text
