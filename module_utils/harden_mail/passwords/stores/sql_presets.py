"""How programs that manage mail accounts lay out their tables.

Read in their own sources: PostfixAdmin (public/upgrade.php, DOCUMENTS/DOVECOT.txt), iRedMail (samples/iredmail,
samples/dovecot), Mailcow (data/web/inc/init_db.inc.php, functions.auth.inc.php), ISPConfig (install/sql/ispconfig3.sql,
install/tpl/debian_dovecot-sql.conf.master), Modoboa (core/models.py, admin/models, its installation manual), vpopmail
(vmysql.h, vmysql.c, vpgsql.h). Releases differ, so a query asks only for columns that are there.
"""

import datetime
import posixpath
import re
from collections import namedtuple

from ...host.lines import readable_text
from ...text import ascii_lower
from ..account import Account
from .sql_text import MYSQL, POSTGRESQL, SQLITE, literal, quoted_name
from .store import is_locked
from .vpopmail_account import account_from

# A query and what its rows mean: roles is a list of str, one for each column: "name", "password", "active" (all of them
# must be true), "changed" (a date), "hint".
Select = namedtuple("Select", "query roles")

# Tables of the layout with a table for each domain that one query asks.
TABLES_AT_ONCE = 50


class Missing(Exception):
    """The database has not the tables of this program: the text names what is missing (str)."""


class Tables:
    """The tables of a database.

    :ivar str database: see ``sql_text.DATABASES``
    :ivar dict columns: names of columns (set of str) by table (str), in small letters
    """

    def __init__(self, database, pairs):
        self.database = database
        self.columns = {}
        self.named = {}
        for table, column in pairs:
            self.named.setdefault(table.lower(), table)
            self.columns.setdefault(table.lower(), set()).add(column.lower())

    def has(self, table, *columns):
        return table in self.columns and self.columns[table].issuperset(columns)

    def need(self, table, *columns):
        if table not in self.columns:
            raise Missing("table {0}".format(table))
        for column in columns:
            if column not in self.columns[table]:
                raise Missing("column {0} in table {1}".format(column, table))


def columns_query(database):
    """Query for pairs of a table and a column, for :class:`Tables`; None for SQLite, which has other ways.

    MySQL's views are left out: one can call its maker's function with the rights of who asks, which are mostly root's.
    """
    if database == SQLITE:
        return None
    if database == MYSQL:
        return (
            "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t "
            "ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
            "WHERE c.table_schema = DATABASE() AND t.table_type NOT LIKE '%VIEW'"
        )
    return (
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = ANY (current_schemas(false))"
    )


def _select(columns, source):
    """:class:`Select` of a list of (role, expression); an expression of None is left out."""
    there = [(role, expression) for role, expression in columns if expression is not None]
    query = "SELECT {0} FROM {1}".format(", ".join(expression for _role, expression in there), source)
    return Select(query, [role for role, _expression in there])


def postfixadmin(tables):
    tables.need("mailbox", "username", "password", "active")
    domain = tables.has("domain", "domain", "active") and tables.has("mailbox", "domain")
    source = "mailbox m" + (" LEFT JOIN domain d ON d.domain = m.domain" if domain else "")
    active = [("active", "m.active"), ("active", "d.active" if domain else None)]
    name = ("hint", "m.name" if tables.has("mailbox", "name") else None)
    yield _select([("name", "m.username"), ("password", "m.password"), name] + active, source)
    if tables.has("mailbox_app_password", "username", "password_hash"):
        source = "mailbox_app_password a JOIN " + source.replace("mailbox m", "mailbox m ON m.username = a.username", 1)
        yield _select([("name", "m.username"), ("password", "a.password_hash"), name] + active, source)


def iredmail(tables):
    tables.need("mailbox", "username", "password", "active", "domain")
    tables.need("domain", "domain", "active")
    optional = {name: "m." + name if tables.has("mailbox", name) else None for name in _IREDMAIL_HINTS}
    changed = "m.passwordlastchange" if tables.has("mailbox", "passwordlastchange") else None
    columns = [("name", "m.username"), ("password", "m.password"), ("active", "m.active"), ("active", "d.active")]
    columns += [("changed", changed)] + [("hint", optional[name]) for name in _IREDMAIL_HINTS]
    yield _select(columns, "mailbox m LEFT JOIN domain d ON d.domain = m.domain")


