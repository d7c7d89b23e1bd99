"""The messages in the queue of a Postfix instance, one after the other, as its files say."""

import os
import re
import stat
from collections import namedtuple

from . import headers
from .message import Message, Recipient
from .postfix_file import FIRST_BLOCK, HalfMade, QueueFile, Unreadable
from .subject import decode_subject

# name: str or None for the default one; config_dir, queue_dir: absolute paths, as this process reaches them
Instance = namedtuple("Instance", "name config_dir queue_dir")

# In the order in which mail passes through them, so that what moves on meanwhile is not missed.
STATES = ("hold", "maildrop", "incoming", "active", "deferred")

# Short: 5 digits of microseconds and the inode, hexadecimal; long: seconds and microseconds in base 52, z, the inode in
# base 51 (src/global/mail_queue.h).
_ID = re.compile(r"(?:[0-9A-F]{6,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+)\Z")

# Whatever else lies there is not followed, and not waited for.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class PostfixMessage(Message):
    """A message in Postfix's queue, or in a copy of its file elsewhere.

    :ivar str path: of its file, absolute
    :ivar int inode: of its file
    """

    __slots__ = ("_envelope", "_file", "_mail_owner", "_origin", "_subject", "_uid", "inode", "path", "states")

    def __init__(self, path, name, state, instance, info, block, mail_owner):
        self.path, self.id, self.inode = path, name, info.st_ino
        self.instance, self.states = instance.name, (state,)
        self._mail_owner = mail_owner
        self._uid = info.st_uid if state == "maildrop" else None
        self._file = QueueFile(block, self._read, submitted=state == "maildrop")
        self.size = info.st_size if self._file.content_size is None else self._file.content_size
        self._envelope = self._file.envelope()
        self._origin = self._subject = None

    @property
    def sender(self):
        return _text(self._envelope.sender)

    @property
    def arrival(self):
        return int((self._envelope.time or b"0").split()[0])

    @property
    def recipients(self):
        done = {}
        for address, is_done in self._envelope.recipients:
            done[address] = is_done and done.get(address, True)
        return [Recipient(_text(address), is_done) for address, is_done in done.items()]

    @property
    def subject(self):
        raw = headers.subject_of(self._file.header())
        return None if raw is None else decode_subject(raw)

    @property
    def identity(self):
        return (self.inode, (self._envelope.time or b"").decode("ascii", "replace"), self.size)

    @property
    def sasl_user(self):
        return self._find_origin().sasl_user

    @property
    def client(self):
        return self._find_origin().client

    @property
    def uid(self):
        return self._find_origin().uid

    @property
    def script(self):
        return self._find_origin().script

    def _find_origin(self):
        if self._origin is None:
            self._origin = self._work_out_origin()
        return self._origin

    def _work_out_origin(self):
        attributes = self._envelope.attributes
        client = attributes.get(b"log_client_address", attributes.get(b"client_address"))
        if client is not None or b"sasl_username" in attributes:
            account = attributes.get(b"sasl_username")
            return headers.Origin(account and _text(account), client and _text(client), None, None)
        return headers.origin_of(self._file.header(), "postfix", self._mail_owner)

    def _read(self, offset, length):
        descriptor = os.open(self.path, _FLAGS)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)


def scan(instance, unreadable):
    """Yield each complete message of an instance's queue (:class:`PostfixMessage`), reading only.

    :param Instance instance: which one
    :param list unreadable: gets (path, why) of what is no message that can be read; it is passed over
    """
    seen = set()
    for state in STATES:
        for directory, name in _files(os.path.join(instance.queue_dir, state), unreadable):
            if name in seen:
                continue
            try:
                message = read(os.path.join(directory, name), name, state, instance)
            except (FileNotFoundError, HalfMade):
                continue
            except Unreadable as error:
                unreadable.append((os.path.join(directory, name), str(error)))
                continue
            seen.add(name)
            yield message
    for directory, name in _files(os.path.join(instance.queue_dir, "corrupt"), unreadable):
        unreadable.append((os.path.join(directory, name), "Postfix found it corrupt"))


def _files(directory, unreadable):
    """Yield (directory, name) of what may be messages below a directory."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and len(entry.name) == 1:
            yield from _files(entry.path, unreadable)
        elif _ID.match(entry.name) and entry.is_file(follow_symlinks=False):
            yield directory, entry.name
        else:
            unreadable.append((entry.path, "not a file of Postfix's"))


def read(path, name, state, instance):
    """The message in one file, wherever it is.

    :param str name: its queue id
    :param str state: the directory of the queue that it is in, or was in
    :returns: PostfixMessage
    :raises HalfMade: it is still being written (a kind of Unreadable)
    :raises Unreadable: it is no message
    :raises FileNotFoundError: it is gone
    """
    descriptor = os.open(path, _FLAGS)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise Unreadable("not a file")
        if info.st_mode & 0o700 != 0o700:
            raise HalfMade("still being written")
        block = os.read(descriptor, FIRST_BLOCK)
    finally:
        os.close(descriptor)
    return PostfixMessage(path, name, state, instance, info, block, None)


def _text(raw):
    return raw.decode("utf-8", "backslashreplace")
