"""How a message leaves the place where a queue manager and delivery agents would find it, and what keeps it there."""

import contextlib
import fcntl
import os
from collections import namedtuple
from typing import Callable, List, Set, Tuple

from ...errors import CommandError
from ...system import System
from .instances import Instance
from .spool import LOGS, MESSAGE_QUEUES, Spool, is_mail

# What a queue manager is asked to look through (src/global/mail_proto.h).
_LOOK_AT_INCOMING, LOOK_AT_DEFERRED = "I", "D"

# Seconds that it has to take that; it may be busy, and looks by itself later on.
_WAKE_TIMEOUT = 10

# Of what is noted of a message: what bounce(8) sends a report from, and the rest.
_REPORTED = ("bounce", "trace")
NOTED = tuple(log for log in LOGS if log not in _REPORTED)

NO_MAIL = "its file is not one that Postfix takes for a message"
GONE = "no longer in the queue"
REPLACED = "another message has its id now"
IN_DELIVERY = "it is being delivered at this moment"
REPORTING = "its sender is just to be told what became of it"
IN_MAILDROP = "it is in maildrop, and can be moved once Postfix, if it runs, has taken it in, which takes a minute"

# A message that is to be moved. inode, mtime: of its file; directory: that it was found in, of the spool; logs: those
# that it had; what is not known is None
Wanted = namedtuple("Wanted", "id state inode identity directory mtime logs")


class LeftInQueue(Exception):
    """A message is left in the queue: why."""


def lock(descriptor: int) -> None:
    """Lock a file as a queue manager does.

    :raises LeftInQueue: somebody has locked it
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LeftInQueue(IN_DELIVERY) from None


class Mover:
    """Takes messages of an instance from where its queue manager and delivery agents would find them.

    :ivar spool: the queue
    """

    def __init__(self, system: System, spool: Spool, instance: Instance):
        self.system, self.spool, self.instance = system, spool, instance
        self.owner = spool.owner()
        self._locks = None
        self._to_look_at: Set[str] = set()

    def wake(self) -> None:
        """Tell the queue manager of mail that it would not look for soon; where none runs nothing happens."""
        if self._to_look_at:
            request = "".join(sorted(self._to_look_at))
            argv = ["postkick", "-c", self.instance.config_dir, "public", "qmgr", request]
            with contextlib.suppress(CommandError):
                self.system.run(argv, check=False, timeout=_WAKE_TIMEOUT)
            self._to_look_at.clear()

    def take_all(self, wanted, files, take_one):
        """Call ``take_one(message, files)`` for each message (Wanted): [(id, why)] of those left."""
        self._locks = None
        skipped = []
        for one in wanted:
            try:
                take_one(one, files)
            except LeftInQueue as left:
                skipped.append((one.id, str(left)))
        return skipped

    def move(
        self, wanted: Wanted, files: List[int], target: Callable[[str], Tuple[Spool, str, str]]
    ) -> Tuple[str, os.stat_result]:
        """Move a message that nobody delivers, as far as can be seen before it is moved.

        :param wanted: which
        :param files: gets its open file
        :param target: queue -> (Spool, queue, id) that it goes to
        :returns: the queue that it was in, and its file
        :raises LeftInQueue: it was left in the queue, and why
        """
        if wanted.state == "maildrop":
            raise LeftInQueue(IN_MAILDROP)
        for directory in self._where(wanted):
            queue = directory.partition("/")[0]
            try:
                descriptor = self.spool.open_file(directory, wanted.id)
                files.append(descriptor)
                about = os.fstat(descriptor)
                if about.st_ino != wanted.inode:
                    raise LeftInQueue(REPLACED)
                if not is_mail(about, self.owner):
                    raise LeftInQueue(NO_MAIL)
                if queue == "active":
                    self._see_that_nothing_is_reported(wanted.id)
                if queue == "active" and self._is_in_delivery(about.st_ino):
                    # Rather than to move it and back; the lock may also be that of another file system's file.
                    lock(descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                # As long as the file is open nobody else gets its inode, and so its name.
                self.spool.rename(directory, wanted.id, *target(queue))
            except (FileNotFoundError, NotADirectoryError):
                continue
            return queue, about
        raise LeftInQueue(GONE)

    def _see_that_nothing_is_reported(self, name):
        """See that bounce(8) has nothing to do with an active message.

        It reads the log, sends, and then removes the log by its name: moved meanwhile, it would be sent once more when
        the message comes back.

        :raises LeftInQueue: it has
        """
        if any(self.spool.stat(log, name) for log in _REPORTED):
            raise LeftInQueue(REPORTING)

    def lock_moved(self, descriptor, queue, name):
        """Lock a message that was moved out of a queue, and see that nobody had done anything with it till then.

        :raises LeftInQueue: somebody has; what he notes of it, he notes under its former id
        """
        lock(descriptor)
        if queue == "active":
            self._see_that_nothing_is_reported(name)

    def _where(self, wanted):
        """Directories that a message may be in: it moves between them, and may get to one that was looked at before."""
        if wanted.directory:
            yield wanted.directory
        for _ in range(2):
            for queue in (wanted.state,) + MESSAGE_QUEUES:
                yield self.spool.relative(queue, wanted.id)

    def way_back(self, queue):
        """The queue that a message goes back to which was in another one."""
        back = "incoming" if queue == "active" else queue
        if back == "incoming":
            self._to_look_at.add(_LOOK_AT_INCOMING)
        return back

    def _is_in_delivery(self, inode):
        """Whether somebody has, or may have, locked a file with that inode."""
        if self._locks is None:
            self._locks = _locked_inodes(self.system)
        return inode in self._locks


def _locked_inodes(system):
    """Inodes of all files on the host that somebody has locked."""
    found = set()
    for line in (system.read("/proc/locks") or "").splitlines():
        fields = line.split()
        if "FLOCK" in fields and len(fields) > 5:
            found.add(int(fields[5].rpartition(":")[2]))
    return found
