"""Who lives on the host by its own /etc/passwd, and files that only root, or the mail system, can have written."""

import contextlib
import os
from collections import namedtuple

from ..untrusted import NotRead, lines_untrusted, matching, opened
from ..untrusted_walk import trusted_users

# name, home: str; uid: int
User = namedtuple("User", "name uid home")

# Accounts that mail programs and panels run as, into which nobody logs in. What belongs to one of them is as good as
# the mail server's own word.
MAIL_SYSTEM = ("dovecot", "vmail", "mail", "postfix", "vpopmail", "diradmin")

VPOPMAIL = "vpopmail"

# A text of settings; panels' lists of all domains.
_MOST = 16 << 20


def users(system):
    """All :class:`User` of /etc/passwd, by name (dict)."""
    found = {}
    for _number, line in lines_untrusted(system, "/etc/passwd", owners=()):
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdigit() and fields[5].startswith("/"):
            found.setdefault(fields[0], User(fields[0], int(fields[2]), fields[5]))
    return found


def uids(system, names):
    """User ids (set of int) of those of some names that there are."""
    there = users(system)
    return {there[name].uid for name in names if name in there}


def text_of_root(system, path, owners=()):
    """Text of a file that only root, or one of some users, can have written; None when it is not there.

    :param owners: user ids besides root's that are as good
    :raises NotRead: others can have written it, or it can't be read
    """
    try:
        handle = opened(system, path, _MOST, owners)
    except NotRead as error:
        if error.missing:
            return None
        raise
    with handle:
        refuse_others(path, os.fstat(handle.fileno()), owners)
        return handle.read(_MOST).decode("utf-8", "surrogateescape")


def refuse_others(path, about, owners=()):
    """Raise NotRead if others than root, or some users, can write a file.

    :param os.stat_result about: of the file
    """
    group = 0o020 if about.st_gid and about.st_uid in trusted_users() else 0
    if about.st_mode & (0o002 | group):
        raise NotRead(path, "can be written by others than root (chmod go-w it), so it is not followed")


def is_roots(system, path, owners=()):
    """Whether there is a plain file that only root, or one of some users, can have put there (bool)."""
    with contextlib.suppress(NotRead):
        return text_of_root(system, path, owners) is not None
    return False


def vpasswd_files(system, domains, problems=None):
    """vpopmail's files (list of str) beneath its directory of domains."""
    # Beyond a hundred domains vpopmail spreads them over one more level, of names of one character.
    return matching(system, domains + "/*/vpasswd", problems) + matching(system, domains + "/?/*/vpasswd", problems)
