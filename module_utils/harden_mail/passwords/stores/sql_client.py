"""Rows of a query by the host's own client program, for which a password never stands where others can see it.

MySQL's and PostgreSQL's clients get it in a file for root alone, in a directory for root alone in memory (/run), which
is removed as soon as the database answers. What a kill leaves there the next run removes, and so does state: absent.
"""

import contextlib
import io
import os
import re
import shutil
import signal
import time
from types import MappingProxyType
from typing import Mapping, NamedTuple, Optional, Tuple

from ...errors import CommandError, UserError
from ...host.users import MAIL_SYSTEM, ROOT_ALONE, as_good, text_of_root
from ...paths import PASSWORDS_QUESTION, PASSWORDS_QUESTION_LOCK
from ...system import END_TIMEOUT
from ...text import printable
from ...untrusted import NotRead, numbered
from . import sqlite_rows
from .sql_rows import copied, unescaped
from .sql_text import MYSQL, POSTGRESQL


class Connection(NamedTuple):
    """How to reach a database. What is None is the client's default; without user and password that is root's way in.

    :ivar database: see ``sql_text.DATABASES``
    :ivar name: of the database
    :ivar password: secret
    :ivar path: SQLite's file
    :ivar options_file: the client's own file with all that (MySQL's options, PostgreSQL's .pgpass)
    :ivar more: what else PostgreSQL's connection may say (sslmode, ...)
    """

    database: str
    name: Optional[str] = None
    user: Optional[str] = None
    password: Optional[str] = None
    host: Optional[str] = None
    port: Optional[str] = None
    socket: Optional[str] = None
    path: Optional[str] = None
    options_file: Optional[str] = None
    more: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        return "Connection({0}, {1})".format(self.database, self.name or self.path)


STATEMENT = PASSWORDS_QUESTION + "/statement.sql"
OPTIONS = PASSWORDS_QUESTION + "/client.cnf"

# Seconds to wait for a connection.
CONNECT_TIMEOUT = 10

# Seconds without a byte from a client, which waits for its server; longer than all that the server may wait for.
SILENCE_TIMEOUT = 60

# Of one query: seconds, rows and bytes; and pairs of a table and a column, of one that asks for these. Whoever manages
# the accounts, as a web application, can write rows without end.
MOST_SECONDS, MOST_ROWS, MOST_BYTES = 300, 500000, 256 << 20
MOST_COLUMNS = 200000
# Of these seconds, so many are waited for the database; the others are the audit's, which looks at each account.
MOST_WAITED = 60
_TOO_MUCH = "has more than {0:,} rows, or {1:,} bytes, or takes more than {2} seconds; the rest is not read"

# Memory of a client (KiB), which holds all of an answer.
_CLIENTS_MEMORY = 1 << 20

# Seconds to wait for a table that somebody has locked; servers' own default is a year, or for ever.
LOCK_PATIENCE = 30

# The third is MySQL's way to say how long a query may take, in milliseconds, the fourth MariaDB's.
_MYSQL_STATEMENT = """\
/*!50605 SET SESSION TRANSACTION READ ONLY */;
/*!50605 SET SESSION lock_wait_timeout = {0} */;
/*!50708 SET SESSION max_execution_time = {2}000 */;
/*M!100101 SET SESSION max_statement_time = {2} */;
SET SESSION sql_select_limit = {3};
{1};
"""
# Whoever can define views, operators or functions in a database has them run with the rights of who asks there: a
# superuser's are those of the server's account (COPY TO PROGRAM, in a read-only transaction, too), and what a superuser
# gives up by SET ROLE, such a function takes back. What is asked here must not be theirs either: by pg_catalog alone.
_REFUSED_TO_SUPERUSERS = """\
SET LOCAL search_path = pg_catalog;
DO $do$ BEGIN
IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) AND EXISTS (
SELECT 1 FROM pg_roles r, pg_namespace n WHERE NOT r.rolsuper AND r.rolcanlogin
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND (has_schema_privilege(r.oid, n.oid, 'CREATE') OR has_database_privilege(r.oid, current_database(), 'CREATE')
OR EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = n.oid AND pg_has_role(r.oid, c.relowner, 'MEMBER'))
OR EXISTS (SELECT 1 FROM pg_proc p WHERE p.pronamespace = n.oid AND pg_has_role(r.oid, p.proowner, 'MEMBER')))
) THEN RAISE EXCEPTION '{0}'; END IF; END $do$;
RESET search_path;
""".format(
    "others than its superuser can define what is in it, and whatever that is would run with a superuser''s rights: "
    "name a user that may only read its tables, in db_user and credentials_file"
)

# Releases before 9.3 have no lock_timeout, so it is set where it is. The answer to that is none of ours.
_POSTGRESQL_STATEMENT = """\
BEGIN TRANSACTION READ ONLY;
{3}\\o /dev/null
SELECT set_config(name, '{0}s', true) FROM pg_settings WHERE name = 'lock_timeout';
\\o
SET LOCAL statement_timeout = '{2}s';
COPY ({1}) TO STDOUT;
COMMIT;
"""

