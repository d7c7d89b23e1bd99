"""Cyrus SASL's sasldb2: key ``user NUL realm NUL userPassword``, value the password in clear text.

Debian's is a hash file of Berkeley DB, which is read here; Red Hat's since release 9 one of gdbm, which Python reads if
it has that module.
"""

import os
import stat

try:
    import dbm.gnu as gdbm
except ImportError:
    gdbm = None

from ..account import Account
from . import berkeley
from .store import Store

PATHS = ("/etc/sasldb2", "/etc/sasl2/sasldb2")

PROPERTY = b"userPassword"

# First bytes of a gdbm file (gdbmconst.h), of either byte order and word size.
_GDBM_MAGICS = (b"\xcd\x9a\x57\x13", b"\xce\x9a\x57\x13", b"\xcf\x9a\x57\x13", b"\xd0\x9a\x57\x13", b"\xd1\x9a\x57\x13")


class Sasldb(Store):
    name = "sasldb"
    known = ("path",)

    def read_accounts(self):
        path = self.options.get("path") or next((path for path in PATHS if self.system.exists(path)), PATHS[0])
        self.begin(path)
        try:
            descriptor = os.open(self.system.real(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            self.problem(path, "can't be read ({0})".format(error.strerror or error))
            return
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            self.problem(path, "is no plain file, so it is not read")
            return
        with os.fdopen(descriptor, "rb") as handle:
            start = handle.read(4)
            handle.seek(0)
            try:
                yield from self._accounts(path, self._gdbm(path) if _is_gdbm(start) else berkeley.pairs(handle))
            except berkeley.NoHashFile as error:
                self.problem(path, "is {0}, which can't be read here".format(error))
            except OSError as error:
                self.problem(path, "can't be read ({0})".format(error.strerror or error))

    def _accounts(self, path, pairs):
        for pair in pairs:
            if pair is None:
                self.problem(path, "some entries can't be read")
                continue
            key, value = pair
            parts = key.split(b"\0")
            # Beside passwords there are other properties of users, as secrets of mechanisms.
            if len(parts) != 3 or parts[2] != PROPERTY:
                continue
            user, realm = (part.decode("utf-8", "surrogateescape") for part in parts[:2])
            name = user if "@" in user or not realm else user + "@" + realm
            password = value.decode("utf-8", "surrogateescape")
            yield Account(name, "{PLAIN}" + password, "PLAIN", self.name, (), None, True, path)

    def _gdbm(self, path):
        if gdbm is None:
            self.problem(path, "is a gdbm file, and the host's Python has no module dbm.gnu to read it (python3-gdbm)")
            return
        try:
            # Without the lock, for which a writer would have to wait.
            base = gdbm.open(self.system.real(path), "ru")
        except OSError as error:
            self.problem(path, "can't be read ({0})".format(error.strerror or error))
            return
        with base:
            key = base.firstkey()
            while key is not None:
                yield key, base[key]
                key = base.nextkey(key)


def _is_gdbm(start):
    return start in _GDBM_MAGICS or start[::-1] in _GDBM_MAGICS
