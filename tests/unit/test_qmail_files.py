"""The reader of qmail queues, on a queue that a real notqmail wrote and on made ones."""

import contextlib
import json
import os
import pathlib
import re
import tarfile
import time
from unittest import mock

import pytest
from harden_mail.queue import scanner as queue_scanner
from harden_mail.queue.message import Recipient, as_result
from harden_mail.queue.qmail import layout as qmail_layout
from harden_mail.queue.qmail import scan as qmail_scan
from harden_mail.queue.qmail.backend import QmailQueue
from harden_mail.queue.qmail.layout import PARTS, Layout
from harden_mail.queue.qmail.message import read
from harden_mail.queue.qmail.scan import scan
from hosts import qmail_spool
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_files import gathered_as_yielded

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
    seen = set()
    for block in re.findall(
        r"^\S.*\n(?:\s.*\n)*", (DATA / "qmail-qread.txt").read_text(encoding="ascii"), re.MULTILINE
    ):
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


class Spool(qmail_spool.Spool):
    """A made queue, and its reader."""

    def __init__(self, directory, split=3, split_todo=False):
        super().__init__(directory / "queue", split, split_todo)
        self.make()
        self.layout = Layout.detect(self.directory)
        self.unreadable = []

    def messages(self, wanted=None):
        self.unreadable = []
        found = list(scan(self.layout, self.unreadable, wanted))
        by_id = {message.id: message for message in found}
        assert len(found) == len(by_id)
        return by_id

    def write(self, part, number, content):
        with open(self.path(part, number), "wb") as handle:
            handle.write(content)

    def message(self, mess=b"Subject: hello\n\nbody\n", **parts):
        """The one message of such files."""
        number = self.put(mess, **parts)
        return self.messages()[str(number)]


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path)


@pytest.fixture(params=["one process", "several"])
def processes(request, monkeypatch):
    if request.param == "several":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
        monkeypatch.setattr(queue_scanner, "_MANY", 0)


@pytest.fixture(params=["new", "settled"])
def age(request, monkeypatch):
    """Files are all new here; a queue's are mostly older than the look at it."""
    if request.param == "settled":
        monkeypatch.setattr(qmail_scan, "_SLACK", -600)


def as_expected(message, kind):
    values = {name: getattr(message, name) for name in qmail_spool.Expected._fields if name != "kind"}
    values.update(recipients=[list(one) for one in message.recipients], states=list(message.states))
    return qmail_spool.Expected(kind=kind, **values)


@pytest.mark.usefixtures("processes", "age")
@pytest.mark.parametrize(("split", "split_todo"), [(1, False), (23, False), (23, True), (151, False)])
def test_every_kind_is_read_as_it_was_made_and_all_else_is_named(tmp_path, split, split_todo):
    spool = Spool(tmp_path, split, split_todo)
    made = {expected.id: expected for expected in spool.fill(2 * len(qmail_spool.KINDS))}
    foreign = spool.debris()
    assert (spool.layout.split["mess"], spool.layout.split["todo"]) == (split, split if split_todo else 0)
    found = spool.messages()
    assert set(found) == set(made)
    for number, expected in made.items():
        assert as_expected(found[number], expected.kind) == expected
    named = [path for path, _ in spool.unreadable]
    assert sorted(named) == sorted(foreign)
    assert all(why for _, why in spool.unreadable)


@pytest.mark.usefixtures("processes")
def test_only_what_is_wanted_is_yielded_and_all_is_counted(spool):
    list(spool.fill(60, ["plain", "php", "todo"]))
    found, scanner = [], scan(spool.layout, [], lambda message: message.uid == 33)
    while True:
        try:
            found.append(next(scanner))
        except StopIteration as end:
            assert end.value == 60
            break
    assert [message.uid for message in found] == [33] * 20


@pytest.mark.usefixtures("processes", "age")
def test_what_was_yielded_does_not_need_its_files(spool):
    made = {expected.id: expected for expected in spool.fill(len(qmail_spool.KINDS))}
    messages = []
    for message in scan(spool.layout, []):
        for part in PARTS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(spool.path(part, message.number))
        messages.append(message)
    for message in messages:
        assert as_expected(message, made[message.id].kind) == made[message.id]


def test_what_is_no_queue_has_no_layout(tmp_path):
    assert Layout.detect(str(tmp_path)) is None
    assert Layout.detect(str(tmp_path / "missing")) is None


def test_a_queue_that_lacks_a_directory_is_none(spool):
    os.rmdir(os.path.join(spool.directory, "info", "2"))
    assert Layout.detect(spool.directory) is None


def test_directories_that_are_not_the_queues_do_not_change_its_split(spool):
    for name in ("mess/100", "info/x", "todo/0"):
        os.mkdir(os.path.join(spool.directory, name))
    assert Layout.detect(spool.directory).split == spool.layout.split


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        ("alice-info@virt.example", "info@virt.example"),
        ("ALICE-Info@Virt.Example", "Info@Virt.Example"),
        ("w-a@sub.wild.example", "a@sub.wild.example"),
        ("w-a@wild.example", "w-a@wild.example"),
        ("rest-w-a@wild.example", "w-a@wild.example"),
        ("bob-x-x@y.example", "x@y.example"),
        ("rest-a-b@c.example", "a-b@c.example"),
        ("info@virt.example", "info@virt.example"),
        ("alice-info@remote.example", "alice-info@remote.example"),
        ("-info@remote.example", "-info@remote.example"),
        ("root@here", "root@here"),
        ("nobody", "nobody"),
    ],
)
def test_local_recipients_are_as_the_sender_wrote_them(spool, stored, written):
    lines = "virt.example:alice\n.wild.example:w\nx@y.example:bob-x\n\n#remote.example:alice\nremote.example:\n:rest \n"
    with open(os.path.join(os.path.dirname(spool.directory), "control", "virtualdomains"), "w") as handle:
        handle.write(lines)
    message = spool.message(info=b"Fa@b\0", local=b"T" + stored.encode() + b"\0", remote=b"Talice-x@virt.example\0")
    assert [one.address for one in message.recipients] == [written, "alice-x@virt.example"]


