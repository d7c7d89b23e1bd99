"""The program that renews log-ins and keeps the database."""

import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest
from harden_mail.archive import build_program
from harden_mail.paths import POP_CONFIG
from harden_mail.pop import database, program

CONFIG = {"minutes": 20, "prefix6": 128, "writer": "nobody", "sessions": [], "reread": []}

# doveadm -f tab who, of Dovecot 2.3.19 and 2.4.1
WHO = (
    "username\t#\tproto\t(pids)\t(ips)\n"
    "info@example.com\t2\timap\t(992 993)\t(192.0.2.1 2001:db8::5)\n"
    "sales@example.com\t1\tpop3\t(999)\t(::ffff:192.0.2.9)\n"
    "new@example.com\t1\timap\t(7)\t()\n"
)


@pytest.fixture
def path(tmp_path):
    made = str(tmp_path / "pop" / "seen.sqlite")
    program.make(os.getegid(), os.path.dirname(made), made)
    return made


def rows(path):
    return dict(sqlite3.connect(path).execute("SELECT ip, expires - {0} FROM seen".format(database.NOW)).fetchall())


def test_who_is_connected_is_read_as_dovecot_says_it():
    assert list(program.addresses(WHO)) == ["192.0.2.1", "2001:db8::5", "192.0.2.9"]
    assert list(program.addresses("")) == []
    assert list(program.addresses("doveadm: Fatal: no\nsuch (thing)\n")) == []


def test_log_ins_are_renewed_and_old_ones_removed(path):
    assert program.keep(path, CONFIG, ["192.0.2.1"]) == 0
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("UPDATE seen SET expires = {0} + 5".format(database.NOW))
    base.execute("INSERT INTO seen VALUES ('192.0.2.2', {0})".format(database.NOW))
    base.execute("INSERT INTO seen VALUES ('192.0.2.3', {0} + 30)".format(database.NOW))
    assert program.keep(path, CONFIG, ["192.0.2.1"]) == 0
    found = rows(path)
    assert sorted(found) == ["192.0.2.1", "192.0.2.3"]
    assert found["192.0.2.1"] > 1100
    assert found["192.0.2.3"] < 60


def test_the_file_is_its_groups_and_its_directory_sticky(path):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o3770


def a_link(path, elsewhere):
    os.symlink(elsewhere, path)


def a_second_name(path, elsewhere):
    os.link(elsewhere, path)


def a_pipe(path, _elsewhere):
    os.mkfifo(path)


@pytest.mark.parametrize("put", [a_link, a_second_name, a_pipe])
def test_what_the_writer_puts_in_the_place_of_the_file_is_not_made_ours(path, tmp_path, put):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of root's")
    elsewhere.chmod(0o600)
    os.unlink(path)
    put(path, str(elsewhere))
    program.make(os.getegid(), os.path.dirname(path), path)
    assert (elsewhere.read_text(), stat.S_IMODE(elsewhere.stat().st_mode)) == ("of root's", 0o600)
    assert stat.S_ISREG(os.lstat(path).st_mode)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert program.keep(path, CONFIG, ["192.0.2.1"]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_journal_that_a_look_by_root_made_roots_is_given_back_and_nothing_else(path, tmp_path):
    for end in program.BESIDE:
        with open(path + end, "w", encoding="ascii"):
            os.chmod(path + end, 0o640)
    os.unlink(path + "-shm")
    (tmp_path / "passwd").write_text("of root's")
    os.link(str(tmp_path / "passwd"), path + "-shm")
    os.unlink(path + "-wal")
    os.mkfifo(path + "-wal")
    program.give_back(65534, 65534, path)
    assert os.stat(path + "-journal").st_uid == 65534
    assert stat.S_IMODE(os.stat(path + "-journal").st_mode) == 0o660
    assert os.stat(str(tmp_path / "passwd")).st_uid == 0
    assert not os.path.lexists(path + "-wal")


@pytest.mark.parametrize("size", [600, 4096, 20000])
def test_a_spoiled_file_is_known_as_such(path, size, capfd):
    with open(path, "wb") as handle:
        handle.write(b"x" * size)
    assert program.keep(path, CONFIG, []) == program.SPOILED
    assert path in capfd.readouterr().err


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE seen; CREATE VIEW seen AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT '192.0.2.66' AS ip, x AS expires FROM n",
        "CREATE TRIGGER t AFTER INSERT ON seen BEGIN DELETE FROM seen; END",
        "DROP TABLE seen; CREATE TABLE seen (ip TEXT PRIMARY KEY, expires)",
        "CREATE TABLE more (x)",
    ],
)
def test_what_is_no_table_of_log_ins_is_made_anew(path, statement):
    assert program.keep(path, CONFIG, []) == 0
    base = sqlite3.connect(path, isolation_level=None)
    base.executescript(statement)
    base.close()
    assert program.keep(path, CONFIG, []) == program.SPOILED


