"""How the alert looks at the queue: it counts, and reads messages where a condition or a notice needs that."""

import re

from ..errors import UserError
from ..module_runner import place_of
from ..queue.count import count_queue
from ..queue.queues import open_queue
from ..queue.summary import Summary
from . import conditions, ways
from .notice import LIST_LIMIT

# Messages that are read for the text of an alarm; with more, it says so.
READ = 100000

# Seconds that counting may take, and reading; with the ways out, a run must end before turn.LONGEST.
COUNTING = 45
READING = 40

# Of a traceback, which is what a process that read a part of the queue leaves of itself.
_PLACE = re.compile(r'File "[^"]*?([^/"]+)", line ([0-9]+)')


def look(system, settings):
    """Count the queue; messages are read only where a condition needs it.

    :returns: (Counts, Seen)
    :raises UserError: it can't be counted, or not in time
    :raises OSError: it can't be read
    """
    try:
        with ways.deadline(COUNTING):
            queue = open_queue(system, settings)
            total, held, todo = count_queue(queue)
    except ways.WayError as error:
        raise UserError("counting the queue {0}".format(error)) from None
    seen = Seen(queue)
    if conditions.needs_messages(settings, total):
        seen.read()
    return conditions.Counts(total, held, todo, seen.oldest, seen.top(), seen.only is not None), seen


class Seen:
    """What the messages that are to be delivered have in common: of as many as can be read in a short time.

    :ivar dict summary: see ``queue.summary.Summary.result``; None before ``read``
    :ivar int oldest: epoch seconds of the oldest one, or None
    :ivar int only: how many were read, if not all, else None
    """

    def __init__(self, queue):
        self.summary = self.oldest = self.only = None
        self._queue = queue

    def read(self):
        """Read the messages, if that was not done yet. Where it fails there is an alert nevertheless."""
        if self.summary is not None:
            return
        found, is_all = Summary(LIST_LIMIT), False
        try:
            with ways.deadline(READING):
                for message in self._queue.messages():
                    if found.matched >= READ:
                        break
                    if "hold" not in message.states:
                        found.add(message)
                else:
                    is_all = True
        except (ways.WayError, UserError, OSError) as error:
            ways.log("not all messages could be read: {0}".format(error))
        except Exception as error:
            # Spammers write what is read here; a defect that one of them finds must not keep the rest from being told.
            places = _PLACE.findall(str(error))
            where = "at {0}:{1}".format(*places[-1]) if places else place_of(error)
            ways.log("not all messages could be read; a defect of harden-mail: {0}".format(where))
        self.summary = found.result()
        self.oldest = self.summary["oldest"]
        self.only = None if is_all else found.matched

    def top(self):
        """(origin or envelope sender, messages) of the busiest one, or None; bounces have no sender to be busy."""
        if self.summary is None:
            return None
        entries = [entry for name in ("top_origins", "top_senders") for entry in self.summary[name]]
        return max(
            ((entry["value"], entry["count"]) for entry in entries if entry["value"] != "<>"),
            key=lambda one: one[1],
            default=None,
        )
