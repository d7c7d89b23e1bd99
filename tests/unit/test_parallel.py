"""Work in several processes: all of it arrives, whatever happens to them is told, and none outlives who asked."""

import os
import signal
import time

import pytest
from harden_mail.errors import UserError
from harden_mail.parallel import together


def test_all_parts_arrive():
    def work(part):
        for number in range(5000):
            yield 1, [part, number] if number % 2 else None

    found = list(together(3, work))
    assert sorted(found) == [[part, number] for part in range(3) for number in range(5000) if number % 2]


def test_large_values_arrive():
    values = list(together(2, lambda part: ((100, "x" * 3000000) for _ in range(3))))
    assert [len(value) for value in values] == [3000000] * 6


def test_parts_without_anything():
    assert list(together(2, lambda part: iter(()))) == []


def test_a_user_error_is_raised_here():
    def work(part):
        yield 1, part
        raise UserError("deferred can't be read.")

    with pytest.raises(UserError, match="deferred can't be read"):
        list(together(2, work))
    assert_no_process_is_left()


def test_another_error_says_where():
    def work(part):
        yield 1, {}["missing"]

    with pytest.raises(RuntimeError, match="KeyError: 'missing'"):
        list(together(2, work))
    assert_no_process_is_left()


def test_a_killed_process_is_noticed():
    def work(part):
        yield 1000, part
        if part == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield 1, part

    with pytest.raises(RuntimeError, match="killed"):
        list(together(2, work))
    assert_no_process_is_left()


def test_who_stops_listening_ends_them():
    def work(part):
        while True:
            yield 1, part

    values = together(2, work)
    next(values)
    values.close()
    assert_no_process_is_left()


def test_they_end_when_who_asked_was_killed(tmp_path):
    pids = tmp_path / "pids"

    def work(part):
        with open(str(pids), "a", encoding="ascii") as handle:
            handle.write("{0}\n".format(os.getpid()))
        while True:
            yield 1, None

    asker = os.fork()
    if not asker:
        for _ in together(2, work):
            pass
        os._exit(1)
    deadline = time.monotonic() + 20
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(asker, signal.SIGKILL)
    os.waitpid(asker, 0)
    while any(is_running(pid) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid):
    try:
        with open("/proc/{0}/stat".format(pid), encoding="ascii") as handle:
            return handle.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_no_process_is_left():
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
