"""Panels' accounts: only of a panel that root has put there, in files of whom the panel gave the domain."""

import os

import pytest
from fake_system import FakeSystem
from harden_mail.host import accounts, mta, panel_accounts
from harden_mail.passwords.stores import panels, registry
from harden_mail.untrusted import Limits
from panel_hosts import ROOT, UIDS, cpanel, directadmin, give, passwd, write

COURIER = {"name": "courier", "version": None, "config_dir": "/etc/courier"}
NO_PANEL = {"name": None, "version": None, "root": None}

# Only root can have files of several owners.
of_others = pytest.mark.parametrize("is_root", [True] if ROOT else [])


def read(root, **declared):
    opened = registry.open_store(FakeSystem(root), declared)
    return [account.name for account in opened.accounts()], opened


def find(root, pop=COURIER, **commands):
    found, evidence = accounts.find_accounts(FakeSystem(root, commands), mta.nothing(), pop, NO_PANEL)
    return [(entry["store"], entry["path"], entry["count"]) for entry in found], evidence


def customers(root):
    """Two customers in two places, and a mail account of each."""
    cpanel(root, alpha_example="alpha", beta_example="beta")
    write(root, "/home/alpha/etc/alpha.example/shadow", "info:$6$x$y:18900::::::\n", "alpha")
    write(root, "/home2/beta/etc/beta.example/shadow", "sales:$6$x$y:18900::::::\n", "beta")


# --- whether there is a panel ------------------------------------------------------------------------------------


def test_a_users_own_shadow_is_no_panels(tmp_path):
    passwd(tmp_path)
    row = "hanako:$6$x$y:20000::::::\nceo@bigcorp.example:$6$x$y:20000::::::\n"
    write(tmp_path, "/home/alpha/etc/example.com/shadow", row, "alpha")
    found, _evidence = find(tmp_path)
    assert [store for store, _path, _count in found] == ["shadow"]
    names, opened = read(tmp_path, store="cpanel")
    assert names == [] and "root has put no cPanel on this host" in opened.problems[0]


@of_others
def test_a_mark_that_others_can_write_is_none(tmp_path, is_root):
    assert is_root
    customers(tmp_path)
    mark = str(tmp_path / "usr/local/cpanel/version")
    for uid, mode in ((UIDS["beta"], 0o644), (0, 0o666)):
        os.chown(mark, uid, uid)
        os.chmod(mark, mode)
        assert find(tmp_path)[0] == [("shadow", "/etc/shadow", None)]
    os.chmod(mark, 0o644)
    assert len(find(tmp_path)[0]) == 3


@pytest.mark.parametrize("mark", panel_accounts.CPANEL_MARKS)
def test_each_mark_is_enough(tmp_path, mark):
    cpanel(tmp_path, mark, alpha_example="alpha")
    assert panel_accounts.CPANEL.is_there(FakeSystem(tmp_path))
    assert not panel_accounts.DIRECTADMIN.is_there(FakeSystem(tmp_path))


# --- whose accounts ----------------------------------------------------------------------------------------------


def test_customers_in_several_places_are_found(tmp_path):
    customers(tmp_path)
    write(tmp_path, "/etc/shadow", "alpha:$6$x$y:18900::::::\n")
    # As cPanel's own Dovecot has it: its program answers for all of them.
    dovecot = {"name": "dovecot", "version": "2.3.21", "config_dir": "/etc/dovecot"}
    found, evidence = find(tmp_path, dovecot, **{"doveconf -n": "passdb {\n  args = /x\n  driver = dict\n}\n"})
    assert found == [
        ("cpanel", "/home/*/etc/*/shadow", 1),
        ("cpanel", "/home2/*/etc/*/shadow", 1),
        ("shadow", "/etc/shadow", 1),
    ]
    assert sorted(evidence) == ["0", "1", "2"]
    assert read(tmp_path, store="cpanel")[0] == ["info@alpha.example", "sales@beta.example"]
    assert read(tmp_path, store="cpanel", path="/home2/*/etc/*/shadow")[0] == ["sales@beta.example"]


