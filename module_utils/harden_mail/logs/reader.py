"""Lines of mail logs since some time, from the journal and from files, each with what is known of who wrote it."""

import functools
import heapq
import re
from collections import Counter, deque
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

from ..system import System
from .events import Writer
from .files import LogFiles
from .formats import dovecot, postfix
from .journal import Journal, family_of, missing_programs
from .stamps import DAY

# Where distributions and Plesk put the mail log; used when nobody says where it is.
USUAL_FILES = (
    "/var/log/mail.log",
    "/var/log/maillog",
    "/opt/psa/var/log/maillog",
    "/usr/local/psa/var/log/maillog",
)

# Where rsyslog listens for what Postfix writes in its chroot when it has lost the journal's socket (Debian): what came
# that way is in no journal, and is true.
_CHROOT_SOCKETS = "/var/spool/postfix*/dev/log"
_QUEUE_DIRECTORY = re.compile(r"^queue_directory\s*=\s*(/\S+)", re.MULTILINE)
_MORE_SOCKETS = re.compile(r"^[^#\n]*(?:AddUnixListenSocket|type=\"imuxsock\"|unix-(?:dgram|stream)\()", re.MULTILINE)
_SYSLOG_CONFIGURATIONS = ("/etc/rsyslog.conf", "/etc/rsyslog.d/*.conf", "/etc/syslog-ng/*.conf")

# So many seconds after a line of its own in the journal, a program's lines are taken to be in the journal.
NEAR_SECONDS = DAY // 4

# A file's lines come so many seconds after the journal's of the same time, which are then known.
_FILE_LAG = 2

# Where journald says that it has left out lines, it did so in so many seconds before at most.
_LOST_SECONDS = 600

# The same words within so many seconds, in the journal and in a file, are one line.
SAME_SECONDS = 10

# Of the last lines of the journal, so many are known by heart, so that a file's copies of them need no second look.
_KNOWN_LIMIT = 50000
_KNOWN_LENGTH = 500
_PROCESS_LIMIT = 20000

PROVED, UNPROVED = Writer("proved", None), Writer("unproved", None)
HEARSAY = Writer("hearsay", None)
ALONE, DOUBTFUL = Writer("alone", None), Writer("doubtful", None)

_FILE, _OTHERS, _PROVED = 2, 1, 0


class Logs:
    """Mail logs of a host in a period.

    The journal comes first where it has lines of a program that the program itself wrote: who writes to it can't be
    forged, while every local user can write to syslog's files. What the files have besides comes with it, in the order
    of time; of a line that is in both the file's copy is left out. A stamp without a year is taken for the last such
    day before the file's last change: a log that goes back more than a year without rotation is read wrongly.

    :ivar covered_since: once read: epoch seconds since when the logs reach without a gap, at the earliest ``since``;
        None when there is no log; without the files when not all of them could be read
    :ivar bool is_whole: once read: whether no file of the period had to be left out, or its end
    :ivar list notes: once read: sentences on what could not be read
    """

    def __init__(
        self,
        system: System,
        files: List[str],
        journal: bool,
        since: float,
        until: Optional[float] = None,
        wanted: Sequence[bytes] = (),
    ):
        """
        :param files: paths of current logs, whose rotated parts are found beside them
        :param journal: whether to read the journal
        :param since: epoch seconds of the first line that matters
        :param until: epoch seconds of the first line that no longer matters (None: now)
        :param wanted: lines with none of them are passed over, which is far quicker than to look at
            them (empty: every line)
        """
        self.system, self.files, self.journal = system, files, journal
        self.since, self.until, self.wanted = since, until, tuple(wanted)
        self.covered_since: Optional[float] = None
        self.is_whole = True
        self.notes: List[str] = []

    def lines(self) -> Iterator[Tuple[Optional[int], str, Writer]]:
        """Go through the logs.

        :returns: of each line the epoch seconds (None: no stamp that is known), the line without stamp and host, and
            who wrote it; a file's copy of a line that the journal has may come too, as "alone" or "doubtful"
        """
        self.covered_since, self.is_whole, self.notes = None, True, []
        period = (self.since, self.until)
        files = LogFiles(self.system, self.files, period, self.wanted, self._note)
        streams, starts, lost = [_keyed(files.logs(), _FILE_LAG)], [files.start()], []
        if self.journal:
            journal = Journal(self.system, period, self.wanted, self._note)
            starts.append(journal.start())
            if starts[-1] is not None:
                lost = journal.suppressed()
                streams.append(_keyed_journal(journal.proved(), _PROVED))
                streams.append(_keyed_journal(journal.others(), _OTHERS))
        judge = _Judge(_is_bypassed(self.system), missing_programs(self.system), lost)
        for _key, kind, stamp, text, about in heapq.merge(*streams) if len(streams) > 1 else streams[0]:
            # Without a journal there is nothing to compare with, and it takes half the time.
            writer = judge.of(kind, stamp, text, about) if len(streams) > 1 else UNPROVED
            if writer is not None:
                yield stamp, text, writer
        self.is_whole = files.is_whole
        known = [start for start in starts[0 if self.is_whole else 1 :] if start is not None]
        self.covered_since = max(self.since, min(known)) if known else None

    def unsigned(self, programs: Iterable[str], since: float, until: float) -> Tuple[List[Tuple[int, str]], bool]:
        """As :meth:`journal.Journal.unsigned`; of no journal: nothing, all of it."""
        if not self.journal:
            return [], True
        return Journal(self.system, (since, until), self.wanted, self._note).unsigned(programs, since, until)

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


