"""The files of one message in a qmail queue.

An input is the contents of todo, info, local, remote and mess, in this order with a separator between them; an empty
one is a file that is not there.
"""

import functools
import os
import tarfile
import tempfile
from unittest import mock

from harden_mail.queue.message import as_result
from harden_mail.queue.qmail import scan as qmail_scan
from harden_mail.queue.qmail.layout import PARTS, Layout
from harden_mail.queue.qmail.scan import scan

from .target import DATA, MEMORY, Target, harmless_message

SEPARATOR = b"\x1e\x1e"
IN_INPUT = ("todo", "info", "local", "remote", "mess")


class Queue:
    """A queue with room for one message."""

    def __init__(self):
        self.removed_at_exit = tempfile.TemporaryDirectory(dir=MEMORY)
        directory = self.removed_at_exit.name
        for part in PARTS:
            os.makedirs(os.path.join(directory, part, "0" if part in ("mess", "info", "local", "remote") else ""))
        os.mkdir(os.path.join(directory, "lock"))
        with open(os.path.join(directory, "lock", "sendmutex"), "wb"):
            self.layout = Layout.detect(directory)

    def fill(self, data):
        contents = data.split(SEPARATOR, len(IN_INPUT) - 1)
        contents += [b""] * (len(IN_INPUT) - len(contents))
        for part, content in zip(IN_INPUT, contents):
            path = self.layout.path(part, 1)
            if content:
                with open(path, "wb") as handle:
                    handle.write(content)
            elif os.path.exists(path):
                os.unlink(path)


@functools.lru_cache(maxsize=1)
def queue_of_one():
    return Queue()


def check(data):
    queue = queue_of_one()
    queue.fill(data)
    unreadable = []
    found = list(scan(queue.layout, unreadable))
    for message in found:
        harmless_message(message)
    # Of messages that are older than the look at the queue, less is asked, and the same must come of it.
    with mock.patch.object(qmail_scan, "_SLACK", -600):
        assert [as_result(message) for message in scan(queue.layout, [])] == [as_result(message) for message in found]
    for path, why in unreadable:
        # What is no queue file may be called so, but no bytes of an address make a message unreadable.
        assert path.startswith(queue.layout.directory) and why and "codec" not in why, why


def seeds():
    files = {}
    with tarfile.open(os.path.join(DATA, "qmail-queue", "queue.tar.xz")) as archive:
        for member in archive:
            if member.isfile() and member.size < 5000 and os.path.basename(member.name).isdigit():
                _, part, *_, number = member.name.split("/")
                files.setdefault(number, {})[part] = archive.extractfile(member).read()
    for number in sorted(files):
        yield SEPARATOR.join(files[number].get(part, b"") for part in IN_INPUT)


WORDS = [SEPARATOR, b"\0T", b"\0D", b"u0\0", b"p1\0", b"F\0", b"Fa@b\0", b"Ta@b\0", b"Da@b\0"]

TARGET = Target(check, seeds, WORDS)
