"""Cyrus SASL's sasldb2: key ``user NUL realm NUL userPassword``, value the password in clear text.

Debian's is a hash file of Berkeley DB, which is read here; Red Hat's since release 9 one of gdbm, which Python reads if
it has that module. Either is read in a process of the file's owner.
"""

import os

try:
    import dbm.gnu as gdbm
except ImportError:
    gdbm = None  # type: ignore[assignment]

from ...untrusted import NotRead, opened
from ...untrusted_child import DATABASE, rows_as_owner
from ..account import Account
from . import berkeley
from .store import Store

PATHS = ("/etc/sasldb2", "/etc/sasl2/sasldb2")

PROPERTY = b"userPassword"

# Of a key and its value together, in bytes; JSON writes up to six characters for each.
LONGEST = 16384
_BOUNDS = DATABASE._replace(seconds=30, row=6 * LONGEST + 16)

# First bytes of a gdbm file (gdbmconst.h), of either byte order and word size.
_GDBM_MAGICS = (b"\xcd\x9a\x57\x13", b"\xce\x9a\x57\x13", b"\xcf\x9a\x57\x13", b"\xd0\x9a\x57\x13", b"\xd1\x9a\x57\x13")


class Sasldb(Store):
    name = "sasldb"
    known = ("path",)

    def read_accounts(self):
        path = self.options.get("path") or next((path for path in PATHS if self.system.exists(path)), PATHS[0])
        self.begin(path)
        try:
            with opened(self.system, path, None) as handle:
                owner, start = os.fstat(handle.fileno()).st_uid, handle.read(4)
            # A link of root's may lead there.
            real = os.path.realpath(self.system.real(path))
            if _is_gdbm(start):
                if gdbm is None:
                    raise NotRead(
                        path, "is a gdbm file, and the host's Python has no module dbm.gnu to read it (python3-gdbm)"
                    )
                pairs = rows_as_owner(path, lambda: _gdbm_pairs(path, real), owner, _BOUNDS)
            else:
                pairs = rows_as_owner(path, lambda: _berkeley_pairs(path, real), owner, _BOUNDS)
            yield from self._accounts(path, pairs)
        except NotRead as error:
            self.problem(path, error.why)

    def _accounts(self, path, pairs):
        for pair in pairs:
            if pair is None:
                self.problem(path, "some entries can't be read")
                continue
            key, value = _bytes_of(path, pair)
            parts = key.split(b"\0")
            # Beside passwords there are other properties of users, as secrets of mechanisms.
            if len(parts) != 3 or parts[2] != PROPERTY:
                continue
            user, realm = (part.decode("utf-8", "surrogateescape") for part in parts[:2])
            name = user if "@" in user or not realm else user + "@" + realm
            password = value.decode("utf-8", "surrogateescape")
            yield Account(name, "{PLAIN}" + password, "PLAIN", self.name, (), None, True, path)


def _bytes_of(path, pair):
    """(bytes key, bytes value) of what :func:`_said` made."""
    try:
        key, value = (part.encode("latin-1") for part in pair)
    except (TypeError, ValueError, AttributeError):
        raise NotRead(path, "could not be read: the process that read it answered with nonsense") from None
    return key, value


# --- in the owner's process ------------------------------------------------------------------------------------------


def _berkeley_pairs(path, real):
    try:
        with open(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as handle:
            for pair in berkeley.pairs(handle):
                yield _said(pair)
    except berkeley.NoHashFile as error:
        raise NotRead(path, "is {0}, which can't be read here".format(error)) from None
    except OSError as error:
        raise NotRead(path, "can't be read ({0})".format(error.strerror or error)) from None


def _gdbm_pairs(path, real):
    try:
        # Without the lock, for which a writer would have to wait.
        with gdbm.open(real, "ru") as base:
            key = base.firstkey()
            while key is not None:
                yield _said((key, base[key]))
                key = base.nextkey(key)
    except OSError as error:
        raise NotRead(path, "can't be read ({0})".format(error.strerror or error)) from None


def _said(pair):
    """What JSON can carry of a pair of bytes, or None for one that can't be read or is no name and password."""
    if pair is None or sum(len(part) for part in pair) > LONGEST:
        return None
    return [part.decode("latin-1") for part in pair]


def _is_gdbm(start):
    return start in _GDBM_MAGICS or start[::-1] in _GDBM_MAGICS
