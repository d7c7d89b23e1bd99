"""Log-ins to a mail host, read from what its servers log.

Where each format comes from is said in tests/data/logs/README.md.
"""

import functools
import ipaddress
import re
from collections import namedtuple

# time: epoch seconds, None when the line has no stamp
# kind: "smtp", "pop3" or "imap"
# account: str as it was typed, made harmless to show; None when the line doesn't name it
# address: str, an IPv4 address never in IPv6 form; None when the line doesn't name it (then it is a failure)
# accepted: bool
# service: str, who wrote the line: "postfix/submission/smtpd", "dovecot/imap-login", "imapd-ssl", "smtp_auth"
# session: str, what a POP or IMAP session is known by when it ends; None when the line doesn't say
# writer: reader.Writer, what is known of who wrote the line; None: nothing
Login = namedtuple("Login", "time kind account address accepted service session writer")
Login.__new__.__defaults__ = (None, None)

# The end of a POP or IMAP session: its time, and its ``session`` as in Login; None: of all there are (Dovecot begins).
Left = namedtuple("Left", "time session")

# A line without any of these (bytes) is no log-in; for Logs(wanted=WANTED).
WANTED = (
    b" auth=",
    b"sasl_username=",
    b"SASL ",
    b"-login: ",
    b"LOGIN",
    b"smtp_auth",
    b"mail authentication attempt",
    b"vchkpw-",
)
# The same for what tells of sessions that end.
WANTED_ENDS = (b" imap(", b" pop3(", b": Dovecot v", b"Info: Dovecot v", b"LOGOUT", b"DISCONNECTED", b"TIMEOUT")

# rsyslog folds lines that repeat themselves, where it is told to (Ubuntu does). A count beyond this changes nothing.
MOST_REPEATS = 1000

# Sessions of Postfix that are followed at a time: more than it has processes.
MOST_SESSIONS = 20000

MOST_SHOWN = 255

LINE = re.compile(r"([^\s\[\]:]+)(?:\[(\d+)\])?: (.*)", re.DOTALL)
REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]\Z", re.DOTALL)

# Postfix writes a client as name[address] or, when asked, name[address]:port. Names come from the DNS, but Postfix
# lets no bracket in. What the client says (its account, its HELO) comes after it.
CLIENT = r"[^\s\[\]]+\[(?:IPv6:)?([0-9A-Fa-f.:]+)\](?::\d+)?"
POSTFIX_SENT = re.compile(r"[0-9A-Za-z]+: client=" + CLIENT + r", sasl_method=[^,\s]+, sasl_username=(.*)\Z", re.DOTALL)
POSTFIX_AFTER_ACCOUNT = re.compile(r", (?:sasl_sender|orig_queue_id|orig_client|tls)=.*\Z", re.DOTALL)
POSTFIX_FAILED = re.compile(
    r"(?:warning: )?" + CLIENT + r": SASL \S+ authentication (?:failed|aborted)(.*?)(?:, sasl_username=(.*))?\Z",
    re.DOTALL,
)
# This says nothing of who wanted to log in.
POSTFIX_OWN_TROUBLE = "Connection lost to authentication server"
POSTFIX_LEFT = re.compile(r"disconnect from " + CLIENT + r"(?: [a-z]+=\d+(?:/\d+)?)*? auth=(\d+)(?:/\d+)?(?: |\Z)")

# "dovecot: imap-login: Login: user=<", and in Dovecot's own log file "imap-login: Info: Login: user=<"
DOVECOT = re.compile(r"(?:Info: )?(?:(Login|Logged in)(?=: )|Disconnected|Aborted login|Login aborted)(.*)", re.DOTALL)
# The account may itself hold ">, method=PLAIN, rip=": what Dovecot wrote is the last of them.
DOVECOT_CLIENT = re.compile(r".*, rip=([0-9A-Fa-f.:%\w]+), lip=", re.DOTALL)
DOVECOT_ATTEMPTS = re.compile(r"[^<>]*\(auth failed, (\d{1,9}) attempts")
DOVECOT_SESSION = re.compile(r".*, session=<([A-Za-z0-9+/=]+)>\Z", re.DOTALL)
# "dovecot: imap(bob@example.com)<778><9wfr6QthrNHGM2QU>: Disconnected: Logged out", "...: Info: Connection closed"
DOVECOT_LEFT = re.compile(
    r"(?:imap|pop3)\([^\s]*\)<\d+><([A-Za-z0-9+/=]+)>: (?:Info: )?(?:Disconnected|Connection closed|Logged out)\b"
)
DOVECOT_BEGINS = re.compile(r"master: (?:Info: )?Dovecot v\S+ .*starting up\b")
DOVECOT_KINDS = {"imap-login": "imap", "pop3-login": "pop3", "submission-login": "smtp"}

