"""What Postfix's smtpd logs.

One of its processes serves one session at a time. The account is named only when a message is sent; a session that
sends ten is one log-in.
"""

import re
from typing import List, Match, Optional, Sequence, Tuple

from ..events import Event
from .format import Format, Line, Memory, login, shown

# What the name of every smtpd ends with: syslog_name and "/smtpd".
PROGRAM = "/smtpd"

# What a process says when a client comes.
CONNECTED = "connect from "

# Sessions that are followed at a time: more than Postfix has processes.
_SESSION_LIMIT = 20000

# A client is written as name[address] or, when asked for, name[address]:port. Names come from the DNS, but Postfix
# lets no bracket in. What the client says (its account, its HELO) comes after it.
_CLIENT = r"[^\s\[\]]+\[(?:IPv6:)?([0-9A-Fa-f.:]+)\](?::\d+)?"
_SENT = re.compile(r"[0-9A-Za-z]+: client=" + _CLIENT + r", sasl_method=[^,\s]+, sasl_username=(.*)\Z", re.DOTALL)
_AFTER_ACCOUNT = re.compile(r", (?:sasl_sender|orig_queue_id|orig_client|tls)=.*\Z", re.DOTALL)
_FAILED = re.compile(
    r"(?:warning: )?" + _CLIENT + r": SASL \S+ authentication (?:failed|aborted)(.*?)(?:, sasl_username=(.*))?\Z",
    re.DOTALL,
)
_LEFT = re.compile(r"disconnect from " + _CLIENT + r"(?: [a-z]+=\d+(?:/\d+)?)*? auth=(\d+)(?:/\d+)?(?: |\Z)")

# This says nothing of who wanted to log in.
_OWN_TROUBLE = "Connection lost to authentication server"
# Postfix's word for a name that it never got.
_NO_NAME = "(unavailable)"


def postfix_format(log_names: Optional[Sequence[str]] = None) -> Format:
    """
    :param log_names: what ``syslog_name`` is, in main.cf and for each service of master.cf ("postfix/submission");
        None: anything
    """
    names = ".*" if log_names is None else "(?:" + "|".join(map(re.escape, log_names)) + ")"
    return Format(
        name="postfix",
        programs=re.compile(names + re.escape(PROGRAM) + r"\Z"),
        wanted=(b" auth=", b"sasl_username=", b"SASL "),
        logins=((_SENT, _sent), (_FAILED, _failed), (_LEFT, _left)),
    )


def sender(message: str) -> Optional[str]:
    """The account, as it was typed, that a process takes a message of; None when its message says nothing of that."""
    match = _SENT.match(message)
    return _sent_by(match)[1] if match else None


def _sent_by(match: Match) -> Tuple[str, str]:
    return match.group(1), _AFTER_ACCOUNT.sub("", match.group(2))


def _sent(line: Line, match: Match, memory: Memory) -> List[Event]:
    address, account = _sent_by(match)
    session, known = (line.program, line.process), (address, shown(account))
    if memory.get(session) == known:
        return []
    if len(memory) >= _SESSION_LIMIT:
        memory.clear()
    memory[session] = known
    return login(line, "smtp", known[1], address, True, line.program)


def _failed(line: Line, match: Match, _memory: Memory) -> List[Event]:
    address, why, account = match.groups()
    if _OWN_TROUBLE in why:
        return []
    account = None if account in (None, _NO_NAME) else shown(account)
    return login(line, "smtp", account, address, False, line.program)


def _left(line: Line, match: Match, memory: Memory) -> List[Event]:
    # Who sent something was named then.
    sent = memory.pop((line.program, line.process), None)
    is_login = not sent and int(match.group(2)[:9])
    return login(line, "smtp", None, match.group(1), True, line.program) if is_login else []