_IREDMAIL_HINTS = ("name", "first_name", "last_name", "employeeid", "mobile", "telephone", "birthday")


def mailcow(tables):
    tables.need("mailbox", "username", "password", "active", "domain")
    tables.need("domain", "domain", "active")
    name = ("hint", "m.name" if tables.has("mailbox", "name") else None)
    # Rooms and things have no log-in, and others' passwords are checked elsewhere (Keycloak, LDAP).
    kind = "m.kind NOT REGEXP 'location|thing|group'" if tables.has("mailbox", "kind") else None
    own = "m.authsource = 'mailcow'" if tables.has("mailbox", "authsource") else None
    changed = None
    if tables.has("mailbox", "attributes"):
        changed = "JSON_UNQUOTE(JSON_EXTRACT(m.attributes, '$.passwd_update'))"
    source = "mailbox m LEFT JOIN domain d ON d.domain = m.domain"
    active = [("active", "m.active"), ("active", "d.active"), ("active", kind)]
    yield _select(
        [("name", "m.username"), ("password", "m.password"), name, ("changed", changed), ("active", own)] + active,
        source,
    )
    if tables.has("app_passwd", "mailbox", "password", "active"):
        yield _select(
            [("name", "m.username"), ("password", "a.password"), name, ("active", "a.active")] + active,
            "app_passwd a JOIN " + source.replace("mailbox m", "mailbox m ON m.username = a.mailbox", 1),
        )


def ispconfig(tables):
    tables.need("mail_user", "email", "password")
    login = "m.login" if tables.has("mail_user", "login") else "m.email"
    services = [name for name in ("disableimap", "disablepop3", "disablesmtp") if tables.has("mail_user", name)]
    active = None
    if services:
        denied = " AND ".join("m.{0} = 'y'".format(name) for name in services)
        active = "CASE WHEN {0} THEN 0 ELSE 1 END".format(denied)
    source, domain = "mail_user m", None
    if tables.has("mail_domain", "domain", "active"):
        # Its own query says: no domain of that name that is off.
        domain = (
            "CASE WHEN EXISTS (SELECT 1 FROM mail_domain d WHERE d.active = 'n' "
            "AND d.domain = SUBSTRING_INDEX(m.email, '@', -1)) THEN 0 ELSE 1 END"
        )
    hint = "m.name" if tables.has("mail_user", "name") else None
    yield _select(
        [("name", login), ("password", "m.password"), ("active", active), ("active", domain), ("hint", hint)], source
    )


def modoboa(tables):
    tables.need("core_user", "id", "email", "password", "is_active")
    tables.need("admin_mailbox", "user_id", "domain_id")
    tables.need("admin_domain", "id", "enabled")
    hints = [("hint", "u." + name if tables.has("core_user", name) else None) for name in _MODOBOA_HINTS]
    local = "u.is_local" if tables.has("core_user", "is_local") else None
    columns = [("name", "u.email"), ("password", "u.password"), ("active", "u.is_active"), ("active", "d.enabled")]
    yield _select(
        columns + [("active", local)] + hints,
        "core_user u JOIN admin_mailbox b ON b.user_id = u.id JOIN admin_domain d ON d.id = b.domain_id",
    )


_MODOBOA_HINTS = ("first_name", "last_name", "phone_number")

_VPOPMAIL = ("pw_name", "pw_passwd", "pw_gid", "pw_gecos", "pw_dir")


def vpopmail(tables):
    """Either one table for all, or one for each domain, whose name is the domain's with "_" for "." and "-"."""
    if tables.has("vpopmail", "pw_domain", *_VPOPMAIL):
        found = ["vpopmail"]
    else:
        found = sorted(name for name in tables.columns if tables.has(name, *_VPOPMAIL))
        if not found:
            raise Missing("table vpopmail, nor a table for a domain")
    for start in range(0, len(found), TABLES_AT_ONCE):
        selects = [_vpopmail_select(tables, name) for name in found[start : start + TABLES_AT_ONCE]]
        yield Select(" UNION ALL ".join(selects), ["vpopmail"] * 8)


