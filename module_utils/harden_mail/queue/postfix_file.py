"""Postfix's queue files: bytes to fields.

Their format, from Postfix 2.10 to 3.11 (``src/global/rec_type.h``, ``src/global/record.c``, and who writes it:
``src/cleanup``, ``src/postdrop``): a sequence of records, each a type (one byte), the length of its data (7 bits a
byte, the lowest first, the high bit says that more follow), and the data. Three groups follow each other: the envelope,
ended by an M record; the message, one N record for each line, lines too long in L records before it, ended by X; what
was extracted from it, or added, among it recipients; ended by E. Milters and header checks edit such a file in place: a
p record says at which offset reading goes on, mostly behind E, where another p record leads back.
"""

import contextlib
import re
from collections import namedtuple

# What is read of a file at once, bytes: all of it for most, and the envelope and header of nearly every other.
FIRST_BLOCK = 4096

# Of a header, this much is looked at, bytes.
LONGEST_HEADER = 1 << 18

# Lengths are below two megabytes: Postfix splits lines at line_length_limit (2 KB), and nothing else is longer. A file
# that says more would only make this process ask for the memory.
_LENGTH_BITS = 21

_SIZE, _TIME, _SENDER, _TODO, _DONE, _CANCELED = b"CTSRD/"
_ATTRIBUTE, _MESSAGE, _EXTRACTED, _END, _POINTER, _PADDING = b"AMXEpw"
_LINE, _PART = b"NL"
# No more digits than a time has that can be written as a date.
_SECONDS = re.compile(rb"\s*\d{1,11}(?:\s|\Z)")
_TYPES = frozenset(b"CTcFILSDRO/WAK><iondmrePVfMNwXpE")

# time: bytes, the T record as it is; sender: bytes; recipients: [(address, done)], as they come, bytes and bool;
# attributes: dict of bytes, the first of each name
Envelope = namedtuple("Envelope", "time sender recipients attributes")


class Unreadable(Exception):
    """A file is no message, or not a whole one; says why in a few words."""


class HalfMade(Unreadable):
    """A file that is still being written, or was left so: not yet a message."""


class QueueFile:
    """One file.

    :param bytes block: its first ``FIRST_BLOCK`` bytes, or all of it
    :param read: ``read(offset, length)`` gives bytes of the file, fewer at its end; called for what is not in the block
    :param bool submitted: it is one in maildrop, which has no C record, or one that doesn't count
    :ivar int content: offset of the message
    :ivar int content_size: bytes of the message's records; None in maildrop
    :raises Unreadable: from here, and from every method
    """

    __slots__ = ("_block", "_read", "_recipients", "content", "content_size")

    def __init__(self, block, read, submitted=False):
        self._block, self._read = block, read
        if submitted:
            if block[:1] not in (b"C", b"T", b"F", b"S", b"A"):
                raise Unreadable("not a queue file of Postfix")
            self.content_size, self._recipients = None, None
            self.content = None
            for _ in self._envelope_records():
                pass
            return
        if block[:1] != b"C":
            raise Unreadable("not a queue file of Postfix" if block else "empty")
        end = 2 + block[1] if len(block) > 1 and block[1] < 0x80 else 2
        numbers = block[2:end].split()
        try:
            self.content_size, self.content, self._recipients = int(numbers[0]), int(numbers[1]), int(numbers[2])
        except (IndexError, ValueError):
            raise Unreadable("no sizes in its first record") from None
        if self.content_size <= 0 or self.content <= end:
            raise HalfMade("no sizes in its first record yet")

    def records(self, offset):
        """Yield (type, data, offset of the next record) from an offset on, pointers followed, padding left out.

        No record of a sound file is met twice, so more bytes than the file has are a loop.
        """
        walked = 0
        reverse = 0
        while True:
            head = self._bytes(offset, 6)
            if len(head) < 2:
                raise Unreadable("ends in the middle, at {0}".format(offset))
            kind = head[0]
            if kind not in _TYPES:
                raise Unreadable("no record at {0}".format(offset))
            length = shift = 0
            start = 1
            while True:
                if shift >= _LENGTH_BITS or start >= len(head):
                    raise Unreadable("a record of no sound length at {0}".format(offset))
                length |= (head[start] & 0x7F) << shift
                shift += 7
                start += 1
                if head[start - 1] < 0x80:
                    break
            data = self._bytes(offset + start, length)
            if len(data) < length:
                raise Unreadable("ends in the middle of a record, at {0}".format(offset))
            following = offset + start + length
            if kind == _POINTER:
                target = _number(data)
                if target is None:
                    raise Unreadable("a pointer to nowhere at {0}".format(offset))
                if target:
                    reverse += target <= offset
                    walked += 1
                    if walked > 100000 or reverse > 10000:
                        raise Unreadable("pointers in a circle")
                    following = target
            elif kind != _PADDING:
                yield kind, data, following
            offset = following

    def _envelope_records(self):
        for kind, data, following in self.records(0):
            if kind == _MESSAGE:
                if self.content is None:
                    self.content = following
                return
            yield kind, data

    def envelope(self):
        """:returns: Envelope"""
        time = sender = None
        recipients, attributes = [], {}
        count = 0
        for segment in (self._envelope_records, self._extracted_records):
            if segment == self._extracted_records and self._recipients is not None and count >= self._recipients:
                break
            for kind, data in segment():
                if kind in (_TODO, _DONE):
                    recipients.append((data, kind == _DONE))
                    count += 1
                elif kind == _CANCELED:
                    count += 1
                elif kind == _ATTRIBUTE:
                    name, _, value = data.partition(b"=")
                    attributes.setdefault(name, value)
                elif kind == _TIME and time is None:
                    time = data
                elif kind == _SENDER and sender is None:
                    sender = data
        if sender is None:
            raise Unreadable("no sender")
        if time is not None and not _SECONDS.match(time):
            raise Unreadable("no sound time of arrival")
        return Envelope(time, sender, recipients, attributes)

    def _extracted_records(self):
        if self.content_size is not None:
            records = self.records(self.content + self.content_size)
        else:
            records = (record for record in self.records(self.content) if record[0] not in (_LINE, _PART))
        for kind, data, _ in records:
            if kind == _END:
                return
            if kind != _EXTRACTED:
                yield kind, data

    def header(self):
        """The message's header: bytes, lines ended by LF; what is sound of the first ``LONGEST_HEADER``."""
        lines, size = [], 0
        with contextlib.suppress(Unreadable):
            for kind, data, _ in self.records(self.content):
                if kind == _LINE:
                    if not data and (not lines or lines[-1] == b"\n"):
                        break
                    lines += (data, b"\n")
                elif kind == _PART:
                    lines.append(data)
                else:
                    break
                size += len(data) + 1
                if size > LONGEST_HEADER:
                    break
        return b"".join(lines)

    def _bytes(self, offset, length):
        end = offset + length
        if end <= len(self._block) or len(self._block) < FIRST_BLOCK:
            return self._block[offset:end]
        return self._read(offset, length)


def _number(data):
    """What atol makes of fixed-width fields; None where it is none, or below 0."""
    text = data.strip()
    return int(text) if text.isdigit() else None