# By a shell's redirection, which root opens, since PostgreSQL's client may run as somebody else. What a client says to
# stderr, as a function's notices, goes to a file: of 2,048 blocks of 512 bytes at most.
_SCRIPT = 'ulimit -v {0} 2>/dev/null; ulimit -f 2048; exec timeout -k {1} {2} "$@" <"$0"'.format(
    _CLIENTS_MEMORY, END_TIMEOUT, MOST_SECONDS
)

# Errors of MySQL whose text has names only (access denied, no such database, table or column, a server that is not
# there, syntax). The text of others may quote what is in a column.
_MYSQL_HARMLESS: Tuple[int, ...] = (
    1044,
    1045,
    1049,
    1054,
    1064,
    1130,
    1142,
    1143,
    1146,
    1205,
    1698,
    1792,
    1969,
    2002,
    2003,
    2005,
    2008,
)
_MYSQL_HARMLESS += (2013, 2020, 2026, 3024)


class DatabaseError(UserError):
    """The database could not be asked; its text goes behind the place in a sentence."""


def place(connection):
    """The database as people call it."""
    kind = {MYSQL: "MySQL", POSTGRESQL: "PostgreSQL"}.get(connection.database, "SQLite")
    return "{0} database {1}".format(kind, connection.path or connection.name or "(default)")


def rows(system, connection, query, problems, most=MOST_ROWS):
    """Rows of a query, in constant memory.

    :param query: str, on one line, which reads only (see ``sql_text.reading``); None: pairs of a table and a column
    :param problems: told about rows that can't be read
    :param int most: rows
    :returns: iterator of tuples of str or None
    :raises DatabaseError: the database gives no answer, or one that is too much; rows that came before were yielded
    """
    if connection.database == MYSQL:
        return _client_rows(system, connection, _mysql(system, connection), query, problems, most)
    if connection.database == POSTGRESQL:
        return _client_rows(system, connection, _psql(connection), query, problems, most)
    return _sqlite_rows(system, connection, query)


def _sqlite_rows(system, connection, query):
    try:
        if query is None:
            yield from sqlite_rows.columns(system, connection.path)
        else:
            yield from sqlite_rows.rows(system, connection.path, query)
    except NotRead as error:
        raise DatabaseError(error.why) from None


def _client_rows(system, connection, argv, query, problems, most):
    _check_options_file(system, connection)
    if connection.database == MYSQL:
        # Older servers than 5.6 take the first for a comment. What the client has not yet passed on it keeps in its
        # own memory (no --quick): a slow audit must not hold the server's locks.
        statement = _MYSQL_STATEMENT.format(LOCK_PATIENCE, query, MOST_SECONDS, most + 1)
        read, options = unescaped, _mysql_options(connection)
    else:
        statement = _POSTGRESQL_STATEMENT.format(LOCK_PATIENCE, query, MOST_SECONDS, _REFUSED_TO_SUPERUSERS)
        read, options = copied, _pgpass(connection)
    try:
        with contextlib.ExitStack() as stack:
            with _private_files(system, statement, options):
                output = stack.enter_context(
                    system.stream(["sh", "-c", _SCRIPT, system.real(STATEMENT)] + argv, SILENCE_TIMEOUT)
                )
                output = io.BufferedReader(output)
                began = time.monotonic()
                output.peek(1)
            deadline, left, waited = began + MOST_SECONDS, MOST_BYTES, time.monotonic() - began
            for number, line, seconds in _timed(numbered(output, carriage_return=False)):
                waited += seconds
                if waited > MOST_WAITED:
                    raise DatabaseError("has been waited for for {0} seconds; the rest is not read".format(MOST_WAITED))
                left -= len(line or "")
                if number > most or left < 0 or time.monotonic() > deadline:
                    raise DatabaseError(_TOO_MUCH.format(most, MOST_BYTES, MOST_SECONDS))
                if line is None:
                    problems.add(place(connection), "a row that is too long", number)
                else:
                    yield tuple(read(field) for field in line.split(b"\t"))
    except CommandError as error:
        raise DatabaseError(_why(connection, error)) from None


def _timed(lines):
    """Yield (number, line, seconds that it was waited for)."""
    began = time.monotonic()
    for number, line in lines:
        yield number, line, time.monotonic() - began
        began = time.monotonic()


def _check_options_file(system, connection):
    """Refuse a file that a client follows as root, unless root alone can have written it.

    MySQL's says which code its client loads (plugin-dir); PostgreSQL's has passwords only, and may be the mail
    system's as well.
    """
    path = connection.options_file
    if path is None:
        return
    try:
        good = as_good(system, MAIL_SYSTEM) if connection.database == POSTGRESQL else ROOT_ALONE
        if text_of_root(system, path, good) is None:
            raise NotRead(path, "is not there")
    except NotRead as error:
        raise DatabaseError("can't be asked: {0}".format(error)) from None


def remove_left(system, check_mode):
    """Remove the files of a run that was killed, which may hold a password, and their directory.

    :returns: bool, whether there was anything
    """
    if not os.path.lexists(system.real(PASSWORDS_QUESTION)):
        return False
    if not check_mode:
        with system.lock(PASSWORDS_QUESTION_LOCK):
            # A kill may have left a file half written, whose name is another.
            shutil.rmtree(system.real(PASSWORDS_QUESTION))
    return True


