"""Discovery of account stores: what is found where, and what a hostile or broken host does to it."""

import os

from fake_system import FakeSystem
from harden_mail.host import accounts, mta, passdbs
from harden_mail.passwords.stores.registry import OUT_OF_REACH, open_store
from hypothesis import given
from hypothesis import strategies as st

NO_PANEL = {"name": None, "version": None, "root": None}
DOVECOT = {"name": "dovecot", "version": "2.4.1", "config_dir": "/etc/dovecot"}
COURIER = {"name": "courier", "version": None, "config_dir": "/etc/courier"}


def write(root, path, text):
    path = str(root) + path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)


def find(root, pop=COURIER, **commands):
    return accounts.find_accounts(FakeSystem(root, commands), mta.nothing(), pop, NO_PANEL)


TWO_SQL = """\
passdb sql {
  query = SELECT password FROM a WHERE b = '%{user}'
}
passdb second {
  driver = sql
  sql_query = SELECT password FROM c WHERE d = '%{user}'
}
passdb pam {
}
passdb third {
  driver = passwd
}
"""


def test_a_store_that_dovecot_asks_twice_is_one(tmp_path):
    found, evidence = find(tmp_path, DOVECOT, **{"doveconf -n": TWO_SQL})
    assert [(entry["store"], entry["path"]) for entry in found] == [("dovecot-sql", None), ("shadow", "/etc/shadow")]
    assert sorted(evidence) == ["0", "1"]


def test_saslauthds_and_vpopmails_places(tmp_path):
    write(tmp_path, "/etc/sasl2/sasldb2", "")
    write(tmp_path, "/home/vpopmail/etc/vpopmail.mysql", "")
    found, _evidence = find(tmp_path)
    assert [(entry["store"], entry["path"], entry["count"]) for entry in found] == [
        ("vpopmail", "/home/vpopmail/etc/vpopmail.mysql", None),
        ("sasldb", "/etc/sasl2/sasldb2", None),
    ]
    write(tmp_path, "/home/vpopmail/domains/example.com/vpasswd", "a:b:1:0:a:/x:NOQUOTA\n")
    assert find(tmp_path)[0][0] == {"store": "vpopmail", "path": "/home/vpopmail/domains", "count": 1}


def test_counting_waits_for_nothing(tmp_path):
    os.makedirs(str(tmp_path / "home/evil/etc/example.com"))
    os.mkfifo(str(tmp_path / "home/evil/etc/example.com/shadow"))
    write(tmp_path, "/home/good/etc/example.net/shadow", "a:b:1::::::\n#c:d\nno colon\n")
    found, _evidence = find(tmp_path)
    assert found == [{"store": "cpanel", "path": "/home/*/etc/*/shadow", "count": 1}]


def test_whatever_is_found_can_be_opened_or_is_named(tmp_path):
    write(tmp_path, "/etc/sasldb2", "")
    write(tmp_path, "/etc/virtual/example.com/passwd", "a:b\n")
    write(tmp_path, "/home/vpopmail/domains/example.com/vpasswd", "a:b\n")
    write(tmp_path, "/etc/users", "a:b\n")
    text = TWO_SQL + "passdb passwd-file {\n passwd_file_path = /etc/users\n}\npassdb ldap {\n}\npassdb static {\n}\n"
    found, _evidence = find(tmp_path, DOVECOT, **{"doveconf -n": text})
    stores = [entry["store"] for entry in found]
    assert stores == [
        "dovecot-sql",
        "shadow",
        "dovecot-passwd-file",
        "dovecot-ldap",
        "dovecot-static",
        "vpopmail",
        "directadmin",
        "sasldb",
    ]
    for entry in found:
        if entry["store"] not in OUT_OF_REACH:
            open_store(FakeSystem(tmp_path), entry)


# --- doveconf -------------------------------------------------------------------------------------------------


def test_values_in_quotes_and_nested_blocks():
    text = 'a = "x\\\\y \\"z\\""\nb = \'c\'\nd = "\nouter "with blanks" {\n  e = 1\n  inner {\n    f = g = h\n  }\n}\n'
    text += "}\ni = j\n"
    found = passdbs.Configuration(text)
    assert found.settings == {"a": 'x\\y "z"', "b": "c", "d": '"', "i": "j"}
    (block,) = found.blocks
    assert block.name == "with blanks" and block.settings == {"e": "1"} and block.blocks[0].settings == {"f": "g = h"}


@given(st.text())
def test_any_value_in_quotes(text):
    quoted = '"{0}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
    assert passdbs.unquoted(quoted) == text


def test_quotes_that_are_no_pair_stay():
    assert [passdbs.unquoted(text) for text in ("\"a'", '"', "'a", "a'")] == ["\"a'", '"', "'a", "a'"]
