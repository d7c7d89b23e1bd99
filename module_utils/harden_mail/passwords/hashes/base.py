"""What all password schemes have in common: the types, the errors, and the hash functions of a host in FIPS mode."""

import functools
import hashlib
from typing import Any, Callable, NamedTuple, Optional


class Uncheckable(Exception):
    """A stored password that nobody can be tried against. The reason never holds a part of it.

    :ivar reason: the end of a sentence "... can't be checked: REASON"
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(Uncheckable):
    """It is malformed, too costly, or of an unknown scheme; ``reason`` is ``LOCKED`` where no password can ever fit."""

    LOCKED = "locked"

    @property
    def locked(self) -> bool:
        return self.reason == self.LOCKED


class Malformed(Unreadable):
    """It has not the form that its scheme has."""

    def __init__(self, reason: str = "malformed hash") -> None:
        super().__init__(reason)


class Unavailable(Uncheckable):
    """This host lacks what its scheme needs; ``reason`` names what to install."""


class Group(tuple):
    """What the hashes that share the work of one candidate have in common: what is computed, then with what.

    It may hold a salt or a name, so it does not show itself.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Group({0})".format(self[0])

    __str__ = __repr__


class Hash(NamedTuple):
    """A stored password that can be checked.

    :ivar scheme: canonical: "SHA512-CRYPT", whatever the store called it
    :ivar group: hashes with an equal one share the work of one candidate
    :ivar digest: what ``computer(group)(candidate)`` must equal; SECRET
    :ivar plain: the store has the password itself
    :ivar weak: None, "plain", "unsalted", "des" or "md5"
    :ivar empty: the password is empty (of slow schemes it is not known: False)
    """

    scheme: str
    group: Group
    digest: bytes
    plain: bool
    weak: Optional[str]
    empty: bool

    def __repr__(self) -> str:
        return "Hash({0})".format(self.scheme)

    def __str__(self) -> str:
        return repr(self)


def hash_function(name: str) -> Callable[..., Any]:
    """hashlib's function of that name, also where FIPS mode has taken MD5 away from what guards secrets.

    :raises Unavailable: this host has it not at all
    """
    function = getattr(hashlib, name)
    for candidate in (function, functools.partial(function, usedforsecurity=False)):
        try:
            candidate(b"")
        except (ValueError, TypeError):
            continue
        return candidate
    raise Unavailable("Python on this host refuses {0}: run the audit while FIPS mode is off".format(name))
