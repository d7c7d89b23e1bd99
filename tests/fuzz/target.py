"""What a target is, and what must hold for whatever a parser makes of bytes from the wire."""

import json
import os
from collections import namedtuple

from harden_mail.queue.message import as_result
from harden_mail.text import folded, printable

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")

# Where files are made for each input: in memory, if the machine has such a place.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# check(data: bytes): raises when something does not hold; seeds(): yields bytes; words: bytes that the parser looks for
Target = namedtuple("Target", "check seeds words")


def harmless(text):
    """See that text from the wire, or None, can be shown and compared."""
    shown = printable(text)
    if shown is None:
        return
    shown.encode("utf-8")
    assert len(shown) <= 300 and not set(map(ord, shown)) & {0x1B, 0x0A, 0x0D, 0x9B, 0x202E, 0x2028}, ascii(shown)
    once = folded(text)
    assert folded(once) == once, ascii(text)


def harmless_message(message):
    """See that a message can be selected by, shown, and written into a manifest."""
    for text in [message.sender, message.subject, message.sasl_user, message.client, message.script]:
        harmless(text)
    for recipient in message.recipients[:50]:
        harmless(recipient.address)
    assert message.states and message.size >= 0 and message.arrival == int(message.arrival)
    json.dumps(as_result(message), ensure_ascii=False).encode("utf-8")
    json.dumps(list(message.identity)).encode("ascii")
