"""When people are told that the queue can't be counted: then no alarm can come, and silence would look like order.

Plain functions of settings and of what is remembered: ``store.blind``, {since, sequence, last, told, ended}, all epoch
seconds but ``sequence`` (number of the notice) and ``told`` (whether people know); ``ended`` is None while it lasts.
"""

from .conditions import is_due, is_quiet


def cannot_count(settings, store, now):
    """Note that a run could not count, and say what people are to be told: ``blind``, ``still_blind`` or None.

    A queue that can be counted every other time is told as often as one that can't be counted at all.
    """
    blind = store.blind
    if blind is None or blind["ended"] is not None:
        is_new = blind is None or is_due(settings, blind["last"], now)
        last = int(now) if is_new else blind["last"]
        store.blind = {"since": int(now), "sequence": 1, "last": last, "told": is_new, "ended": None}
        return "blind" if is_new else None
    if is_due(settings, blind["last"], now) and not is_quiet(settings, now):
        kind = "still_blind" if blind["told"] else "blind"
        store.blind = dict(blind, sequence=blind["sequence"] + 1, last=int(now), told=True)
        return kind
    return None


def can_count(settings, store, now):
    """Note that a run has counted, and say what people are to be told: ``sighted`` or None."""
    blind = store.blind
    if blind is None:
        return None
    if blind["ended"] is not None:
        if is_due(settings, blind["last"], now):
            store.blind = None
        return None
    store.blind = dict(blind, ended=int(now))
    return "sighted" if blind["told"] and settings["all_clear"] else None
