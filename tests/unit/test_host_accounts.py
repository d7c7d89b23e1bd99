"""Discovery of account stores: what is found where, and what a hostile or broken host does to it."""

import os
import re

import pytest
from fake_system import FakeSystem
from harden_mail.host import accounts, mta, passdbs
from harden_mail.passwords.stores.registry import OUT_OF_REACH, open_store
from hypothesis import given
from hypothesis import strategies as st
from panel_hosts import directadmin, passwd
from panel_hosts import write as panel_file

NO_PANEL = {"name": None, "version": None, "root": None}
DOVECOT = {"name": "dovecot", "version": "2.4.1", "config_dir": "/etc/dovecot"}
COURIER = {"name": "courier", "version": None, "config_dir": "/etc/courier"}


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
    # This host has no /etc/shadow.
    assert sorted(evidence) == ["0", "1", "1.count"]


def test_vpopmails_places_are_those_of_its_user(tmp_path):
    passwd(tmp_path, "alpha")
    # Whoever's home that is: without that user there is no vpopmail.
    panel_file(tmp_path, "/home/vpopmail/domains/example.com/vpasswd", "a:b:1:0:a:/x:NOQUOTA\n", "vpopmail")
    panel_file(tmp_path, "/home/vpopmail/etc/vpopmail.mysql", "", "vpopmail")
    assert [entry["store"] for entry in find(tmp_path)[0]] == ["shadow"]
    passwd(tmp_path)
    assert find(tmp_path)[0] == [{"store": "vpopmail", "path": "/home/vpopmail/domains", "count": 1}]
    os.remove(str(tmp_path / "home/vpopmail/domains/example.com/vpasswd"))
    assert find(tmp_path)[0] == [{"store": "vpopmail", "path": "/home/vpopmail/etc/vpopmail.mysql", "count": None}]


SASL = """\
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = {0}
smtpd_sasl_path = smtpd
cyrus_sasl_config_path =
"""
POSTFIX = dict(mta.nothing(), name="postfix", config_dir="/etc/postfix")


def sasldb(root, kind="cyrus", services="", **files):
    panel_file(root, "/etc/sasldb2")
    for path, text in files.items():
        panel_file(root, path, text, mode=0o644)
    commands = {"postconf": SASL.format(kind), "postconf -c /etc/postfix -P": services}
    found, evidence = accounts.find_accounts(FakeSystem(root, commands), POSTFIX, COURIER, NO_PANEL)
    return [entry["path"] for entry in found if entry["store"] == "sasldb"], evidence["0"]


@pytest.mark.parametrize(
    "text, is_asked",
    (
        ("", True),
        ("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n", True),
        ("#pwcheck_method: saslauthd\n", True),
        ("PWCHECK_METHOD: saslauthd auxprop\n", True),
        ("pwcheck_method: saslauthd\n", False),
        ("pwcheck_method: authdaemond\nauthdaemond_path: /x\n", False),
        ("auxprop_plugin: sql\n", False),
        ("auxprop_plugin: sql sasldb\n", True),
    ),
)
def test_sasldb_counts_where_sasl_asks_it(tmp_path, text, is_asked):
    found, how = sasldb(tmp_path, **{"/etc/postfix/sasl/smtpd.conf": text})
    assert found == (["/etc/sasldb2"] if is_asked else [])
    assert not is_asked or how == "/etc/postfix/sasl/smtpd.conf"
    # With Dovecot's SASL nobody asks it, but one service may have another.
    assert sasldb(tmp_path, "dovecot")[0] == []
    assert sasldb(tmp_path, "dovecot", "smtps/inet/smtpd_sasl_type = cyrus\n")[0] == found


def test_sasldb_of_saslauthd_of_another_path_and_without_settings(tmp_path):
    assert sasldb(tmp_path) == (["/etc/sasldb2"], "smtpd_sasl_type = cyrus, and there is no smtpd.conf")
    by_daemon = {"/etc/sasl2/smtpd.conf": "pwcheck_method: saslauthd\n"}
    assert sasldb(tmp_path, **dict(by_daemon, **{"/etc/default/saslauthd": 'MECHANISMS="pam"\n'}))[0] == []
    assert sasldb(tmp_path, **dict(by_daemon, **{"/etc/sysconfig/saslauthd": "MECH=sasldb\n"}))[0] == ["/etc/sasldb2"]
    panel_file(tmp_path, "/srv/sasldb")
    other = {"/etc/postfix/sasl/smtpd.conf": "sasldb_path: /srv/sasldb\n"}
    assert sasldb(tmp_path, **other)[0] == ["/srv/sasldb"]
    assert find(tmp_path)[0][0]["store"] == "shadow"


def test_counting_waits_for_nothing_and_says_what_it_could_not_count(tmp_path):
    for name, content in (("a", "a:b\n#c:d\nno colon\n"), ("b", None)):
        os.makedirs(str(tmp_path / "m" / name))
        if content:
            panel_file(tmp_path, "/m/{0}/users".format(name), content)
        else:
            os.mkfifo(str(tmp_path / "m" / name / "users"))
    text = "passdb {\n  args = /m/%d/users\n  driver = passwd-file\n}\n"
    found, evidence = find(tmp_path, DOVECOT, **{"doveconf -n": text})
    assert found == [{"store": "dovecot-passwd-file", "path": "/m/%d/users", "count": None}]
    assert evidence["0.count"] == "not known, 1 were counted: /m/b/users is no plain file, so it is not read"
    os.remove(str(tmp_path / "m/b/users"))
    assert find(tmp_path, DOVECOT, **{"doveconf -n": text})[0][0]["count"] == 1


@pytest.mark.parametrize("bound", (accounts.COUNTED._replace(lines=3), accounts.COUNTED._replace(seconds=0)))
def test_counting_has_a_bound_on_all_files_together(tmp_path, monkeypatch, bound):
    for name in ("a", "b", "c", "d", "e"):
        panel_file(tmp_path, "/m/{0}/users".format(name), "a:b\nc:d\n")
    monkeypatch.setattr(accounts, "COUNTED", bound)
    text = "passdb {\n  args = /m/%d/users\n  driver = passwd-file\n}\n"
    found, evidence = find(tmp_path, DOVECOT, **{"doveconf -n": text})
    assert found[0]["count"] is None and evidence["0.count"].startswith("not known, ")
    # What comes after is not even opened: there is no more to say than of the file that was cut, and the next one.
    more = re.search(r" and (\d+) more\Z", evidence["0.count"])
    assert more is None or more.group(1) == "1"


def test_whatever_is_found_can_be_opened_or_is_named(tmp_path):
    directadmin(tmp_path, "example.com")
    panel_file(tmp_path, "/etc/virtual/example.com/passwd", "a:b\n", "mail")
    panel_file(tmp_path, "/home/vpopmail/domains/example.com/vpasswd", "a:b\n", "vpopmail")
    panel_file(tmp_path, "/etc/users", "a:b\n")
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