def test_a_name_of_another_domain_is_ignored_and_said(tmp_path):
    cpanel(tmp_path, alpha_example="alpha", b_example="beta")
    rows = "info:$6$x$y\nceo@bigcorp.example:$6$x$y\nwhole@Alpha.Example:$6$x$y\na@b@alpha.example:$6$x$y\n@x:y\n"
    write(tmp_path, "/home/alpha/etc/alpha.example/shadow", rows + "ceo@b.example:$6$x$y\n", "alpha")
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["info@alpha.example", "whole@Alpha.Example"]
    path = "/home/alpha/etc/alpha.example/shadow"
    assert opened.problems == [path + ": a name of another domain, which is ignored, in 4 lines (2, 4, 5, 6)."]
    # It was read all the same.
    assert opened.unread == set() and opened.knows_sources


def test_a_domain_that_is_not_the_owners_is_not_read(tmp_path):
    customers(tmp_path)
    for domain in ("beta.example", "stranger.example"):
        write(tmp_path, "/home/alpha/etc/{0}/shadow".format(domain), "ceo:$6$x$y\n", "alpha")
    assert read(tmp_path, store="cpanel")[0] == ["info@alpha.example", "sales@beta.example"]


def test_owners_without_a_home_of_their_own_have_no_accounts(tmp_path):
    cpanel(tmp_path, a_example="root", b_example="nobody", c_example="gone")
    write(tmp_path, "/root/etc/a.example/shadow", "info:$6$x$y\n")
    assert read(tmp_path, store="cpanel")[0] == []


@of_others
def test_a_file_of_somebody_else_is_not_read(tmp_path, is_root):
    assert is_root
    customers(tmp_path)
    os.chown(str(tmp_path / "home/alpha/etc/alpha.example/shadow"), UIDS["beta"], 0)
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["sales@beta.example"]
    assert opened.unread == {"/home/alpha/etc/alpha.example/shadow"} and opened.knows_sources
    count = find(tmp_path)[0][0]
    assert count == ("cpanel", "/home/*/etc/*/shadow", None)
    # Also where the directories are root's, so that the way there is safe.
    for path in ("home/alpha", "home/alpha/etc", "home/alpha/etc/alpha.example"):
        os.chown(str(tmp_path / path), 0, 0)
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["sales@beta.example"] and "belongs to" in opened.problems[0]


@of_others
@pytest.mark.parametrize("kind", ("link", "linked directory", "linked home", "fifo", "sparse", "hard link"))
def test_what_a_customer_puts_in_its_place(tmp_path, kind, is_root):
    assert is_root
    customers(tmp_path)
    path = "/home/alpha/etc/alpha.example/shadow"
    real = str(tmp_path) + path
    secret = write(tmp_path, "/etc/secret", "root:$6$x$y:1::\n", mode=0o600)
    os.remove(real)
    if kind == "link":
        os.symlink("/etc/secret", real)
    elif kind == "linked directory":
        os.rmdir(os.path.dirname(real))
        write(tmp_path, "/home2/beta/elsewhere/shadow", "x:y\n", "beta")
        os.symlink("../../../home2/beta/elsewhere", os.path.dirname(real))
    elif kind == "linked home":
        os.rename(str(tmp_path / "home/alpha/etc"), str(tmp_path / "home/alpha/old"))
        os.symlink("/etc", str(tmp_path / "home/alpha/etc"))
    elif kind == "fifo":
        os.mkfifo(real)
    elif kind == "sparse":
        with open(real, "wb") as handle:
            handle.truncate(8 << 40)
    else:
        os.link(secret, real)
    if kind == "linked directory":
        give(tmp_path, os.path.dirname(path), "alpha")
    elif kind == "linked home":
        give(tmp_path, "/home/alpha/etc", "alpha")
    elif kind != "hard link":
        give(tmp_path, path, "alpha")
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["sales@beta.example"] and opened.unread == {path} and opened.knows_sources
    found, evidence = find(tmp_path)
    assert found[:2] == [("cpanel", "/home/*/etc/*/shadow", None), ("cpanel", "/home2/*/etc/*/shadow", 1)]
    assert evidence["0.count"].startswith("not known, 0 were counted: " + path)


