"""Stops qmail-send for a while, and starts it again whatever happens.

Before it is stopped, a watchdog is there: a small shell in a session (under systemd: a scope) of its own that reads a
pipe which only this process can write to. The end of the pipe, be it that the work is done, that it failed or that
this process was killed, starts qmail-send, and starts it again until another process than before holds its mutex.
The watchdog writes nothing to disk.
"""

import contextlib
import fcntl
import os
import re
import select
import shlex
import subprocess
import time

from ...errors import UserError
from ...paths import QMAIL_WATCHDOG_LOCK
from ...system import SEARCH_PATH
from ..backend import Unfinished

LOCKS = "/proc/locks"

# Locked (shared) by each watchdog as long as it lives: a free mutex doesn't mean then that qmail-send was down.

# Seconds that deliveries in flight are given to end. (qmail-remote may wait for 20 minutes; mail must not.)
LIMIT = 60

# Seconds that qmail-send is given to come up again until that counts as a failure; the watchdog goes on for an hour.
START_LIMIT = 30

# $1: lines of /proc/locks that say the mutex is held ("untold": they don't say it), $2: but by whom it doesn't count,
# $3 and $4: commands that stop and start. It stops qmail-send itself, for whoever told it to may be killed before he
# can: then qmail-send would run on, and nobody could know that it will.
_WATCHDOG = r"""
held=$1 former=$2 stop=$3 start=$4
echo armed
exec >/dev/null
read -r _ || exit 0
eval "$stop" </dev/null 2>/dev/null
while read -r _; do :; done
tries=0
while [ $tries -lt 1800 ]; do
    eval "$start" </dev/null 2>/dev/null && [ "$held" = untold ] && exit 0
    for pause in 0.05 0.15 0.3 0.5 1; do
        sleep $pause
        grep -E "$held" /proc/locks | grep -qvE "$former" && exit 0
    done
    tries=$((tries + 1))
done
exit 1
"""


class SystemdUnit:
    """qmail as a unit of systemd."""

    def __init__(self, system, unit):
        self.system, self.unit, self.name = system, unit, unit
        # The limit on starts in a row must not keep mail down.
        self.start = ["/bin/sh", "-c", 'systemctl reset-failed "$1"; systemctl --no-block start "$1"', "sh", unit]

    def check(self, holder):
        """:raises UserError: what holds the mutex isn't this unit"""
        if self._show()["ActiveState"] in ("inactive", "failed"):
            raise UserError(
                "qmail-send runs (process {0}), but not as {1}, so it can't be stopped and started from here; start it "
                "by {1}, or stop it yourself for the time of this run.".format(holder or "unknown", self.unit)
            )

    def stop(self, holder):
        """The command that tells qmail-send to end."""
        # To stop the unit would, with the usual KillMode, kill deliveries in flight too: some would be made twice.
        if holder and self._show()["MainPID"] == str(holder):
            return ["kill", "-TERM", str(holder)]
        return ["systemctl", "--no-block", "stop", self.unit]

    def has_stopped(self):
        """The mutex is ours: keep the unit's own Restart= from starting it."""
        self.system.run(["systemctl", "stop", self.unit])

    def _show(self):
        out = self.system.run(["systemctl", "show", "--property=ActiveState,MainPID", self.unit]).out
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


class Commands:
    """qmail behind a command that stops it and one that starts it: daemontools and its kin, init scripts."""

    def __init__(self, system, name, stop, start):
        self.system, self.name, self.start = system, name, start
        self._stop = stop

    def check(self, holder):
        pass

    def stop(self, _holder):
        # Whether it worked is told by the mutex; init scripts end with all sorts of statuses.
        return self._stop

    def has_stopped(self):
        pass


def find_service(system, mta, service_manager):
    """How qmail-send is stopped and started on this host.

    :param dict mta: facts ``mta``, or None
    :param str service_manager: ``systemd``, ``sysvinit`` or None
    :returns: SystemdUnit, Commands, or None: not known
    """
    name = mta and mta["service"]
    if not name:
        return None
    if name.startswith("/"):
        for program, stop, start in (("svc", "-d", "-u"), ("sv", "down", "up"), ("s6-svc", "-d", "-u")):
            path = system.which(program) or ("/command/" + program if system.exists("/command/" + program) else None)
            if path:
                return Commands(system, name, [path, stop, name], [path, start, name])
        return None
    if service_manager == "systemd":
        return SystemdUnit(system, name)
    script = "/etc/init.d/" + name
    return Commands(system, script, [script, "stop"], [script, "start"])


