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
    """The newest messages of all that were added, up to a limit.

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
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, self._entry(message))
        elif self.limit and message.arrival > self._heap[0][0]:
            heapq.heapreplace(self._heap, self._entry(message))

    def _entry(self, message):
        # Worked out now: its files may be elsewhere when the result is asked for.
        return message.arrival, next(self._number), as_result(message)

    def result(self):
        """Newest first, as dicts fit for a result."""
        return [shown for _, _, shown in sorted(self._heap, key=lambda item: item[:2], reverse=True)]


def info(system, params):
    """See ``library/mail_queue_info.py`` for what goes in and comes out."""
    queue = open_queue(system, params)
    everything = params["all"] or not params["select"]
    selection = compile_selection(params["select"], everything, queue.STATES, time.time())
    summary, listed = Summary(params["limit_listed"]), Listed(params["limit_listed"])
    for message in queue.messages(selection):
        summary.add(message)
        listed.add(message)
    return dict(
        summary.result(),
        changed=False,
        mta=queue.name,
        total=queue.met,
        messages=listed.result(),
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
