"""The messages in the queue of a Postfix instance, one after the other, as its files say."""

import itertools
import os
import re
import stat
from array import array
from bisect import bisect_left

from ...errors import UserError
from .. import headers
from ..gather import gather as gather_together
from ..gather import together
from ..message import Message, Recipient
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

# In the order in which mail moves, so that what moves on meanwhile is met; only from deferred it goes back, to active,
# and what people hold and release goes to and fro.
STATES = ("hold", "maildrop", "incoming", "active", "deferred")
_AGAIN = ("hold", "incoming", "active")

# Where a file can be that isn't ready yet; the queue manager takes only those that are (src/global/mail_open_ok.c), so
# the others are ready.
_BEING_WRITTEN = ("hold", "maildrop", "incoming")
_READY = 0o700

# Short: 5 digits of microseconds and the inode, hexadecimal; long: seconds and microseconds in base 52, z, the inode in
# base 51 (src/global/mail_queue.h).
_ID = re.compile(r"(?:[0-9A-F]{6,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+)\Z")

# Microseconds and process: a file that is being made, and has no id yet (src/global/mail_queue.c).
_TEMPORARY = re.compile(r"\d+\.\d+\Z")

# hash_queue_depth, at most (src/global/mail_params.h has no limit; mail_queue.c makes one directory for a character).
_DEEPEST = 16

# Whatever else lies under such a name is not followed, and not waited for.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

# What of a message is to be worked out yet: bits.
_ENVELOPE, _SUBJECT, _ORIGIN = 1, 2, 4

# From so many files on, several processes read, one for each processor, up to:
_MANY = 5000
_PROCESSES = 8

# Greater than any stride between the inodes of messages (one in two is that of a log), so that every process gets its
# share of them.
_PRIME = 8191


class _Place:
    """What all messages of one directory have in common."""

    __slots__ = ("directory", "instance", "mail_owner", "state", "states")

    def __init__(self, directory, state, instance, mail_owner):
        self.directory, self.state, self.instance, self.mail_owner = directory, state, instance, mail_owner
        self.states = (state,)