def _vpopmail_select(tables, name):
    is_for_all = name == "vpopmail" and tables.has(name, "pw_domain")
    domain, table = ("pw_domain", literal("")) if is_for_all else (literal(""), literal(name))
    clear = "COALESCE(pw_clear_passwd, '')" if tables.has(name, "pw_clear_passwd") else literal("")
    number = "CAST(COALESCE(pw_gid, 0) AS CHAR)" if tables.database == MYSQL else "CAST(COALESCE(pw_gid, 0) AS TEXT)"
    columns = "pw_name, {0}, COALESCE(pw_passwd, ''), {1}, {2}, COALESCE(pw_gecos, ''), COALESCE(pw_dir, ''), {3}"
    return "SELECT {0} FROM {1}".format(
        columns.format(domain, clear, number, table), quoted_name(tables.named[name], tables.database)
    )


def domain_of(directory, name):
    """The domain of an account of vpopmail, from its directory ``.../domains/example.com/[X/]info``; or "".

    :param str name: of the account
    """
    parts = posixpath.normpath(directory).split("/")
    if "domains" in parts:
        # Beyond a hundred domains, and a hundred accounts, there are more levels, with names of one or two characters.
        below = [part for part in parts[parts.index("domains") + 1 :] if len(part) > 2 and "." in part]
        if below:
            return below[0]
    return parts[-2] if len(parts) > 1 and parts[-1] == name and "." in parts[-2] else ""


Preset = namedtuple("Preset", "selects databases name program")

# selects: function of Tables; databases: which it can have; name: of the database, unless it is given
PRESETS = {
    "postfixadmin": Preset(postfixadmin, (MYSQL, POSTGRESQL, SQLITE), "postfixadmin", "PostfixAdmin"),
    "iredmail": Preset(iredmail, (MYSQL, POSTGRESQL), "vmail", "iRedMail"),
    "mailcow": Preset(mailcow, (MYSQL,), "mailcow", "Mailcow"),
    "ispconfig": Preset(ispconfig, (MYSQL,), "dbispconfig", "ISPConfig"),
    "modoboa": Preset(modoboa, (MYSQL, POSTGRESQL, SQLITE), "modoboa", "Modoboa"),
    "vpopmail": Preset(vpopmail, (MYSQL, POSTGRESQL), "vpopmail", "vpopmail"),
}


def account_of(row, roles, scheme, store):
    """:class:`Account` of a row, or None for one without a name.

    :param tuple row: of str or None
    :param list roles: see :class:`Select`
    """
    if roles[0] == "vpopmail":
        return _vpopmail_account(row, scheme, store)
    name, stored, changed, active, hints = None, None, None, True, []
    for role, value in zip(roles, row):
        if role == "name":
            name = value
        elif role == "password":
            stored = value
        elif role == "active":
            # 1 and "t" are databases' own ways; Mailcow has 2 for "receives, but may not log in".
            active = active and (value or "").lower() in ("1", "t", "true", "y", "yes")
        elif role == "changed":
            changed = day_of(value)
        elif role == "hint":
            hint = readable_text(value or "").strip()
            # iRedMail's birthday that nobody gave is 0001-01-01.
            if hint and hint not in hints and hint != name and not hint.startswith("000"):
                hints.append(hint)
    if not name:
        return None
    active = active and stored is not None and not is_locked(stored, scheme)
    return Account(name, stored or "", scheme, store, tuple(hints), changed, active)


def _vpopmail_account(row, scheme, store):
    name, domain, crypted, clear, flags, gecos, directory, table = (value or "" for value in row)
    domain = domain or domain_of(directory, name)
    # Whose table it is says whose accounts are in it, and not what a row has for its directory. Where they differ, the
    # name is nobody's, so that no other domain's account is taken for it.
    if table and re.sub("[.-]", "_", ascii_lower(domain)) != table:
        domain = table
    if not name:
        return None
    account = account_from(name + "@" + domain if domain else name, crypted, clear, flags, gecos)
    return account._replace(scheme=scheme, store=store)


def day_of(text):
    """Days since 1970 of a date ("2024-01-31 12:00:00"), or None; 1970 itself is what programs write for "never"."""
    try:
        date = datetime.datetime.strptime((text or "")[:10], "%Y-%m-%d").date()
    except ValueError:
        return None
    return (date - datetime.date(1970, 1, 1)).days if date.year > 1970 else None
