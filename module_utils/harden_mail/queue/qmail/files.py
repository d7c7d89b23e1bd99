"""The files of a qmail queue: where they are, and what is in them.

Sources: qmail's ``INTERNALS``, ``qmail-queue.c``, ``qmail-send.c``, ``qmail-qread.c``. A message has a number N, the
inode of ``mess/N`` when it was made. ``todo/N`` is its envelope as it was submitted, ``u<uid>\\0p<pid>\\0F<sender>\\0``
and ``T<recipient>\\0`` for each. Of it, qmail-send makes ``info/N`` (``F<sender>\\0``, its time is the arrival),
``local/N`` and ``remote/N`` (``T<recipient>\\0``; the first letter becomes D when it is done, and when all are, the
file goes).
"""

import contextlib
import itertools
import os
import re
import stat
import time
from array import array
from bisect import bisect_left

from ...parallel import together
from ..gather import gather as gather_together
from ..headers import origin_of, subject_of
from ..message import Message, Recipient
from ..subject import decode_subject

STATES = ("todo", "local", "remote", "done")

PARTS = ("mess", "info", "local", "remote", "bounce", "todo", "intd")

# Split in every qmail, all by the same number; the big-todo patch splits todo, and often intd, by that too.
_ALWAYS_SPLIT = ("mess", "info", "local", "remote")
_SOMETIMES_SPLIT = ("todo", "intd")

# Bytes read of a message at once, and at most for its header.
FIRST_BLOCK = 4096
LONGEST_HEADER = 1 << 18

# Bytes of an envelope that are read: a message may have 50,000 recipients, but no part is a disk's.
LONGEST_ENVELOPE = 1 << 26

# No inode has more digits.
_NUMBER = re.compile(r"[1-9][0-9]{0,18}\Z")

# Whatever else lies there is not followed, and not waited for.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

# From so many messages on, several processes read, one for each processor, up to:
_MANY = 5000
_PROCESSES = 8

# Names of a directory that are remembered.
_FEW = 50000

# Seconds before a look at the queue, in which what was written counts as new: file systems have clocks of their own.
_SLACK = 2

# What of a message is to be read yet: bits.
_ENVELOPE, _SUBJECT, _ORIGIN = 1, 2, 4

# Greater than any stride between the inodes of messages, so that every process gets its share of them.
_PRIME = 8191


class Layout:
    """Where the parts of a message are in a queue: ``PART/ID``, or ``PART/ID % split/ID``.

    :ivar str directory: the queue's, as this process reaches it
    :ivar dict split: part -> number of directories, 0: not split
    :ivar str mutex: the file that qmail-send has locked while it runs
    """

    def __init__(self, directory, split):
        self.directory, self.split = directory, split
        self.mutex = os.path.join(directory, "lock", "sendmutex")
        self._tops = {part: "{0}/{1}/".format(directory, part) for part in PARTS}
        self._virtual = None

    @classmethod
    def detect(cls, directory):
        """The layout of a queue, or None: this is none.

        How much a part is split was decided when qmail was built, and is found by counting.
        """
        found = {part: _subdirectories(os.path.join(directory, part)) for part in PARTS}
        numbers = {found[part] for part in _ALWAYS_SPLIT}
        if None in found.values() or len(numbers) > 1 or numbers == {0}:
            return None
        number = numbers.pop()
        split = dict.fromkeys(PARTS, 0)
        split.update(dict.fromkeys(_ALWAYS_SPLIT, number))
        split.update({part: number for part in _SOMETIMES_SPLIT if found[part] >= number})
        layout = cls(directory, split)
        return layout if os.path.isfile(layout.mutex) else None

    def path(self, part, number):
        split = self.split[part]
        if split:
            return self._tops[part] + str(number % split) + "/" + str(number)
        return self._tops[part] + str(number)

    def directories(self, part=None):
        """All directories that hold files, of one part or of all."""
        found = []
        for name in (part,) if part else PARTS:
            top = os.path.join(self.directory, name)
            found += [os.path.join(top, str(number)) for number in range(self.split[name])] or [top]
        return found

    def numbers(self, part, unreadable=None, only=None):
        """Yield the numbers that have this part.

        :param list unreadable: gets (path, why) of what else lies there
        :param int only: those of this one of its directories (None: of all)
        """
        is_number, split = _NUMBER.match, self.split[part] or 1
        for rest, directory in enumerate(self.directories(part)):
            if only not in (None, rest):
                continue
            with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
                for entry in entries:
                    name = entry.name
                    number = int(name) if is_number(name) else -1
                    if number > 0 and number % split == rest:
                        yield number
                    elif unreadable is not None:
                        unreadable.append((entry.path, "not a file of qmail's"))

    def count(self, part):
        return sum(1 for _ in self.numbers(part))

    def as_written(self, address):
        """A local recipient as the sender wrote it: ``control/virtualdomains`` has put a user's name before it."""
        if self._virtual is None:
            control = os.path.join(os.path.dirname(self.directory), "control", "virtualdomains")
            self._virtual = _VirtualDomains(control)
        return self._virtual.as_written(address)


