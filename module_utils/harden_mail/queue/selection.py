"""Which messages are meant: the one grammar for listing, purging and restoring (``docs/selection.md``)."""

import difflib
import functools
import ipaddress
import re

from ..errors import UserError
from ..text import folded, printable

KEYS = ("sender", "recipient", "subject", "age", "size", "state", "id", "origin", "not")
ORIGIN_KEYS = ("sasl_user", "client", "uid", "script")

# What of a text a regular expression sees: it can be written to take for ever on a long one.
LONGEST_SEARCHED = 1000

NULL_SENDER = "<>"

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_COMPARISON = re.compile(r"(<=|>=|<|>)\s*(\d{1,15})\s*([a-z]*)\Z")
_RANGE = re.compile(r"(\d{1,15})\s*([a-z]*)\s*\.\.\s*(\d{1,15})\s*([a-z]*)\Z")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}\Z")

# The wildcards of a glob while it is folded; noncharacters, which YAML can't have. Folding makes full-width * and ?
# (common in Japanese subjects) the normal ones, which then are letters like others.
_ANYTHING, _ANY_ONE = "\uffff", "\ufffe"
_WILDCARDS = str.maketrans("*?", _ANYTHING + _ANY_ONE)


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
    given = _said("select", select or {})
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
    _refuse_unknown(where, given, KEYS)
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
            _exception(where + ".not", exception, states, now) for exception in _filled(where + ".not", exceptions)
        ]
    return tests


def _exception(where, given, states, now):
    tests = _tests(where, _said(where, given), states, now)
    if not tests:
        raise UserError("{0} is empty: give at least one key, or leave it out.".format(where))
    return lambda message: not all(test(message) for test in tests)


# --- one key each -----------------------------------------------------------------------------------------


def _state_test(name, value, states):
    wanted = frozenset(_words(name, value))
    for state in sorted(wanted):
        if state not in states:
            raise UserError("{0} is {1}: this queue knows {2}.".format(name, _shown(state), ", ".join(states)))
    return lambda message: not wanted.isdisjoint(message.states)


def _id_test(name, value):
    wanted = frozenset(_words(name, value))
    return lambda message: message.id in wanted


def _sender_test(name, value):
    matches = _address_patterns(name, value)
    return lambda message: matches(_lowered(message.sender) or NULL_SENDER)


def _recipient_test(name, value):
    matches = _address_patterns(name, value)
    return lambda message: any(matches(_lowered(recipient.address)) for recipient in message.recipients)


def _subject_test(name, value):
    matches = _patterns(name, value, folded)

    def test(message):
        subject = message.subject
        return subject is not None and matches(folded(subject))

    return test


def _origin_tests(where, value):
    given = _said(where, value)
    _refuse_unknown(where, given, ORIGIN_KEYS)
    if not given:
        raise UserError("{0} is empty: give one of {1}.".format(where, ", ".join(ORIGIN_KEYS)))
    tests = []
    for key in ("sasl_user", "script"):
        if key in given:
            tests.append(_text_test(key, _patterns("{0}.{1}".format(where, key), given[key], _lowered)))
    if "uid" in given:
        name = where + ".uid"
        wanted = frozenset(_whole_number(name, word) for word in _words(name, given["uid"]))
        tests.append(lambda message: message.uid in wanted)
    if "client" in given:
        tests.append(_client_test(where + ".client", given["client"]))
    return tests


def _text_test(key, matches):
    def test(message):
        text = getattr(message, key)
        return text is not None and matches(_lowered(text))

    return test


def _client_test(name, value):
    networks = []
    for word in _words(name, value):
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise UserError(
                "{0} is {1}: give an IP address, or a network such as 203.0.113.0/24.".format(name, _shown(word))
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
    spans = [_span(name, word, units) for word in _words(name, value)]

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
            raise UserError("{0} is {1}: the first of the two is the greater one.".format(name, _shown(word)))
        return least, most
    raise UserError(_number_advice(name, word, units))


def _in_units(name, word, number, unit, units):
    if unit not in units:
        raise UserError(_number_advice(name, word, units))
    return int(number) * units[unit]


def _number_advice(name, word, units):
    examples = ("'>2h' or '2h..1d'", "s, m, h, d, w") if units is _SECONDS else ("'>10k' or '1k..2M'", "b, k, M, G")
    return "{0} is {1}: write it like {2}; the units are {3}.".format(name, _shown(word), *examples)


def _whole_number(name, word):
    if not _WHOLE_NUMBER.match(word):
        raise UserError("{0} is {1}: give a user's number.".format(name, _shown(word)))
    return int(word)


# --- patterns ---------------------------------------------------------------------------------------------


def _lowered(text):
    return text.casefold()


def _address_patterns(name, value):
    for word in _words(name, value):
        if not word.startswith("re:") and word != NULL_SENDER and _can_be_no_address(word):
            raise UserError(
                "{0} is {1}, which is no address: give a whole one without angle brackets, such as bob@example.com, "
                "or '*@example.com' for all of a domain.".format(name, _shown(word))
            )
    return _patterns(name, value, _lowered)


def _can_be_no_address(word):
    """Whether no address is like that; a domain alone would be no exception where it was meant as one."""
    is_domain = "." in word and not set("@*?") & set(word)
    return is_domain or word.startswith("@") or (word.startswith("<") and word.endswith(">"))


def _patterns(name, value, fold):
    """A function (str, already folded) -> bool: whether one of the patterns matches."""
    matchers, plain = [], set()
    for word in _words(name, value):
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
            "{0} is {1}, which any text matches: give a regular expression after it.".format(name, _shown(word))
        )
    try:
        search = re.compile(expression, re.IGNORECASE).search
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            "{0} is {1}, which is no regular expression: {2}.".format(name, _shown(word), printable(str(error), 80))
        ) from None
    return lambda text: search(text[:LONGEST_SEARCHED]) is not None


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


# --- what was written -------------------------------------------------------------------------------------


def _said(where, value):
    """What was written, seen to be a dictionary whose keys have values.

    A variable that holds nothing is not a key left out: the rest would mean far more messages.
    """
    if not isinstance(value, dict):
        raise UserError("{0} is {1}: give a dictionary.".format(where, _shown(value)))
    for key in sorted(value, key=str):
        if value[key] is None:
            raise UserError("{0}.{1} has no value: give one, or leave it out.".format(where, key))
    return value


def _refuse_unknown(where, given, known):
    for key in sorted(given, key=str):
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            raise UserError(
                "{0} has {1}, which is no key{2}; there are {3}.".format(
                    where, _shown(key), " (did you mean {0}?)".format(near[0]) if near else "", ", ".join(known)
                )
            )


def _filled(name, values):
    if not values:
        raise UserError("{0} is an empty list: give at least one entry, or leave it out.".format(name))
    return values


def _words(name, value):
    """The texts of a key: one, or a list of them. YAML makes numbers of some."""
    words = []
    for entry in _filled(name, value if isinstance(value, list) else [value]):
        if isinstance(entry, bool) or not isinstance(entry, (str, int, float)):
            raise UserError("{0} is {1}: give text (in quotes), or a list of texts.".format(name, _shown(entry)))
        word = str(entry)
        if not word.strip():
            raise UserError("{0} is empty text: give a value, or leave it out.".format(name))
        words.append(word)
    return words


def _shown(value):
    return printable(repr(value), 80)


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
