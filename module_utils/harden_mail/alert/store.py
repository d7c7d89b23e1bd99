"""What the alert remembers between its runs: one file, replaced in one step, so that a kill loses no alert.

The alarm and the notices that wait for a way out are in the same file. A notice is in it before anybody is told and
until a way has accepted it; after a kill in between it is sent once more, under the same Message-ID.
"""

import json

DIRECTORY = "/var/lib/harden-mail/queue_alert"
STATE = DIRECTORY + "/state.json"

# Notices that wait: what no way accepts for days must not fill the disk. The oldest alarms say the most.
WAITING = 100

EMPTY = {"alarm": None, "waiting": [], "recent": [], "hours": [], "begun": None}


class Store:
    """:ivar dict alarm: {since, sequence, last, peak, over} of the alarm that is on, or None; over: the names of the
        conditions that have been over their limits since it began
    :ivar dict ended: the alarm that ended in this run, or None; not saved
    :ivar list waiting: notices (dicts, see ``notice.py``) that no way has accepted yet, oldest first
    :ivar list recent: [[epoch seconds, count], ...] of the last runs, for growth
    :ivar list hours: [[epoch seconds of the hour, highest count], ...] without alarms, for the automatic limit
    :ivar int begun: epoch seconds of the first run
    """

    def __init__(self, system):
        self.system = system
        self.damaged, self.ended = False, None
        values = dict(EMPTY)
        try:
            text = system.read(STATE)
            if text is not None:
                values.update(_checked(json.loads(text)))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            # A half-dead disk must not silence the alert; the program says so in the log.
            self.damaged = True
        self.alarm, self.begun = values["alarm"], values["begun"]
        self.waiting, self.recent, self.hours = list(values["waiting"]), list(values["recent"]), list(values["hours"])

    def save(self):
        """Put it on disk, atomically."""
        if len(self.waiting) > WAITING:
            self.waiting = self.waiting[: WAITING // 2] + self.waiting[-WAITING // 2 :]
        self.system.make_private_dir(DIRECTORY)
        values = {name: getattr(self, name) for name in EMPTY}
        self.system.write(STATE, json.dumps(values), mode=0o600)


def _checked(values):
    """:raises Exception: that is no state, nor what an earlier version of this kept"""
    alarm, numbers = values["alarm"], [values["begun"]]
    if alarm is not None:
        numbers += [alarm[name] for name in ("since", "sequence", "last", "peak")]
        numbers += [len(over) for over in alarm.setdefault("over", [])]
    for series in ("recent", "hours"):
        for at, count in values[series]:
            numbers += [at, count]
    texts = [kept[name] for kept in values["waiting"] for name in ("kind", "key", "host", "subject", "text", "brief")]
    numbers += [kept["created"] for kept in values["waiting"]]
    if not all(isinstance(text, str) for text in texts) or not all(
        type(number) in (int, type(None)) for number in numbers
    ):
        raise ValueError("no state")
    return {name: values[name] for name in EMPTY}
