"""Plesk's accounts: what its own `mail_auth_view` prints, else its database."""

import base64
import binascii
import re

from ...errors import CommandError
from ...host.panel import plesk_settings
from ...untrusted import numbered
from ..account import Account
from .aes import decrypt_cbc
from .sql_client import SILENCE_TIMEOUT, Connection, DatabaseError, rows
from .sql_presets import Tables
from .sql_rows import unescaped
from .sql_text import MYSQL
from .store import Store

# Where releases have it, beneath Plesk's root.
VIEWS = ("/admin/sbin/mail_auth_view", "/admin/bin/mail_auth_view")

SECRET_KEY = "/etc/psa/private/secret_key"

# The password of its database's user admin.
SHADOW = "/etc/psa/.psa.shadow"
DATABASE = "Plesk's database"

COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'psa'"
QUERY = (
    "SELECT m.mail_name, d.name, a.type, COALESCE(a.password, ''), {0} AND {1} FROM mail m "
    "JOIN domains d ON m.dom_id = d.id JOIN accounts a ON m.account_id = a.id"
)

_SYMMETRIC = re.compile(r"\$AES-128-CBC\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)\Z")


class Plesk(Store):
    name = "plesk"
    known = ("path",)

    def read_accounts(self):
        view = self._view()
        place, accounts = (view, self._from_view(view)) if view else (DATABASE, self._from_database())
        self.begin(place)
        try:
            for account in accounts:
                yield account._replace(source=place)
        except CommandError as error:
            self.problem(place, "can't be asked ({0})".format(error_text(error)))
        except DatabaseError as error:
            self.problem(place, str(error))

    # --- mail_auth_view ------------------------------------------------------------------------------------------

    def _view(self):
        root = (plesk_settings(self.system) or {}).get("PRODUCT_ROOT_D", "/usr/local/psa")
        return next((root + view for view in VIEWS if self.system.exists(root + view)), None)

    def _from_view(self, view):
        # By env, since programs are looked up by name, and this is a path.
        with self.system.stream(["env", view], SILENCE_TIMEOUT) as output:
            for number, line in numbered(output):
                if line is None or not line.startswith(b"|"):
                    continue
                account = account_in_view(line.decode("utf-8", "surrogateescape"))
                if account is not None:
                    yield account
                elif number > 2:
                    self.problem(view, "no address and password", number)

    # --- tables --------------------------------------------------------------------------------------------------

    def _from_database(self):
        key = self._secret_key()
        tables = Tables(MYSQL, [row for row in self._rows(COLUMNS) if len(row) == 2])
        status = "d.status = 0" if tables.has("domains", "status") else "1"
        postbox = "m.postbox = 'true'" if tables.has("mail", "postbox") else "1"
        for number, row in enumerate(self._rows(QUERY.format(status, postbox)), 1):
            if len(row) != 5 or None in row:
                self.problem(DATABASE, "not the five columns that were asked for", number)
                continue
            local, domain, kind, password, active = row
            scheme = "CRYPT" if kind == "crypt" else "PLAIN"
            if kind == "sym":
                password = decrypted(password, key)
                if password is None:
                    what = "a password of type sym that its key ({0}) does not open".format(SECRET_KEY)
                    self.problem(DATABASE, what, number)
                    continue
            stored = password if scheme == "CRYPT" else "{PLAIN}" + password
            yield Account(local + "@" + domain, stored, scheme, self.name, (), None, active == "1")

    def _rows(self, query):
        """Rows (tuples of str or None) of a query to Plesk's database."""
        if not self.system.which("plesk"):
            # Releases without that command keep the password of the database's administrator in plain text.
            password = (self.system.read(SHADOW) or "").strip("\r\n")
            connection = Connection(MYSQL, name="psa", user="admin", password=password)
            yield from rows(self.system, connection, query, self)
            return
        # Needs no password: it is Plesk's own way in. In the C locale its client would ask for Latin-1.
        argv = ["plesk", "db", "-N", "-B", "-e", "SET NAMES utf8mb4; " + query]
        with self.system.stream(argv, SILENCE_TIMEOUT) as output:
            for number, line in numbered(output, carriage_return=False):
                if line is None:
                    self.problem(DATABASE, "a row that is too long", number)
                else:
                    yield tuple(unescaped(field) for field in line.split(b"\t"))

    def _secret_key(self):
        try:
            with open(self.system.real(SECRET_KEY), "rb") as handle:
                return handle.read(16).ljust(16, b"\0")
        except OSError:
            return None


def account_in_view(line):
    """:class:`Account` of a line of mail_auth_view's table, or None.

    ``|  address  |flags|  password  |``; the password may hold bars, and blanks within.
    """
    fields = line.rstrip("\r\n").split("|", 3)
    if len(fields) != 4:
        return None
    address, flags, password = fields[1].strip(), fields[2], fields[3].rstrip()
    if "@" not in address or not password.endswith("|"):
        return None
    password = password[:-1].strip()
    # E: encrypted; A, D: account or domain disabled.
    stored = password if "E" in flags else "{PLAIN}" + password
    active = "A" not in flags and "D" not in flags
    return Account(address, stored, "CRYPT" if "E" in flags else "PLAIN", Plesk.name, (), None, active)


def decrypted(stored, key):
    """Password (str) of type sym, ``$AES-128-CBC$iv$text`` in Base64, or None.

    :param bytes key: 16, or None
    """
    match = _SYMMETRIC.match(stored)
    if match is None or key is None:
        return None
    try:
        initial, text = (base64.b64decode(part, validate=True) for part in match.groups())
        plain = decrypt_cbc(key, initial, text)
    except (ValueError, binascii.Error):
        return None
    password = plain.rstrip(b"\0")
    # With another key comes noise, which a password is not: it has no control characters.
    return None if re.search(rb"[\0-\x1f\x7f]", password) else password.decode("utf-8", "surrogateescape")


def error_text(error):
    """What a failed command says in one line, without its arguments."""
    return "exited with {0}".format(error.rc) if error.rc is not None else error.err
