"""The limit in messages, and how ``auto`` learns it: slowly and not without end, for who fills the queue teaches it.

Whoever keeps the queue right at the limit moves it, since that is no alarm. So in four weeks it doubles at most, it is
never more than ``auto_limit_most``, and people are told where what the queue has would move it further.
"""

from .settings import AUTO

HOUR = 3600
WEEK = 7 * 24 * HOUR
# How long the automatic limit remembers: a host's month has its newsletters in it.
REMEMBERED = 4 * WEEK
DEFAULT_LIMIT = 300
LOWEST_AUTO = 50

# How much higher than at their beginning it may be within the weeks that it remembers.
GROWTH = 2


def current_limit(settings, store, now):
    """The limit in messages. ``auto``: what :func:`wished` says, as far as :func:`highest` lets it."""
    if settings["limit"] != AUTO:
        return settings["limit"]
    return min(wished(store) or DEFAULT_LIMIT, highest(settings, store, now))


def wished(store):
    """What ``auto`` would be without a bound (int): three times what the busiest hours without an alarm had (their 95th
    percentile), 50 at least; None: there were no hours yet.
    """
    peaks = sorted(count for _, count in store.hours)
    return max(LOWEST_AUTO, 3 * peaks[min(len(peaks) - 1, len(peaks) * 95 // 100)]) if peaks else None


def highest(settings, store, now):
    """What ``auto`` is at most now: 300 in the first week, then twice what it was four weeks ago."""
    if store.begun is None or now - store.begun < WEEK:
        return min(DEFAULT_LIMIT, settings["auto_limit_most"])
    learned = store.learned
    return min(GROWTH * learned["limit"] if learned else DEFAULT_LIMIT, settings["auto_limit_most"])


def held_back(settings, store, now):
    """What ``auto`` would be (int) without a bound, where that is more than it may be; else None."""
    if settings["limit"] != AUTO or store.begun is None or now - store.begun < WEEK:
        return None
    limit = wished(store)
    return limit if limit is not None and limit > highest(settings, store, now) else None


def tell_held_back(settings, store, now):
    """What :func:`held_back` says, where people are to be told of it now: once a week. Changes ``store.held``."""
    limit = held_back(settings, store, now)
    if limit is None or (store.held is not None and 0 <= now - store.held < WEEK):
        return None
    store.held = int(now)
    return limit


def remember(settings, store, total, now, alarmed):
    """Note a count. Changes ``store.begun``, ``hours`` and ``learned``."""
    if store.begun is None:
        store.begun = int(now)
    store.hours = [[at, count] for at, count in store.hours if now - REMEMBERED <= at <= now]
    if not alarmed:
        hour = int(now) // HOUR * HOUR
        if store.hours and store.hours[-1][0] == hour:
            store.hours[-1][1] = max(store.hours[-1][1], total)
        else:
            store.hours.append([hour, total])
    if settings["limit"] != AUTO or now - store.begun < WEEK:
        return
    learned = store.learned
    if learned is None or now - learned["at"] >= REMEMBERED:
        store.learned = {"at": int(now), "limit": current_limit(settings, store, now)}
    elif now < learned["at"]:
        # A clock that was set back must neither hold it for ever nor let it grow twice.
        store.learned = dict(learned, at=int(now))
