"""Guesses that are the same for all accounts, out of lists, keyboard walks, dates, digits, and rules on them.

Each list with each rule is a *stream*, with a share of all passwords that it is taken to have, and a fall-off along the
list. The streams are merged: the next words are always of the stream whose next word is the likeliest. So the first
hundred guesses are of many streams, and a stream that has thousands of equally likely words waits for its turn.
"""

import heapq
import math

from . import lists, tails
from .dates import DAYS, AllDigits, birthdays, digit_patterns, year_of
from .romaji import kunrei, short, with_h
from .walks import walks
from .words import AS_TOLD, JAPANESE, OFFICE

# Words in a batch: a third of what the stream has given already, so that early guesses are finely mixed, and this at
# most.
LARGEST_BATCH = 4096

# So many guesses are remembered, that none of them comes twice; later ones may come again in another stream.
REMEMBERED = 150000

# What a stream's words fall off by: the nth has a share proportional to 1 / (n + offset) ** slope.
_FREQUENT = (40, 1.0)
_FREQUENT_WITH_RULE = (100, 0.85)
_RANKED = (300, 0.7)
_NAMES = (100, 1.0)
_SHORT = (20, 1.0)
_EVEN = (1, 0.0)

# Lists of one's own up to this many bytes are kept in memory, where they are mixed more finely.
_SHORT_LIST = 1 << 20

# Tails that are put behind words that something was done to (other than a capital).
_TAILS_OF_FORMS = 40
# Tails behind keyboard walks, strings of digits and birthdays.
_TAILS_OF_OTHERS = 60


def general(lists_dir, today=None):
    """Guesses, likeliest first: iterator of (bytes word, str kind). See ``general_batches``, which is faster."""
    for batch, kind in general_batches(lists_dir, today):
        for word in batch:
            yield word, kind


def general_batches(lists_dir, today=None):
    """Guesses that are the same for all accounts, likeliest first; few come twice.

    The same arguments give the same guesses in the same batches every time. Memory: 150,000 words of lists and as many
    guesses; lists of one's own are read in passing, once for each rule.

    :param str lists_dir: directory of lists (see ``lists.py``); None or missing: only what is made here
    :param datetime.date today: only its year counts (None: today)
    :returns: iterator of (list of bytes words, str kind), a batch of one kind, of 1 to 4096 words
    """
    heap = []
    for number, stream in enumerate(_streams(lists_dir, year_of(today))):
        heapq.heappush(heap, (-stream.likelihood(), number, stream))
    seen = set()
    while heap:
        _, number, stream = heap[0]
        batch = stream.take()
        if batch is None:
            heapq.heappop(heap)
            continue
        heapq.heapreplace(heap, (-stream.likelihood(), number, stream))
        batch = [word for word in batch if word not in seen]
        if len(seen) < REMEMBERED:
            batch = list(dict.fromkeys(batch))
            seen.update(batch)
        if batch:
            yield batch, stream.kind


