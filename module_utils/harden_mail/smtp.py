"""What SMTP servers offer, asked of them."""

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from collections import namedtuple

# A server that doesn't answer within this time, in seconds, counts as silent, however many there are.
PATIENCE = 3.0

# This host answers itself in no time, or not at all: an own address that a firewall drops leaves time for loopback.
CONNECT_PATIENCE = 0.5

# smtplib would look the host's name up in the DNS, which may hang; a literal is valid (RFC 5321, 4.1.3).
OUR_NAME = "[127.0.0.1]"

# starttls: bool; auth_plain, auth_tls: list of str, mechanisms offered without and with TLS; each None when not known
# how: str, the evidence
Offer = namedtuple("Offer", "starttls auth_plain auth_tls how")


def probe(servers):
    """Ask all servers at once.

    :param servers: list of (int port, list of str addresses: the next is tried when one can't be talked to)
    :returns: list of Offer, in the same order; at most PATIENCE seconds later
    """
    offers = [Offer(None, None, None, "no answer within {0:g} seconds".format(PATIENCE))] * len(servers)

    def ask(index, port, addresses):
        offers[index] = _ask(port, addresses)

    # Not a pool: at exit Python would wait for its threads, and these may hang.
    threads = [
        threading.Thread(target=ask, args=(index, port, addresses), daemon=True)
        for index, (port, addresses) in enumerate(servers)
    ]
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return list(offers)


def _ask(port, addresses):
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


def _offer(address, port, tls_first, where):
    with _session(address, port, tls_first) as session:
        _expect(250, session.ehlo())
        if tls_first:
            return Offer(False, [], mechanisms(session), "EHLO to {0}, in TLS from the beginning".format(where))
        auth_plain = mechanisms(session)
        if not session.has_extn("starttls"):
            return Offer(False, auth_plain, [], "EHLO to {0}".format(where))
        try:
            _expect(220, session.docmd("STARTTLS"))
            _in_tls(session)
            _expect(250, session.ehlo())
        except (OSError, smtplib.SMTPException) as error:  # TLS errors are an OSError too
            how = "EHLO to {0}; STARTTLS is offered but failed: {1}".format(where, error)
            return Offer(True, auth_plain, None, how)
        return Offer(True, auth_plain, mechanisms(session), "EHLO to {0}, before and after STARTTLS".format(where))


def mechanisms(session):
    """SASL mechanisms in the answer to EHLO, each once, in the server's order."""
    # "AUTH=PLAIN", the form for old clients, comes on a line of its own; smtplib puts both together.
    words = session.esmtp_features.get("auth", "").upper().split()
    return sorted(set(words), key=words.index)


@contextlib.contextmanager
def _session(address, port, tls_first):
    """A session after the greeting; it ends with QUIT, so that no log speaks of a lost connection."""
    session = smtplib.SMTP(local_hostname=OUR_NAME)
    # Connected by hand: smtplib knows one time-out only, for connecting and for every answer.
    session.sock = socket.create_connection((address, port), CONNECT_PATIENCE)
    try:
        session.sock.settimeout(PATIENCE)
        if tls_first:
            _in_tls(session)
        _expect(220, session.getreply())
        yield session
        with contextlib.suppress(OSError, smtplib.SMTPException):
            session.quit()
    finally:
        session.close()


def _expect(wanted, answer):
    code, text = answer
    if code != wanted:
        raise smtplib.SMTPException("{0} {1}".format(code, text.decode("ascii", "replace")))


def _in_tls(session):
    # Whom we talk to is sure, it is this host: its certificate is often self-signed and doesn't matter here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    session.sock = context.wrap_socket(session.sock)
    session.file = None  # smtplib's reader of the socket before