@of_others
def test_a_customers_directory_leads_nobody_elsewhere_for_a_domains_other_name(tmp_path, is_root):
    """What is behind it may wait for ever, as a file system of the customer's own."""
    assert is_root
    passwd(tmp_path)
    write(tmp_path, "/root/private/b.example", "")
    os.symlink("a.example", str(tmp_path / "root/private/link.example"))
    write(tmp_path, "/home/alpha/x", "", "alpha")
    os.symlink(str(tmp_path / "root/private"), str(tmp_path / "home/alpha/etc"))
    system, path = FakeSystem(tmp_path), "/home/alpha/etc/link.example/shadow"
    assert panel_accounts.other_name(system, "/root/private/link.example/shadow") == "/root/private/a.example/shadow"
    give(tmp_path, "/home/alpha/etc", "alpha")
    assert panel_accounts.other_name(system, path) is None


def test_another_name_of_a_domain_is_read_once(tmp_path):
    cpanel(tmp_path, alpha_example="alpha", parked_example="alpha")
    write(tmp_path, "/home/alpha/etc/alpha.example/shadow", "info:$6$x$y\n", "alpha")
    os.symlink("alpha.example", str(tmp_path / "home/alpha/etc/parked.example"))
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["info@alpha.example"] and opened.problems == []
    # Also where that own name is no domain's: accounts are not hidden by it.
    os.rename(str(tmp_path / "home/alpha/etc/alpha.example"), str(tmp_path / "home/alpha/etc/hidden"))
    for name in ("alpha", "parked"):
        link = str(tmp_path / "home/alpha/etc" / (name + ".example"))
        if os.path.lexists(link):
            os.remove(link)
        os.symlink("hidden", link)
        give(tmp_path, "/home/alpha/etc/" + name + ".example", "alpha")
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["info@alpha.example"] and opened.read_whole == {"/home/alpha/etc/hidden/shadow"}


def test_lists_of_domains_that_are_missing_or_odd(tmp_path):
    customers(tmp_path)
    os.remove(str(tmp_path / "etc/userdomains"))
    names, opened = read(tmp_path, store="cpanel")
    assert names == [] and "nobody knows whose a domain is" in opened.problems[0] and not opened.knows_sources
    odd = "../../etc: alpha\n: alpha\n\udcff.example: alpha\nalpha.example\nALPHA.example:alpha\n"
    write(tmp_path, "/etc/trueuserdomains", odd + "b" * 300 + ": alpha\n")
    # The first line of a domain counts, and that one has no owner.
    assert read(tmp_path, store="cpanel")[0] == []
    write(tmp_path, "/etc/trueuserdomains", "ALPHA.example:alpha\n")
    assert read(tmp_path, store="cpanel")[0] == ["info@alpha.example"]
    os.chmod(str(tmp_path / "etc/trueuserdomains"), 0o666)
    names, opened = read(tmp_path, store="cpanel")
    assert names == [] and any("can be written by others than root" in problem for problem in opened.problems)


# --- how much ----------------------------------------------------------------------------------------------------


def test_a_customers_file_has_a_bound(tmp_path, monkeypatch):
    customers(tmp_path)
    path = "/home/alpha/etc/alpha.example/shadow"
    write(tmp_path, path, "".join("u{0}:ab\n".format(number) for number in range(200000)), "alpha")
    names, opened = read(tmp_path, store="cpanel")
    assert len(names) == panel_accounts.OF_A_CUSTOMER.lines + 1 and names[-1] == "sales@beta.example"
    assert opened.problems == [path + ": more than 20,000 lines; the rest is not read."]
    assert opened.unread == {path} and opened.knows_sources
    found, evidence = find(tmp_path)
    assert found[0] == ("cpanel", "/home/*/etc/*/shadow", None) and "20,000 were counted" in evidence["0.count"]
    monkeypatch.setattr(panels, "OF_A_CUSTOMER", Limits(1000, 20000, 60))
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["sales@beta.example"] and "more than 1,000 bytes" in opened.problems[0]


