"""One run of the alert at a time: the lock, and the end of a run that hangs."""

import contextlib
import fcntl
import os
import signal
import syslog
import time

from ..errors import UserError
from ..paths import ALERT_LOCK
from ..system import System
from . import ways

# Seconds after which a run counts as hanging.
LONGEST = 240

# What a run writes beside its number and the time until it has counted: this, once for each run in a row that was ended
# before that, and for itself. One may have been ended by anybody; several have met something.
COUNTING = "counting"


class Busy(UserError):
    """Another run is at work, and has not been so for long."""


class Turn:
    """The turn of one run.

    :ivar bool was_cut_off: the runs before were ended while they counted, by the next one, by systemd or for want of
        memory
    """

    def __init__(self, handle):
        """:param handle: as :func:`only_one` gives it; None: nobody waits for this turn"""
        self._handle = handle
        self._cut_off = 0
        if handle:
            handle.seek(0)
            self._cut_off = handle.read(1000).split()[2:].count(COUNTING)
            self._write(*[COUNTING] * self._cut_off)
        self.was_cut_off = self._cut_off > 1

    @contextlib.contextmanager
    def counting(self):
        """Say for the time of a ``with`` block that it counts, which may hang."""
        self._write(*[COUNTING] * min(self._cut_off + 1, 10))
        try:
            yield
        finally:
            self._write()

    def _write(self, *more):
        if self._handle:
            self._handle.seek(0)
            self._handle.truncate()
            self._handle.write(" ".join([str(os.getpid()), str(int(time.monotonic())), *more]))
            self._handle.flush()


ALONE = Turn(None)


@contextlib.contextmanager
def only_one(system):
    """Hold the lock of the program; whoever has held it too long is ended.

    :returns: file object of the lock
    :raises Busy: another run is at work, and has not been so for long
    :raises UserError: one that hangs could not be ended
    """
    with system.open_lock(ALERT_LOCK) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _end_hanging(handle)
        yield handle


def _end_hanging(handle):
    handle.seek(0)
    # Who holds the lock writes its number and the time into it; between the two there is nothing to go by.
    holder, since = (handle.read(1000).split() + ["", ""])[:2]
    hung = time.monotonic() - int(since) if holder.isdigit() and since.isdigit() else 0
    if hung < LONGEST or not _is_ours(holder):
        raise Busy("another run is still at work")
    ways.log("ending a run that has hung for {0:.0f} seconds".format(hung), syslog.LOG_ERR)
    with contextlib.suppress(ProcessLookupError):
        end = os.killpg if os.getpgid(int(holder)) == int(holder) else os.kill
        end(int(holder), signal.SIGKILL)
    for _ in range(50):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        else:
            return
    raise UserError("a run that hangs could not be ended")


def _is_ours(number):
    try:
        return "queue-alert" in (System().read("/proc/{0}/cmdline".format(number)) or "")
    except OSError:
        return False
