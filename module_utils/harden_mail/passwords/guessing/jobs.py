"""What is to be tried: accounts with their hashes, and the pieces of work that are made of them."""

# Seconds that a piece is meant to take.
PIECE = 0.5


class Target:
    """An account at whose password is guessed.

    :ivar str name: account
    :ivar tuple hints: see ``account.Account``
    :ivar str scheme: of its hash; as ``hashes.Hash``, as the next two
    :ivar group: what it shares with others
    :ivar digest: secret
    :ivar entry: ``notebook.Entry``
    :ivar crowd: of whom there may be too many (str): who can have written it, or its domain; None: nobody in particular
    :ivar str failure: why nothing can be tried, or None
    :ivar float cost: seconds that a guess took at last; None: none was made yet
    """

    __slots__ = ("cost", "crowd", "digest", "entry", "failure", "group", "hints", "name", "scheme")

    def __init__(self, name, hints, found, entry, crowd=None):
        self.name, self.hints, self.entry, self.crowd = name, hints, entry, crowd
        self.scheme, self.group, self.digest = found.scheme, found.group, found.digest
        self.failure = self.cost = None

    def __repr__(self):
        return "Target({0!r})".format(self.name)


class Job:
    """Hashes of one group and the positions of words to be tried against them; and the pieces of that work.

    :ivar bool is_own: the words are the account's own
    :ivar list targets: all of one group
    :ivar list stops: of each target, where it ends for it
    :ivar float cost: seconds that a guess takes, as far as is known
    """

    __slots__ = ("answers", "cost", "is_own", "next_piece", "start", "step", "stop", "stops", "targets")

    def __init__(self, is_own, targets, start, stops, cost):
        self.is_own, self.targets, self.start, self.stops = is_own, targets, start, stops
        self.stop, self.cost = max(stops), cost
        self.step = max(1, min(self.stop - start, int(PIECE / cost)))
        self.answers, self.next_piece = {}, 0

    def end_at(self, stop):
        """There are no more words than that."""
        self.stop = min(self.stop, stop)

    def pieces(self):
        return range(-(-max(0, self.stop - self.start) // self.step))

    def bounds(self, piece):
        start = self.start + piece * self.step
        return start, min(self.stop, start + self.step)
