"""Holding and releasing messages inside the queue of an instance."""

import os
from typing import List, Tuple

from ..backend import Handle
from .mover import GONE, LOOK_AT_DEFERRED, NOTED, LeftInQueue, Mover, Wanted
from .spool import LOGS, name_of


class Holder(Mover):
    """Holds and releases messages inside the queue of an instance."""

    def hold(self, messages: List[Handle]) -> Tuple[int, List[Tuple[str, str]]]:
        """Hold messages: (how many, [(id, why)] of those left)"""
        files: List[int] = []
        wanted = [Wanted(message.id, message.states[0], message.inode, None, None, None, None) for message in messages]
        try:
            skipped = self.take_all(wanted, files, self._hold_one)
        finally:
            for descriptor in files:
                os.close(descriptor)
        return len(wanted) - len(skipped), skipped

    def release(self, messages: List[Handle]) -> Tuple[int, List[Tuple[str, str]]]:
        """Release messages: (how many, [(id, why)] of those left)"""
        skipped = []
        for message in messages:
            name, about = message.id, self.spool.stat("hold", message.id)
            if about is None or about.st_ino != message.inode:
                skipped.append((name, GONE))
                continue
            # Whoever held it may have done so while it was active.
            other = name_of(name, about.st_ino, other=True)
            self._link_logs(name, other, LOGS)
            try:
                self.spool.rename(self.spool.relative("hold", name), name, self.spool, "deferred", other)
            except FileNotFoundError:
                # Somebody else has released or removed it since it was looked at.
                self._drop_logs(other)
                skipped.append((name, GONE))
            else:
                self._to_look_at.add(LOOK_AT_DEFERRED)
                self._drop_logs(name)
        return len(messages) - len(skipped), skipped

    def _hold_one(self, wanted, files):
        name, other = wanted.id, name_of(wanted.id, wanted.inode, other=True)
        unused = None

        def new_id(queue):
            return other if queue == "active" else name

        def target(queue):
            nonlocal unused
            if queue == "hold":
                raise LeftInQueue("it is held already")
            if queue == "active":
                self._link_logs(name, other, NOTED)
                unused = other
            return self.spool, "hold", new_id(queue)

        try:
            queue, _ = self.move(wanted, files, target)
            held = new_id(queue)
            if held == other:
                unused = name
            try:
                self.lock_moved(files[-1], queue, name)
            except LeftInQueue:
                back = self.way_back(queue)
                self.spool.rename(self.spool.relative("hold", held), held, self.spool, back, held)
                raise
        finally:
            if unused:
                self._drop_logs(unused, NOTED)

    def _link_logs(self, name, other, logs):
        """Have what Postfix noted of a message under two ids, until it is known which one it has."""
        for log in logs:
            self.spool.link(log, name, other)

    def _drop_logs(self, name, logs=LOGS):
        for log in logs:
            self.spool.remove_file(log, name)
