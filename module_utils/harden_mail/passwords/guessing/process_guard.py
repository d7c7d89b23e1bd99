"""Keeps what a process that guesses passwords knows out of core dumps, swap and the way of other processes.

prctl(2), mlockall(2), capabilities(7), core(5). What a host does not allow is left out, and can be asked for.
"""

import contextlib
import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4

# All pages that are there and that will be, each as it is touched: so a fork still copies nothing beforehand.
_MCL_CURRENT_FUTURE_ONFAULT = 1 | 2 | 4

_CAP_IPC_LOCK = 1 << 14

_STATUS = "/proc/self/status"
_SWAPS = "/proc/swaps"

PROTECTED = (
    "While it ran, its memory was locked (kept out of swap), and only root could trace it; it could leave no core."
)

PARTLY = "The memory of some of its processes could not be locked, so parts of it could be written to swap."


def protect():
    """Protect this process, and give way to all others; what this host does not allow is left out.

    Processes that are forked afterwards call :func:`protect_fork` as well.
    """
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The limit alone does not hold where cores are piped into a program; and so nobody but root may trace it either.
    _prctl(_PR_SET_DUMPABLE, 0)
    _lock_memory()


def protect_fork():
    """What a forked process does not inherit: memory is locked anew, and it dies with its parent.

    :returns: list of sentences, as :func:`missing`
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _lock_memory()
    return missing()


def missing():
    """What protects this process not, by what the kernel says of it: list of sentences, none when all is well."""
    told = []
    if not _is_locked():
        swap = "this host has swap" if _has_swap() else "this host has no swap now"
        told.append(
            "Memory of the audit could not be locked (no CAP_IPC_LOCK, or RLIMIT_MEMLOCK is {0}), so it could be "
            "written to swap; {1}.".format(_limit(), swap)
        )
    if resource.getrlimit(resource.RLIMIT_CORE)[0] != 0:
        told.append("Core dumps of the audit are not off: RLIMIT_CORE is not 0.")
    if _prctl(_PR_GET_DUMPABLE, 0) != 0:
        told.append("The audit could be traced by others of its user: PR_SET_DUMPABLE did not take.")
    return told


def _prctl(option, value):
    """What prctl(2) returns; None where there is none."""
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
    return None


def _lock_memory():
    """Keep the memory out of the swap; only where it can't end in a lack of memory that may be locked."""
    if not _may_lock_all():
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mlockall(_MCL_CURRENT_FUTURE_ONFAULT)


def _may_lock_all():
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    return bool(int(_status("CapEff", "0"), 16) & _CAP_IPC_LOCK)


def _is_locked():
    return int(_status("VmLck", "0")) > 0


def _limit():
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return "unlimited" if limit == resource.RLIM_INFINITY else "{0:,} KiB".format(limit // 1024)


def _status(name, otherwise):
    """First word of a line of this process's status in /proc."""
    try:
        with open(_STATUS, encoding="ascii", errors="replace") as handle:
            for line in handle:
                if line.startswith(name + ":"):
                    return line.split()[1]
    except OSError:
        pass
    return otherwise


def _has_swap():
    """Whether there is any; True where nobody says."""
    try:
        with open(_SWAPS, encoding="ascii", errors="replace") as handle:
            return len(handle.readlines()) > 1
    except OSError:
        return True
