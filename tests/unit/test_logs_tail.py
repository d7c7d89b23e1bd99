import gzip
import os
import time

import pytest
from harden_mail import untrusted_walk
from harden_mail.errors import UserError
from harden_mail.logs import tail as tail_module
from harden_mail.logs.cutoffs import as_utc
from harden_mail.logs.stamps import LONGEST_LINE
from harden_mail.logs.tail import FileTail, JournalTail
from hypothesis import given
from hypothesis import strategies as st

NOON = 1795521600  # 2026-11-24T12:00:00Z


def line(text, stamp=NOON):
    return "{0} vps imapd[7]: {1}\n".format(as_utc(stamp), text)


def texts(found):
    return [text.partition(": ")[2] for _stamp, text in found]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "mail.log"
    path.write_text("")
    return path


def add(path, *lines):
    with open(str(path), "a") as handle:
        handle.write("".join(lines))


def tail_of(log, since=0):
    return FileTail(str(log), since)


def test_lines_come_once_and_when_they_are_whole(log):
    add(log, line("one"))
    tail = tail_of(log)
    assert tail.read() == [(NOON, "imapd[7]: one")]
    add(log, line("two")[:-5])
    assert tail.read() == []
    add(log, line("two")[-5:], line("three"))
    assert texts(tail.read()) == ["two", "three"]
    assert tail.read() == []


def test_a_log_that_comes_later(tmp_path):
    tail = tail_of(tmp_path / "mail.log")
    assert tail.read() == []
    add(tmp_path / "mail.log", line("one"))
    assert texts(tail.read()) == ["one"]


def test_a_rotated_log_is_read_to_its_end(log):
    tail = tail_of(log)
    add(log, line("one"))
    log.rename(str(log) + ".1")
    add(str(log) + ".1", line("two"))
    add(log, line("three"))
    assert texts(tail.read()) == ["one", "two", "three"]
    # The log's writer was not told yet.
    add(str(log) + ".1", line("four"))
    add(log, line("five"))
    assert texts(tail.read()) == ["four", "five"]


def test_a_rotated_log_is_let_go(log, monkeypatch):
    tail = tail_of(log)
    log.rename(str(log) + ".1")
    log.write_text("")
    tail.read()
    now = time.monotonic() + tail_module._ROTATION_TIMEOUT + 1
    monkeypatch.setattr(tail_module.time, "monotonic", lambda: now)
    add(str(log) + ".1", line("last"))
    assert texts(tail.read()) == ["last"]
    add(str(log) + ".1", line("too late"))
    assert tail.read() == []


def test_a_rotation_without_a_new_log_yet(log):
    tail = tail_of(log)
    add(log, line("one"))
    log.rename(str(log) + ".1")
    assert texts(tail.read()) == ["one"]
    add(log, line("two"))
    assert texts(tail.read()) == ["two"]


def test_a_log_that_is_emptied_in_place(log):
    tail = tail_of(log)
    add(log, line("one"), "half a li")
    assert texts(tail.read()) == ["one"]
    os.truncate(str(log), 0)
    add(log, line("two"))
    assert tail.read() == [(NOON, "imapd[7]: two")]


def test_what_is_there_already_is_read_from_a_time_on(log):
    add(log, *(line("x" * 101, NOON + number) for number in range(99999)))
    found = tail_of(log, NOON + 90000).read()
    stamps = [stamp for stamp, _text in found]
    assert stamps == list(range(stamps[0], NOON + 99999))
    assert NOON + 90000 - 20000 < stamps[0] <= NOON + 90000


@pytest.mark.parametrize("hole", [b"\0" * 500000, b"no stamp\n" * 50000])
def test_a_part_without_stamps_loses_nothing(log, hole):
    lines = [line("x" * 100, NOON + number) for number in range(40000)]
    log.write_bytes("".join(lines[:20000]).encode() + hole + b"\n" + "".join(lines[20000:]).encode())
    for since in (NOON + 19990, NOON + 20010, NOON + 39990):
        stamps = [stamp for stamp, _text in tail_of(log, since).read() if stamp is not None]
        assert stamps[0] <= since and stamps[-1] == NOON + 39999


def test_a_log_that_was_put_aside_lately_is_read_too(log):
    for name, age, text in (
        ("mail.log.1", 100, "lately"),
        ("mail.log.2", 200, "before"),
        ("mail.log-old", 9999, "old"),
    ):
        path = log.parent / name
        add(path, line(text))
        os.utime(str(path), (NOON - age, NOON - age))
    with gzip.open(str(log) + ".3.gz", "wb") as handle:
        handle.write(line("packed").encode())
    add(log, line("now"))
    assert texts(tail_of(log, NOON - 1000).read()) == ["before", "lately", "now"]


def test_a_line_of_any_length_is_passed_over_in_little_memory(log):
    tail = tail_of(log)
    for _times in range(40):
        add(log, "\0" * 100000)
        assert tail.read() == []
        assert max(map(len, tail._lines._rests.values())) <= LONGEST_LINE
    add(log, "\n", line("one"))
    assert texts(tail.read()) == ["one"]


