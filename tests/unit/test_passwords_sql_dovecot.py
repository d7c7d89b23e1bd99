"""Dovecot's own connection, and its query for one user made one for everybody."""

import sqlite3

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.host.passdbs import Configuration
from harden_mail.passwords.stores import (
    dovecot_query,
    registry,
    sql_settings,
    sql_text,
)
from hypothesis import given
from hypothesis import strategies as st
from sql_client_stand_in import Client, read, sqlite_base, write

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
