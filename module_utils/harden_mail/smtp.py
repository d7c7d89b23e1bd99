"""What SMTP servers offer, asked of them."""

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, cast

# A server that doesn't answer within this time, in seconds, counts as silent, however many there are.
PROBE_TIMEOUT = 3.0

# This host answers itself in no time, or not at all: an own address that a firewall drops leaves time for loopback.
CONNECT_TIMEOUT = 0.5

# Seconds for an answer to somebody who wants to be sure of it.
_ANSWER_TIMEOUT = 10.0

# smtplib would look the host's name up in the DNS, which may hang; a literal is valid (RFC 5321, 4.1.3).
_OUR_NAME = "[127.0.0.1]"


class Offer(NamedTuple):
    """What one server offers; each of the first three is None when it is not known.

    :ivar auth_plain: mechanisms offered without TLS
    :ivar auth_tls: and with it
    :ivar how: the evidence
    """

    starttls: Optional[bool]
    auth_plain: Optional[List[str]]
    auth_tls: Optional[List[str]]
    how: str


class Answer(NamedTuple):
    """What one server says of AUTH.

    :ivar offered: EHLO names AUTH, without or with TLS
    :ivar taken: AUTH was not refused; None: not tried
    :ivar where: address and port
    """

    offered: bool
    taken: Optional[bool]
    where: str


def probe(servers: Sequence[Tuple[int, Sequence[str]]]) -> List[Offer]:
    """Ask all servers at once.

    :param servers: ports and addresses: the next one is tried when one can't be talked to
    :returns: in the same order; at most PROBE_TIMEOUT seconds later
    """
    offers = [Offer(None, None, None, "no answer within {0:g} seconds".format(PROBE_TIMEOUT))] * len(servers)

    def ask(index: int, port: int, addresses: Sequence[str]) -> None:
        offers[index] = _ask(port, addresses)

    # Not a pool: at exit Python would wait for its threads, and these may hang.
    threads = [
        threading.Thread(target=ask, args=(index, port, addresses), daemon=True)
        for index, (port, addresses) in enumerate(servers)
    ]
    end = time.monotonic() + PROBE_TIMEOUT
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return list(offers)


def _ask(port: int, addresses: Sequence[str]) -> Offer:
    trouble = "nothing to connect to"
    for address in addresses:
        where = "port {0} of {1}".format(port, address)
        try:
            if port == 465:
                # It speaks TLS from the beginning, unless somebody set it up as another 587.
                with contextlib.suppress(ssl.SSLError):
                    return _offer(address, port, True, where)
            return _offer(address, port, False, where)
        except (OSError, smtplib.SMTPException) as error:
            trouble = "{0}: {1}".format(where, error)
    return Offer(None, None, None, trouble)


def _offer(address: str, port: int, tls_first: bool, where: str) -> Offer:
    with _session(address, port, tls_first) as session:
        _expect(250, session.ehlo())
        if tls_first:
            return Offer(False, [], mechanisms(session), "EHLO to {0}, in TLS from the beginning".format(where))
        auth_plain = mechanisms(session)
        if not session.has_extn("starttls"):
            return Offer(False, auth_plain, [], "EHLO to {0}".format(where))
        try:
            _start_tls(session)
        except (OSError, smtplib.SMTPException) as error:  # TLS errors are an OSError too
            how = "EHLO to {0}; STARTTLS is offered but failed: {1}".format(where, error)
            return Offer(True, auth_plain, None, how)
        return Offer(True, auth_plain, mechanisms(session), "EHLO to {0}, before and after STARTTLS".format(where))


def ask(address: str, port: int, try_auth: bool = False) -> Optional[Answer]:
    """Ask an SMTP server about AUTH, without and with TLS.

    :param address: also in brackets
    :param try_auth: also send AUTH, which a server may take without offering it
    :returns: None when there is no answer
    """
    where = "port {0} of {1}".format(port, address)
    offered = taken = False
    try:
        with _session(address.strip("[]"), port, False, _ANSWER_TIMEOUT, _ANSWER_TIMEOUT) as session:
            for is_ready in (_greet, _try_tls):
                if not is_ready(session):
                    break
                offered = offered or session.has_extn("auth")
                taken = taken or (try_auth and _takes_auth(session))
    except (OSError, smtplib.SMTPException):
        return None
    return Answer(offered, taken if try_auth else None, where)


def _greet(session: smtplib.SMTP) -> bool:
    return session.ehlo()[0] == 250


def _try_tls(session: smtplib.SMTP) -> bool:
    """Whether the session is in TLS now; a server whose TLS is broken can't be asked any further."""
    if not session.has_extn("starttls"):
        return False
    try:
        _start_tls(session)
    except (OSError, smtplib.SMTPException):
        return False
    return True


def _takes_auth(session: smtplib.SMTP) -> bool:
    code, _text = session.docmd("AUTH", "PLAIN")
    if code == 334:
        session.docmd("*")
        return True
    # 538: only in TLS, which is tried next.
    return code in (235, 535)


def mechanisms(session: smtplib.SMTP) -> List[str]:
    """SASL mechanisms in the answer to EHLO, each once, in the server's order."""
    # "AUTH=PLAIN", the form for old clients, comes on a line of its own; smtplib puts both together.
    words = session.esmtp_features.get("auth", "").upper().split()
    return sorted(set(words), key=words.index)


@contextlib.contextmanager
def _session(
    address: str, port: int, tls_first: bool, connect_timeout: float = CONNECT_TIMEOUT, timeout: float = PROBE_TIMEOUT
) -> Iterator[smtplib.SMTP]:
    """A session after the greeting; it ends with QUIT, so that no log speaks of a lost connection."""
    session = smtplib.SMTP(local_hostname=_OUR_NAME)
    # Connected by hand: smtplib knows one time-out only, for connecting and for every answer.
    session.sock = socket.create_connection((address, port), connect_timeout)
    try:
        session.sock.settimeout(timeout)
        if tls_first:
            _in_tls(session)
        _expect(220, session.getreply())
        yield session
        with contextlib.suppress(OSError, smtplib.SMTPException):
            session.quit()
    finally:
        session.close()


def _start_tls(session: smtplib.SMTP) -> None:
    _expect(220, session.docmd("STARTTLS"))
    _in_tls(session)
    _expect(250, session.ehlo())


def _expect(wanted: int, answer: Tuple[int, bytes]) -> None:
    code, text = answer
    if code != wanted:
        raise smtplib.SMTPException("{0} {1}".format(code, text.decode("ascii", "replace")))


def _in_tls(session: smtplib.SMTP) -> None:
    # Whom we talk to is sure, it is this host: its certificate is often self-signed and doesn't matter here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    session.sock = context.wrap_socket(cast(socket.socket, session.sock))
    session.file = None  # smtplib's reader of the socket before
