"""Files of accounts that others can write: what Dovecot would not take from them, and where no safe way leads."""

import os

import pytest
from fake_system import FakeSystem
from harden_mail.passwords.stores import passwd_file, registry
from harden_mail.untrusted import Limits
from panel_hosts import ROOT, UIDS, give, passwd, write

# Only root can have files of several owners.
of_others = pytest.mark.parametrize("is_root", [True] if ROOT else [])


def read(root, commands=None, **declared):
    opened = registry.open_store(FakeSystem(root, commands), declared)
    return [account.name for account in opened.accounts()], opened


# --- passwd-file -------------------------------------------------------------------------------------------------

# `doveadm auth test` of 2.3.19 and 2.4.1 took exactly these of a file that has them all.
ROWS = "info:{PLAIN}a\nfull@a.example:{PLAIN}b\nceo@b.example:{PLAIN}c\n"
OLD = "passdb {{\n  args = {0}/home/%d/passwd\n  driver = passwd-file\n}}\n"
NEW = "passdb mine {{\n  driver = passwd-file\n  {0}\n  passwd_file_path = /home/%{{user | domain}}/passwd\n}}\n"
FULL, LOCAL = ["full@a.example"], ["info@a.example"]


@pytest.mark.parametrize(
    "doveconf, path, names",
    (
        (OLD.format(""), "/home/%d/passwd", FULL),
        (OLD.format("username_format=%u "), "/home/%d/passwd", FULL),
        (OLD.format("username_format=%Ln "), "/home/%d/passwd", LOCAL),
        (NEW.format(""), "/home/%{user | domain}/passwd", FULL),
        (NEW.format("auth_username_format = %{user | username}"), "/home/%{user | domain}/passwd", LOCAL),
        # Asked twice, or in a way that is not understood: all that could be meant.
        (OLD.format("") + OLD.format("username_format=%n "), "/home/%d/passwd", LOCAL + FULL),
        (OLD.format("username_format=%n-x "), "/home/%d/passwd", LOCAL + FULL),
        ("", "/home/%d/passwd", LOCAL + FULL),
    ),
)
def test_rows_count_that_dovecot_would_look_for(tmp_path, doveconf, path, names):
    write(tmp_path, "/home/a.example/passwd", ROWS)
    found, opened = read(tmp_path, {"doveconf -n": doveconf}, store="dovecot-passwd-file", path=path)
    assert found == names
    (said,) = opened.problems
    assert said.startswith("/home/a.example/passwd: a name that Dovecot would not look for there, which is ignored, in")
    assert opened.unread == set() and opened.knows_sources


def test_without_a_domain_in_the_path_every_domain_is_meant(tmp_path):
    write(tmp_path, "/etc/users", ROWS)
    doveconf = "passdb {\n  args = username_format=%u /etc/users\n  driver = passwd-file\n}\n"
    found, opened = read(tmp_path, {"doveconf -n": doveconf}, store="dovecot-passwd-file", path="/etc/users")
    assert found == ["info", "full@a.example", "ceo@b.example"] and opened.problems == []


