"""Account stores that are files of lines, and whatever else lies in their place."""

import os
import random
import tempfile
import tracemalloc

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.host import lines
from harden_mail.passwords.account import Account
from harden_mail.passwords.stores import passwd_file, plesk, problems, registry, shadow, store, vpopmail
from harden_mail.system import Completed
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_hosts import cpanel, directadmin
from panel_hosts import write as panel_file

SHA512 = "$6$saltsalt$" + "x" * 86


def write(root, path, content):
    path = str(root) + path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as handle:
        handle.write(content if isinstance(content, bytes) else content.encode())


def read(root, commands=None, **declaration):
    """Accounts of a store, as tuples, and its problems."""
    opened = registry.open_store(FakeSystem(root, commands), declaration)
    return [tuple(account)[:7] for account in opened.accounts()], opened.problems


# --- what every store has -------------------------------------------------------------------------------------


def test_an_account_never_shows_its_password():
    account = Account("info@example.com", "{PLAIN}spring2024", "CRYPT", "sql", (), None, True)
    for shown in (repr(account), str(account), "{0}".format(account), repr([account])):
        assert "spring" not in shown and "info@example.com" in shown
    assert account.stored == "{PLAIN}spring2024"
    assert "spring" not in repr(account._replace(active=False))


@pytest.mark.parametrize(
    "declaration, words",
    (
        ({}, "The option store is ''"),
        ({"store": ["shadow"]}, "The option store is '['shadow']'"),
        ("shadow", "'shadow' declares no store"),
        ({"store": "shadow", 5: "x", "y": 1}, "no option '5'"),
        ({"store": "vpopmail", "path": 5}, "is '5', which is no text"),
        ({"store": "vpopmail", "path": "/a\0b"}, "path of the store vpopmail has a NUL byte"),
        ({"store": "dovecot-passwd-file", "path": "/x", "default_scheme": 5}, "is '5', which is no text"),
        ({"store": "sql", "database": "mysql", "query": 5}, "option query of the store sql is '5', which is no text"),
        ({"store": "sql", "database": "mysql", "query": True}, "is 'True', which is no text"),
        ({"store": "sql", "database": "mysql", "preset": "modoboa", "db_port": True}, "is 'True', which is no text"),
        ({"store": "sql", "database": "mysql", "preset": "modoboa", "db_port": 65536}, "no port"),
        ({"store": "sql", "database": "mysql", "preset": "modoboa", "credentials_file": 5}, "which is no text"),
        ({"store": "sql", "database": "mysql", "preset": "modoboa", "credentials_file": "x"}, "begin with a slash"),
        ({"store": "ldap"}, "no store 'ldap'"),
        ({"store": "dovecot-ldap", "path": "/x"}, "can't be audited here"),
        ({"store": "dovecot-passwd-file"}, "needs the option path"),
        ({"store": "dovecot-passwd-file", "path": "users"}, "must begin with a slash"),
        ({"store": "dovecot-passwd-file", "path": ["/x"]}, "no text"),
        ({"store": "shadow", "query": "SELECT 1"}, "no option 'query'"),
        ({"store": "vpopmail"}, "needs the option path"),
        ({"store": "sql"}, "option database"),
        ({"store": "sql", "database": "oracle"}, "'oracle'"),
        ({"store": "sql", "database": "mysql"}, "one of the options preset and query"),
        ({"store": "sql", "database": "mysql", "preset": "x"}, "'x'"),
        (
            {"store": "sql", "database": "sqlite", "preset": "mailcow", "path": "/x"},
            "Mailcow keeps no accounts in sqlite",
        ),
        ({"store": "sql", "database": "sqlite", "preset": "modoboa"}, "SQLite's file"),
        ({"store": "sql", "database": "mysql", "preset": "modoboa", "path": "/x"}, "SQLite's file"),
        ({"store": "sql", "database": "mysql", "preset": "modoboa", "db_port": "x"}, "no port"),
        ({"store": "sql", "database": "mysql", "query": "DELETE FROM x"}, "'DELETE'"),
    ),
)
def test_a_wrong_declaration_ends_in_one_sentence(tmp_path, declaration, words):
    with pytest.raises(UserError) as raised:
        registry.open_store(FakeSystem(tmp_path), declaration)
    assert words in str(raised.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(("/x", "/a\0b", "mysql")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
OPTIONS = sorted({option for one in registry.STORES.values() for option in one.known})


@given(st.sampled_from(sorted(registry.STORES)) | ANYTHING, st.dictionaries(st.sampled_from(OPTIONS), ANYTHING))
def test_any_declaration_is_a_store_or_a_sentence(name, options):
    with tempfile.TemporaryDirectory() as root:
        try:
            opened = registry.open_store(FakeSystem(root), dict(options, store=name))
        except UserError:
            return
        assert all(isinstance(account, Account) for account in opened.accounts())


def test_numbers_are_words_where_they_make_sense(tmp_path):
    declared = {"store": "sql", "database": "mysql", "preset": "modoboa", "db_name": 5, "db_user": 6, "db_port": 7}
    connection = registry.open_store(FakeSystem(tmp_path), declared).connection()
    assert (connection.name, connection.user, connection.port) == ("5", "6", "7")


def test_facts_of_mail_host_are_a_declaration(tmp_path):
    write(tmp_path, "/etc/shadow", "")
    assert read(tmp_path, store="shadow", path="/etc/shadow", count=3) == ([], [])
    registry.open_store(FakeSystem(tmp_path), {"store": "dovecot-sql", "path": None, "count": None})


def test_problems_are_capped_and_counted():
    found = problems.Problems()
    for number in range(1, 1000001):
        found.add("/etc/users", "no colon", number)
    assert found.sentences() == ["/etc/users: no colon in 1,000,000 lines (1, 2, 3, 4, 5 and so on)."]
    for number in range(100):
        found.add("/etc/{0}".format(number), "no colon", 7)
        found.add("/etc/users", "a NUL byte")
    told = found.sentences()
    assert len(told) == problems.LIMIT + 1
    assert told[1] == "/etc/0: no colon in line 7." and told[-1].endswith("problems are not listed.")
    found.add("/etc/\x1b[31m", "x")
    assert "\x1b" not in " ".join(found.sentences())


@pytest.mark.parametrize(
    "stored, scheme, locked",
    (
        ("*", "CRYPT", True),
        ("!", "MD5", True),
        ("!!", "CRYPT", True),
        ("x", "CRYPT", True),
        ("!$6$x$y", "CRYPT", True),
        ("!", "PLAIN", False),
        ("x", "plain", False),
        ("*", "CLEAR.b64", False),
        ("{PLAIN}!", "CRYPT", False),
        ("$6$x$y", "CRYPT", False),
        ("", "CRYPT", False),
    ),
)
def test_what_locks_an_account(stored, scheme, locked):
    assert store.is_locked(stored, scheme) is locked


# --- names ---------------------------------------------------------------------------------------------------------


def test_names_in_whatever_encoding():
    def as_read(raw):
        return lines.readable_text(raw.decode("utf-8", "surrogateescape"))

    assert as_read("山田 太郎".encode("euc_jp")) == "山田 太郎"
    assert as_read("山田 太郎".encode("cp932")) == "山田 太郎"
    assert as_read("Müller".encode("latin-1")) == "Müller"
    assert as_read("Müller 山田".encode()) == "Müller 山田"


@given(st.binary())
def test_any_bytes_are_readable(raw):
    lines.readable_text(raw.decode("utf-8", "surrogateescape")).encode()


# --- Dovecot's passwd-file ------------------------------------------------------------------------------------

USERS = """\
# a comment
:no name

info@example.com:{PLAIN}spring:1000:1000:Hanako Yamada:/home/info::userdb_quota=1 allow_nets=10.0.0.0/8
plain:pass$word
old@example.com:5f4dcc3b5aa765d61d8327deb882cf99[34]
des@example.com:abcdefghijklm[13]
digest@example.com:0123456789abcdef0123456789abcdef[56]
bracket@example.com:{PLAIN}x[34]
crypt@example.com:$1$a$b[34]
off@example.com:{PLAIN}spring::::::nologin
off2@example.com:{PLAIN}spring::::::userdb_x=1 nologin=y
renamed@example.com:{PLAIN}spring::::::user=ceo@example.org
locked@example.com:*
nocolon
"""


def test_passwd_file_as_dovecot_reads_it(tmp_path):
    write(tmp_path, "/etc/dovecot/users", USERS)
    found, told = read(tmp_path, store="dovecot-passwd-file", path="/etc/dovecot/users")
    assert found[0] == (
        "info@example.com",
        "{PLAIN}spring",
        "CRYPT",
        "dovecot-passwd-file",
        ("Hanako Yamada",),
        None,
        True,
    )
    assert [account[1] for account in found[1:7]] == [
        "pass$word",
        "{PLAIN-MD5}5f4dcc3b5aa765d61d8327deb882cf99",
        "{CRYPT}abcdefghijklm",
        "{DIGEST-MD5}0123456789abcdef0123456789abcdef",
        "{PLAIN}x[34]",
        "$1$a$b[34]",
    ]
    # Dovecot lets nologin in, as Postfix's authenticator: only a reader of mail is sent away.
    assert [account[0] for account in found if not account[6]] == ["locked@example.com"]
    assert told == [
        "/etc/dovecot/users: an extra field user=, username= or domain=, so who is meant sends under another name, and "
        "no block holds, in line 13.",
        "/etc/dovecot/users: no colon in line 15.",
    ]


@pytest.mark.parametrize(
    "path, files, names",
    (
        ("/m/%d/users", {"/m/a.example/users": "info"}, ["info@a.example"]),
        ("/m/%d/users", {"/m/a.example/users": "info@A.example"}, ["info@A.example"]),
        ("/m/%d/users", {"/m/a.example/users": "ceo@b.example"}, []),
        ("/m/%d/users", {"/m/a.example/users": "x@a.example@a.example"}, []),
        ("/m/%d/%n", {"/m/a.example/info": "ceo"}, []),
        ("/m/%d/%n", {"/m/a.example/info": "info@a.example"}, ["info@a.example"]),
        ("/m/%u", {"/m/info@a.example": "ceo"}, []),
        ("/m/%n", {"/m/info": "info@b.example", "/m/x": "info@b.example"}, ["info@b.example"]),
        (
            "/m/%{user | domain}/users",
            {"/m/a.example/users": "x", "/m/b.example/users": "y"},
            ["x@a.example", "y@b.example"],
        ),
        ("/m/%{user|domain|lower}/u", {"/m/a.example/u": "x"}, ["x@a.example"]),
        ("/m/%Ld/%1d/%d.pw", {"/m/a.example/a/a.example.pw": "x"}, ["x@a.example"]),
        # Of a hash, or a part of a name, nothing is known; of another filter neither.
        (
            "/m/%2.256Nd/%d/passwd",
            {"/m/3f/a.example/passwd": "x", "/m/3f/b.example/passwd": "x@a.example"},
            ["x@a.example"],
        ),
        ("/m/%1Mu", {"/m/4": "info@a.example"}, ["info@a.example"]),
        ("/m/%{user | md5 | substr(0, 2)}", {"/m/4f": "info@a.example"}, ["info@a.example"]),
        ("/m/%{H:user}", {"/m/4f": "info@a.example"}, ["info@a.example"]),
        ("/m/%d/%d.pw", {"/m/a.example/a.example.pw": "x", "/m/a.example/b.example.pw": "y"}, ["x@a.example"]),
        ("/m/%d/%n", {"/m/a.example/info": "info"}, ["info@a.example"]),
        ("/m/%u", {"/m/info@a.example": "info"}, ["info@a.example"]),
        ("/m/users", {"/m/users": "info"}, ["info"]),
        ("/m/*.pw", {"/m/a.pw": "a", "/m/b.pw": "b"}, ["a", "b"]),
        ("/m/100%%/users", {"/m/100%/users": "a"}, ["a"]),
        ("/m/%{domain}", {"/m/a.example": "x"}, ["x@a.example"]),
        ("/m/%s/users", {"/m/imap/users": "x"}, ["x"]),
    ),
)
def test_the_domain_comes_from_the_path(tmp_path, path, files, names):
    for file, name in files.items():
        write(tmp_path, file, name + ":{PLAIN}x\n")
    found, _told = read(tmp_path, store="dovecot-passwd-file", path=path)
    assert [account[0] for account in found] == names


def test_a_path_without_files_is_a_problem(tmp_path):
    assert read(tmp_path, store="dovecot-passwd-file", path="/m/%d/users") == (
        [],
        ["/m/%d/users: there is no such file."],
    )


DOVECONF_23 = """\
passdb {
  args = scheme=SHA256 username_format=%u /etc/users
  driver = passwd-file
}
"""
DOVECONF_24 = """\
passdb_default_password_scheme = MD5
passdb passwd-file {
  default_password_scheme = SHA512
  passwd_file_path = /etc/users
}
"""


@pytest.mark.parametrize(
    "commands, declared, scheme",
    (
        ({"doveconf -n": DOVECONF_23}, {}, "SHA256"),
        ({"doveconf -n": DOVECONF_24}, {}, "SHA512"),
        ({"doveconf -n": DOVECONF_24.replace("  default_password_scheme = SHA512\n", "")}, {}, "MD5"),
        ({"doveconf -n": DOVECONF_24}, {"default_scheme": "PLAIN"}, "PLAIN"),
        (
            {"doveconf -n": DOVECONF_23.replace("/etc/users", "/etc/others") + DOVECONF_23.replace("256", "1")},
            {},
            "SHA1",
        ),
        ({"doveconf -n": "passdb {\n  driver = pam\n}\n"}, {}, "CRYPT"),
        ({}, {}, "CRYPT"),
    ),
)
def test_the_scheme_of_passwords_that_name_none(tmp_path, commands, declared, scheme):
    write(tmp_path, "/etc/users", "a@example.com:x!\n")
    found, _told = read(tmp_path, commands, store="dovecot-passwd-file", path="/etc/users", **declared)
    assert found[0][2] == scheme


@given(st.text())
def test_any_line_of_a_passwd_file(line):
    account = passwd_file.account_of(line, "CRYPT", "@example.com")
    assert (account is None) == (":" not in line)


@given(st.text(min_size=1), st.text())
def test_any_pattern_of_paths(pattern, path):
    found = passwd_file.PathPattern("/" + pattern).user("/" + path)
    assert found is None or isinstance(found, str)


def test_a_million_lines_without_a_colon_are_one_problem(tmp_path):
    write(tmp_path, "/etc/users", b"no colon here\n" * 100000 + b"a@example.com:b\n")
    found, told = read(tmp_path, store="dovecot-passwd-file", path="/etc/users")
    assert [account[0] for account in found] == ["a@example.com"]
    assert told == ["/etc/users: no colon in 100,000 lines (1, 2, 3, 4, 5 and so on)."]


def test_many_accounts_are_read_in_constant_memory(tmp_path):
    opened = registry.open_store(FakeSystem(tmp_path), {"store": "dovecot-passwd-file", "path": "/etc/users"})
    peaks = []
    for many in (1000, 20000):
        lines_of = ("user{0}@example.com:{1}\n".format(number, SHA512) for number in range(many))
        write(tmp_path, "/etc/users", "".join(lines_of))
        tracemalloc.start()
        assert sum(1 for _account in opened.accounts()) == many
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The file of the second is two megabytes longer.
    assert peaks[1] < peaks[0] + 100000


# --- shadow -----------------------------------------------------------------------------------------------------


def test_shadow_has_those_who_can_log_in(tmp_path):
    write(
        tmp_path,
        "/etc/shadow",
        "root:*:19000:0:99999:7:::\ndaemon:!!:19000::::::\ninfo:{0}:19755:0:99999:7:::\nlocked:!{0}:1::::::\nempty::19755::::::\n"
        "must:{0}:0::::::\nexpired:{0}:19000::::10:1:\nodd:{0}:\udc80:::::\nshort:{0}\n+nis::::::::\nnocolon\n:x:\n".format(
            SHA512
        ).encode("utf-8", "surrogateescape"),
    )
    write(
        tmp_path,
        "/etc/passwd",
        "info:x:1000:1000:Hanako Yamada,Room 1,,:/home/info:/bin/bash\nempty:x:1:1::/:/bin/sh\n",
    )
    found, told = read(tmp_path, store="shadow")
    assert found[0] == ("info", SHA512, "CRYPT", "shadow", ("Hanako Yamada",), 19755, True)
    assert {account[0]: account[5:] for account in found} == {
        "info": (19755, True),
        "empty": (19755, True),
        "must": (None, True),
        "expired": (19000, False),
        "odd": (None, True),
        "short": (None, True),
    }
    assert told == ["/etc/shadow: no colon in line 11.", "/etc/shadow: no name in line 12."]


# --- vpopmail ---------------------------------------------------------------------------------------------------


def test_vpasswd_with_and_without_clear_text(tmp_path):
    domains = "/home/vpopmail/domains"
    write(
        tmp_path,
        domains + "/example.com/vpasswd",
        "info:$1$a$b:1:0:Hanako:/x:NOQUOTA:cl:ear\nold:$1$a$c:1:0:old:/x:NOQUOTA\n",
    )
    write(
        tmp_path,
        domains + "/0/example.net/vpasswd",
        "off:$1$a$b:1:2062:off:/x:NOQUOTA\nnopop:$1$a$b:1:2:x:/x:NOQUOTA:\nbad\n",
    )
    found, told = read(tmp_path, store="vpopmail", path=domains)
    assert found == [
        ("info@example.com", "{PLAIN}cl:ear", "CRYPT", "vpopmail", ("Hanako",), None, True),
        ("old@example.com", "$1$a$c", "CRYPT", "vpopmail", (), None, True),
        ("off@example.net", "$1$a$b", "CRYPT", "vpopmail", (), None, False),
        ("nopop@example.net", "$1$a$b", "CRYPT", "vpopmail", ("x",), None, True),
    ]
    assert told == [domains + "/0/example.net/vpasswd: no name and password in line 3."]
    one, _told = read(tmp_path, store="vpopmail", path=domains + "/example.com/vpasswd")
    assert one == found[:2]
    assert read(tmp_path, store="vpopmail", path="/nothing")[1] == ["/nothing: there is no file vpasswd."]


@given(st.text())
def test_any_line_of_vpasswd(line):
    vpopmail.account_of(line, "example.com")


# --- panels -----------------------------------------------------------------------------------------------------


def test_cpanel_and_directadmin(tmp_path):
    cpanel(tmp_path, example_com="alpha", alias_example="alpha")
    path = "/home/alpha/etc/example.com/shadow"
    panel_file(tmp_path, path, "info:{0}:19755::::::\noff:!{0}:0::::::\nbad\n".format(SHA512), "alpha")
    os.symlink("example.com", str(tmp_path / "home/alpha/etc/alias.example"))
    found, told = read(tmp_path, store="cpanel")
    assert found == [
        ("info@example.com", SHA512, "CRYPT", "cpanel", ("alpha",), 19755, True),
        ("off@example.com", "!" + SHA512, "CRYPT", "cpanel", ("alpha",), None, False),
    ]
    assert told == [path + ": no name and password in line 3."]
    directadmin(tmp_path, "example.net")
    rows = "info:{0}\nwhole@example.net:{0}:x\n".format(SHA512)
    panel_file(tmp_path, "/etc/virtual/example.net/passwd", rows, "mail")
    found, told = read(tmp_path, store="directadmin", path="/etc/virtual/*/passwd", count=2)
    assert [account[:2] for account in found] == [("info@example.net", SHA512), ("whole@example.net", SHA512)]
    assert told == []


# --- Plesk ------------------------------------------------------------------------------------------------------

VIEW = """\
+----------------------+-----+---------------+
|       address        |flags|   password    |
+----------------------+-----+---------------+
|    bob@example.com   |     |     hello     |
|    bar@example.com   |     |     a|b | c|  |
|    off@example.com   | A   |     hello     |
|    dom@example.com   |  D  |     hello     |
|    enc@example.com   |   E |  $1$abc$def   |
| something else       |
+----------------------+-----+---------------+
Flags: A - account disabled, D - domain disabled, E - password encrypted
"""


def test_plesks_own_view(tmp_path):
    write(tmp_path, "/etc/psa/psa.conf", "PRODUCT_ROOT_D /opt/psa\n")
    write(tmp_path, "/opt/psa/admin/bin/mail_auth_view", "")
    found, told = read(
        tmp_path, {"env /opt/psa/admin/bin/mail_auth_view": VIEW}, store="plesk", path="/var/qmail/mailnames", count=5
    )
    assert [(account[0], account[1], account[2], account[6]) for account in found] == [
        ("bob@example.com", "{PLAIN}hello", "PLAIN", True),
        ("bar@example.com", "{PLAIN}a|b | c|", "PLAIN", True),
        ("off@example.com", "{PLAIN}hello", "PLAIN", False),
        ("dom@example.com", "{PLAIN}hello", "PLAIN", False),
        ("enc@example.com", "$1$abc$def", "CRYPT", True),
    ]
    assert told == ["/opt/psa/admin/bin/mail_auth_view: no address and password in line 9."]


@given(st.text())
def test_any_line_of_plesks_view(line):
    plesk.account_in_view("|" + line)


# Made with `openssl enc -aes-128-cbc -nopad`: key 16 bytes "0123456789abcdef", the text padded with NULs.
KEY = b"0123456789abcdef"
SYMMETRIC = "$AES-128-CBC$AAECAwQFBgcICQoLDA0ODw==$ifjwDQuhaHat5j5SUt2QAN5vmQHhk2P8chSqxMCG1Qk="


# What `plesk db` answers to the question for columns.
COLUMNS = "mail\tmail_name\nmail\tpostbox\ndomains\tstatus\n"


def plesks_database(rows, columns=COLUMNS):
    """`plesk db`, which notes the questions."""
    asked = []

    def answer(argv, _stdin):
        asked.append(argv[-1])
        return columns if "information_schema" in argv[-1] else rows

    return asked, {"plesk db": answer}


def test_plesks_tables_with_all_types(tmp_path):
    write(tmp_path, "/etc/psa/private/secret_key", KEY)
    rows = (
        "bob\texample.com\tplain\ta\\tb\\\\c|d\t1\nenc\texample.com\tcrypt\t$1$a$b\t0\n"
        "sym\texample.com\tsym\t{0}\t1\nbad\nno\texample.com\tsym\tx\t1\n"
    )
    asked, commands = plesks_database(rows.format(SYMMETRIC))
    found, told = read(tmp_path, commands, store="plesk")
    assert [(account[0], account[1], account[2], account[6]) for account in found] == [
        ("bob@example.com", "{PLAIN}a\tb\\c|d", "PLAIN", True),
        ("enc@example.com", "$1$a$b", "CRYPT", False),
        ("sym@example.com", "{PLAIN}spring2024 日本", "PLAIN", True),
    ]
    assert len(told) == 2 and "line 4" in told[0] and "line 5" in told[1]
    assert "d.status = 0 AND m.postbox = 'true'" in asked[1]
    asked, commands = plesks_database("", "mail\tmail_name\n")
    assert read(tmp_path, commands, store="plesk") == ([], []) and "postbox" not in asked[1]


def test_a_wrong_key_is_a_problem(tmp_path):
    write(tmp_path, "/etc/psa/private/secret_key", b"another key")
    _asked, commands = plesks_database("sym\texample.com\tsym\t{0}\t1\n".format(SYMMETRIC))
    found, told = read(tmp_path, commands, store="plesk")
    assert found == [] and len(told) == 1
    _asked, commands = plesks_database(Completed(1, "", "ERROR"))
    assert read(tmp_path, commands, store="plesk") == ([], ["Plesk's database: can't be asked (exited with 1)."])


def test_old_plesks_database_is_asked_as_its_administrator(tmp_path):
    write(tmp_path, "/etc/psa/.psa.shadow", "s3cret\n")
    options = []

    def answer(argv, _stdin):
        with open(str(tmp_path) + "/run/harden-mail/passwords/client.cnf", encoding="utf-8") as handle:
            options.append(handle.read())
        assert "s3cret" not in " ".join(argv) and "--database=psa" in argv
        return "" if len(options) == 1 else "bob\texample.com\tplain\tx\t1\n"

    found, told = read(tmp_path, {"sh": answer}, store="plesk")
    assert [account[:2] for account in found] == [("bob@example.com", "{PLAIN}x")] and not told
    assert options[0] == '[client]\nuser="admin"\npassword="s3cret"\n'


@given(st.text(), st.binary(min_size=16, max_size=16))
def test_any_text_for_a_symmetric_password(text, key):
    assert plesk.decrypted(text, key) is None
    plesk.decrypted("$AES-128-CBC$" + text, key)


# --- all of them ------------------------------------------------------------------------------------------------

FILE_STORES = (
    ("dovecot-passwd-file", {"path": "/etc/users"}, "/etc/users"),
    ("shadow", {}, "/etc/shadow"),
    ("vpopmail", {"path": "/d"}, "/d/example.com/vpasswd"),
    ("vpopmail", {"path": "/v/vpopmail.mysql"}, "/v/vpopmail.mysql"),
    ("cpanel", {}, "/home/alpha/etc/example.com/shadow"),
    ("directadmin", {}, "/etc/virtual/example.com/passwd"),
    ("sasldb", {}, "/etc/sasldb2"),
    ("dovecot-sql", {"path": "/etc/dovecot-sql.conf.ext"}, "/etc/dovecot-sql.conf.ext"),
)


def panels(root):
    """A host with all panels, on which all files are root's."""
    cpanel(root, example_com="alpha")
    directadmin(root, "example.com")


@pytest.mark.parametrize("name, options, path", FILE_STORES)
@settings(max_examples=60)
@given(content=st.binary(max_size=300))
def test_any_content_is_accounts_or_problems(name, options, path, content):
    with tempfile.TemporaryDirectory() as root:
        panels(root)
        write(root, path, content)
        for account in registry.open_store(FakeSystem(root), dict(options, store=name)).accounts():
            assert isinstance(account, Account) and isinstance(account.stored, str)


@pytest.mark.parametrize("name, options, path", FILE_STORES)
@pytest.mark.parametrize("kind", ("fifo", "directory", "dangling", "loop", "empty", "binary"))
def test_whatever_lies_in_the_place_of_a_file(tmp_path, name, options, path, kind):
    real = str(tmp_path) + path
    panels(tmp_path)
    os.makedirs(os.path.dirname(real), exist_ok=True)
    if kind == "fifo":
        os.mkfifo(real)
    elif kind == "directory":
        os.mkdir(real)
    elif kind in ("dangling", "loop"):
        os.symlink("nowhere" if kind == "dangling" else os.path.basename(real), real)
    else:
        write(tmp_path, path, bytes(random.Random(7).randrange(256) for _ in range(5000)) if kind == "binary" else b"")
    opened = registry.open_store(FakeSystem(tmp_path), dict(options, store=name))
    accounts = list(opened.accounts())
    # An empty file of lines has no accounts, and that is all there is to say.
    assert opened.problems or accounts or kind == "empty"
    assert not accounts or kind == "binary"


def test_a_day_is_a_number_of_few_digits():
    assert [shadow.day(text) for text in ("19755", "", "-1", "٣", "12345678", "1 ")] == [19755] + [None] * 5
