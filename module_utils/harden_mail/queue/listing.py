"""What module ``mail_queue_info`` does, and the capped lists of messages in results."""

import heapq
import itertools
import time

from ..errors import UserError
from . import quarantine
from .message import as_result
from .queues import open_queue
from .selection import compile_selection
from .summary import Summary


class Listed:
    """The newest messages of all that were added, up to a limit; of those that came in the same second, those with the
    greatest ids.

    :param int limit: the module's ``limit_listed``
    :raises UserError: it is no number of messages
    """

    def __init__(self, limit):
        if limit < 0:
            raise UserError("limit_listed is {0}: give how many messages are to be listed, from 0 on.".format(limit))
        self.limit = limit
        self._heap = []
        self._number = itertools.count()

    def add(self, message):
        heap = self._heap
        # Nearly all end here.
        if len(heap) == self.limit and not (heap and message.arrival >= heap[0][0]):
            return
        key = (message.arrival, message.id, message.instance or "")
        if self._has_room(key):
            # Worked out now: its files may be elsewhere when the result is asked for.
            self._put(key, as_result(message))

    def _has_room(self, key):
        return len(self._heap) < self.limit or bool(self._heap and key > self._heap[0][:3])

    def _put(self, key, shown):
        # The number, for what is shown can't be compared.
        entry = (*key, next(self._number), shown)
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def summary(self):
        """What ``merge`` takes, of what ``marshal`` can write."""
        return [(entry[:3], entry[-1]) for entry in self._heap]

    def merge(self, summary):
        """Add the summary of other messages."""
        for key, shown in summary:
            if self._has_room(key):
                self._put(key, shown)

    def result(self):
        """Newest first, as dicts fit for a result."""
        return [entry[-1] for entry in sorted(self._heap, key=lambda entry: entry[:4], reverse=True)]


class Found:
    """What ``mail_queue_info`` says of the messages that are added: what they have in common, and the newest.

    :param int limit: the module's ``limit_listed``
    :param float now: epoch seconds, from which ages count (None: now)
    """

    def __init__(self, limit, now=None):
        self.limit = limit
        self._summary, self._listed = Summary(limit, now), Listed(limit)

    def add(self, message):
        self._summary.add(message)
        self._listed.add(message)

    def another(self):
        return Found(self.limit, self._summary.now)

    def summary(self):
        return self._summary.summary(), self._listed.summary()

    def merge(self, summary):
        self._summary.merge(summary[0])
        self._listed.merge(summary[1])

    def result(self):
        """:returns: dict: as ``Summary.result``, and ``messages``"""
        return dict(self._summary.result(), messages=self._listed.result())


def info(system, params):
    """See ``library/mail_queue_info.py`` for what goes in and comes out."""
    queue = open_queue(system, params)
    everything = params["all"] or not params["select"]
    selection = compile_selection(params["select"], everything, queue.STATES, time.time())
    found = Found(params["limit_listed"])
    queue.gather(None if everything else selection, found)
    return dict(
        found.result(),
        changed=False,
        mta=queue.name,
        total=queue.met,
        unreadable=[{"path": path, "reason": why} for path, why in queue.unreadable[: params["limit_listed"]]],
        unreadable_total=len(queue.unreadable),
        quarantine=[_about(queue, run) for run in quarantine.runs(system, params["quarantine_dir"])],
    )


def _about(queue, run):
    header = run.header() or {}
    is_ours = header.get("mta", queue.name) == queue.name
    return {
        "run": run.name,
        "created": header.get("created"),
        "selection": header.get("selection"),
        "messages": queue.count_quarantined(run) if is_ours else None,
        "unfinished": run.unfinished() is not None,
    }
