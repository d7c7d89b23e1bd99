"""The reader of qmail queues, on a queue that a real notqmail wrote and on made ones."""

import base64
import json
import os
import pathlib
import re
import tarfile

import pytest
from harden_mail.queue.message import Recipient
from harden_mail.queue.qmail_files import FIRST_BLOCK, Layout, read, scan
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = pathlib.Path(__file__).parents[1] / "data" / "qmail-queue"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
MESSAGES = {str(message["id"]): message for message in EXPECTED["messages"]}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(layout, messages by id, unreadable) of the recorded queue."""
    directory = tmp_path_factory.mktemp("recorded")
    with tarfile.open(str(DATA / "queue.tar.xz")) as archive:
        # todo and intd are links to one file.
        members = [member for member in archive if member.isfile() or member.isdir() or member.islnk()]
        for member in members:
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        if hasattr(tarfile, "fully_trusted_filter"):
            archive.extraction_filter = tarfile.fully_trusted_filter
        archive.extractall(str(directory), members)
    layout = Layout.detect(str(directory / "queue"))
    unreadable = []
    messages = list(scan(layout, unreadable))
    found = {message.id: message for message in messages}
    assert len(found) == len(messages)
    return layout, found, unreadable


def test_every_recorded_message_is_found_once_and_no_orphan(recorded):
    layout, found, unreadable = recorded
    assert layout.split["mess"] == EXPECTED["split"]
    assert set(found) == set(MESSAGES)
    assert unreadable == []


@pytest.mark.parametrize("number", sorted(MESSAGES))
def test_a_recorded_message_is_read_as_it_was_made(recorded, number):
    message, expected = recorded[1][number], MESSAGES[number]
    assert message.sender == expected["sender"]
    assert message.recipients == [Recipient(one["addr"], one["done"]) for one in expected["recipients"]]
    assert (message.size, message.arrival) == (expected["size"], expected["arrival"])
    channels = {one["channel"] for one in expected["recipients"] if not one["done"]}
    assert message.states == tuple(name for name in ("todo", "local", "remote") if name in channels)
    if expected["subject_known"]:
        assert message.subject == expected["subject"]
    # "invoked from network", "by alias" and "for bounce" name no user who wrote the message.
    invoked_by = re.search(r"invoked by uid (\d+)", expected["received"] or "")
    if invoked_by:
        assert message.uid == int(invoked_by.group(1)) == expected["uid"]
    if expected["kind"] == "php":
        assert message.script == expected["note"]


def test_qmail_qread_says_the_same(recorded):
    """It omits todo, and writes letters that are not ASCII as an underscore."""
    blocks = re.split(r"^(?=\S)", (DATA / "qmail-qread.txt").read_text(encoding="ascii"), flags=re.MULTILINE)
    seen = set()
    for block in filter(None, blocks):
        head = re.match(r".* GMT  #(\d+)  (\d+)  <(.*)> ", block)
        message = recorded[1][head.group(1)]
        seen.add(message.id)
        assert (str(message.size), message.sender) == (head.group(2), head.group(3))
        rows = re.findall(r"^ ?\s*(done)?\s*(local|remote)\s+(\S.*)$", block, re.MULTILINE)
        assert [(row[2], bool(row[0])) for row in rows] == [(one.address, one.done) for one in message.recipients]
    assert seen == {name for name, message in MESSAGES.items() if message["state"] == "info"}


def test_qmail_qstat_counts_the_same(recorded):
    layout = recorded[0]
    numbers = [int(number) for number in re.findall(r": (\d+)", (DATA / "qmail-qstat.txt").read_text(encoding="ascii"))]
    assert [layout.count("mess"), layout.count("todo")] == numbers


def test_raw_subjects_of_the_recorded_queue_are_those_that_were_sent(recorded):
    sent = base64.b64decode(next(m["subject_raw_b64"] for m in EXPECTED["messages"] if m["kind"] == "iso2022jp"))
    message = next(m for m in recorded[1].values() if MESSAGES[m.id]["kind"] == "iso2022jp")
    assert sent[:20] in message._header()


class Spool:
    """A queue that is made by hand."""

    def __init__(self, directory, split=3, split_todo=0):
        self.directory = str(directory / "queue")
        for part in ("mess", "info", "local", "remote", "bounce", "todo", "intd", "lock"):
            number = {"bounce": 0, "lock": 0, "todo": split_todo, "intd": split_todo}.get(part, split)
            os.makedirs(os.path.join(self.directory, part))
            for name in range(number):
                os.mkdir(os.path.join(self.directory, part, str(name)))
        with open(os.path.join(self.directory, "lock", "sendmutex"), "w"):
            pass
        self.layout = Layout.detect(self.directory)
        self.unreadable = []

    def add(self, number, mess=b"Subject: hello\n\nbody\n", **parts):
        for part, content in dict(parts, mess=mess).items():
            with open(self.layout.path(part, number), "wb") as handle:
                handle.write(content)

    def messages(self):
        self.unreadable = []
        return {message.id: message for message in scan(self.layout, self.unreadable)}


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path)


@pytest.mark.parametrize(("split", "split_todo"), [(1, 0), (23, 0), (47, 47), (151, 0)])
def test_the_split_is_found_by_counting(tmp_path, split, split_todo):
    spool = Spool(tmp_path, split, split_todo)
    spool.add(100, info=b"Fa@b\0", remote=b"Tc@d\0")
    spool.add(101, todo=b"u0\0p1\0Fa@b\0Tc@d\0")
    assert {name: message.states for name, message in spool.messages().items()} == {
        "100": ("remote",),
        "101": ("todo",),
    }
    assert (spool.layout.split["mess"], spool.layout.split["todo"]) == (split, split_todo)


def test_what_is_no_queue_has_no_layout(tmp_path):
    assert Layout.detect(str(tmp_path)) is None
    assert Layout.detect(str(tmp_path / "missing")) is None


def test_states_and_recipients(spool):
    spool.add(1, info=b"F\0", local=b"Da@b\0Tc@d\0", remote=b"Te@f\0")
    spool.add(2, info=b"F#@[]\0", remote=b"De@f\0")
    spool.add(3, info=b"Fa@b\0")
    found = spool.messages()
    assert found["1"].states == ("local", "remote")
    assert found["1"].recipients == [Recipient("a@b", True), Recipient("c@d", False), Recipient("e@f", False)]
    assert (found["1"].sender, found["2"].sender) == ("", "#@[]")
    assert found["2"].states == found["3"].states == ("done",)


def test_todo_counts_before_a_half_made_info(spool):
    spool.add(1, todo=b"u33\0p1\0Fa@b\0Tc@d\0", info=b"Fa@", local=b"")
    found = spool.messages()
    assert (found["1"].states, found["1"].sender, found["1"].uid) == (("todo",), "a@b", 33)
    assert spool.unreadable == []


def test_half_made_and_foreign_files_are_no_messages(spool):
    spool.add(1)
    spool.add(2, intd=b"u0\0p1\0Fa@b\0")
    spool.add(3, info=b"")
    spool.add(4, info=b"Fno end")
    spool.add(5, info=b"Fa@b\0")
    os.unlink(spool.layout.path("mess", 5))
    for place in ("info/0/core", "todo/.hidden", "info/1/１２"):
        with open(os.path.join(spool.directory, place), "w"):
            pass
    os.mkdir(spool.layout.path("info", 7))
    spool.add(7)
    os.symlink("/etc/passwd", spool.layout.path("info", 8))
    spool.add(8)
    assert spool.messages() == {}
    named = {os.path.basename(path) for path, _ in spool.unreadable}
    assert named == {"3", "4", "7", "8", "core", ".hidden", "１２"}
    assert all(why for _, why in spool.unreadable)


def test_local_recipients_are_as_the_sender_wrote_them(tmp_path):
    spool = Spool(tmp_path)
    os.mkdir(str(tmp_path / "control"))
    (tmp_path / "control" / "virtualdomains").write_text("virt.example:alice\n.wild.example:w\nx@y.example:bob-x\n")
    spool = Spool.__new__(Spool)
    spool.directory = str(tmp_path / "queue")
    spool.layout, spool.unreadable = Layout.detect(spool.directory), []
    spool.add(
        1,
        info=b"Fa@b\0",
        local=b"Talice-info@virt.example\0Tw-a@sub.wild.example\0Tbob-x-x@y.example\0Tinfo@virt.example\0Troot@here\0",
        remote=b"Talice-info@virt.example\0",
    )
    assert [one.address for one in spool.messages()["1"].recipients] == [
        "info@virt.example",
        "a@sub.wild.example",
        "x@y.example",
        "info@virt.example",
        "root@here",
        "alice-info@virt.example",
    ]


def test_a_long_header_is_read_to_its_end_and_a_long_envelope_too(spool):
    many = b"".join(b"Tuser%d@example.org\0" % number for number in range(50000))
    spool.add(1, b"X: " + b"x" * 3 * FIRST_BLOCK + b"\nSubject: late\n\n", info=b"Fa@b\0", remote=many)
    message = spool.messages()["1"]
    assert message.subject == "late"
    assert len(message.recipients) == 50000


def test_a_message_that_leaves_meanwhile_is_missed(spool):
    spool.add(1, info=b"Fa@b\0")
    os.unlink(spool.layout.path("info", 1))
    assert read(spool.layout, 1) is None
    assert read(spool.layout, 2) is None


def test_a_message_keeps_its_identity_while_recipients_get_done(spool):
    spool.add(1, info=b"Fa@b\0", remote=b"Ta@b\0")
    before = read(spool.layout, 1).identity
    with open(spool.layout.path("remote", 1), "wb") as handle:
        handle.write(b"Da@b\0")
    assert read(spool.layout, 1).identity == before
    json.dumps(before)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=200))
def test_no_bytes_raise_anything(tmp_path_factory, todo, info, remote, mess):
    spool = Spool(tmp_path_factory.mktemp("spool"))
    spool.add(1, mess, todo=todo, info=info, remote=remote)
    spool.add(2, mess, info=b"F" + info + b"\0", remote=remote)
    for message in spool.messages().values():
        assert message.states
        assert isinstance(message.sender, str)
        assert all(isinstance(one.address, str) for one in message.recipients)
        assert message.subject is None or isinstance(message.subject, str)
        assert message.uid is None or message.uid >= 0
