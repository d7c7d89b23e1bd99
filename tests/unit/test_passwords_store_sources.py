"""Where in a store an account is, and what of it was not read: one bad file says nothing about the others."""

import os

from fake_system import FakeSystem
from harden_mail.passwords.stores import registry


def write(root, path, content):
    os.makedirs(os.path.dirname(str(root) + path), exist_ok=True)
    with open(str(root) + path, "w", encoding="utf-8") as handle:
        handle.write(content)


def test_a_bad_file_is_a_source_of_its_own(tmp_path):
    write(tmp_path, "/m/a.example/users", "info:{PLAIN}x\n")
    write(tmp_path, "/m/b.example/users", "info:{PLAIN}x\nno colon\n")
    os.makedirs(str(tmp_path / "m/c.example"))
    os.mkfifo(str(tmp_path / "m/c.example/users"))
    opened = registry.open_store(FakeSystem(tmp_path), {"store": "dovecot-passwd-file", "path": "/m/%d/users"})
    assert [(account.name, account.source) for account in opened.accounts()] == [
        ("info@a.example", "/m/a.example/users"),
        ("info@b.example", "/m/b.example/users"),
    ]
    assert opened.unread == {"/m/b.example/users", "/m/c.example/users"} and opened.knows_sources
    assert opened.read_whole == {"/m/a.example/users"}


def test_sources_that_are_not_known_are_told_apart(tmp_path):
    opened = registry.open_store(FakeSystem(tmp_path), {"store": "dovecot-passwd-file", "path": "/m/%d/users"})
    assert list(opened.accounts()) == [] and opened.unread == set() and not opened.knows_sources


def test_a_database_is_one_source(tmp_path):
    declared = {"store": "sql", "database": "sqlite", "path": "/x.sqlite", "query": "SELECT a, b FROM c"}
    opened = registry.open_store(FakeSystem(tmp_path), declared)
    assert list(opened.accounts()) == []
    assert opened.unread == {"SQLite database /x.sqlite"} and opened.knows_sources