@of_others
@pytest.mark.parametrize("kind", ("file", "directory", "fifo"))
def test_a_customers_link_in_place_of_a_passwd_file(tmp_path, kind, is_root):
    assert is_root
    passwd(tmp_path)
    write(tmp_path, "/etc/shadow", "root:$6$x$y:1::\n", mode=0o600)
    write(tmp_path, "/home/b.example/passwd", "info:{PLAIN}a\n")
    write(tmp_path, "/home/alpha/passwd", "info:{PLAIN}a\n", "alpha")
    path = str(tmp_path / "home/alpha/passwd")
    os.remove(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "file":
        os.symlink("/etc/shadow", path)
    else:
        os.rmdir(str(tmp_path / "home/alpha"))
        # A link that the customer made beside the other homes, as where /home is open to all.
        os.symlink("../etc", str(tmp_path / "home/alpha"))
    os.chown(path if kind != "directory" else str(tmp_path / "home/alpha"), UIDS["alpha"], 0, follow_symlinks=False)
    found, opened = read(tmp_path, store="dovecot-passwd-file", path="/home/%d/passwd")
    assert found == ["info@b.example"] and opened.unread == {"/home/alpha/passwd"} and opened.knows_sources


@of_others
@pytest.mark.parametrize("target", ("shop.example", "/etc/virtual/shop.example/"))
def test_a_domains_other_name_is_a_domain(tmp_path, target, is_root):
    assert is_root
    passwd(tmp_path)
    write(tmp_path, "/etc/virtual/shop.example/passwd", "info:{PLAIN}a\n", "mail")
    write(tmp_path, "/etc/elsewhere/passwd", "info:{PLAIN}a\n")
    for link, leads in (("pointer.example", target), ("up.example", ".."), ("evil.example", "../elsewhere")):
        os.symlink(leads, str(tmp_path / "etc/virtual" / link))
        give(tmp_path, "/etc/virtual/" + link, "mail")
    found, opened = read(tmp_path, store="dovecot-passwd-file", path="/etc/virtual/%d/passwd")
    # Dovecot takes both names.
    assert found == ["info@pointer.example", "info@shop.example"]
    assert opened.unread == {"/etc/virtual/{0}.example/passwd".format(name) for name in ("up", "evil")}
    assert opened.knows_sources


@of_others
def test_roots_own_links_are_followed(tmp_path, is_root):
    assert is_root
    write(tmp_path, "/srv/mail/users", "info@a.example:{PLAIN}a\n")
    os.makedirs(str(tmp_path / "etc/dovecot"))
    os.symlink("/srv/mail/users", str(tmp_path / "etc/dovecot/users"))
    assert read(tmp_path, store="dovecot-passwd-file", path="/etc/dovecot/users")[0] == ["info@a.example"]


@of_others
def test_a_customers_file_has_a_bound_and_the_mail_systems_a_wider_one(tmp_path, monkeypatch, is_root):
    assert is_root
    passwd(tmp_path)
    monkeypatch.setattr(passwd_file, "OF_A_CUSTOMER", Limits(4096, 3, 60))
    rows = "".join("u{0}:{{PLAIN}}a\n".format(number) for number in range(5))
    for domain, owner in (("alpha", "alpha"), ("c.example", "mail"), ("b.example", None)):
        write(tmp_path, "/home/{0}/passwd".format(domain), rows)
        if owner:
            os.chown(str(tmp_path / "home" / domain), UIDS[owner], 0)
            os.chown(str(tmp_path / "home" / domain / "passwd"), UIDS[owner], 0)
    found, opened = read(tmp_path, store="dovecot-passwd-file", path="/home/%d/passwd")
    assert len(found) == 13 and opened.unread == {"/home/alpha/passwd"}
    assert opened.writers == {"/home/alpha/passwd": "user {0}".format(UIDS["alpha"])}


# --- vpopmail ----------------------------------------------------------------------------------------------------


@of_others
def test_vpopmails_files_belong_to_its_user(tmp_path, is_root):
    assert is_root
    passwd(tmp_path)
    for domain in ("a.example", "b.example"):
        write(tmp_path, "/home/vpopmail/domains/{0}/vpasswd".format(domain), "info:$1$a$b\n", "vpopmail")
    path = "/home/vpopmail/domains/b.example/vpasswd"
    os.remove(str(tmp_path) + path)
    write(tmp_path, "/home/beta/vpasswd", "ceo:$1$a$b\n")
    os.symlink("/home/beta/vpasswd", str(tmp_path) + path)
    give(tmp_path, path, "vpopmail")
    found, opened = read(tmp_path, store="vpopmail", path="/home/vpopmail/domains")
    assert found == ["info@a.example"] and opened.unread == {path} and opened.knows_sources
    os.remove(str(tmp_path) + path)
    write(tmp_path, path, "ceo:$1$a$b\n")
    # Where the directories are root's, the way there is safe, and the file is not vpopmail's all the same.
    for place in ("/home/vpopmail", "/home/vpopmail/domains", os.path.dirname(path)):
        os.chown(str(tmp_path) + place, 0, 0)
    os.chown(str(tmp_path) + path, UIDS["beta"], 0)
    found, opened = read(tmp_path, store="vpopmail", path="/home/vpopmail/domains")
    assert found == ["info@a.example"] and "belongs to" in opened.problems[0]


def test_a_name_with_a_domain_of_its_own_is_none_of_vpopmails(tmp_path):
    write(tmp_path, "/home/vpopmail/domains/a.example/vpasswd", "ceo@b.example:$1$a$b\ninfo:$1$a$b\n")
    found, opened = read(tmp_path, store="vpopmail", path="/home/vpopmail/domains")
    assert found == ["info@a.example"] and "a name of another domain" in opened.problems[0]


# --- any store ---------------------------------------------------------------------------------------------------


def test_odd_names_and_long_passwords_are_said(tmp_path):
    rows = "a\x1b[31m@a.example:x\n{0}@a.example:x\ninfo@a.example:x\nlong@a.example:{1}\n".format(
        "n" * 320, "p" * 20000
    )
    write(tmp_path, "/etc/users", rows)
    found, opened = read(tmp_path, store="dovecot-passwd-file", path="/etc/users")
    assert found == ["info@a.example"]
    assert opened.problems == [
        "/etc/users: has a name that is too long, or has control characters; it is ignored.",
        "/etc/users: has a password of more than 16,384 characters, which is not tried.",
    ]
    assert opened.unread == {"/etc/users"}


def test_hints_are_short_and_few(tmp_path):
    write(tmp_path, "/etc/users", "info@a.example:x:1:1:{0}::\n".format("n" * 5000))
    opened = registry.open_store(FakeSystem(tmp_path), {"store": "dovecot-passwd-file", "path": "/etc/users"})
    assert [len(hint) for account in opened.accounts() for hint in account.hints] == [200]