class PostfixMessage(Message):
    """A message in Postfix's queue, or in a copy of its file elsewhere.

    What is not set yet is worked out when it is asked for; then a file that is damaged behind its first record raises
    Unreadable, unless it was kept.

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
        "_unread",
        "inode",
        "path",
    )

    def __init__(self, place, name, inode, block, info=None, path=None):
        """
        :param info: os.stat_result, only of a file in maildrop
        :param path: where it is not PLACE/NAME
        """
        self._place, self.id, self.inode, self._block = place, name, inode, block
        self._unread = _ENVELOPE | _SUBJECT | _ORIGIN
        self._head = self._time = None
        if path is not None:
            self.path = path
        if info is None:
            self.size, self._content, self._expected = sizes(block)
        else:
            self.size, self._submitter, self._content, self._expected = info.st_size, info.st_uid, None, None

    @property
    def instance(self):
        return self._place.instance.name

    @property
    def states(self):
        return self._place.states

    def keep(self):
        """Work out all that is there to know, and let go of the file's bytes.

        :returns: itself
        """
        self.work_out()
        for name in ("path", "identity"):
            getattr(self, name)
        self._block = self._head = None
        return self

    def work_out(self):
        """The same as asking for all of it, but for path and identity; faster.

        :returns: itself
        """
        unread = self._unread
        if unread & _ENVELOPE:
            self._read_envelope()
        # Before the subject, which then is looked for in the header that this may have read.
        if unread & _ORIGIN:
            self._read_origin()
        if unread & _SUBJECT:
            self._read_subject()
        return self

    def told(self):
        """What `of_told` makes such a message of, in another process; of one that is kept."""
        place = self._place
        return (
            place.directory,
            place.state,
            self.id,
            self.inode,
            self.size,
            self.identity,
            self.arrival,
            self.sender,
            [tuple(recipient) for recipient in self.recipients],
            self.subject,
            self.sasl_user,
            self.client,
            self.uid,
            self.script,
        )

    @classmethod
    def of_told(cls, told, places, instance):
        """
        :param tuple told: as `told` gives it
        :param dict places: those that were made by earlier calls
        """
        message = cls.__new__(cls)
        (
            directory,
            state,
            message.id,
            message.inode,
            message.size,
            message.identity,
            message.arrival,
            message.sender,
            recipients,
            message.subject,
            message.sasl_user,
            message.client,
            message.uid,
            message.script,
        ) = told
        message.recipients = [Recipient(*recipient) for recipient in recipients]
        if directory not in places:
            places[directory] = _Place(directory, state, instance, None)
        message._place = places[directory]
        return message

    def __getattr__(self, name):
        try:
            work_out = _WORKED_OUT[name]
        except KeyError:
            raise AttributeError(name) from None
        work_out(self)
        return getattr(self, name)

    def _find_path(self):
        self.path = self._place.directory + "/" + self.id

    def _find_identity(self):
        if self._time is None:
            self._read_head()
        self.identity = (self.inode, _text(self._time), self.size)

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
        self._unread &= ~_ENVELOPE
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
        self._unread &= ~_ORIGIN
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
        self._unread &= ~_SUBJECT
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
        descriptor = os.open(self.path, _FLAGS)
        try:
            if os.fstat(descriptor).st_ino != self.inode:
                raise FileNotFoundError(self.path)
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)


_WORKED_OUT = {
    "arrival": PostfixMessage._read_head,
    "identity": PostfixMessage._find_identity,
    "path": PostfixMessage._find_path,
    "sender": PostfixMessage._read_head,
    "recipients": PostfixMessage._read_envelope,
    "client": PostfixMessage._read_envelope,
    "sasl_user": PostfixMessage._read_envelope,
    "script": PostfixMessage._read_origin,
    "uid": PostfixMessage._read_origin,
    "subject": PostfixMessage._read_subject,
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
    place = _Place(os.path.dirname(path), state, instance, mail_owner)
    return _read(place, name, None, path).keep()


def scan(instance, unreadable, wanted=None):
    """Yield the complete messages of an instance's queue, reading only. Order is that of the directories.

    A big queue is read by several processes at once.

    :param Instance instance: which one
    :param list unreadable: gets (path, why) of what is no message that can be read; it is passed over
    :param wanted: callable, says of a PostfixMessage whether it is yielded; asked in the process that reads. None: all
    :returns: yields PostfixMessage, which no longer need their files; the generator's value is how many there were
    :raises UserError: a directory can't be read
    """
    parts = _processes(instance)
    if parts == 1:
        scanner = _Scanner(instance, unreadable, wanted)
        for message in scanner.messages():
            if message:
                yield message.keep()
        return scanner.met
    places, met = {}, 0
    for told in together(parts, lambda part: _Scanner(instance, [], wanted, part, parts).told()):
        if len(told) == 2:
            met += told[0]
            unreadable += told[1]
        else:
            yield PostfixMessage.of_told(told, places, instance)
    return met


def gather(instance, unreadable, wanted, found):
    """Add the messages that ``scan`` would yield to something; see ``backend.Queue.gather``.

    :returns: how many there were, wanted or not
    :raises UserError: a directory can't be read
    """
    parts = _processes(instance)
    if parts > 1:
        return gather_together(parts, lambda part: _Scanner(instance, [], wanted, part, parts), found, unreadable)
    scanner = _Scanner(instance, unreadable, wanted)
    for message in scanner.messages():
        if message:
            found.add(message)
    return scanner.met


def _processes(instance):
    """How many processes are to read a queue."""
    parts = min(len(os.sched_getaffinity(0)), _PROCESSES)
    return parts if parts > 1 and _has_many(instance) else 1


def _has_many(instance):
    """Whether there are so many files that a second process is worth its start."""
    scanner = _Scanner(instance, [], None)
    files = itertools.chain.from_iterable(map(scanner.files, STATES))
    return next(itertools.islice(files, _MANY, None), None) is not None


class _Scanner:
    """One look at the queue, or at a part of its files: those whose inode says that they are this part's."""

    def __init__(self, instance, unreadable, wanted, part=0, parts=1):
        self.instance, self.unreadable, self.wanted = instance, unreadable, wanted
        self.part, self.parts = part, parts
        self.met = 0
        self._mail_owner = _mail_owner(instance)
        # Hashes of the ids that were met, sorted, for each of STATES but the last: 8 bytes for each of a million.
        self._earlier = []

    def messages(self):
        """Yield those that are wanted, and None for each that is not, or no message."""
        for state in STATES:
            met = array("q")
            for place, name, inode in self.files(state):
                yield self._message(place, name, inode, met)
            if met and state != STATES[-1]:
                self._earlier.append(array("q", sorted(met)))
        # What had left for directories that were read already, before it was met where it came from.
        noted = len(self.unreadable)
        late = {
            hash(name): (place, name, inode) for again in _AGAIN for place, name, inode in self.files(again) if inode
        }
        # What is foreign has been noted the first time.
        del self.unreadable[noted:]
        for key in met if late else ():
            late.pop(key, None)
        for place, name, inode in late.values():
            yield self._message(place, name, inode, met)
        for place, name, _ in self.files("corrupt"):
            self._note(place, name, "Postfix found it damaged")

    def told(self):
        """The same for ``together``; at the end, how many were met, and what could not be read."""
        for message in self.messages():
            if message:
                yield len(message.recipients), message.keep().told()
            else:
                yield 1, None
        yield 0, (self.met, self.unreadable)

    def _message(self, place, name, inode, met):
        """A message that is wanted, and was not met before; else None."""
        if inode is None:
            self._note(place, name, "not a file of Postfix's")
            return None
        key = hash(name)
        for earlier in self._earlier:
            at = bisect_left(earlier, key)
            if at < len(earlier) and earlier[at] == key:
                return None
        try:
            message = _read(place, name, inode)
            is_wanted = self.wanted is None or self.wanted(message)
            if is_wanted:
                message.work_out()
        except (FileNotFoundError, HalfMade):
            return None
        except Unreadable as error:
            self._note(place, name, str(error))
            met.append(key)
            return None
        except OSError as error:
            self._note(place, name, error.strerror)
            met.append(key)
            return None
        met.append(key)
        self.met += 1
        return message if is_wanted else None

    def files(self, state):
        """Yield (place, name, inode) of what is in one of the queue's directories; inode is None of what is foreign."""
        return self._files_below(os.path.join(self.instance.queue_dir, state), state, 0)

    def _files_below(self, directory, state, depth):
        place = _Place(directory, state, self.instance, self._mail_owner)
        is_id, part, parts = _ID.match, self.part, self.parts
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    name, inode = entry.name, entry.inode()
                    is_mine = inode % _PRIME % parts == part
                    if not is_mine and len(name) > 1:
                        continue
                    if is_id(name) and entry.is_file(follow_symlinks=False):
                        yield place, name, inode
                    elif len(name) == 1 and depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
                        yield from self._files_below(entry.path, state, depth + 1)
                    elif is_mine and not _TEMPORARY.match(name):
                        self._note(place, name, "not a file of Postfix's")
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise UserError("{0} can't be read: {1}.".format(directory, error.strerror)) from None

    def _note(self, place, name, why):
        self.unreadable.append((place.directory + "/" + name, why))


def _read(place, name, inode, path=None):
    """:param inode: of the file, None where it isn't known"""
    descriptor = os.open(path or place.directory + "/" + name, _FLAGS)
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


def _mail_owner(instance):
    """Uid of Postfix's user, to which its queues belong, or None."""
    try:
        return os.stat(os.path.join(instance.queue_dir, "active")).st_uid
    except OSError:
        return None


def _text(raw):
    return raw.decode("utf-8", "backslashreplace")
