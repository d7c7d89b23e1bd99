"""The files of a qmail queue: where they are, and what is in them.

Sources: qmail's ``INTERNALS``, ``qmail-queue.c``, ``qmail-send.c``, ``qmail-qread.c``. A message has a number N, the
inode of ``mess/N`` when it was made. ``todo/N`` is its envelope as it was submitted, ``u<uid>\\0p<pid>\\0F<sender>\\0``
and ``T<recipient>\\0`` for each. Of it, qmail-send makes ``info/N`` (``F<sender>\\0``, its time is the arrival),
``local/N`` and ``remote/N`` (``T<recipient>\\0``; the first letter becomes D when it is done, and when all are, the
file goes).
"""

import contextlib
import os
import stat

from .headers import origin_of, subject_of
from .message import Message, Recipient
from .subject import decode_subject

STATES = ("todo", "local", "remote", "done")

PARTS = ("mess", "info", "local", "remote", "bounce", "todo", "intd")

# Bytes read of a message at once, and at most for its header.
FIRST_BLOCK = 4096
LONGEST_HEADER = 1 << 18

# Bytes of an envelope that are read: a message may have 50,000 recipients, but no part is a disk's.
LONGEST_ENVELOPE = 1 << 26

# Whatever else lies there is not followed, and not waited for.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class Layout:
    """Where the parts of a message are in a queue: ``PART/ID``, or ``PART/ID % split/ID``.

    :ivar str directory: the queue's, as this process reaches it
    :ivar dict split: part -> number of directories, 0: not split
    :ivar str mutex: the file that qmail-send has locked while it runs
    """

    def __init__(self, directory, split):
        self.directory, self.split = directory, split
        self.mutex = os.path.join(directory, "lock", "sendmutex")
        self._virtual = None

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

    def numbers(self, part, unreadable=None):
        """Yield the numbers that have this part.

        :param list unreadable: gets (path, why) of what else lies there
        """
        for directory in self.directories(part):
            with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
                for entry in entries:
                    if _is_number(entry.name):
                        yield int(entry.name)
                    elif unreadable is not None:
                        unreadable.append((entry.path, "not a file of qmail's"))

    def count(self, part):
        return sum(1 for _ in self.numbers(part))

    def as_written(self, address):
        """A local recipient as the sender wrote it: ``control/virtualdomains`` has put a user's name before it."""
        if self._virtual is None:
            self._virtual = _virtual_domains(os.path.join(os.path.dirname(self.directory), "control", "virtualdomains"))
        if not self._virtual:
            return address
        domain = address.rpartition("@")[2].lower()
        prefixes = [prefix for key, prefix in self._virtual.items() if address.lower() == (prefix + "-" + key).lower()]
        prefixes += [self._virtual[key] for key in [domain] + _parents(domain) if key in self._virtual]
        for prefix in prefixes:
            if address.startswith(prefix + "-"):
                return address[len(prefix) + 1 :]
        return address


