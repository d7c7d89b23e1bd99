"""What a log format is: rows of a pattern and what a message that fits it means."""

import re
from typing import Callable, Dict, List, Match, NamedTuple, Optional, Pattern, Tuple

from ...addresses import fold_address
from ..events import Event, Login

_ACCOUNT_LIMIT = 255

_LINE = re.compile(r"([^\s\[\]:]+)(?:\[(\d+)\])?: (.*)", re.DOTALL)


class Line(NamedTuple):
    """A line of a log: ``program[process]: message``; ``process`` (digits) is None where the line has none."""

    time: Optional[int]
    program: str
    process: Optional[str]
    message: str


# What is remembered from one line to the next of the same writer, by all formats: a key begins with the line's program.
Memory = Dict[tuple, tuple]

Maker = Callable[[Line, Match, Memory], List[Event]]

# The maker of the first pattern that fits makes the events, of which there may be none.
Rows = Tuple[Tuple[Pattern, Maker], ...]


class Format(NamedTuple):
    """How one server writes of log-ins.

    ``programs``: fits, from its beginning, the name of a program whose lines these are. ``wanted``: a line of a log
    (bytes, with its stamp) without any of these tells of no log-in. ``logins``: of :class:`events.Login`.
    ``wanted_ends``, ``ends``: the same of :class:`events.Left`. ``text``: what of a line the patterns are matched with
    (None: its message).
    """

    name: str
    programs: Pattern
    wanted: Tuple[bytes, ...]
    logins: Rows
    wanted_ends: Tuple[bytes, ...] = ()
    ends: Rows = ()
    text: Optional[Callable[[Line], str]] = None


def read_line(time: Optional[int], text: str) -> Optional[Line]:
    """The parts of a line without stamp and host; None when it has no program."""
    match = _LINE.match(text)
    return Line(time, *match.groups()) if match else None


def read_events(form: Format, rows: Rows, line: Line, memory: Memory) -> List[Event]:
    """What a line says by one of a format's two tables."""
    text = form.text(line) if form.text else line.message
    for pattern, maker in rows:
        match = pattern.match(text)
        if match:
            return maker(line, match, memory)
    return []


def login(
    line: Line,
    kind: str,
    account: Optional[str],
    address: str,
    accepted: bool,
    service: str,
    session: Optional[str] = None,
) -> List[Event]:
    """A log-in from an address as the line has it; none when that is no address.

    :param account: as :func:`shown` gives it
    """
    folded = fold_address(address)
    return [Login(line.time, kind, account, folded, accepted, service, session)] if folded else []


def shown(account: str) -> str:
    """An account's name, fit to be shown: whoever fails to log in chooses it freely."""
    account = account[:_ACCOUNT_LIMIT]
    if not account.isprintable():
        account = "".join(sign if sign.isprintable() else "?" for sign in account)
    return account
