"""Accounts in SQLite's files: every byte as it is, nothing beside them, and no more than plain tables within bounds."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

import pytest
from fake_system import FakeSystem
from harden_mail.passwords.stores import registry, sqlite_rows
from harden_mail.untrusted_walk import NotRead
from panel_hosts import ROOT, UIDS
from sql_client_stand_in import ODD, lite, sqlite_base

QUERY = "SELECT a, b FROM people"
FILE = "a b?.sqlite"


def test_every_byte_is_kept_and_it_is_only_read(tmp_path):
    path = tmp_path / FILE
    sqlite_base(
        path,
        "CREATE TABLE people (name, secret, note)",
        ("INSERT INTO people VALUES (?, ?, ?)", ("odd@example.com", "{PLAIN}a\0" + ODD, 7)),
        ("INSERT INTO people VALUES (?, ?, ?)", ("raw@example.com", b"\xff\0", None)),
    )
    before = path.read_bytes()
    found, told = lite(tmp_path, query="SELECT name, secret, note FROM people")
    assert [account[:2] + account[4:5] for account in found] == [
        ("odd@example.com", "{PLAIN}a\0" + ODD, ("7",)),
        ("raw@example.com", "\udcff\0", ()),
    ]
    assert not told and path.read_bytes() == before and os.listdir(str(tmp_path)) == [FILE]


# --- a log beside it ---------------------------------------------------------------------------------------------

# Another process: two connections of one process would share what a fork of it can't use.
WRITER = """
import os, sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute("PRAGMA journal_mode=wal")
base.execute("CREATE TABLE IF NOT EXISTS people (a, b)")
base.execute("INSERT INTO people VALUES (?, ?)", sys.argv[2:4])
base.commit()
print("written", flush=True)
if sys.stdin.readline() == "die\\n":
    os.kill(os.getpid(), 9)
