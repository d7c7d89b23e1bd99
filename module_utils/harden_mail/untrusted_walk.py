"""The way to a file that somebody other than root can put there, walked component by component.

Each component is opened relative to the one before, so that nothing changes behind a check. The rule of the steps is
that of systemd's ``chase()`` with CHASE_SAFE: from what root owns a step may lead anywhere, from what a user owns only
to what the same user owns. So a user's link, hard link or foreign entry never makes root read what that user could not.
"""

import contextlib
import errno
import os
import pwd
import re
import stat
from typing import AbstractSet, Iterator, List, NamedTuple, Optional, Set, Tuple

from .system import System

# As many symbolic links as the kernel follows in one path.
_MOST_LINKS = 40

# Files there are made by the kernel (their size says nothing, reading may wait for ever), or by a user's own program.
_KERNELS = {"proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "configfs", "securityfs", "devpts", "mqueue",
            "autofs", "binfmt_misc", "efivarfs", "fusectl", "pstore", "bpf", "selinuxfs"}  # fmt: skip
_KERNELS_PLACES = ("/proc", "/sys")

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

LINK = "is a symbolic link that others than root could have made, so it is not followed"


class NotRead(Exception):
    """A file is not read (or written), and why.

    :ivar path: on the host
    :ivar why: a clause that follows the path, as "is no plain file, so it is not read"
    :ivar missing: there is nothing at that path
    """

    def __init__(self, path: str, why: str, missing: bool = False) -> None:
        super().__init__("{0} {1}".format(path, why))
        self.path, self.why, self.missing = path, why, missing


class _Directory(NamedTuple):
    """A directory on the way.

    :ivar descriptor: of O_PATH
    :ivar path: on the host, without links
    :ivar owner: user id
    :ivar only_root: whether nobody else can make entries in it
    """

    descriptor: int
    path: str
    owner: int
    only_root: bool


def trusted_users() -> Set[int]:
    """User ids that are trusted: root's, and our own (of whoever runs the tests)."""
    return {0, os.geteuid()}


@contextlib.contextmanager
def walked(
    system: System, path: str, replaces: bool = False, peers: AbstractSet[int] = frozenset()
) -> Iterator[Tuple[_Directory, str, Optional[os.stat_result]]]:
    """The directory, name and stat (None: there is nothing) of what a path leads to; a link only if it is not followed.

    :param replaces: what is there is only replaced or removed, which who owns its directory could do as well, so
        that it is no matter whose it is
    :param peers: user ids that are as good as each other and root, as those of the mail system: a step from one's
        directory may lead to a plain file of another that has no second name
    :raises NotRead: a directory on the way is missing, or a step is not safe
    """
    way = [_directory_of(os.open(system.real("/"), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), "")]
    try:
        yield _walk(way, path, _kernels_places(system), replaces, peers)
    finally:
        for directory in way:
            os.close(directory.descriptor)


def _walk(
    way: List[_Directory], path: str, forbidden: Set[str], replaces: bool, peers: AbstractSet[int]
) -> Tuple[_Directory, str, Optional[os.stat_result]]:
    """See :func:`walked`; ``way`` is the directories until here, whose descriptors the caller closes."""
    left, links = [part for part in path.split("/") if part not in ("", ".")][::-1], 0
    while left:
        name, here = left.pop(), way[-1]
        if name == "..":
            _up(way, path)
            continue
        place = here.path + "/" + name
        if place in forbidden:
            raise NotRead(path, "is no file on a disk ({0}), so it is not read".format(place))
        about = _look(path, here, name, may_be_missing=not left)
        if about is None:
            return here, name, None
        if stat.S_ISLNK(about.st_mode):
            if about.st_uid not in trusted_users() or not here.only_root:
                if left:
                    raise NotRead(path, "goes by {0}, which {1}".format(place, LINK))
                return here, name, about
            links += 1
            if links > _MOST_LINKS:
                raise NotRead(path, "has too many symbolic links on the way")
            left += _target(way, path, here, name)
            continue
        if left or not replaces:
            _check_step(path, here, about, peers)
        if not left:
            return here, name, about
        with as_not_read(path):
            descriptor = os.open(name, _STEP, dir_fd=here.descriptor)
        way.append(_directory_of(descriptor, place))
        require_same(path, about, os.fstat(descriptor))
    raise NotRead(path, "is no plain file, so it is not read")


