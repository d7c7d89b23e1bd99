"""Keeps what a process that guesses passwords knows out of core dumps, swap and the way of other processes.

prctl(2), mlockall(2), capabilities(7), core(5).
"""

import contextlib
import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4

# All pages that are there and that will be, each as it is touched: so a fork still copies nothing beforehand.
_MCL_CURRENT_FUTURE_ONFAULT = 1 | 2 | 4

_CAP_IPC_LOCK = 1 << 14

_STATUS = "/proc/self/status"


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
    """What a forked process does not inherit: memory is locked anew, and it dies with its parent."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _lock_memory()


def _prctl(option, value):
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _lock_memory():
    """Keep the memory out of the swap; only where it can't end in a lack of memory that may be locked."""
    if not _may_lock_all():
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mlockall(_MCL_CURRENT_FUTURE_ONFAULT)


def _may_lock_all():
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    try:
        with open(_STATUS, encoding="ascii", errors="replace") as handle:
            effective = next((line for line in handle if line.startswith("CapEff:")), "CapEff: 0")
    except OSError:
        return False
    return bool(int(effective.split()[1], 16) & _CAP_IPC_LOCK)
