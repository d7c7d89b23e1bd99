"""The system's own accounts: ``/etc/shadow`` (shadow(5)), with owners' names from ``/etc/passwd``."""

import re

from ...host.lines import readable_text
from ...host.panel_accounts import OF_THE_SYSTEM
from ...untrusted import lines_untrusted
from ..account import Account
from .store import Store, is_locked

PATH = "/etc/shadow"


class Shadow(Store):
    """Only accounts that can log in: daemons' locked ones have no password to guess."""

    name = "shadow"
    known = ("path",)

    def read_accounts(self):
        path = self.options.get("path", PATH)
        names = self._owners() if path == PATH else {}
        today = self.today()
        for number, line in lines_untrusted(self.system, self.begin(path), self, OF_THE_SYSTEM):
            if not line or line[0] in "#+-":
                continue  # "+" and "-" are NIS, whose passwords are elsewhere
            fields = line.split(":")
            if len(fields) < 2:
                self.problem(path, "no colon", number)
                continue
            name, stored = fields[:2]
            if not name:
                self.problem(path, "no name", number)
            elif not is_locked(stored, "CRYPT"):
                expires = day(fields[7]) if len(fields) > 7 else None
                yield Account(
                    name,
                    stored,
                    "CRYPT",
                    self.name,
                    names.get(name, ()),
                    # 0 is no day, but "must be changed at the next log-in".
                    day(fields[2]) or None if len(fields) > 2 else None,
                    expires is None or expires > today,
                    path,
                )

    def _owners(self):
        """Names of owners (tuple of str) by account, from the comment field: "Full Name,Room,Phone,..."."""
        owners = {}
        for _number, line in lines_untrusted(self.system, "/etc/passwd"):
            fields = line.split(":")
            owner = readable_text(fields[4].split(",")[0]).strip() if len(fields) > 4 else ""
            if owner and owner != fields[0]:
                owners[fields[0]] = (owner,)
        return owners


def day(text):
    """Days since 1970 (int) of a field, or None."""
    # Beyond seven digits it is a date after the year 29000, so no date.
    return int(text) if re.match(r"[0-9]{1,7}\Z", text) else None
