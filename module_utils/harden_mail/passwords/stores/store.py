"""What every store is: options in, accounts out, and what could not be read."""

import re
import time
from typing import AbstractSet, Any, Dict, Iterator, List, Optional, Set, Tuple

from ...errors import UserError
from ...host.panel_accounts import fits, other_name
from ...system import System
from ...text import ascii_lower
from ...untrusted import matching
from ..account import Account
from .problems import Problems

# In place of a password: nobody can log in with it (shadow(5), and what panels and vpopmail write).
LOCKED = ("*", "!", "!!", "!*", "*LK*", "*NP*", "x", "NP", "LK")

# An address has 320 characters at most (RFC 3696, errata); the longest hash, of SCRAM or Argon2, a few hundred.
LONGEST_NAME = 320
LONGEST_STORED = 16384

# What a guesser may know beside the name.
MOST_HINTS, LONGEST_HINT = 8, 200

# Of one store: an audit holds them all in memory.
MOST_ACCOUNTS = 300000
MOST_TEXT = 128 << 20

_CONTROL = re.compile(r"[\0-\x1f\x7f]")

# Schemes under which any text is a password, "!" and "x" too.
PLAIN_SCHEMES = ("PLAIN", "CLEAR", "CLEARTEXT")


class Store:
    """A place where accounts are kept; read only.

    :cvar name: as in the facts of ``mail_host``
    :cvar known: names of the options that its declaration may hold beside ``store``
    :cvar required: of those that it must hold
    :ivar options: the declaration, checked
    :ivar writers: who can write a source besides root and the mail system: source -> a name for it
    :param options: the declaration; see :meth:`check_options`
    :raises UserError: the declaration can't be right
    """

    name = ""
    known: Tuple[str, ...] = ("path", "default_scheme")
    required: Tuple[str, ...] = ()

    # Options that may be numbers, which YAML makes of words like 5 where nobody puts quotes.
    numbers: Tuple[str, ...] = ()

    # Options that are files on the host.
    paths: Tuple[str, ...] = ("path", "credentials_file")

    # What the facts of mail_host say beside; a declaration is often a copy of these.
    ignored: Tuple[str, ...] = ("store", "count")

    def __init__(self, system: System, options: Dict[str, Any]) -> None:
        self.system = system
        self.options = {key: value for key, value in options.items() if value is not None and key not in self.ignored}
        self._problems = Problems()
        self.writers: Dict[str, str] = {}
        self._sources: Set[str] = set()
        self._troubled: Set[str] = set()
        self.check_options()

    def check_options(self) -> None:
        """Raise UserError for options that are not known here, missing, or of another type."""
        for key, value in sorted(self.options.items(), key=lambda item: str(item[0])):
            if key not in self.known:
                raise UserError(
                    "The store {0} has no option '{1}'; it knows {2}.".format(
                        self.name, key, ", ".join(self.known) or "none"
                    )
                )
            # A boolean is an int for Python, and no number for people.
            if key in self.numbers and type(value) is int:
                self.options[key] = str(value)
            elif not isinstance(value, str) or not value:
                raise UserError(
                    "The option {0} of the store {1} is '{2}', which is no text.".format(key, self.name, value)
                )
            elif "\0" in value:
                raise UserError("The option {0} of the store {1} has a NUL byte in it.".format(key, self.name))
        for key in self.required:
            if key not in self.options:
                raise UserError("The store {0} needs the option {1}.".format(self.name, key))
        for key in self.paths:
            path = self.options.get(key, "/")
            if not path.startswith("/"):
                raise UserError(
                    "The option {0} of the store {1} is '{2}'; it must begin with a slash.".format(key, self.name, path)
                )

    def accounts(self) -> Iterator[Account]:
        """In constant memory; what can't be read goes to :attr:`problems`.

        Whatever the store is, others may have written it: there are bounds on each account and on all of them.
        """
        count, size = 0, 0
        for account in self.read_accounts():
            if len(account.name) > LONGEST_NAME or _CONTROL.search(account.name):
                self.remark(account.source, "has a name that is too long, or has control characters; it is ignored")
                continue
            if len(account.stored) > LONGEST_STORED:
                what = "has a password of more than {0:,} characters, which is not tried".format(LONGEST_STORED)
                self.problem(account.source, what)
                continue
            hints = tuple(hint[:LONGEST_HINT] for hint in account.hints[:MOST_HINTS])
            count += 1
            size += len(account.name) + len(account.stored) + sum(len(hint) for hint in hints)
            if count > MOST_ACCOUNTS or size > MOST_TEXT:
                what = "has more than {0:,} accounts, or {1:,} characters; the rest is not read"
                # Which of its sources were not come to, nobody knows; this one was not read to its end.
                self.problem("The store {0}".format(self.name), what.format(MOST_ACCOUNTS, MOST_TEXT))
                self._troubled.add(account.source)
                return
            yield account._replace(hints=hints)

    def read_accounts(self) -> Iterator[Account]:
        """Accounts as the store has them; see :meth:`accounts`."""
        raise NotImplementedError

    @property
    def problems(self) -> List[str]:
        """Sentences on what could not be read until now, 20 at most and one that counts the rest."""
        return self._problems.sentences()

    @property
    def unread(self) -> Set[str]:
        """Sources (see ``Account.source``) that were not read, or not as a whole, until now."""
        return self._troubled & self._sources

    @property
    def read_whole(self) -> Set[str]:
        """Sources of which nothing is missing, once :meth:`accounts` has come to its end."""
        return self._sources - self._troubled

    @property
    def knows_sources(self) -> bool:
        """Whether no source was missed until now: all trouble was with sources that are known by name."""
        return self._troubled <= self._sources

    def begin(self, source: str) -> str:
        """Say that a source is read now: its accounts and its problems have this place, which is returned."""
        self._sources.add(source)
        return source

    def matching(self, pattern: str, peers: AbstractSet[int] = frozenset()) -> List[str]:
        """Files that match a pattern of the shell; one to which no safe way leads is a problem."""
        trouble = _Trouble()
        found = matching(self.system, pattern, trouble, peers=peers)
        for place, what in trouble.told:
            if fits(place, pattern) and other_name(self.system, place):
                found.append(place)
                continue
            if fits(place, pattern):
                self.begin(place)
            self.problem(place, what)
        return sorted(found)

    @staticmethod
    def today() -> int:
        """Days since 1970."""
        return int(time.time() // 86400)

    def problem(self, place: str, what: str, line: Optional[int] = None) -> None:
        """Remember what could not be read; see :meth:`Problems.add`."""
        self._troubled.add(place)
        self._problems.add(place, what, line)

    add = problem

    def remark(self, place: str, what: str, line: Optional[int] = None) -> None:
        """Say what a person ought to know of a source that was read all the same; parameters as of :meth:`problem`."""
        self._problems.add(place, what, line)


class _Trouble:
    """What could not be looked at: a list of (place, what)."""

    def __init__(self) -> None:
        self.told: List[Tuple[str, str]] = []

    def add(self, place: str, what: str, line: Optional[int] = None) -> None:
        self.told.append((place, what))


def is_locked(stored: str, scheme: str) -> bool:
    """Whether a stored password is a mark that nobody can log in with it, rather than a password.

    :param scheme: the scheme where ``stored`` names none
    """
    if stored.startswith("{") or scheme.upper().split(".")[0] in PLAIN_SCHEMES:
        return False
    return stored in LOCKED or stored.startswith(("!", "*"))


def domain_is(name: str, domain: str) -> bool:
    """Whether an account's name is ``something@domain``, with no second @."""
    local, _at, found = name.partition("@")
    return bool(local) and ascii_lower(found) == ascii_lower(domain)
