"""qmail-send stopped for a while: a stand-in daemon, real processes, real kills."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.paths import QMAIL_WATCHDOG_LOCK
from harden_mail.queue.qmail import service as qmail_service
from harden_mail.queue.qmail.service import Commands, SystemdUnit, find_service, stopped
from harden_mail.system import System

MODULE_UTILS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "module_utils"
)

# Takes the mutex as qmail-send does (it exits 111 when another has it), and ends some seconds after SIGTERM.
DAEMON = """\
import fcntl, os, signal, sys, time
mutex, log, linger = sys.argv[1], sys.argv[2], float(sys.argv[3])
handle = open(mutex, "r+")
def note(word):
    with open(log, "a") as file:
        file.write("{0} {1}\\n".format(word, os.getpid()))
def end(*_):
    time.sleep(linger)
    note("end")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    note("refused")
    os._exit(111)
note("start")
time.sleep(120)
"""


class Daemon:
    """A stand-in for qmail-send and its scripts, in a directory."""

    def __init__(self, directory):
        self.system = System(str(directory / "root"))
        self.mutex = str(directory / "sendmutex")
        self.log = str(directory / "log")
        self.directory = directory
        for path in (self.mutex, self.log):
            with open(path, "w"):
                pass
        self.script("daemon.py", DAEMON)
        self.set_up()

    def script(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def set_up(self, linger=0, refuse=0):
        """How the scripts behave: seconds until it ends, how often a start fails."""
        (self.directory / "refusals").write_text("x" * refuse)
        self.stop = self.script(
            "stop", "#!/bin/sh\nread -r pid < '{0}/pid' && kill -TERM $pid\n".format(self.directory)
        )
        self.start = self.script(
            "start",
            textwrap.dedent(
                """\
                #!/bin/sh
                cd '{0}'
                echo call x >> log
                if [ -s refusals ]; then
                    left=$(cut -c2- refusals); printf %s "$left" > refusals
                    exit 1
                fi
                '{1}' daemon.py '{2}' '{3}' {4} </dev/null >/dev/null 2>&1 &
                echo $! > pid
                """
            ).format(self.directory, sys.executable, self.mutex, self.log, linger),
        )
        self.service = Commands(self.system, "the stand-in", [self.stop], [self.start])

    def run(self):
        subprocess.check_call([self.start])
        self.wait_for(lambda: "start" in self.words())

    def words(self):
        with open(self.log) as handle:
            return [line.split()[0] for line in handle]

    def count(self, word):
        return self.words().count(word)

    def runs(self):
        """Whether somebody holds the mutex."""
        with open(self.mutex) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    @staticmethod
    def wait_for(condition, limit=20):
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self):
        """No watchdog and no daemon is left."""
        path = self.system.real(QMAIL_WATCHDOG_LOCK)
        if os.path.exists(path):
            with open(path) as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.directory / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path)
    yield made
    made.end()


def test_it_is_down_for_the_block_and_up_after_it(daemon):
    daemon.run()
    with stopped(daemon.system, daemon.service, daemon.mutex) as stop:
        assert daemon.count("end") == 1
        assert daemon.count("start") == 1
        # Nobody else can start it meanwhile.
        subprocess.check_call([daemon.start])
        daemon.wait_for(lambda: daemon.count("refused") == 1)
    assert daemon.count("start") == 2
    assert daemon.runs()
    assert 0 < stop.seconds < 10


def test_who_has_locked_a_file_with_the_same_inode_elsewhere_is_not_taken_for_it(daemon, monkeypatch):
    """/proc/locks tells file systems apart by numbers that not every file system has in stat(2)."""
    daemon.run()
    inode = os.stat(daemon.mutex).st_ino
    pid = int((daemon.directory / "pid").read_text())
    locks = daemon.directory / "locks"
    line = "{0}: FLOCK  ADVISORY  WRITE {1} 00:2f:{2} 0 EOF\n"
    locks.write_text(line.format(1, 1, inode) + line.format(2, pid, inode) + line.format(3, 1, inode + 1))
    monkeypatch.setattr(qmail_service, "LOCKS", str(locks))
    spawned = []
    monkeypatch.setattr(qmail_service, "_spawn", lambda argv, _slot: spawned.append(argv))
    told = []
    monkeypatch.setattr(daemon.service, "check", told.append)
    with pytest.raises(UserError, match="no shell"), stopped(daemon.system, daemon.service, daemon.mutex):
        pytest.fail("entered")
    assert told == [pid]
    assert re.search(spawned[0][5], line.format(1, pid, inode))
    assert re.search(spawned[0][5], line.format(1, 1, inode))


def test_what_did_not_run_is_not_started(daemon):
    with stopped(daemon.system, daemon.service, daemon.mutex) as stop:
        subprocess.check_call([daemon.start])
        daemon.wait_for(lambda: daemon.count("refused") == 1)
    assert stop.seconds is None
    time.sleep(0.3)
    assert daemon.words() == ["call", "refused"]


def test_what_does_not_run_needs_no_known_service(daemon):
    with stopped(daemon.system, None, daemon.mutex):
        pass
    assert daemon.words() == []


def test_unknown_service_is_said_before_anything(daemon):
    daemon.run()
    unknown = pytest.raises(UserError, match="how it is stopped and started on this host isn't known")
    with unknown, stopped(daemon.system, None, daemon.mutex):
        pytest.fail("entered")
    assert daemon.words() == ["call", "start"]


def test_an_exception_starts_it(daemon):
    daemon.run()
    with pytest.raises(ValueError), stopped(daemon.system, daemon.service, daemon.mutex):
        raise ValueError
    assert daemon.count("start") == 2
    assert daemon.runs()


def test_deliveries_in_flight_are_waited_for(daemon):
    daemon.set_up(linger=0.7)
    daemon.run()
    with stopped(daemon.system, daemon.service, daemon.mutex, limit=10) as stop:
        assert daemon.count("end") == 1
    assert stop.seconds > 0.7


def test_deliveries_that_take_too_long_leave_all_as_it_was(daemon):
    daemon.set_up(linger=2)
    daemon.run()
    too_long = pytest.raises(UserError, match=r"deliveries in flight went on for more than 0\.3 seconds; nothing was")
    with too_long, stopped(daemon.system, daemon.service, daemon.mutex, limit=0.3):
        pytest.fail("entered")
    assert daemon.count("end") == 0
    # The one that ends doesn't count as started.
    daemon.wait_for(lambda: daemon.count("start") == 2)
    assert daemon.runs()


def test_a_start_that_fails_twice_is_tried_again(daemon):
    daemon.run()
    daemon.set_up(refuse=2)
    with stopped(daemon.system, daemon.service, daemon.mutex):
        pass
    assert daemon.count("call") == 4
    assert daemon.count("start") == 2


def test_a_start_that_goes_on_failing_is_said(daemon, monkeypatch):
    monkeypatch.setattr(qmail_service._Watchdog, "patience", 1)
    daemon.run()
    daemon.set_up(refuse=2)
    with pytest.raises(UserError, match="did not come up again"), stopped(daemon.system, daemon.service, daemon.mutex):
        pass
    daemon.wait_for(lambda: daemon.count("start") == 2)


# --- kills ----------------------------------------------------------------------------------------------------

STOPPING = """\
import os, sys, time
sys.path.insert(0, {utils!r})
from harden_mail.queue.qmail import service as qmail_service
from harden_mail.queue.qmail.service import Commands, stopped
from harden_mail.system import System
system = System({root!r})
service = Commands(system, "the stand-in", [{stop!r}], [{start!r}])
tell = qmail_service._Watchdog.stop_service
if {dies!r} == "before":
    qmail_service._Watchdog.stop_service = lambda self: (print("here", flush=True), time.sleep(60))
