"""How to reach a database, as Dovecot's own files say it, and vpopmail's."""

import re

from ...errors import UserError
from ...host.passdbs import unquoted
from .sql_client import Connection
from .sql_text import MYSQL, POSTGRESQL, SQLITE

# Dovecot's names of drivers.
DRIVERS = {"mysql": MYSQL, "pgsql": POSTGRESQL, "sqlite": SQLITE}

# What else a connection to PostgreSQL may say (its manual: Parameter Key Words). It goes onto a command line that
# everybody on the host can see, so nothing is here that could be secret; Dovecot's own maxconns is not meant for it.
_SHOWN = (
    "application_name",
    "channel_binding",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
)


def settings_file(text):
    """Settings (dict) of a file like dovecot-sql.conf.ext of 2.3, as its own reader takes it (lib-settings).

    ``#`` outside of quotes begins a comment, a backslash at the end continues the line, outer quotes go away.
    """
    settings, full = {}, ""
    for raw in text.split("\n"):
        line = _without_comment(raw.strip()) if not full else raw.strip()
        if line.endswith("\\"):
            full += line[:-1].rstrip() + " "
            continue
        key, equals, value = (full + line).partition("=")
        full = ""
        if equals:
            settings[key.strip()] = unquoted(value.strip())
    return settings


def _without_comment(line):
    quote, position = "", 0
    while position < len(line):
        character = line[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "#":
            return line[:position].rstrip()
        position += 1
    return line


def from_connect(driver, connect):
    """:class:`Connection` of 2.3's ``driver`` and ``connect``.

    :raises UserError: a driver that has no client here, or see :func:`from_parameters`
    """
    database = _database(driver)
    if database == SQLITE:
        # Since 2.3.10 there may be options: "/path journal_mode=wal readonly=yes".
        return Connection(SQLITE, path=connect.split(" ")[0])
    if database == POSTGRESQL:
        return from_parameters(POSTGRESQL, conninfo(connect))
    # MySQL's are words without quotes; of several hosts the first will do.
    pairs = [word.partition("=") for word in connect.split()]
    parameters = {}
    for key, _equals, value in pairs:
        parameters.setdefault(key, value)
    return from_parameters(MYSQL, parameters)


def from_parameters(database, parameters):
    """:class:`Connection` of names as PostgreSQL has them: host, port, dbname, user, password, ...

    :raises UserError: a password for a key, which PostgreSQL's client takes on its command line only
    """
    host = parameters.get("host") or parameters.get("hostaddr")
    socket = host if host and host.startswith("/") else None
    password = parameters.get("password")
    more, options_file = {}, None
    if database == MYSQL:
        options_file = parameters.get("option_file")
    elif database == POSTGRESQL:
        if parameters.get("sslpassword"):
            raise UserError(
                "it has an sslpassword, which PostgreSQL's client can't be told unseen; use a key without a password."
            )
        more = {key: parameters[key] for key in _SHOWN if key in parameters}
        if password is None:
            options_file = parameters.get("passfile")
    return Connection(
        database,
        name=parameters.get("dbname"),
        user=parameters.get("user"),
        password=password,
        host=None if socket else host,
        port=parameters.get("port"),
        socket=socket,
        options_file=options_file,
        more=more,
    )


def conninfo(text):
    """Parameters (dict) of PostgreSQL's ``key = 'value' ...`` (its manual: Connection Strings)."""
    found = {}
    for key, quoted, plain in re.findall(r"(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)*))", text):
        found[key] = re.sub(r"\\(.)", r"\1", quoted or plain)
    return found


# Settings of a block that have the names of parameters.
_OF_A_BLOCK = ("port", "dbname", "user", "password", "option_file")


def from_blocks(driver, blocks):
    """:class:`Connection` of 2.4's blocks, as ``mysql localhost { user = ... }``; None when there is none.

    :param blocks: list of ``passdbs.Block``
    """
    database = _database(driver)
    for block in blocks:
        if block.kind not in (driver, "sqlite" if database == SQLITE else driver):
            continue
        settings = {
            key[len(driver) + 1 :] if key.startswith(driver + "_") else key: value
            for key, value in block.settings.items()
        }
        if database == SQLITE:
            return Connection(SQLITE, path=settings.get("path") or block.name)
        parameters = {"host": settings.get("host") or block.name}
        for inner in block.blocks:
            # PostgreSQL's are in a block of their own: pgsql localhost { parameters { user = ... } }
            if inner.kind.endswith("parameters"):
                parameters.update(inner.settings)
        parameters.update({key: value for key, value in settings.items() if key in _OF_A_BLOCK})
        return from_parameters(database, parameters)
    return None


def vpopmail_mysql(text):
    """:class:`Connection` of ``~vpopmail/etc/vpopmail.mysql``: ``host|port|user|password|database``; None if empty."""
    for line in text.split("\n"):
        fields = line.strip().split("|")
        if line.startswith("#") or len(fields) < 5:
            continue
        host, port, user, password, name = fields[:5]
        parameters = {"host": host, "user": user, "password": password, "dbname": name}
        if port not in ("", "0"):
            parameters["port"] = port
        return from_parameters(MYSQL, parameters)
    return None


def _database(driver):
    if driver not in DRIVERS:
        raise UserError(
            "Dovecot's SQL driver '{0}' has no client here; there are {1}.".format(driver, ", ".join(sorted(DRIVERS)))
        )
    return DRIVERS[driver]
