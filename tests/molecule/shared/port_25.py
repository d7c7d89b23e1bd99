"""Port 25 as another mail server, or a bot with a guessed password, finds it."""

import base64
import itertools

import pytest
from hosts.clients import NoTls
from hosts.lab import Lab

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
FAMILIES = pytest.mark.parametrize("family", (4, 6), ids=("IPv4", "IPv6"))

# What an account that is not on the host sends to one that is.
SENDER, RECIPIENT = "someone@elsewhere.example", "info@example.com"
PLAIN = "PLAIN " + base64.b64encode(b"\0info@example.com\0info").decode()

_numbers = itertools.count()


def sessions(host, family):
    """SMTP sessions of the refused client on port 25, after EHLO: one in the clear, one in TLS."""
    for tls in (False, True):
        with LAB.client("refused").smtp(host.address(family), 25) as session:
            if tls:
                session.starttls(context=NoTls())
            session.ehlo()
            yield session


def offers_auth(host, family):
    """Whether AUTH is offered: set of bool, of the session in the clear and that in TLS."""
    return {session.has_extn("auth") for session in sessions(host, family)}


def deliver(host, family):
    """Send one mail to the host as another server does; raises SMTPException when it is not taken."""
    subject = "inbound-{0}-{1}-{2}".format(host.name, family, next(_numbers))
    with LAB.client("refused").smtp(host.address(family), 25) as session:
        session.sendmail(SENDER, [RECIPIENT], "Subject: {0}\r\n\r\nhello\r\n".format(subject))
    return True