if {dies!r} == "told":
    qmail_service._Watchdog.stop_service = lambda self: (tell(self), print("here", flush=True), os.kill(os.getpid(), 9))
with stopped(system, service, {mutex!r}):
    print("here", flush=True)
    time.sleep(60)
"""


def stopping(daemon, dies="inside"):
    """A process, with a group of its own, that stops the daemon, says so and waits to be killed."""
    text = STOPPING.format(
        utils=MODULE_UTILS,
        root=daemon.system.root,
        stop=daemon.stop,
        start=daemon.start,
        mutex=daemon.mutex,
        dies=dies,
    )
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, start_new_session=True)


def kill(process, number=signal.SIGKILL, how=os.kill):
    """Kill it once it has said what it does."""
    assert process.stdout.readline() == b"here\n"
    how(process.pid, number)
    process.communicate()


@pytest.mark.parametrize("how", [os.kill, os.killpg], ids=["process", "process group"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_kill_starts_it_within_seconds(daemon, how, number):
    daemon.run()
    kill(stopping(daemon), number, how)
    assert daemon.count("end") == 1
    began = time.monotonic()
    daemon.wait_for(lambda: daemon.count("start") == 2)
    assert time.monotonic() - began < 5
    assert daemon.runs()


def test_a_kill_with_starts_that_fail_twice(daemon):
    daemon.run()
    daemon.set_up(refuse=2)
    kill(stopping(daemon))
    daemon.wait_for(lambda: daemon.count("start") == 2)


def test_a_kill_before_the_stop_starts_nothing(daemon):
    daemon.run()
    kill(stopping(daemon, dies="before"))
    daemon.wait_for(lambda: not watchdog_lives(daemon))
    assert daemon.words() == ["call", "start"]


def test_a_kill_as_soon_as_it_was_told_to_stop(daemon):
    """Whether it was stopped by then or not, it runs afterwards, and nobody waits for it any more."""
    daemon.run()
    stopping(daemon, dies="told").communicate()
    daemon.wait_for(lambda: daemon.count("start") == 2)
    daemon.wait_for(lambda: not watchdog_lives(daemon))
    assert daemon.runs()


def test_a_kill_while_it_ends_is_waited_out(daemon):
    """Killed while the old process still holds the mutex: what counts is that another one has it."""
    daemon.set_up(linger=1.5)
    daemon.run()
    process = stopping(daemon)
    daemon.wait_for(lambda: watchdog_lives(daemon))
    time.sleep(0.5)
    assert daemon.words() == ["call", "start"]
    process.kill()
    process.communicate()
    daemon.wait_for(lambda: daemon.words().count("start") == 2)
    daemon.wait_for(lambda: not watchdog_lives(daemon))
    assert daemon.runs()


def test_the_next_run_starts_what_a_killed_one_has_stopped(daemon):
    """Between a kill and the start the mutex is free, and the watchdog may end while the next run has it."""
    daemon.run()
    daemon.set_up(refuse=1)
    kill(stopping(daemon))
    with stopped(daemon.system, daemon.service, daemon.mutex) as stop:
        assert daemon.count("start") == 1
        time.sleep(3)
    assert stop.seconds > 3
    assert daemon.runs()


def watchdog_lives(daemon):
    path = daemon.system.real(QMAIL_WATCHDOG_LOCK)
    if not os.path.exists(path):
        return False
    with open(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def test_watchdog_holds_none_of_our_files(daemon, tmp_path):
    """Or else an SSH connection would wait for it."""
    daemon.run()
    read, write = os.pipe()
    os.set_inheritable(write, True)
    with stopped(daemon.system, daemon.service, daemon.mutex):
        os.close(write)
        os.set_blocking(read, False)
        assert os.read(read, 1) == b""
    os.close(read)


# --- which commands -------------------------------------------------------------------------------------------


def facts(service):
    return {"service": service}


def test_unknown():
    assert find_service(None, None, "systemd") is None
    assert find_service(None, facts(None), "systemd") is None


@pytest.mark.parametrize("program, stop, start", [("svc", "-d", "-u"), ("sv", "down", "up"), ("s6-svc", "-d", "-u")])
def test_daemontools_and_its_kin(tmp_path, program, stop, start):
    service = find_service(FakeSystem(tmp_path, {program: ""}), facts("/service/qmail-send"), "systemd")
    path = "/usr/sbin/" + program
    assert service.stop(None) == [path, stop, "/service/qmail-send"]
    assert service.start == [path, start, "/service/qmail-send"]


def test_daemontools_in_its_own_place(tmp_path):
    (tmp_path / "command").mkdir()
    (tmp_path / "command" / "svc").write_text("")
    service = find_service(FakeSystem(tmp_path), facts("/service/qmail-send"), None)
    assert service.stop(None) == ["/command/svc", "-d", "/service/qmail-send"]


def test_daemontools_without_programs(tmp_path):
    assert find_service(FakeSystem(tmp_path), facts("/service/qmail-send"), None) is None


def test_init_script(tmp_path):
    service = find_service(FakeSystem(tmp_path), facts("qmail"), "sysvinit")
    assert service.stop(None) == ["/etc/init.d/qmail", "stop"]
    assert service.start == ["/etc/init.d/qmail", "start"]


class TestSystemd:
    def unit(self, tmp_path, active="active", main=0):
        shown = "ActiveState={0}\nMainPID={1}\n".format(active, main)
        system = FakeSystem(tmp_path, {"systemctl show": shown, "systemctl": ""})
        service = find_service(system, facts("qmail.service"), "systemd")
        assert isinstance(service, SystemdUnit)
        return service

    def lines(self, service):
        return [line for line, _ in service.system.calls if " show " not in line]

    def test_only_qmail_send_is_asked_to_end(self, tmp_path):
        service = self.unit(tmp_path, main=4321)
        service.check(4321)
        assert service.stop(4321) == ["kill", "-TERM", "4321"]
        assert self.lines(service) == []
        service.has_stopped()
        assert self.lines(service) == ["systemctl stop qmail.service"]

    @pytest.mark.parametrize("main", [0, 77])
    def test_unit_whose_main_process_is_another_is_stopped(self, tmp_path, main):
        """Of an init script, or of a shell around qmail-start."""
        assert self.unit(tmp_path, main=main).stop(4321) == ["systemctl", "--no-block", "stop", "qmail.service"]

    def test_qmail_send_of_somebody_else(self, tmp_path):
        service = self.unit(tmp_path, active="inactive")
        with pytest.raises(UserError, match=r"runs \(process 4321\), but not as qmail.service"):
            service.check(4321)
