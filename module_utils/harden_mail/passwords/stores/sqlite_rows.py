"""Rows of an SQLite database, read by Python's own module: it is SQLite itself, and gives values as they are.

Whoever owns the file can have written anything into it. So it is read in a process that has that owner's rights, little
memory and little time, and only plain tables are read: a view or a virtual table is a program.
"""

import contextlib
import fcntl
import os
import re
import stat
import struct
from urllib.parse import quote

try:
    import sqlite3
except ImportError:
    sqlite3 = None  # type: ignore[assignment]

from ...text import printable
from ...untrusted import NotRead, owner_of
from ...untrusted_child import DATABASE, rows_as_owner
from .sql_rows import text_of

# Little beside what an audit has (password_audit_budget_seconds): whoever owns the file can have it waited for.
BOUNDS = DATABASE._replace(seconds=30)

# Files that SQLite opens beside a database; in a pipe's place, it would wait for a writer.
_BESIDE = ("-journal", "-wal", "-shm")

# Seconds to wait for a lock.
LOCK_TIMEOUT = 10

# How often a database is read that changes meanwhile.
_TRIES = 3

# Tables and columns that are looked at, to know a program's layout.
MOST_TABLES, MOST_COLUMNS = 1000, 20000

# The longest text or blob (SQLITE_LIMIT_LENGTH, which Python knows since 3.11), and that limit's number.
_LONGEST, _LIMIT_LENGTH = 65536, 0

# struct flock (fcntl(2)), and the byte of the lock.
_FLOCK, _SHM_LOCK = "hhqqi", 128

# What is asked of an authorizer (sqlite3.h); Python has no names for all of them.
_READ, _SELECT, _FUNCTION = 20, 21, 31
_OK, _DENY = 0, 1

# Functions that make much out of nothing, or reach out of the database.
_REFUSED_FUNCTIONS = {"zeroblob", "randomblob", "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}

# SQLite writes the first words of a statement in this way; others were not written by it.
_PLAIN_TABLE = re.compile(r"CREATE TABLE ")


def rows(system, path, query):
    """Rows of a query: iterator of tuples of str or None.

    :param str path: of the database, on the host
    :param str query: on one line, which reads only (see ``sql_text.reading``)
    :raises NotRead: it can't be asked
    """
    for row in _as_owner(system, path, lambda real: _answer(path, real, query)):
        if not isinstance(row, list) or not all(value is None or isinstance(value, str) for value in row):
            raise NotRead(path, "could not be read: the process that read it answered with nonsense")
        yield tuple(row)


def columns(system, path):
    """Pairs (table, column) of its plain tables: iterator of tuples of str.

    :raises NotRead: it can't be asked
    """
    for row in _as_owner(system, path, lambda real: _answer(path, real, None)):
        if not isinstance(row, list) or len(row) != 2 or not all(isinstance(value, str) for value in row):
            raise NotRead(path, "could not be read: the process that read it answered with nonsense")
        yield tuple(row)


def _as_owner(system, path, answer):
    if sqlite3 is None:
        raise NotRead(path, "can't be read: the host's Python has no module sqlite3")
    owner = owner_of(system, path)
    # Where a link of root's leads, the files beside the database are.
    real = os.path.realpath(system.real(path))
    return rows_as_owner(path, lambda: answer(real), owner, BOUNDS)


# --- in the owner's process ------------------------------------------------------------------------------------------


def _answer(path, real, query):
    """Iterator of lists of str or None: the rows of a query; without one, the pairs of a table and a column."""
    try:
        found = _undisturbed(path, real, query)
    except OSError as error:
        raise NotRead(path, "can't be read ({0})".format(error.strerror or error)) from None
    except MemoryError:
        raise NotRead(path, "can't be read within the memory that a file of a user gets") from None
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise NotRead(path, "can't be asked ({0})".format(printable(str(error)))) from None
    for row in found:
        yield [text_of(value) for value in row]


def _has_it_open(shm):
    """Whether somebody has a database open whose file of shared memory this is (bool); os_unix.c: UNIX_SHM_DMS."""
    try:
        descriptor = os.open(shm, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # What a killed program has left nobody has locked.
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _SHM_LOCK, 1, 0)
        return struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK
    finally:
        os.close(descriptor)


def _undisturbed(path, real, query):
    """Rows of a database: with its log where others have it open, else as it lies there.

    Whoever opens one with a write-ahead log makes two files beside it, even to read, unless it is told that nobody
    changes it. If somebody did all the same, what was read may be anything, so it is read once more.
    """
    for _ in range(_TRIES):
        _check_beside(path, real)
        before = _at_rest(path, real)
        if before is None:
            return _found(path, real, "mode=ro", query)
        try:
            found = _found(path, real, "mode=ro&immutable=1", query)
        except sqlite3.Error:
            if _at_rest(path, real) == before:
                raise
        else:
            if _at_rest(path, real) == before:
                return found
    raise NotRead(path, "was changed again and again while it was read")


def _check_beside(path, real):
    """:raises NotRead: something beside a database is no plain file"""
    for suffix in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(real + suffix).st_mode):
                raise NotRead(path, "is not read, since its {0} is no plain file".format(suffix))