class QmailMessage(Message):
    """A message in qmail's queue, or of such files elsewhere.

    What is not set yet is read when it is asked for.

    :ivar int number: the id's
    :ivar tuple identity: inode, size and time (ns) of the message file, and the sender
    """

    __slots__ = ("_about", "_as_written", "_block", "_envelope", "_place", "_problems", "_unread", "number")

    def __init__(self, place, number, problems, as_written):
        """
        :raises FileNotFoundError: it is not complete, or gone
        :raises OSError: it can't be read
        :raises ValueError: it is no message; says why
        """
        self._place, self.number, self._problems, self._as_written = place, number, problems, as_written
        self._unread = _ENVELOPE | _SUBJECT | _ORIGIN
        self.id, self.instance = str(number), None
        info = self._envelope = None
        if isinstance(place, _Directory):
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
        self.arrival, self.sender = int(about.st_mtime), _text(sender)

    def keep(self):
        """Work out all that is there to know, and let go of the files, for one that is kept.

        :returns: itself
        """
        self.work_out()
        self._read_identity()
        self._about = self._block = self._envelope = self._place = self._problems = None
        return self

    def work_out(self):
        """The same as asking for all of it, but for the identity; faster.

        :returns: itself
        """
        unread = self._unread
        if unread & _ENVELOPE:
            self._read_recipients()
        if unread & _SUBJECT:
            self._read_subject()
        if unread & _ORIGIN:
            self._read_origin()
        return self

    def told(self):
        """What ``of_told`` makes such a message of, in another process."""
        return [tuple(one) for one in self.recipients], [getattr(self, name) for name in _TOLD]

    @classmethod
    def of_told(cls, told):
        """:param tuple told: as ``told`` gives it"""
        message = cls.__new__(cls)
        for name, value in zip(_TOLD, told[1]):
            setattr(message, name, value)
        message.id, message.instance = str(message.number), None
        message.recipients = [Recipient(*one) for one in told[0]]
        return message

    def __getattr__(self, name):
        try:
            work_out = _WORKED_OUT[name]
        except KeyError:
            raise AttributeError(name) from None
        work_out(self)
        return getattr(self, name)

    def _read_identity(self):
        about = self._about
        self.identity = (about.st_ino, about.st_size, about.st_mtime_ns, self.sender)

    def _read_recipients(self):
        self._unread &= ~_ENVELOPE
        if self._envelope is not None:
            self.states, self.recipients = ("todo",), _recipients(self._envelope)
            return
        place, local, remote = self._place, [], []
        is_settled = isinstance(place, _Directory)
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
        self._unread &= ~_SUBJECT
        raw = subject_of(self._header())
        self.subject = None if raw is None else decode_subject(raw)

    def _read_origin(self):
        self._unread &= ~_ORIGIN
        self.sasl_user, self.client, self.uid, self.script = origin_of(self._header(), "qmail")
        if self._envelope is not None and self.uid is None and self.client is None:
            submitted = next((field[1:] for field in self._envelope if field[:1] == b"u"), b"")
            if submitted.isdigit() and len(submitted) < 11:
                self.uid = int(submitted)

    def _header(self):
        block = self._block
        if len(block) == FIRST_BLOCK and b"\n\n" not in block and b"\n\r\n" not in block:
            with contextlib.suppress(OSError):
                self._block = block = _first_block(self._place.path("mess", self.number), LONGEST_HEADER)[1]
        return block


_WORKED_OUT = {
    "identity": QmailMessage._read_identity,
    "states": QmailMessage._read_recipients,
    "recipients": QmailMessage._read_recipients,
    "subject": QmailMessage._read_subject,
    "sasl_user": QmailMessage._read_origin,
    "client": QmailMessage._read_origin,
    "uid": QmailMessage._read_origin,
    "script": QmailMessage._read_origin,
}

