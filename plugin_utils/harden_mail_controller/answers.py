"""Holds what a managed host answers to the fields and types that the module has, before anybody shows or decides.

A host that was broken into says what it likes. What fits is cleaned, so that it can be shown; a field that does not fit
makes the whole answer one that was not understood; fields that no module of ours returns are dropped, among them those
that ansible-core would act upon (``skipped``, ``results``, ``ansible_stats``, facts of other names).
"""

import math
import re

from .answer_fields import COMMON, EACH, FAILURE, FIELDS, SAYS, SAYS_ELSE
from .differences import bounded
from .text import clean, lines, said

# A list, a text that is handed on to another module, and all values of one answer.
MOST_ENTRIES, LONGEST_NAME, MOST_VALUES = 100000, 4096, 1000000
DEEPEST = 16
LARGEST = 1 << 63
# Ansible prints each of them on the terminal, whatever else is to be read there.
MOST_WARNINGS = 50
# As module_utils/harden_mail/queue/quarantine.py makes them; the command that takes a run back is copied into a shell.
RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}\Z", re.ASCII)

# What mail_queue can bring messages to.
MOVED_TO = ("quarantined", "restored", "held", "released", "deleted")


class NotUnderstood(ValueError):
    """One sentence: what of a host's answer is not as the module would say it."""

    def __init__(self, where, what):
        super().__init__(
            "The host's answer was not understood, so nothing of it counts: {0} is {1}.".format(clean(where, 100), what)
        )


def _wrong(where, value, wanted):
    return NotUnderstood(where, "{0}, not {1}".format(_described(value), wanted))


def understood(module, answer):
    """A host's answer with the fields that its module has, of the right types, and fit to be shown.

    :param str module: name
    :param answer: what came from the host
    :returns: dict
    :raises NotUnderstood:
    """
    if not isinstance(answer, dict):
        raise _wrong("the answer", answer, "a dictionary")
    if "failed" in answer and answer["failed"] is not False:
        return _failure(module, answer)
    fields = dict(COMMON, **FIELDS[module])
    says = SAYS.get(module, SAYS_ELSE)
    if "not_applicable" in answer and module != "mail_host_facts":
        fields = {name if name.endswith("?") else name + "?": kind for name, kind in fields.items()}
    elif not any(name in answer for name in says):
        raise NotUnderstood(says[0], "missing")
    return _few_warnings(_Reader().record("", answer, dict(fields, **{EACH: None})))


def cleaned(answer):
    """What a module of ansible-core answers, whose fields are not listed: fit to be shown, and without what Ansible or
    the report would act upon, but ``ansible_facts``.

    :raises NotUnderstood:
    """
    kept = {
        name: one for name, one in answer.items() if not str(name).startswith("_ansible") and name not in _ACTED_UPON
    }
    if "failed" in kept:
        kept["failed"] = kept["failed"] is not False
    result = _few_warnings(_Reader().record("", kept, _CLEANED))
    if "diff" in result:
        result["diff"] = bounded(result["diff"])
    return result


_CLEANED = {"changed?": "bool", "warnings?": ["text"], "msg?": "anything said", EACH: "data"}
_ACTED_UPON = (
    "add_group",
    "add_host",
    "ansible_stats",
    "deprecations",
    "evidence",
    "exception",
    "findings",
    "not_applicable",
    "results",
    "skipped",
    "unreachable",
)


def common(answer):
    """Those fields of any task's result that the report is made of, checked; see :func:`understood`.

    A lone sentence is taken for a list of one: modules of others may say it so.

    :raises NotUnderstood:
    """
    lists = {name: [one] if isinstance(one, str) else one for name, one in answer.items() if name in _LISTS}
    kept = {name: answer[name] for name in ("changed", "not_applicable") if answer.get(name) is not None}
    return _Reader().record("", dict(lists, **kept), dict(COMMON, **{EACH: None}))


_LISTS = ("findings", "evidence")


def _few_warnings(result):
    warnings = result.get("warnings", [])
    if len(warnings) > MOST_WARNINGS:
        more = "\u2026 and {0} more warnings".format(len(warnings) - MOST_WARNINGS + 1)
        result["warnings"] = [*warnings[: MOST_WARNINGS - 1], more]
    return result


def _failure(module, answer):
    """A failure says what it can; of the rest, what fits."""
    result = {"failed": True}
    kinds = dict(COMMON, **dict(FIELDS[module], **FAILURE))
    for name, kind in {field.rstrip("?"): kind for field, kind in kinds.items()}.items():
        if name in answer and name != "ansible_facts":
            try:
                result[name] = _Reader().value(name, answer[name], kind)
            except NotUnderstood:
                continue
    result.setdefault("changed", False)
    if not result.get("msg"):
        result["msg"] = "The host said that the module failed, and not why."
    return _few_warnings(result)


