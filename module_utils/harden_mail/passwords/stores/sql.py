"""Accounts in a database: a preset for a program's tables, or one's own query."""

import contextlib
import os
import re

from ...errors import UserError
from ...host.users import MAIL_SYSTEM, as_good, text_of_root
from ...untrusted import NotRead, owner_of
from ...untrusted_walk import trusted_users, why_not
from .sql_client import MOST_COLUMNS, Connection, DatabaseError, place, rows
from .sql_presets import PRESETS, Missing, Tables, account_of, columns_query
from .sql_settings import DRIVERS, from_connect, settings_file
from .sql_text import DATABASES, MYSQL, SQLITE, reading
from .store import Store

DEFAULT_SCHEME = "CRYPT"

# A file with a way into a database, in bytes.
_LARGEST = 1 << 20


class Sql(Store):
    """Of an own query the first column is the account's name, the second the password, all others are hints."""

    name = "sql"
    known = (
        "database",
        "preset",
        "query",
        "default_scheme",
        "credentials_file",
        "db_name",
        "db_user",
        "db_host",
        "db_port",
        "db_socket",
        "path",
    )
    numbers = ("db_name", "db_user", "db_port")

    def check_options(self):
        super().check_options()
        database, preset = self.options.get("database"), self.options.get("preset")
        if database not in DATABASES:
            raise UserError(
                "The option database of the store sql is '{0}'; it must be one of {1}.".format(
                    database or "", ", ".join(DATABASES)
                )
            )
        if (preset is None) == ("query" not in self.options):
            raise UserError("The store sql needs one of the options preset and query, and not both.")
        if preset is not None:
            self._check_preset(database, preset)
        if (database == SQLITE) != ("path" in self.options):
            raise UserError("The option path of the store sql is SQLite's file: needed there, and for nothing else.")
        port = self.options.get("db_port", "1")
        if not re.match(r"[0-9]{1,5}\Z", port) or not 0 < int(port) < 1 << 16:
            raise UserError("The option db_port of the store sql is '{0}', which is no port.".format(port))
        if "query" in self.options:
            self.options["query"] = reading(self.options["query"], database, "The option query of the store sql")

    @staticmethod
    def _check_preset(database, preset):
        if preset not in PRESETS:
            raise UserError(
                "The option preset of the store sql is '{0}'; it must be one of {1}, or use query.".format(
                    preset, ", ".join(sorted(PRESETS))
                )
            )
        if database not in PRESETS[preset].databases:
            raise UserError(
                "{0} keeps no accounts in {1}; the option database of the store sql must be one of {2}.".format(
                    PRESETS[preset].program, database, ", ".join(PRESETS[preset].databases)
                )
            )

    def read_accounts(self):
        connection = self.connection()
        if connection is not None:
            yield from accounts_of(self, connection, self.options.get("preset"), self.options.get("query"))

    def connection(self):
        """:class:`Connection`, or None, which is then a problem."""
        database = self.options["database"]
        if database == SQLITE:
            return Connection(SQLITE, path=self.options["path"])
        file = self.options.get("credentials_file")
        connection = Connection(database)
        if file is not None:
            connection = self._from_file(database, file)
            if connection is None:
                return None
        preset = PRESETS.get(self.options.get("preset"))
        said = {
            field: self.options[option]
            for field, option in (
                ("name", "db_name"),
                ("user", "db_user"),
                ("host", "db_host"),
                ("port", "db_port"),
                ("socket", "db_socket"),
            )
            if option in self.options
        }
        if preset is not None and "name" not in said and connection.name is None:
            said["name"] = preset.name
        return connection._replace(**said)

    def _from_file(self, database, path):
        """The client's own file (MySQL's options, PostgreSQL's .pgpass), or one of Dovecot's."""
        text = private_text(self, path)
        if text is None:
            return None
        settings = settings_file(text)
        if "connect" in settings:
            driver = settings.get("driver", "mysql" if database == MYSQL else "pgsql")
            if DRIVERS.get(driver) != database:
                self.problem(path, "leads to {0}, and the option database says {1}".format(driver, database))
                return None
            try:
                return from_connect(driver, settings["connect"])
            except UserError as error:
                self.problem(path, str(error).rstrip("."))
                return None
        return Connection(database, options_file=path)


def private_text(store, path):
    """Text of a file with a password in it, or None; that others can read it is a problem as well.

    It says where accounts are and who asks for them, so it must be root's or the mail system's.
    """
    try:
        text = text_of_root(store.system, path, as_good(store.system, MAIL_SYSTEM), _LARGEST)
        mode = os.stat(store.system.real(path)).st_mode if text else 0
    except (NotRead, OSError) as error:
        store.problem(path, error.why if isinstance(error, NotRead) else why_not(error))
        return None
    if not (text or "").strip() or "\0" in text:
        store.problem(path, "is empty, missing, or no text, so the database can't be reached")
        return None
    # Who may read the file may read all accounts.
    if mode & 0o007:
        store.remark(path, "holds a password, and everybody on the host can read it (chmod o= it)")
    return text.replace("\r\n", "\n")


def accounts_of(store, connection, preset, query, scheme=DEFAULT_SCHEME):
    """Accounts of a preset (its name) or of a query (str) by a connection; problems go to the store.

    :param str scheme: of passwords that name none, unless the store's declaration says it
    """
    scheme = store.options.get("default_scheme", scheme)
    where = store.begin(place(connection))
    if connection.database == SQLITE:
        with contextlib.suppress(NotRead):
            owner = owner_of(store.system, connection.path)
            if owner not in as_good(store.system, MAIL_SYSTEM).uids | trusted_users():
                store.writers[where] = "user {0}".format(owner)
    try:
        for select, roles in _selects(store, connection, preset, query):
            for number, row in enumerate(rows(store.system, connection, select, store), 1):
                if roles is None and len(row) < 2:
                    store.problem(where, "not two columns (name, password)", number)
                    return
                meaning = roles or ["name", "password"] + ["hint"] * (len(row) - 2)
                account = account_of(row, meaning, scheme, store.name) if len(row) == len(meaning) else None
                if account is None:
                    store.problem(where, "no name", number)
                else:
                    yield account._replace(source=where)
    except DatabaseError as error:
        store.problem(where, str(error))
    except Missing as error:
        store.problem(where, "has no {0}, so it is none of {1}'s".format(error, PRESETS[preset].program))


def _selects(store, connection, preset, query):
    if query is not None:
        yield query, None
        return
    query = columns_query(connection.database)
    pairs = [pair for pair in rows(store.system, connection, query, store, MOST_COLUMNS) if None not in pair]
    yield from PRESETS[preset].selects(Tables(connection.database, pairs))
