"""A message in Postfix's queue, as its file says."""

import os
import stat
from typing import Callable, ClassVar, Dict, Optional

from .. import headers
from ..lazy_message import ENVELOPE, OPEN_FLAGS, ORIGIN, SUBJECT, LazyMessage
from ..message import Recipient, decoded
from ..subject import decode_subject
from .file import (
    FIRST_BLOCK,
    HalfMade,
    QueueFile,
    Unreadable,
    sizes,
    usual_envelope,
    usual_head,
    usual_header,
    usual_subject,
)

# Where a file can be that isn't ready yet; the queue manager takes only those that are (src/global/mail_open_ok.c), so
# the others are ready.
_BEING_WRITTEN = ("hold", "maildrop", "incoming")
_READY = 0o700


class Place:
    """What all messages of one directory have in common."""

    __slots__ = ("directory", "instance", "mail_owner", "state", "states")

    def __init__(self, directory, state, instance, mail_owner):
        self.directory, self.state, self.instance, self.mail_owner = directory, state, instance, mail_owner
        self.states = (state,)


class PostfixMessage(LazyMessage):
    """A message in Postfix's queue, or in a copy of its file elsewhere.

    When what is not set yet is asked for, a file that is damaged behind its first record raises Unreadable, unless the
    message was kept.

    :ivar int inode: of its file
    :ivar str path: of its file, absolute
    """

    __slots__ = (
        "_block",
        "_content",
        "_expected",
        "_head",
        "_place",
        "_submitter",
        "_time",
        "inode",
        "path",
    )

    def __init__(self, place, name, inode, block, info=None, path=None):
        """
        :param info: os.stat_result, only of a file in maildrop
        :param path: where it is not PLACE/NAME
        """
        self._place, self.id, self.inode, self._block = place, name, inode, block
        self.instance, self.states = place.instance.name, place.states
        self._unread = ENVELOPE | SUBJECT | ORIGIN
        self._head = self._time = None
        if path is not None:
            self.path = path
        if info is None:
            self.size, self._content, self._expected = sizes(block)
        else:
            self.size, self._submitter, self._content, self._expected = info.st_size, info.st_uid, None, None

    def summary(self) -> tuple:
        return super().summary(), self.inode, self.path

    @classmethod
    def from_summary(cls, summary: tuple) -> "PostfixMessage":
        message = super().from_summary(summary[0])
        _, message.inode, message.path = summary
        return message

    def _let_go(self):
        for name in ("path", "identity"):
            getattr(self, name)
        self._block = self._head = None

    def _find_path(self):
        self.path = self._place.directory + "/" + self.id

    def _find_identity(self):
        if self._time is None:
            self._read_head()
        self.identity = (self.inode, decoded(self._time), self.size)

    def _read_head(self):
        head = self._content and usual_head(self._block)
        if head:
            self._set_head(*head)
        else:
            self._read_envelope()

    def _set_head(self, time, sender):
        self._time = time = time or b""
        seconds = time[:10] if time[10:11] == b" " else time.partition(b" ")[0][:15]
        self.arrival = int(seconds) if seconds.isdigit() else 0
        self.sender = sender.decode("utf-8", "backslashreplace")

    def _read_envelope(self):
        self._unread &= ~ENVELOPE
        envelope = self._content and usual_envelope(self._block, self._content, self._expected)
        if not envelope:
            envelope = self._file().envelope()
        time, sender, recipients, sasl_user, client = envelope
        self._set_head(time, sender)
        if len(recipients) > 1:
            done = {}
            for address, is_done in recipients:
                done[address] = is_done and done.get(address, True)
            recipients = done.items()
        self.recipients = [
            Recipient(address.decode("utf-8", "backslashreplace"), is_done) for address, is_done in recipients
        ]
        self.client = client and client.decode("utf-8", "backslashreplace")
        self.sasl_user = sasl_user and sasl_user.decode("utf-8", "backslashreplace")

    def _read_origin(self):
        self._unread &= ~ORIGIN
        if self.client or self.sasl_user:
            self.uid = self.script = None
            return
        header = self._header()
        if self._content is None and self._submitter != self._place.mail_owner:
            # pickup(8) will say so in the header.
            header = b"Received: by localhost (Postfix, from userid %d)\n" % self._submitter + header
        origin = headers.origin_of(header, "postfix", self._place.mail_owner)
        self.uid, self.script = origin.uid, origin.script

    def _read_subject(self):
        self._unread &= ~SUBJECT
        raw = usual_subject(self._block, self._content) if self._content and self._head is None else None
        if raw is None:
            raw = headers.subject_of(self._header())
        self.subject = None if raw is None else decode_subject(raw)

    def _header(self):
        if self._head is None:
            self._head = self._content and usual_header(self._block, self._content)
            if self._head is None:
                self._head = self._file().header()
        return self._head

    def _file(self):
        size = self.size if self._content else None
        return QueueFile(self._block, self._read, size, self._content, self._expected)

    def _read(self, offset, length):
        descriptor = os.open(self.path, OPEN_FLAGS)
        try:
            if os.fstat(descriptor).st_ino != self.inode:
                raise FileNotFoundError(self.path)
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    READERS: ClassVar[Dict[str, Callable]] = {
        "arrival": _read_head,
        "identity": _find_identity,
        "path": _find_path,
        "sender": _read_head,
        "recipients": _read_envelope,
        "client": _read_envelope,
        "sasl_user": _read_envelope,
        "script": _read_origin,
        "uid": _read_origin,
        "subject": _read_subject,
    }


def read(path, name, state, instance):
    """The message in one file, wherever it is.

    :param str name: its queue id
    :param str state: the directory of the queue that it is in, or was in
    :param Instance instance: that it belongs to
    :returns: PostfixMessage, which no longer needs the file
    :raises HalfMade: it is still being written (a kind of Unreadable)
    :raises Unreadable: it is no message
    :raises FileNotFoundError: it is gone
    """
    # All files in the queue belong to Postfix's user, but for those in maildrop.
    mail_owner = None if state == "maildrop" else os.stat(path).st_uid
    place = Place(os.path.dirname(path), state, instance, mail_owner)
    return read_in(place, name, None, path).keep()


def read_in(place: Place, name: str, inode: Optional[int], path: Optional[str] = None) -> PostfixMessage:
    """A message in a directory of the queue; otherwise as ``read``.

    :param inode: of the file, None where it isn't known
    """
    descriptor = os.open(path or place.directory + "/" + name, OPEN_FLAGS)
    try:
        info = None
        if inode is None or place.state in _BEING_WRITTEN:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise Unreadable("not a file")
            if info.st_mode & _READY != _READY:
                raise HalfMade("still being written")
            inode = info.st_ino
        block = os.read(descriptor, FIRST_BLOCK)
    finally:
        os.close(descriptor)
    return PostfixMessage(place, name, inode, block, info if place.state == "maildrop" else None, path)