def test_many_domains_are_no_larger_share(tmp_path, monkeypatch):
    cpanel(tmp_path, a_example="alpha", b_example="alpha", c_example="alpha", z_example="beta")
    for domain in ("a", "b", "c"):
        rows = "".join("u{0}:ab\n".format(number) for number in range(4))
        write(tmp_path, "/home/alpha/etc/{0}.example/shadow".format(domain), rows, "alpha")
    write(tmp_path, "/home2/beta/etc/z.example/shadow", "sales:ab\n", "beta")
    monkeypatch.setattr(panels, "OF_A_CUSTOMER", Limits(1000, 6, 60))
    names, opened = read(tmp_path, store="cpanel")
    assert len(names) == 7 and names[-1] == "sales@z.example"
    assert opened.unread == {"/home/alpha/etc/{0}.example/shadow".format(domain) for domain in ("b", "c")}


def test_a_store_has_a_bound(tmp_path, monkeypatch):
    customers(tmp_path)
    monkeypatch.setattr("harden_mail.passwords.stores.store.MOST_ACCOUNTS", 1)
    names, opened = read(tmp_path, store="cpanel")
    assert names == ["info@alpha.example"] and not opened.knows_sources
    assert opened.read_whole == {"/home/alpha/etc/alpha.example/shadow"}
    assert opened.problems == [
        "The store cpanel: has more than 1 accounts, or 134,217,728 characters; the rest is not read."
    ]


# --- DirectAdmin -------------------------------------------------------------------------------------------------

DOVECOT = {"name": "dovecot", "version": "2.3.21", "config_dir": "/etc/dovecot"}
TWICE = """\
passdb {
  args = username_format=%n /etc/virtual/%d/passwd
  driver = passwd-file
}
passdb {
  driver = shadow
}
"""


def test_directadmins_accounts_are_read_once(tmp_path):
    directadmin(tmp_path, "shop.example")
    rows = "info:$6$x$y:505:12::/h:/bin/false\nsales:$6$x$y\nceo@bigcorp.example:$6$x$y\n"
    write(tmp_path, "/etc/virtual/shop.example/passwd", rows, "mail")
    write(tmp_path, "/etc/virtual/stranger.example/passwd", "info:$6$x$y\n", "mail")
    write(tmp_path, "/etc/shadow", "shop:$6$x$y:18900:0:99999:7:::\n")
    os.symlink("shop.example", str(tmp_path / "etc/virtual/pointer.example"))
    with open(str(tmp_path / "etc/virtual/domainowners"), "a", encoding="ascii") as handle:
        handle.write("pointer.example: alpha\n")
    found, _evidence = find(tmp_path)
    assert found == [("directadmin", "/etc/virtual/*/passwd", 3)]
    names, opened = read(tmp_path, store="directadmin", path="/etc/virtual/*/passwd", count=3)
    assert names == ["info@shop.example", "sales@shop.example"]
    assert len(opened.problems) == 1 and "in line 3" in opened.problems[0]
    # Dovecot's own way to the same files is the better one to know them by.
    found, _evidence = find(tmp_path, DOVECOT, **{"doveconf -n": TWICE})
    assert [store for store, _path, _count in found] == ["dovecot-passwd-file", "shadow"]


def test_virtual_files_without_directadmin_are_none(tmp_path):
    passwd(tmp_path)
    write(tmp_path, "/etc/virtual/shop.example/passwd", "info:$6$x$y\n", "mail")
    assert [store for store, _path, _count in find(tmp_path)[0]] == ["shadow"]
