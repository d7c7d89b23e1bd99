"""Text from the wire: fit for a terminal, and fit for comparison."""

import re
import unicodedata
from typing import Optional, TypeVar

_Text = TypeVar("_Text", str, Optional[str])

# Characters that `folded` looks at, and gives at most: sorting a run of accents takes the square of its length.
LONGEST_FOLDED = 4096

# General categories (Unicode standard, 4.5) of what steers a terminal, is invisible, or has no meaning yet: control,
# format (bidi and zero-width too), surrogate, private use, unassigned; line and paragraph separator.
_UNSAFE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))

_SMALL = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

# Invisible though their category doesn't say so: combining grapheme joiner, Hangul and Khmer fillers, Braille's blank
# (by which a line is filled up to where the terminal begins the next).
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")

# What is dropped before texts are compared: Default_Ignorable_Code_Point (Unicode's DerivedCoreProperties.txt), and
# control characters other than white space.
_IGNORED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

# One character of JIS, two of Unicode: which one, depends on whose table decoded it.
_ONE_OF_TWO = (("\u301c", "~"), ("\u2212", "-"), ("\u2015", "\u2014"), ("\u2225", "\u2016"))


def printable(text: _Text, limit: int = 300) -> _Text:
    """Text that steers no terminal and breaks no JSON or report; None stays None.

    What would, or could not be seen, becomes an escape as in Python (``\\x1b``, ``\\u202e``, ``\\U000e0001``); a
    backslash stays one, so this is for people, not for reading back.

    :param limit: longest result in characters; what is cut off is marked with an ellipsis
    :returns: can be encoded as UTF-8
    """
    if text is None or (len(text) <= limit and text.isprintable() and _INVISIBLE.isdisjoint(text)):
        return text
    pieces = [_shown(character) for character in text[: limit + 1]]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    room = limit - 1
    kept = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "\u2026"


def masked(name: str) -> str:
    """An account's name by which who knows it recognizes it: ``i***@example.com``."""
    local, at, domain = name.partition("@")
    return printable(local[:1] + "***" + at + domain)


def ascii_lower(text: str) -> str:
    """A name with A to Z in small letters, and nothing else changed.

    ``str.lower`` makes a plain k of the Kelvin sign: another's name, where it is asked who is meant.
    """
    return text.translate(_SMALL)


def folds_to_ascii(text: str) -> bool:
    """Whether a program that folds all of Unicode takes some character that is not ASCII for one that is."""
    return any(ord(one) > 127 and any(ord(other) < 128 for other in one.casefold()) for one in text)


def _shown(character: str) -> str:
    if character not in _INVISIBLE and unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    if code <= 0xFF:
        return "\\x{0:02x}".format(code)
    return "\\u{0:04x}".format(code) if code <= 0xFFFF else "\\U{0:08x}".format(code)


def folded(text: str) -> str:
    """Text as it is compared: NFKC, nothing invisible, single blanks, no case; the first 4096 characters.

    ``folded(folded(text)) == folded(text)``.
    """
    text = text[:LONGEST_FOLDED]
    normal = unicodedata.normalize("NFKC", text)
    while True:
        before = text
        text = _IGNORED.sub("", normal)
        for one, other in _ONE_OF_TWO:
            text = text.replace(one, other)
        text = " ".join(text.casefold().split())[:LONGEST_FOLDED].rstrip()
        # A fold can make something that NFKC would change again, or change back; most texts need only one.
        normal = unicodedata.normalize("NFKC", text)
        if text in (normal, before):
            return text
