"""A program that lives on the host: takes log-ins of a POP or IMAP server from its log, into the database.

It serves Courier, whose log lines are known here, and any other server whose lines a pattern describes. Whatever goes
wrong with it, nobody is let in by it: it only ever writes that an address logged in, and until when that counts.
"""

import argparse
import contextlib
import os
import re
import select
import sqlite3
import sys
import time
from collections import OrderedDict

from ..addresses import fold_address, of_kernel
from ..errors import UserError
from ..logs.events import Left
from ..logs.formats.courier import peer_of
from ..logs.logins import events
from ..logs.tail import FileTail, JournalTail
from . import database

# Seconds between two looks at a file: a client that has read mail sends at once.
POLL = 0.2

# Seconds between two looks at who is still connected, where a log-in doesn't count for less than three of them.
RENEW_EVERY = 60

# Sessions of the last day may still be open when this program begins.
LONGEST_SESSION = 86400

# So many addresses, and so many sessions, are remembered; the oldest go first.
MOST_REMEMBERED = 100000

# Seconds for which the database may fail until this program ends, to be begun anew and to read the log again.
DATABASE_TIMEOUT = 300

ESTABLISHED = "01"  # the state's number in /proc/net/tcp, of the kernel's include/net/tcp_states.h


class Follower:
    """What is known of log-ins, and what of it is not in the database yet."""

    def __init__(self, minutes, prefix6, patterns=(), path=database.PATH, peers=None):
        """
        :param int minutes: how long a log-in counts
        :param int prefix6: as ``plan.Wanted`` has it
        :param patterns: regular expressions (str) of lines that tell a log-in, each with a group named ``address``
        :param str path: of the database
        :param peers: function () -> set of (address, port), str and int: the host's established connections
        :raises UserError: a pattern that can't be read

        :ivar int renew_every: seconds between two calls of ``renew``
        """
        self._seconds = minutes * 60
        self.renew_every = min(RENEW_EVERY, minutes * 20)
        self._statement = database.write("?", minutes, prefix6, now="?")
        self._patterns = [_compiled(pattern) for pattern in patterns]
        self._path, self._peers = path, peers or established
        # address -> epoch seconds of its last log-in, the oldest first; those of them that are not written yet
        self._recent, self._waiting = OrderedDict(), {}
        # (address, port) of sessions that may be open -> None, the oldest first
        self._sessions = OrderedDict()
        self._written_to = None

    def take(self, lines, now):
        """Note the log-ins in some lines.

        :param list lines: of (epoch seconds or None, str), as reader.Logs gives them
        """
        for stamp, text in lines:
            for pattern in self._patterns:
                match = pattern.search(text)
                address = fold_address(match.group("address") or "") if match else None
                if address:
                    self._note(address, now if stamp is None else stamp, now)
        for event in events(lines):
            if isinstance(event, Left):
                self._sessions.pop(peer_of(event.session), None)
            elif event.accepted and event.kind != "smtp":
                stamp = now if event.time is None else event.time
                self._note(event.address, stamp, now)
                peer = peer_of(event.session)
                if peer is not None and stamp > now - LONGEST_SESSION:
                    self._sessions.pop(peer, None)
                    self._sessions[peer] = None
                    if len(self._sessions) > MOST_REMEMBERED:
                        self._sessions.popitem(last=False)

    def renew(self, now):
        """Let sessions that are still connected count as log-ins of now."""
        if self._sessions:
            peers = self._peers()
            for session in list(self._sessions):
                if session in peers:
                    self._note(session[0], now, now)
                else:
                    del self._sessions[session]

    def flush(self, now):
        """Write what is not in the database yet.

        :raises sqlite3.Error: that can't be done now; nothing is forgotten
        """
        identity = _identity(self._path)
        if identity != self._written_to:
            # It was made anew: what was in it is written once more.
            self._waiting = dict(self._recent)
        self._waiting = {address: stamp for address, stamp in self._waiting.items() if stamp > now - self._seconds}
        if not self._waiting:
            return
        uri = "file:{0}?mode=rw".format(self._path)
        with contextlib.closing(sqlite3.connect(uri, timeout=database.BUSY_SECONDS, uri=True)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            with connection:
                connection.executemany(self._statement, sorted(self._waiting.items()))
        self._waiting, self._written_to = {}, identity

    def _note(self, address, stamp, now):
        # A clock that was set back would otherwise let somebody in for longer.
        stamp = min(int(stamp), int(now))
        if stamp <= now - self._seconds or stamp <= self._recent.get(address, 0):
            return
        self._recent.pop(address, None)
        self._recent[address] = self._waiting[address] = stamp
        if len(self._recent) > MOST_REMEMBERED:
            self._waiting.pop(self._recent.popitem(last=False)[0], None)


def established():
    """Who is connected to this host: set of (address, port), str and int."""
    peers = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as handle:
            for line in handle:
                fields = line.split()
                if fields[3] == ESTABLISHED:
                    address, _colon, port = fields[2].partition(":")
                    peers.add((fold_address(of_kernel(address)), int(port, 16)))
    return peers


def _compiled(pattern):
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError("pattern '{0}' is no regular expression: {1}.".format(pattern, error)) from None
    if "address" not in compiled.groupindex:
        raise UserError("pattern '{0}' has no group (?P<address>...).".format(pattern))
    return compiled


def _identity(path):
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def run(follower, tails, clock=time.time, wait=None):
    """Follow for ever.

    :raises UserError: the journal can't be followed, or the database fails for long
    """
    wait = wait or _waiter(tails, follower.renew_every / 2)
    renewed = failing = None
    while True:
        now = clock()
        for tail in tails:
            follower.take(tail.read(), now)
        if renewed is None or not 0 <= now - renewed < follower.renew_every:
            follower.renew(now)
            renewed = now
        try:
            follower.flush(now)
            failing = None
        except sqlite3.Error as error:
            if failing is None:
                print("The database can't be written: {0}. It is tried again.".format(error), flush=True)
            failing = now if failing is None else failing
            if now - failing > DATABASE_TIMEOUT:
                raise UserError("The database can't be written for long: {0}.".format(error)) from None
        wait(1 if failing is not None else None)


def _say(sentence):
    print(sentence, flush=True)


def _waiter(tails, longest):
    journals = [tail for tail in tails if isinstance(tail, JournalTail)]
    longest = POLL if len(journals) < len(tails) else longest

    def wait(seconds):
        if seconds is None:
            select.select(journals, [], [], longest)
        else:
            time.sleep(seconds)

    return wait


def main(argv=None):
    parser = argparse.ArgumentParser(prog="pop-before-smtp-follower", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, required=True, help="how long a log-in counts")
    parser.add_argument(
        "--prefix6", type=int, default=128, choices=[64, 128], help="of an IPv6 address, so much counts"
    )
    parser.add_argument("--unit", action="append", default=[], help="systemd unit whose lines in the journal are read")
    parser.add_argument("--file", action="append", default=[], help="log file")
    parser.add_argument("--pattern", action="append", default=[], help="regular expression with a group named address")
    parser.add_argument("--database", default=database.PATH)
    parser.add_argument("--build", help="of no use here: who looks at the process learns which program it is")
    options = parser.parse_args(argv)
    if not (options.unit or options.file):
        parser.error("give --unit or --file")
    since = time.time() - max(LONGEST_SESSION, options.minutes * 60)
    try:
        follower = Follower(options.minutes, options.prefix6, options.pattern, options.database)
        tails = [FileTail(path, since, _say) for path in options.file]
        if options.unit:
            tails.append(JournalTail(options.unit, since))
        run(follower, tails)
    except (UserError, OSError) as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0
