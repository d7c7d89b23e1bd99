"""The host's processes, from /proc: there on every Linux, and cheaper than any command.

Any user can have thousands, each with a name, arguments of megabytes and a million descriptors of his choice, and can
make whoever reads his arguments wait for ever (they lie in memory that he may map from a file system of his own). So
arguments are read of root's processes and the mail server's alone, and so much of them; a name proves nothing.
"""

import itertools
import os
import re
import time
from typing import Collection, Dict, Iterable, List, NamedTuple, Optional, Set

from ..system import System

# Bytes of a process's arguments that are read; a service of Postfix with fifty options has two thousand.
_MOST_ARGUMENTS = 65536

# Descriptors of one process that are looked at, and seconds for those of all.
_MOST_DESCRIPTORS = 4096
_SECONDS = 10

_UIDS = re.compile(r"^Uid:\t(\d+)\t(\d+)\t", re.MULTILINE)

# Behind all there are.
_NOBODY = 1 << 32


class Process(NamedTuple):
    """A process.

    :ivar name: what the kernel calls it (at most 15 characters)
    :ivar command: its arguments; of a process of which they are not read, its name alone
    :ivar user: id of the user who has it, real and effective; None: these are two, or it is not known
    """

    pid: int
    parent: int
    name: str
    command: List[str]
    user: Optional[int]


def is_postfix_master(process: Process) -> bool:
    """Whether it is Postfix's master, which other programs have a name in common with."""
    return process.user == 0 and process.name == "master" and "postfix" in process.command[0]


def link(system: System, path: str) -> Optional[str]:
    """Where a symbolic link points, as it is written, or None."""
    try:
        return os.readlink(system.real(path))
    except OSError:
        return None


def find_processes(system: System, users: Iterable[int] = ()) -> List[Process]:
    """Processes of the host itself; those of containers on it are another host's.

    :param users: ids of users whose processes' arguments are read besides root's
    :returns: by pid
    """
    ours = link(system, "/proc/self/ns/pid")
    known = {0, *users}
    found = []
    for name in sorted((name for name in system.listdir("/proc") if name.isdigit()), key=int):
        directory = "/proc/" + name
        # Without root the link of someone else's process can't be read: then it counts as the host's.
        if link(system, directory + "/ns/pid") not in (ours, None):
            continue
        process = _read(system, directory, known)
        if process:
            found.append(process)
    return found


def holders(system: System, processes: Iterable[Process], inodes: Collection[str]) -> Dict[str, Process]:
    """The process that opened each socket.

    Servers hand their socket down to the workers they start, so of several that hold it the one is taken whose
    parent doesn't. Root's processes are asked first, then others by their user's number, for some seconds: who holds a
    port that only root can give is among the first.

    :param inodes: as in /proc/net/tcp
    :returns: by inode; without those that can't be seen
    """
    holding: Dict[str, Dict[int, Process]] = {}
    wanted = set(inodes)
    deadline = time.monotonic() + _SECONDS
    by_user = sorted(processes, key=lambda process: (_NOBODY if process.user is None else process.user, process.pid))
    for _user, group in itertools.groupby(by_user, key=lambda process: process.user):
        wanted -= set(holding)
        if not wanted or time.monotonic() > deadline:
            break
        for process in group:
            if time.monotonic() > deadline:
                break
            for inode in sockets_of(system, process.pid) & wanted:
                holding.setdefault(inode, {})[process.pid] = process
    return {inode: _eldest(by_pid) for inode, by_pid in holding.items()}


def sockets_of(system: System, pid: int) -> Set[str]:
    """Sockets, by their inodes, that a process has open, among its first descriptors."""
    directory = "/proc/{0}/fd".format(pid)
    try:
        with os.scandir(system.real(directory)) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST_DESCRIPTORS)]
    except OSError:
        return set()
    targets = (link(system, directory + "/" + name) or "" for name in names)
    return {target[8:-1] for target in targets if target.startswith("socket:[")}


def _eldest(by_pid: Dict[int, Process]) -> Process:
    return next(by_pid[pid] for pid in sorted(by_pid) if by_pid[pid].parent not in by_pid)


def _read(system: System, directory: str, known: Collection[int]) -> Optional[Process]:
    try:
        # Of these the kernel writes some hundred bytes, whatever the process does.
        stat, status = (_start(system, directory + name, 65536) for name in ("/stat", "/status"))
        match = _UIDS.search(status)
        user = int(match.group(1)) if match and match.group(1) == match.group(2) else None
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        command = [name]
        if user in known:
            arguments = _start(system, directory + "/cmdline", _MOST_ARGUMENTS)
            if not arguments:  # kernel threads have no command line
                return None
            command = arguments.rstrip("\0").split("\0")
        parent = int(stat[stat.rindex(")") + 1 :].split()[1])
    except (OSError, ValueError, IndexError):  # it ended while we read
        return None
    return Process(int(os.path.basename(directory)), parent, name, command, user)


def _start(system: System, path: str, most: int) -> str:
    """The first bytes of a file, as text."""
    with open(system.real(path), "rb") as handle:
        return handle.read(most).decode("utf-8", "surrogateescape")
