"""Postfix's queue files: bytes to fields.

Their format, the same from Postfix 2.10 to 3.11 (``src/global/rec_type.h`` and ``record.c``; who writes it:
``src/cleanup``, ``src/sendmail``, ``src/pickup``; delivery marks recipients): a sequence of records, each a type (one
byte), the length of its data (7 bits a byte, the lowest first, the high bit says that more follow), and the data. Three
groups follow each other: the envelope, ended by M; the message, one N record a line, with L records before it for what
is too long, ended by X; what was extracted from it or added to it, recipients among it, ended by E. Milters edit such a
file in place: a p record says at which offset reading goes on, mostly behind E, and a p record there leads back.
"""

import itertools
from collections import namedtuple

# What is read of a file at once, bytes: the whole file for most, and the envelope and header for nearly every other.
FIRST_BLOCK = 4096

# Of a header, about this much is looked at, bytes.
LONGEST_HEADER = 1 << 18

# What is read at once behind the first block, bytes.
_MORE = 1 << 16

# record.c takes 256 MiB, but Postfix itself splits lines at 2 KiB, or what line_length_limit says.
_LONGEST_RECORD = 1 << 24

_SIZES, _TIME, _SENDER, _TODO, _DONE, _CANCELED, _ATTRIBUTE = b"CTSRD/A"
_MESSAGE, _LINE, _PART, _EXTRACTED, _END, _POINTER, _PADDING = b"MNLXEpw"
_TYPES = frozenset(b"CTcFILSDRO/WAK>fdMNwXrePpV<iomnE")

# Records of an envelope that say nothing that is asked for here.
_PASSED_OVER = b"cFILOWVK<ion>"
_ADDRESSED = b"RD"

# What ends a header: an empty line, or the end of a message that has no body.
_AFTER_HEADER = b"NX"

# By a record's second byte: how long its data are, and how far it is to the next one. A length of several bytes leads
# nowhere.
_SHORT = tuple(length if length < 0x80 else 1 << 30 for length in range(0x100))
_STEP = tuple(2 + length for length in _SHORT)

# What stands in an envelope only where its end is missing.
_NO_ENVELOPE = (_LINE, _EXTRACTED, _END)

# What a file in maildrop can begin with; a C record there doesn't count (sendmail.c writes a preliminary one).
_SUBMITTED_FIRST = b"TCAFS"

# The attributes (A records) that are looked for: who logged in; the client as it is logged, which behind a content
# filter that says it (XFORWARD) is the one outside; and the client that there was.
_SASL_USER, _LOGGED_CLIENT, _CLIENT = b"sasl_username=", b"log_client_address=", b"client_address="

# time: bytes, the T record: seconds, and microseconds after a blank; sender: bytes; recipients: [(address, done)],
# bytes and bool, as they come; sasl_user, client: bytes or None, not empty
Envelope = namedtuple("Envelope", "time sender recipients sasl_user client")


class Unreadable(Exception):
    """A file is no message, or none that is whole; says why in a few words."""


class HalfMade(Unreadable):
    """A file that is still being written, or was left so: not a message yet."""


def sizes(block):
    """What a queue file's first record says.

    :param bytes block: what the file begins with
    :returns: (bytes of the message's records, offset of the first of them, upper bound for recipients)
    :raises Unreadable:
    """
    # Six numbers of 15 characters since 3.0, five since 2.4, at least three ever since 1.0; the first three count.
    try:
        if block[0] != _SIZES or not 0x2F <= block[1] < 0x80:
            raise Unreadable("not a queue file of Postfix's")
        size, content, recipients = int(block[2:17]), int(block[18:33]), int(block[34:49])
    except (IndexError, ValueError):
        raise HalfMade("its first record is not written yet" if block else "empty") from None
    if size <= 0 or content <= block[1]:
        # cleanup_envelope.c writes zeros, which cleanup_final.c replaces when all the rest is there.
        raise HalfMade("its first record is not filled in")
    if len(block) < FIRST_BLOCK and block[content + size : content + size + 1] != b"X":
        raise Unreadable("cut off, or its first record is wrong")
    return size, content, recipients