class _Reader:
    """Reads one answer; counts its values, so that many lists within lists have a bound, too."""

    def __init__(self):
        self._left = MOST_VALUES

    def value(self, where, value, kind, depth=0):
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            raise NotUnderstood(where, "too much")
        if isinstance(kind, list):
            return self.entries(where, value, kind[0], depth + 1)
        if isinstance(kind, dict):
            return self.record(where + ".", value, kind, depth + 1)
        if kind.endswith("?"):
            return None if value is None else self.value(where, value, kind[:-1], depth)
        if kind == "anything said":
            kind = "said" if isinstance(value, str) else "data"
        if kind in ("data", "handed"):
            return self.anything(where, value, kind, depth)
        is_right, made, wanted = WORDS[kind]
        if not is_right(value):
            raise _wrong(where, value, wanted)
        return made(value)

    def entries(self, where, value, kind, depth):
        if not isinstance(value, (list, tuple)) or len(value) > MOST_ENTRIES:
            raise _wrong(where, value, "a list of at most {0:,}".format(MOST_ENTRIES))
        return [self.value("{0}[{1}]".format(where, number), one, kind, depth) for number, one in enumerate(value)]

    def record(self, where, value, kinds, depth=0):
        """:param str where: the path of its fields, up to the name"""
        if not isinstance(value, dict) or len(value) > MOST_ENTRIES:
            raise _wrong(where.rstrip("."), value, "a dictionary")
        if not all(isinstance(name, str) for name in value):
            raise _wrong(where.rstrip("."), value, "a dictionary whose names are texts")
        known = {name.rstrip("?"): kind for name, kind in kinds.items() if name != EACH}
        missing = [name for name in kinds if name != EACH and not name.endswith("?") and name not in value]
        if missing:
            raise NotUnderstood(where + missing[0], "missing")
        others = kinds.get(EACH, "data")
        return {
            clean(name, LONGEST_NAME): self.value(where + name, one, known.get(name, others), depth)
            for name, one in value.items()
            if known.get(name, others) is not None
        }

    def anything(self, where, value, kind, depth):
        """Values of any plain type: ``data`` is shown, ``handed`` goes to another module as it is."""
        if isinstance(value, dict):
            return self.record(where + ".", value, {EACH: kind}, depth + 1)
        if isinstance(value, (list, tuple)):
            return self.entries(where, value, kind, depth + 1)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return self.value(where, value, "time", depth)
        return self.value(where, value, "lines" if kind == "data" else "name", depth)


def _diff(value):
    """What --diff shows: a dict, or a list of dicts, of texts."""
    return bounded(_texts_of_diff(value))


def _texts_of_diff(value):
    if isinstance(value, (list, tuple)):
        return [_texts_of_diff(one) for one in value]
    return {name: lines(str(text)) for name, text in value.items() if name in _OF_A_DIFF}


_OF_A_DIFF = ("before", "after", "before_header", "after_header", "prepared")


def _is_diff(value):
    if isinstance(value, (list, tuple)):
        return len(value) <= MOST_ENTRIES and all(isinstance(one, dict) and _is_diff(one) for one in value)
    return isinstance(value, dict) and all(isinstance(value.get(name, ""), str) for name in _OF_A_DIFF)


def _is_number(value, lowest):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and (isinstance(value, int) or math.isfinite(value)) and lowest <= value < LARGEST


def _is_text(value, longest):
    return isinstance(value, str) and len(value) <= longest


def _same(value):
    return value


# word: (whether a value is of that kind, what is made of it, how a person calls it)
WORDS = {
    "bool": (lambda value: isinstance(value, bool), _same, "true or false"),
    "count": (lambda value: _is_number(value, 0), _same, "a number from 0 on"),
    "time": (lambda value: _is_number(value, -LARGEST), _same, "a number"),
    "port": (lambda value: _is_number(value, 1) and int(value) == value < 65536, int, "a port"),
    "text": (lambda value: isinstance(value, str), clean, "a text"),
    "lines": (lambda value: isinstance(value, str), lines, "a text"),
    "said": (lambda value: isinstance(value, str), said, "a text"),
    "run": (lambda value: isinstance(value, str) and RUN.match(value), _same, "the name of a run"),
    # It stands in the line for all hosts.
    "moved to": (lambda value: isinstance(value, str) and value in MOVED_TO, _same, "a state of mail_queue"),
    # Handed on to another module, so left as it is.
    "name": (lambda value: _is_text(value, LONGEST_NAME), _same, "a text of at most {0}".format(LONGEST_NAME)),
    "diff": (_is_diff, _diff, "a difference"),
}


def _described(value):
    """A value as one may show it, whatever it is."""
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return clean(value, 40)
    if isinstance(value, str):
        return "the text '{0}'".format(clean(value, 40))
    return {list: "a list", dict: "a dictionary"}.get(type(value), "something else")