def _at_rest(path, real):
    """What tells a change of a database with a write-ahead log; None: it has none, or somebody has it open.

    Of its first bytes the 19th and 20th are 2 if there is a log (https://www.sqlite.org/fileformat.html, 1.3.3), which
    is ``-wal`` beside it; who has it open has a lock on ``-shm``.

    :raises NotRead: it has a log that is not empty, and nobody has it open
    """
    descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as handle:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotRead(path, "is no plain file, so it is not read")
        start = handle.read(20)
    if start[18:] != b"\2\2" or _has_it_open(real + "-shm"):
        return None
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(real + "-wal").st_size:
            # To read it, SQLite would make a file beside.
            raise NotRead(path, "has a log (-wal) that its program has left unfinished; start that program")
    return status.st_ino, status.st_size, status.st_mtime_ns


def _found(path, real, how, query):
    # No transaction but ours: what is looked at first is what is read then.
    base = sqlite3.connect(
        "file:{0}?{1}".format(quote(real), how), uri=True, timeout=LOCK_TIMEOUT, isolation_level=None
    )
    try:
        if hasattr(base, "setlimit"):
            base.setlimit(_LIMIT_LENGTH, _LONGEST)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            base.execute("PRAGMA " + pragma)
        base.execute("BEGIN")
        tables = _plain_tables(base)
        if query is None:
            return _columns(base, tables)
        base.text_factory = bytes
        refused = []
        base.set_authorizer(_only_reads({name.lower() for name in tables}, refused))
        try:
            # All at once: while a query is unfinished, nobody can write to the database.
            return base.execute(query).fetchmany(BOUNDS.rows + 1)
        except sqlite3.Error:
            if refused:
                raise NotRead(path, "can't be asked ({0})".format(refused[0])) from None
            raise
    finally:
        base.close()


def _plain_tables(base):
    """Names (list of str) of tables that are nothing but rows."""
    base.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    query = "SELECT name, substr(sql, 1, 20) FROM sqlite_master WHERE type = 'table' AND rootpage > 0 LIMIT {0}"
    return [name for name, sql in base.execute(query.format(MOST_TABLES)) if _PLAIN_TABLE.match(sql or "")]


def _columns(base, tables):
    pairs = []
    for table in tables:
        for column in base.execute('PRAGMA table_info("{0}")'.format(table.replace('"', '""'))):
            pairs.append((table, column[1]))
            if len(pairs) >= MOST_COLUMNS:
                return pairs
    return pairs


def _only_reads(tables, refused):
    """An authorizer that lets a query read some tables and do nothing else; what it refused goes to a list."""

    def authorize(action, first, second, _base, _inner):
        if action == _SELECT or (action == _READ and first.lower() in tables):
            return _OK
        if action == _READ:
            refused.append("{0} is no plain table, so it is not read".format(printable(first)))
        elif action == _FUNCTION:
            if (second or "").lower() not in _REFUSED_FUNCTIONS:
                return _OK
            refused.append("the function {0} is not run".format(printable(second)))
        else:
            refused.append("it does more than reading tables")
        return _DENY

    return authorize