# Whether recipients of local, and of remote, are not done: its states.
_STATES_OF = {
    (True, True): ("local", "remote"),
    (True, False): ("local",),
    (False, True): ("remote",),
    (False, False): ("done",),
}

# What one process tells another of a message, besides its recipients.
_TOLD = ("number", "sender", "size", "arrival", "identity", "states", "subject", "sasl_user", "client", "uid", "script")


def scan(layout, unreadable, wanted=None):
    """Yield the messages of a queue, each once, reading only.

    Files without todo and info are the rest of something, or are just being made: no messages. A big queue is read by
    several processes at once.

    :param Layout layout: the queue
    :param list unreadable: gets (path, why) of what could not be read, or isn't qmail's
    :param wanted: callable, says of a QmailMessage whether it is yielded; asked in the process that reads. None: all
    :returns: yields QmailMessage, which no longer need their files; the generator's value is how many there were
    """
    parts = _processes(layout)
    if parts == 1:
        scanner = _Scanner(layout, unreadable, wanted)
        for message in scanner.messages():
            if message:
                yield message.keep()
        return scanner.met
    met = 0
    for is_message, told in together(parts, lambda part: _Scanner(layout, [], wanted, part, parts).told()):
        if is_message:
            yield QmailMessage.of_told(told)
        else:
            met += told[0]
            unreadable += told[1]
    return met


def gather(layout, unreadable, wanted, found):
    """Add the messages that ``scan`` would yield to something; see ``backend.Queue.gather``.

    :returns: how many there were, wanted or not
    """
    parts = _processes(layout)
    if parts > 1:
        return gather_together(parts, lambda part: _Scanner(layout, [], wanted, part, parts), found, unreadable)
    scanner = _Scanner(layout, unreadable, wanted)
    for message in scanner.messages():
        if message:
            found.add(message)
    return scanner.met


def read(place, number, unreadable=None, as_written=str):
    """A message from a queue or a run.

    :param place: has ``path(part, number)``
    :param list unreadable: gets (path, why) when it can't be read
    :param as_written: callable, ``Layout.as_written`` of the queue that it is from
    :returns: QmailMessage, or None: it is not complete, or gone, or unreadable
    """
    problems = [] if unreadable is None else unreadable
    try:
        return QmailMessage(place, number, problems, as_written)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        problems.append((place.path("mess", number), _why(error)))
    return None


class _Directory:
    """One directory of info, and the others of those messages, for messages that are settled: that were complete before
    a look at the queue began.

    Such a message is in todo no more, and has no channels but those that were seen after that. Who asks for others, for
    each message, takes a quarter of all the time.

    :ivar Layout layout: that it is of
    :ivar float before: what was changed since then is not settled
    :ivar str mess: with info, the paths that the numbers are to be put behind
    """

    def __init__(self, layout, rest, before):
        self.layout, self.before = layout, before
        tops = {part: layout.directories(part)[rest] for part in _ALWAYS_SPLIT}
        self._tops = {part: top + "/" for part, top in tops.items()}
        self.mess, self.info = self._tops["mess"], self._tops["info"]
        self._names = {part: _names(tops[part]) for part in ("local", "remote")}

    def path(self, part, number):
        return self._tops[part] + str(number)

    def has(self, part, name):
        """Whether a message may have this channel."""
        names = self._names[part]
        return names is None or name in names


def _names(directory):
    """The names in a directory, a set; None: they are too many, or not to be had."""
    try:
        with os.scandir(directory) as entries:
            names = {entry.name for entry in itertools.islice(entries, _FEW + 1)}
    except OSError:
        return None
    return names if len(names) <= _FEW else None