@contextlib.contextmanager
def _private_files(system, statement, options):
    with system.lock(PASSWORDS_QUESTION_LOCK):
        system.make_private_dir(PASSWORDS_QUESTION)
        try:
            for path, text in ((STATEMENT, statement), (OPTIONS, options)):
                # What a kill has left has whatever owner and mode; a new one has ours.
                system.remove(path)
                if text is not None:
                    system.write(path, text, 0o600)
            yield
        finally:
            system.remove(STATEMENT)
            system.remove(OPTIONS)


# --- MySQL and MariaDB -------------------------------------------------------------------------------------------


def _mysql(system, connection):
    client = next((name for name in ("mysql", "mariadb") if system.which(name)), "mysql")
    argv = [client]
    file = OPTIONS if _explicit(connection) else connection.options_file
    if file:
        # root's own ~/.my.cnf and login path, which are read later, would win.
        argv = ["env", "HOME=" + PASSWORDS_QUESTION, "MYSQL_TEST_LOGIN_FILE=" + PASSWORDS_QUESTION + "/none"] + argv
        argv.append("--defaults-extra-file=" + system.real(file))
    argv += ["--batch", "--skip-column-names", "--default-character-set=utf8mb4", "--max-allowed-packet=1M"]
    argv.append("--connect-timeout={0}".format(CONNECT_TIMEOUT))
    if connection.name:
        argv.append("--database=" + connection.name)
    return argv


def _explicit(connection):
    return any((connection.user, connection.password, connection.host, connection.port, connection.socket))


def _mysql_options(connection):
    """Text of an option file, or None when nothing is to be said beside what is in the connection's own."""
    if not _explicit(connection):
        return None
    # What is said here comes later, so it wins.
    lines = ["!include " + connection.options_file] if connection.options_file else []
    lines.append("[client]")
    for name in ("user", "password", "host", "port", "socket"):
        value = getattr(connection, name)
        if value is not None:
            lines.append("{0}={1}".format(name, _mysql_value(value)))
    return "\n".join(lines) + "\n"


def _mysql_value(value):
    """A value in an option file: quotes and escapes as mysql's own reader undoes them (my_default.c)."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}
    return '"{0}"'.format("".join(escapes.get(character, character) for character in value))


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def _psql(connection):
    file = connection.options_file or (OPTIONS if connection.password is not None else None)
    argv = []
    if not _explicit(connection) and not file:
        # Its administrator is an account of the system's own, which the database trusts.
        argv += ["runuser", "-u", "postgres", "--"]
    argv += ["env", "PGCLIENTENCODING=UTF8"]
    argv += ["PGPASSFILE=" + file] if file else []
    said = dict(connection.more, connect_timeout=str(CONNECT_TIMEOUT), dbname=connection.name or "postgres")
    for name, value in (
        ("user", connection.user),
        ("host", connection.socket or connection.host),
        ("port", connection.port),
    ):
        if value is not None:
            said[name] = value
    conninfo = " ".join(
        "{0}='{1}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'"))
        for name, value in sorted(said.items())
    )
    return argv + [
        "psql",
        "--no-psqlrc",
        "--no-password",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--set=VERBOSITY=verbose",
        "--dbname=" + conninfo,
    ]


def _pgpass(connection):
    """Text of a password file for any host and database, or None when there is no password."""
    if connection.options_file or connection.password is None:
        return None
    if "\n" in connection.password:
        raise DatabaseError("its password has a line break, which PostgreSQL's client can't be told in a file")
    return "*:*:*:*:{0}\n".format(connection.password.replace("\\", "\\\\").replace(":", "\\:"))


# --- errors --------------------------------------------------------------------------------------------------------


def _why(connection, error):
    """Why a client gave no answer, without anything that a column holds."""
    if error.rc is None:
        return "could not be asked: {0}".format(printable(error.err))
    if error.rc in (124, 137):
        return "gives no answer within {0} seconds, or its client was killed".format(MOST_SECONDS)
    if error.rc == 128 + signal.SIGXFSZ:
        return "gives no answer, but errors or notices without end"
    if error.rc == 127:
        return "could not be asked: {0}".format(printable(error.err.strip()))
    if connection.database == MYSQL:
        match = re.search(r"ERROR (\d+) .*", error.err)
        code = int(match.group(1)) if match else 0
        text = match.group() if match and code in _MYSQL_HARMLESS else "error {0}".format(code)
        return "gives no answer ({0})".format(printable(text))
    # "ERROR:  42P01: relation ..." in whatever language; class 22 is about data, and quotes it.
    match = re.search(r"^\S+:  ([0-9A-Z]{5}): (.*)", error.err, re.MULTILINE)
    if match:
        text = "SQLSTATE " + match.group(1)
        if not match.group(1).startswith("22"):
            text += ": " + match.group(2)
    else:
        text = " ".join(error.err.split()) or "exit status {0}".format(error.rc)
    return "gives no answer ({0})".format(printable(text))
