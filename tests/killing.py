"""kill -9 before every change of the host: the one way in which tests do it.

A process dies before its Nth call that changes a file system, locks, or runs a command, whether that is one of the
product's steps or not: Python's audit hooks tell of it. What a stand-in does in place of a command it says by
:func:`about_to`. Python 3.6 and 3.7 have no audit hooks; there the functions are wrapped.
"""

import builtins
import fcntl
import io
import itertools
import os
import signal
import subprocess
import sys
import traceback

# Functions of ``os`` that change something, as audit hooks call them, and others that these know by the same name.
_OF_OS = "rename link symlink remove mkdir rmdir chmod chown utime truncate".split()
_SAME = {"replace": "rename", "unlink": "remove", "fchmod": "chmod", "fchown": "chown"}
_CHANGES = frozenset(["fcntl.flock", "fcntl.lockf", "subprocess.Popen"] + ["os." + name for name in _OF_OS])
_WRITING = os.O_WRONLY | os.O_RDWR


class _Watch:
    """Counts the changes that this process makes, not those of processes that it starts."""

    def __init__(self, fatal, tell):
        self.process, self.fatal, self.tell, self.count = os.getpid(), fatal, tell, 0

    def about_to(self, what):
        if os.getpid() == self.process:
            self.count += 1
            if self.count == self.fatal:
                self.tell(what)
                os.kill(self.process, signal.SIGKILL)


# The one of this process, if it has one.
_watches = []


def about_to(what):
    """For stand-ins: what follows would be a change of a real host."""
    for watch in _watches:
        watch.about_to(what)


def changes():
    """How many changes there were since :func:`arm`."""
    return _watches[0].count


def arm(fatal, tell=lambda what: None):
    """Have this process die of SIGKILL before a change; there is no way back.

    :param int fatal: number of the change, from 1; 0: they are counted only
    :param tell: function that gets what the process was about to do, as its last act
    """
    _watches[:] = [_Watch(fatal, tell)]
    if hasattr(sys, "addaudithook"):
        sys.addaudithook(_audited)
    else:
        _wrap_functions()


def killed(work, fatal):
    """Do some work in a process that dies before its change number ``fatal``; what it does in memory is lost.

    :param work: function without arguments
    :returns: before what it died (str), or None when it was done before
    :raises AssertionError: it failed
    """
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            arm(fatal, lambda what: os.write(writer, what.encode()))
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitpid(process, 0)[1]
    os.close(writer)
    try:
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return os.read(reader, 1000).decode()
    finally:
        os.close(reader)
    assert status == 0, "the work failed before its change number {0}".format(fatal)
    return None


def everywhere(make, work, at_least):
    """Kill some work before each of its changes in turn, and yield what was left.

    :param make: function that makes for a number what is worked on, always the same
    :param work: function that changes it
    :param int at_least: so many changes the work has, or the test is none
    :returns: iterator of (what was made, before which change the work on it died, as text)
    """
    for fatal in itertools.count(1):
        made = make(fatal)
        what = killed(lambda made=made: work(made), fatal)
        if what is None:
            break
        yield made, "change {0}, {1}".format(fatal, what)
    assert fatal > at_least, fatal


def _audited(event, arguments):
    if event in _CHANGES or (event == "open" and arguments[2] & _WRITING):
        about_to(event)


def _wrap_functions():
    for name in _OF_OS + list(_SAME):
        setattr(os, name, _wrapped("os." + _SAME.get(name, name), getattr(os, name)))
    for name in ("flock", "lockf"):
        setattr(fcntl, name, _wrapped("fcntl." + name, getattr(fcntl, name)))
    os.open = _wrapped("open", os.open, lambda path, flags, *_, **__: flags & _WRITING)
    builtins.open = io.open = _wrapped("open", open, _opens_to_write)
    subprocess.Popen.__init__ = _wrapped("subprocess.Popen", subprocess.Popen.__init__)


def _wrapped(what, function, counts=lambda *_, **__: True):
    def call(*arguments, **options):
        if counts(*arguments, **options):
            about_to(what)
        return function(*arguments, **options)

    return call


def _opens_to_write(path, mode="r", *_, **options):
    return not isinstance(path, int) and options.get("opener") is None and set(mode) & set("wax+")
