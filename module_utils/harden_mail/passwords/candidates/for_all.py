"""Guesses that are the same for all accounts."""

from . import lists


def general(lists_dir, today=None):
    """Guesses, likeliest first: iterator of (bytes word, str kind). See ``general_batches``, which is faster."""
    for batch, kind in general_batches(lists_dir, today):
        for word in batch:
            yield word, kind


def general_batches(lists_dir, today=None):
    """Guesses that are the same for all accounts, likeliest first; few come twice.

    The same arguments give the same guesses in the same batches every time.

    :param str lists_dir: directory of lists (see ``lists.py``); None or missing: only what is made here
    :param datetime.date today: only its year counts (None: today)
    :returns: iterator of (list of bytes words, str kind), a batch of one kind of 1 to some thousand words
    """
    for kind in ("own", "common", "japanese", "english"):
        for path in lists.files(lists_dir, kind):
            yield lists.words([path], 1000), "own-list" if kind == "own" else kind
    yield [str(number).encode() for number in range(1000)], "digits"
