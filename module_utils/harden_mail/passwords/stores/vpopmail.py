"""vpopmail's accounts: files ``vpasswd`` in each domain's directory, or the tables that ``vpopmail.mysql`` leads to.

``vpasswd`` has lines ``name:crypt:uid:flags:gecos:dir:quota[:clear text]``.
"""

import os

from ...host.panel_accounts import OF_THE_SYSTEM
from ...host.users import VPOPMAIL, as_good, vpasswd_files
from ...untrusted import lines_untrusted
from .sql import accounts_of, private_text
from .sql_settings import vpopmail_mysql
from .store import Store, domain_is
from .vpopmail_account import account_from

# Name of its file of connections to MySQL.
MYSQL_FILE = "vpopmail.mysql"


class Vpopmail(Store):
    """With a path: the directory of domains, or files ``vpasswd``, or ``vpopmail.mysql``."""

    name = "vpopmail"
    known = ("path",)
    required = ("path",)

    def read_accounts(self):
        path = self.options["path"]
        return self._in_tables(path) if os.path.basename(path) == MYSQL_FILE else self._in_files(path)

    def _in_tables(self, path):
        text = private_text(self, path)
        connection = vpopmail_mysql(text) if text else None
        if connection is not None:
            yield from accounts_of(self, connection, "vpopmail", None)
        elif text:
            self.problem(path, "has no line with a server, a user and a database")

    def _in_files(self, path):
        is_directory = self.system.is_dir(path)
        paths = vpasswd_files(self.system, path, self) if is_directory else self.matching(path)
        if not paths:
            self.problem(path, "there is no file vpasswd")
        # Of nobody else but the user that vpopmail runs as, where there is one.
        owners = as_good(self.system, (VPOPMAIL,)).uids or None
        for file in paths:
            domain = os.path.basename(os.path.dirname(file))
            for number, line in lines_untrusted(self.system, self.begin(file), self, OF_THE_SYSTEM, owners):
                if not line:
                    continue
                account = account_of(line, domain)
                if account is None:
                    self.problem(file, "no name and password", number)
                elif not domain_is(account.name, domain):
                    self.remark(file, "a name of another domain, which is ignored,", number)
                else:
                    yield account._replace(source=file)


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
