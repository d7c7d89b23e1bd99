"""Which messages are meant: the one grammar for listing, purging and restoring (``docs/selection.md``)."""

import functools
import ipaddress
import re

from ..errors import UserError
from ..text import folded, printable
from .patterns import NULL_SENDER, address_patterns, lowered, patterns
from .values import filled, refuse_unknown, said, shown, words_of

KEYS = ("sender", "recipient", "subject", "age", "size", "state", "id", "origin", "not")
ORIGIN_KEYS = ("sasl_user", "client", "uid", "script")


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_COMPARISON = re.compile(r"(<=|>=|<|>)\s*(\d{1,15})\s*([a-z]*)\Z")
_RANGE = re.compile(r"(\d{1,15})\s*([a-z]*)\s*\.\.\s*(\d{1,15})\s*([a-z]*)\Z")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}\Z")


class Selection:
    """Callable: whether a message (``Message``) is meant.

    :ivar str text: what is selected, in a line fit for a terminal
    """

    def __init__(self, tests, text):
        self._tests, self.text = tests, printable(text)

    def __call__(self, message):
        return all(test(message) for test in self._tests)


def compile_selection(select, everything, states, now):
    """Make a selection of what a user wrote.

    :param dict select: the grammar's keys; or None
    :param bool everything: ``all``
    :param tuple states: those that the queue's messages can be in
    :param float now: epoch seconds, from which ages count
    :returns: Selection
    :raises UserError: names the key, its value and what would be right
    """
    given = said("select", select or {})
    if everything:
        if given:
            raise UserError("all is true and select has {0}: give one of them.".format(", ".join(sorted(given))))
        return Selection([], "all")
    tests = _tests("select", given, states, now)
    if not tests:
        raise UserError("select is empty, which does not mean everything: give at least one key, or all: true.")
    return Selection(tests, _text(given))


def _tests(where, given, states, now):
    """Tests of one dictionary, the cheap ones first."""
    refuse_unknown(where, given, KEYS)
    makers = (
        ("state", lambda name, value: _state_test(name, value, states)),
        ("id", _id_test),
        ("age", lambda name, value: _number_test(name, value, _SECONDS, lambda message: now - message.arrival)),
        ("size", lambda name, value: _number_test(name, value, _BYTES, lambda message: message.size)),
        ("sender", _sender_test),
        ("subject", _subject_test),
        ("recipient", _recipient_test),
    )
    tests = [make("{0}.{1}".format(where, key), given[key]) for key, make in makers if key in given]
    if "origin" in given:
        tests += _origin_tests(where + ".origin", given["origin"])
    if "not" in given:
        exceptions = given["not"] if isinstance(given["not"], list) else [given["not"]]
        tests += [
            _exception(where + ".not", exception, states, now) for exception in filled(where + ".not", exceptions)
        ]
    return tests


def _exception(where, given, states, now):
    tests = _tests(where, said(where, given), states, now)
    if not tests:
        raise UserError("{0} is empty: give at least one key, or leave it out.".format(where))
    return lambda message: not all(test(message) for test in tests)


# --- one key each -----------------------------------------------------------------------------------------


def _state_test(name, value, states):
    wanted = frozenset(words_of(name, value))
    for state in sorted(wanted):
        if state not in states:
            raise UserError("{0} is {1}: this queue knows {2}.".format(name, shown(state), ", ".join(states)))
    return lambda message: not wanted.isdisjoint(message.states)


def _id_test(name, value):
    wanted = frozenset(words_of(name, value))
    return lambda message: message.id in wanted


def _sender_test(name, value):
    matches = address_patterns(name, value)
    return lambda message: matches(lowered(message.sender) or NULL_SENDER)


def _recipient_test(name, value):
    matches = address_patterns(name, value)
    return lambda message: any(matches(lowered(recipient.address)) for recipient in message.recipients)


