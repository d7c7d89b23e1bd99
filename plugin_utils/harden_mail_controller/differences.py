"""Bounds on what ``--diff`` is to show.

Ansible compares the two texts in the process that all hosts wait for, and whoever wrote them can have that take days,
by lines that each occur in many places.
"""

import difflib
import json

from .deadline import TimeIsUp, deadline
from .text import LONGEST_LINES, clean

# So long may it take to compare what one answer has.
SECONDS = 3.0
# Of so many lines, whatever they are, it takes no time to speak of.
FEW_LINES = 200

_KINDS = {
    **dict.fromkeys(("before", "after"), (str, dict)),
    **dict.fromkeys(("before_header", "after_header", "prepared"), str),
    **dict.fromkeys(("src_binary", "dst_binary", "src_larger", "dst_larger"), int),
}


def bounded(diff):
    """What of a difference Ansible can show, and in time; or how long the texts are.

    :param diff: dict, or list of dicts, of texts or plain data; what is of another type shows nothing
    :returns: the same
    """
    entries = [_shaped(one) for one in (diff if isinstance(diff, list) else [diff]) if isinstance(one, dict)]
    pairs = [(_text(one.get("before", "")), _text(one.get("after", ""))) for one in entries]
    if sum(len(text) for pair in pairs for text in pair) + sum(map(_beside, entries)) <= LONGEST_LINES:
        try:
            with deadline(SECONDS):
                for before, after in pairs:
                    _compare(before.splitlines(), after.splitlines())
            return entries if isinstance(diff, list) else (entries or [{}])[0]
        except TimeIsUp:
            pass
    before, after = (sum(text.count("\n") for text in texts) for texts in zip(*pairs))
    said = "Not compared, since it would take too long: {0:,} lines before, {1:,} after.\n".format(before, after)
    return {"prepared": said}


def _shaped(one):
    kept = {name: value for name, value in one.items() if isinstance(value, _KINDS.get(name, ()))}
    # Ansible prints these as they are, with no sign before each line.
    for name in ("before_header", "after_header"):
        if name in kept:
            kept[name] = clean(kept[name])
    if "prepared" in kept:
        kept["prepared"] = "".join("    " + line for line in kept["prepared"].splitlines(True))
    return kept


def _text(value):
    # As Ansible would write it, or nearly so.
    return json.dumps(value, indent=4) if isinstance(value, dict) else value


def _beside(one):
    return sum(len(one.get(name, "")) for name in ("before_header", "after_header", "prepared"))


def _compare(before, after):
    if len(before) + len(after) > FEW_LINES:
        for _ in difflib.unified_diff(before, after):
            pass
