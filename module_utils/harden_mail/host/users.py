"""Who lives on the host by its own /etc/passwd, and files that only root, or the mail system, can have written."""

import contextlib
import os
from typing import AbstractSet, Any, Dict, Iterable, List, NamedTuple, Optional

from ..system import System
from ..untrusted import NotRead, lines_untrusted, matching, opened
from ..untrusted_walk import as_not_read


class User(NamedTuple):
    """A user of the host."""

    name: str
    uid: int
    gid: int
    home: str


class AsGood(NamedTuple):
    """Who is as good as root for some file: user ids and group ids."""

    uids: AbstractSet[int]
    gids: AbstractSet[int]


ROOT_ALONE = AsGood(frozenset(), frozenset())

# Accounts that mail programs and panels run as, into which nobody logs in. What belongs to one of them is as good as
# the mail server's own word.
MAIL_SYSTEM = ("dovecot", "vmail", "mail", "postfix", "vpopmail", "diradmin", "Debian-exim", "exim", "mailnull")

VPOPMAIL = "vpopmail"

# A text of settings; panels' lists of all domains.
_MOST = 16 << 20


def users(system: System) -> Dict[str, User]:
    """All of /etc/passwd, by name."""
    found: Dict[str, User] = {}
    for _number, line in lines_untrusted(system, "/etc/passwd", owners=()):
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdigit() and fields[3].isdigit() and fields[5].startswith("/"):
            found.setdefault(fields[0], User(fields[0], int(fields[2]), int(fields[3]), fields[5]))
    return found


def as_good(system: System, names: Iterable[str]) -> AsGood:
    """Those of some users that there are, and their own groups."""
    there = users(system)
    found = [there[name] for name in names if name in there]
    return AsGood({user.uid for user in found}, {user.gid for user in found})


def text_of_root(system: System, path: str, good: AsGood = ROOT_ALONE, most: int = _MOST) -> Optional[str]:
    """Text of a file that only root, or who is as good, can have written; None when it is not there.

    :param good: who is
    :param most: bytes
    :raises NotRead: others can have written it, or it can't be read
    """
    try:
        handle = opened(system, path, most, good.uids, good.uids)
    except NotRead as error:
        if error.missing:
            return None
        raise
    with handle, as_not_read(path):
        about = os.fstat(handle.fileno())
        group = 0 if about.st_gid in good.gids | {0, os.getegid()} else 0o020
        if about.st_mode & (0o002 | group):
            raise NotRead(path, "can be written by others than root (chmod go-w it), so it is not followed")
        return handle.read(most).decode("utf-8", "surrogateescape")


def is_roots(system: System, path: str, good: AsGood = ROOT_ALONE) -> bool:
    """Whether there is a plain file that only root, or who is as good, can have put there."""
    with contextlib.suppress(NotRead):
        return text_of_root(system, path, good) is not None
    return False


def vpasswd_files(system: System, domains: str, problems: Any = None) -> List[str]:
    """vpopmail's files beneath its directory of domains."""
    # Beyond a hundred domains vpopmail spreads them over one more level, of names of one character.
    return matching(system, domains + "/*/vpasswd", problems) + matching(system, domains + "/?/*/vpasswd", problems)
