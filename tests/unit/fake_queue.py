"""A queue of small files for the engine's tests: ``STATE/ID`` holds the message as JSON."""

import json
import os

from harden_mail.queue.backend import Outcome, Queue
from harden_mail.queue.message import Message, Recipient

LOCKED = "it is being delivered"


class FakeQueue(Queue):
    """:ivar set locked: ids that can't be moved"""

    name = "fake"
    STATES = ("deferred", "hold")
    can_hold = True

    def __init__(self, directory):
        self.directory, self.locked, self.unreadable = str(directory), set(), []
        for state in self.STATES:
            os.makedirs(self.path(state), exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def put(self, name, state="deferred", **values):
        with open(self.path(state, name), "w") as handle:
            json.dump(values, handle)

    def ids(self):
        return {name: state for state in self.STATES for name in os.listdir(self.path(state))}

    def messages(self, wanted=None):
        self.met = 0
        for state in self.STATES:
            for name in sorted(os.listdir(self.path(state))):
                message = _read(self.path(state, name), name, state)
                self.met += 1
                if wanted is None or wanted(message):
                    yield message

    def parts(self, message):
        path = self.path(message.states[0], message.id)
        return [(path, os.lstat(path))] if os.path.exists(path) else []

    def room_needed(self, run, size):
        return 0

    def take(self, run, entries, begun=False):
        moved, skipped = 0, []
        for entry in [] if begun else entries:
            if entry["id"] in self.locked:
                skipped.append((entry["id"], LOCKED))
                continue
            os.makedirs(run.path(entry["states"][0]), exist_ok=True)
            os.rename(self.path(entry["states"][0], entry["id"]), run.path(entry["states"][0], entry["id"]))
            moved += 1
        return Outcome(moved, skipped)

    def quarantined(self, run):
        for state in self.STATES:
            if os.path.isdir(run.path(state)):
                for name in sorted(os.listdir(run.path(state))):
                    yield _read(run.path(state, name), name, state)

    def count_quarantined(self, run):
        return sum(1 for _ in self.quarantined(run))

    def give_back(self, run, entries):
        moved = 0
        for entry in entries:
            for state in self.STATES:
                if os.path.exists(run.path(state, entry["id"])):
                    os.rename(run.path(state, entry["id"]), self.path(state, entry["id"]))
                    moved += 1
        return Outcome(moved, [])

    def hold(self, messages):
        return self._move(messages, "deferred", "hold")

    def release(self, messages):
        return self._move(messages, "hold", "deferred")

    def _move(self, messages, before, after):
        for message in messages:
            os.rename(self.path(before, message.id), self.path(after, message.id))
        return Outcome(len(messages), [])


def _read(path, name, state):
    with open(path) as handle:
        values = json.load(handle)
    usual = {
        "id": name,
        "instance": None,
        "states": (state,),
        "sender": "bob@example.com",
        "recipients": [Recipient("a@example.org", False)],
        "subject": "hello",
        "size": os.path.getsize(path),
        "arrival": 1700000000,
        "sasl_user": None,
        "client": None,
        "uid": None,
        "script": None,
        "identity": [os.lstat(path).st_ino],
    }
    return Message(**dict(usual, **values))
