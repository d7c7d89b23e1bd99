"""SMTP sessions that were open when somebody was blocked: their smtpd has read the tables before, and goes on by them.

Such a process must not be killed: one that has served a single client is taken by Postfix for one that can't start, and
the whole service is not served for a minute, ``postfix reload`` or not. Its connection is cut instead (``ss -K``).
"""

import ipaddress
import os
import time
from collections import namedtuple

from ..addresses import fold_address, of_kernel
from ..host.processes import find_processes, sockets_of
from ..logs.formats import postfix
from ..logs.formats.format import read_line
from ..logs.journal import postfix_users
from ..logs.reader import USUAL_FILES, Logs
from .lists import fold

# pid: int; service: str, "submission/inet"; inode: str, of the socket
# local, remote: (address, port), of the connection
Session = namedtuple("Session", "pid service inode local remote")

ESTABLISHED = "01"
BOOTTIME = 7  # CLOCK_BOOTTIME, what the kernel counts a process's start by

# Both the kernel's times of processes and those of files are this coarse.
TICK = 0.02

# Seconds until a session that was cut must be gone, and how many are cut by one command.
CUT_TIMEOUT = 3.0
AT_ONCE = 50


def stale(system, options, since):
    """Sessions whose process doesn't know who is blocked now.

    :param dict options: key of a service -> list of str, the words that its processes must have been started with
    :param float since: epoch seconds of the last change of a table; a process that is older has read a former one
    :returns: list of :class:`Session`
    """
    old, users = {}, {0, *postfix_users(system)}
    for process in find_processes(system, users):
        key = _service(process)
        # Anybody can give a process of his own this name.
        if key is None or key not in options or process.user not in users:
            continue
        knows = all(any(word in argument for argument in process.command) for word in options[key])
        if not knows or _started(system, process.pid) <= since + TICK:
            old[process.pid] = key
    found = []
    connections = _connections(system) if old else {}
    for pid, key in sorted(old.items()):
        for inode in sorted(sockets_of(system, pid)):
            if inode in connections:
                found.append(Session(pid, key, inode, *connections[inode]))
    return found


def meant(sessions, accounts, networks, seen_from, owners, on_25):
    """Those of the sessions that must end: all but those of whom it is known that they are somebody else's.

    On port 25, other mail servers come by, too, and are not held up: there, only sessions end of which it is known, or
    that come from where a blocked account has sent from lately.

    :param accounts: of str, folded names that are blocked
    :param networks: of str, that are blocked
    :param seen_from: of str, addresses where blocked accounts sent from
    :param dict owners: pid -> the account whose mail it took in this session
    :param on_25: of str, keys of the services on port 25
    :returns: list of :class:`Session`
    """
    refused = [ipaddress.ip_network(network) for network in networks]
    found = []
    for session in sessions:
        address = ipaddress.ip_address(session.remote[0])
        owner = owners.get(session.pid)
        if session.service in on_25:
            ends = owner in accounts or (owner is None and session.remote[0] in seen_from)
        else:
            ends = owner is None or owner in accounts or any(address in network for network in refused)
        if ends:
            found.append(session)
    return found


def owners(system, params, sessions):
    """Whose session each process has, as far as it has taken mail in it: dict pid -> folded account.

    :param dict params: with ``log_files`` and ``log_journal``
    """
    pids = {str(session.pid) for session in sessions}
    if not pids:
        return {}
    # One that lasts for longer is one of whom nothing is known.
    since = int(time.time()) - 2 * 86400
    files = params["log_files"] or [path for path in USUAL_FILES if system.exists(path)]
    wanted = tuple("smtpd[{0}]: ".format(pid).encode("ascii") for pid in sorted(pids))
    known = {}
    for stamp, text, writer in Logs(system, files, params["log_journal"], since, wanted=wanted).lines():
        # A line that somebody else may have written must not save a session: without a journal none does.
        if writer.proof != "proved":
            continue
        line = read_line(stamp, text)
        if line is None or line.process not in pids or not line.program.endswith(postfix.PROGRAM):
            continue
        if line.message.startswith(postfix.CONNECTED):
            known.pop(int(line.process), None)
            continue
        account = postfix.sender(line.message)
        if account is not None:
            known[int(line.process)] = fold(account)
    return known


def cuts(sessions):
    """The commands (list of argv) that cut the connections of sessions."""
    commands = []
    for start in range(0, len(sessions), AT_ONCE):
        terms = [
            "( src {0} and dst {1} )".format(_endpoint(session.local), _endpoint(session.remote))
            for session in sessions[start : start + AT_ONCE]
        ]
        commands.append(["ss", "-K", "-tn", " or ".join(terms)])
    return commands


def left(system, sessions):
    """Those whose connection is still there after a while: list of :class:`Session`."""
    end = time.monotonic() + CUT_TIMEOUT
    while True:
        there = _connections(system)
        open_still = [session for session in sessions if session.inode in there]
        if not open_still or time.monotonic() > end:
            return open_still
        time.sleep(0.1)


def _service(process):
    """ "submission/inet" of a process of Postfix's smtpd, or None."""
    command = process.command
    if process.name != "smtpd" or os.path.basename(command[0]) != "smtpd":
        return None
    named = dict(zip(command[1:-1], command[2:]))
    return "{0}/{1}".format(named.get("-n", "smtp"), named.get("-t", "inet"))


def _started(system, pid):
    """Epoch seconds of a process's start; of one that has ended, long ago."""
    try:
        stat = system.read("/proc/{0}/stat".format(pid)) or ""
    except OSError:
        stat = ""
    if not stat:
        return 0.0
    ticks = int(stat[stat.rindex(")") + 1 :].split()[19])
    return time.time() - time.clock_gettime(BOOTTIME) + ticks / float(os.sysconf("SC_CLK_TCK"))


def _connections(system):
    """Established TCP connections: dict inode -> ((address, port), (address, port)), local and remote."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in (system.read("/proc/net/" + name) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == ESTABLISHED:
                found[fields[9]] = _place(fields[1]), _place(fields[2])
    return found


def _place(text):
    digits, _colon, port = text.partition(":")
    address = of_kernel(digits)
    return fold_address(address) or address, int(port, 16)


def _endpoint(place):
    address, port = place
    return ("[{0}]:{1}" if ":" in address else "{0}:{1}").format(address, port)
