"""The transfer of messages between the queue of an instance and a run of the quarantine."""

import os
from typing import Iterable, List, Tuple

from ...system import System
from ..quarantine import copy_all, in_batches
from .file import Unreadable
from .instances import Instance
from .message import read
from .mover import NO_MAIL, NOTED, REPLACED, LeftInQueue, Mover, Wanted, lock
from .spool import LOGS, MESSAGE_QUEUES, Spool, is_mail, name_of

# Messages whose files are open and locked at once.
BATCH = 400


class Transfer(Mover):
    """Between the queue of an instance and a run.

    :ivar final: where a run's messages are for good
    :ivar place: where they are on the queue's file system; often the same
    :ivar changed: whether a message has changed its place
    """

    def __init__(self, system: System, spool: Spool, place: Spool, final: Spool, instance: Instance, deletes: bool):
        super().__init__(system, spool, instance)
        self.place, self.final, self.deletes, self.changed = place, final, deletes, False
        for where in {place, final}:
            where.make_private()

    def close(self):
        for spool in {self.spool, self.place, self.final}:
            spool.close()

    def finish(self):
        for spool in (self.spool, self.place, self.final):
            spool.sync()
        if self.place is not self.final:
            self.place.remove_empty()

    # --- from the queue to the run ----------------------------------------------------------------------------

    def take(self, entries: Iterable[dict]) -> Tuple[int, List[Tuple[str, str]]]:
        """Move messages (lines of the manifest) out of the queue: (how many were, [(id, why)] of those that weren't)"""
        taken: List[Tuple[str, str]] = []
        files: List[int] = []

        def take_one(wanted, files):
            queue, about = self.move(wanted, files, lambda queue: (self.place, queue, wanted.id))
            taken.append((queue, wanted.id))
            # It has the time of its last delivery, or of the next one.
            same = about.st_mtime_ns == wanted.mtime and queue == wanted.state
            try:
                if not same:
                    self._check(wanted, queue)
                self.lock_moved(files[-1], queue, wanted.id)
            except LeftInQueue:
                self._put_back(queue, wanted.id)
                taken.pop()
                raise
            logs = NOTED if queue == "active" else wanted.logs if same else LOGS
            self.spool.move_logs(wanted.id, self.place, wanted.id, logs)

        try:
            skipped = self.take_all(map(self._of_entry, entries), files, take_one)
            # Locked all the while: what has been copied is not changed any more.
            self._store(taken)
        except BaseException:
            if self.place is not self.final:
                _drop(taken, self.final, self.place)
                for queue, name in taken:
                    self._put_back(queue, name)
                taken = []
            raise
        finally:
            self.changed = self.changed or bool(taken)
            for descriptor in files:
                os.close(descriptor)
        return len(taken), skipped

    def _of_entry(self, entry):
        paths = [part[0][len(self.spool.directory) + 1 :] for part in entry["parts"]]
        _, inode, _, _, _, mtime = entry["parts"][0]
        directory = os.path.dirname(paths[0])
        logs = [path.partition("/")[0] for path in paths[1:]]
        return Wanted(entry["id"], entry["states"][0], inode, entry["identity"], directory, mtime, logs)

    def _check(self, wanted, queue):
        """See that what was moved is the message that was meant.

        :raises LeftInQueue: it isn't
        """
        try:
            message = read(self.place.path(queue, wanted.id), wanted.id, queue, self.instance)
        except Unreadable as error:
            raise LeftInQueue("its file can't be read: {0}".format(error)) from None
        if list(message.identity) != wanted.identity:
            raise LeftInQueue(REPLACED)

    def settle(self) -> int:
        """Complete what a killed :meth:`take` has begun to move: how many messages are in the run."""
        count = 0
        for queue in MESSAGE_QUEUES:
            for names in in_batches(self.place.names(queue), BATCH):
                count += self._settle([(queue, name) for name in names])
            if self.place is not self.final:
                count += sum(1 for _ in self.final.names(queue))
        return count

    def _settle(self, messages):
        ready, files = [], []
        try:
            for queue, name in messages:
                files.append(self.place.open_file(queue, name))
                try:
                    lock(files[-1])
                except LeftInQueue:
                    self._put_back(queue, name)
                else:
                    self.spool.move_logs(name, self.place, name, LOGS)
                    ready.append((queue, name))
            self._store(ready)
        finally:
            for descriptor in files:
                os.close(descriptor)
        return len(ready) if self.place is self.final else 0

    def _store(self, taken):
        """What is on the queue's file system goes to where it is for good."""
        if self.place is self.final:
            return
        if not self.deletes:
            self._copy(self.place, self.final, taken)
        _drop(taken, self.place, self.place if self.deletes else self.final)

    # --- from the run to the queue ----------------------------------------------------------------------------

    def give_back(self, names: List[str]) -> Tuple[int, List[Tuple[str, str]]]:
        """Move messages back into the queue: (how many were, [(id, why)] of those that weren't)"""
        moved, skipped, here = 0, [], []
        for name in names:
            queue = self.final.find(name)
            if queue:
                here.append((queue, name))
        if self.place is not self.final:
            try:
                self._copy(self.final, self.place, here)
            except BaseException:
                _drop(here, self.place, self.final)
                raise
            # Before a message is in the queue, so that it can never be given back twice.
            self.changed = self.changed or bool(here)
            _drop(here, self.final, self.place)
            here = [(self.place.find(name), name) for name in names]
        kept = []
        for queue, name in here:
            why = queue and self._put_back(queue, name)
            if why:
                skipped.append((name, why))
                kept.append((queue, name))
            elif queue:
                moved += 1
                self.changed = True
        if self.place is not self.final:
            self._copy(self.place, self.final, kept)
            _drop(kept, self.place, self.final)
        return moved, skipped

    def _put_back(self, queue, name):
        """Move a message from the place into the queue; returns why it could not be, or None."""
        about = self.place.stat(queue, name)
        if not is_mail(about, self.owner):
            return NO_MAIL
        # Computed the same way by a run that goes on after a kill, when its logs are there already.
        new_name = name_of(name, about.st_ino, other=queue == "active")
        if self.spool.find(new_name):
            return "the queue has another message with its id"
        # Before it, since Postfix may deliver it at once.
        self.place.move_logs(name, self.spool, new_name, LOGS)
        self.place.rename(queue, name, self.spool, self.way_back(queue), new_name)
        return None

    def _copy(self, source, target, messages):
        """Copy messages with their logs to another file system."""
        pairs = []
        for queue, name in messages:
            for part in LOGS + (queue,):
                if source.stat(part, name):
                    pairs.append((source.path(part, name), target.path(part, name)))
        copy_all(pairs)
        target.sync()


def _drop(messages, place, other):
    """Remove what is in a place of messages that are in the other, too."""
    for queue, name in messages:
        # The message last: as long as it is there, whoever goes on after a kill looks for the rest.
        for part in LOGS + (queue,):
            if other.stat(part, name):
                place.remove_file(part, name)
