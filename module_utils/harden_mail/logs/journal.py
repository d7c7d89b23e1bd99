"""Mail lines of the journal, and which of them their program really wrote.

The kernel tells journald the user id of whoever sends a line (``_UID``), and nobody but root can say another. The other
fields prove nothing here: a process chooses its ``_COMM``; what a user's .forward starts has the mail server's
``_SYSTEMD_UNIT``; and ``_EXE`` is missing where the process has ended before journald looked.
"""

import json
import re
import time
from collections import Counter
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ..errors import CommandError
from ..host.users import users
from ..system import System
from .formats import courier, dovecot, plesk, postfix, vpopmail
from .stamps import Clock, as_text, bounded_lines

# Everything of syslog's facility "mail" (2).
_MAIL = "SYSLOG_FACILITY=2"

# Lines that others than the mail servers wrote are read one by one, which is slow: so many, in so many seconds.
_OTHERS_LIMIT = 500000
_OTHERS_TIMEOUT = 120
# Of one user, so many: nobody's flood takes all the room of the others.
_ONE_LIMIT = _OTHERS_LIMIT // 2

# Users by whom journalctl is asked: it compares each with all others, and whoever has a range of ids for containers can
# write with 65,536 of them. Of more users, everybody's lines are read, and sorted out here.
_USERS_LIMIT = 200

# Times at which journald left something out that are remembered: one in five minutes, for a month.
_SUPPRESSED_LIMIT = 10000

# Seconds for which journalctl may be silent: it passes over millions of lines of others in that time.
_SILENCE_TIMEOUT = 300

_ROOT = 0

# The field of an entry in JSON: within a text, the quotes would be escaped.
_UID = re.compile(rb'"_UID"\s*:\s*"(\d+)"')

_COMMAND = ["journalctl", "--quiet", "--no-pager", "--all"]

# Who writes the lines of each kind of program besides root, in the configuration's words. Postfix's smtpd runs as
# mail_owner; Dovecot and Courier have a process of root's that writes for all. Seen on booted hosts: tests/data/logs.
_MAIL_OWNER = re.compile(r"^mail_owner\s*=\s*([\w.-]+)\s*$", re.MULTILINE)
# Of control groups that Docker, podman, Kubernetes, LXC and systemd-nspawn make.
_CONTAINER = re.compile(r"docker|libpod|kubepods|containerd|crio|lxc|machine\.slice")

# What journald says when it has left out lines of a unit that wrote too many: "Suppressed 7 messages from x.service".
_SUPPRESSED = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e"
_OF_FAMILY = re.compile(r"Suppressed \d+ messages from .*\b(postfix|dovecot|courier)")

# Programs whose writer is not known, and what a host that has them has: a user, or a directory.
_VPOPMAIL_USER = re.compile(r"^vpopmail:", re.MULTILINE)
_PLESK = ("/opt/psa", "/usr/local/psa")


def missing_programs(system: System) -> Set[str]:
    """Programs that log log-ins and are not on this host, as in a log."""
    missing = set()
    if not _VPOPMAIL_USER.search(system.read("/etc/passwd") or "") and not system.exists("/home/vpopmail"):
        missing.add(vpopmail.LOG_NAME)
    if not any(system.exists(path) for path in _PLESK):
        missing.update((plesk.QMAIL_LOG_NAME, plesk.POSTFIX_LOG_NAME))
    return missing


def family_of(program: str) -> Optional[str]:
    """ "postfix", "dovecot" or "courier": whose program that is; None where it isn't known who writes its lines.

    :param program: as it stands in a log: "postfix/submission/smtpd", "dovecot", "imapd-ssl"
    """
    if program.endswith(postfix.PROGRAM):
        return "postfix"
    if program == dovecot.LOG_NAME:
        return "dovecot"
    return "courier" if courier.PROGRAM.match(program) else None