class _Scanner:
    """One look at the queue, or at a part of its messages."""

    def __init__(self, layout, unreadable, wanted, part=0, parts=1):
        self.layout, self.unreadable, self.wanted = layout, unreadable, wanted
        self.part, self.parts = part, parts
        self.met = 0

    def messages(self):
        """Yield those that are wanted, and None for each that is not, or no message."""
        layout, unreadable, as_written = self.layout, self.unreadable, self.layout.as_written
        before = time.time() - _SLACK
        # A message moves from todo to info, so todo is read first. 8 bytes for each of a million.
        met = array("q")
        for number in self._mine("todo"):
            problems = len(unreadable)
            message = read(layout, number, unreadable, as_written)
            if message or len(unreadable) > problems:
                met.append(number)
            yield self._wanted(message)
        met = array("q", sorted(met))
        for rest in range(len(layout.directories("info"))):
            directory = _Directory(layout, rest, before)
            for number in self._mine("info", rest):
                at = bisect_left(met, number) if met else 0
                if at == len(met) or met[at] != number:
                    yield self._wanted(read(directory, number, unreadable, as_written))

    def told(self):
        """The same for ``together``; at the end, how many were met, and what could not be read."""
        for message in self.messages():
            if message:
                yield len(message.recipients), (True, message.told())
            else:
                yield 1, None
        yield 0, (False, (self.met, self.unreadable))

    def _mine(self, part, only=None):
        mine, parts = self.part, self.parts
        for number in self.layout.numbers(part, self.unreadable if mine == 0 else None, only):
            if number % _PRIME % parts == mine:
                yield number

    def _wanted(self, message):
        if message is None:
            return None
        self.met += 1
        return message.work_out() if self.wanted is None or self.wanted(message) else None


def _processes(layout):
    """How many processes are to read a queue."""
    parts = min(len(os.sched_getaffinity(0)), _PROCESSES)
    return parts if parts > 1 and _has_many(layout) else 1


def _has_many(layout):
    """Whether there are so many messages that a second process is worth its start."""
    numbers = itertools.chain(layout.numbers("todo"), layout.numbers("info"))
    return next(itertools.islice(numbers, _MANY, None), None) is not None


def _subdirectories(directory):
    """How many directories there are with the names 0, 1, ... in a row; None: there is no such directory."""
    if not os.path.isdir(directory):
        return None
    return next(number for number in itertools.count() if not os.path.isdir(os.path.join(directory, str(number))))


def _first_block(path, size=FIRST_BLOCK):
    """(os.stat_result, bytes) of a file.

    :raises ValueError: it is none
    """
    descriptor = os.open(path, _FLAGS)
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
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return None
    try:
        content = os.read(descriptor, FIRST_BLOCK)
        # Nearly all are short, and need no more than that.
        if not 0 < len(content) < FIRST_BLOCK:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise ValueError("it is not a file")
            if about.st_size > LONGEST_ENVELOPE:
                raise ValueError("its envelope has {0} bytes".format(about.st_size))
            if about.st_size > len(content):
                content = os.pread(descriptor, about.st_size, 0)
    finally:
        os.close(descriptor)
    # What follows the last NUL was not written to its end.
    return content.split(b"\0")[:-1]


def _recipients(fields):
    return [Recipient(_text(field[1:]), field[:1] == b"D") for field in fields if field[:1] in (b"T", b"D")]


def _text(raw):
    return raw.decode("utf-8", "backslashreplace")


def _why(error):
    return getattr(error, "strerror", None) or str(error)


class _VirtualDomains:
    """What ``control/virtualdomains`` does to recipients, backwards.

    As ``rewrite`` in qmail-send.c: a line ``address:prefix`` wins over ``domain:prefix``, that over ``.parent:prefix``,
    and that over ``:prefix``; upper and lower case are the same.
    """

    def __init__(self, path):
        self._prefixes, self._addresses = {}, {}
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="backslashreplace") as handle:
            for line in handle:
                name, colon, prefix = line.rstrip().lower().partition(":")
                if colon and not name.startswith("#"):
                    # Without a prefix it is an exception: remote, after all.
                    if "@" not in name:
                        self._prefixes[name] = prefix and prefix + "-"
                    elif prefix:
                        self._addresses[prefix + "-" + name] = len(prefix) + 1

    def as_written(self, address):
        """The address (str) before a prefix was put before it; as it is where none was."""
        if not self._prefixes and not self._addresses:
            return address
        lowered = address.lower()
        whole = self._addresses.get(lowered)
        if whole:
            return address[whole:]
        labels = lowered.rpartition("@")[2].split(".")
        names = itertools.chain(
            [".".join(labels)], ("." + ".".join(labels[number:]) for number in range(1, len(labels))), [""]
        )
        prefix = next((self._prefixes[name] for name in names if name in self._prefixes), None)
        return address[len(prefix) :] if prefix and lowered.startswith(prefix) else address
