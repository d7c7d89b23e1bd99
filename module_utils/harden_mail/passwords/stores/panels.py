"""Files that panels keep for each domain: cPanel's and DirectAdmin's, ``name:crypt[:...]``."""

from ...host.panel_accounts import CPANEL, DIRECTADMIN, OF_A_CUSTOMER, Panel, Shares, fits
from ..account import Account
from .shadow import day
from .store import Store, domain_is, is_locked


class DomainFiles(Store):
    """A file for each domain that the panel knows; a path is a pattern that says which of them are meant."""

    known = ("path",)
    panel: Panel

    def read_accounts(self):
        pattern = self.options.get("path", self.panel.pattern)
        if not self.panel.is_there(self.system):
            self.problem(
                pattern, "is nothing of {0}'s, since root has put no {0} on this host".format(self.panel.title)
            )
            return
        files = self.panel.files(self.system, self)
        if "path" in self.options:
            files = [file for file in files if fits(file.path, pattern)]
        if not files:
            self.problem(pattern, "there is no such file of a domain that {0} knows".format(self.panel.title))
        # However many domains a customer has: others' accounts are to be read, too.
        shares = Shares(OF_A_CUSTOMER)
        for file in files:
            yield from self._accounts_in(file, shares)

    def _accounts_in(self, file, shares):
        path = self.begin(file.path)
        hints = (file.owner,) if file.owner else ()
        share = self.writers[path] = file.owner or file.domain
        for number, line in shares.taken(share, self.system, path, self, (file.uid,)):
            if not line or line.startswith("#"):
                continue
            fields = line.split(":")
            if len(fields) < 2 or not fields[0]:
                self.problem(path, "no name and password", number)
                continue
            name = fields[0] if "@" in fields[0] else fields[0] + "@" + file.domain
            if not domain_is(name, file.domain):
                self.remark(path, "a name of another domain, which is ignored,", number)
                continue
            active = not is_locked(fields[1], "CRYPT")
            yield Account(name, fields[1], "CRYPT", self.name, hints, self.changed(fields), active, path)

    def changed(self, _fields):
        """Day of the last change, or None."""


class CPanel(DomainFiles):
    """``/home/ACCOUNT/etc/DOMAIN/shadow``, with the fields of shadow(5)."""

    name = CPANEL.name
    panel = CPANEL

    def changed(self, fields):
        return day(fields[2]) or None if len(fields) > 2 else None


class DirectAdmin(DomainFiles):
    """``/etc/virtual/DOMAIN/passwd``."""

    name = DIRECTADMIN.name
    panel = DIRECTADMIN
