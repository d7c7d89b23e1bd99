import bz2
import gzip
import lzma
import os
import time
from datetime import datetime, timezone

import pytest
from fake_system import FakeSystem
from harden_mail.logs.reader import UNPROVED, Logs
from harden_mail.logs.stamps import LONGEST_LINE
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text):
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp())


def put(root, name, lines, modified, pack=open):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with pack(str(path), "wb") as handle:
        handle.write("".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))
    os.utime(str(path), (at(modified), at(modified)))


def read(system, files, since="2026-11-10 00:00:00", journal=False, **options):
    logs = Logs(system, files, journal, at(since), **options)
    return list(logs.lines()), logs


def texts(found):
    return [text for _stamp, text, _writer in found]


def test_rotated_and_compressed_parts_in_the_order_of_time(tmp_path):
    put(tmp_path, "var/log/mail.log", ["Nov 24 10:00:00 vps a: now"], "2026-11-24 10:00:00")
    put(tmp_path, "var/log/mail.log.1", ["Nov 22 10:00:00 vps a: one"], "2026-11-22 10:00:00")
    put(tmp_path, "var/log/mail.log.2.gz", ["Nov 20 10:00:00 vps a: two"], "2026-11-20 10:00:00", gzip.open)
    put(tmp_path, "var/log/mail.log-20261118.xz", ["Nov 18 10:00:00 vps a: three"], "2026-11-18 10:00:00", lzma.open)
    put(tmp_path, "var/log/mail.log-20261116.bz2", ["Nov 16 10:00:00 vps a: four"], "2026-11-16 10:00:00", bz2.open)
    put(tmp_path, "var/log/mail.log.3.gz", ["Nov  1 10:00:00 vps a: old"], "2026-11-01 10:00:00", gzip.open)
    put(tmp_path, "var/log/mail.log.old", ["Nov 24 10:00:00 vps a: no rotation"], "2026-11-24 10:00:00")
    put(tmp_path, "var/log/mail.logger", ["Nov 24 10:00:00 vps a: another log"], "2026-11-24 10:00:00")
    found, logs = read(FakeSystem(tmp_path), ["/var/log/mail.log"])
    assert texts(found) == ["a: four", "a: three", "a: two", "a: one", "a: now"]
    assert found[0][0] == at("2026-11-16 10:00:00")
    assert logs.covered_since == at("2026-11-10 00:00:00") and logs.notes == []


def test_plesks_processed_part(tmp_path):
    put(tmp_path, "log/maillog", ["Nov 24 10:00:00 vps a: now"], "2026-11-24 10:00:00")
    put(tmp_path, "log/maillog.processed", ["Nov 23 10:00:00 vps a: before"], "2026-11-23 10:00:00")
    put(
        tmp_path, "log/maillog.processed.1.gz", ["Nov 22 10:00:00 vps a: long before"], "2026-11-22 10:00:00", gzip.open
    )
    assert texts(read(FakeSystem(tmp_path), ["/log/maillog"])[0]) == ["a: long before", "a: before", "a: now"]


def test_the_period(tmp_path):
    lines = ["Nov 24 10:00:0{0} vps a: {0}".format(second) for second in range(5)]
    put(tmp_path, "log", lines, "2026-11-24 10:00:05")
    found, logs = read(FakeSystem(tmp_path), ["/log"], since="2026-11-24 10:00:01", until=at("2026-11-24 10:00:03"))
    assert texts(found) == ["a: 1", "a: 2"]
    assert logs.covered_since == at("2026-11-24 10:00:01")
    assert read(FakeSystem(tmp_path), ["/log"])[1].covered_since == at("2026-11-24 10:00:00")


