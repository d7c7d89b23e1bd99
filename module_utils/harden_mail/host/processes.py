"""The host's processes, from /proc: there on every Linux, and cheaper than any command."""

import os
from typing import Collection, Dict, Iterable, List, NamedTuple, Optional

from ..system import System


class Process(NamedTuple):
    """A process.

    :ivar name: what the kernel calls it (at most 15 characters)
    :ivar command: its arguments
    """

    pid: int
    parent: int
    name: str
    command: List[str]


def is_postfix_master(process: Process) -> bool:
    """Whether it is Postfix's master, which other programs have a name in common with."""
    return process.name == "master" and "postfix" in process.command[0]


def link(system: System, path: str) -> Optional[str]:
    """Where a symbolic link points, as it is written, or None."""
    try:
        return os.readlink(system.real(path))
    except OSError:
        return None


def find_processes(system: System) -> List[Process]:
    """Processes of the host itself; those of containers on it are another host's.

    :returns: by pid
    """
    ours = link(system, "/proc/self/ns/pid")
    found = []
    for name in sorted((name for name in system.listdir("/proc") if name.isdigit()), key=int):
        directory = "/proc/" + name
        # Without root the link of someone else's process can't be read: then it counts as the host's.
        if link(system, directory + "/ns/pid") not in (ours, None):
            continue
        process = _read(system, directory)
        if process:
            found.append(process)
    return found


def holders(system: System, processes: Iterable[Process], inodes: Collection[str]) -> Dict[str, Process]:
    """The process that opened each socket.

    Servers hand their socket down to the workers they start, so of several that hold it the one is taken whose
    parent doesn't.

    :param inodes: as in /proc/net/tcp
    :returns: by inode; without those that can't be seen
    """
    holding: Dict[str, Dict[int, Process]] = {}
    for process in processes if inodes else ():
        directory = "/proc/{0}/fd".format(process.pid)
        try:
            names = system.listdir(directory)
        except OSError:
            continue
        for name in names:
            target = link(system, directory + "/" + name) or ""
            if target.startswith("socket:[") and target[8:-1] in inodes:
                holding.setdefault(target[8:-1], {})[process.pid] = process
    return {inode: _eldest(by_pid) for inode, by_pid in holding.items()}


def _eldest(by_pid: Dict[int, Process]) -> Process:
    return next(by_pid[pid] for pid in sorted(by_pid) if by_pid[pid].parent not in by_pid)


def _read(system: System, directory: str) -> Optional[Process]:
    try:
        stat, command = system.read(directory + "/stat"), system.read(directory + "/cmdline")
    except OSError:  # it ended while we read
        return None
    if not stat or not command:  # kernel threads have no command line
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    parent = stat[stat.rindex(")") + 1 :].split()[1]
    return Process(int(os.path.basename(directory)), int(parent), name, command.rstrip("\0").split("\0"))