class _Stream:
    """The words of a sequence with one rule.

    :param words: what has a length, and gives a list for a slice
    :param float share: of all passwords that are taken to be in this stream
    :param tuple fall: (offset, slope) of the fall-off
    """

    __slots__ = ("form", "head", "kind", "offset", "position", "scale", "slope", "tail", "words")

    def __init__(self, kind, words, share, fall, form=None, head=b"", tail=b""):
        self.kind, self.words, self.form, self.head, self.tail = kind, words, form, head, tail
        self.position = 0
        self.offset, self.slope = fall
        self.scale = share / max(_sum(len(words), *fall), 1e-9)

    def likelihood(self):
        """Of the next word."""
        return self.scale / (self.position + self.offset) ** self.slope

    def take(self):
        """The next words (list of bytes, may be empty); None at the end."""
        start = self.position
        if start >= len(self.words):
            return None
        self.position = start + min(LARGEST_BATCH, 1 + start // 3)
        return self.changed(self.words[start : self.position])

    def changed(self, words):
        form, head, tail = self.form, self.head, self.tail
        if form is not None:
            # A form that leaves a word as it was makes a guess that another stream has.
            return [head + new + tail for new, word in zip(map(form, words), words) if new != word]
        if head:
            return [head + word + tail for word in words]
        return [word + tail for word in words] if tail else list(words)


class _FileStream(_Stream):
    """The words of a file that is too long for memory: each batch is read where the last one ended."""

    __slots__ = ("path", "where")

    def __init__(self, kind, path, share, fall, **rule):
        self.path, self.where = path, 0
        # The number of its words is only needed for the share of each: they have some nine letters.
        super().__init__(kind, range(lists.size(path) // 10), share, fall, **rule)

    def take(self):
        length = max(lists.SHORTEST_BLOCK, min(LARGEST_BATCH * 10, self.where // 3))
        words, self.where = lists.block(self.path, self.where, length)
        if words is None:
            return None
        self.position += len(words)
        return self.changed(_for_rules(words) if self.head or self.tail or self.form else words)


def _for_rules(words):
    """Those that rules are for: behind digits nobody puts more digits."""
    return [word for word in words if not word[-1:].isdigit()]


def _sum(count, offset, slope):
    """Sum of 1 / (n + offset) ** slope for n below ``count``, nearly."""
    if slope == 1.0:
        return math.log((count + offset) / offset)
    return ((count + offset) ** (1 - slope) - offset ** (1 - slope)) / (1 - slope)


def _streams(lists_dir, this_year):
    tail_shares = [(tail.encode(), share) for tail, share in tails.tails(this_year)]
    room = lists.MOST_WORDS_IN_MEMORY
    for path in lists.files(lists_dir, "own"):
        if lists.size(path) <= _SHORT_LIST and room:
            words = lists.words([path], room)
            room -= len(words)
            yield from _of_words("own-list", words, 0.40, tail_shares, _RANKED)
        else:
            yield from _with_rules(_FileStream, "own-list", path, path, 0.40, tail_shares, (_RANKED, _RANKED))
    common = lists.words(lists.files(lists_dir, "common"), room)
    room -= len(common)
    yield from _of_words("common", common, 0.45, tail_shares, _FREQUENT)
    yield from _of_words("common", _encoded(OFFICE), 0.03, tail_shares, _SHORT)
    yield _Stream("common", _encoded(AS_TOLD), 0.03, _SHORT)
    japanese = lists.words(lists.files(lists_dir, "japanese"), room)
    room -= len(japanese)
    yield from _of_words("japanese", _encoded(JAPANESE), 0.03, tail_shares, _SHORT)
    yield from _of_words("japanese", japanese, 0.05, tail_shares, _NAMES)
    for share, spelling in ((0.006, short), (0.006, kunrei), (0.002, with_h)):
        spelled = [new for new, word in zip(map(spelling, japanese), japanese) if new != word]
        yield from _of_words("japanese", spelled, share, tail_shares[:_TAILS_OF_OTHERS], _NAMES)
    english = lists.words(lists.files(lists_dir, "english"), room)
    yield from _of_words("english", english, 0.05, tail_shares, _RANKED)
    yield from _others(tail_shares, this_year)


def _encoded(words):
    return [word.encode() for word in words]


def _of_words(kind, words, share, tail_shares, fall):
    """The streams of a list in memory: as it is, and with every rule."""
    if not words:
        return
    falls = fall, _FREQUENT_WITH_RULE if fall is _FREQUENT else fall
    yield from _with_rules(_Stream, kind, words, _for_rules(words), share, tail_shares, falls)


def _with_rules(stream, kind, words, words_for_rules, share, tail_shares, falls):
    yield stream(kind, words, share, falls[0])
    words, fall = words_for_rules, falls[1]
    for tail, tail_share in tail_shares:
        yield stream(kind, words, share * tail_share, fall, tail=tail)
    for head, head_share in tails.HEADS:
        yield stream(kind, words, share * head_share, fall, head=head.encode())
    for name, form_share, form in tails.FORMS:
        yield stream(kind, words, share * form_share, fall, form=form)
        # Who writes a capital has mostly been told to, and then a digit is wanted too.
        more, most = (3, len(tail_shares)) if name.startswith("capital") else (1, _TAILS_OF_FORMS)
        for tail, tail_share in tail_shares[:most]:
            yield stream(kind, words, share * form_share * tail_share * more, fall, form=form, tail=tail)


def _others(tail_shares, this_year):
    """What needs no list."""
    for kind, words, share in (("keyboard", walks(), 0.03), ("digits", digit_patterns(), 0.02)):
        yield _Stream(kind, words, share, _RANKED)
        for tail, tail_share in tail_shares[:_TAILS_OF_OTHERS]:
            yield _Stream(kind, words, share * tail_share * 0.2, _RANKED, tail=tail)
    for share, days in birthdays(this_year):
        yield _Stream("date", days, share * 0.07, _EVEN)
    months_and_days = [b"%02d%02d" % day for day in DAYS]
    yield _Stream("date", months_and_days, 0.006, _EVEN)
    yield _Stream("date", [word + word for word in months_and_days], 0.002, _EVEN)
    years = [str(year).encode() for year in range(this_year + 1, 1930, -1)]
    yield _Stream("date", years, 0.004, _EVEN)
    yield _Stream("date", [year + year for year in years], 0.001, _EVEN)
    for length, share in ((4, 0.012), (6, 0.03), (5, 0.002), (8, 0.02), (7, 0.004)):
        yield _Stream("digits", AllDigits(length), share, _EVEN)
    # Mobile telephones in Japan: 090, 080, 070 and eight digits.
    for prefix in (b"090", b"080", b"070"):
        yield _Stream("digits", AllDigits(8, prefix), 0.002, _EVEN)
