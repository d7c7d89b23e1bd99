"""vpopmail's files: ``vpasswd`` in each domain's directory, ``name:crypt:uid:flags:gecos:dir:quota[:clear text]``."""

import os
import re

from ...host.lines import read_lines, readable_text
from ..account import Account
from .store import Store, is_locked

# Flags in the fourth field (vpopmail.h): no POP, no webmail, no IMAP, no SMTP. Who has all of these can't log in.
NO_SERVICE = 0x02 | 0x04 | 0x08 | 0x800


class Vpopmail(Store):
    name = "vpopmail"
    known = ("path",)
    required = ("path",)

    def accounts(self):
        path = self.options["path"]
        if self.system.is_dir(path):
            # Beyond a hundred domains vpopmail spreads them over one more level.
            paths = self.system.glob(path + "/*/vpasswd") + self.system.glob(path + "/*/*/vpasswd")
        else:
            paths = self.system.glob(path)
        if not paths:
            self.problem(path, "there is no file vpasswd")
        for file in paths:
            domain = os.path.basename(os.path.dirname(file))
            for number, line in read_lines(self.system, file, self._problems):
                if not line:
                    continue
                account = account_of(line, domain)
                if account is None:
                    self.problem(file, "no name and password", number)
                else:
                    yield account


def account_of(line, domain):
    """:class:`Account` of a line of ``vpasswd``, or None."""
    fields = line.split(":")
    if len(fields) < 2 or not fields[0]:
        return None
    return account_from(
        fields[0] + "@" + domain,
        fields[1],
        ":".join(fields[7:]),
        fields[3] if len(fields) > 3 else "",
        fields[4] if len(fields) > 4 else "",
    )


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
        Vpopmail.name,
        (owner,) if owner and owner != name.split("@")[0] else (),
        None,
        denied != NO_SERVICE and (bool(clear) or not is_locked(crypted, "CRYPT")),
    )
