"""Account stores in databases: how clients are asked, and what comes of their answers."""

import contextlib
import io
import os
import time

import pytest
from fake_system import FakeSystem
from harden_mail.errors import CommandError
from harden_mail.passwords.stores import (
    problems,
    registry,
    sql_client,
    sql_settings,
)
from harden_mail.paths import PASSWORDS_QUESTION
from harden_mail.system import Completed, System
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_hosts import ROOT, UIDS, passwd
from sql_client_stand_in import ODD, OWN, Client, batch, copy, read, sqlite_base, write


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
    # Before anything of the database's own is run or looked up, a superuser is kept from it.
    head = "BEGIN TRANSACTION READ ONLY;\nSET LOCAL search_path = pg_catalog;\nDO $do$ BEGIN\nIF (SELECT rolsuper "
    assert statement.startswith(head)
    assert statement.index("RAISE EXCEPTION") < statement.index("RESET search_path;") < statement.index("COPY (")
    assert "\nCOPY (SELECT name, secret, note FROM people) TO STDOUT;\nCOMMIT;\n" in statement
    words = client.argv[0]
    assert "s's" not in " ".join(words) and "PGPASSFILE=" + sql_client.OPTIONS in words and "runuser" not in words
    assert words[-1] == "--dbname=connect_timeout='10' dbname='my db' host='db.example' sslmode='require' user='u'"


def test_notices_without_end_fill_no_disk(tmp_path):
    """The client is a shell here that is stopped as psql is."""
    script = sql_client._SCRIPT
    statement = tmp_path / "statement"
    statement.write_text("")
    argv = ["sh", "-c", script, str(statement), "sh", "-c", "exec head -c 9000000 /dev/zero >&2"]
    with pytest.raises(CommandError) as caught, System().stream(argv, 30) as output:
        output.read()
    assert len(caught.value.err) <= 1 << 20
    said = sql_client._why(sql_client.Connection("postgresql"), CommandError(argv, 153, "x" * 5000))
    assert said == "gives no answer, but errors or notices without end"


def test_views_of_mysql_are_no_tables_of_a_preset(tmp_path):
    client = Client(tmp_path, "")
    _found, (told,) = read(tmp_path, client, store="sql", database="mysql", preset="postfixadmin")
    assert "t.table_type NOT LIKE '%VIEW'" in client.statements[0] and "has no table mailbox" in told


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
        ("mysql", Completed(124, "", ""), "gives no answer within 300 seconds, or its client was killed"),
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
    assert list(opened.accounts()) == [] and waits == [sql_client.SILENCE_TIMEOUT]
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
        assert client.argv[0][2] == 'ulimit -v 1048576 2>/dev/null; ulimit -f 2048; exec timeout -k 3 300 "$@" <"$0"'


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
