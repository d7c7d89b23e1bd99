"""The directories of a Postfix queue, and how files are moved between them.

Sources: Postfix's ``global/mail_queue.c`` and ``mail_queue.h`` (names and places), ``postsuper.c`` (how a file's name
follows its inode).
"""

import contextlib
import os
import stat
from collections import OrderedDict

from ..quarantine import HALF_COPIED

MESSAGE_QUEUES = ("incoming", "active", "deferred", "hold")

# What Postfix notes of a message: its delays, its bounces, what NOTIFY=SUCCESS is told.
LOGS = ("defer", "bounce", "trace")

# User's bits of a file that is complete.
READY = 0o700

# Open directories that are kept; a queue hashed one level deep has 32.
DIRECTORIES = 100

_MICROSECONDS = 1000000
_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_BASE = len(_DIGITS)


class Spool:
    """A directory with files ``QUEUE/ID``, or ``QUEUE/I/D/ID`` where Postfix hashes.

    What is in it belongs to Postfix's user, who could put symbolic links in place of directories: none is followed
    below ``directory``.

    :ivar str directory: as this process reaches it
    """

    def __init__(self, directory, hashed=(), depth=0):
        self.directory, self._hashed, self._depth = directory, frozenset(hashed), depth
        self._open = OrderedDict()

    def owner(self):
        """Postfix's user (uid), whose files alone it takes for mail."""
        return os.stat(os.path.join(self.directory, "active")).st_uid

    def relative(self, queue, name):
        """Directory of a file, from the spool's own one."""
        if queue not in self._hashed:
            return queue
        microseconds, _ = _split(name)
        letters = (name if microseconds is None else "{0:05X}".format(microseconds)) + "_" * self._depth
        return "/".join([queue] + list(letters[: self._depth]))

    def path(self, queue, name):
        return os.path.join(self.directory, self.relative(queue, name), name)

    def names(self, queue):
        """Yield the names of the files in a queue that is not hashed; files half copied are none."""
        try:
            entries = os.scandir(os.path.join(self.directory, queue))
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                if not entry.name.endswith(HALF_COPIED):
                    yield entry.name

    # --- one file -----------------------------------------------------------------------------------------

    def stat(self, queue, name):
        """os.stat_result of the file itself, or None."""
        try:
            return os.stat(name, dir_fd=self._descriptor(self.relative(queue, name)), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def find(self, name):
        """The queue that has a message of some id, or None."""
        return next((queue for queue in MESSAGE_QUEUES if self.stat(queue, name)), None)

    def open_file(self, directory, name):
        """Descriptor of a file to read.

        :param str directory: as :meth:`relative` gives it
        :raises FileNotFoundError: it is not there
        :raises OSError: it is a symbolic link
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=self._descriptor(directory))

    def rename(self, directory, name, target, queue, new_name):
        """Move a file to another spool on the same file system, whose directory is made where it is missing.

        :param str directory: where it is, as :meth:`relative` gives it
        :raises FileNotFoundError: it is not there
        """
        os.rename(
            name,
            new_name,
            src_dir_fd=self._descriptor(directory),
            dst_dir_fd=target._descriptor(target.relative(queue, new_name), make=True),
        )

    def link(self, queue, name, other):
        """Give a file, where it is there, a second name in the same queue."""
        source, target = self.relative(queue, name), self.relative(queue, other)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            if self.stat(queue, name):
                there = self._descriptor(target, make=True)
                os.link(name, other, src_dir_fd=self._descriptor(source), dst_dir_fd=there, follow_symlinks=False)

    def move_logs(self, name, target, new_name, logs):
        """Move what Postfix noted of a message to another spool on the same file system."""
        for log in logs:
            with contextlib.suppress(FileNotFoundError):
                self.rename(self.relative(log, name), name, target, log, new_name)

    def remove_file(self, queue, name):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(name, dir_fd=self._descriptor(self.relative(queue, name)))

    def make_private(self):
        """Make the spool's directory with all queues, and that above it, for its owner alone."""
        for directory in (os.path.dirname(self.directory), self.directory):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        for queue in MESSAGE_QUEUES + LOGS:
            self._descriptor(queue, make=True)

    def remove_empty(self):
        """Remove what has become empty of the directories, and what a kill left half copied."""
        with contextlib.suppress(FileNotFoundError):
            for queue in os.listdir(self.directory):
                for name in os.listdir(os.path.join(self.directory, queue)):
                    if name.endswith(HALF_COPIED):
                        os.unlink(os.path.join(self.directory, queue, name))
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(self.directory, queue))
        for directory in (self.directory, os.path.dirname(self.directory)):
            with contextlib.suppress(OSError):
                os.rmdir(directory)

    # --- directories --------------------------------------------------------------------------------------

    def sync(self):
        """Make what was moved survive a power cut."""
        for descriptor in self._open.values():
            os.fsync(descriptor)

    def close(self):
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, relative, make=False):
        descriptor = self._open.get(relative)
        if descriptor is None:
            descriptor = self._open_directory(relative, make)
            self._open[relative] = descriptor
            if len(self._open) > DIRECTORIES:
                oldest = self._open.popitem(last=False)[1]
                os.fsync(oldest)
                os.close(oldest)
        else:
            self._open.move_to_end(relative)
        return descriptor

    def _open_directory(self, relative, make):
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        current = os.open(self.directory, flags)
        for part in relative.split("/"):
            above = current
            try:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, READY, dir_fd=above)
                current = os.open(part, flags | os.O_NOFOLLOW, dir_fd=above)
                if make:
                    # Of one that is there already, too: a kill may have come after it was made.
                    _give_to_owner_of(above, current)
            finally:
                os.close(above)
        return current


def _give_to_owner_of(above, directory):
    above, about = os.fstat(above), os.fstat(directory)
    # The queue's own directory is root's.
    if above.st_uid != about.st_uid and above.st_uid != os.geteuid():
        os.fchown(directory, above.st_uid, above.st_gid)


def name_of(name, inode, other):
    """The queue id of a message whose file has an inode, as ``postsuper`` makes it.

    :param str name: the id that it had
    :param bool other: it must be another one than that, with the same inode, too
    """
    microseconds, separator = _split(name)
    if microseconds is None:
        microseconds = int(name[:5], 16)
        if other:
            microseconds = (microseconds + 1) % _MICROSECONDS
        return "{0:05X}{1:X}".format(microseconds, inode)
    # Long ids don't repeat, so they need not follow the inode.
    if not other:
        return name
    microseconds = (microseconds + 1) % _MICROSECONDS
    digits = ""
    for _ in range(4):
        microseconds, digit = divmod(microseconds, _BASE)
        digits = _DIGITS[digit] + digits
    return name[: separator - 4] + digits + name[separator:]


def _split(name):
    """(microseconds, index of the z) of a long id; (None, None) of a short one."""
    separator = name.rfind("z")
    if separator < 10:
        return None, None
    microseconds = 0
    for sign in name[separator - 4 : separator]:
        microseconds = microseconds * _BASE + _DIGITS.index(sign)
    return microseconds, separator


def is_mail(about, owner):
    """Whether Postfix would take a file for a complete message."""
    return stat.S_ISREG(about.st_mode) and about.st_mode & READY == READY and about.st_uid == owner
