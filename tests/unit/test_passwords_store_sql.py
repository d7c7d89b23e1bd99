"""Account stores in databases: what is asked, how, and what comes of the answers."""

import contextlib
import io
import os
import sqlite3
import stat
import time

import pytest
from fake_system import FakeSystem
from harden_mail.errors import CommandError, UserError
from harden_mail.host.passdbs import Configuration
from harden_mail.passwords.stores import (
    dovecot_query,
    problems,
    registry,
    sql_client,
    sql_presets,
    sql_rows,
    sql_settings,
    sql_text,
)
from harden_mail.paths import PASSWORDS_QUESTION
from harden_mail.system import Completed
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_hosts import ROOT, UIDS, passwd

ODD = "tab\t back\\slash \\n new\nline\r bar| 'quotes\" %u ; -- NULL \\N 日本 é"


def write(root, path, content, mode=0o600):
    path = str(root) + path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(content)
    os.chmod(path, mode)


class Client:
    """Stands for a database's client: remembers what it was given, and answers."""

    def __init__(self, root, *answers):
        self.root, self.answers = str(root), list(answers)
        self.argv, self.statements, self.options = [], [], []

    def __call__(self, argv, _stdin):
        self.argv.append(argv)
        with open(argv[3], encoding="utf-8") as handle:
            self.statements.append(handle.read())
        options = self.root + sql_client.OPTIONS
        for path in (argv[3], options):
            assert not os.path.exists(path) or stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(options)).st_mode) == 0o700
        if os.path.exists(options):
            with open(options, encoding="utf-8") as handle:
                self.options.append(handle.read())
        else:
            self.options.append(None)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Completed) else Completed(0, answer, "")


def read(root, client, commands=None, **declaration):
    commands = dict(commands or {}, sh=client)
    opened = registry.open_store(FakeSystem(root, commands), declaration)
    found = list(opened.accounts())
    assert os.listdir(str(root) + PASSWORDS_QUESTION) == []
    return found, opened.problems


# --- SQL as text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query, database, as_run",
    (
        ("SELECT a, b FROM c", "mysql", "SELECT a, b FROM c"),
        ("select a,\n b -- comment\n FROM c;\n;", "postgresql", "select a, b FROM c"),
        ("/* x; */ SELECT 'a;--' FROM `b;`", "mysql", "SELECT 'a;--' FROM `b;`"),
        ("SELECT a # DELETE\n FROM c", "mysql", "SELECT a FROM c"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "sqlite", "WITH x AS (SELECT 1) SELECT * FROM x"),
        ("SELECT 'it''s', 'a\\';', \"b;\"", "mysql", "SELECT 'it''s', 'a\\';', \"b;\""),
        (
            "SELECT E'it\\'s;', $x$ ; $$ $x$, a::text || b",
            "postgresql",
            "SELECT E'it\\'s;', $x$ ; $$ $x$, a::text || b",
        ),
        ("SELECT 1--2", "mysql", "SELECT 1--2"),
        ("SELECT 'a\nb'", "sqlite", "SELECT 'a\nb'"),
        (
            "SELECT updated, deleted, for_update FROM inserts",
            "mysql",
            "SELECT updated, deleted, for_update FROM inserts",
        ),
    ),
)
def test_queries_that_read(query, database, as_run):
    assert sql_text.reading(query, database, "It") == as_run


@pytest.mark.parametrize(
    "query, database, words",
    (
        ("DELETE FROM a", "mysql", "begins with 'DELETE'"),
        ("", "mysql", "begins with ''"),
        ("-- SELECT", "postgresql", "begins with ''"),
        ("(SELECT 1)", "mysql", "begins with ''"),
        ("SELECT 1; DELETE FROM a", "mysql", "more than one statement"),
        ("SELECT '1'; DROP TABLE a", "postgresql", "more than one statement"),
        ("SELECT 'a\\'; DROP TABLE a --'", "postgresql", "more than one statement"),
        ("SELECT 1 \\! id", "postgresql", "a backslash"),
        ("SELECT a INTO OUTFILE '/x' FROM b", "mysql", "INTO"),
        ("select a into b from c", "postgresql", "INTO"),
        ("SELECT a FROM b FOR UPDATE", "mysql", "FOR UPDATE"),
        ("SELECT a FROM b FOR  SHARE", "postgresql", "FOR SHARE"),
        ("SELECT a FROM b LOCK IN SHARE MODE", "mysql", "LOCK IN"),
        ("SELECT 1 /*! INTO OUTFILE '/x' */", "mysql", "a comment"),
        ("SELECT 'open", "sqlite", "an open string"),
        ("SELECT `open", "mysql", "an open name"),
        ("SELECT /* open", "mysql", "an open"),
    ),
)
def test_queries_that_do_more_are_refused(query, database, words):
    with pytest.raises(UserError) as raised:
        sql_text.reading(query, database, "It")
    assert words in str(raised.value)


@given(st.text(), st.sampled_from(sql_text.DATABASES))
def test_any_text_is_a_query_or_refused(text, database):
    try:
        once = sql_text.reading("SELECT " + text, database, "It")
    except UserError:
        return
    # What is run means the same when it is read once more.
    assert sql_text.reading(once, database, "It") == once


# --- rows -------------------------------------------------------------------------------------------------------


def batch(value):
    """As `mysql --batch` prints a value."""
    if value is None:
        return "NULL"
    for character, escape in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\0", "\\0")):
        value = value.replace(character, escape)
    return value


