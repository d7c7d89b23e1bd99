"""A Postfix queue and a quarantine on disk, for the tests of moving messages."""

import errno
import fcntl
import os
import re

from fake_system import FakeSystem
from harden_mail.queue import quarantine
from harden_mail.queue.backend import Handle
from harden_mail.queue.postfix import spool as postfix_spool
from harden_mail.queue.postfix.backend import PostfixQueue
from harden_mail.queue.postfix.spool import name_of
from queue_files import files_of

QUARANTINE = "/quarantine"
CONFIG_DIR = "/etc/postfix"
OWNER = 1234 if os.geteuid() == 0 else os.geteuid()
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce", "trace")
TIME = 1500000000123456789


def record(kind, text=b""):
    return kind + bytes([len(text)]) + text


def queue_file(body):
    """What cleanup(8) writes for a message with one recipient to do and one that has been delivered."""
    envelope = [
        record(b"T", b"1500000000 123456"),
        record(b"S", b"sender@example.com"),
        record(b"R", b"todo@example.org"),
        record(b"D", b"done@example.org"),
        record(b"M"),
    ]
    lines = record(b"N", b"Subject: test") + record(b"N") + record(b"N", body)
    size_length = 2 + 6 * 15 + 5
    offset = size_length + sum(map(len, envelope))
    numbers = (len(lines), offset, 2, 0, len(lines), 0)
    size = record(b"C", b" ".join(b"%15d" % number for number in numbers))
    return size + b"".join(envelope) + lines + record(b"X") + record(b"E")


class Spool:
    """A Postfix queue and a quarantine under a directory."""

    def __init__(self, directory, depth=1, hashed="deferred, defer", where="/spool", system=None):
        self.directory, self.depth, self.hashed = str(directory) + where, depth, hashed
        self.settings = {
            "queue_directory": where,
            "hash_queue_names": hashed,
            "hash_queue_depth": str(depth),
        }
        self.system = system or FakeSystem(directory, {"postconf": self.postconf})
        self.added = 0
        for queue in QUEUES:
            os.makedirs(os.path.join(self.directory, queue))
            give_away(os.path.join(self.directory, queue))

    def postconf(self, argv, _stdin):
        return "".join("{0} = {1}\n".format(name, self.settings[name]) for name in argv[3:] if name in self.settings)

    def path(self, queue, name):
        hashed = list(name[: self.depth]) if queue in self.hashed.replace(",", "").split() else []
        return os.path.join(self.directory, queue, *hashed + [name])

    def add(self, queue, logs=(), long_id=False, mode=0o700):
        """A new message; returns its id."""
        self.added += 1
        body = "message {0}".format(self.added).encode()
        new = os.path.join(self.directory, "new")
        self.write(new, queue_file(body), mode)
        inode = os.stat(new).st_ino
        name = "{0:05X}{1:X}".format(0xABC00 + self.added, inode)
        if long_id:
            name = "3yzt4s{0}z{1:X}".format("00F{0}".format(self.added), inode).replace("A", "b").replace("E", "c")
        path = self.path(queue, name) if not long_id else os.path.join(self.directory, queue, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(new, path)
        for log in logs:
            os.makedirs(os.path.dirname(self.path(log, name)), exist_ok=True)
            self.write(self.path(log, name), "{0} of {1}".format(log, self.added).encode(), 0o600)
        return name

    @staticmethod
    def write(path, content, mode):
        with open(path, "wb") as handle:
            handle.write(content)
        os.chmod(path, mode)
        give_away(path)
        os.utime(path, ns=(TIME, TIME + len(content)))

    def open(self, **params):
        return PostfixQueue.open(self.system, None, None, dict({"queue_dir": None, "config_dir": None}, **params))

    def select(self, action="quarantine", queue=None):
        """A sealed run with all messages in its manifest."""
        queue = queue or self.open()
        header = {"mta": "postfix", "action": action, "selection": "all"}
        run = quarantine.Run.begin(self.system, QUARANTINE, header)
        for message in queue.messages():
            run.enter(message, queue.parts(message))
        run.seal()
        return run

    def state(self):
        """{path in the queue: (content, mode, owner, mtime)}"""
        return files_of(self.directory)

    def bodies(self, *queues):
        """Sorted numbers of the messages that Postfix would see."""
        return bodies_in([path for path in files_of(self.directory) if path.split(os.sep)[0] in queues], self.directory)

    def deliver_all(self):
        """What the queue manager does with all that it sees; returns the numbers."""
        done = []
        for path in self.state():
            if path.split(os.sep)[0] in ("incoming", "active", "deferred"):
                done += bodies_in([path], self.directory)
                os.unlink(os.path.join(self.directory, path))
        return done


def give_away(path):
    if os.geteuid() == 0:
        os.chown(path, OWNER, 4321)


def bodies_in(paths, top):
    numbers = []
    for path in paths:
        with open(os.path.join(top, path), "rb") as handle:
            numbers += [int(number) for number in re.findall(rb"message (\d+)", handle.read())]
    return sorted(numbers)


def in_run(run):
    """Numbers of the messages in a run's directory, complete ones."""
    paths = [path for path in files_of(run.directory) if path.count(os.sep) == 2 and not path.endswith(".new")]
    return bodies_in([path for path in paths if path.split(os.sep)[1] in postfix_spool.MESSAGE_QUEUES], run.directory)


def staged(spool):
    top = os.path.join(spool.directory, "harden-mail")
    paths = [path for path in files_of(top) if not path.endswith(".new")]
    return bodies_in([path for path in paths if path.split(os.sep)[1] in postfix_spool.MESSAGE_QUEUES], top)


def entries(run):
    return list(run.entries())


def fill(spool):
    spool.add("deferred", logs=["defer"])
    spool.add("deferred", logs=["defer", "bounce", "trace"])
    spool.add("deferred", long_id=False)
    spool.add("hold")
    spool.add("hold", logs=["defer"])
    spool.add("incoming")


def fill_little(spool):
    spool.add("deferred", logs=["defer", "bounce"])
    spool.add("hold")
    spool.add("active", logs=["defer"])


def reasons(outcome):
    return [why for _, why in outcome.skipped]


def hold_lock(stack, path):
    descriptor = os.open(path, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def handles(queue, state=None):
    return [
        Handle(message.id, message.instance, message.states, message.identity[0])
        for message in queue.messages()
        if state is None or state in message.states
    ]


def other(name):
    return name_of(name, int(name[5:], 16), other=True)


def told(spool):
    """What the queue managers were asked to look through."""
    return [call for call, _ in spool.system.calls if call.startswith("postkick")]


def full(*_arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def crosses(word, monkeypatch):
    """Whether the quarantine is on another file system; renames to there fail then as they do on a host."""
    crosses = word == "two file systems"
    if crosses:
        rename = os.rename

        def refusing(source, target, src_dir_fd=None, dst_dir_fd=None):
            one = directory_of(source, src_dir_fd)
            other = directory_of(target, dst_dir_fd)
            if (QUARANTINE + "/" in one + "/") != (QUARANTINE + "/" in other + "/"):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        monkeypatch.setattr(os, "rename", refusing)
    return crosses


def directory_of(path, descriptor):
    return os.path.dirname(path) if descriptor is None else os.readlink("/proc/self/fd/{0}".format(descriptor))
