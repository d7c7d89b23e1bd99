"""The files of a qmail queue: where they are, what is in them.

Formats: qmail's ``INTERNALS`` and ``qmail-send.c``.
"""

import contextlib
import os

from .headers import origin_of, subject_of
from .message import Message, Recipient
from .subject import decode_subject

STATES = ("todo", "local", "remote", "done")

PARTS = ("mess", "info", "local", "remote", "bounce", "todo", "intd")

# What of a message is read for its subject and origin; a header is seldom longer.
HEADER_BYTES = 65536


class Layout:
    """Where the parts of a message are in a queue: ``PART/ID``, or ``PART/ID % split/ID``.

    :ivar str directory: the queue's, as this process reaches it
    :ivar dict split: part -> number of directories, 0: not split
    """

    def __init__(self, directory, split):
        self.directory, self.split = directory, split
        self.mutex = os.path.join(directory, "lock", "sendmutex")

    @classmethod
    def detect(cls, directory):
        """The layout of a queue, or None: this is none.

        How much a part is split was decided when qmail was built, and is found by counting; some builds split todo.
        """
        split = {}
        for part in PARTS:
            try:
                names = os.listdir(os.path.join(directory, part))
            except OSError:
                return None
            numbers = {
                int(name) for name in names if name.isdigit() and os.path.isdir(os.path.join(directory, part, name))
            }
            count = len(numbers)
            split[part] = count if numbers == set(range(count)) else 0
        layout = cls(directory, split)
        return layout if split["mess"] and os.path.isfile(layout.mutex) else None

    def path(self, part, number):
        split = self.split[part]
        if split:
            return "{0}/{1}/{2}/{3}".format(self.directory, part, number % split, number)
        return "{0}/{1}/{2}".format(self.directory, part, number)

    def directories(self, part=None):
        """All directories that hold files, of one part or of all."""
        found = []
        for name in (part,) if part else PARTS:
            top = os.path.join(self.directory, name)
            found += [os.path.join(top, str(number)) for number in range(self.split[name])] or [top]
        return found

    def numbers(self, part):
        for directory in self.directories(part):
            for entry in os.scandir(directory):
                if entry.name.isdigit():
                    yield int(entry.name)


class QmailMessage(Message):
    """See ``Message``; identity is (inode, size, mtime in ns) of the message file, and the sender."""

    __slots__ = ()


def scan(layout, unreadable):
    """Yield the messages of a queue; ``unreadable`` gets (path, why) of what could not be read."""
    for number in layout.numbers("mess"):
        message = read(layout, number, unreadable)
        if message is not None:
            yield message


def read(place, number, unreadable=None):
    """A message from a queue or a run.

    :param place: has ``path(part, number)``
    :returns: QmailMessage, or None: it is not complete, or gone, or unreadable
    """
    try:
        return _read(place, number)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if unreadable is not None:
            unreadable.append((place.path("mess", number), str(error)))
        return None


def _read(place, number):
    with open(place.path("mess", number), "rb") as handle:
        block = handle.read(HEADER_BYTES)
        about = os.fstat(handle.fileno())
    key = next((part for part in ("todo", "info") if os.path.exists(place.path(part, number))), None)
    if key is None:
        return None
    envelope = _contents(place.path(key, number))
    arrival = int(about.st_mtime) if key == "todo" else int(os.stat(place.path(key, number)).st_mtime)
    senders = [field[1:] for field in envelope if field[:1] == b"F"]
    if not senders:
        raise ValueError("no sender in {0}".format(place.path(key, number)))
    found = {"todo": _recipients(envelope)} if key == "todo" else {}
    if key == "info":
        for channel in ("local", "remote"):
            with contextlib.suppress(FileNotFoundError):
                found[channel] = _recipients(_contents(place.path(channel, number)))
    subject = subject_of(block)
    origin = origin_of(block, "qmail")
    sender = senders[0].decode("utf-8", "replace")
    states = tuple(name for name in sorted(found) if any(not recipient.done for recipient in found[name]))
    return QmailMessage(
        id=str(number),
        instance=None,
        states=states or ("done",),
        sender=sender,
        recipients=[recipient for name in sorted(found) for recipient in found[name]],
        subject=None if subject is None else decode_subject(subject),
        size=about.st_size,
        arrival=arrival,
        sasl_user=origin.sasl_user,
        client=origin.client,
        uid=origin.uid,
        script=origin.script,
        identity=(about.st_ino, about.st_size, about.st_mtime_ns, sender),
    )


def _contents(path):
    with open(path, "rb") as handle:
        return handle.read().split(b"\0")[:-1]


def _recipients(fields):
    return [
        Recipient(field[1:].decode("utf-8", "replace"), field[:1] == b"D")
        for field in fields
        if field[:1] in (b"T", b"D")
    ]
