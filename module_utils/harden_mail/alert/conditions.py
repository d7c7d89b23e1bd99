"""When there is an alarm: plain functions of counts, settings and what is remembered."""

import time
from collections import namedtuple

from . import limit as automatic
from .limit import current_limit
from .settings import quiet_minutes

# total: messages that are to be delivered (held ones are somebody's decision, and not counted)
# held, todo: int; todo is None where the MTA has none
# oldest: epoch seconds of the oldest message, top: (origin, messages) of the busiest one; None where not looked at
# partial: not all messages could be read, so that there may be an older one, or more of an origin
Counts = namedtuple("Counts", "total held todo oldest top partial")

# What is over its limit: a name that notice.py has words for, how much it is, and the limit.
Excess = namedtuple("Excess", "name value limit")

# The same of what may be over it; end: at this value and below, an alarm about it is over; sure: it is not more
_Measure = namedtuple("_Measure", "name value limit end sure")


def needs_messages(settings, total):
    """Whether a condition asks for more than numbers of files, so that messages must be read."""
    one_origin = settings["one_origin"]
    return bool(total and (settings["oldest_minutes"] or (one_origin and _well_below(one_origin) < total)))


def excesses(settings, store, counts, now):
    """What is over its limit now: list of Excess."""
    return [Excess(*one[:3]) for one in _measures(settings, store, counts, now) if one.value > one.limit]


def decide(settings, store, counts, now):
    """Move the alarm on, and say what people are to be told.

    Changes ``store.alarm`` (and puts one that is over into ``ended``), ``recent`` and what ``limit.remember`` changes;
    saving is the caller's.

    :returns: (kind, excesses): kind is ``alarm``, ``repeat``, ``clear`` or None
    """
    measures = _measures(settings, store, counts, now)
    over = excesses(settings, store, counts, now)
    _remember(store, counts.total, now, bool(over or store.alarm), settings)
    names = [excess.name for excess in over]
    if store.alarm is None:
        if not over:
            return None, over
        store.alarm = {"since": int(now), "sequence": 1, "last": int(now), "peak": counts.total, "over": names}
        return "alarm", over
    alarm = store.alarm
    alarm["peak"] = max(alarm["peak"], counts.total)
    alarm["over"] = sorted(set(alarm["over"] + names))
    # What began it, or came to it, must be well below its limit, or a queue that flaps would be told each time; and be
    # known to be.
    if not any(one.name in alarm["over"] and (one.value > one.end or not one.sure) for one in measures):
        store.ended, store.alarm = alarm, None
        return ("clear" if settings["all_clear"] else None), over
    if is_due(settings, alarm["last"], now) and not is_quiet(settings, now):
        alarm["sequence"] += 1
        alarm["last"] = int(now)
        return "repeat", over
    return None, over


def _measures(settings, store, counts, now):
    """What the settings ask for, as far as it was looked at: list of _Measure."""
    limit = current_limit(settings, store, now)
    below = settings["clear_below"]
    found = [_Measure("total", counts.total, limit, _well_below(limit) if below is None else min(below, limit), True)]

    def add(name, value, most, sure=True):
        if most is not None and (value is not None or not sure):
            found.append(_Measure(name, value or 0, most, _well_below(most), sure))

    minutes = None if counts.oldest is None else int(now - counts.oldest) // 60
    add("oldest", minutes, settings["oldest_minutes"], not counts.partial)
    since = now - 60 * settings["growth_minutes"]
    lowest = min([count for at, count in store.recent if since <= at <= now] + [counts.total])
    add("growth", counts.total - lowest, settings["growth_messages"])
    add("origin", counts.top and counts.top[1], settings["one_origin"], not counts.partial)
    add("todo", counts.todo, settings["todo_limit"])
    return found


def _well_below(limit):
    return limit * 4 // 5


def is_due(settings, last, now):
    """Whether what was told last at a time (epoch seconds) is to be told again."""
    # A clock that was set back must not hold back repeats until it is where it was.
    return not 0 <= now - last < 60 * settings["repeat_minutes"]


def is_quiet(settings, now):
    """Whether repeats are not wanted at this time of the host's day; an hour pair like 22:00-07:00 spans midnight."""
    span = quiet_minutes(settings["quiet_hours"])
    if span is None:
        return False
    local = time.localtime(now)
    minute = local.tm_hour * 60 + local.tm_min
    begin, end = span
    return begin <= minute < end if begin <= end else minute >= begin or minute < end


def _remember(store, total, now, alarmed, settings):
    # A clock that was set back must not leave entries in the future for ever.
    since = now - 60 * settings["growth_minutes"]
    store.recent = [[at, count] for at, count in store.recent if since <= at <= now]
    store.recent.append([int(now), total])
    automatic.remember(settings, store, total, now, alarmed)
