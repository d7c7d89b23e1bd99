"""Lets one more user read the database: qmail-smtpd's, who is in no group that it could be given to.

That is an entry in the access control lists (acl(5)) of the directory and the file; their owner, group and mode stay.
"""

import errno
import os
import stat
import struct

from ..errors import UserError

ATTRIBUTE = "system.posix_acl_access"

# Tags, the identity of entries that have none, and the version: of the kernel's include/uapi/linux/posix_acl.h.
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NOBODY = 0xFFFFFFFF
VERSION = 2
ENTRY = struct.Struct("<HHI")

READ, ENTER = 4, 1


def may_read(path, uid):
    """Whether :func:`let_read` has let this user (its number) read a file or directory."""
    return _own(path) == [(USER, _needed(os.stat(path)), uid)]


def let_read(path, uid):
    """Let a user (its number) read a file, or enter and list a directory; nobody else whom this had let in before.

    :raises UserError: the file system has no access control lists
    """
    about = os.stat(path)
    mode = stat.S_IMODE(about.st_mode)
    own, group, other = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    needed = _needed(about)
    # For who has a list, the group's part of the mode is the mask; the group's own entry is what it was.
    group = next((bits for tag, bits, _id in _entries(path) if tag == GROUP_OBJ), group)
    entries = [
        (USER_OBJ, own, NOBODY),
        (USER, needed, uid),
        (GROUP_OBJ, group, NOBODY),
        (MASK, group | needed, NOBODY),
        (OTHER, other, NOBODY),
    ]
    packed = struct.pack("<I", VERSION) + b"".join(ENTRY.pack(*entry) for entry in entries)
    try:
        os.setxattr(path, ATTRIBUTE, packed)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        raise UserError(
            "The file system of {0} has no access control lists, by which qmail-smtpd could read it.".format(path)
        ) from None


def _needed(about):
    return READ | ENTER if stat.S_ISDIR(about.st_mode) else READ


def _own(path):
    """The entries for users and groups that are named: list of (tag, bits, id)."""
    return [entry for entry in _entries(path) if entry[0] in (USER, GROUP)]


def _entries(path):
    try:
        packed = os.getxattr(path, ATTRIBUTE)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return []
        raise
    return list(ENTRY.iter_unpack(packed[4:]))