base.close()
"""


class Writer:
    """A program that has written one row into a database with a log, and has it open until it is told how to end."""

    def __init__(self, path, name, password="x"):
        argv = [sys.executable, "-c", WRITER, str(path), name, password]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout.readline()

    def end(self, how="close"):
        self._process.communicate(how.encode() + b"\n")


def test_a_log_that_nobody_has_open_gets_no_files_beside(tmp_path):
    path = tmp_path / "real" / FILE
    path.parent.mkdir()
    Writer(path, "info@example.com").end()
    (tmp_path / FILE).symlink_to(path)
    assert os.listdir(str(path.parent)) == [path.name]
    # The link is root's, and leads out of the tree; so it is read where it leads.
    found, told = lite_of(path, query=QUERY)
    assert [account[0] for account in found] == ["info@example.com"] and not told
    assert os.listdir(str(path.parent)) == [path.name]
    # An empty one, as after a checkpoint with truncation, is as good as none.
    (path.parent / (path.name + "-wal")).write_bytes(b"")
    assert len(lite_of(path, query=QUERY)[0]) == 1
    assert sorted(os.listdir(str(path.parent))) == [path.name, path.name + "-wal"]
    assert "no such table" in lite_of(path, query="SELECT a, b FROM nobody")[1][0]


def lite_of(path, **options):
    declared = dict(options, store="sql", database="sqlite", path=str(path))
    opened = registry.open_store(FakeSystem("/"), declared)
    return list(opened.accounts()), opened.problems


def test_a_link_of_roots_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    Writer(tmp_path / "real" / FILE, "info@example.com").end()
    (tmp_path / FILE).symlink_to("real/" + FILE)
    assert [account[0] for account in lite(tmp_path, query=QUERY)[0]] == ["info@example.com"]
    assert os.listdir(str(tmp_path / "real")) == [FILE]


def test_a_log_that_somebody_has_open_is_read(tmp_path):
    writer = Writer(tmp_path / FILE, "info@example.com")
    assert (tmp_path / (FILE + "-wal")).stat().st_size
    assert len(lite(tmp_path, query=QUERY)[0]) == 1
    writer.end()


def test_a_log_that_a_killed_program_has_left_is_a_problem(tmp_path):
    Writer(tmp_path / FILE, "info@example.com").end("die")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(str(tmp_path))}
    assert len(before) == 3
    found, told = lite(tmp_path, query=QUERY)
    assert found == [] and "left unfinished; start that program" in told[0]
    assert before == {name: (tmp_path / name).read_bytes() for name in os.listdir(str(tmp_path))}


@pytest.mark.parametrize("suffix", ("-journal", "-wal", "-shm"))
@pytest.mark.parametrize("make", (os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)))
def test_what_is_no_plain_file_beside_a_database_is_not_waited_for(tmp_path, suffix, make):
    sqlite_base(tmp_path / FILE, "CREATE TABLE people (a, b)", "INSERT INTO people VALUES ('info@example.com', 'x')")
    assert len(lite(tmp_path, query=QUERY)[0]) == 1
    make(str(tmp_path / (FILE + suffix)))
    began = time.monotonic()
    found, told = lite(tmp_path, query=QUERY)
    assert time.monotonic() - began < 5
    assert found == [] and told == [
        "SQLite database /{0}: is not read, since its {1} is no plain file.".format(FILE, suffix)
    ]


def test_a_file_of_a_user_is_waited_for_a_small_part_of_the_budget(tmp_path, monkeypatch):
    """Whatever holds the process of its owner up, which that user can also stop."""
    sqlite_base(tmp_path / FILE, "CREATE TABLE people (a, b)")
    assert sqlite_rows.BOUNDS.seconds <= 30
    monkeypatch.setattr(sqlite_rows, "BOUNDS", sqlite_rows.BOUNDS._replace(seconds=1))
    monkeypatch.setattr(sqlite_rows, "_found", lambda *_: time.sleep(60))
    began = time.monotonic()
    assert "was not read to its end within 1 seconds" in lite(tmp_path, query=QUERY)[1][0]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("is_open", (False, True))
@pytest.mark.parametrize("fails", (False, True))
def test_one_that_is_written_to_meanwhile_is_read_once_more(tmp_path, monkeypatch, is_open, fails):
    path = tmp_path / FILE
    Writer(path, "info@example.com").end()
    writers, asked = [], []
    once = sqlite_rows._found

    def disturbed(name, real, how, query):
        asked.append(how)
        found = once(name, real, how, query)
        if not writers:
            writers.append(Writer(path, "new@example.com", "y" * 9000))
            if not is_open:
                writers[0].end()
            if fails:
                raise sqlite3.DatabaseError("malformed")
        return found

    monkeypatch.setattr(sqlite_rows, "_found", disturbed)
    # In this process, since what the other one does is not seen from here.
    rows = list(sqlite_rows._answer(str(path), str(path), QUERY))
    assert [row[0] for row in rows] == ["info@example.com", "new@example.com"]
    assert asked == ["mode=ro&immutable=1", "mode=ro" if is_open else "mode=ro&immutable=1"]
    if is_open:
        writers[0].end()


def test_one_that_changes_for_ever_is_a_problem(tmp_path, monkeypatch):
    path = tmp_path / FILE
    Writer(path, "info@example.com").end()
    times = iter(range(100))
    monkeypatch.setattr(sqlite_rows, "_at_rest", lambda *_: next(times))
    with pytest.raises(NotRead) as caught:
        list(sqlite_rows._answer(str(path), str(path), QUERY))
    assert "again and again" in caught.value.why


# --- what its owner makes of it ----------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {0} FROM c{1}"


@pytest.mark.parametrize(
    "made, what",
    (
        (
            "CREATE VIEW people AS " + ENDLESS.format("'u' || x AS a, hex(zeroblob(2000)) AS b", ""),
            "the function zeroblob is not run",
        ),
        ("CREATE VIEW people AS " + ENDLESS.format("'u' || x AS a, 'x' AS b", " WHERE x < 0"), "people is no plain"),
        ("CREATE VIEW people AS SELECT a, b FROM others", "people is no plain table, so it is not read"),
        ("CREATE VIRTUAL TABLE people USING fts4(a, b)", "it does more than reading tables"),
        (
            "PRAGMA writable_schema=ON;INSERT INTO sqlite_master VALUES ('table', 'people', 'people', 2, "
            "'CREATE VIEW people AS SELECT a, b FROM others')",
            "malformed database schema",
        ),
    ),
)
@pytest.mark.parametrize("query", (QUERY, "WITH p AS (SELECT * FROM people) SELECT a, b FROM p"))
def test_a_view_is_not_read(tmp_path, made, what, query):
    sqlite_base(tmp_path / FILE, "CREATE TABLE others (a, b)", *made.split(";"))
    begun = time.monotonic()
    found, told = lite(tmp_path, query=query)
    assert found == [] and len(told) == 1 and what in told[0]
    assert time.monotonic() - begun < 5


def test_a_view_is_no_programs_table(tmp_path):
    sqlite_base(tmp_path / FILE, "CREATE VIEW mailbox AS SELECT 'a@b' AS username, 'x' AS password, 1 AS active")
    found, told = lite(tmp_path, preset="postfixadmin")
    assert found == [] and "no table mailbox" in told[0]


def test_triggers_and_an_odd_schema_do_not_matter(tmp_path):
    sqlite_base(
        tmp_path / FILE,
        "CREATE TABLE people (a, b)",
        'CREATE TABLE "odd""; DROP" ("x\'")',
        "CREATE TRIGGER t AFTER INSERT ON people BEGIN DELETE FROM people; END",
        "DROP TRIGGER t",
        "INSERT INTO people VALUES ('info@example.com', 'x')",
        "CREATE TRIGGER t AFTER INSERT ON people BEGIN DELETE FROM people; END",
        "CREATE INDEX i ON people (lower(a))",
    )
    assert [account.name for account in lite(tmp_path, query=QUERY)[0]] == ["info@example.com"]
    assert "no table mailbox" in lite(tmp_path, preset="postfixadmin")[1][0]


@pytest.mark.parametrize(
    "query, what",
    (
        ("INSERT INTO people VALUES (1, 2)", "it does more than reading tables"),
        ("SELECT a, zeroblob(900000000) FROM people", "the function zeroblob is not run"),
        ("SELECT a, load_extension('/tmp/x') FROM people", "the function load_extension is not run"),
        ("SELECT name, sql FROM sqlite_master", "sqlite_master is no plain table"),
        (ENDLESS.format("x, x", ""), "it does more than reading tables"),
        ("PRAGMA journal_mode=delete", "it does more than reading tables"),
        ("ATTACH '/etc/shadow' AS s", "it does more than reading tables"),
    ),
)
def test_a_query_does_nothing_but_read(tmp_path, query, what):
    sqlite_base(tmp_path / FILE, "CREATE TABLE people (a, b)", "INSERT INTO people VALUES (1, 2)")
    with pytest.raises(NotRead) as caught:
        list(sqlite_rows.rows(FakeSystem(tmp_path), "/" + FILE, query))
    assert what in caught.value.why


BIG_ROW = """import resource, sys
sys.path[:0] = {0!r}
from harden_mail.system import System
from harden_mail.passwords.stores.registry import open_store
declared = {{"store": "sql", "database": "sqlite", "path": {1!r}, "query": "SELECT a, b FROM people"}}
opened = open_store(System(), declared)
print([account.name for account in opened.accounts()], opened.problems)
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) >> 10)
"""


def test_a_huge_row_takes_no_memory(tmp_path):
    path = tmp_path / FILE
    sqlite_base(
        path, "CREATE TABLE people (a, b)", "INSERT INTO people VALUES ('info@example.com', zeroblob(400000000))"
    )
    code = BIG_ROW.format(sys.path, str(path))
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
    assert said[0].startswith("[] [") and ("too big" in said[0] or "memory" in said[0])
    assert int(said[1]) < 350


def test_many_rows_are_read_up_to_a_bound(tmp_path, monkeypatch):
    numbers = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000) "
    sqlite_base(
        tmp_path / FILE,
        "CREATE TABLE people (a, b)",
        "INSERT INTO people "
        + numbers
        + "SELECT 'user' || x || '@example.com', '$6$saltsalt$' || hex(zeroblob(43)) FROM c",
    )
    found, told = lite(tmp_path, query=QUERY)
    assert len(found) == 20000 and not told
    monkeypatch.setattr(sqlite_rows, "BOUNDS", sqlite_rows.BOUNDS._replace(rows=1000))
    found, told = lite(tmp_path, query=QUERY)
    assert len(found) == 1000 and told == [
        "SQLite database /a b?.sqlite: has more than 1,000 rows; the rest is not read."
    ]


@pytest.mark.parametrize("owner", [UIDS["alpha"]] if ROOT else [])
def test_it_is_read_as_its_owner(owner):
    # Where that user can go: pytest's own directories are root's alone.
    directory = tempfile.mkdtemp()
    try:
        os.chmod(directory, 0o755)
        path = os.path.join(directory, FILE)
        sqlite_base(path, "CREATE TABLE people (a, b)", "INSERT INTO people VALUES ('info@example.com', 'x')")
        os.chown(path, owner, owner)
        os.chmod(path, 0o600)
        opened = registry.open_store(
            FakeSystem("/"), {"store": "sql", "database": "sqlite", "path": path, "query": QUERY}
        )
        (found,) = opened.accounts()
        assert found.name == "info@example.com" and opened.writers == {found.source: "user {0}".format(owner)}
        # The control: what that user can't reach is not read.
        os.chmod(directory, 0o700)
        found, told = lite_of(path, query=QUERY)
        assert found == [] and "can't be read (Permission denied)" in told[0]
    finally:
        shutil.rmtree(directory)


# --- files that are none -----------------------------------------------------------------------------------------


def test_what_can_not_be_read_is_a_problem(tmp_path):
    assert "is not there" in lite(tmp_path, query=QUERY)[1][0]
    assert os.listdir(str(tmp_path)) == []  # asked for, not made
    os.mkfifo(str(tmp_path / FILE))
    assert "no plain file" in lite(tmp_path, query=QUERY)[1][0]
    os.remove(str(tmp_path / FILE))
    (tmp_path / FILE).write_bytes(b"x" * 5000)
    assert "not a database" in lite(tmp_path, query=QUERY)[1][0]
    (tmp_path / FILE).write_bytes(b"")
    assert "no such table" in lite(tmp_path, query=QUERY)[1][0]


def test_a_python_without_the_module_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_rows, "sqlite3", None)
    assert "no module sqlite3" in lite(tmp_path, query=QUERY)[1][0]