def test_many_virtual_domains_take_no_time_for_each_recipient(spool):
    with open(os.path.join(os.path.dirname(spool.directory), "control", "virtualdomains"), "w") as handle:
        handle.writelines("d{0}.example:u{0}\nx@e{0}.example:u{0}\n".format(number) for number in range(20000))
    local = b"".join(b"Tu%d-x@d%d.example\0" % (number, number) for number in range(20000))
    began = time.process_time()
    message = spool.message(info=b"Fa@b\0", local=local)
    assert message.recipients[-1].address == "x@d19999.example"
    # Looking at each domain for each recipient takes minutes.
    assert time.process_time() - began < 10


def test_a_message_that_leaves_meanwhile_is_missed(spool):
    number = spool.put(b"", info=b"Fa@b\0")
    os.unlink(spool.path("info", number))
    assert read(spool.layout, number) is None
    assert read(spool.layout, 2) is None


def test_a_message_that_is_taken_in_meanwhile_is_met_once(spool):
    numbers = [int(spool.add("todo").id) for _ in range(20)]
    found = []
    for message in scan(spool.layout, spool.unreadable):
        found.append(message.number)
        for number in numbers if len(found) == 1 else ():
            spool.write("info", number, b"Fa@b\0")
            os.unlink(spool.path("todo", number))
    assert sorted(found) == sorted(numbers)


def test_a_message_keeps_its_identity_while_recipients_get_done(spool):
    number = spool.put(b"", info=b"Fa@b\0", remote=b"Ta@b\0")
    before = read(spool.layout, number).identity
    spool.write("remote", number, b"Da@b\0")
    assert read(spool.layout, number).identity == before
    json.dumps(before)


@pytest.mark.usefixtures("age")
@pytest.mark.parametrize("make", [lambda path: os.symlink("/etc/passwd", path), os.mkfifo, os.mkdir])
def test_a_channel_that_cannot_be_read_is_named(spool, make):
    number = int(spool.add("plain").id)
    os.unlink(spool.path("remote", number))
    make(spool.path("remote", number))
    assert spool.messages()[str(number)].recipients == []
    assert [path for path, _ in spool.unreadable] == [spool.path("remote", number)]


def test_what_a_directory_had_when_it_was_looked_at_holds_only_for_settled_messages(spool, monkeypatch):
    """qmail-send may just be writing a new message's channels."""
    name = spool.add("partly").id
    monkeypatch.setattr(qmail_layout, "_names", lambda directory: set())
    assert len(spool.messages()[name].recipients) == 4
    monkeypatch.setattr(qmail_scan, "_SLACK", -600)
    assert spool.messages()[name].recipients == []


@pytest.mark.parametrize("part", ["mess", "info"])
def test_a_message_is_settled_when_both_its_files_are(spool, monkeypatch, part):
    """A number may be used again while the file of its last message is still there."""
    number = int(spool.add("partly").id)
    other = spool.path({"mess": "info", "info": "mess"}[part], number)
    while os.stat(spool.path(part, number)).st_ctime <= os.stat(other).st_ctime:
        os.chmod(spool.path(part, number), 0o644)
    monkeypatch.setattr(qmail_layout, "_names", lambda directory: set())
    monkeypatch.setattr(qmail_scan, "_SLACK", 0)
    monkeypatch.setattr(time, "time", lambda: os.stat(spool.path(part, number)).st_ctime)
    assert len(spool.messages()[str(number)].recipients) == 4
    monkeypatch.setattr(qmail_scan, "_SLACK", -600)
    assert spool.messages()[str(number)].recipients == []


@pytest.mark.usefixtures("age")
def test_directories_of_many_files_are_not_remembered(spool, monkeypatch):
    made = {expected.id: expected for expected in spool.fill(30, ["plain", "local", "partly"])}
    monkeypatch.setattr(qmail_layout, "_FEW", 2)
    assert {name: as_expected(one, made[name].kind) for name, one in spool.messages().items()} == made


@pytest.mark.usefixtures("processes", "age")
def test_what_is_gathered_is_what_is_yielded(spool):
    list(spool.fill(2 * len(qmail_spool.KINDS)))
    foreign = spool.debris()
    queue = QmailQueue(None, spool.layout, None)
    for wanted in (None, lambda message: message.size % 2, lambda message: message.subject == qmail_spool.INVOICE):
        found = gathered_as_yielded(queue, wanted)
        assert sorted(path for path, _ in queue.unreadable) == sorted(foreign)
    assert found["matched"] > 4


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=200))
def test_no_bytes_raise_anything(tmp_path_factory, todo, info, remote, mess):
    spool = Spool(tmp_path_factory.mktemp("spool"))
    spool.put(mess, todo=todo, info=info, remote=remote)
    complete = spool.put(mess, info=b"F" + info + b"\0", remote=remote)
    messages = spool.messages()
    assert str(complete) in messages
    with mock.patch.object(qmail_scan, "_SLACK", -600):
        assert list(map(as_result, spool.messages().values())) == list(map(as_result, messages.values()))
    for message in messages.values():
        assert message.states
        assert isinstance(message.sender, str)
        assert all(isinstance(one.address, str) for one in message.recipients)
        assert message.subject is None or isinstance(message.subject, str)
        assert message.uid is None or message.uid >= 0