COURIER = re.compile(
    r"LOGIN( FAILED)?, (?:user=(.*)|method=[^,\s]+), ip=\[([0-9A-Fa-f.:]+)\](?:, port=\[|, protocol=|\Z)", re.DOTALL
)
# The port of the client, which newer releases write, tells one session of an address from another.
COURIER_PORT = re.compile(r", port=\[(\d+)\]")
COURIER_LEFT = re.compile(
    r"(?:LOGOUT|TIMEOUT|DISCONNECTED), user=.*, ip=\[([0-9A-Fa-f.:]+)\], port=\[(\d+)\]", re.DOTALL
)
COURIER_KIND = re.compile(r"(imap|pop3)(?:d|login)|courier(imap|pop3)login")

# Plesk's qmail: "SMTP user bob@example.com : /var/qmail/mailnames/example.com/bob logged in from unknown@ [192.0.2.1]"
# and "FAILED: bob@example.com - password incorrect  from unknown@ [192.0.2.1]"; newer ones with "smtp_auth: " before.
PLESK_LINE = re.compile(r"(?:smtp_auth: )?(SMTP user|FAILED:) (.*)\[([0-9A-Fa-f.:]+)\]\s*\Z", re.DOTALL)
PLESK_SASL = re.compile(r"failed mail authentication attempt for user '(.*)' \(password len=\d+\)", re.DOTALL)

# vpopmail's checkpassword: "vchkpw-pop3: (PLAIN) login success bob@example.com:192.0.2.1"; a refusal may quote the
# password. Names and passwords have 155 bytes at most. An IPv6 address begins where the account, without a colon, ends.
VCHKPW = re.compile(
    r"vchkpw-((smtp|submission|pop3|imap)s?): "
    r"(?:\([^()\s]*\) (login success)|password fail(?: \(pass: '.{0,200}'\))?|vpopmail user not found|user not found) "
    r"(?:(.{0,400}):(\d+\.\d+\.\d+\.\d+)|([^:]{0,400}):([0-9A-Fa-f:]+))\Z",
    re.DOTALL,
)
VCHKPW_KINDS = {"submission": "smtp"}

# What needs no folding, which is most of a log: ipaddress takes ten times as long.
USUAL_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!\Z)|\Z)){4}\Z", re.ASCII)


def logins(lines):
    """Go through lines of logs for log-ins.

    A session that sends ten messages is one log-in. Postfix names the account only when a message is sent: of a
    session without one the account is None.

    :param lines: iterable of (time, text, writer) as :meth:`reader.Logs.lines` gives them, or of (time, text)
    :returns: iterator of :class:`Login`
    """
    return _events(lines, None)


def events(lines):
    """The same, and when POP and IMAP sessions end.

    :param lines: as above, with those that have one of WANTED_ENDS
    :returns: iterator of :class:`Login` and :class:`Left`
    """
    return _events(lines, _left)


def _events(lines, left):
    # Of each kind of writer: a forged line must not change what a true one of the same process means.
    sessions = {}
    for time, text, *known in lines:
        writer = known[0] if known else None
        match = LINE.match(text)
        if match is None:
            continue
        program, process, message = match.groups()
        end = left(time, program, message, text) if left and _may_end(writer) else None
        if end is not None:
            yield end
            continue
        times = 1
        repeated = REPEATED.match(message)
        if repeated:
            times, message = int(repeated.group(1)), repeated.group(2)
        if writer not in sessions:
            sessions[writer] = _PostfixSessions()
        login, attempts = _login(sessions[writer], time, program, process, message)
        if login is not None:
            # Half the time of _replace.
            login = login if writer is None else Login(*login[:-1], writer)
            for _time in range(min(times * attempts, MOST_REPEATS)):
                yield login


def _login(sessions, time, program, process, message):
    """The :class:`Login` in one message, or None, and how often it was tried."""
    if program == "dovecot":
        program, _colon, message = message.partition(": ")
    if program in DOVECOT_KINDS:
        return _dovecot(time, program, message)
    if program.endswith("/smtpd"):
        return sessions.read(time, program, process, message), 1
    if program in OTHERS:
        return OTHERS[program](time, message), 1
    kind = COURIER_KIND.match(program)
    if kind:
        return _courier(time, kind.group(1) or kind.group(2), program, message), 1
    return None, 1


def _may_end(writer):
    """Whether a line may tell of a session's end: not when somebody else seems to have written it."""
    return writer is None or writer.proof in ("proved", "unproved")


