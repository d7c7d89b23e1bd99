"""What a reader of a queue needs of a message's header.

``block`` is what the message begins with: bytes, lines ended by LF or CRLF; it may be cut off anywhere, and may go on
into the body.
"""

from collections import namedtuple

# The same four as in ``message.Message``: str, str, int, str, or None each.
Origin = namedtuple("Origin", "sasl_user client uid script")


def subject_of(block):
    """The raw value (bytes, still folded) of the first Subject header; None where there is none."""
    return None


def origin_of(block, mta):
    """Who submitted a message, by the header lines that this host's own MTA wrote.

    :param str mta: ``postfix`` or ``qmail``
    :returns: Origin
    """
    return Origin(None, None, None, None)
