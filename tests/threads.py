"""Threads of tests: none outlives its test, and nobody forks while one is there.

What another thread holds at the moment of a fork (a lock of the interpreter's, of OpenSSL's) stays held in the new
process for ever. Python warns of it, but also of the thread by which pytest-xdist's processes talk to each other;
therefore the configuration ignores that warning, and such threads are looked for here.
"""

import os
import threading
import time

import pytest

# For those that end by themselves once their server has closed its connections.
END_TIMEOUT = 10


def others():
    """The threads that somebody has started besides this one; pytest-xdist's own are unknown to ``threading``."""
    return [
        thread
        for thread in threading.enumerate()
        if thread not in (threading.current_thread(), threading.main_thread())
        and not isinstance(thread, threading._DummyThread)
    ]


@pytest.fixture(autouse=True)
def all_threads_end():
    yield
    end = time.monotonic() + END_TIMEOUT
    for thread in others():
        thread.join(max(0, end - time.monotonic()))
    assert others() == []


def _before_fork():
    # pytest makes an error of what can't be raised here.
    assert not others(), "a fork while there are the threads {0}".format(others())


# Python 3.6 has no such thing.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
