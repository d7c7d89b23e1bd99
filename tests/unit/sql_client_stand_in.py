"""Stands for the client of a database, for the tests of stores in one."""

import os
import sqlite3
import stat

from fake_system import FakeSystem
from harden_mail.passwords.stores import (
    registry,
    sql_client,
)
from harden_mail.paths import PASSWORDS_QUESTION
from harden_mail.system import Completed

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


# --- clients ----------------------------------------------------------------------------------------------------

OWN = {"store": "sql", "query": "SELECT name, secret, note FROM people"}


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