def _subject_test(name, value):
    matches = patterns(name, value, folded)

    def test(message):
        subject = message.subject
        return subject is not None and matches(folded(subject))

    return test


def _origin_tests(where, value):
    given = said(where, value)
    refuse_unknown(where, given, ORIGIN_KEYS)
    if not given:
        raise UserError("{0} is empty: give one of {1}.".format(where, ", ".join(ORIGIN_KEYS)))
    tests = []
    for key in ("sasl_user", "script"):
        if key in given:
            tests.append(_text_test(key, patterns("{0}.{1}".format(where, key), given[key], lowered)))
    if "uid" in given:
        name = where + ".uid"
        wanted = frozenset(_whole_number(name, word) for word in words_of(name, given["uid"]))
        tests.append(lambda message: message.uid in wanted)
    if "client" in given:
        tests.append(_client_test(where + ".client", given["client"]))
    return tests


def _text_test(key, matches):
    def test(message):
        text = getattr(message, key)
        return text is not None and matches(lowered(text))

    return test


def _client_test(name, value):
    networks = []
    for word in words_of(name, value):
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise UserError(
                "{0} is {1}: give an IP address, or a network such as 203.0.113.0/24.".format(name, shown(word))
            ) from None

    # Thousands of messages come from few addresses.
    @functools.lru_cache(maxsize=4096)
    def is_inside(client):
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in networks)

    return lambda message: message.client is not None and is_inside(message.client)


# --- numbers ----------------------------------------------------------------------------------------------


def _number_test(name, value, units, number_of):
    spans = [_span(name, word, units) for word in words_of(name, value)]

    def test(message):
        number = number_of(message)
        return any(least <= number <= most for least, most in spans)

    return test


def _span(name, word, units):
    """(least, most) of ``>2h`` or ``2h..1d``."""
    text = word.strip().lower()
    found = _COMPARISON.match(text)
    if found:
        sign, number = found.group(1), _in_units(name, word, found.group(2), found.group(3), units)
        infinite = float("inf")
        # An age has a fraction, so that "less than" is not "one less".
        least = number if sign == ">=" else number + 1e-6
        most = number if sign == "<=" else number - 1e-6
        return (least, infinite) if sign[0] == ">" else (-infinite, most)
    found = _RANGE.match(text)
    if found:
        first, unit, second, other_unit = found.groups()
        least = _in_units(name, word, first, unit or other_unit, units)
        most = _in_units(name, word, second, other_unit, units)
        if least > most:
            raise UserError("{0} is {1}: the first of the two is the greater one.".format(name, shown(word)))
        return least, most
    raise UserError(_number_advice(name, word, units))


def _in_units(name, word, number, unit, units):
    if unit not in units:
        raise UserError(_number_advice(name, word, units))
    return int(number) * units[unit]


def _number_advice(name, word, units):
    examples = ("'>2h' or '2h..1d'", "s, m, h, d, w") if units is _SECONDS else ("'>10k' or '1k..2M'", "b, k, M, G")
    return "{0} is {1}: write it like {2}; the units are {3}.".format(name, shown(word), *examples)


def _whole_number(name, word):
    if not _WHOLE_NUMBER.match(word):
        raise UserError("{0} is {1}: give a user's number.".format(name, shown(word)))
    return int(word)


# --- in a line --------------------------------------------------------------------------------------------


def _text(given):
    """What was written, in a line."""
    parts = []
    for key in KEYS:
        if key not in given:
            continue
        value = given[key]
        if key == "origin":
            parts.append(", ".join("origin.{0}: {1}".format(name, _joined(value[name])) for name in sorted(value)))
        elif key == "not":
            exceptions = value if isinstance(value, list) else [value]
            parts += ["not ({0})".format(_text(exception)) for exception in exceptions]
        else:
            parts.append("{0}: {1}".format(key, _joined(value)))
    return "; ".join(parts)


def _joined(value):
    return " | ".join(str(entry) for entry in value) if isinstance(value, list) else str(value)
