"""What a user wrote under a key of a selection, seen to be what such a key takes."""

import difflib
from typing import Any, Iterable, List

from ..errors import UserError
from ..text import printable


def said(where: str, value: Any) -> dict:
    """What was written, seen to be a dictionary whose keys have values.

    A variable that holds nothing is not a key left out: the rest would mean far more messages.
    """
    if not isinstance(value, dict):
        raise UserError("{0} is {1}: give a dictionary.".format(where, shown(value)))
    for key in sorted(value, key=str):
        if value[key] is None:
            raise UserError("{0}.{1} has no value: give one, or leave it out.".format(where, key))
    return value


def refuse_unknown(where: str, given: dict, known: Iterable[str]) -> None:
    """:raises UserError: there is a key that is not known"""
    for key in sorted(given, key=str):
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            raise UserError(
                "{0} has {1}, which is no key{2}; there are {3}.".format(
                    where, shown(key), " (did you mean {0}?)".format(near[0]) if near else "", ", ".join(known)
                )
            )


def filled(name: str, values: list) -> list:
    if not values:
        raise UserError("{0} is an empty list: give at least one entry, or leave it out.".format(name))
    return values


def words_of(name: str, value: Any) -> List[str]:
    """The texts of a key: one, or a list of them. YAML makes numbers of some."""
    words = []
    for entry in filled(name, value if isinstance(value, list) else [value]):
        if isinstance(entry, bool) or not isinstance(entry, (str, int, float)):
            raise UserError("{0} is {1}: give text (in quotes), or a list of texts.".format(name, shown(entry)))
        word = str(entry)
        if not word.strip():
            raise UserError("{0} is empty text: give a value, or leave it out.".format(name))
        words.append(word)
    return words


def shown(value: Any) -> str:
    """A value as a sentence names it."""
    return printable(repr(value), 80)
