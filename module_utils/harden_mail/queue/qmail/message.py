"""A message in qmail's queue, as its files say."""

import contextlib
import os
import stat
from typing import Callable, ClassVar, Dict, List, Optional, Tuple

from ..headers import origin_of, subject_of
from ..lazy_message import ENVELOPE, OPEN_FLAGS, ORIGIN, SUBJECT, LazyMessage
from ..message import Recipient, decoded
from ..subject import decode_subject
from .layout import SettledDirectory

STATES = ("todo", "local", "remote", "done")

# Bytes read of a message at once, and at most for its header.
_FIRST_BLOCK = 4096
_LONGEST_HEADER = 1 << 18

# Bytes of an envelope that are read: a message may have 50,000 recipients, but no part is a disk's.
_LONGEST_ENVELOPE = 1 << 26

# Whether recipients of local, and of remote, are not done: its states.
_STATES_OF = {
    (True, True): ("local", "remote"),
    (True, False): ("local",),
    (False, True): ("remote",),
    (False, False): ("done",),
}


class QmailMessage(LazyMessage):
    """A message in qmail's queue, or of such files elsewhere.

    :ivar int number: the id's
    :ivar tuple identity: inode, size and time (ns) of the message file, and the sender
    """

    __slots__ = ("_about", "_as_written", "_block", "_envelope", "_place", "_problems", "number")

    def __init__(self, place, number, problems, as_written):
        """
        :raises FileNotFoundError: it is not complete, or gone
        :raises OSError: it can't be read
        :raises ValueError: it is no message; says why
        """
        self._place, self.number, self._problems, self._as_written = place, number, problems, as_written
        self._unread = ENVELOPE | SUBJECT | ORIGIN
        self.id, self.instance = str(number), None
        info = self._envelope = None
        if isinstance(place, SettledDirectory):
            about, self._block = _first_block(place.mess + self.id)
            if about.st_ctime < place.before:
                info = _first_block(place.info + self.id)
            if info is None or info[0].st_ctime >= place.before:
                self._place = place = place.layout
                info = None
        else:
            about, self._block = _first_block(place.path("mess", number))
        self.size, self._about = about.st_size, about
        if info is None:
            todo = place.path("todo", number)
            # Asked first, since for most messages there is none, and exceptions take time.
            self._envelope = _fields(todo) if os.access(todo, os.F_OK) else None
        if self._envelope is None:
            about, content = info or _first_block(place.path("info", number))
            end = content.find(b"\0")
            sender = content[1:end] if end > 0 and content[:1] == b"F" else None
        else:
            sender = next((field[1:] for field in self._envelope if field[:1] == b"F"), None)
        if sender is None:
            raise ValueError("its envelope has no sender")
        self.arrival, self.sender = int(about.st_mtime), decoded(sender)

    def summary(self) -> tuple:
        return super().summary(), self.number

    @classmethod
    def from_summary(cls, summary: tuple) -> "QmailMessage":
        message = super().from_summary(summary[0])
        message.number = summary[1]
        return message

    def _let_go(self):
        self._read_identity()
        self._about = self._block = self._envelope = self._place = self._problems = None

    def _read_identity(self):
        about = self._about
        self.identity = (about.st_ino, about.st_size, about.st_mtime_ns, self.sender)

    def _read_envelope(self):
        self._unread &= ~ENVELOPE
        if self._envelope is not None:
            self.states, self.recipients = ("todo",), _recipients(self._envelope)
            return
        place, local, remote = self._place, [], []
        is_settled = isinstance(place, SettledDirectory)
        if not is_settled or place.has("local", self.id):
            as_written = self._as_written
            local = [Recipient(as_written(address), done) for address, done in self._channel("local")]
        if not is_settled or place.has("remote", self.id):
            remote = self._channel("remote")
        is_local = bool(local) and False in [one.done for one in local]
        is_remote = bool(remote) and False in [one.done for one in remote]
        self.states = _STATES_OF[is_local, is_remote]
        self.recipients = local + remote

    def _channel(self, part):
        path = self._place.path(part, self.number)
        try:
            return _recipients(_fields(path) or ())
        except (OSError, ValueError) as error:
            self._problems.append((path, _why(error)))
        return []

    def _read_subject(self):
        self._unread &= ~SUBJECT
        raw = subject_of(self._header())
        self.subject = None if raw is None else decode_subject(raw)

    def _read_origin(self):
        self._unread &= ~ORIGIN
        self.sasl_user, self.client, self.uid, self.script = origin_of(self._header(), "qmail")
        if self._envelope is not None and self.uid is None and self.client is None:
            submitted = next((field[1:] for field in self._envelope if field[:1] == b"u"), b"")
            if submitted.isdigit() and len(submitted) < 11:
                self.uid = int(submitted)

    def _header(self):
        block = self._block
        if len(block) == _FIRST_BLOCK and b"\n\n" not in block and b"\n\r\n" not in block:
            with contextlib.suppress(OSError):
                self._block = block = _first_block(self._place.path("mess", self.number), _LONGEST_HEADER)[1]
        return block

    READERS: ClassVar[Dict[str, Callable]] = {
        "identity": _read_identity,
        "states": _read_envelope,
        "recipients": _read_envelope,
        "subject": _read_subject,
        "sasl_user": _read_origin,
        "client": _read_origin,
        "uid": _read_origin,
        "script": _read_origin,
    }


def read(
    place,
    number: int,
    unreadable: Optional[List[Tuple[str, str]]] = None,
    as_written: Callable[[str], str] = str,
) -> Optional[QmailMessage]:
    """A message from a queue or a run.

    :param place: has ``path(part, number)``
    :param unreadable: gets (path, why) when it can't be read
    :param as_written: ``Layout.as_written`` of the queue that it is from
    :returns: None: it is not complete, or gone, or unreadable
    """
    problems = [] if unreadable is None else unreadable
    try:
        return QmailMessage(place, number, problems, as_written)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        problems.append((place.path("mess", number), _why(error)))
    return None


def _first_block(path, size=_FIRST_BLOCK):
    """(os.stat_result, bytes) of a file.

    :raises ValueError: it is none
    """
    descriptor = os.open(path, OPEN_FLAGS)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a file")
        return about, os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _fields(path):
    """The fields (bytes) of an envelope file; None when it is not there."""
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except FileNotFoundError:
        return None
    try:
        content = os.read(descriptor, _FIRST_BLOCK)
        # Nearly all are short, and need no more than that.
        if not 0 < len(content) < _FIRST_BLOCK:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise ValueError("it is not a file")
            if about.st_size > _LONGEST_ENVELOPE:
                raise ValueError("its envelope has {0} bytes".format(about.st_size))
            if about.st_size > len(content):
                content = os.pread(descriptor, about.st_size, 0)
    finally:
        os.close(descriptor)
    # What follows the last NUL was not written to its end.
    return content.split(b"\0")[:-1]


def _recipients(fields):
    return [Recipient(decoded(field[1:]), field[:1] == b"D") for field in fields if field[:1] in (b"T", b"D")]


def _why(error):
    return getattr(error, "strerror", None) or str(error)
