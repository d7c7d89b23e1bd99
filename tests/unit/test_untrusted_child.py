"""A process that reads for root as somebody else: with that user's rights, and within bounds."""

import contextlib
import os
import resource
import signal
import time

import pytest
from harden_mail import untrusted_child
from harden_mail.errors import UserError
from harden_mail.untrusted_child import Bounds, rows_as_owner
from harden_mail.untrusted_walk import NotRead

ROOT = os.geteuid() == 0
OWNER = 54321 if ROOT else os.geteuid()
SMALL = Bounds(5, 64 << 20, 1 << 20, 1000, 4096)


def read(work, bounds=SMALL, owner=OWNER):
    return list(rows_as_owner("/some/file", work, owner, bounds))


def why(work, bounds=SMALL):
    begun = time.monotonic()
    with pytest.raises(NotRead) as caught:
        read(work, bounds)
    assert time.monotonic() - begun < bounds.seconds + 5
    assert caught.value.path == "/some/file"
    return caught.value.why


def test_what_is_done_with_rows_is_no_waiting_for_them():
    rows, bounds = [], SMALL._replace(seconds=1, row=1 << 16)
    # More than a pipe holds at once.
    for row in rows_as_owner("/some/file", lambda: iter(["x" * 60000] * 6), OWNER, bounds):
        rows.append(row)
        time.sleep(0.4)
    assert len(rows) == 6


def test_rows_come_as_they_are():
    rows = [["a", None, 1], ["日本\n", True, {"x": 0.5}], "text \udcff"]
    assert read(lambda: iter(rows)) == rows
    assert read(lambda: iter([])) == []


@pytest.mark.parametrize("owner", [54321] if ROOT else [])
def test_it_has_the_owners_rights_only(owner, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)

    def work():
        yield [os.getresuid(), os.getgroups(), os.access(str(secret), os.R_OK)]
        try:
            os.setuid(0)
            yield "root again"
        except PermissionError:
            yield "no way back"

    assert read(work) == [[[owner] * 3, [], False], "no way back"]


def test_it_has_no_descriptors_of_its_parents(tmp_path):
    with open(str(tmp_path / "open"), "w") as handle:
        os.set_inheritable(handle.fileno(), True)
        (row,) = read(lambda: iter([[os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
                                     if os.path.exists("/proc/self/fd/" + name)]]))  # fmt: skip
    assert not [name for name in row if "open" in name]


def test_what_it_prints_goes_nowhere(capfd):
    def work():
        for descriptor in (1, 2):
            os.write(descriptor, b"{}")
        yield os.read(0, 10).decode()

    assert read(work) == [""]
    assert capfd.readouterr() == ("", "")


def test_it_answers_where_the_first_descriptors_are_closed():
    process = os.fork()
    if not process:
        for descriptor in range(3):
            os.close(descriptor)
        os._exit(0 if read(lambda: iter([1])) == [1] else 1)
    assert os.waitpid(process, 0)[1] == 0


def test_it_writes_no_file(tmp_path):
    tmp_path.chmod(0o777)

    def work():
        with open(str(tmp_path / "new"), "w") as handle:
            handle.write("x")
        yield 1

    assert "could not be read" in why(work)


def test_its_time_and_memory_are_bounded():
    def for_ever():
        while True:
            pass
        yield

    assert why(for_ever, SMALL._replace(seconds=1)) == "was not read to its end within 1 seconds"
    assert "MemoryError" in why(lambda: iter([bytearray(1 << 30) and 1]))
    assert "time that a file of a user gets" in why(lambda: iter([os.kill(os.getpid(), 9)]))

    def drips():
        while True:
            time.sleep(0.1)
            yield 1

    assert "within 1 seconds" in why(drips, SMALL._replace(seconds=1))


def test_one_that_can_not_be_killed_is_not_waited_for(monkeypatch):
    """As in the kernel, where it waits for its user's own file system."""
    monkeypatch.setattr(untrusted_child, "_GONE", 0.2, raising=False)
    kill, left = os.kill, []
    monkeypatch.setattr(untrusted_child.os, "kill", lambda process, _signal: left.append(process))

    def work():
        time.sleep(6)
        yield 1

    begun = time.monotonic()
    assert why(work, SMALL._replace(seconds=1)) == "was not read to its end within 1 seconds"
    assert time.monotonic() - begun < 4
    kill(left[0], signal.SIGKILL)
    os.waitpid(left[0], 0)


def test_what_it_gives_is_bounded():
    assert why(lambda: iter(range(1001))) == "has more than 1,000 rows; the rest is not read"
    assert why(lambda: iter(["x" * 5000])) == "has a row of more than 4,096 bytes; the rest is not read"
    assert why(lambda: iter(["x" * 10000000])) == "has a row of more than 4,096 bytes; the rest is not read"
    assert why(lambda: ("x" * 4000 for _ in range(999))) == "gives more than 1,048,576 bytes; the rest is not read"


def test_its_failures_are_said_without_what_it_read():
    def failing(error):
        def work():
            yield 1
            raise error

        return work

    assert why(failing(UserError("A sentence."))) == "could not be read: A sentence."
    assert why(failing(NotRead("/x", "is a view"))) == "is a view"
    said = why(failing(ValueError("the secret")))
    assert "ValueError" in said and "secret" not in said


@pytest.mark.parametrize(
    "nonsense", [b"x\n", b"[9,1]\n", b"[0]\n", b"{}\n", b"[" * 3000 + b"\n", b"\xff\n", b"[1e999,1]\n"]
)
def test_an_answer_that_is_nonsense_is_refused(nonsense):
    def work():
        for name in os.listdir("/proc/self/fd"):
            if (
                os.path.exists("/proc/self/fd/" + name)
                and "pipe" in os.readlink("/proc/self/fd/" + name)
                and int(name) > 2
            ):
                os.write(int(name), nonsense)
        time.sleep(1)
        yield 1

    assert "nonsense" in why(work)


def test_who_stops_listening_ends_it():
    rows = rows_as_owner("/some/file", lambda: iter(range(10**9)), OWNER, SMALL._replace(rows=10**9, bytes=10**9))
    assert next(rows) == 0
    rows.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_it_answers_where_many_descriptors_are_open():
    with contextlib.ExitStack() as stack:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 1500:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(1500, hard), hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1030):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        assert read(lambda: iter(["a"])) == ["a"]
