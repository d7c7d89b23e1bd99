"""A queue that several processes read: each adds up its part, and only these sums are put together."""

from ..parallel import together

# Of so many messages a process notices that this one is gone.
_OFTEN = 100


def gather(parts, scanner_of, found, unreadable):
    """Add all messages that several processes read, each its part, to something; each adds to one of its own.

    :param scanner_of: callable, ``scanner_of(part)`` gives what has ``messages()``, which yields them, and None for
        each that is not wanted; ``met``, how many there were; and ``unreadable``, a list
    :param found: see ``backend.Queue.gather``
    :param list unreadable: gets what theirs have
    :returns: how many there were
    """
    met = 0
    for told, theirs, problems in together(parts, lambda part: _gathered(scanner_of(part), found.another())):
        found.merge(told)
        met += theirs
        unreadable += problems
    return met


def _gathered(scanner, found):
    add = found.add
    for number, message in enumerate(scanner.messages()):
        if message:
            add(message)
        if number % _OFTEN == 0:
            yield _OFTEN, None
    yield 0, (found.told(), scanner.met, scanner.unreadable)