def test_what_is_no_plain_file_is_never_waited_for_and_said_once(log):
    add(log, line("one"))
    said = []
    os.rename(str(log), str(log) + ".0")
    os.mkfifo(str(log))
    os.mkfifo(str(log) + ".1")
    tail = FileTail(str(log), 0, said.append)
    assert texts(tail.read()) == ["one"] and tail.read() == []
    assert said == [
        "{0}.1 is no plain file, so it is not read.".format(log),
        "{0} is no plain file, so it is not read.".format(log),
    ]
    os.unlink(str(log))
    add(log, line("two"))
    assert texts(tail.read()) == ["two"]


def test_a_link_that_somebody_else_made_is_not_followed(log, monkeypatch):
    monkeypatch.setattr(untrusted_walk, "trusted_users", lambda: {4711})
    os.unlink(str(log))
    target = log.parent / "secret"
    add(target, line("secret"))
    os.symlink(str(target), str(log))
    said = []
    assert FileTail(str(log), 0, said.append).read() == []
    assert len(said) == 1 and "is a symbolic link" in said[0]


def test_a_log_that_grows_faster_than_it_is_read_comes_in_parts(log, monkeypatch):
    monkeypatch.setattr(tail_module, "_BLOCK", 1024)
    monkeypatch.setattr(tail_module, "_READ_LIMIT", 4096)
    add(log, *[line("n{0}".format(number)) for number in range(1000)])
    tail, found = tail_of(log), []
    first = tail.read()
    assert 0 < len(first) < 200
    found += first
    for _number in range(100):
        found += tail.read()
    assert len(found) == 1000


def test_the_year_of_a_stamp_follows_the_time(log, monkeypatch):
    now = [1798761540]  # 2026-12-31T23:59:00Z
    monkeypatch.setattr(tail_module.time, "time", lambda: now[0])
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    tail = tail_of(log)
    add(log, "Dec 31 23:59:00 vps imapd: one\n")
    assert tail.read() == [(now[0], "imapd: one")]
    now[0] += 3 * 86400
    add(log, "Jan  3 23:59:00 vps imapd: two\n")
    assert tail.read() == [(now[0], "imapd: two")]


ACTS = st.lists(st.sampled_from(["write", "part", "read", "rotate", "rotate and wait"]), max_size=40)


@given(ACTS)
def test_whatever_happens_each_line_comes_once(tmp_path_factory, acts):
    directory = tmp_path_factory.mktemp("log")
    log, number, written, found = directory / "mail.log", 0, [], []
    log.write_text("")
    tail, half = tail_of(log), ""
    for act in acts:
        if act in ("write", "part"):
            text = str(len(written))
            whole = line(text)
            add(log, half, *([whole] if act == "write" else []))
            written += [text] if act == "write" else []
            if act == "part":
                add(log, whole[:20])
                half = whole[20:]
                written.append(text)
            else:
                half = ""
        elif act == "read":
            found += texts(tail.read())
        else:
            found += texts(tail.read())  # more rotations than one between two reads are not seen
            number += 1
            add(log, half)
            half = ""
            log.rename("{0}.{1}".format(log, number))
            if act == "rotate":
                log.write_text("")
    add(log, half)
    found += texts(tail.read()) + texts(tail.read())
    assert sorted(found, key=int) == written


# --- the journal -----------------------------------------------------------------------------------------------


def journalctl(tmp_path, monkeypatch, script):
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "journalctl").write_text("#!/bin/sh\n" + script)
    (directory / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", "{0}:{1}".format(directory, os.environ["PATH"]))


def read_until(tail, count):
    found = []
    while len(found) < count:
        found += tail.read()
        time.sleep(0.01)
    return found


def test_the_journal(tmp_path, monkeypatch):
    journalctl(tmp_path, monkeypatch, 'echo "$@" >{0}/told; printf "{1}"; exec sleep 1000\n'.format(
        tmp_path, (line("one") + line("two")).replace("\n", "\\n")))  # fmt: skip
    tail = JournalTail(["courier-pop.service", "courier-imap.service"], NOON)
    try:
        assert texts(read_until(tail, 2)) == ["one", "two"]
        assert tail.read() == []
        told = (tmp_path / "told").read_text().split()
        assert told[-4:] == [
            "--since=@{0}".format(NOON),
            "_SYSTEMD_UNIT=courier-pop.service",
            "_SYSTEMD_UNIT=courier-imap.service",
            # A user's own program may run in that unit, too.
            "_UID=0",
        ]
    finally:
        tail.close()


def test_a_journal_that_ends_is_said(tmp_path, monkeypatch):
    journalctl(tmp_path, monkeypatch, "exit 3\n")
    tail = JournalTail(["x.service"], NOON)
    with pytest.raises(UserError) as caught:
        read_until(tail, 1)
    assert str(caught.value) == "journalctl has ended, with status 3."
    tail.close()


def test_without_journalctl(monkeypatch):
    monkeypatch.setattr(tail_module.subprocess, "Popen", _missing)
    with pytest.raises(UserError) as caught:
        JournalTail(["x.service"], NOON)
    assert "journalctl could not be run" in str(caught.value)


def _missing(*_arguments, **_options):
    raise FileNotFoundError(2, "No such file or directory")
