"""kill -9 before every change of the host: the one way in which tests do it.

A process dies before its Nth call that changes a file system, locks, or runs a command, whether that is one of the
product's steps or not: Python's audit hooks tell of it. What a stand-in does in place of a command it says by
:func:`about_to`. Python 3.6 and 3.7 have no audit hooks; there the functions are wrapped.

On a test host it dies of SIGKILL (:func:`arm`). Unit tests do the same work hundreds of times, and a process as large
as theirs is dear to copy; there an exception is the kill (:func:`killed`), after which nothing that would be a change
works any more, and nothing of what was not yet written gets into a file.
"""

import builtins
import contextlib
import fcntl
import io
import itertools
import os
import signal
import subprocess
import sys

# Functions of ``os`` that change something, as audit hooks call them, and others that these know by the same name.
_OF_OS = "rename link symlink remove mkdir rmdir chmod chown utime truncate".split()
_SAME = {"replace": "rename", "unlink": "remove", "fchmod": "chmod", "fchown": "chown"}
_CHANGES = frozenset(["fcntl.flock", "fcntl.lockf", "subprocess.Popen"] + ["os." + name for name in _OF_OS])
_WRITING = os.O_WRONLY | os.O_RDWR


class _Killed(BaseException):
    """No handler of the product's goes on after it."""


class _Watch:
    """Counts the changes that this process makes, not those of processes that it starts."""

    def __init__(self, fatal, die):
        self.process, self.fatal, self.die, self.count, self.last = os.getpid(), fatal, die, 0, None

    def about_to(self, what):
        if os.getpid() != self.process:
            return
        if self.last is None:
            self.count += 1
            if self.count != self.fatal:
                return
            self.last = what
        self.die(self.last)


# The one of this process, if it has one.
_watches = []
# Whether there is an audit hook, which stays for ever, and whether it is to do anything.
_has_hook, _audits = [], []
_for_ever = contextlib.ExitStack()


def about_to(what):
    """For stand-ins: what follows would be a change of a real host."""
    for watch in _watches:
        watch.about_to(what)


def changes():
    """How many changes there were since :func:`arm`."""
    return _watches[0].count


def arm(fatal, tell):
    """Have this process die of SIGKILL before a change; there is no way back.

    :param int fatal: number of the change, from 1; 0: they are counted only
    :param tell: function that gets what the process was about to do, as its last act
    """

    def die(what):
        tell(what)
        os.kill(os.getpid(), signal.SIGKILL)

    _watches[:] = [_Watch(fatal, die)]
    _for_ever.enter_context(_begin())


def killed(work, fatal):
    """Do some work, killed before its change number ``fatal``.

    :param work: function without arguments
    :returns: before what it was killed (str), or None when it was done before
    """

    def die(_what):
        # What its files' buffers still hold is lost, and their locks are free.
        for descriptor in _descriptors() - open_before:
            os.dup2(nothing, descriptor)
        raise _Killed

    watch = _Watch(fatal, die)
    nothing = os.open(os.devnull, os.O_RDWR)
    open_before = _descriptors()
    _watches[:] = [watch]
    try:
        with _begin():
            work()
    except BaseException:
        # Whatever handlers made of the kill.
        if watch.last is None:
            raise
    finally:
        _watches.clear()
        os.close(nothing)
    return watch.last


def now():
    """For stand-ins that are killed in the midst of what they do, by :func:`killed` with 0."""
    _watches[0].fatal = _watches[0].count + 1
    about_to("at some time")


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


def _descriptors():
    names = os.listdir("/proc/self/fd")
    # One of them was the directory's.
    return {int(name) for name in names if os.path.lexists("/proc/self/fd/" + name)}


def _audited(event, arguments):
    if _audits and (event in _CHANGES or (event == "open" and arguments[2] & _WRITING)):
        about_to(event)


@contextlib.contextmanager
def _begin():
    """Hear of changes, for the time of a ``with`` block."""
    if hasattr(sys, "addaudithook"):
        if not _has_hook:
            sys.addaudithook(_audited)
            _has_hook.append(True)
        _audits.append(True)
        try:
            yield
        finally:
            _audits.clear()
        return
    with contextlib.ExitStack() as stack:
        for place, name, what, counts in _FUNCTIONS:
            function = getattr(place, name)
            stack.callback(setattr, place, name, function)
            setattr(place, name, _wrapped(what, function, counts))
        yield


def _wrapped(what, function, counts):
    def call(*arguments, **options):
        if counts(*arguments, **options):
            about_to(what)
        return function(*arguments, **options)

    return call


def _always(*_, **__):
    return True


def _opens_to_write(path, mode="r", *_, **options):
    return not isinstance(path, int) and options.get("opener") is None and set(mode) & set("wax+")


def _has_flags_to_write(_path, flags, *_, **__):
    return flags & _WRITING


# Where a function is, its name, what audit hooks call it, and whether a call of it is a change.
_FUNCTIONS = (
    [(os, name, "os." + _SAME.get(name, name), _always) for name in _OF_OS + list(_SAME)]
    + [(fcntl, name, "fcntl." + name, _always) for name in ("flock", "lockf")]
    + [(os, "open", "open", _has_flags_to_write)]
    + [(place, "open", "open", _opens_to_write) for place in (builtins, io)]
    + [(subprocess.Popen, "__init__", "subprocess.Popen", _always)]
)
