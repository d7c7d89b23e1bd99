"""What Courier's POP and IMAP servers log."""

import re
from typing import List, Match, Optional, Tuple, cast

from ...addresses import fold_address
from ..events import Event, Left
from .format import Format, Line, Memory, login, shown

# The names of its programs, and nothing more: imapd, imapd-ssl, pop3d, courierpop3login.
PROGRAM = re.compile(r"(?:(?:imap|pop3)(?:d|login)|courier(?:imap|pop3)login)(?:-ssl)?\Z")

# What they begin with; the group says whose.
LOG_NAMES = r"(?:courier(?=(?:imap|pop3)login))?(imap|pop3)(?:d|login)"

_LOGIN = re.compile(
    r"LOGIN( FAILED)?, (?:user=(.*)|method=[^,\s]+), ip=\[([0-9A-Fa-f.:]+)\](?:, port=\[|, protocol=|\Z)", re.DOTALL
)
# The port of the client, which newer releases write, tells one session of an address from another.
_PORT = re.compile(r", port=\[(\d+)\]")
_LEFT = re.compile(r"(?:LOGOUT|TIMEOUT|DISCONNECTED), user=.*, ip=\[([0-9A-Fa-f.:]+)\], port=\[(\d+)\]", re.DOTALL)


def courier_format(log_names: str = LOG_NAMES) -> Format:
    """
    :param log_names: regular expression that fits the names that courierlogger has for its programs (``-name=``), from
        their beginning; its one group is "imap" or "pop3"
    """
    programs = re.compile(log_names)

    def _login(line: Line, match: Match, _memory: Memory) -> List[Event]:
        failed, account, address = match.groups()
        folded = fold_address(address)
        port = None if failed or not folded else _PORT.match(line.message, match.end(3) + 1)
        session = _session(folded, port.group(1)) if folded and port else None
        kind = cast(Match, programs.match(line.program)).group(1)
        return login(line, kind, shown(account) if account else None, address, not failed, line.program, session)

    return Format(
        name="courier",
        programs=programs,
        wanted=(b"LOGIN",),
        logins=((_LOGIN, _login),),
        wanted_ends=(b"LOGOUT", b"DISCONNECTED", b"TIMEOUT"),
        ends=((_LEFT, _left),),
    )


def peer_of(session: Optional[str]) -> Optional[Tuple[str, int]]:
    """The client's address and port of a session of Courier's, whose name is both; None for others'."""
    address, _blank, port = (session or "").partition(" ")
    return (address, int(port)) if port.isdigit() else None


def _left(line: Line, match: Match, _memory: Memory) -> List[Event]:
    address = fold_address(match.group(1))
    return [Left(line.time, _session(address, match.group(2)))] if address else []


def _session(address: str, port: str) -> str:
    return "{0} {1}".format(address, port)