class _Judge:
    """Says of each line, in the order of time, what is known of its writer."""

    def __init__(self, bypassed, missing, lost):
        """
        :param bool bypassed: whether Postfix's lines can reach a file without the journal
        :param missing: programs (set of str) that are not on this host
        :param lost: of (epoch seconds, family), see :meth:`journal.Journal.suppressed`
        """
        self._bypassed, self._missing = bypassed, missing
        self._lost = {(family, stamp // _LOST_SECONDS + turn) for stamp, family in lost for turn in (-1, 0)}
        # family, and what one server logs as -> time of the last line that it wrote itself; then hosts (bytes) that
        # the journal's lines name
        self._last, self._hosts = {}, set()
        self._processes = set()
        # What the journal's last lines say -> time
        self._known, self._known_before = {}, {}
        # What others wrote, with their program's name -> times, of which no copy was met yet
        self._others, self._others_before = {}, {}

    def of(self, kind, stamp, text, about):
        """A :class:`events.Writer`; None of a file's copy of what the journal has.

        :param about: of the journal's lines by others the user id, else the host (bytes or None)
        """
        head, _colon, message = text.partition(": ")
        program = head.partition("[")[0]
        family, name = _named(program)
        if kind == _PROVED:
            if family is not None:
                self._note_own(stamp, head, family, name, about)
            self._learn(stamp, _key(message))
            return PROVED
        if kind == _OTHERS:
            self._learn_others(stamp, _key(program + message))
            is_forged = about is not None and (program in self._missing or self._is_near(family, stamp))
            return Writer("forged" if is_forged else "unproved", about)
        if stamp is not None and (self._has(stamp, _key(message)) or self._is_copy(stamp, _key(program + message))):
            return None
        # Dovecot's own file names no host, and has no "dovecot: " at a line's beginning.
        own_file = about is None and program in dovecot.KINDS
        if own_file or (about is not None and not self._is_this_host(about)):
            return UNPROVED
        if not self._is_near(name, stamp):
            # Where the journal has other servers' lines of that time, why not this? Syslog's sockets are open to all.
            is_odd = about is not None and any(self._is_near(one, stamp) for one in self._last)
            return HEARSAY if is_odd else UNPROVED
        is_doubtful = (family, stamp // _LOST_SECONDS) in self._lost or (self._bypassed and head in self._processes)
        return DOUBTFUL if is_doubtful else ALONE

    def _is_near(self, name, stamp):
        return name in self._last and stamp is not None and stamp - self._last[name] < NEAR_SECONDS

    def _is_this_host(self, host):
        # A central log has other hosts' lines, of the same first label too.
        return host.lower() in self._hosts

    def _note_own(self, stamp, head, family, name, host):
        self._last[family] = self._last[name] = stamp
        if host:
            self._hosts.update((host.lower(), _short(host)))
        if family == "postfix":
            if len(self._processes) >= _PROCESS_LIMIT:
                self._processes.clear()
            self._processes.add(head)

    def _learn(self, stamp, key):
        if len(self._known) >= _KNOWN_LIMIT:
            self._known, self._known_before = {}, self._known
        self._known[key] = stamp

    def _has(self, stamp, key):
        known = self._known.get(key) or self._known_before.get(key)
        return known is not None and abs(stamp - known) <= SAME_SECONDS

    def _learn_others(self, stamp, key):
        if len(self._others) >= _KNOWN_LIMIT:
            self._others, self._others_before = {}, self._others
        self._others.setdefault(key, deque()).append(stamp)

    def _is_copy(self, stamp, key):
        """Whether this is the one copy in a file of a line that somebody else wrote into the journal.

        A second one is a line of its own: who repeats what a server has said only to a file must not hide that.
        """
        for known in (self._others, self._others_before):
            times = known.get(key)
            while times and stamp - times[0] > SAME_SECONDS:
                times.popleft()
            if times and times[0] - stamp <= SAME_SECONDS:
                times.popleft()
                return True
        return False


def _is_bypassed(system):
    """Whether mail programs' lines can reach a file without the journal (bool)."""
    if system.glob(_CHROOT_SOCKETS):
        return True
    directories = [
        directory
        for path in system.glob("/etc/postfix*/main.cf")
        for directory in _QUEUE_DIRECTORY.findall(system.read(path) or "")
    ]
    if any(system.exists(directory + "/dev/log") for directory in directories):
        return True
    texts = [system.read(path) or "" for pattern in _SYSLOG_CONFIGURATIONS for path in system.glob(pattern)]
    return any(_MORE_SOCKETS.search(text) for text in texts)


@functools.lru_cache(maxsize=4096)
def _named(program):
    """Whose a program is, as by journal.family_of, and what all of one server log as: (str or None, str or None).

    Of two instances of Postfix, one may write to syslog and the other to a file of its own.
    """
    if program in dovecot.KINDS:
        return "dovecot", "dovecot"
    family = family_of(program)
    return family, program.rpartition(postfix.PROGRAM)[0] + "/" if family == "postfix" else family


def _key(text):
    """What a line is known by: long ones, of which anybody may write many, by a number (int)."""
    return text if len(text) <= _KNOWN_LENGTH else hash(text)


@functools.lru_cache(maxsize=256)
def _short(host):
    return host.partition(b".")[0].lower()


# --- several logs as one ------------------------------------------------------------------------------------------


def _keyed_journal(lines, kind):
    for stamp, text, about in lines:
        yield stamp, kind, stamp, text, about


def _keyed(logs, lag):
    """Lines of several logs for heapq.merge; one without a stamp is of the time of the one before it."""
    last = 0
    for stamp, text, host in logs[0] if len(logs) == 1 else _merged(logs):
        last = last if stamp is None else stamp + lag
        yield last, _FILE, stamp, text, host


def _merged(streams):
    """Several logs as one, in the order of time; a line that stands in more than one of them comes once.

    Debian's mail.info holds what mail.log holds. A line that stands twice in *one* log happened twice.
    """
    second, given, seen = None, Counter(), Counter()
    numbered = [_numbered(stream, number) for number, stream in enumerate(streams)]
    for stamp, number, text, host in heapq.merge(*numbered, key=lambda item: item[0]):
        if stamp != second:
            second, given, seen = stamp, Counter(), Counter()
        seen[number, text] += 1
        if seen[number, text] > given[text]:
            given[text] += 1
            yield stamp or None, text, host


def _numbered(stream, number):
    for stamp, text, host in stream:
        yield stamp or 0, number, text, host
