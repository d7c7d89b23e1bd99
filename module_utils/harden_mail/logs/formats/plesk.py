"""What Plesk's own programs log of log-ins to send mail: those of its qmail, and of its Postfix."""

import re
from typing import List, Match

from ..events import Event, Login
from .format import Format, Line, Memory, login, shown

QMAIL_LOG_NAME = "smtp_auth"
POSTFIX_LOG_NAME = "plesk_saslauthd"

# "SMTP user bob@example.com : /var/qmail/mailnames/example.com/bob logged in from unknown@ [192.0.2.1]" and
# "FAILED: bob@example.com - password incorrect  from unknown@ [192.0.2.1]"; newer ones with "smtp_auth: " before.
_ACCEPTED = re.compile(r"(?:smtp_auth: )?SMTP user (.*)\[([0-9A-Fa-f.:]+)\]\s*\Z", re.DOTALL)
_FAILED = re.compile(r"(?:smtp_auth: )?FAILED: (.*)\[([0-9A-Fa-f.:]+)\]\s*\Z", re.DOTALL)
# It names no address.
_SASL_FAILED = re.compile(r"failed mail authentication attempt for user '(.*)' \(password len=\d+\)", re.DOTALL)


def plesk_qmail_format(log_name: str = QMAIL_LOG_NAME) -> Format:
    return Format(
        name="plesk-qmail",
        programs=re.compile(re.escape(log_name) + r"\Z"),
        wanted=(log_name.encode("ascii"),),
        logins=((_ACCEPTED, _accepted), (_FAILED, _failed)),
    )


def plesk_postfix_format(log_name: str = POSTFIX_LOG_NAME) -> Format:
    return Format(
        name="plesk-postfix",
        programs=re.compile(re.escape(log_name) + r"\Z"),
        wanted=(b"mail authentication attempt",),
        logins=((_SASL_FAILED, _sasl_failed),),
    )


def _accepted(line: Line, match: Match, _memory: Memory) -> List[Event]:
    account = match.group(1).rpartition(" logged in from ")[0].partition(" :")[0]
    return login(line, "smtp", shown(account), match.group(2), True, line.program) if account else []


def _failed(line: Line, match: Match, _memory: Memory) -> List[Event]:
    account = match.group(1).rpartition(" - ")[0]
    return login(line, "smtp", shown(account), match.group(2), False, line.program) if account else []


def _sasl_failed(line: Line, match: Match, _memory: Memory) -> List[Event]:
    return [Login(line.time, "smtp", shown(match.group(1)), None, False, line.program)]