def copy(value):
    """As PostgreSQL's COPY prints a value."""
    if value is None:
        return "\\N"
    escapes = (("\\", "\\\\"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\v", "\\v"))
    for character, escape in escapes:
        value = value.replace(character, escape)
    return value


@given(st.text())
def test_no_character_gets_lost_between_mysql_and_here(text):
    line = batch(text).encode()
    assert b"\n" not in line and b"\t" not in line
    assert sql_rows.unescaped(line) == (None if text == "NULL" else text)


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
def test_no_character_gets_lost_between_postgresql_and_here(text):
    line = copy(text).encode()
    assert b"\n" not in line and b"\t" not in line
    assert sql_rows.copied(line) == text


def test_nulls_numbers_and_bytes():
    assert (
        sql_rows.copied(b"\\N") is None
        and sql_rows.copied(b"\\\\N") == "\\N"
        and sql_rows.copied(b"\\x41\\101\\8\\9") == "AA89"
    )
    assert [sql_rows.text_of(value) for value in (None, 7, b"a\xff", "b")] == [None, "7", "a\udcff", "b"]


@given(st.binary())
def test_any_bytes_are_a_field(raw):
    sql_rows.unescaped(raw), sql_rows.copied(raw)


# --- clients ----------------------------------------------------------------------------------------------------

OWN = {"store": "sql", "query": "SELECT name, secret, note FROM people"}


def test_mysql_gets_the_password_in_a_file(tmp_path):
    write(
        tmp_path,
        "/etc/sql.conf",
        'driver = mysql\nconnect = host=db.example port=3307 dbname=m user=u password=s3cr"e\\t\n',
    )
    rows = "info@example.com\t{0}\tHanako\nnone@example.com\tNULL\tNULL\n".format(batch("{PLAIN}" + ODD))
    client = Client(tmp_path, rows)
    found, told = read(
        tmp_path,
        client,
        {"mysql": ""},
        database="mysql",
        credentials_file="/etc/sql.conf",
        default_scheme="SHA256",
        **OWN,
    )
    assert [tuple(account)[:7] for account in found] == [
        ("info@example.com", "{PLAIN}" + ODD, "SHA256", "sql", ("Hanako",), None, True),
        ("none@example.com", "", "SHA256", "sql", (), None, False),
    ]
    assert not told
    assert client.options == [
        '[client]\nuser="u"\npassword="s3cr\\"e\\\\t"\nhost="db.example"\nport="3307"\n',
    ]
    assert "SET SESSION TRANSACTION READ ONLY" in client.statements[0] and client.statements[0].endswith(
        ";\nSELECT name, secret, note FROM people;\n"
    )
    command = " ".join(client.argv[0])
    assert "s3cr" not in command and "SELECT" not in command
    # MySQL takes that option only as the first.
    words = client.argv[0]
    assert words[words.index("mysql") + 1] == "--defaults-extra-file=" + str(tmp_path) + sql_client.OPTIONS
    assert "HOME=" + PASSWORDS_QUESTION in words and "--database=m" in words


def test_mysql_without_credentials_is_roots_own(tmp_path):
    client = Client(tmp_path, "")
    read(tmp_path, client, {"mariadb": ""}, database="mysql", db_name="own", **OWN)
    words = client.argv[0]
    assert words[4] == "mariadb" and "env" not in words and client.options == [None]


def test_mysql_with_a_file_of_its_own(tmp_path):
    write(tmp_path, "/root/auditor.cnf", "[client]\nuser=a\npassword=s3cret\n", 0o644)
    client = Client(tmp_path, "")
    _found, told = read(tmp_path, client, database="mysql", credentials_file="/root/auditor.cnf", **OWN)
    assert "--defaults-extra-file=" + str(tmp_path) + "/root/auditor.cnf" in client.argv[0] and client.options == [None]
    assert told == ["/root/auditor.cnf: holds a password, and everybody on the host can read it (chmod o= it)."]


def test_mysql_with_a_file_and_more(tmp_path):
    write(tmp_path, "/root/auditor.cnf", "[client]\nuser=a\npassword=s3cret\n")
    client = Client(tmp_path, "info@example.com\t{PLAIN}x\r\n")
    own = {"store": "sql", "query": "SELECT a, b FROM c", "database": "mysql"}
    found, told = read(
        tmp_path, client, credentials_file="/root/auditor.cnf", db_host="db.example", db_port=3307, **own
    )
    assert client.options == ['!include /root/auditor.cnf\n[client]\nhost="db.example"\nport="3307"\n'] and not told
    assert "--defaults-extra-file=" + str(tmp_path) + sql_client.OPTIONS in client.argv[0]
    # The end of a password is not the end of a line.
    assert found[0].stored == "{PLAIN}x\r"


def test_a_file_that_leads_to_another_database_is_a_problem(tmp_path):
    write(tmp_path, "/etc/sql.conf", "driver = pgsql\nconnect = host=x\n")
    opened = registry.open_store(FakeSystem(tmp_path), dict(OWN, database="mysql", credentials_file="/etc/sql.conf"))
    assert list(opened.accounts()) == []
    assert opened.problems == ["/etc/sql.conf: leads to pgsql, and the option database says mysql."]


def test_postgresql_gets_the_password_in_a_file(tmp_path):
    write(
        tmp_path,
        "/etc/sql.conf",
        "driver = pgsql\nconnect = host=db.example dbname='my db' user=u password='p:a\\\\s\\'s' sslmode=require "
        "maxconns=2\n",
    )
    client = Client(tmp_path, "info@example.com\t{0}\t\\N\n".format(copy("{PLAIN}" + ODD)))
    found, told = read(tmp_path, client, database="postgresql", credentials_file="/etc/sql.conf", **OWN)
    assert found[0].stored == "{PLAIN}" + ODD and found[0].hints == () and not told
    assert client.options == ["*:*:*:*:p\\:a\\\\s's\n"]
    (statement,) = client.statements
    assert statement.startswith("BEGIN TRANSACTION READ ONLY;\n")
    assert "\nCOPY (SELECT name, secret, note FROM people) TO STDOUT;\nCOMMIT;\n" in statement
    words = client.argv[0]
    assert "s's" not in " ".join(words) and "PGPASSFILE=" + sql_client.OPTIONS in words and "runuser" not in words
    assert words[-1] == "--dbname=connect_timeout='10' dbname='my db' host='db.example' sslmode='require' user='u'"


@pytest.mark.parametrize("store", ("sql", "dovecot-sql"))
def test_no_secret_of_postgresqls_gets_onto_a_command_line(tmp_path, store):
    text = (
        "driver = pgsql\npassword_query = SELECT user, password FROM t WHERE user = '%u'\nconnect = host=x user=u {0}\n"
    )
    declared = {"store": "dovecot-sql", "path": "/etc/sql.conf"}
    if store == "sql":
        declared = dict(OWN, database="postgresql", credentials_file="/etc/sql.conf")
    write(tmp_path, "/etc/sql.conf", text.format("password=s3cret scram_client_key=s3cret oauth_client_secret=s3cret"))
    client = Client(tmp_path, "")
    read(tmp_path, client, **declared)
    assert "user='u'" in client.argv[0][-1] and "s3cret" not in " ".join(client.argv[0])
    write(tmp_path, "/etc/sql.conf", text.format("sslkey=/k sslpassword=s3cret"))
    opened = registry.open_store(FakeSystem(tmp_path, {"sh": client}), declared)
    assert list(opened.accounts()) == [] and len(client.argv) == 1
    (sentence,) = opened.problems
    assert sentence.startswith("/etc/sql.conf: it has an sslpassword") and "s3cret" not in sentence


def test_postgresqls_own_password_file_is_used_unless_there_is_a_password():
    connect = "host=x passfile=/etc/dovecot/pgpass sslmode=require{0}"
    assert sql_settings.from_connect("pgsql", connect.format("")).options_file == "/etc/dovecot/pgpass"
    both = sql_settings.from_connect("pgsql", connect.format(" password=p"))
    assert both.options_file is None and both.more == {"sslmode": "require"}


def test_postgresql_without_credentials_is_its_administrators(tmp_path):
    client = Client(tmp_path, "")
    read(tmp_path, client, database="postgresql", db_name="x", **OWN)
    assert client.argv[0][4:8] == ["runuser", "-u", "postgres", "--"] and client.options == [None]


def test_a_password_that_postgresqls_file_can_not_hold(tmp_path):
    connection = sql_client.Connection("postgresql", password="a\nb")
    with pytest.raises(sql_client.DatabaseError) as raised:
        list(sql_client.rows(FakeSystem(tmp_path), connection, "SELECT 1", problems.Problems()))
    assert "line break" in str(raised.value)


def test_a_connection_never_shows_its_password():
    connection = sql_client.Connection("mysql", name="mails", user="u", password="s3cret")
    assert "s3cret" not in repr(connection) and "s3cret" not in str([connection])


def test_what_a_kill_left_is_overwritten(tmp_path):
    for path in (sql_client.OPTIONS, sql_client.STATEMENT):
        write(tmp_path, path, "old", 0o644)
    os.chmod(str(tmp_path) + PASSWORDS_QUESTION, 0o700)
    client = Client(tmp_path, "")
    read(tmp_path, client, database="mysql", db_user="u", **OWN)
    assert client.options == ['[client]\nuser="u"\n']


@pytest.mark.parametrize(
    "database, answer, words",
    (
        (
            "mysql",
            Completed(1, "", "ERROR 1045 (28000): Access denied for user 'u'@'localhost'"),
            "Access denied for user 'u'",
        ),
        ("mysql", Completed(1, "", "ERROR 1146 (42S02) at line 2: Table 'a.b' doesn't exist"), "Table 'a.b'"),
        ("mysql", Completed(1, "", "ERROR 1292 (22007) at line 2: Truncated incorrect value: 's3cret'"), "error 1292"),
        ("mysql", Completed(1, "", "s3cret"), "error 0"),
        ("postgresql", Completed(3, "", 'ERROR:  42P01: relation "b" does not exist\nLINE 1: s3cret'), 'relation "b"'),
        ("postgresql", Completed(3, "", 'FEHLER:  22P02: invalid input syntax: "s3cret"\n'), "SQLSTATE 22P02"),
        ("postgresql", Completed(2, "", "psql: error: connection refused"), "connection refused"),
        ("mysql", Completed(124, "", ""), "gives no answer within 300 seconds"),
        ("mysql", Completed(127, "", "env: 'mysql': No such file or directory"), "could not be asked"),
    ),
)
def test_a_database_that_gives_no_answer_is_a_problem(tmp_path, database, answer, words):
    found, told = read(tmp_path, Client(tmp_path, answer), database=database, db_name="mails", **OWN)
    assert found == [] and len(told) == 1 and words in told[0] and "mails" in told[0]
    assert "s3cret" not in told[0] or "LINE" in told[0]


@pytest.mark.parametrize(
    "declared", (dict(OWN, database="mysql"), dict(OWN, database="postgresql"), {"store": "plesk"})
)
def test_a_server_that_goes_silent_is_a_problem(tmp_path, declared):
    waits = []

    class Silent(FakeSystem):
        def stream(self, argv, silence=None):
            waits.append(silence)
            raise CommandError(argv, None, "no answer within {0} seconds".format(silence))

    opened = registry.open_store(Silent(tmp_path, {"plesk": ""}), declared)
    assert list(opened.accounts()) == [] and waits == [sql_client.SILENCE]
    (sentence,) = opened.problems
    assert "no answer within 60 seconds" in sentence


def test_an_answer_without_end_is_cut(tmp_path, monkeypatch):
    rows = "".join("u{0}@example.com\tx\n".format(number) for number in range(5))
    connection = sql_client.Connection("mysql", name="mails")
    for most, size, left in ((3, 1 << 20, 3), (9, 40, 2), (9, 1 << 20, 5)):
        monkeypatch.setattr(sql_client, "MOST_BYTES", size)
        client = Client(tmp_path, rows)
        answer = sql_client.rows(FakeSystem(tmp_path, {"sh": client}), connection, "SELECT 1", None, most)
        found = []
        try:
            found += iter(answer)
        except sql_client.DatabaseError as error:
            assert "the rest is not read" in str(error) and left < 5
        assert len(found) == left
        # The server itself gives no more than shows that there are more, and its client has little memory and time.
        assert "sql_select_limit = {0};".format(most + 1) in client.statements[0]
        assert client.argv[0][2] == 'ulimit -v 1048576 2>/dev/null; exec timeout -k 3 300 "$@" <"$0"'


def test_a_database_that_drips_is_not_waited_for_without_end(tmp_path, monkeypatch):
    class Dripping(io.BytesIO):
        def readinto(self, buffer):
            time.sleep(0.1)
            return super().readinto(memoryview(buffer)[:20])

    class Slow(FakeSystem):
        @contextlib.contextmanager
        def stream(self, argv, silence=None):
            yield Dripping(b"u1@example.com\t12345\n" * 20)

    connection = sql_client.Connection("mysql", name="mails")
    for most, is_cut in ((0.5, True), (60, False)):
        monkeypatch.setattr(sql_client, "MOST_WAITED", most)
        found = []
        try:
            found += iter(sql_client.rows(Slow(tmp_path), connection, "SELECT 1", None))
        except sql_client.DatabaseError as error:
            assert str(error).endswith("seconds; the rest is not read")
        assert (len(found) < 20) is is_cut


def test_what_the_audit_does_is_no_waiting_for_a_database(tmp_path, monkeypatch):
    monkeypatch.setattr(sql_client, "MOST_WAITED", 0.2)
    client = Client(tmp_path, "u@example.com\tx\n" * 4)
    rows = sql_client.rows(FakeSystem(tmp_path, {"sh": client}), sql_client.Connection("mysql"), "SELECT 1", None)
    assert [time.sleep(0.1) for _row in rows] == [None] * 4


def test_what_was_read_before_an_end_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sql_client, "MOST_BYTES", 40)
    client = Client(tmp_path, "".join("u{0}@example.com\tx\n".format(number) for number in range(5)))
    found, told = read(tmp_path, client, database="mysql", db_name="mails", **OWN)
    assert len(found) == 2 and len(told) == 1 and told[0].startswith("MySQL database mails: has more than ")


@pytest.mark.parametrize("database, is_read", (("mysql", False), ("postgresql", True)))
@pytest.mark.parametrize("is_open", (True, False))
def test_a_clients_own_file_must_be_roots(tmp_path, database, is_read, is_open):
    passwd(tmp_path)
    write(tmp_path, "/srv/www/my.cnf", "[client]\nplugin-dir=/srv/www\n", 0o606 if is_open else 0o600)
    if not is_open and ROOT:
        # PostgreSQL's has nothing in it that a client runs, so the mail system may have it, too.
        os.chown(str(tmp_path / "srv/www/my.cnf"), UIDS["mail"], UIDS["mail"])
    client = Client(tmp_path, "info@example.com\tx\n")
    opened = registry.open_store(
        FakeSystem(tmp_path, {"sh": client}), dict(OWN, database=database, credentials_file="/srv/www/my.cnf")
    )
    names = [account.name for account in opened.accounts()]
    if is_open:
        assert names == [] and client.argv == []
        assert "can be written by others than root (chmod go-w it)" in " ".join(opened.problems)
    elif is_read or not ROOT:
        assert names == ["info@example.com"] and opened.problems == []
    else:
        assert names == [] and client.argv == [] and "belongs to" in opened.problems[0]


@pytest.mark.parametrize(
    "owner, group, mode, why",
    (
        ("mail", "mail", 0o660, None),
        ("mail", "alpha", 0o640, None),
        (None, "mail", 0o660, None),
        ("alpha", "alpha", 0o600, "belongs to user {0}, so it is not read".format(UIDS["alpha"])),
        ("mail", "alpha", 0o660, "can be written by others than root"),
        (None, "alpha", 0o660, "can be written by others than root"),
        (None, None, 0o602, "can be written by others than root"),
    )
    if ROOT
    else (),
)
def test_dovecots_file_is_roots_or_the_mail_systems(tmp_path, owner, group, mode, why):
    sqlite_base(tmp_path / "a.sqlite", "CREATE TABLE l (c, password)", "INSERT INTO l VALUES ('c@example.com', 'z')")
    query = "SELECT c AS user, password FROM l WHERE c = '%u'"
    passwd(tmp_path)
    write(tmp_path, "/etc/sql.conf", "driver = sqlite\nconnect = /a.sqlite\npassword_query = {0}\n".format(query), mode)
    os.chown(str(tmp_path / "etc/sql.conf"), UIDS.get(owner, 0), UIDS.get(group, 0))
    opened = registry.open_store(FakeSystem(tmp_path), {"store": "dovecot-sql", "path": "/etc/sql.conf"})
    assert [account.name for account in opened.accounts()] == ([] if why else ["c@example.com"])
    assert why in opened.problems[0] if why else opened.problems == []


def test_rows_of_another_shape_are_problems(tmp_path):
    _found, told = read(tmp_path, Client(tmp_path, "only\n"), database="mysql", **OWN)
    assert len(told) == 1 and "two columns" in told[0]
    rows = "NULL\tx\n\ty\na@example.com\tz\n" + "b" * 70000 + "\tx\n"
    found, told = read(tmp_path, Client(tmp_path, rows), database="mysql", **OWN)
    assert [account.name for account in found] == ["a@example.com"]
    assert len(told) == 2 and "no name in 2 lines (1, 2)" in told[0] and "too long in line 4" in told[1]


@settings(max_examples=40)
@given(st.binary(max_size=200), st.sampled_from(("mysql", "postgresql")))
def test_any_answer_is_accounts_or_problems(tmp_path_factory, answer, database):
    root = tmp_path_factory.getbasetemp()
    read(root, Client(root, answer.decode("utf-8", "surrogateescape")), database=database, **OWN)


# --- SQLite: see test_passwords_store_sqlite.py ------------------------------------------------------------------


def sqlite_base(path, *statements):
    base = sqlite3.connect(str(path))
    for statement in statements:
        base.execute(*(statement if isinstance(statement, tuple) else (statement,)))
    base.commit()
    base.close()


def lite(root, **options):
    opened = registry.open_store(FakeSystem(root), dict(options, store="sql", database="sqlite", path="/a b?.sqlite"))
    return list(opened.accounts()), opened.problems


# --- presets ----------------------------------------------------------------------------------------------------


def test_postfixadmin_of_any_release(tmp_path):
    sqlite_base(
        tmp_path / "a b?.sqlite",
        "CREATE TABLE mailbox (username, password, active)",
        "INSERT INTO mailbox VALUES ('a@example.com', '{PLAIN}x', 1), ('b@example.com', 'y', '0'), "
        "('c@example.com', '*', 1)",
    )
    found, told = lite(tmp_path, preset="postfixadmin")
    assert [(account.name, account.stored, account.active) for account in found] == [
        ("a@example.com", "{PLAIN}x", True),
        ("b@example.com", "y", False),
        ("c@example.com", "*", False),
    ]
    assert not told


def test_postfixadmin_with_all_it_has(tmp_path):
    sqlite_base(
        tmp_path / "a b?.sqlite",
        "CREATE TABLE Mailbox (UserName, Password, name, domain, active)",
        "CREATE TABLE domain (domain, active)",
        "CREATE TABLE mailbox_app_password (id, username, password_hash)",
        "INSERT INTO domain VALUES ('example.com', 1), ('example.net', 0)",
        "INSERT INTO mailbox VALUES ('a@example.com', 'px', 'Hanako', 'example.com', 1), ('b@example.net', 'y', '', "
        "'example.net', 1)",
        "INSERT INTO mailbox_app_password VALUES (1, 'a@example.com', 'app'), (2, 'nobody@example.com', 'x')",
    )
    found, told = lite(tmp_path, preset="postfixadmin")
    assert [(account.name, account.stored, account.hints, account.active) for account in found] == [
        ("a@example.com", "px", ("Hanako",), True),
        ("b@example.net", "y", (), False),
        ("a@example.com", "app", ("Hanako",), True),
    ]
    assert not told


def test_another_programs_tables_are_a_problem(tmp_path):
    sqlite_base(tmp_path / "a b?.sqlite", "CREATE TABLE mailbox (username, active)")
    assert lite(tmp_path, preset="postfixadmin")[1][0].endswith(
        "has no column password in table mailbox, so it is none of PostfixAdmin's."
    )
    assert "no table core_user, so it is none of Modoboa's" in lite(tmp_path, preset="modoboa")[1][0]


def columns(**tables):
    return "".join("{0}\t{1}\n".format(table, column) for table in tables for column in tables[table].split())


def test_ispconfig_and_mailcow_ask_for_columns_that_are_there(tmp_path):
    client = Client(tmp_path, columns(mail_user="email password"), "a@example.com\t$1$a$b\n")
    found, told = read(tmp_path, client, store="sql", database="mysql", preset="ispconfig")
    assert [tuple(account)[:2] for account in found] == [("a@example.com", "$1$a$b")] and not told
    assert "SELECT m.email, m.password FROM mail_user m" in client.statements[1]
    assert "--database=dbispconfig" in client.argv[0]
    client = Client(
        tmp_path,
        columns(mailbox="username password active domain name kind attributes authsource", domain="domain active"),
        "a@example.com\t{BLF-CRYPT}$2y$x\tHanako\t2024-02-01 10:00:00\t1\t1\t1\t1\n"
        "ldap@example.com\t\tX\tNULL\t0\t1\t1\t1\nnologin@example.com\t{A}b\tX\tNULL\t1\t2\t1\t1\n",
    )
    found, told = read(tmp_path, client, store="sql", database="mysql", preset="mailcow", db_name="x")
    assert [(account.name, account.changed, account.active) for account in found] == [
        ("a@example.com", 19754, True),
        ("ldap@example.com", None, False),
        ("nologin@example.com", None, False),
    ]
    assert not told


def test_iredmail_asks_for_what_helps_to_guess(tmp_path):
    client = Client(
        tmp_path,
        columns(mailbox="username password active domain name birthday passwordlastchange", domain="domain active"),
        "a@example.com\t{SSHA512}x\t1\t1\t1970-01-01 01:01:01\tHanako\t0001-01-01\n"
        "b@example.com\t{SSHA512}x\t1\tNULL\t2024-02-01 10:00:00\tHanako\t1985-03-07\n",
    )
    found, told = read(tmp_path, client, store="sql", database="postgresql", preset="iredmail")
    assert [(account.name, account.changed, account.hints, account.active) for account in found] == [
        ("a@example.com", None, ("Hanako",), True),
        ("b@example.com", 19754, ("Hanako", "1985-03-07"), False),
    ]
    assert not told


def test_vpopmail_with_a_table_for_each_domain(tmp_path):
    layout = "pw_name pw_passwd pw_uid pw_gid pw_gecos pw_dir pw_shell"
    client = Client(
        tmp_path,
        columns(example_com=layout, my_example_net=layout, lastauth="user domain"),
        "info\t\t$1$a$b\t\t0\tHanako\t/home/vpopmail/domains/example.com/info\texample_com\n"
        "x\t\t$1$a$b\tclear\t2062\tx\t/home/vpopmail/domains/0/my-example.net/A/x\tmy_example_net\n"
        # Of whom that table is, who has another's directory in mind, or none.
        "ceo\t\t$1$a$b\t\t0\tx\t/home/vpopmail/domains/example.com/ceo\tmy_example_net\n"
        "root\t\t$1$a$b\t\t0\tx\t\tmy_example_net\n",
    )
    found, told = read(tmp_path, client, store="sql", database="mysql", preset="vpopmail")
    assert [(account.name, account.stored, account.active, account.store) for account in found] == [
        ("info@example.com", "$1$a$b", True, "sql"),
        ("x@my-example.net", "{PLAIN}clear", False, "sql"),
        ("ceo@my_example_net", "$1$a$b", True, "sql"),
        ("root@my_example_net", "$1$a$b", True, "sql"),
    ]
    assert "'example_com' FROM `example_com`" in client.statements[1]
    assert "`example_com` UNION ALL SELECT" in client.statements[1] and "lastauth" not in client.statements[1]
    assert not told


def test_vpopmails_own_file_leads_to_its_tables(tmp_path):
    write(
        tmp_path, "/home/vpopmail/etc/vpopmail.mysql", "# x\nlocalhost|0|reader|s3cret|vp\nlocalhost|0|root|other|vp\n"
    )
    layout = "pw_name pw_domain pw_passwd pw_uid pw_gid pw_gecos pw_dir pw_shell pw_clear_passwd"
    client = Client(tmp_path, columns(vpopmail=layout), "info\texample.com\t$1$a$b\t\t0\tinfo\t\t\n")
    found, told = read(tmp_path, client, store="vpopmail", path="/home/vpopmail/etc/vpopmail.mysql")
    assert [tuple(account)[:7] for account in found] == [
        ("info@example.com", "$1$a$b", "CRYPT", "vpopmail", (), None, True)
    ]
    assert client.options[0] == '[client]\nuser="reader"\npassword="s3cret"\nhost="localhost"\n' and not told


@pytest.mark.parametrize(
    "directory, domain",
    (
        ("/home/vpopmail/domains/example.com/info", "example.com"),
        ("/home/vpopmail/domains/3/example.com/B/info", "example.com"),
        ("/srv/mail/example.com/info", "example.com"),
        ("/srv/info", ""),
        ("", ""),
    ),
)
def test_vpopmails_directories_name_the_domain(directory, domain):
    assert sql_presets.domain_of(directory, "info") == domain


def test_a_name_of_a_table_can_not_break_out():
    assert sql_text.quoted_name("a`; DROP TABLE b", "mysql") == "`a``; DROP TABLE b`"
    assert sql_text.quoted_name('a"b', "postgresql") == '"a""b"'


@pytest.mark.parametrize(
    "text, day",
    (
        ("2024-02-01 10:00:00", 19754),
        ("1970-01-01 01:01:01", None),
        ("", None),
        (None, None),
        ("0000-00-00", None),
        ("x", None),
    ),
)
def test_dates(text, day):
    assert sql_presets.day_of(text) == day


# --- Dovecot's own connection -----------------------------------------------------------------------------------


def test_a_file_of_settings_as_dovecot_reads_it():
    text = (
        '# comment\n driver = mysql # more\nconnect = "host=/run/m.sock user=u password=a#b\\"c"\n'
        "password_query = SELECT a \\\n   FROM b WHERE c = '#%u' \\\n  AND d\nnothing\niterate_query=\r\n"
    )
    assert sql_settings.settings_file(text) == {
        "driver": "mysql",
        "connect": 'host=/run/m.sock user=u password=a#b"c',
        "password_query": "SELECT a FROM b WHERE c = '#%u' AND d",
        "iterate_query": "",
    }


def test_connections_of_2_3():
    mysql = sql_settings.from_connect("mysql", "host=/run/m.sock host=other dbname=d user=u password=p=q port=1")
    assert (mysql.socket, mysql.host, mysql.name, mysql.password, mysql.port) == ("/run/m.sock", None, "d", "p=q", "1")
    lite = sql_settings.from_connect("sqlite", "/etc/a.sqlite journal_mode=wal")
    assert lite.path == "/etc/a.sqlite"
    with pytest.raises(UserError):
        sql_settings.from_connect("cassandra", "host=x")


def test_postgresqls_connections():
    assert sql_settings.conninfo("host = 'a b' user=u password='it\\'s' x='' port=5433") == {
        "host": "a b",
        "user": "u",
        "password": "it's",
        "x": "",
        "port": "5433",
    }


# As doveconf of 2.4.1 writes it.
DOVECONF_24 = """\
sql_driver = mysql
mysql localhost {
  dbname = mails
  password = "s#c ret\\"x"
  user = dove'cot
}
passdb sql {
  default_password_scheme = SHA256
  query = SELECT email AS user, password FROM users WHERE email = '%{user}'
}
passdb one {
  driver = sql
  sql_query = SELECT a AS user, password FROM p WHERE a = '%{user}'
  sql_driver = pgsql
  pgsql localhost {
    parameters {
      dbname = mails
      password = pw x
      user = dovecot
    }
  }
}
passdb two {
  driver = sql
  sql_query = SELECT c AS user, password FROM l WHERE c = '%{user}'
  sql_driver = sqlite
  sqlite_path = /a.sqlite
}
"""


def test_connections_of_2_4(tmp_path):
    sqlite_base(tmp_path / "a.sqlite", "CREATE TABLE l (c, password)", "INSERT INTO l VALUES ('c@example.com', 'z')")
    client = Client(tmp_path, "a@example.com\tx\n", "b@example.com\ty\n")
    found, told = read(tmp_path, client, {"doveconf -nP": DOVECONF_24}, store="dovecot-sql", path=None)
    assert [(account.name, account.stored, account.scheme, account.store) for account in found] == [
        ("a@example.com", "x", "SHA256", "dovecot-sql"),
        ("b@example.com", "y", "PLAIN", "dovecot-sql"),
        ("c@example.com", "z", "PLAIN", "dovecot-sql"),
    ]
    assert not told
    assert client.options == [
        '[client]\nuser="dove\'cot"\npassword="s#c ret\\"x"\nhost="localhost"\n',
        "*:*:*:*:pw x\n",
    ]


def test_connections_of_2_3_with_their_default_scheme(tmp_path):
    sqlite_base(tmp_path / "a.sqlite", "CREATE TABLE l (c, password)", "INSERT INTO l VALUES ('c@example.com', 'z')")
    text = (
        "driver = sqlite\nconnect = /a.sqlite\npassword_query = SELECT c AS user, password FROM l WHERE c = '%u'\n{0}"
    )
    for more, scheme in (("", "MD5"), ("default_pass_scheme = SHA\n", "SHA")):
        write(tmp_path, "/etc/dovecot-sql.conf.ext", text.format(more))
        opened = registry.open_store(
            FakeSystem(tmp_path), {"store": "dovecot-sql", "path": "/etc/dovecot-sql.conf.ext"}
        )
        assert [(account.name, account.scheme) for account in opened.accounts()] == [("c@example.com", scheme)]
        assert opened.problems == []


@pytest.mark.parametrize(
    "commands, words",
    (
        ({}, "tells nothing"),
        ({"doveconf -nP": "passdb pam {\n}\n"}, "no SQL database"),
        ({"doveconf -nP": "sql_driver = mysql\npassdb sql {\n query = SELECT 1\n}\n"}, "does not say where"),
        ({"doveconf -nP": "sql_driver = x\npassdb sql {\n query = SELECT 1\n}\n"}, "'x' has no client"),
    ),
)
def test_a_dovecot_that_does_not_say_enough_is_a_problem(tmp_path, commands, words):
    opened = registry.open_store(FakeSystem(tmp_path, commands), {"store": "dovecot-sql"})
    assert list(opened.accounts()) == [] and len(opened.problems) == 1 and words in opened.problems[0]


@given(st.text())
def test_any_text_is_a_configuration(text):
    Configuration(text).passdbs()
    sql_settings.settings_file(text)
    sql_settings.conninfo(text)
    sql_settings.vpopmail_mysql(text)
    for driver in sql_settings.DRIVERS:
        sql_settings.from_connect(driver, text)


# --- Dovecot's query for everybody ------------------------------------------------------------------------------

# One user's query, and what it gives for all: (database, the query, the accounts).
TABLES = (
    "CREATE TABLE users (email, login, local, domain, password, active, smtp, imap, domain_id)",
    "CREATE TABLE domains (id, name, active)",
    "INSERT INTO domains VALUES (1, 'a.example', 1), (2, 'b.example', 0)",
    "INSERT INTO users VALUES ('x@a.example', 'x@a.example', 'x', 'a.example', 'px', 1, 1, 1, 1)",
    "INSERT INTO users VALUES ('y@a.example', 'why', 'y', 'a.example', 'py', 0, 1, 1, 1)",
    "INSERT INTO users VALUES ('z@b.example', 'z', 'z', 'b.example', 'pz', 1, 1, 0, 2)",
)
ALL = ["x@a.example px", "y@a.example py", "z@b.example pz"]
ACTIVE = ["x@a.example px", "z@b.example pz"]


@pytest.mark.parametrize(
    "query, accounts",
    (
        ("SELECT email AS user, password FROM users WHERE email = '%u'", ALL),
        ("SELECT password FROM users WHERE email='%Lu' AND active = 1 LIMIT 1;", ACTIVE),
        ("SELECT password FROM users WHERE '%u' = email AND active", ACTIVE),
        ("SELECT local AS username, domain, password FROM users WHERE local = '%n' AND domain = '%d'", ALL),
        ("SELECT password FROM users u WHERE u.local = '%n' AND u.domain = lower('%Ld') AND active", ACTIVE),
        ("SELECT password FROM users WHERE local || '@' || domain = '%n@%d'", None),
        ("SELECT password FROM users WHERE email = '%n@%d'", ALL),
        ("SELECT password FROM users WHERE lower(email) = lower('%u') ORDER BY 1 LIMIT 1", ALL),
        ("SELECT email AS user, password FROM users WHERE (login = '%u' OR email = '%u')", ALL),
        ("SELECT password FROM users WHERE email IN ('%u')", ALL),
        ("SELECT password FROM users WHERE email LIKE '%{user}' AND 'imap' <> '%{protocol}'", ALL),
        ("SELECT u.password FROM users u, domains d WHERE u.local='%n' AND d.name='%d' AND u.domain_id=d.id", ALL),
        (
            "SELECT u.password FROM users u JOIN domains d ON d.id = u.domain_id WHERE u.email = '%u' AND d.active = 1",
            ["x@a.example px", "y@a.example py"],
        ),
        (
            "SELECT password FROM users WHERE email = '%u' AND NOT EXISTS (SELECT id FROM domains WHERE name = '%d' "
            "AND active = 0)",
            ["x@a.example px", "y@a.example py"],
        ),
        ("SELECT password FROM users WHERE email = '%u' AND %s = 1 AND active", ACTIVE),
        ("SELECT * FROM users WHERE email = '%u'", ALL),
        ("SELECT password FROM users WHERE email = '%u' AND local LIKE '%%'", ALL),
        ("SELECT local AS user, password FROM users WHERE local = '%n'", ["x px", "y py", "z pz"]),
        ("SELECT CASE active WHEN 1 THEN password ELSE 'off' END AS password FROM users WHERE email='%u'", None),
        ("SELECT '%d' || password AS password FROM users WHERE email='%u' AND active = 1", None),
        ("SELECT password FROM users WHERE email = '%u' -- comment", ALL),
    ),
)
def test_a_query_for_one_becomes_one_for_all(query, accounts):
    base = sqlite3.connect(":memory:")
    for statement in TABLES:
        base.execute(statement)
    everybody = base.execute(dovecot_query.for_everybody(query, "sqlite")).fetchall()
    # The truth: what Dovecot gets for each of them in turn.
    one_by_one = set()
    for name, _password in everybody + [
        (name, None) for name in ("x@a.example", "y@a.example", "z@b.example", "x", "z")
    ]:
        local, _at, domain = name.partition("@")
        for service in dovecot_query.SERVICES:
            asked = query
            for variable, value in (
                ("%u", name),
                ("%Lu", name),
                ("%{user}", name),
                ("%n", local),
                ("%d", domain),
                ("%Ld", domain),
            ):
                asked = asked.replace(variable, value)
            for variable in ("%s", "%{protocol}"):
                asked = asked.replace(variable, service)
            cursor = base.execute(asked)
            position = [column[0] for column in cursor.description].index("password")
            one_by_one.update((name, row[position]) for row in cursor.fetchall())
    names = {name for name, _password in everybody}
    assert sorted(everybody) == sorted(pair for pair in one_by_one if pair[0] in names)
    if accounts:
        assert ["{0} {1}".format(*pair) for pair in sorted(everybody)] == accounts


@pytest.mark.parametrize(
    "query, words",
    (
        ("SELECT password FROM users", "no FROM and WHERE"),
        ("SELECT password FROM users WHERE active = 1", "compares the user's name with no column"),
        ("SELECT a FROM users WHERE email = '%u'", "no column named password"),
        ("SELECT password FROM users WHERE email = '%u' AND pw = '%w'", "variable %w"),
        ("SELECT password FROM users WHERE email = '%u' AND net = '%{remote_ip}'", "variable %{remote_ip}"),
        ("SELECT password FROM users WHERE email = %u", "with no column"),
        ("SELECT password FROM users WHERE email = '%u' AND x = %u", "outside of a string"),
        ("SELECT password FROM a WHERE b = '%u' UNION SELECT password FROM c WHERE d = '%u'", "has UNION"),
        ("SELECT password FROM a WHERE b = '%n' AND c = (SELECT id FROM d WHERE name = '%d')", "the user's domain"),
        ("CALL check('%u')", "is no SELECT"),
        ("", "is no SELECT"),
        ("SELECT password FROM a WHERE b = '%u' GROUP BY c", "has GROUP"),
        ("SELECT password FROM a WHERE b = '%u' FOR UPDATE", "FOR UPDATE"),
    ),
)
def test_queries_that_can_not_be_asked_for_all(query, words):
    with pytest.raises(UserError) as raised:
        dovecot_query.for_everybody(query, "mysql")
    assert words in str(raised.value)


def test_ispconfigs_query_with_mysqls_words():
    query = (
        "SELECT email as user, password, CONCAT('*:storage=', quota, 'B') AS userdb_quota_rule FROM mail_user WHERE "
        "(login = '%u' OR email = '%u') AND `disable%Ls` = 'n' AND NOT EXISTS (SELECT domain_id FROM mail_domain WHERE "
        "domain = '%d' AND active = 'n')"
    )
    one = (
        "SELECT mail_user.email, password FROM mail_user WHERE (login = mail_user.email OR email = mail_user.email) "
        "AND `disable{0}` = 'n' AND NOT EXISTS (SELECT domain_id FROM mail_domain WHERE domain = "
        "SUBSTRING_INDEX(mail_user.email, '@', -1) AND active = 'n')"
    )
    # What does not look at the service is asked once.
    assert "UNION" not in dovecot_query.for_everybody(query.replace("%Ls", "imap"), "mysql")
    assert dovecot_query.for_everybody(query, "mysql") == one.format("smtp") + " UNION " + one.format("imap")


@given(st.text(), st.sampled_from(sql_text.DATABASES))
def test_any_text_is_a_query_for_all_or_a_sentence(text, database):
    for query in (
        text,
        "SELECT password FROM a WHERE b = '%u' AND " + text,
        "SELECT password, " + text + " FROM a WHERE b='%u'",
    ):
        try:
            dovecot_query.for_everybody(query, database)
        except UserError as error:
            assert str(error).endswith(".")
