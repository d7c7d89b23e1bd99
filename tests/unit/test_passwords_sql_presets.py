"""The tables of programs that are known, and what is asked of them."""

import pytest
from harden_mail.passwords.stores import (
    sql_presets,
    sql_text,
)
from sql_client_stand_in import Client, lite, read, sqlite_base, write


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
