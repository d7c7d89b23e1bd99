"""Who lives on the host by its own /etc/passwd, and files that only root, or the mail system, can have written."""

import contextlib
import os
from collections import namedtuple

from ..untrusted import NotRead, lines_untrusted, matching, opened
from ..untrusted_walk import as_not_read

# name, home: str; uid, gid: int
User = namedtuple("User", "name uid gid home")

# Who is as good as root for some file: sets of user ids and of group ids.
AsGood = namedtuple("AsGood", "uids gids")
ROOT_ALONE = AsGood(frozenset(), frozenset())

# Accounts that mail programs and panels run as, into which nobody logs in. What belongs to one of them is as good as
# the mail server's own word.
MAIL_SYSTEM = ("dovecot", "vmail", "mail", "postfix", "vpopmail", "diradmin", "Debian-exim", "exim", "mailnull")

VPOPMAIL = "vpopmail"

# A text of settings; panels' lists of all domains.
_MOST = 16 << 20


def users(system):
    """All :class:`User` of /etc/passwd, by name (dict)."""
    found = {}
    for _number, line in lines_untrusted(system, "/etc/passwd", owners=()):
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdigit() and fields[3].isdigit() and fields[5].startswith("/"):
            found.setdefault(fields[0], User(fields[0], int(fields[2]), int(fields[3]), fields[5]))
    return found


def as_good(system, names):
    """:class:`AsGood` of those of some users that there are, and their own groups."""
    there = users(system)
    found = [there[name] for name in names if name in there]
    return AsGood({user.uid for user in found}, {user.gid for user in found})


def text_of_root(system, path, good=ROOT_ALONE, most=_MOST):
    """Text of a file that only root, or who is as good, can have written; None when it is not there.

    :param AsGood good: who is
    :param int most: bytes
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


def is_roots(system, path, good=ROOT_ALONE):
    """Whether there is a plain file that only root, or who is as good, can have put there (bool)."""
    with contextlib.suppress(NotRead):
        return text_of_root(system, path, good) is not None
    return False


def vpasswd_files(system, domains, problems=None):
    """vpopmail's files (list of str) beneath its directory of domains."""
    # Beyond a hundred domains vpopmail spreads them over one more level, of names of one character.
    return matching(system, domains + "/*/vpasswd", problems) + matching(system, domains + "/?/*/vpasswd", problems)
