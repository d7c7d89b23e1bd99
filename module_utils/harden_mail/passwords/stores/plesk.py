"""Plesk's accounts: what its own `mail_auth_view` prints, else its database."""

import base64
import binascii
import re

from ...errors import CommandError
from ...host.lines import numbered
from ...host.panel import plesk_settings
from ..account import Account
from .aes import decrypt_cbc
from .sql_rows import unescaped
from .store import Store

# Where releases have it, beneath Plesk's root.
VIEWS = ("/admin/sbin/mail_auth_view", "/admin/bin/mail_auth_view")

SECRET_KEY = "/etc/psa/private/secret_key"

QUERY = (
    "SELECT m.mail_name, d.name, a.type, COALESCE(a.password, '') FROM mail m "
    "JOIN domains d ON m.dom_id = d.id JOIN accounts a ON m.account_id = a.id"
)

_SYMMETRIC = re.compile(r"\$AES-128-CBC\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)\Z")


class Plesk(Store):
    name = "plesk"
    known = ("path",)

    def accounts(self):
        view = self._view()
        place, rows = (view, self._from_view(view)) if view else ("Plesk's database", self._from_database())
        try:
            yield from rows
        except CommandError as error:
            self.problem(place, "can't be asked ({0})".format(error_text(error)))

    # --- mail_auth_view ------------------------------------------------------------------------------------------

    def _view(self):
        root = (plesk_settings(self.system) or {}).get("PRODUCT_ROOT_D", "/usr/local/psa")
        return next((root + view for view in VIEWS if self.system.exists(root + view)), None)

    def _from_view(self, view):
        with self.system.stream([view]) as output:
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
        """Needs no password: `plesk db` is Plesk's own way in."""
        key = self._secret_key()
        with self.system.stream(["plesk", "db", "-N", "-B", "-e", QUERY]) as output:
            for number, line in numbered(output, carriage_return=False):
                fields = None if line is None else [unescaped(field) for field in line.split(b"\t")]
                if fields is None or len(fields) != 4 or None in fields:
                    self.problem("Plesk's database", "not four columns", number)
                    continue
                local, domain, kind, password = fields
                scheme = "CRYPT" if kind == "crypt" else "PLAIN"
                if kind == "sym":
                    password = decrypted(password, key)
                    if password is None:
                        self.problem(
                            "Plesk's database",
                            "a password of type sym that its key ({0}) does not open".format(SECRET_KEY),
                            number,
                        )
                        continue
                stored = password if scheme == "CRYPT" else "{PLAIN}" + password
                yield Account(local + "@" + domain, stored, scheme, self.name, (), None, True)

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
    return "exited with {0}".format(error.rc) if error.rc is not None else "could not be run"
