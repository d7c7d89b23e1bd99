"""A clock of the controller's own for what waits for others."""

import contextlib
import signal
import threading
import time


class TimeIsUp(BaseException):
    """No Exception: on its way it must not be taken for a failed attempt that is worth another."""


@contextlib.contextmanager
def deadline(seconds):
    """Have what is in the ``with`` end after so many seconds, by :class:`TimeIsUp`.

    An earlier timer (a task's ``timeout``) is left alone, and goes on afterwards. Works in a process's main thread, as
    Ansible's workers have it.
    """
    running, _ = signal.getitimer(signal.ITIMER_REAL)
    if 0 < running <= seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number, _frame):
        raise TimeIsUp

    began, former = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        if running:
            signal.setitimer(signal.ITIMER_REAL, max(0.01, running - (time.monotonic() - began)))
