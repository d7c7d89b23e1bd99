"""What a reader of a queue needs of a message's header.

``block`` is what the message begins with: bytes, lines ended by LF or CRLF. It may be cut off anywhere, and may go on
into the body; only what is above the first empty line counts.
"""

import re
from collections import namedtuple

# The same four as in ``message.Message``: str, str, int, str, or None each.
Origin = namedtuple("Origin", "sasl_user client uid script")

_NOBODY = Origin(None, None, None, None)

# Postfix, smtpd/smtpd.c: `from HELO (NAME [ADDRESS])`, then lines of their own that begin with a tab. HELO has neither
# blanks nor parentheses there, whatever the client said.
_POSTFIX_CLIENT = re.compile(rb"from [^ ()\n]+ \([^ ()\n]+ \[(?:IPv6:)?([0-9A-Fa-f.:]+(?:%[\w.-]+)?)\]\)\r?(?:\n|\Z)")
# The line's beginning matters: `for <RECIPIENT>` is the client's text.
_POSTFIX_ACCOUNT = re.compile(rb"\n[ \t]+\(Authenticated sender: ([^\n]*)\)\r?(?:\n|\Z)")
# pickup/pickup.c: `by HOST (MAIL_NAME, from userid N)`.
_POSTFIX_USER = re.compile(rb"by [^ \n]+ \([^\n]*, from userid (\d{1,10})\)\r?(?:\n|\Z)")

# receivedfmt in qmail-queue.c.
_QMAIL_QUEUE = re.compile(rb"\(qmail \d+ invoked (?:by uid (\d{1,10})|(from network))\);")
# received.c, for qmail-smtpd, qmail-qmtpd and qmail-qmqpd: `from HOST (HELO NAME) (INFO@ADDRESS)`; what the client said
# can have no blanks or parentheses. Patches for SMTP AUTH put the account where tcpserver put the answer of ident.
_QMAIL_CLIENT = re.compile(
    rb"from [^ ()\n]+ (?:\(HELO [^ ()\n]*\) )?\((?:([^ ()\n]+)@)?(?:::ffff:)?([0-9A-Fa-f.:]+)\)\r?\n[ \t]+by "
)

_PHP_SCRIPT = re.compile(rb"(\d{1,10}):[ \t]*([^\r\n]+)")


def subject_of(block):
    """The raw value (bytes, still folded) of the first Subject header; None where there is none."""
    at = block.find(b"\nSubject:")
    if at > 0:
        # Is it the first one, in any letters, and no text of the body? Takes half the time of what follows.
        before = b"\n" + block[: at + 1].lower()
        if b"\nsubject" not in before and b"\n\n" not in before and b"\n\r\n" not in before:
            return _value(block, at + len(b"\nSubject"))
    header = _header(block)
    # A search in a copy in lower case takes a tenth of the time of a regular expression that ignores case.
    found = _values(header, b"subject", 1, header.lower())
    return found[0] if found else None


def origin_of(block, mta, requeued_by=None):
    """Who submitted a message, by the header lines that this host's own MTA wrote.

    Those are the topmost Received (qmail: the topmost two, where qmail-smtpd took the mail); what is below, anybody can
    have written. So what PHP and Plesk write counts only where mail was submitted locally.

    :param str mta: ``postfix`` or ``qmail``
    :param int requeued_by: uid of Postfix's ``mail_owner``: a Received from it only says that the message was put into
        the queue again (``postsuper -r``, or back from quarantine), and the next one is Postfix's too
    :returns: Origin; ``script`` is ``UID:FILE`` as PHP says it, after the site and a blank where Plesk says that
    """
    header = _header(block)
    origin = _by_qmail(header) if mta == "qmail" else _by_postfix(header, requeued_by)
    # The names of all headers that are asked for begin like that.
    if origin.uid is None or b"\nX-P" not in header:
        return origin
    return origin._replace(script=_script(header))


def _by_postfix(header, requeued_by):
    for received in _values(header, b"Received", 1 if requeued_by is None else 10):
        user = _POSTFIX_USER.match(received)
        if user:
            if int(user.group(1)) == requeued_by:
                continue
            return Origin(None, None, int(user.group(1)), None)
        client = _POSTFIX_CLIENT.match(received)
        account = _POSTFIX_ACCOUNT.search(received)
        return Origin(account and _text(account.group(1)), client and _text(client.group(1)), None, None)
    return _NOBODY


def _by_qmail(header):
    # What qmail-queue wrote is the first line, and next comes what qmail-smtpd wrote; else it takes thrice the time.
    if header.startswith(b"\nReceived: (qmail "):
        start = len(b"\nReceived: ")
        invoked = _QMAIL_QUEUE.match(header, start)
        if not invoked:
            return _NOBODY
        if invoked.group(1):
            return Origin(None, None, int(invoked.group(1)), None)
        at = header.find(b"\nReceived", start)
        if at >= 0 and header.startswith(b": f", at + len(b"\nReceived")):
            return _by_qmail_client(_QMAIL_CLIENT.match(header, at + start))
    received = _values(header, b"Received", 2)
    invoked = _QMAIL_QUEUE.match(received[0]) if received else None
    if not invoked:
        return _NOBODY
    if invoked.group(1):
        return Origin(None, None, int(invoked.group(1)), None)
    return _by_qmail_client(_QMAIL_CLIENT.match(received[1]) if len(received) > 1 else None)


def _by_qmail_client(client):
    if not client:
        return _NOBODY
    account, address = client.groups()
    return Origin(account and _text(account), _text(address), None, None)


def _script(header):
    sites = _values(header, b"X-PPP-Vhost", 1) or [
        value.strip(b" \t\r>").rpartition(b"@")[2] for value in _values(header, b"X-PPP-Message-ID", 1)
    ]
    words = [site.strip() for site in sites]
    for value in _values(header, b"X-PHP-Originating-Script", 1):
        script = _PHP_SCRIPT.match(value.strip())
        if script:
            words.append(b":".join(script.groups()))
    return _text(b" ".join(words)) or None


def _text(value):
    return value.decode("utf-8", "backslashreplace")


def _header(block):
    """What is above the first empty line, with a line feed before it."""
    if block.startswith((b"\n", b"\r\n")):
        return b"\n"
    end = block.find(b"\n\n")
    if end >= 0:
        block = block[:end]
    end = block.find(b"\n\r\n")
    return b"\n" + (block[:end] if end >= 0 else block)


def _values(header, name, limit, searched=None):
    """The values (bytes, still folded, without the blank after the colon) of the first headers of a name.

    :param bytes searched: where to look for the name, when not in the header as it is
    """
    searched = searched or header
    found = []
    sought = b"\n" + name
    start = searched.find(sought)
    while start >= 0 and len(found) < limit:
        colon = start + len(sought)
        # RFC 5322 4.5 lets old mail have blanks before the colon.
        while searched[colon : colon + 1] in (b" ", b"\t"):
            colon += 1
        if searched[colon : colon + 1] == b":":
            found.append(_value(header, colon))
        start = searched.find(sought, colon)
    return found


def _value(header, colon):
    end = header.find(b"\n", colon)
    while end >= 0 and header[end + 1 : end + 2] in (b" ", b"\t"):
        end = header.find(b"\n", end + 1)
    return header[colon + 1 : end if end >= 0 else len(header)].lstrip(b" ")