class QmailMessage(Message):
    """See ``Message``; recipients and origin are read when they are asked for.

    :ivar tuple identity: inode, size and time (ns) of the message file, and the sender
    """

    __slots__ = ("_block", "_envelope", "_found", "_origin", "_place", "_unreadable", "number")

    def __init__(self, place, number, unreadable):
        self._place, self.number, self._unreadable = place, number, unreadable
        self.id, self.instance = str(number), None
        self._found = self._origin = None
        about, self._block = _first_block(place.path("mess", number))
        self.size = about.st_size
        envelope, arrival = _opened(place.path("todo", number)), about.st_mtime
        self._envelope = envelope[1] if envelope else None
        if not envelope:
            info = _opened(place.path("info", number))
            if info is None:
                raise FileNotFoundError(place.path("info", number))
            envelope, arrival = info, info[0].st_mtime
        self.arrival = int(arrival)
        sender = next((field[1:] for field in envelope[1] if field[:1] == b"F"), None)
        if sender is None:
            raise ValueError("its envelope has no sender")
        self.sender = _text(sender)
        self.identity = (about.st_ino, about.st_size, about.st_mtime_ns, self.sender)

    @property
    def recipients(self):
        return [recipient for found in self._channels() for recipient in found[1]]

    @property
    def states(self):
        found = self._channels()
        if self._envelope is not None:
            return ("todo",)
        return tuple(name for name, some in found if any(not one.done for one in some)) or ("done",)

    @property
    def subject(self):
        raw = subject_of(self._header())
        return None if raw is None else decode_subject(raw)

    @property
    def sasl_user(self):
        return self._who().sasl_user

    @property
    def client(self):
        return self._who().client

    @property
    def uid(self):
        return self._who().uid

    @property
    def script(self):
        return self._who().script

    def _channels(self):
        """[(channel, [Recipient])], read once."""
        if self._found is None:
            if self._envelope is not None:
                self._found = [("todo", _recipients(self._envelope))]
            else:
                self._found = []
                for channel in ("local", "remote"):
                    try:
                        part = _opened(self._place.path(channel, self.number))
                    except OSError as error:
                        self._unreadable.append((self._place.path(channel, self.number), error.strerror))
                        part = None
                    if part:
                        self._found.append((channel, self._as_written(channel, _recipients(part[1]))))
        return self._found

    def _as_written(self, channel, recipients):
        change = getattr(self._place, "as_written", None)
        if channel == "remote" or change is None:
            return recipients
        return [one._replace(address=change(one.address)) for one in recipients]

    def _header(self):
        block = self._block
        if len(block) == FIRST_BLOCK and b"\n\n" not in block and b"\n\r\n" not in block:
            with contextlib.suppress(OSError):
                self._block = block = _first_block(self._place.path("mess", self.number), LONGEST_HEADER)[1]
        return block

    def _who(self):
        if self._origin is None:
            origin = origin_of(self._header(), "qmail")
            submitted = next((field[1:] for field in self._envelope or () if field[:1] == b"u"), b"")
            if origin.uid is None and origin.client is None and submitted.isdigit() and len(submitted) < 11:
                origin = origin._replace(uid=int(submitted))
            self._origin = origin
        return self._origin


def scan(layout, unreadable):
    """Yield the messages of a queue, each once, reading only.

    A message moves from todo to info, so todo is read first. Files without either are the rest of something, or are
    just being made: no messages.

    :param Layout layout: the queue
    :param list unreadable: gets (path, why) of what could not be read, or isn't qmail's
    """
    seen = set()
    for number in layout.numbers("todo", unreadable):
        message = read(layout, number, unreadable)
        if message is not None:
            seen.add(number)
            yield message
    for number in layout.numbers("info", unreadable):
        if number not in seen:
            message = read(layout, number, unreadable)
            if message is not None:
                yield message


def read(place, number, unreadable=None):
    """A message from a queue or a run.

    :param place: has ``path(part, number)``
    :returns: QmailMessage, or None: it is not complete, or gone, or unreadable
    """
    problems = [] if unreadable is None else unreadable
    try:
        return QmailMessage(place, number, problems)
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append((place.path("mess", number), error.strerror or str(error)))
    except ValueError as error:
        problems.append((place.path("mess", number), str(error)))
    return None


def _is_number(name):
    # No inode has more digits; isdigit() alone takes digits of other scripts, too.
    return len(name) < 21 and name.isdigit() and name.encode("utf-8", "surrogateescape").isdigit()


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


def _opened(path):
    """(os.stat_result, [field]) of an envelope file; None when it is not there."""
    try:
        about, content = _first_block(path)
    except FileNotFoundError:
        return None
    if about.st_size > len(content):
        if about.st_size > LONGEST_ENVELOPE:
            raise ValueError("its envelope has {0} bytes".format(about.st_size))
        content = _first_block(path, about.st_size)[1]
    # What follows the last NUL was not written to its end.
    return about, content.split(b"\0")[:-1]


def _recipients(fields):
    return [Recipient(_text(field[1:]), field[:1] == b"D") for field in fields if field[:1] in (b"T", b"D")]


def _text(raw):
    return raw.decode("utf-8", "backslashreplace")


def _virtual_domains(path):
    """Domain, ``.domain`` or address, in lower case -> prefix, of a file of lines ``domain:prefix``."""
    found = {}
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as handle:
        for line in handle:
            name, colon, prefix = line.strip().partition(":")
            if colon and prefix and not name.startswith("#"):
                found[name.lower()] = prefix
    return found


def _parents(domain):
    """``.b.c`` and ``.c`` of a.b.c, as virtualdomains has wildcards."""
    labels = domain.split(".")
    return ["." + ".".join(labels[number:]) for number in range(1, len(labels))]
