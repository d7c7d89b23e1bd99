"""An account as vpopmail keeps it, in a file or a table."""

import re

from ...host.lines import readable_text
from ..account import Account
from .store import is_locked

# Flags in the fourth field (vpopmail.h): no POP, no webmail, no IMAP, no SMTP. Who has all of these can't log in.
NO_SERVICE = 0x02 | 0x04 | 0x08 | 0x800


def account_from(name, crypted, clear, flags, gecos):
    """:class:`Account` of what vpopmail keeps of one, in a file or a table.

    :param str crypted: of crypt(3)
    :param str clear: the password itself, which those who check passwords take if it is there; or empty
    :param str flags: number (vpopmail calls it gid)
    :param str gecos: the owner's name; vpopmail writes the account's where nobody gave one
    """
    denied = int(flags) & NO_SERVICE if re.match(r"[0-9]{1,10}\Z", flags) else 0
    owner = readable_text(gecos).strip()
    return Account(
        name,
        "{PLAIN}" + clear if clear else crypted,
        "CRYPT",
        "vpopmail",
        (owner,) if owner and owner != name.split("@")[0] else (),
        None,
        denied != NO_SERVICE and (bool(clear) or not is_locked(crypted, "CRYPT")),
    )
