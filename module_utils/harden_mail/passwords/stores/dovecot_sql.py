"""Accounts in the database that Dovecot asks, by its own configuration: connection, query and scheme."""

from ...errors import UserError
from ...host.passdbs import configuration
from .dovecot_query import ADVICE, for_everybody
from .sql import accounts_of, private_text
from .sql_client import Connection
from .sql_settings import DRIVERS, from_blocks, from_connect, settings_file
from .sql_text import SQLITE
from .store import Store

# Dovecot's own defaults, of 2.3 and of 2.4.
SCHEME_23 = "MD5"
SCHEME_24 = "PLAIN"


class DovecotSql(Store):
    """With a path: 2.3's dovecot-sql.conf.ext; without: what 2.4's doveconf tells."""

    name = "dovecot-sql"

    def read_accounts(self):
        path = self.options.get("path")
        try:
            found = self._from_file(path) if path else self._from_configuration()
        except UserError as error:
            self.problem(path or "doveconf", _as_clause(error))
            return
        for connection, query, scheme in found:
            try:
                everybody = for_everybody(query, connection.database)
            except UserError as error:
                self.problem(path or "doveconf", _as_clause(error))
                continue
            yield from accounts_of(self, connection, None, everybody, scheme)

    def _from_file(self, path):
        """List of (Connection, query, scheme)."""
        text = private_text(self, path)
        if text is None:
            return []
        settings = settings_file(text)
        if not settings.get("connect") or not settings.get("password_query"):
            raise UserError("it has no connect and password_query{0}.".format(ADVICE))
        connection = from_connect(settings.get("driver", ""), settings["connect"])
        return [(connection, settings["password_query"], settings.get("default_pass_scheme", SCHEME_23))]

    def _from_configuration(self):
        dovecot = configuration(self.system, secrets=True)
        if dovecot is None:
            raise UserError("it tells nothing on this host.")
        found = []
        for passdb in dovecot.passdbs():
            # Those of 2.3 have their own file, so a path.
            query = passdb.settings.get("query") or passdb.settings.get("sql_query")
            if passdb.driver != "sql" or not query:
                continue
            driver = passdb.settings.get("sql_driver") or dovecot.settings.get("sql_driver") or ""
            connection = from_blocks(driver, passdb.blocks) or from_blocks(driver, dovecot.blocks)
            if connection is None and DRIVERS.get(driver) == SQLITE:
                path = passdb.settings.get("sqlite_path") or dovecot.settings.get("sqlite_path")
                connection = Connection(SQLITE, path=path) if path else None
            if connection is None:
                raise UserError("it does not say where the database of {0} is{1}.".format(driver, ADVICE))
            scheme = (
                passdb.settings.get("default_password_scheme")
                or dovecot.settings.get("passdb_default_password_scheme")
                or SCHEME_24
            )
            found.append((connection, query, scheme))
        if not found:
            raise UserError("there is no SQL database of passwords in it.")
        return found


def _as_clause(error):
    """A sentence without its full stop, to stand behind a place."""
    return str(error).rstrip(".")