@pytest.mark.parametrize(
    "line, modified, expected",
    [
        ("Dec 31 23:59:59 vps a: x", "2026-01-02 00:00:00", "2025-12-31 23:59:59"),
        ("Jan  1 00:00:00 vps a: x", "2026-01-02 00:00:00", "2026-01-01 00:00:00"),
        ("Jan  1 00:00:01 vps a: x", "2025-12-31 23:59:59", "2026-01-01 00:00:01"),  # the clock was set back a little
        ("Feb 29 12:00:00 vps a: x", "2027-01-01 00:00:00", "2024-02-29 12:00:00"),
        ("2026-11-24T20:56:42.048842+00:00 vps a: x", "2026-11-24 21:00:00", "2026-11-24 20:56:42"),
        ("2026-11-24T20:56:42+0900 vps a: x", "2026-11-24 21:00:00", "2026-11-24 11:56:42"),
        ("2026-11-24T20:56:42-03:30 vps a: x", "2026-11-24 21:00:00", "2026-11-25 00:26:42"),
        ("2026-11-24T20:56:42Z vps a: x", "2026-11-24 21:00:00", "2026-11-24 20:56:42"),
        ("2026-11-24 20:56:42 a: x", "2026-11-24 21:00:00", "2026-11-24 20:56:42"),
    ],
)
def test_stamps(tmp_path, line, modified, expected):
    put(tmp_path, "log", [line], modified)
    assert read(FakeSystem(tmp_path), ["/log"], since="2020-01-01 00:00:00")[0] == [(at(expected), "a: x", UNPROVED)]