class _Found:
    """What the records of an envelope said so far.

    :ivar int addressed: recipients, also those that a milter took back
    """

    def __init__(self):
        self.time = self.sender = None
        self.recipients, self.addressed = [], 0
        self._attributes = {}

    def add(self, kind, data):
        if kind in (_TODO, _DONE):
            self.recipients.append((data, kind == _DONE))
            self.addressed += 1
        elif kind == _CANCELED:
            self.addressed += 1
        elif kind == _ATTRIBUTE:
            name, equals, value = data.partition(b"=")
            self._attributes.setdefault(name + equals, value)
        elif kind == _TIME and self.time is None:
            self.time = data
        elif kind == _SENDER and self.sender is None:
            self.sender = data

    def envelope(self):
        get = self._attributes.get
        client = get(_LOGGED_CLIENT) or get(_CLIENT)
        return Envelope(self.time, self.sender, self.recipients, get(_SASL_USER) or None, client or None)


class QueueFile:
    """One file, read with every care; for what usual ones have in their first block, see the functions below.

    Every method raises :class:`Unreadable`.

    :param bytes block: its first ``FIRST_BLOCK`` bytes, or all of it
    :param read: ``read(offset, length)`` gives bytes of the file, fewer at its end; called for what is not in the block
    :param content: offset of the message; None in maildrop, where only the records tell
    :param size: bytes of the message's records; None in maildrop
    :param int recipients: upper bound of their number; None in maildrop
    """

    def __init__(self, block, read, size=None, content=None, recipients=None):
        self._block, self._read = block, read
        self._size, self._content, self._recipients = size, content, recipients
        self._window, self._window_start = b"", 0
        if size is None and block[:1] not in [bytes((kind,)) for kind in _SUBMITTED_FIRST]:
            raise Unreadable("not a queue file of Postfix's" if block else "empty")

    def envelope(self):
        """:returns: Envelope"""
        found = _Found()
        for kind, data, following in self._records(0):
            if kind == _MESSAGE:
                self._content = self._content or following
                break
            if kind in _NO_ENVELOPE:
                raise Unreadable("without a message")
            found.add(kind, data)
        if self._size is None:
            # Only walking through the message leads to its end.
            extracted = itertools.dropwhile(lambda record: record[0] in (_LINE, _PART), self._records(self._content))
        elif found.addressed < self._recipients:
            extracted = self._records(self._content + self._size)
        else:
            extracted = ()
        for kind, data, _ in extracted:
            if kind == _END:
                break
            found.add(kind, data)
        if found.sender is None or (found.time is None and self._size is not None):
            raise Unreadable("without a sender or a time of arrival")
        return found.envelope()

    def header(self):
        """The message's header: bytes, lines ended by LF; about the first ``LONGEST_HEADER`` of them."""
        if self._content is None:
            self.envelope()
        text, length, in_line = [], 0, False
        for kind, data, _ in self._records(self._content):
            if kind not in (_LINE, _PART) or not (data or in_line) or length > LONGEST_HEADER:
                break
            in_line = kind == _PART
            text.append(data)
            if not in_line:
                text.append(b"\n")
            length += len(data) + 1
        return b"".join(text)

    def _records(self, offset):
        """Yield (type, data, offset of what follows) from an offset on, pointers followed, padding left out.

        Records of a sound file don't overlap and none is met twice, so all that were met fit before the last one's end.
        """
        walked = last = 0
        jumps = set()
        while True:
            kind, data, following = self._record(offset)
            walked += following - offset
            last = max(last, following)
            if walked > last:
                raise Unreadable("records that overlap at byte {0}".format(offset))
            if kind == _POINTER:
                target = data.strip()
                if not target.isdigit() or len(target) > 15:
                    raise Unreadable("a pointer to nowhere at byte {0}".format(offset))
                # 0 is room for an edit that nobody made.
                following = int(target) or following
                if following <= offset:
                    if offset in jumps:
                        raise Unreadable("pointers in a circle at byte {0}".format(offset))
                    jumps.add(offset)
            elif kind != _PADDING:
                yield kind, data, following
            offset = following

    def _record(self, offset):
        head = self._bytes(offset, 5)
        length, start = 0, 1
        while True:
            if start >= len(head):
                raise Unreadable("cut off, or no record, at byte {0}".format(offset))
            length |= (head[start] & 0x7F) << 7 * (start - 1)
            start += 1
            if head[start - 1] < 0x80:
                break
        if head[0] not in _TYPES or length > _LONGEST_RECORD:
            raise Unreadable("no record at byte {0}".format(offset))
        data = self._bytes(offset + start, length)
        if len(data) < length:
            raise Unreadable("cut off in the record at byte {0}".format(offset))
        return head[0], data, offset + start + length

    def _bytes(self, offset, length):
        end = offset + length
        if end <= len(self._block) or len(self._block) < FIRST_BLOCK:
            return self._block[offset:end]
        start = offset - self._window_start
        if start < 0 or start + length > len(self._window):
            self._window, self._window_start = self._read(offset, max(length, _MORE)), offset
            start = 0
        return self._window[start : start + length]