class Journal:
    """What the journal has of mail in a period."""

    def __init__(
        self,
        system: System,
        period: Tuple[float, Optional[float]],
        wanted: Sequence[bytes],
        note: Callable[[str], None],
    ):
        """
        :param period: epoch seconds of the first line that matters, and of the first that no longer does (None:
            there is none)
        :param wanted: see :class:`reader.Logs`
        :param note: is given sentences on what could not be read
        """
        self._system, self._wanted, self._note = system, wanted, note
        self._since, self._until = period
        self._owners = postfix_users(system)
        self._users = {user.uid for user in users(system).values()}

    def start(self) -> Optional[int]:
        """Epoch seconds of the first line of all there are."""
        clock = Clock(time.time())
        for line in self._lines(["--output=short-iso"], ()):
            stamp, _text = clock.read(line)
            if stamp is not None:
                return stamp
        return None

    def proved(self) -> Iterator[Tuple[int, str, Optional[bytes]]]:
        """What root and the mail servers' own users wrote: epoch seconds, the line without stamp and host, the host."""
        matches = [_MAIL, "_UID=0"]
        # Dovecot may have another facility, and none when it is told not to use syslog.
        for named in ("SYSLOG_IDENTIFIER=dovecot", "_SYSTEMD_UNIT=dovecot.service"):
            matches += ["+", named, "_UID=0"]
        for uid in self._owners:
            matches += ["+", "_UID={0}".format(uid)]
        clock = Clock(time.time())
        for line in self._lines(["--output=short-iso"] + self._times() + matches, self._wanted):
            stamp, text = clock.read(line)
            # A line without a stamp continues one before it: nothing that a log-in is written as.
            if stamp is not None and stamp >= self._since and (self._until is None or stamp < self._until):
                yield stamp, text, clock.host

    def suppressed(self) -> List[Tuple[int, str]]:
        """When journald left out lines of a mail server: epoch seconds, and the family."""
        found: List[Tuple[int, str]] = []
        clock = Clock(time.time())
        for line in self._lines(["--output=short-iso"] + self._times() + [_SUPPRESSED], ()):
            stamp, text = clock.read(line)
            match = _OF_FAMILY.search(text)
            if stamp is not None and match and len(found) < _SUPPRESSED_LIMIT:
                found.append((stamp, match.group(1)))
        return found

    def others(self) -> Iterator[Tuple[int, str, Optional[int]]]:
        """What everybody else wrote, as mail: epoch seconds, the line as above, the user id.

        The id is None of a container's processes and of ids that the host has no user of: it may be a mail server's.
        """
        uids = self._other_uids()
        if not uids:
            return
        # A line of several lines, or a program's name with a line feed in it, can't pass for more than one here.
        argv = ["--output=json"] + self._times() + [_MAIL]
        if len(uids) <= _USERS_LIMIT:
            argv += ["_UID={0}".format(uid) for uid in uids]
        servers = {b"%d" % uid for uid in (_ROOT, *self._owners)}
        end = time.monotonic() + _OTHERS_TIMEOUT
        number = 0
        of_each: Dict[bytes, int] = Counter()
        for line in self._lines(argv, self._wanted):
            sender = _UID.search(line)
            uid = sender.group(1) if sender else b""
            of_each[uid] += 1
            number += of_each[uid] <= _ONE_LIMIT
            if number > _OTHERS_LIMIT or time.monotonic() > end:
                self._note(
                    "The journal's mail lines of users who are no mail server are more than {0:,}, or took more than "
                    "{1} seconds; the rest of them was not read.".format(_OTHERS_LIMIT, _OTHERS_TIMEOUT)
                )
                return
            if uid and of_each[uid] > _ONE_LIMIT and uid not in servers:
                self._note(
                    "The journal's mail lines of uid {0}, which is no mail server, are more than {1:,}; the rest of "
                    "them was not read.".format(uid.decode("ascii"), _ONE_LIMIT)
                )
                continue
            entry = _entry(line) if uid and uid not in servers else None
            if entry is not None and entry[0] >= self._since and (self._until is None or entry[0] < self._until):
                yield entry if entry[2] in self._users else entry[:2] + (None,)

    def unsigned(self, programs: Iterable[str], since: float, until: float) -> Tuple[List[Tuple[int, str]], bool]:
        """What some programs wrote of which journald could not find out who did.

        :param programs: as in the journal: "postfix/submission/smtpd"
        :param since, until: epoch seconds
        :returns: epoch seconds and lines as above, and whether all of it was looked at
        """
        argv = ["--output=json", "--since=@{0}".format(int(since)), "--until=@{0}".format(int(until))]
        argv += ["SYSLOG_IDENTIFIER={0}".format(program) for program in sorted(programs)]
        # Not only lines with certain words in them: what is no UTF-8 comes as numbers.
        found: List[Tuple[int, str]] = []
        end = time.monotonic() + _OTHERS_TIMEOUT
        for number, line in enumerate(self._lines(argv, ())):
            if number >= _OTHERS_LIMIT or time.monotonic() > end:
                return found, False
            # Most lines say who, and need no closer look.
            entry = None if b'"_UID"' in line else _entry(line, None)
            if entry is not None:
                found.append(entry[:2])
        return found, True

    def _other_uids(self):
        """User ids, ascending, of whom the journal has lines, without root and the mail servers' own."""
        try:
            said = self._system.run(["journalctl", "--field=_UID"], timeout=_SILENCE_TIMEOUT).out
        except CommandError:
            return []  # whoever reads the lines themselves says why
        uids = {int(word) for word in said.split() if word.isdigit()}
        return sorted(uids - {_ROOT} - set(self._owners))

    def _times(self):
        times = ["--since=@{0}".format(int(self._since))]
        return times if self._until is None else times + ["--until=@{0}".format(int(self._until))]

    def _lines(self, options, wanted):
        try:
            with self._system.stream(_COMMAND + options, _SILENCE_TIMEOUT) as handle:
                yield from bounded_lines(handle, wanted)
        except CommandError as error:
            self._note("The journal could not be read: {0}.".format(str(error).rstrip(".")))


