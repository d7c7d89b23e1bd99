"""Files that panels keep for each domain: cPanel's and DirectAdmin's, ``name:crypt[:...]``."""

import os

from ...host.lines import read_lines
from ..account import Account
from .shadow import day
from .store import Store, is_locked


class DomainFiles(Store):
    """A file for each domain, whose directory has the domain's name."""

    known = ("path",)
    pattern = ""

    def trusted(self, path):
        """Directory of a file beneath which somebody else than root could have put a symbolic link."""
        raise NotImplementedError

    def hints(self, _path):
        """What the path says of the owner beside the domain."""
        return ()

    def accounts(self):
        pattern = self.options.get("path", self.pattern)
        paths = self.system.glob(pattern)
        if not paths:
            self.problem(pattern, "there is no such file")
        for path in paths:
            directory = os.path.dirname(path)
            if os.path.islink(self.system.real(directory)):
                continue  # another name of a domain that is read as well
            domain, hints = os.path.basename(directory), self.hints(path)
            for number, line in read_lines(self.system, self.begin(path), self, self.trusted(path)):
                if not line or line.startswith("#"):
                    continue
                fields = line.split(":")
                if len(fields) < 2 or not fields[0]:
                    self.problem(path, "no name and password", number)
                    continue
                yield Account(
                    fields[0] if "@" in fields[0] else fields[0] + "@" + domain,
                    fields[1],
                    "CRYPT",
                    self.name,
                    hints,
                    self.changed(fields),
                    not is_locked(fields[1], "CRYPT"),
                    path,
                )

    def changed(self, _fields):
        """Day of the last change, or None."""


class CPanel(DomainFiles):
    """``/home/ACCOUNT/etc/DOMAIN/shadow``, with the fields of shadow(5)."""

    name = "cpanel"
    pattern = "/home/*/etc/*/shadow"

    def trusted(self, path):
        # Three levels up is the customer's home, in which the customer can put what he likes.
        return path.rsplit("/", 3)[0]

    def hints(self, path):
        return (os.path.basename(self.trusted(path)),)

    def changed(self, fields):
        return day(fields[2]) or None if len(fields) > 2 else None


class DirectAdmin(DomainFiles):
    """``/etc/virtual/DOMAIN/passwd``."""

    name = "directadmin"
    pattern = "/etc/virtual/*/passwd"

    def trusted(self, path):
        return path.rsplit("/", 2)[0]
