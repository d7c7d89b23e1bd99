"""What vpopmail's checkpassword (vchkpw) logs, for qmail and whoever else calls it."""

import re
from typing import List, Match

from ..events import Event
from .format import Format, Line, Memory, login, shown

LOG_NAME = "vpopmail"

# "vchkpw-pop3: (PLAIN) login success bob@example.com:192.0.2.1"; a refusal may quote the password. Names and passwords
# have 155 bytes at most. An IPv6 address begins where the account, without a colon, ends.
_LOGIN = re.compile(
    r"vchkpw-((smtp|submission|pop3|imap)s?): "
    r"(?:\([^()\s]*\) (login success)|password fail(?: \(pass: '.{0,200}'\))?|vpopmail user not found|user not found) "
    r"(?:(.{0,400}):(\d+\.\d+\.\d+\.\d+)|([^:]{0,400}):([0-9A-Fa-f:]+))\Z",
    re.DOTALL,
)
_KINDS = {"submission": "smtp"}


def vpopmail_format(log_name: str = LOG_NAME) -> Format:
    """
    :param log_name: what vpopmail was built to log as (``--enable-log-name``)
    """
    return Format(
        name="vpopmail",
        programs=re.compile(re.escape(log_name) + r"\Z"),
        wanted=(b"vchkpw-",),
        logins=((_LOGIN, _login),),
    )


def _login(line: Line, match: Match, _memory: Memory) -> List[Event]:
    service, kind, accepted, *places = match.groups()
    account, address = places[:2] if places[1] else places[2:]
    return login(line, _KINDS.get(kind, kind), shown(account), address, bool(accepted), "vchkpw-" + service)
