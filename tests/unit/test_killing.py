"""The killer of the tests' own: which changes it sees, and what it does."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys

import killing
import pytest


@pytest.fixture(params=["audited", "wrapped"])
def means(request, monkeypatch):
    if request.param == "wrapped":
        monkeypatch.delattr(sys, "addaudithook", raising=False)


def work(directory):
    os.mkdir(str(directory / "made"))
    path, other = str(directory / "made" / "file"), str(directory / "made" / "other")
    with open(path, "w") as handle:
        handle.write("x")
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.utime(handle.fileno())
    os.close(os.open(path, os.O_RDWR))
    with open(path) as handle:
        handle.read()
    os.link(path, other)
    os.remove(path)
    os.replace(other, path)
    os.rename(path, path)
    os.chmod(path, 0o600)
    os.chown(path, -1, -1)
    os.truncate(path, 0)
    subprocess.check_call(["true"])
    killing.about_to("stand in")
    os.unlink(path)
    os.rmdir(str(directory / "made"))


@pytest.mark.usefixtures("means")
def test_it_dies_before_each_change(tmp_path):
    def make(number):
        directory = tmp_path / str(number)
        directory.mkdir()
        return directory

    seen = [where for _, where in killing.everywhere(make, work, at_least=16)]
    assert [where.split(", ")[1].split(".")[-1] for where in seen] == [
        "mkdir", "open", "flock", "utime", "open", "link", "remove", "rename", "rename", "chmod", "chown", "truncate",
        "Popen", "stand in", "remove", "rmdir",
    ]  # fmt: skip
    with pytest.raises(AssertionError):
        list(killing.everywhere(lambda number: make(100 + number), work, at_least=17))


@pytest.mark.usefixtures("means")
def test_what_was_not_done_yet_was_not_done_and_nothing_is_cleaned_up(tmp_path):
    def careful():
        try:
            os.mkdir(str(tmp_path / "first"))
            os.mkdir(str(tmp_path / "second"))
        finally:
            os.rmdir(str(tmp_path / "first"))

    assert killing.killed(careful, 2) == "os.mkdir"
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_work_that_fails_was_not_killed():
    with pytest.raises(ZeroDivisionError):
        killing.killed(lambda: 1 / 0, 7)


@pytest.mark.usefixtures("means")
def test_what_was_not_written_yet_is_lost_and_locks_are_free(tmp_path):
    def work():
        with open(str(tmp_path / "file"), "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            handle.write("x")
            os.mkdir(str(tmp_path / "directory"))

    assert killing.killed(work, 3) == "os.mkdir"
    assert (tmp_path / "file").read_text() == ""
    with (tmp_path / "file").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert killing.killed(work, 4) is None
    assert (tmp_path / "file").read_text() == "x"


def test_what_goes_wrong_after_a_kill_is_the_kill(tmp_path):
    def careless():
        try:
            os.mkdir(str(tmp_path / "a"))
        finally:
            raise ValueError

    assert killing.killed(careless, 1) == "os.mkdir"
    with pytest.raises(ValueError):
        killing.killed(careless, 2)


@pytest.mark.usefixtures("means")
def test_nothing_goes_on_after_a_kill(tmp_path):
    def stubborn():
        for name in "abc":
            with contextlib.suppress(BaseException):
                os.mkdir(str(tmp_path / name))

    assert killing.killed(stubborn, 2) == "os.mkdir"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_other_processes_do_not_count(tmp_path):
    def fork():
        child = os.fork()
        if not child:
            os.mkdir(str(tmp_path / "in a child"))
            os._exit(0)
        os.waitpid(child, 0)
        os.mkdir(str(tmp_path / "own"))

    assert killing.killed(fork, 1) == "os.mkdir"
    assert [path.name for path in tmp_path.iterdir()] == ["in a child"]


ARMED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import killing
killing.arm(int(sys.argv[2]), lambda what: print("before", what, flush=True))
os.mkdir(sys.argv[3])
os.rmdir(sys.argv[3])
print(killing.changes())
"""


@pytest.mark.parametrize(
    ("fatal", "status", "said"),
    [("2", -signal.SIGKILL, "before os.rmdir\n"), ("0", 0, "2\n"), ("3", 0, "2\n")],
)
def test_an_armed_process_dies_of_sigkill(tmp_path, fatal, status, said):
    command = [sys.executable, "-c", ARMED, os.path.dirname(killing.__file__), fatal, str(tmp_path / "made")]
    done = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True, check=False)
    assert (done.returncode, done.stdout) == (status, said)
    assert (tmp_path / "made").exists() == (status != 0)
