"""One file of a Postfix queue."""

import contextlib
import functools
import glob
import os
import tempfile

from harden_mail.queue.postfix.file import Unreadable
from harden_mail.queue.postfix.instances import Instance
from harden_mail.queue.postfix.scan import STATES, scan

from .target import DATA, MEMORY, Target, harmless_message


class Queue:
    """An instance's queue with room for one message in deferred, and the same bytes in maildrop."""

    def __init__(self):
        self.removed_at_exit = tempfile.TemporaryDirectory(dir=MEMORY)
        self.directory = self.removed_at_exit.name
        self.instance = Instance(None, "/etc/postfix", self.directory)
        for state in STATES:
            os.mkdir(os.path.join(self.directory, state))

    def fill(self, data):
        for path in ("deferred/4ABCDEF012345", "maildrop/4ABCDEF012346"):
            with open(os.path.join(self.directory, path), "wb", opener=ready) as handle:
                handle.write(data)


@functools.lru_cache(maxsize=1)
def queue_of_one():
    return Queue()


def check(data):
    queue = queue_of_one()
    queue.fill(data)
    unreadable = []
    for message in scan(queue.instance, unreadable):
        with contextlib.suppress(Unreadable):
            harmless_message(message)
    for path, why in unreadable:
        assert path.startswith(queue.directory) and why


def ready(path, flags):
    """Open a file with the mode by which Postfix marks it as complete."""
    return os.open(path, flags, 0o700)


def record(kind, data=b""):
    """As Postfix's rec_put writes it: type, length in seven bits a byte with the lowest first, data."""
    length, size = b"", len(data)
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return kind + length + bytes((size,)) + data


def message(envelope, content, extracted):
    """A file as cleanup(8) leaves it; the sizes come first, in columns of 15 characters."""
    first = b"".join(envelope) + record(b"M")
    lines = b"".join(record(b"N", line) for line in content)
    sizes = " ".join("{0:15d}".format(size) for size in (len(lines), 97 + len(first), 1, 0, len(lines), 0))
    return record(b"C", sizes.encode()) + first + lines + record(b"X") + b"".join(extracted) + record(b"E")


ENVELOPE = [record(b"T", b"1795549263 123456"), record(b"A", b"sasl_username=info@example.jp"), record(b"S", b"a@b")]
RECIPIENT = [record(b"A", b"notify_flags=1"), record(b"O", b"c@d"), record(b"R", b"c@d")]
DONE = [record(b"D", b"e@f")]
CONTENT = [
    b"Received: from a (b [192.0.2.1])",
    b"\tby c (Postfix) with ESMTP id 4A",
    b"Subject: =?utf-8?B?6YeN6KaB?=",
    b"",
    b"x" * 300,
]


def seeds():
    for path in glob.glob(os.path.join(DATA, "postfix-queue", "*", "queue", "**"), recursive=True):
        if os.path.isfile(path) and os.path.getsize(path) < 5000:
            with open(path, "rb") as handle:
                yield handle.read()
    yield message(ENVELOPE + RECIPIENT + DONE, CONTENT, [])
    yield message(ENVELOPE, CONTENT, RECIPIENT + DONE)
    yield message(ENVELOPE + RECIPIENT, [], [])
    # A pointer to what is behind it, as an edit by a milter leaves one.
    here = 97 + sum(map(len, ENVELOPE)) + 17
    yield message(ENVELOPE + [record(b"p", b"%15d" % here)] + RECIPIENT, CONTENT, [])
    # Pointers in a circle: to itself, and back from behind the content.
    yield message(ENVELOPE + [record(b"p", b"%15d" % (here - 17))] + RECIPIENT, CONTENT, [])
    yield message(ENVELOPE, CONTENT, [record(b"p", b"%15d" % 97)])
    yield message([record(b"T", b"9" * 5000)] + ENVELOPE[1:] + RECIPIENT, CONTENT, [])
    yield message(ENVELOPE + [record(b"p", b"%15d" % 0)] + RECIPIENT, CONTENT, [record(b"p", b"%15d" % 100)])
    yield message(ENVELOPE + RECIPIENT, [b"Subject: " + b"a" * 5000, b" " + b"b" * 200], [])
    yield message(ENVELOPE + [record(b"R", b"r%d@x" % number) for number in range(300)], CONTENT, [])
    # In maildrop nobody has counted, and the sender comes after the recipients' options.
    for part in (RECIPIENT, RECIPIENT + DONE, []):
        yield b"".join(ENVELOPE + part + [record(b"M"), record(b"L", b"Subj"), record(b"N", b"ect: a"), record(b"X")])
        yield b"".join(ENVELOPE + [record(b"M"), record(b"N", b"a"), record(b"X")] + part + [record(b"E")])


WORDS = (
    [record(kind, data) for kind, data in zip((b"C", b"T", b"S", b"R", b"D", b"p"), (b" ",) * 6)]
    + [record(b"p", b"%15d" % offset) for offset in (0, 97, 116, 500)]
    + [record(kind) for kind in (b"M", b"X", b"E", b"N", b"w", b"p")]
)

TARGET = Target(check, seeds, WORDS)