def _left(time, program, message, text):
    """The :class:`Left` in one message, or None."""
    if program == "dovecot":
        text = message
    if text.startswith(("imap(", "pop3(")):
        match = DOVECOT_LEFT.match(text)
        return Left(time, match.group(1)) if match else None
    if text.startswith("master: "):
        return Left(time, None) if DOVECOT_BEGINS.match(text) else None
    match = COURIER_LEFT.match(message)
    address = fold_address(match.group(1)) if match and COURIER_KIND.match(program) else None
    return Left(time, _courier_session(address, match.group(2))) if address else None


def _courier_session(address, port):
    return "{0} {1}".format(address, port)


class _PostfixSessions:
    """Postfix's smtpd, one process of which serves one session at a time."""

    def __init__(self):
        self._known = {}

    def read(self, time, program, process, message):
        match = POSTFIX_SENT.match(message)
        if match:
            account = _account(POSTFIX_AFTER_ACCOUNT.sub("", match.group(2)))
            return self._sent(time, program, process, match.group(1), account)
        match = POSTFIX_FAILED.match(message)
        if match:
            address, why, account = match.groups()
            if POSTFIX_OWN_TROUBLE in why:
                return None
            # Postfix's word for a name it never got.
            account = None if account in (None, "(unavailable)") else _account(account)
            return _known_address(Login(time, "smtp", account, address, False, program))
        match = POSTFIX_LEFT.match(message)
        if match:
            sent = self._known.pop((program, process), None)
            if not sent and int(match.group(2)[:9]):
                return _known_address(Login(time, "smtp", None, match.group(1), True, program))
        return None

    def _sent(self, time, program, process, address, account):
        if self._known.get((program, process)) == (address, account):
            return None
        if len(self._known) >= MOST_SESSIONS:
            self._known.clear()
        self._known[program, process] = (address, account)
        return _known_address(Login(time, "smtp", account, address, True, program))


def _dovecot(time, program, message):
    match = DOVECOT.match(message)
    if match is None:
        return None, 1
    accepted = bool(match.group(1))
    attempts = DOVECOT_ATTEMPTS.match(match.group(2))
    client = DOVECOT_CLIENT.match(match.group(2))
    if client is None or not (accepted or attempts):
        return None, 1
    # "…: user=<bob@example.com>, method=PLAIN, rip="
    before = match.group(2)[: client.start(1)]
    account = before.partition("user=<")[2].rpartition(">")[0]
    session = DOVECOT_SESSION.match(message) if accepted else None
    login = Login(
        time,
        DOVECOT_KINDS[program],
        _account(account) or None,
        client.group(1),
        accepted,
        "dovecot/" + program,
        session.group(1) if session else None,
    )
    return _known_address(login), int(attempts.group(1)) if attempts else 1


def _courier(time, kind, program, message):
    match = COURIER.match(message)
    if match is None:
        return None
    account = _account(match.group(2)) if match.group(2) else None
    login = _known_address(Login(time, kind, account, match.group(3), not match.group(1), program))
    port = COURIER_PORT.match(message, match.end(3) + 1) if login and login.accepted else None
    return login._replace(session=_courier_session(login.address, port.group(1))) if port else login


def _plesk_qmail(time, message):
    match = PLESK_LINE.match(message)
    if match is None:
        return None
    said, rest, address = match.groups()
    accepted = said == "SMTP user"
    account = rest.rpartition(" logged in from ")[0].partition(" :")[0] if accepted else rest.rpartition(" - ")[0]
    return _known_address(Login(time, "smtp", _account(account), address, accepted, "smtp_auth")) if account else None


def _plesk_saslauthd(time, message):
    match = PLESK_SASL.match(message)
    return Login(time, "smtp", _account(match.group(1)), None, False, "plesk_saslauthd") if match else None


def _vchkpw(time, message):
    match = VCHKPW.match(message)
    if match is None:
        return None
    service, kind, accepted, *places = match.groups()
    account, address = places[:2] if places[1] else places[2:]
    kind = VCHKPW_KINDS.get(kind, kind)
    login = Login(time, kind, _account(account), address, bool(accepted), "vchkpw-" + service)
    return _known_address(login)


# Programs that write of log-ins in one way: function (time, message) -> Login or None
OTHERS = {"smtp_auth": _plesk_qmail, "plesk_saslauthd": _plesk_saslauthd, "vpopmail": _vchkpw}


def _known_address(login):
    """The same with its address in the usual form, or None when it is no address."""
    address = fold_address(login.address)
    return login._replace(address=address) if address else None


@functools.lru_cache(maxsize=65536)
def fold_address(text):
    """An address (str) in the usual form, IPv4 never as IPv6 (``::ffff:192.0.2.1``); None when it is no address."""
    if USUAL_ADDRESS.match(text):
        return text
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)


def _account(text):
    """An account's name, fit to be shown: whoever fails to log in chooses it freely."""
    text = text[:MOST_SHOWN]
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text
