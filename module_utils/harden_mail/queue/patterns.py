"""Texts that are meant by a pattern: whole, by * and ?, or by a regular expression (``re:``)."""

import re
from typing import Any, Callable

from ..errors import UserError
from ..text import printable
from .values import shown, words_of

# What of a text a regular expression sees: it can be written to take for ever on a long one.
_LONGEST_SEARCHED = 1000

NULL_SENDER = "<>"

# The wildcards of a glob while it is folded; noncharacters, which YAML can't have. Folding makes full-width * and ?
# (common in Japanese subjects) the normal ones, which then are letters like others.
_ANYTHING, _ANY_ONE = "\uffff", "\ufffe"
_WILDCARDS = str.maketrans("*?", _ANYTHING + _ANY_ONE)

Matcher = Callable[[str], bool]


def lowered(text: str) -> str:
    """For comparison, of what may have upper and lower case."""
    return text.casefold()


def address_patterns(name: str, value: Any) -> Matcher:
    """As :func:`patterns`, of addresses."""
    for word in words_of(name, value):
        if not word.startswith("re:") and word != NULL_SENDER and _can_be_no_address(word):
            raise UserError(
                "{0} is {1}, which is no address: give a whole one without angle brackets, such as bob@example.com, "
                "or '*@example.com' for all of a domain.".format(name, shown(word))
            )
    return patterns(name, value, lowered)


def _can_be_no_address(word):
    """Whether no address is like that; a domain alone would be no exception where it was meant as one."""
    is_domain = "." in word and not set("@*?") & set(word)
    return is_domain or word.startswith("@") or (word.startswith("<") and word.endswith(">"))


def patterns(name: str, value: Any, fold: Callable[[str], str]) -> Matcher:
    """Whether one of the patterns matches a text, which is already folded."""
    matchers, plain = [], set()
    for word in words_of(name, value):
        if word.startswith("re:"):
            matchers.append(_expression(name, word))
        elif "*" in word or "?" in word:
            matchers.append(_glob(fold(word.translate(_WILDCARDS))))
        else:
            plain.add(fold(word))
    if not matchers:
        return plain.__contains__
    if len(matchers) == 1 and not plain:
        return matchers[0]
    return lambda text: text in plain or any(matches(text) for matches in matchers)


def _expression(name, word):
    expression = word[len("re:") :]
    if not expression.strip():
        raise UserError(
            "{0} is {1}, which any text matches: give a regular expression after it.".format(name, shown(word))
        )
    try:
        search = re.compile(expression, re.IGNORECASE).search
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            "{0} is {1}, which is no regular expression: {2}.".format(name, shown(word), printable(str(error), 80))
        ) from None
    return lambda text: search(text[:_LONGEST_SEARCHED]) is not None


def _glob(pattern):
    """A matcher of a glob (``_ANYTHING`` and ``_ANY_ONE``; brackets mean themselves, for subjects are full of them).

    The pieces between wildcards are looked for one after the other, each at its first place: linear, where a regular
    expression would go back and forth.
    """
    texts = pattern.split(_ANYTHING)
    if len(texts) == 3 and not texts[0] and not texts[2] and _ANY_ONE not in texts[1]:
        return lambda text: texts[1] in text
    pieces = [_piece(text) for text in texts]
    first, middle, last = pieces[0], [piece for piece in pieces[1:-1] if piece[1]], pieces[-1]

    def matches(text):
        if len(pieces) == 1:
            return len(text) == first[1] and first[0](text, 0) == 0
        end = len(text) - last[1]
        if end < first[1] or (first[1] and first[0](text[: first[1]], 0) != 0):
            return False
        at = first[1]
        for find, length in middle:
            found = find(text, at)
            if found < 0 or found + length > end:
                return False
            at = found + length
        return last[1] == 0 or last[0](text, end) == end

    return matches


def _piece(text):
    """(function (str, from where) -> index or -1, length) of a piece of a glob without stars."""
    if _ANY_ONE not in text:
        return (lambda where, begin: where.find(text, begin)), len(text)
    pattern = re.compile("".join("." if letter == _ANY_ONE else re.escape(letter) for letter in text), re.DOTALL)

    def find(where, begin):
        found = pattern.search(where, begin)
        return found.start() if found else -1

    return find, len(text)