# --- what is usual, in the first block alone ------------------------------------------------------------------
# Several times as fast as QueueFile, which is the one to ask where these answer None: they know no pointers, no records
# of 128 bytes or more, and nothing behind the block.


def usual_head(block):
    """The sender and the time of arrival.

    :param bytes block: what begins with a sound C record
    :returns: (time, sender), bytes as in :class:`Envelope`, or None
    """
    time = None
    position = 2 + block[1]
    try:
        while True:
            kind = block[position]
            start = position + 2
            position = start + _SHORT[block[position + 1]]
            if kind == _TIME:
                time = time or block[start:position]
            elif kind == _SENDER:
                return None if time is None or position > len(block) else (time, block[start:position])
            elif kind != _ATTRIBUTE and kind not in _PASSED_OVER:
                return None
    except IndexError:
        return None


def usual_envelope(block, content, recipients):
    """All of the envelope.

    :param int content: offset of the message
    :param int recipients: upper bound of their number
    :returns: a tuple like an Envelope, or None
    """
    time = sender = None
    addressed, attributes = [], []
    position, end, short = 2 + block[1], content - 2, _SHORT
    try:
        while position < end:
            kind = block[position]
            start = position + 2
            position = start + short[block[position + 1]]
            if kind == _ATTRIBUTE:
                attributes.append(start)
            elif kind in _ADDRESSED:
                addressed.append((block[start:position], kind == _DONE))
            elif kind == _TIME:
                time = time or block[start:position]
            elif kind == _SENDER:
                sender = block[start:position] if sender is None else sender
            elif kind not in _PASSED_OVER:
                return None
        if position != end or block[end] != _MESSAGE:
            return None
    except IndexError:
        return None
    if not time or sender is None or len(addressed) < recipients:
        return None
    # Most have the first two, or none.
    at = block.find(_SASL_USER, 0, end)
    sasl_user = _attribute(block, attributes, end, _SASL_USER, at) if at >= 0 else None
    at = block.find(_CLIENT, 0, end)
    client = None
    if at >= 0:
        client = _attribute(block, attributes, end, _LOGGED_CLIENT, block.find(_LOGGED_CLIENT, 0, end))
        client = client or _attribute(block, attributes, end, _CLIENT, at)
    # A tuple of five is made in a quarter of the time that an Envelope takes.
    return time, sender, addressed, sasl_user, client


def _attribute(block, starts, end, name, at):
    """The value in the first A record of this name (with an equals sign), or None.

    :param int at: where its name is first, in whatever it is
    """
    # A client can have written it into its HELO, say, and a user into his full name.
    while at >= 0 and at not in starts:
        at = block.find(name, at + 1, end)
    return block[at + len(name) : at + block[at - 1]] or None if at >= 0 else None


def usual_header(block, content):
    """The message's header.

    :param int content: offset of the message
    :returns: bytes as ``QueueFile.header`` gives them, or None
    """
    lines = []
    position = content
    try:
        while block[position] == _LINE:
            start, length = position + 2, block[position + 1]
            if length >= 0x80:
                if block[start] >= 0x80:
                    return None
                length, start = length & 0x7F | block[start] << 7, start + 1
            if not length:
                break
            position = start + length
            lines.append(block[start:position])
        if block[position] not in _AFTER_HEADER:
            return None
    except IndexError:
        return None
    lines.append(b"")
    return b"\n".join(lines)


def usual_subject(block, content):
    """The first Subject header's value.

    :param int content: offset of the message
    :returns: bytes, still folded, as ``headers.subject_of`` gives it, or None, also where there is no such header
    """
    # Before it are its S, the record's length and type.
    record = block.find(b"ubject:", content) - 3
    if record < content:
        return None
    position = content
    try:
        while position < record:
            if block[position] != _LINE:
                return None
            position += _STEP[block[position + 1] or 0x80]
        # Is there another one before it, in other letters?
        if position != record or block[record + 2] not in b"Ss" or b"SUBJECT" in block[content:record].upper():
            return None
        lines = []
        while block[position] == _LINE:
            start = position + 2
            position = start + _SHORT[block[position + 1]]
            lines.append(block[start:position])
            if block[position + 2] not in b" \t" or not block[position + 1]:
                # What follows may be a pointer to more.
                return b"\n".join(lines)[8:].lstrip(b" ") if block[position] == _LINE else None
    except IndexError:
        pass
    return None
