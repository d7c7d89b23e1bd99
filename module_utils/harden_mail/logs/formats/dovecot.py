"""What Dovecot's log-in processes log, and what its POP and IMAP processes log when a session ends.

By syslog a line is "dovecot: imap-login: Login: user=<…"; in Dovecot's own log file, "imap-login: Info: Login: …".
"""

import re
from typing import List, Match, NamedTuple, Optional, Pattern, Tuple

from ...errors import UserError
from ..events import Event, Left
from .format import Format, Line, Memory, login, shown

LOG_NAME = "dovecot"
ELEMENTS = "user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>"
PREFIX = "%s(%u)<%{pid}><%{session}>: "

# What log-in processes are called.
KINDS = {"imap-login": "imap", "pop3-login": "pop3", "submission-login": "smtp"}

_ATTEMPT_LIMIT = 1000

_LOGIN = re.compile(
    "(" + "|".join(KINDS) + "): (?:Info: )?(?:(Login|Logged in)(?=: )|Disconnected|Aborted login|Login aborted)(.*)",
    re.DOTALL,
)
_ATTEMPTS = re.compile(r"[^<>]*\(auth failed, (\d{1,9}) attempts")
_LEFT = r"(?:Info: )?(?:Disconnected|Connection closed|Logged out)\b"
_BEGINS = re.compile(r"master: (?:Info: )?Dovecot v\S+ .*starting up\b")

# The variables that matter, by their names in 2.3 and in 2.4, and what they look like.
_VARIABLE = re.compile(r"%(?:\{([^}|]*)[^}]*\}|(\w))")
_USER = ("u", "user")
_ADDRESS = ("r", "rip", "remote_ip")
_SESSION = ("session",)
_SERVICE = ("s", "service", "protocol")
_PID = ("p", "pid", "process:pid")
_LOOKS = {_ADDRESS: r"([0-9A-Fa-f.:%\w]+)", _SESSION: r"([A-Za-z0-9+/=]+)", _SERVICE: "(?:imap|pop3)", _PID: r"\d+"}
_SERVICES = ("imap", "pop3")


def dovecot_format(log_name: str = LOG_NAME, elements: str = ELEMENTS, prefix: str = PREFIX) -> Format:
    """
    :param log_name: what it logs as by syslog, ``instance_name``
    :param elements: ``login_log_format_elements``, with words between blanks
    :param prefix: ``mail_log_prefix``
    :raises UserError: lines of such elements name no address
    """
    fields = _fields_of(elements)

    def _text(line: Line) -> str:
        return line.message if line.program == log_name else "{0}: {1}".format(line.program, line.message)

    def _is_dovecots(line: Line) -> bool:
        # Its own log file has no number of a process: that is somebody else's "master[7]: ".
        return line.program == log_name or line.process is None

    def _login(line: Line, match: Match, _memory: Memory) -> List[Event]:
        program, accepted, rest = match.groups()
        attempts = _ATTEMPTS.match(rest)
        address = fields.address.match(rest)
        if address is None or not (accepted or attempts):
            return []
        # "…: user=<bob@example.com>, method=PLAIN, rip="
        begin, end = fields.user
        account = rest[: address.start(1)].partition(begin)[2].rpartition(end)[0] if begin else ""
        session = fields.session.match(rest) if accepted and fields.session else None
        events = login(
            line,
            KINDS[program],
            shown(account) or None,
            address.group(1),
            bool(accepted),
            "dovecot/" + program,
            session.group(1) if session else None,
        )
        return events * min(int(attempts.group(1)), _ATTEMPT_LIMIT) if attempts else events

    def _left(line: Line, match: Match, _memory: Memory) -> List[Event]:
        return [Left(line.time, match.group(1))] if _is_dovecots(line) else []

    def _begins(line: Line, _match: Match, _memory: Memory) -> List[Event]:
        return [Left(line.time, None)] if _is_dovecots(line) else []

    heads, left = _heads_of(prefix), _left_by(prefix)
    own_file = list(KINDS) + ["master"]
    return Format(
        name="dovecot",
        programs=re.compile(
            "(?:" + "|".join(map(re.escape, [log_name] + own_file)) + r")\Z|" + "|".join(map(re.escape, heads))
        ),
        wanted=(b"-login: ",),
        logins=((_LOGIN, _login),),
        wanted_ends=tuple(" {0}".format(head).encode("utf-8") for head in heads) + (b": Dovecot v", b"Info: Dovecot v"),
        ends=((left, _left), (_BEGINS, _begins)) if left else ((_BEGINS, _begins),),
        text=_text,
    )


class _Fields(NamedTuple):
    """Where a line has what matters.

    ``user``: the words before and after the account ("": not named). It is looked for before the address: after it,
    it could not be told from what follows. ``address``, ``session``: patterns of the text up to it, whose group it is.
    """

    user: Tuple[str, str]
    address: Pattern
    session: Optional[Pattern]


def _fields_of(elements: str) -> _Fields:
    words = elements.split()
    user, address, session = (_place_of(words, names) for names in (_USER, _ADDRESS, _SESSION))
    if address is None:
        raise UserError(
            "login_log_format_elements is '{0}': without %{{remote_ip}} (%r) Dovecot's log does not say from where "
            "somebody logged in.".format(elements)
        )
    # An account may itself hold ">, method=PLAIN, rip=": what Dovecot wrote is the last of them, or the first.
    return _Fields(
        ("", "") if user is None else _around(words, user),
        _field(words, address, _LOOKS[_ADDRESS], greedy=user is None or user < address),
        None if session is None else _field(words, session, _LOOKS[_SESSION], greedy=user is None or user < session),
    )


def _place_of(words: List[str], names: Tuple[str, ...]) -> Optional[int]:
    for place, word in enumerate(words):
        if any(_name(match) in names for match in _VARIABLE.finditer(word)):
            return place
    return None


def _around(words: List[str], place: int) -> Tuple[str, str]:
    """The words before and after the value of an element; one that is not closed ends where the next one begins."""
    before, after = _VARIABLE.split(words[place])[0], _VARIABLE.split(words[place])[-1]
    if place + 1 == len(words):
        return before, after
    return before, after or ", " + _VARIABLE.split(words[place + 1])[0]


def _field(words: List[str], place: int, looks: str, greedy: bool) -> Pattern:
    before, after = _around(words, place)
    head = (r".*" if greedy else r".*?") + (": " if place == 0 else ", ")
    end = r"\Z" if place + 1 == len(words) else ""
    return re.compile(head + re.escape(before) + looks + re.escape(after) + end, re.DOTALL)


def _left_by(prefix: str) -> Optional[Pattern]:
    """The end of a session, which the group is; None where the prefix doesn't say of which."""
    if not any(_name(match) in _SESSION for match in _VARIABLE.finditer(prefix)):
        return None
    pattern, end = "", 0
    for match in _VARIABLE.finditer(prefix):
        looks = next((looks for names, looks in _LOOKS.items() if _name(match) in names), r"[^\s]*")
        pattern += re.escape(prefix[end : match.start()]) + looks
        end = match.end()
    return re.compile(pattern + re.escape(prefix[end:]) + _LEFT)


def _heads_of(prefix: str) -> List[str]:
    """What lines of POP and IMAP processes begin with: "imap(" and "pop3("."""
    first = _VARIABLE.match(prefix)
    if first is None or _name(first) not in _SERVICE:
        return [_VARIABLE.split(prefix)[0]]
    literal = _VARIABLE.split(prefix[first.end() :])[0]
    return [service + literal for service in _SERVICES]


def _name(variable: Match) -> str:
    return (variable.group(1) or variable.group(2) or "").strip()
