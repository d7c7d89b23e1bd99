"""Queue files that real Postfix has written, with what its own programs said of them (tests/data/postfix-queue)."""

import json
import os
import re

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "postfix-queue")
VERSIONS = sorted(name for name in os.listdir(DATA) if re.match(r"\d", name))


class Recorded:
    """One queue file.

    :ivar str version: of the Postfix that wrote it
    :ivar str kind: what is in it, see record.py
    :ivar str state: the directory that it was in
    """

    def __init__(self, version, kind, name, state, path):
        self.version, self.kind, self.name, self.state, self.path = version, kind, name, state, path

    def __repr__(self):
        return "{0}-{1}".format(self.version, self.kind)

    def bytes(self):
        with open(self.path, "rb") as handle:
            return handle.read()

    def envelope(self):
        """What ``postcat -e`` said: [(name, value)], bytes."""
        with open(os.path.join(DATA, self.version, "postcat", self.name + ".envelope"), "rb") as handle:
            lines = handle.read().split(b"\n")
        return [tuple(line.split(b": ", 1)) for line in lines if b": " in line]

    def header(self):
        """What ``postcat -h`` said, bytes."""
        with open(os.path.join(DATA, self.version, "postcat", self.name + ".header"), "rb") as handle:
            return handle.read()


def queue_of(version):
    return os.path.join(DATA, version, "queue")


def listing_of(version):
    """What ``postqueue -j`` said: {id: dict}."""
    with open(os.path.join(DATA, version, "postqueue.jsonl"), encoding="utf-8") as handle:
        return {message["queue_id"]: message for message in map(json.loads, handle)}


def kinds_of(version):
    """{kind: id}"""
    with open(os.path.join(DATA, version, "kinds.json"), encoding="utf-8") as handle:
        return json.load(handle)


def mail_owner_of(version):
    with open(os.path.join(DATA, version, "mail_owner"), encoding="ascii") as handle:
        return int(handle.read())


def _all():
    for version in VERSIONS:
        kinds = {name: kind for kind, name in kinds_of(version).items()}
        for directory, _, names in sorted(os.walk(queue_of(version))):
            state = os.path.relpath(directory, queue_of(version)).split(os.sep)[0]
            for name in sorted(names):
                yield Recorded(version, kinds.get(name, name), name, state, os.path.join(directory, name))


RECORDED = list(_all())