def _up(way: List[_Directory], path: str) -> None:
    here = way[-1]
    if here.owner not in trusted_users():
        raise NotRead(path, "leads up from a directory of {0}".format(user_name(here.owner)))
    if len(way) > 1:
        os.close(way.pop().descriptor)


def _look(path: str, here: _Directory, name: str, may_be_missing: bool) -> Optional[os.stat_result]:
    with as_not_read(path):
        try:
            return os.stat(name, dir_fd=here.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            if may_be_missing:
                return None
            raise


def _target(way: List[_Directory], path: str, here: _Directory, name: str) -> List[str]:
    """Components (the last one first) of where a link leads, from the last directory in ``way``."""
    with as_not_read(path):
        target = os.readlink(name, dir_fd=here.descriptor)
    if target.startswith("/"):
        while len(way) > 1:
            os.close(way.pop().descriptor)
    return [part for part in target.split("/") if part not in ("", ".")][::-1]


def _directory_of(descriptor: int, path: str) -> _Directory:
    about = os.fstat(descriptor)
    others = about.st_mode & stat.S_IWOTH or (about.st_mode & stat.S_IWGRP and about.st_gid != 0)
    return _Directory(descriptor, path, about.st_uid, about.st_uid in trusted_users() and not others)


def _check_step(path: str, here: _Directory, about: os.stat_result, peers: AbstractSet[int]) -> None:
    if here.owner in trusted_users():
        # In a directory that others can write, too, a second name could be a hard link to a file of root's elsewhere.
        if (
            not here.only_root
            and about.st_uid in trusted_users()
            and stat.S_ISREG(about.st_mode)
            and about.st_nlink > 1
        ):
            raise NotRead(path, "is a hard link that others than root could have made, so it is not read")
    elif about.st_uid != here.owner and not _is_of_peers(here, about, peers):
        raise NotRead(
            path,
            "leads from a directory of {0} to what belongs to {1}, so it is not read".format(
                user_name(here.owner), user_name(about.st_uid)
            ),
        )


def _is_of_peers(here: _Directory, about: os.stat_result, peers: AbstractSet[int]) -> bool:
    is_single = stat.S_ISREG(about.st_mode) and about.st_nlink == 1
    return is_single and here.owner in peers and about.st_uid in trusted_users() | set(peers)


def require_same(path: str, before: os.stat_result, after: os.stat_result) -> None:
    """What was opened is what was looked at.

    :raises NotRead: it is not
    """
    if (before.st_dev, before.st_ino, stat.S_IFMT(before.st_mode)) != (
        after.st_dev,
        after.st_ino,
        stat.S_IFMT(after.st_mode),
    ):
        raise NotRead(path, "was replaced while it was opened, so it is not read")


def _kernels_places(system: System) -> Set[str]:
    """Mount points behind which no files of a disk are; proc(5), ``/proc/PID/mountinfo``."""
    found = set(_KERNELS_PLACES)
    with contextlib.suppress(OSError), open(system.real("/proc/self/mountinfo"), errors="surrogateescape") as handle:
        for line in handle:
            first, _, second = line.partition(" - ")
            fields, (kind, _source, options) = first.split(), (second.split() + ["", "", ""])[:3]
            users = kind.startswith("fuse") and "user_id=0" not in options.split(",")
            if len(fields) > 4 and (kind in _KERNELS or users):
                found.add(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), fields[4]))
    return found


@contextlib.contextmanager
def as_not_read(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotRead(path, why_not(error), missing=error.errno in (errno.ENOENT, errno.ENOTDIR)) from None


def why_not(error: OSError) -> str:
    return "can't be read ({0})".format(error.strerror or error)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "user {0}".format(uid)
