"""What the alert remembers between its runs: one file, replaced in one step, so that a kill loses no alert.

A full disk is where a clogged queue often ends: then the file is in /run, so that the same alarm keeps its Message-ID.

The alarm and the notices that wait for a way out are in the same file. A notice is in it before anybody is told and
until a way has accepted it; after a kill in between it is sent once more, under the same Message-ID.
"""

import json
import os
from typing import Any, Dict

from ..paths import ALERT_SPARE_STATE, ALERT_STATE

STATE = ALERT_STATE + "/state.json"

# Notices that wait: what no way accepts for days must not fill the disk. The oldest alarms say the most.
WAITING = 100

# Where a person finds a notice that was set aside, and how many are kept.
ASIDE = ALERT_STATE + "/refused-{key}.txt"
KEPT_ASIDE = 100

EMPTY: Dict[str, Any] = {
    "alarm": None,
    "blind": None,
    "waiting": [],
    "aside": [],
    "recent": [],
    "hours": [],
    "begun": None,
    "learned": None,
    "held": None,
    "saves": 0,
}

# As times and numbers of messages go; what is far beyond breaks arithmetic with dates.
_MOST = 10**11


class Store:
    """:ivar dict alarm: {since, sequence, last, peak, over} of the alarm that is on, or None; over: the names of the
        conditions that have been over their limits since it began
    :ivar dict ended: the alarm that ended in this run, or None; not saved
    :ivar dict blind: {since, sequence, last, told, ended} of the last time that the queue could not be counted, see
        ``blind.py``, or None
    :ivar list waiting: notices (dicts, see ``notice.py``) that no way has accepted yet, oldest first; ``refusals``: in
        so many runs every way has refused it for what is in it
    :ivar list aside: notices that were set aside and not yet named in another one: lines of text
    :ivar list recent: [[epoch seconds, count], ...] of the last runs, for growth
    :ivar list hours: [[epoch seconds of the hour, highest count], ...] without alarms, for the automatic limit
    :ivar int begun: epoch seconds of the first run
    :ivar dict learned: {at, limit}: what the automatic limit was when it could grow anew, and when that was; or None
    :ivar int held: epoch seconds of when people were told that it is held back, or None
    :ivar int saves: how often it was saved; of two files, the one with the greater number counts
    """

    def __init__(self, system):
        self.system = system
        self.damaged, self.ended = False, None
        values = max(self._read(STATE), self._read(ALERT_SPARE_STATE), key=lambda one: one["saves"])
        self.alarm, self.begun, self.saves = values["alarm"], values["begun"], values["saves"]
        self.waiting, self.aside = list(values["waiting"]), list(values["aside"])
        self.recent, self.hours = list(values["recent"]), list(values["hours"])
        self.blind, self.learned, self.held = values["blind"], values["learned"], values["held"]

    def _read(self, path):
        try:
            text = self.system.read(path)
            if text is not None:
                return _checked(json.loads(text))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            # A half-dead disk must not silence the alert; the program says so in the log.
            self.damaged = True
        return dict(EMPTY)

    def save(self):
        """Put it on disk, atomically; in /run, where the disk can't take it.

        :returns: OSError that says why it is in /run, or None
        :raises OSError: it is nowhere
        """
        self.saves += 1
        text = json.dumps({name: getattr(self, name) for name in EMPTY})
        try:
            self.system.make_private_dir(ALERT_STATE)
            self.system.write(STATE, text, mode=0o600)
        except OSError as error:
            self.system.write(ALERT_SPARE_STATE, text, mode=0o600)
            return error
        self.system.remove(ALERT_SPARE_STATE)
        return None

    def overflow(self):
        """Take what is too much out of what waits; returns it."""
        half = WAITING // 2
        middle = self.waiting[half:-half] if len(self.waiting) > WAITING else []
        if middle:
            self.waiting = self.waiting[:half] + self.waiting[-half:]
        return middle

    def set_aside(self, kept):
        """Put a notice where a person finds it; the next one will name it.

        :returns: (its path, [paths of those that were removed, for there are too many])
        :raises OSError: it can't be written
        """
        path = ASIDE.format(key=kept["key"])
        self.system.make_private_dir(ALERT_STATE)
        self.system.write(path, "{0}\n\n{1}".format(kept["subject"], kept["text"]), mode=0o600)
        self.aside.append("{0} ({1})".format(kept["subject"], path))
        prefix = os.path.basename(ASIDE).partition("{")[0]
        names = [ALERT_STATE + "/" + name for name in self.system.listdir(ALERT_STATE) if name.startswith(prefix)]
        # Their names begin with the time of their alarm.
        gone = [name for name in names if name != path][: max(0, len(names) - KEPT_ASIDE)]
        for name in gone:
            self.system.remove(name)
        return path, gone


def _checked(values):
    """:raises Exception: that is no state, nor what an earlier version of this kept"""
    alarm, numbers = values["alarm"], [values["begun"], values.setdefault("saves", 0), values.setdefault("held", None)]
    blind, learned = values.setdefault("blind", None), values.setdefault("learned", None)
    if blind is not None:
        numbers += [blind[name] for name in ("since", "sequence", "last", "ended")] + [int(blind["told"])]
    if learned is not None:
        numbers += [learned["at"], learned["limit"]]
    if alarm is not None:
        numbers += [alarm[name] for name in ("since", "sequence", "last", "peak")]
        numbers += [len(over) for over in alarm.setdefault("over", [])]
    for series in ("recent", "hours"):
        for at, count in values[series]:
            numbers += [at, count]
    texts = [kept[name] for kept in values["waiting"] for name in ("kind", "key", "host", "subject", "text", "brief")]
    texts += values.setdefault("aside", [])
    for kept in values["waiting"]:
        numbers += [kept["created"], kept.setdefault("refusals", 0)]
    if not all(isinstance(text, str) for text in texts) or not all(
        number is None or (type(number) is int and abs(number) < _MOST) for number in numbers
    ):
        raise ValueError("no state")
    return {name: values[name] for name in EMPTY}