@contextlib.contextmanager
def stopped(system, service, mutex_path, limit=LIMIT):
    """qmail-send doesn't run, and can't be started, for the time of a ``with`` block.

    It is started again whatever happens, if it ran before. Injection of mail goes on.

    :param service: as :func:`find_service` returns it
    :param str mutex_path: qmail's ``queue/lock/sendmutex``
    :param float limit: seconds that deliveries in flight are given to end
    :returns: Stop; its ``seconds`` are set when the block is left
    :raises UserError: it could not be stopped, and nothing was changed
    :raises Unfinished: it didn't come up again
    """
    stop = Stop()
    with _watchdog_slot(system) as (slot, is_being_started), contextlib.closing(_Mutex(mutex_path)) as mutex:
        is_free = mutex.take()
        if is_free and not (is_being_started and service):
            yield stop
            return
        if service is None:
            raise UserError(
                "qmail-send runs, but how it is stopped and started on this host isn't known (no unit, no service "
                "directory, no init script of that queue); stop it yourself for the time of this run, or name the "
                "queue that this host's qmail uses."
            )
        holders = mutex.holders()
        holder = holders[0] if holders else None
        if not is_free:
            service.check(holder)
        watchdog = _Watchdog(service, mutex, holders, slot)
        try:
            stop.began = time.monotonic()
            watchdog.stop_service()
            if not mutex.take(limit):
                watchdog.patience = 0
                raise UserError(
                    "qmail-send ({0}) was told to stop, but deliveries in flight went on for more than {1} seconds; "
                    "nothing was changed, it starts again as soon as they have ended, and you can run this "
                    "again.".format(service.name, limit)
                )
            service.has_stopped()
            yield stop
        finally:
            mutex.close()
            came_up = watchdog.let_go()
            stop.seconds = time.monotonic() - stop.began if stop.began else 0
        if not came_up:
            raise Unfinished(
                "qmail-send ({0}) did not come up again within {1} seconds; it is tried for an hour, but look why it "
                "doesn't start.".format(service.name, START_LIMIT)
            )


class Stop:
    """:ivar float seconds: for how long qmail-send was down, None: it wasn't running before"""

    began = None
    seconds = None


class _Mutex:
    """qmail-send's mutex: an exclusive ``flock``."""

    def __init__(self, path):
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # overlayfs and btrfs have device numbers of their own in stat(2), so the inode must do.
        self.lines = r"^[0-9]+: FLOCK +ADVISORY +WRITE +[0-9]+ [0-9a-f]+:[0-9a-f]+:{0} ".format(
            os.fstat(self._descriptor).st_ino
        )

    def take(self, limit=0):
        """:returns: whether it is ours now"""
        deadline = time.monotonic() + limit
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)

    def holders(self):
        """Processes (list of int) that have it or another file with its inode, as /proc/locks says, the holder first.

        Empty where it doesn't say.
        """
        with open(LOCKS, encoding="ascii") as handle:
            found = [int(line.split()[4]) for line in handle if re.match(self.lines, line)]
        return sorted(found, key=lambda process: not self._is_open_in(process))

    def _is_open_in(self, process):
        mutex, place = os.fstat(self._descriptor), "/proc/{0}/fd/".format(process)
        with contextlib.suppress(OSError):
            for name in os.listdir(place):
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.stat(place + name), mutex):
                        return True
        return False

    def close(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _Watchdog:
    """:ivar float patience: seconds to wait for qmail-send when it is let go"""

    patience = START_LIMIT

    def __init__(self, service, mutex, holders, slot):
        held = mutex.lines if holders else "untold"
        # Neither the process that was told to end counts, nor this one, nor whoever has locked another such file.
        former = "WRITE +({0}) ".format("|".join(map(str, holders + [os.getpid()])))
        command = ["/bin/sh", "-c", _WATCHDOG, "harden-mail-start-qmail", held, former]
        stop = service.stop(holders[0] if holders else None)
        command += [" ".join(map(shlex.quote, argv)) for argv in (stop, service.start)]
        self._process = None
        if service.system.is_dir("/run/systemd/system"):
            # In our own scope it would be killed together with the timer's service or the session that runs us.
            self._process = _spawn(["systemd-run", "--scope", "--quiet", "--"] + command, slot)
        self._process = self._process or _spawn(command, slot)
        if self._process is None:
            raise UserError("qmail-send can't be stopped safely: no shell can be run that would start it again.")

    def stop_service(self):
        """Tell qmail-send to end; from now on the end of the pipe starts it again."""
        self._process.stdin.write(b"stop\n")
        self._process.stdin.flush()

    def let_go(self):
        """:returns: whether qmail-send runs"""
        # Only if the watchdog was killed is the pipe broken: then it is said that qmail-send did not come up.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            return self._process.wait(self.patience) == 0
        except subprocess.TimeoutExpired:
            return False


def _spawn(argv, slot):
    """Start the watchdog; returns the process once it listens, or None."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A place where a descriptor outlives the shell's own redirections: it holds the lock by it.
            stderr=slot,
            cwd="/",
            env=dict(os.environ, LC_ALL="C", PATH=":".join(SEARCH_PATH)),
            start_new_session=True,
        )
    except OSError:
        return None
    with process.stdout:
        listens = select.select([process.stdout], [], [], 10)[0] and process.stdout.readline() == b"armed\n"
    if listens:
        return process
    process.kill()
    process.stdin.close()
    process.wait()
    return None


@contextlib.contextmanager
def _watchdog_slot(system):
    """What a watchdog holds to be known, and whether another one, of a killed run, is at work."""
    with system.open_lock(QMAIL_WATCHDOG_LOCK) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            others = False
        except BlockingIOError:
            others = True
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield handle, others