def test_stamps_in_the_hosts_time_zone(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    put(tmp_path, "log", ["Nov 24 10:00:00 vps a: x", "2026-11-24T10:00:00+00:00 vps a: y"], "2026-11-24 10:00:00")
    assert [stamp for stamp, _text, _writer in read(FakeSystem(tmp_path), ["/log"])[0]] == [
        at("2026-11-24 04:30:00"),
        at("2026-11-24 10:00:00"),
    ]


@pytest.mark.parametrize(
    "line", ["Foo 24 10:00:00 vps a: x", "Nov 31 10:00:00 vps a: x", "2026-13-01T10:00:00Z vps a", "", "x"]
)
def test_a_line_without_a_stamp_that_is_known_comes_whole(tmp_path, line):
    put(tmp_path, "log", [line], "2026-11-24 10:00:00")
    assert read(FakeSystem(tmp_path), ["/log"])[0] == [(None, line, UNPROVED)]


def test_a_line_of_dovecots_own_log_has_no_host(tmp_path):
    put(tmp_path, "log", ["Nov 24 10:00:00 imap-login: Info: Login: user=<bob>"], "2026-11-24 10:00:00")
    assert texts(read(FakeSystem(tmp_path), ["/log"])[0]) == ["imap-login: Info: Login: user=<bob>"]


def test_only_wanted_lines(tmp_path):
    put(tmp_path, "log", ["Nov 24 10:00:00 vps a: x", "Nov 24 10:00:00 vps a: y"], "2026-11-24 10:00:00")
    assert texts(read(FakeSystem(tmp_path), ["/log"], wanted=(b"z", b"y"))[0]) == ["a: y"]


def test_bytes_that_are_no_text_survive(tmp_path):
    put(tmp_path, "log", ["Nov 24 10:00:00 vps a: caf\udce9 \x00"], "2026-11-24 10:00:00")
    assert texts(read(FakeSystem(tmp_path), ["/log"])[0]) == ["a: caf\udce9 \x00"]


def test_a_line_of_any_size_is_left_out_whole(tmp_path):
    """Its continuation must not pass for a line of its own."""
    line = "Nov 24 10:00:00 vps a: real"
    hidden = "Nov 24 10:00:00 vps a: forged"
    padding = "\0" * LONGEST_LINE
    put(tmp_path, "log", [line, padding + hidden, padding * 3, line], "2026-11-24 10:00:00")
    assert texts(read(FakeSystem(tmp_path), ["/log"])[0]) == ["a: real", "a: real"]


def test_a_line_that_is_still_being_written_is_left_out(tmp_path):
    put(tmp_path, "log", ["Nov 24 10:00:00 vps a: x"], "2026-11-24 10:00:00")
    with open(str(tmp_path / "log"), "ab") as handle:
        handle.write(b"Nov 24 10:00:00 vps a: half")
    assert texts(read(FakeSystem(tmp_path), ["/log"])[0]) == ["a: x"]


def test_what_can_not_be_read_is_said(tmp_path):
    put(tmp_path, "log", ["Nov 24 10:00:00 vps a: x"], "2026-11-24 10:00:00")
    put(tmp_path, "log.1.gz", ["no gzip"], "2026-11-23 10:00:00")
    put(tmp_path, "log.2.zst", ["?"], "2026-11-22 10:00:00")
    put(tmp_path, "log.3.gz", ["Nov 21 10:00:00 vps a: cut"] * 9999, "2026-11-21 10:00:00", gzip.open)
    with open(str(tmp_path / "log.3.gz"), "rb+") as handle:
        handle.truncate(60)
    os.utime(str(tmp_path / "log.3.gz"), (at("2026-11-21 10:00:00"),) * 2)
    os.symlink("nowhere", str(tmp_path / "log.4"))
    found, logs = read(FakeSystem(tmp_path), ["/log", "/missing"])
    assert texts(found)[-1] == "a: x"
    notes = "\n".join(logs.notes)
    assert "/log.1.gz could not be read: " in notes
    assert not logs.is_whole and logs.covered_since is None
    assert "/log.2.zst is compressed in a way that can't be read here." in logs.notes
    assert "/log.3.gz could not be read: " in notes
    assert "There is no log /missing that can be read." in logs.notes
    assert len(logs.notes) == 4


def test_two_names_of_one_log(tmp_path):
    put(tmp_path, "log", ["Nov 24 10:00:00 vps a: x"], "2026-11-24 10:00:00")
    os.symlink("log", str(tmp_path / "psalog"))
    assert texts(read(FakeSystem(tmp_path), ["/log", "/psalog"])[0]) == ["a: x"]


def test_a_line_in_two_logs_comes_once_and_a_line_twice_in_one_twice(tmp_path):
    twice = ["Nov 24 10:00:00 vps a: x"] * 2
    put(tmp_path, "mail.log", twice + ["Nov 24 10:00:02 vps a: y"], "2026-11-24 10:00:02")
    put(tmp_path, "mail.info", twice + ["Nov 24 10:00:01 vps a: z"], "2026-11-24 10:00:02")
    assert texts(read(FakeSystem(tmp_path), ["/mail.log", "/mail.info"])[0]) == ["a: x", "a: x", "a: z", "a: y"]


# --- the journal -------------------------------------------------------------------------------------------


class Journal:
    """journalctl with a line every minute of an hour."""

    def __init__(self, first=0):
        self.first = first

    def __call__(self, argv, stdin):
        since, until = 0, at("2030-01-01 00:00:00")
        for word in argv:
            if word.startswith("--since=@"):
                since = int(word[9:])
            if word.startswith("--until=@"):
                until = int(word[9:])
        stamps = [at("2026-11-24 10:{0:02}:00".format(minute)) for minute in range(self.first, 60)]
        form = "2026-11-24T10:{0:02}:00+0000 vps a[1]: {1}\n      continued: 2026\n"
        return "".join(form.format(stamp // 60 % 60, stamp // 60 % 60) for stamp in stamps if since <= stamp <= until)


def minutes(found):
    return [int(text.split(": ")[1]) for text in texts(found)]


def test_journal_alone(tmp_path):
    found, logs = read(FakeSystem(tmp_path, {"journalctl": Journal()}), [], journal=True)
    assert minutes(found) == list(range(60))
    assert logs.covered_since == at("2026-11-24 10:00:00")


def test_journal_in_a_period(tmp_path):
    period = {"since": "2026-11-24 10:10:00", "until": at("2026-11-24 10:20:00")}
    found, logs = read(FakeSystem(tmp_path, {"journalctl": Journal()}), [], journal=True, **period)
    assert minutes(found) == list(range(10, 20))
    assert logs.covered_since == at("2026-11-24 10:10:00")


def test_the_journal_fills_in_what_the_files_lack(tmp_path):
    lines = ["Nov 24 10:{0:02}:00 vps a[1]: {0}".format(minute) for minute in range(20, 40)]
    put(tmp_path, "log", lines, "2026-11-24 10:39:00")
    found, logs = read(FakeSystem(tmp_path, {"journalctl": Journal(10)}), ["/log"], journal=True)
    assert minutes(found) == list(range(10, 60))
    assert logs.covered_since == at("2026-11-24 10:10:00")


def test_the_journal_fills_in_after_files_without_a_wanted_line(tmp_path):
    lines = ["Nov 24 10:{0:02}:00 vps cron: {0}".format(minute) for minute in range(20, 40)]
    put(tmp_path, "log", lines, "2026-11-24 10:39:00")
    system = FakeSystem(tmp_path, {"journalctl": Journal(10)})
    assert minutes(read(system, ["/log"], journal=True, wanted=(b"a[1]",))[0]) == list(range(10, 60))


def test_files_that_have_it_all_are_not_read_twice(tmp_path):
    lines = ["Nov 24 10:{0:02}:00 vps a[1]: {0}".format(minute) for minute in range(60)]
    put(tmp_path, "log", lines, "2026-11-24 10:59:00")
    system = FakeSystem(tmp_path, {"journalctl": Journal()})
    found, _logs = read(system, ["/log"], journal=True, since="2026-11-24 10:05:00")
    assert minutes(found) == list(range(5, 60))
    assert [line for line, _stdin in system.calls if "--until" in line] == []


def test_a_log_that_was_given_up_long_ago_covers_nothing(tmp_path):
    put(tmp_path, "log", ["Nov  1 10:00:00 vps a: old"], "2026-11-01 10:00:00")
    found, logs = read(FakeSystem(tmp_path), ["/log"])
    assert found == [] and logs.covered_since is None
    found, logs = read(FakeSystem(tmp_path, {"journalctl": Journal()}), ["/log"], journal=True)
    assert minutes(found) == list(range(60)) and logs.covered_since == at("2026-11-24 10:00:00")


@pytest.mark.parametrize("answer", [None, Completed(1, "", "No journal files were opened")])
def test_a_journal_that_can_not_be_read_is_said(tmp_path, answer):
    found, logs = read(FakeSystem(tmp_path, {"journalctl": answer} if answer else {}), [], journal=True)
    assert found == [] and logs.covered_since is None
    assert len(logs.notes) == 1 and logs.notes[0].startswith("The journal could not be read: journalctl ")


@given(data=st.binary(max_size=400))
def test_any_bytes_are_read(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("logs")
    (root / "log").write_bytes(b"Nov 24 10:00:00 vps a: x\n" + data)
    found, logs = read(FakeSystem(root), ["/log"], since="1971-01-01 00:00:00")
    assert texts(found)[0] == "a: x" and logs.notes == []


def test_a_file_is_read_as_it_goes(tmp_path):
    put(
        tmp_path, "log", ["Nov 24 10:00:00 vps a: {0}".format(number) for number in range(20000)], "2026-11-24 10:00:00"
    )
    logs = Logs(FakeSystem(tmp_path), ["/log"], False, at("2026-11-10 00:00:00"))
    lines = logs.lines()
    assert next(lines)[1] == "a: 0"
    with open(str(tmp_path / "log"), "rb+") as handle:
        handle.truncate(1000000 // 4)
    assert len(list(lines)) < 19999, "the file was read as a whole"
