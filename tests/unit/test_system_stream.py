"""Commands that are read as they print: their end, an early one, and one that never comes."""

import os

import pytest
from harden_mail import system
from harden_mail.errors import CommandError


def shell(text):
    return ["sh", "-c", text]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_all_of_it_is_read_and_a_failure_is_told_afterwards():
    with system.System().stream(shell("head -c 300000 /dev/zero")) as output:
        assert output.read() == bytes(300000)
    with pytest.raises(CommandError) as raised, system.System().stream(shell("echo a; echo b >&2; exit 3")) as output:
        assert output.readline() == b"a\n" and output.read() == b""
    assert (raised.value.rc, raised.value.err) == (3, "b\n")
    for argv in (["no-such-program"], ["true", "x" * 200000]):
        with pytest.raises(CommandError), system.System().stream(argv):
            pass


def test_leaving_early_ends_one_that_goes_on_writing():
    with system.System().stream(shell("echo $$; exec yes")) as output:
        pid = int(output.readline())
    assert not is_running(pid)


@pytest.mark.parametrize("text", ("echo $$; exec sleep 60", "trap '' TERM; echo $$; while :; do sleep 0.05; done"))
@pytest.mark.parametrize("silence", (None, 30))
def test_leaving_early_ends_one_that_writes_nothing(monkeypatch, text, silence):
    monkeypatch.setattr(system, "END_TIMEOUT", 0.05)
    with system.System().stream(shell(text), silence=silence) as output:
        pid = int(output.readline())
    assert not is_running(pid)
    # By an error of the reader's own, too, which is what it stays.
    with pytest.raises(KeyError), system.System().stream(shell(text), silence=silence) as output:
        pid = int(output.readline())
        raise KeyError
    assert not is_running(pid)


@pytest.mark.parametrize("text", ("echo $$; exec sleep 60", "trap '' TERM; echo $$; while :; do sleep 0.05; done"))
def test_one_that_falls_silent_is_killed(monkeypatch, text):
    monkeypatch.setattr(system, "END_TIMEOUT", 0.05)
    lines = []
    with pytest.raises(CommandError) as raised, system.System().stream(shell(text), silence=0.5) as output:
        lines.extend(output)
    assert raised.value.rc is None and raised.value.err == "no answer within 0.5 seconds"
    assert len(lines) == 1 and not is_running(int(lines[0]))


def test_one_that_closes_its_output_and_stays_is_killed_if_silence_is_limited(monkeypatch):
    monkeypatch.setattr(system, "END_TIMEOUT", 0.05)
    with system.System().stream(shell("echo $$; exec sleep 60 >&-"), silence=0.5) as output:
        (line,) = output
    assert not is_running(int(line))


def test_time_that_the_reader_takes_is_no_silence():
    with system.System().stream(shell("echo a; echo b"), silence=0.2) as output:
        assert output.readline() == b"a\n"
        with system.System().stream(["sleep", "0.4"]) as other:
            other.read()
        assert output.read() == b"b\n"


def test_what_a_killed_command_has_printed_is_not_all():
    with pytest.raises(CommandError) as caught, system.System().stream(shell("echo row; kill -9 $$")) as output:
        assert output.read() == b"row\n"
    assert caught.value.rc == 137