def _entry(line, *unknown):
    """(epoch seconds, text, user id) of an entry in JSON (bytes), or None.

    :param unknown: what stands for a user id that is not known; with none, such an entry is None
    """
    try:
        entry = json.loads(as_text(line))
        stamp = int(entry["__REALTIME_TIMESTAMP"]) // 1000000
        uid = unknown[0] if unknown and "_UID" not in entry else int(entry["_UID"])
        program, message = entry["SYSLOG_IDENTIFIER"], entry["MESSAGE"]
        if _CONTAINER.search(str(entry.get("_SYSTEMD_CGROUP"))):
            uid = None
        # What is no UTF-8 comes as a list of bytes.
        if isinstance(message, list):
            message = as_text(bytes(message))
    except (ValueError, KeyError, TypeError):
        return None
    # Too long, or given twice: no line of a log-in.
    if not isinstance(program, str) or not isinstance(message, str):
        return None
    process = entry.get("SYSLOG_PID") or entry.get("_PID")
    return stamp, "{0}[{1}]: {2}".format(program, process, message), uid


def postfix_users(system: System) -> List[int]:
    """User ids that Postfix runs as, each once."""
    names = {"postfix"}
    for path in system.glob("/etc/postfix*/main.cf"):
        names.update(_MAIL_OWNER.findall(system.read(path) or ""))
    users = (row.split(":") for row in (system.read("/etc/passwd") or "").splitlines())
    uids = {int(row[2]) for row in users if len(row) > 2 and row[0] in names and row[2].isdigit()}
    return sorted(uids - {_ROOT})


def user_name(system: System, uid: int) -> str:
    """ "33 (www-data)"; "33" when /etc/passwd doesn't know it."""
    for row in (system.read("/etc/passwd") or "").splitlines():
        fields = row.split(":")
        if len(fields) > 2 and fields[2] == str(uid):
            return "{0} ({1})".format(uid, fields[0])
    return str(uid)
