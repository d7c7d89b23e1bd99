"""Messages moved out of a qmail queue and back: byte for byte, killed at every step, across file systems."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tarfile

import killing
import pytest
from harden_mail.errors import UserError
from harden_mail.host.mta import nothing
from harden_mail.queue import quarantine
from harden_mail.queue.backend import Unfinished
from harden_mail.queue.qmail import backend as qmail
from harden_mail.queue.qmail import place
from harden_mail.queue.qmail.backend import QmailQueue
from harden_mail.system import System
from queue_files import files_of

RECORDED = os.path.join(os.path.dirname(__file__), "..", "data", "qmail-queue", "queue.tar.xz")
QUARANTINE = "/quarantine"

# How a message is: its parts besides the message file.
KINDS = {
    "remote": {"info": b"Fa@example.com\0", "remote": b"Tx@example.org\0Dy@example.org\0"},
    "both": {"info": b"F\0", "local": b"Tlocal-x@example.com\0", "remote": b"Ty@example.org\0"},
    "bouncing": {"info": b"Fb@example.com\0", "remote": b"Dx@example.org\0Ty@example.org\0", "bounce": b"<x>:\nno\n"},
    "done": {"info": b"Fc@example.com\0"},
    "todo": {"todo": b"u0\0p7\0Fd@example.com\0Tx@example.org\0"},
    # qmail-send was killed while it took the message in; it begins anew from todo.
    "halfway": {"todo": b"u0\0p7\0Fe@example.com\0Tx@example.org\0", "info": b"Fe@exa", "local": b""},
}
# Being injected just now: never touched.
HALF_MADE = {"mess": {}, "intd": {"intd": b"u0\0p7\0F"}}


class Spool:
    """A qmail queue and a quarantine under a directory."""

    def __init__(self, directory, split=23, split_todo=False):
        self.system = System(str(directory))
        self.directory = str(directory / "queue")
        self.split = dict.fromkeys(("mess", "info", "local", "remote"), split)
        self.split.update(dict.fromkeys(("todo", "intd"), split if split_todo else 0))
        for part in place.ALL_PARTS + ("pid", "lock"):
            count = self.split.get(part, 0)
            os.makedirs(os.path.join(self.directory, part))
            for number in range(count):
                os.mkdir(os.path.join(self.directory, part, str(number)))
        with open(os.path.join(self.directory, "lock", "sendmutex"), "w"):
            pass

    def path(self, part, number):
        split = self.split.get(part, 0)
        return os.path.join(self.directory, part, *([str(number % split)] if split else []) + [str(number)])

    def add(self, kind):
        new = os.path.join(self.directory, "pid", "new")
        self._write(new, b"Subject: " + kind.encode() + b"\n\n" + os.urandom(30), 0o644)
        number = os.stat(new).st_ino
        os.rename(new, self.path("mess", number))
        for part, content in dict(KINDS, **HALF_MADE)[kind].items():
            self._write(self.path(part, number), content, 0o644 if part in ("todo", "intd") else 0o600)
            if part == "todo":
                os.link(self.path("todo", number), self.path("intd", number))
        return number

    @staticmethod
    def _write(path, content, mode):
        with open(path, "wb") as handle:
            handle.write(content)
        os.chmod(path, mode)
        if os.geteuid() == 0:
            os.chown(path, 1234, 4321)
        os.utime(path, ns=(1500000000123456789, 1500000000987654321 + len(content)))

    def open(self, **params):
        values = dict({"queue_dir": "/queue", "config_dir": None}, **params)
        return QmailQueue.open(self.system, None, None, values)

    def state(self):
        """{path in the queue: (content, mode, owner, mtime)}"""
        return files_of(self.directory)

    def select(self, *numbers, **header):
        """A sealed run with these messages (or all) in its manifest."""
        queue = self.open()
        run = quarantine.Run.begin(self.system, QUARANTINE, dict({"mta": "qmail", "action": "quarantine"}, **header))
        for message in queue.messages():
            if not numbers or int(message.id) in numbers:
                run.enter(message, queue.parts(message))
        run.seal()
        return run

    def visible(self):
        """Messages that qmail-send would see, {number: whether all is there that it needs}"""
        found = {}
        for key in ("info", "todo"):
            for _directory, _, names in os.walk(os.path.join(self.directory, key)):
                for name in names:
                    found[int(name)] = os.path.exists(self.path("mess", int(name)))
        return found

    def deliver_all(self):
        """What qmail-send and qmail-clean do with all that they see; returns the numbers."""
        done = sorted(self.visible())
        for number in done:
            for part in ("local", "remote", "bounce", "todo", "info", "intd", "mess"):
                if os.path.exists(self.path(part, number)):
                    os.unlink(self.path(part, number))
        return done


def entries_of(run):
    return list(run.entries())


def in_run(run):
    """Numbers of the messages in a run, wherever it keeps them, each whole."""
    return sorted(int(path.split(os.sep)[-1]) for path in files_of(run.directory) if is_key(path))


def is_key(path):
    return path.split(os.sep)[0] in place.KEY_PARTS and path.split(os.sep)[-1].isdigit()


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture(params=["renames", "copies"])
def spool(request, tmp_path, monkeypatch):
    """A queue with every kind of message; its quarantine on the same file system, or on another one."""
    if request.param == "copies":
        monkeypatch.setattr(qmail, "_can_link", lambda *_: False)
    made = Spool(tmp_path)
    made.renames = request.param == "renames"
    made.half_made = [made.add(kind) for kind in HALF_MADE]
    made.numbers = [made.add(kind) for kind in KINDS for _ in range(2)]
    return made


def as_qmail_reads_it(state):
    """Without what qmail-send makes anew from todo, and with the number that a message has got in place of its name."""
    todo = {path.split(os.sep)[-1] for path in state if path.startswith("todo")}
    kept = {}
    for path, what in state.items():
        part, number = path.split(os.sep)[0], path.split(os.sep)[-1]
        if not (part in ("info", "local", "remote") and number in todo):
            kept[path] = what
    return kept


def messages_of(state):
    """[{part: (content, mode, owners, mtime)}] of each message in a queue or a run, without their numbers."""
    found = {}
    for path, what in as_qmail_reads_it(state).items():
        if path.split(os.sep)[-1].isdigit():
            found.setdefault(path.split(os.sep)[-1], {})[path.split(os.sep)[0]] = what
    return sorted(found.values(), key=str)


# --- there and back -------------------------------------------------------------------------------------------


def test_there_and_back(spool):
    before = spool.state()
    run = spool.select()
    outcome = spool.open().take(run, run.entries())
    assert outcome == (12, [])
    left = spool.state()
    assert set(left) == {path for path in before if path.endswith(tuple(map(str, spool.half_made)))} | {
        os.path.join("lock", "sendmutex")
    }
    assert in_run(run) == sorted(spool.numbers)
    assert not os.path.exists(os.path.join(spool.directory, "harden-mail"))

    assert spool.open().give_back(run, run.entries()) == (12, [])
    assert messages_of(spool.state()) == messages_of(before)
    if spool.renames:
        assert spool.state() == as_qmail_reads_it(before)
    assert not run.has_messages()
    assert not os.path.exists(os.path.join(spool.directory, "harden-mail"))
    # The number is the message's inode again, wherever it is.
    for number in spool.visible():
        assert os.stat(spool.path("mess", number)).st_ino == number


def test_quarantined_messages_are_read_as_in_the_queue(spool):
    def shown(message):
        return [getattr(message, name) for name in ("id", "states", "sender", "recipients", "subject", "size")]

    before = sorted(shown(message) for message in spool.open().messages())
    assert len(before) == 12
    run = spool.select()
    spool.open().take(run, run.entries())
    assert sorted(shown(message) for message in spool.open().quarantined(run)) == before


def test_virtual_domains_are_as_the_sender_wrote_them_in_quarantine_too(spool, tmp_path):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "virtualdomains").write_text("example.com:local\n")
    run = spool.select()
    spool.open().take(run, run.entries())
    found = {one.address for message in spool.open().quarantined(run) for one in message.recipients}
    assert "x@example.com" in found
    assert "local-x@example.com" not in found


def test_only_those_that_were_selected(spool):
    wanted = spool.numbers[::3]
    run = spool.select(*wanted)
    assert spool.open().take(run, run.entries()).moved == len(wanted)
    assert sorted(spool.visible()) == sorted(set(spool.numbers) - set(wanted))
    assert spool.open().give_back(run, entries_of(run)[:1]).moved == 1
    assert len(in_run(run)) == len(wanted) - 1


def test_a_second_time_finds_nothing(spool):
    run = spool.select()
    spool.open().take(run, run.entries())
    assert list(spool.open().messages()) == []
    assert spool.open().take(run, run.entries(), begun=True) == (12, [])
    spool.open().give_back(run, run.entries())
    assert spool.open().give_back(run, run.entries()) == (0, [])


def test_split_of_any_number_and_split_todo(tmp_path, monkeypatch):
    spool = Spool(tmp_path, split=47, split_todo=True)
    for kind in KINDS:
        spool.add(kind)
    before = spool.state()
    run = spool.select()
    assert spool.open().take(run, run.entries()).moved == len(KINDS)
    assert spool.open().give_back(run, run.entries()).moved == len(KINDS)
    assert spool.state() == as_qmail_reads_it(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="owners can only be restored by root")
@pytest.mark.parametrize("copies", [False, True])
def test_recorded_queue(tmp_path, monkeypatch, copies):
    """A queue that a real qmail wrote, with the owners it gave."""
    with tarfile.open(RECORDED) as tar:
        tar.extractall(str(tmp_path), **({"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}))
    trigger = tmp_path / "queue" / "lock" / "trigger"
    trigger.unlink()
    if copies:
        monkeypatch.setattr(qmail, "_can_link", lambda *_: False)
    system = System(str(tmp_path))
    spool = Spool.__new__(Spool)
    spool.system, spool.directory = system, str(tmp_path / "queue")
    before = files_of(spool.directory)
    run = spool.select()
    count = len(entries_of(run))
    assert count > 60
    assert spool.open().take(run, run.entries()) == (count, [])
    # Two injections that were killed are all that is left.
    left = [path for path in files_of(spool.directory) if not path.startswith("lock")]
    assert {path.split(os.sep)[0] for path in left} <= {"mess", "intd", "pid"}
    assert spool.open().give_back(run, run.entries()) == (count, [])
    assert messages_of(files_of(spool.directory)) == messages_of(before)
    if not copies:
        assert files_of(spool.directory) == before


# --- what is not the same any more ----------------------------------------------------------------------------


def test_delivered_since_it_was_selected(spool):
    run = spool.select()
    spool.deliver_all()
    outcome = spool.open().take(run, run.entries())
    assert outcome.moved == 0
    assert outcome.skipped == [(entry["id"], "no longer in the queue") for entry in run.entries()]
    assert not run.has_messages()


def test_another_message_has_its_number(spool):
    run = spool.select()
    number = spool.numbers[0]
    os.utime(spool.path("mess", number), ns=(1, 2))
    outcome = spool.open().take(run, run.entries())
    assert outcome == (11, [(str(number), "another message has its number now")])
    assert spool.visible() == {number: True}


def test_taken_in_since_it_was_selected(spool):
    """todo when it was selected, and info when qmail-send was stopped."""
    number = spool.numbers[8]
    run = spool.select(number)
    os.unlink(spool.path("todo", number))
    os.unlink(spool.path("intd", number))
    spool._write(spool.path("info", number), b"Fd@example.com\0", 0o600)
    spool._write(spool.path("remote", number), b"Tx@example.org\0", 0o600)
    assert spool.open().take(run, run.entries()).moved == 1
    assert {path.split(os.sep)[0] for path in files_of(run.directory) if path.endswith(str(number))} == {
        "info",
        "remote",
        "mess",
    }


def test_parts_of_a_message_that_is_gone(spool):
    queue = spool.open()
    messages = list(queue.messages())
    spool.deliver_all()
    assert [queue.parts(message) for message in messages] == [[]] * 12


def test_what_is_in_the_way_is_left(tmp_path):
    spool = Spool(tmp_path)
    first, second = spool.add("remote"), spool.add("both")
    run = spool.select()
    spool.open().take(run, run.entries())
    spool._write(spool.path("local", first), b"Tforeign\0", 0o600)
    outcome = spool.open().give_back(run, run.entries())
    assert outcome.moved == 1
    path = spool.path("local", first)
    assert outcome.skipped == [(str(first), "the queue has a {0} that is not this message's".format(path))]
    assert in_run(run) == [first]
    assert spool.visible() == {second: True}


def test_an_old_number_that_is_taken(tmp_path):
    """In a queue that came out of an archive, numbers are not inodes."""
    spool = Spool(tmp_path)
    number = spool.add("remote")
    for part in ("mess", "info", "remote"):
        os.rename(spool.path(part, number), spool.path(part, 7))
    run = spool.select()
    spool.open().take(run, run.entries())
    spool._write(spool.path("mess", 7), b"of somebody else", 0o644)
    assert spool.open().give_back(run, run.entries()) == (1, [])
    assert spool.visible() == {number: True}


@pytest.mark.parametrize("work", ["take", "give back"])
def test_no_link_in_the_queue_leads_elsewhere(tmp_path, monkeypatch, work):
    """The queue's directory is qmailq's."""
    monkeypatch.setattr(qmail, "_can_link", lambda *_: False)
    spool = Spool(tmp_path)
    spool.add("remote")
    run = spool.select()
    if work == "give back":
        spool.open().take(run, run.entries())
    (tmp_path / "elsewhere").mkdir()
    os.symlink(str(tmp_path / "elsewhere"), os.path.join(spool.directory, "harden-mail"))
    with pytest.raises(UserError, match=r"^queue_dir has .*/queue/harden-mail, which is no directory of root's own"):
        spool.open().take(run, run.entries()) if work == "take" else spool.open().give_back(run, run.entries())
    assert os.listdir(str(tmp_path / "elsewhere")) == []
    assert len(spool.visible()) + len(in_run(run)) == 1


# --- kills ----------------------------------------------------------------------------------------------------


def small(tmp_path, kinds=tuple(KINDS)):
    """A queue with a message of each kind, in place of the one that was there before."""
    shutil.rmtree(str(tmp_path / "world"), ignore_errors=True)
    (tmp_path / "world").mkdir()
    spool = Spool(tmp_path / "world", split=3)
    spool.numbers = [spool.add(kind) for kind in kinds]
    return spool


# Kinds of messages that are together in a queue (with all in one there would be four times as much to do), and after
# which kills, even ones or odd ones, the MTA works until the next run: each step is met with and without.
HALVES = pytest.mark.parametrize(
    ("kinds", "working"), [(("remote", "both", "bouncing"), 0), (("done", "todo", "halfway"), 1)], ids=["old", "new"]
)


@pytest.fixture(params=["renames", "copies"])
def files(request, monkeypatch):
    if request.param == "copies":
        monkeypatch.setattr(qmail, "_can_link", lambda *_: False)
    return request.param


@HALVES
@pytest.mark.usefixtures("files")
def test_kill_at_every_step_of_a_take(tmp_path, kinds, working):
    def make(_fatal):
        spool = small(tmp_path, kinds)
        spool.before = messages_of(spool.state())
        spool.run = spool.select()
        return spool

    def take(spool):
        spool.open().take(spool.run, spool.run.entries())

    for number, (spool, where) in enumerate(killing.everywhere(make, take, 20)):
        assert all(spool.visible().values()), where
        delivering = number % 2 == working
        delivered = spool.deliver_all() if delivering else []
        outcome = spool.open().take(spool.run, spool.run.entries(), begun=True)
        taken = in_run(spool.run)
        assert outcome == (len(taken), [])
        left = spool.visible()
        assert all(left.values())
        assert sorted(delivered + taken + sorted(left)) == sorted(spool.numbers)
        # Nothing without meaning is left on either side.
        assert {path.split(os.sep)[-1] for path in spool.state() if not path.startswith("lock")} == set(map(str, left))
        assert not os.path.exists(os.path.join(spool.directory, "harden-mail"))
        if not delivering:
            assert spool.open().give_back(spool.run, spool.run.entries()).moved == len(taken)
            assert messages_of(spool.state()) == spool.before, where


@HALVES
@pytest.mark.usefixtures("files")
def test_kill_at_every_step_of_giving_back(tmp_path, kinds, working):
    def make(_fatal):
        spool = small(tmp_path, kinds)
        spool.before = messages_of(spool.state())
        spool.run = spool.select()
        spool.open().take(spool.run, spool.run.entries())
        return spool

    def give_back(spool):
        return spool.open().give_back(spool.run, spool.run.entries())

    for number, (spool, where) in enumerate(killing.everywhere(make, give_back, 20)):
        assert all(spool.visible().values()), where
        delivering = number % 2 == working
        delivered = len(spool.deliver_all()) if delivering else 0
        waiting = len(list(spool.open().quarantined(spool.run)))
        assert delivered + waiting + len(spool.visible()) == len(spool.numbers)
        assert give_back(spool) == (waiting, []), where
        assert not spool.run.has_messages()
        assert len(spool.visible()) == len(spool.numbers) - delivered
        if not delivering:
            assert messages_of(spool.state()) == spool.before, where


class Full(OSError):
    def __init__(self):
        super().__init__(errno.ENOSPC, "No space left on device")


def full_at(at, calls, work):
    """Have the disk be full at the Nth of some calls of ``os``, once; returns whether it came to that."""
    done = [0]

    def filling(real):
        def call(*arguments, **keywords):
            done[0] += 1
            if done[0] == at:
                raise Full
            return real(*arguments, **keywords)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, filling(getattr(os, name)))
        with contextlib.suppress(Full):
            work()
    return done[0] >= at


@pytest.mark.parametrize("action", ["quarantine", "delete"])
def test_full_disk_at_every_step_of_a_take(tmp_path, files, action):
    """Nothing is lost, nothing is half moved, and it is said in a sentence."""
    at = 0
    came = True
    while came:
        at += 1
        spool = small(tmp_path)
        run = spool.select(action=action)
        try:
            came = full_at(at, ("link", "rename"), lambda spool=spool, run=run: spool.open().take(run, run.entries()))
        except UserError as error:
            assert "is on a file system that is full now" in str(error)
            if not isinstance(error, Unfinished):
                assert sorted(spool.visible()) == sorted(spool.numbers)
                assert not run.has_messages()
                continue
        spool.open().take(run, run.entries(), begun=True)
        assert all(spool.visible().values())
        # What is to be deleted isn't copied first.
        if action == "quarantine" or files == "renames":
            assert sorted(in_run(run) + sorted(spool.visible())) == sorted(spool.numbers)
        else:
            assert in_run(run) == []
    assert at > 10


def test_full_disk_of_the_queue(tmp_path, files):
    spool = small(tmp_path)
    before = messages_of(spool.state())
    run = spool.select()
    spool.open().take(run, run.entries())
    with pytest.raises(UserError, match="queue_dir is on a file system that is full now"):
        full_at(
            3,
            ("link",) if files == "renames" else ("rename",),
            lambda: spool.open().give_back(run, run.entries()),
        )
    assert len(list(spool.open().quarantined(run))) + len(spool.visible()) == len(spool.numbers)
    assert spool.open().give_back(run, run.entries()).skipped == []
    assert messages_of(spool.state()) == before


# --- what it is told ------------------------------------------------------------------------------------------


def test_no_queue_of_qmail(tmp_path):
    (tmp_path / "queue").mkdir()
    with pytest.raises(UserError, match="queue_dir is /queue, but that is not a qmail queue"):
        QmailQueue.open(System(str(tmp_path)), None, None, {"queue_dir": "/queue", "config_dir": None})


def test_running_qmail_of_an_unknown_service(spool):
    before = spool.state()
    run = spool.select()
    with open(os.path.join(spool.directory, "lock", "sendmutex")) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="isn't known"):
            spool.open().take(run, run.entries())
        assert spool.state() == before
        run.remove()


def test_unknown_service_at_giving_back(spool):
    run = spool.select()
    spool.open().take(run, run.entries())
    quarantined = files_of(run.directory)
    left = spool.state()
    with open(os.path.join(spool.directory, "lock", "sendmutex")) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="isn't known"):
            spool.open().give_back(run, run.entries())
    assert files_of(run.directory) == quarantined
    assert spool.state() == left


def test_service_is_that_of_the_hosts_own_queue(tmp_path):
    spool = Spool(tmp_path)
    facts = dict(nothing(), name="qmail", queue_dir="/queue", service="qmail.service")
    params = {"queue_dir": None, "config_dir": None}
    assert QmailQueue.open(spool.system, facts, "systemd", params).service.unit == "qmail.service"
    other = dict(facts, queue_dir="/var/qmail/queue")
    assert QmailQueue.open(spool.system, other, "systemd", dict(params, queue_dir="/queue")).service is None


def test_room_that_is_needed(spool):
    run = spool.select()
    needed = spool.open().room_needed(run, 1000000)
    assert needed == 0 if spool.renames else 1000000 < needed < 2000000
    deleting = spool.select(action="delete")
    assert spool.open().room_needed(deleting, 1000000) == 0


def test_manifest_is_json_of_the_queues_files(spool):
    run = spool.select()
    with open(run.path(quarantine.MANIFEST)) as handle:
        line = json.loads(handle.readlines()[1])
    assert line["parts"][0][0] == spool.path("mess", int(line["id"]))
