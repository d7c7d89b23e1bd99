"""One queued message, the same for every MTA."""

from collections import namedtuple
from typing import List, Optional, Tuple

from ..text import printable

# address: str, without angle brackets; done: it has been delivered or has bounced, and is not tried again
Recipient = namedtuple("Recipient", "address done")

# Recipients that a result or a manifest names; a message may have 50,000.
RECIPIENTS_LIMIT = 20


class Message:
    """A message as a queue's reader yields it. Text is as decoded from the wire, not yet fit for a terminal.

    Readers may subclass it and work out what is expensive (recipients, subject, origin) when it is asked for: a
    selection asks only for what it needs.

    :ivar id: as the MTA's own tools say it
    :ivar instance: name of the Postfix instance, None for the default one and for qmail
    :ivar states: Postfix: one of maildrop, incoming, active, deferred, hold; qmail: todo, or of local and remote
        those with recipients that are not done (none left: ``("done",)``)
    :ivar sender: envelope sender, "" for the null sender
    :ivar recipients: each once, in the order of the envelope
    :ivar subject: decoded, unfolded; None where there is no Subject header
    :ivar size: bytes of the message (headers and body)
    :ivar arrival: epoch seconds
    :ivar sasl_user: account that logged in to submit it, or None
    :ivar client: IP address that it came from by SMTP, or None
    :ivar uid: local user that submitted it, or None
    :ivar script: PHP script ("33:contact.php" as the header says it, or a path; after the site and a blank where
        Plesk says that), None for mail that came by SMTP, where whoever sends can write such a header
    :ivar identity: what tells it from a later message under the same id; JSON-able scalars
    """

    __slots__ = (
        "arrival",
        "client",
        "id",
        "identity",
        "instance",
        "recipients",
        "sasl_user",
        "script",
        "sender",
        "size",
        "states",
        "subject",
        "uid",
    )

    id: str
    instance: Optional[str]
    states: Tuple[str, ...]
    sender: str
    recipients: List[Recipient]
    subject: Optional[str]
    size: int
    arrival: int
    sasl_user: Optional[str]
    client: Optional[str]
    uid: Optional[int]
    script: Optional[str]
    identity: tuple

    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


def decoded(raw: bytes) -> str:
    """Text of a queue's file, whatever its bytes are."""
    return raw.decode("utf-8", "backslashreplace")


def as_result(message):
    """What a module returns of a message: a dict that can go to a terminal, JSON or a report as it is."""
    recipients = message.recipients
    return {
        "id": message.id,
        "instance": message.instance,
        "state": "+".join(message.states),
        "sender": printable(message.sender),
        "recipients": [
            {"address": printable(recipient.address), "done": recipient.done}
            for recipient in recipients[:RECIPIENTS_LIMIT]
        ],
        "recipients_total": len(recipients),
        "subject": None if message.subject is None else printable(message.subject),
        "size": message.size,
        "arrival": message.arrival,
        "origin": {
            "sasl_user": printable(message.sasl_user),
            "client": printable(message.client),
            "uid": message.uid,
            "script": printable(message.script),
        },
    }