def test_a_file_of_any_size_is_not_read(path, capfd):
    os.truncate(path, program.LARGEST + 1)
    assert program.keep(path, CONFIG, []) == program.SPOILED
    assert "256 MiB" in capfd.readouterr().err


def test_a_shorter_time_and_rows_from_the_future(path):
    assert program.keep(path, dict(CONFIG, minutes=60), ["192.0.2.1"]) == 0
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("INSERT INTO seen VALUES ('192.0.2.66', {0} + 99999999)".format(database.NOW))
    assert program.keep(path, CONFIG, []) == 0
    found = rows(path)
    assert list(found) == ["192.0.2.1"]
    assert 1190 <= found["192.0.2.1"] <= 1200


def test_the_writers_way_of_keeping_a_journal_is_not_kept(path):
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.close()
    assert program.keep(path, CONFIG, ["192.0.2.1"]) == 0
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_busy_database_is_not_thrown_away(path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("BEGIN EXCLUSIVE")
    assert program.keep(path, CONFIG, []) == 1


def test_readers_are_told_of_a_new_file_only(path, tmp_path, monkeypatch):
    told = tmp_path / "told"
    monkeypatch.setattr(database, "PATH", path)
    monkeypatch.setattr(program, "POP_NOTED", str(tmp_path / "run" / "inode"))
    config = dict(CONFIG, reread=[["sh", "-c", "echo told >>{0}".format(told)]])
    for _ in range(2):
        program.reread(config)
    assert not told.exists()
    os.rename(path, path + ".old")
    program.make(os.getegid(), os.path.dirname(path), path)
    for _ in range(2):
        program.reread(config)
    assert told.read_text() == "told\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_whole_run_makes_a_database_anew_where_it_is_spoiled(path, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATH", path)
    monkeypatch.setattr(program.make, "__defaults__", (os.path.dirname(path), path))
    monkeypatch.setattr(program.remove, "__defaults__", (path,))
    monkeypatch.setattr(program, "POP_NOTED", str(tmp_path / "run" / "inode"))
    monkeypatch.setattr(program, "POP_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "argv", ["pop-before-smtp"])
    (tmp_path / "config").write_text(json.dumps(dict(CONFIG, sessions=[["printf", "%s", WHO], ["no-such-program"]])))
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    with open(path, "wb") as handle:
        handle.write(b"x" * 20000)
    assert program.main() == 0
    assert sorted(rows(path)) == ["192.0.2.1", "192.0.2.9", "2001:db8::5"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_the_built_program_says_in_a_line_what_it_lacks(tmp_path):
    built = tmp_path / "pop-before-smtp"
    built.write_bytes(build_program(program).encode("utf-8", "surrogateescape"))
    if os.path.exists(POP_CONFIG):
        pytest.skip("this machine has it")
    done = subprocess.run([sys.executable, "-I", str(built)], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"pop-before-smtp.json" in done.stderr


def test_a_port_that_nothing_listens_on_is_no_answer(monkeypatch):
    monkeypatch.setattr(program, "ANSWER_TIMEOUT", 0.3)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        assert not program.answers(*listening.getsockname())


def test_a_mail_server_that_greets_answers():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        thread = threading.Thread(target=greet, args=(listening,))
        thread.start()
        assert program.answers(*listening.getsockname())
        thread.join()


def greet(listening):
    connection, _ = listening.accept()
    with connection:
        connection.sendall(b"220 mail.example.com\r\n")
        connection.recv(100)
        connection.sendall(b"250 mail.example.com\r\n")
