"""Messages moved out of a Postfix queue and back: byte for byte, locked, replaced, killed at every step."""

import contextlib
import errno
import fcntl
import os
import re
import resource

import pytest
from fake_system import FakeSystem
from harden_mail.errors import CommandError, UserError
from harden_mail.queue import engine, quarantine
from harden_mail.queue.backend import Handle, Unfinished
from harden_mail.queue.postfix import backend as postfix
from harden_mail.queue.postfix import spool as postfix_spool
from harden_mail.queue.postfix.backend import PostfixQueue
from harden_mail.queue.postfix.spool import name_of

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


def files_of(top):
    found = {}
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            about = os.lstat(path)
            with open(path, "rb") as handle:
                found[os.path.relpath(path, top)] = (
                    handle.read(),
                    about.st_mode,
                    about.st_uid,
                    about.st_gid,
                    about.st_mtime_ns,
                )
    return found


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


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path)


@pytest.fixture(params=["one file system", "two file systems"])
def crossing(request, monkeypatch):
    """Whether the quarantine is on another file system; renames to there fail then as they do on a host."""
    crosses = request.param == "two file systems"
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


# --- there and back ---------------------------------------------------------------------------------------------


def fill(spool):
    spool.add("deferred", logs=["defer"])
    spool.add("deferred", logs=["defer", "bounce", "trace"])
    spool.add("deferred", long_id=False)
    spool.add("hold")
    spool.add("hold", logs=["defer"])
    spool.add("incoming")


def test_gone_and_back_as_it_was(spool):
    fill(spool)
    before = spool.state()
    run = spool.select()
    outcome = spool.open().take(run, run.entries())
    assert outcome == (6, [])
    assert spool.state() == {}
    assert in_run(run) == [1, 2, 3, 4, 5, 6]
    assert sorted(message.states[0] for message in spool.open().quarantined(run)) == (
        ["deferred"] * 3 + ["hold"] * 2 + ["incoming"]
    )
    assert spool.open().give_back(run, entries(run)) == (6, [])
    assert spool.state() == before
    assert not run.has_messages()


def test_gone_and_back_across_file_systems(spool, crossing):
    fill(spool)
    before = spool.state()
    run = spool.select()
    spool.open().take(run, run.entries())
    assert spool.state() == {}
    assert in_run(run) == [1, 2, 3, 4, 5, 6]
    assert len(list(spool.open().quarantined(run))) == 6
    assert spool.open().give_back(run, entries(run)) == (6, [])
    after = spool.state()
    assert sorted(after.values()) == sorted(before.values())
    assert not run.has_messages()
    assert not os.path.exists(os.path.join(spool.directory, "harden-mail"))
    for path in after:
        queue, name = path.split(os.sep)[0], path.split(os.sep)[-1]
        assert os.path.join(spool.directory, path) == spool.path(queue, name)
        if queue in postfix_spool.MESSAGE_QUEUES:
            assert int(name[5:], 16) == os.stat(os.path.join(spool.directory, path)).st_ino


def test_an_active_message_comes_back_as_another_one(spool, crossing):
    name = spool.add("active", logs=["defer"])
    before = spool.state()
    run = spool.select()
    spool.open().take(run, run.entries())
    spool.open().give_back(run, entries(run))
    after = spool.state()
    (path,) = [path for path in after if path.startswith("incoming")]
    new_name = path.split(os.sep)[-1]
    assert new_name[:5] == "{0:05X}".format(int(name[:5], 16) + 1)
    assert int(new_name[5:], 16) == os.stat(os.path.join(spool.directory, path)).st_ino
    assert sorted(after.values()) == sorted(before.values())
    assert set(after) == {path, os.path.relpath(spool.path("defer", new_name), spool.directory)}


def test_hashed_deep(tmp_path):
    spool = Spool(tmp_path, depth=2, hashed="deferred, defer, hold, bounce")
    fill(spool)
    before = spool.state()
    run = spool.select()
    assert spool.open().take(run, run.entries()).moved == 6
    # Postfix removes such directories when they are empty.
    for queue in ("deferred", "defer", "hold", "bounce"):
        for directory, _, _ in os.walk(os.path.join(spool.directory, queue), topdown=False):
            if directory != os.path.join(spool.directory, queue):
                os.rmdir(directory)
    assert spool.open().give_back(run, entries(run)).moved == 6
    assert spool.state() == before
    made = os.path.dirname(spool.path("deferred", os.path.basename(min(p for p in before if p.startswith("def")))))
    assert os.stat(made).st_uid == OWNER
    assert os.stat(made).st_mode & 0o777 == 0o700


def test_a_file_that_lies_deeper_than_configured_is_taken(spool):
    name = spool.add("deferred")
    deep = os.path.join(spool.directory, "deferred", name[0], name[1], name)
    os.makedirs(os.path.dirname(deep))
    os.rename(spool.path("deferred", name), deep)
    run = spool.select()
    assert spool.open().take(run, run.entries()) == (1, [])


def test_a_queue_directory_with_a_slash_at_its_end(spool):
    spool.settings["queue_directory"] = "/spool/"
    fill(spool)
    run = spool.select()
    assert spool.open().take(run, run.entries()).moved == 6
    assert spool.state() == {}


def test_deleted(spool, crossing):
    fill(spool)
    run = spool.select("delete")
    assert spool.open().room_needed(run, 1000) == 0
    assert spool.open().take(run, run.entries()).moved == 6
    run.remove()
    assert spool.state() == {}


def test_room_is_needed_on_another_file_system_only(spool, crossing):
    fill(spool)
    run = spool.select()
    assert spool.open().room_needed(run, 1000) == ((1000 + 6 * 16384) if crossing else 0)
    assert not run.has_messages()


# --- what is left -----------------------------------------------------------------------------------------------


def reasons(outcome):
    return [why for _, why in outcome.skipped]


def hold_lock(stack, path):
    descriptor = os.open(path, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_SH)


@pytest.mark.parametrize("queue", ["active", "deferred", "hold"])
def test_in_delivery(spool, crossing, queue):
    name = spool.add(queue, logs=["defer"])
    before = spool.state()
    run = spool.select()
    with contextlib.ExitStack() as stack:
        hold_lock(stack, spool.path(queue, name))
        outcome = spool.open().take(run, run.entries())
    assert outcome == (0, [(name, postfix.IN_DELIVERY)])
    assert not run.has_messages()
    assert sorted(spool.state().values()) == sorted(before.values())
    # The queue manager may go on with it under its id: then the file has another one.
    assert (spool.state() == before) == (queue != "active")


def test_in_delivery_is_seen_before_it_is_moved(spool):
    name = spool.add("active")
    before, inode = spool.state(), os.stat(spool.path("active", name)).st_ino
    os.mkdir(os.path.join(spool.system.root, "proc"))
    spool.system.write("/proc/locks", "1: FLOCK  ADVISORY  READ 4711 fd:01:{0} 0 EOF\n".format(inode))
    run = spool.select()
    with contextlib.ExitStack() as stack:
        hold_lock(stack, spool.path("active", name))
        assert reasons(spool.open().take(run, run.entries())) == [postfix.IN_DELIVERY]
    assert spool.state() == before
    # The lock in that list was another file's.
    assert spool.open().take(run, run.entries()).moved == 1


def test_another_message_under_its_id(spool):
    name = spool.add("deferred")
    run = spool.select()
    path = spool.path("deferred", name)
    os.rename(path, path + ".old")
    spool.write(path, queue_file(b"message 9"), 0o700)
    os.unlink(path + ".old")
    before = spool.state()
    assert spool.open().take(run, run.entries()) == (0, [(name, postfix.REPLACED)])
    assert spool.state() == before


def test_another_message_in_its_file(spool):
    name = spool.add("deferred")
    run = spool.select()
    spool.write(spool.path("deferred", name), queue_file(b"another message 9"), 0o700)
    before = spool.state()
    assert spool.open().take(run, run.entries()) == (0, [(name, postfix.REPLACED)])
    assert spool.state() == before


def test_it_has_moved_on_meanwhile(spool):
    name = spool.add("deferred")
    run = spool.select()
    os.rename(spool.path("deferred", name), spool.path("active", name))
    assert spool.open().take(run, run.entries()) == (1, [])
    assert [message.states for message in spool.open().quarantined(run)] == [("active",)]


def test_gone_half_made_and_in_maildrop(spool):
    gone, half_made = spool.add("deferred"), spool.add("incoming")
    maildrop = spool.add("maildrop")
    run = spool.select()
    os.unlink(spool.path("deferred", gone))
    os.chmod(spool.path("incoming", half_made), 0o600)
    before = spool.state()
    outcome = spool.open().take(run, run.entries())
    assert sorted(outcome.skipped) == sorted(
        [(gone, postfix.GONE), (half_made, postfix.NO_MAIL), (maildrop, postfix.IN_MAILDROP)]
    )
    assert spool.state() == before


def test_what_is_stuck_is_known_beforehand(spool):
    for queue in ("maildrop", "incoming", "active", "deferred", "hold"):
        spool.add(queue)
    queue = spool.open()
    stuck = {message.states[0]: queue.stuck(message) for message in queue.messages()}
    assert stuck.pop("maildrop") == postfix.IN_MAILDROP
    assert set(stuck.values()) == {None}
    queue.instances = {}
    run = spool.select()
    spool.open().take(run, run.entries())
    assert {queue.stuck(message) for message in queue.quarantined(run)} == {
        "this host has no Postfix instance None now"
    }


def test_no_symbolic_link_is_followed(spool, tmp_path):
    name = spool.add("deferred")
    run = spool.select()
    directory = os.path.dirname(spool.path("deferred", name))
    os.rename(directory, str(tmp_path / "elsewhere"))
    os.symlink(str(tmp_path / "elsewhere"), directory)
    outcome = spool.open().take(run, run.entries())
    assert outcome.moved == 0
    assert os.path.exists(str(tmp_path / "elsewhere" / name))


def test_what_postfix_would_refuse_stays_in_quarantine(spool, crossing):
    name = spool.add("deferred")
    run = spool.select()
    spool.open().take(run, run.entries())
    path = run.path("default", "deferred", name)
    os.chmod(path, 0o600)
    assert spool.open().give_back(run, entries(run)) == (0, [(name, postfix.NO_MAIL)])
    assert os.path.exists(path)
    assert spool.state() == {}


def test_a_taken_name_is_not_overwritten(spool):
    name = spool.add("deferred")
    run = spool.select()
    spool.open().take(run, run.entries())
    spool.write(spool.path("hold", name), queue_file(b"message 9"), 0o700)
    before = spool.state()
    assert reasons(spool.open().give_back(run, entries(run))) == ["the queue has another message with its id"]
    assert spool.state() == before
    assert in_run(run) == [1]


def full(*_arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def after(count, work):
    """``work``, but the file system is full at its call number ``count``."""
    calls = []

    def counted(*arguments):
        calls.append(1)
        return full() if len(calls) == count else work(*arguments)

    return counted


@pytest.mark.parametrize("crossing", ["two file systems"], indirect=True)
def test_full_while_it_is_copied(spool, crossing, monkeypatch):
    fill(spool)
    before = spool.state()
    run = spool.select()
    with monkeypatch.context() as patched:
        patched.setattr(quarantine, "_copy", after(4, quarantine._copy))
        with pytest.raises(UserError) as caught:
            spool.open().take(run, run.entries())
    assert not isinstance(caught.value, Unfinished)
    assert "quarantine_dir: its file system is full now" in str(caught.value)
    assert spool.state() == before
    assert in_run(run) == staged(spool) == []


@pytest.mark.parametrize("crossing", ["two file systems"], indirect=True)
def test_full_when_some_are_copied(spool, crossing, monkeypatch):
    fill(spool)
    run = spool.select()
    with monkeypatch.context() as patched:
        patched.setattr(postfix, "BATCH", 2)
        patched.setattr(quarantine, "_copy", after(8, quarantine._copy))
        with pytest.raises(Unfinished):
            spool.open().take(run, run.entries())
    assert sorted(spool.bodies("deferred", "hold", "incoming") + in_run(run)) == [1, 2, 3, 4, 5, 6]
    taken = in_run(run)
    assert taken
    spool.open().take(run, run.entries(), begun=True)
    assert in_run(run) == taken


def test_full_while_it_is_moved(spool, monkeypatch):
    fill(spool)
    run = spool.select()
    with monkeypatch.context() as patched:
        patched.setattr(postfix, "_lock", after(4, postfix._lock))
        with pytest.raises(Unfinished):
            spool.open().take(run, run.entries())
    taken = in_run(run)
    assert len(taken) == 4
    spool.open().take(run, run.entries(), begun=True)
    assert in_run(run) == taken
    logs = [path for path in files_of(run.directory) if path.split(os.sep)[1:2] in (["defer"], ["bounce"], ["trace"])]
    assert len(logs) == sum({1: 1, 2: 3, 5: 1}.get(number, 0) for number in taken)


@pytest.mark.parametrize("crossing", ["two file systems"], indirect=True)
def test_full_on_the_way_back(spool, crossing, monkeypatch):
    fill(spool)
    run = spool.select()
    spool.open().take(run, run.entries())
    kept = files_of(run.directory)
    with monkeypatch.context() as patched:
        patched.setattr(quarantine, "_copy", full)
        with pytest.raises(UserError) as caught:
            spool.open().give_back(run, entries(run))
    assert not isinstance(caught.value, Unfinished)
    assert files_of(run.directory) == kept
    assert spool.state() == {}
    assert spool.open().give_back(run, entries(run)).moved == 6


# --- killed -----------------------------------------------------------------------------------------------------


class Mortal:
    """Runs work in a child process that dies, as of kill -9, before its Nth call that changes a file system."""

    CALLS = ("rename", "link", "unlink", "mkdir", "rmdir", "open", "fchown")

    def __init__(self, fatal):
        self.left = fatal

    def dies(self, work):
        """Whether it died before it was done."""
        child = os.fork()
        if child == 0:
            for name in self.CALLS:
                self.make_fatal(name)
            work()
            os._exit(0)
        return os.waitpid(child, 0)[1] != 0

    def make_fatal(self, name):
        original = getattr(os, name)

        def counted(*arguments, **options):
            if name != "open" or arguments[1] & os.O_CREAT:
                self.left -= 1
                if self.left == 0:
                    os._exit(9)
            return original(*arguments, **options)

        setattr(os, name, counted)


def resume(spool):
    """What the next run does first."""
    for run in quarantine.runs(spool.system, QUARANTINE):
        work = run.unfinished()
        if work and run.header() is None:
            run.remove()
        elif work and work == "take":
            spool.open().take(run, run.entries(), begun=True)
            run.finish()
        elif work:
            spool.open().give_back(run, entries(run))
            run.finish()


def give_all_back(spool):
    for run in quarantine.runs(spool.system, QUARANTINE):
        spool.open().give_back(run, entries(run))
        assert not run.has_messages()


def fill_little(spool):
    spool.add("deferred", logs=["defer", "bounce"])
    spool.add("hold")
    spool.add("active", logs=["defer"])


def test_killed_while_taking(tmp_path, crossing):
    for fatal in range(1, 1000):
        spool = Spool(tmp_path / str(fatal))
        fill_little(spool)
        run = spool.select()
        died = Mortal(fatal).dies(lambda run=run, spool=spool: spool.open().take(run, run.entries()))
        # In the queue or in the quarantine, or on the way to it; in the queue never if in one of these.
        queued = spool.bodies("incoming", "active", "deferred", "hold")
        kept = set(in_run(run) + staged(spool))
        assert sorted(queued + sorted(kept)) == [1, 2, 3]
        delivered = spool.deliver_all()
        resume(spool)
        assert staged(spool) == []
        assert set(in_run(run)) == kept
        logs = [path.split(os.sep) for path in files_of(run.directory) if path.split(os.sep)[1:2] == ["bounce"]]
        assert len(logs) == (1 in kept)
        give_all_back(spool)
        spool.open().release(handles(spool.open(), "hold"))
        delivered += spool.deliver_all()
        assert sorted(delivered) == [1, 2, 3]
        if not died:
            break
    assert fatal > 12


def test_killed_while_giving_back(tmp_path, crossing):
    for fatal in range(1, 1000):
        spool = Spool(tmp_path / str(fatal))
        fill_little(spool)
        run = spool.select()
        spool.open().take(run, run.entries())
        run.mark("give back")
        died = Mortal(fatal).dies(lambda run=run, spool=spool: spool.open().give_back(run, entries(run)))
        queued = spool.bodies("incoming", "active", "deferred", "hold")
        kept = set(in_run(run) + staged(spool))
        assert sorted(queued + sorted(kept)) == [1, 2, 3]
        delivered = spool.deliver_all()
        resume(spool)
        assert list(files_of(run.directory)) == ["manifest.jsonl"]
        spool.open().release(handles(spool.open(), "hold"))
        delivered += spool.deliver_all()
        assert sorted(delivered) == [1, 2, 3]
        assert not os.path.exists(os.path.join(spool.directory, "harden-mail"))
        if not died:
            break
    assert fatal > 12


@pytest.mark.parametrize("crossing", ["two file systems"], indirect=True)
def test_killed_while_giving_back_and_then_there_is_no_room(tmp_path, crossing, monkeypatch):
    """What is half way back is not forgotten when the next run fails, too, and the one after it is about others."""
    for fatal in range(1, 1000):
        spool = Spool(tmp_path / str(fatal))
        monkeypatch.setattr(engine, "open_queue", lambda _system, _params, spool=spool: spool.open())
        fill_little(spool)
        change(spool, "quarantined", all=True)
        died = Mortal(fatal).dies(lambda spool=spool: change(spool, "restored", all=True))
        with monkeypatch.context() as patched:
            patched.setattr(quarantine, "_copy", full)
            with contextlib.suppress(UserError):
                change(spool, "restored", all=True)
        change(spool, "restored", select={"state": "hold"})
        change(spool, "restored", all=True)
        assert spool.bodies("incoming", "active", "deferred", "hold") == [1, 2, 3]
        assert quarantine.runs(spool.system, QUARANTINE) == []
        assert not os.path.exists(os.path.join(spool.directory, "harden-mail"))
        if not died:
            break
    assert fatal > 12


def change(spool, state, **params):
    usual = {"select": {}, "all": False, "run": None, "expect": None, "limit_listed": 0, "quarantine_dir": QUARANTINE}
    return engine.run(spool.system, dict(usual, state=state, **params), False)


# --- held -------------------------------------------------------------------------------------------------------


def handles(queue, state=None):
    return [
        Handle(message.id, message.instance, message.states, message.identity[0])
        for message in queue.messages()
        if state is None or state in message.states
    ]


def other(name):
    return name_of(name, int(name[5:], 16), other=True)


def test_hold_and_release(spool):
    deferred, active = spool.add("deferred", logs=["defer", "trace"]), spool.add("active", logs=["defer"])
    incoming, maildrop = spool.add("incoming"), spool.add("maildrop")
    before = spool.state()
    queue = spool.open()
    messages = handles(queue)
    assert queue.hold(messages) == (3, [(maildrop, postfix.IN_MAILDROP)])
    # What was active must not come back under the id that the queue manager has in memory.
    assert sorted(os.listdir(os.path.join(spool.directory, "hold"))) == sorted([deferred, other(active), incoming])
    assert os.path.exists(spool.path("defer", other(active)))
    assert not os.path.exists(spool.path("defer", active))
    held = handles(queue, "hold")
    assert sorted(queue.hold(messages).skipped) == sorted(
        [
            (deferred, "it is held already"),
            (incoming, "it is held already"),
            (active, postfix.GONE),
            (maildrop, postfix.IN_MAILDROP),
        ]
    )
    os.unlink(spool.path("hold", incoming))
    assert queue.release(held) == (2, [(incoming, postfix.GONE)])
    assert sorted(spool.bodies("deferred")) == [1, 2]
    assert os.path.exists(spool.path("deferred", other(deferred)))
    assert os.path.exists(spool.path("deferred", other(other(active))))
    assert os.path.exists(spool.path("defer", other(deferred)))
    assert os.path.exists(spool.path("trace", other(deferred)))
    assert os.path.exists(spool.path("defer", other(other(active))))
    assert len(spool.state()) == len(before) - 1


def test_who_is_in_delivery_is_not_held(spool):
    deferred, active = spool.add("deferred", logs=["defer"]), spool.add("active", logs=["defer"])
    before = spool.state()
    with contextlib.ExitStack() as stack:
        hold_lock(stack, spool.path("deferred", deferred))
        hold_lock(stack, spool.path("active", active))
        outcome = spool.open().hold(handles(spool.open()))
    assert sorted(outcome.skipped) == sorted([(deferred, postfix.IN_DELIVERY), (active, postfix.IN_DELIVERY)])
    assert sorted(spool.state().values()) == sorted(before.values())
    assert os.path.exists(spool.path("deferred", deferred))
    assert os.path.exists(spool.path("incoming", other(active)))
    assert os.path.exists(spool.path("defer", other(active)))


def taken_or_held(spool, work):
    queue = spool.open()
    if work == "hold":
        return queue.hold(handles(queue))
    run = spool.select()
    return queue.take(run, run.entries())


@pytest.mark.parametrize("work", ["take", "hold"])
@pytest.mark.parametrize("log", ["bounce", "trace"])
def test_whose_sender_is_just_to_be_told_is_left(spool, work, log):
    """bounce(8) removes the log by its name when it has sent it; moved meanwhile, it would be sent once more."""
    active, deferred = spool.add("active", logs=[log]), spool.add("deferred", logs=[log])
    outcome = taken_or_held(spool, work)
    assert outcome == (1, [(active, postfix.REPORTING)])
    assert os.path.exists(spool.path("active", active))
    assert os.path.exists(spool.path(log, active))
    assert not os.path.exists(spool.path("deferred", deferred))


@pytest.mark.parametrize("work", ["take", "hold"])
@pytest.mark.parametrize("in_delivery", [False, True])
def test_a_report_that_falls_due_while_a_message_is_moved_is_sent_once(spool, monkeypatch, work, in_delivery):
    """Whoever delivered it has noted a bounce under its former id, where bounce(8) looks for it."""
    active = spool.add("active", logs=["defer"])

    def note(descriptor):
        spool.write(spool.path("bounce", active), b"bounce of 1", 0o600)
        if in_delivery:
            raise postfix._Left(postfix.IN_DELIVERY)

    monkeypatch.setattr(postfix, "_lock", note)
    outcome = taken_or_held(spool, work)
    assert outcome == (0, [(active, postfix.IN_DELIVERY if in_delivery else postfix.REPORTING)])
    assert [path for path in spool.state() if path.startswith("bounce")] == ["bounce/" + active]
    assert os.path.exists(spool.path("incoming", other(active)))
    assert spool.bodies(*QUEUES) == [1]


# --- the queue manager is told ------------------------------------------------------------------------------------


def told(spool):
    """What the queue managers were asked to look through."""
    return [call for call, _ in spool.system.calls if call.startswith("postkick")]


@pytest.mark.parametrize(("queue", "asked"), [("incoming", ["I"]), ("active", ["I"]), ("deferred", []), ("hold", [])])
def test_the_queue_manager_is_told_of_what_came_back(spool, crossing, queue, asked):
    spool.add(queue)
    run = spool.select()
    spool.open().take(run, run.entries())
    assert told(spool) == []
    spool.open().give_back(run, entries(run))
    assert told(spool) == ["postkick -c {0} public qmgr {1}".format(CONFIG_DIR, letter) for letter in asked]


def test_the_queue_manager_is_told_of_what_was_released(spool):
    spool.add("deferred")
    spool.open().hold(handles(spool.open()))
    assert told(spool) == []
    spool.open().release(handles(spool.open()))
    assert told(spool) == ["postkick -c {0} public qmgr D".format(CONFIG_DIR)]


@pytest.mark.parametrize("work", ["take", "hold"])
def test_the_queue_manager_is_told_of_what_had_to_be_put_back(spool, work):
    name = spool.add("active")
    with contextlib.ExitStack() as stack:
        hold_lock(stack, spool.path("active", name))
        assert reasons(taken_or_held(spool, work)) == [postfix.IN_DELIVERY]
    assert told(spool) == ["postkick -c {0} public qmgr I".format(CONFIG_DIR)]


def test_a_queue_manager_that_does_not_listen_hinders_nothing(spool):
    def hangs(argv, _stdin):
        raise CommandError(argv, None, "no answer within 10 seconds")

    spool.system.commands["postkick"] = hangs
    spool.add("incoming")
    run = spool.select()
    spool.open().take(run, run.entries())
    assert spool.open().give_back(run, entries(run)) == (1, [])


def test_who_is_released_by_somebody_else_meanwhile_is_left(spool, monkeypatch):
    name = spool.add("hold", logs=["defer"])
    held = handles(spool.open())
    link = os.link

    def release(*arguments, **options):
        link(*arguments, **options)
        if os.path.exists(spool.path("hold", name)):
            os.rename(spool.path("hold", name), spool.path("incoming", name))

    monkeypatch.setattr(os, "link", release)
    assert spool.open().release(held) == (0, [(name, postfix.GONE)])
    assert [path for path in spool.state() if path.startswith("defer/")] == [
        os.path.relpath(spool.path("defer", name), spool.directory)
    ]


def replace(path, number):
    content = queue_file("message {0}".format(number).encode())
    os.rename(path, path + ".old")
    Spool.write(path, content, 0o700)
    os.unlink(path + ".old")


def test_another_message_is_neither_held_nor_released(spool):
    name = spool.add("deferred", logs=["defer"])
    messages = handles(spool.open())
    replace(spool.path("deferred", name), 9)
    before = spool.state()
    assert spool.open().hold(messages) == (0, [(name, postfix.REPLACED)])
    assert spool.state() == before
    os.rename(spool.path("deferred", name), spool.path("hold", name))
    held = handles(spool.open())
    replace(spool.path("hold", name), 10)
    before = spool.state()
    assert spool.open().release(held) == (0, [(name, postfix.GONE)])
    assert spool.state() == before


@pytest.mark.parametrize("work", ["hold", "release"])
def test_killed_while_holding(tmp_path, work):
    for fatal in range(1, 1000):
        spool = Spool(tmp_path / str(fatal))
        logs = ["defer"] if work == "hold" else ["defer", "trace"]
        for queue in ("deferred", "active") if work == "hold" else ("hold", "hold"):
            spool.add(queue, logs=logs)

        def change(spool=spool):
            queue = spool.open()
            getattr(queue, work)([one for one in handles(queue) if (one.states == ("hold",)) == (work == "release")])

        died = Mortal(fatal).dies(change)
        paths = [path for path in spool.state() if path.split(os.sep)[0] in postfix_spool.MESSAGE_QUEUES]
        assert bodies_in(paths, spool.directory) == [1, 2]
        for path in paths:
            for log in logs:
                assert os.path.exists(spool.path(log, path.split(os.sep)[-1]))
        change()
        assert len(spool.bodies("hold")) == (2 if work == "hold" else 0)
        if not died:
            break
    assert fatal > 5


def test_more_files_than_a_process_may_have_open(spool, monkeypatch):
    """Each message of a batch is open, and so are the directories of each instance's queue."""
    monkeypatch.setattr(postfix, "BATCH", 80)
    for _ in range(80):
        spool.add("deferred")
    run = spool.select()
    child = os.fork()
    if child == 0:
        try:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            # What other tests have left open.
            os.closerange(3, 4096)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            os._exit(spool.open().take(run, run.entries()).moved)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] >> 8 == 80


def test_count(spool):
    fill(spool)
    spool.add("maildrop")
    spool.add("active")
    assert spool.open().count() == (6, 2, None)


# --- instances --------------------------------------------------------------------------------------------------


def test_instances_have_queues_of_their_own(tmp_path):
    spool = Spool(tmp_path)
    second = Spool(tmp_path, where="/spool-two", system=spool.system)
    spool.add("deferred")
    second.add("deferred")
    second.add("active")
    instances = [
        {"name": None, "config_dir": CONFIG_DIR, "queue_dir": "/spool"},
        {"name": "../two", "config_dir": "/etc/postfix-two", "queue_dir": "/spool-two"},
        {"name": None, "config_dir": "/etc/postfix-never-started", "queue_dir": "/spool-three"},
    ]
    params = {"config_dir": None, "queue_dir": None}
    queue = PostfixQueue.open(spool.system, {"instances": instances}, None, params)
    run = spool.select(queue=queue)
    assert queue.take(run, run.entries()).moved == 3
    assert sorted(str(message.instance) for message in queue.quarantined(run)) == ["../two", "../two", "None"]
    assert sorted(os.listdir(run.directory)) == ["default", "instance-..%2Ftwo", "manifest.jsonl", "unfinished"]
    # The second instance is gone.
    alone = PostfixQueue.open(spool.system, {"instances": instances[:1]}, None, params)
    assert len(list(alone.quarantined(run))) == 3
    outcome = alone.give_back(run, entries(run))
    assert outcome.moved == 1
    assert reasons(outcome) == ["this host has no Postfix instance ../two now"] * 2
    assert PostfixQueue.open(spool.system, {"instances": instances}, None, params).give_back(run, entries(run))[0] == 2
    assert len(second.bodies("deferred", "incoming")) == 2


def test_instances_without_a_name_are_told_by_their_directory(tmp_path):
    spool = Spool(tmp_path)
    Spool(tmp_path, where="/spool-two", system=spool.system)
    instances = [
        {"name": None, "config_dir": CONFIG_DIR, "queue_dir": "/spool"},
        {"name": None, "config_dir": "/etc/two", "queue_dir": "/spool-two"},
    ]
    params = {"config_dir": None, "queue_dir": None}
    assert set(PostfixQueue.open(spool.system, {"instances": instances}, None, params).instances) == {None, "/etc/two"}
    only = PostfixQueue.open(spool.system, {"instances": instances}, None, dict(params, queue_dir="/spool-two/"))
    assert set(only.instances) == {"/etc/two"}
    by_config = PostfixQueue.open(spool.system, {"instances": instances}, None, dict(params, config_dir="/etc/two"))
    assert by_config.instances["/etc/two"].queue_dir == spool.directory


@pytest.mark.parametrize(
    ("params", "settings", "words"),
    [
        ({"config_dir": "/etc/nothing"}, {}, ["config_dir is /etc/nothing", "/etc/postfix"]),
        ({"queue_dir": "/srv"}, {"queue_directory": "/spool"}, ["queue_dir is /srv", "/spool"]),
        ({"config_dir": CONFIG_DIR}, {"queue_directory": "/none"}, ["config_dir is /etc/postfix", "/none"]),
    ],
)
def test_there_is_no_such_queue(spool, params, settings, words):
    spool.settings = settings
    with pytest.raises(UserError) as caught:
        spool.open(**params)
    assert all(word in str(caught.value) for word in words)


# --- ids --------------------------------------------------------------------------------------------------------


def test_short_ids_follow_the_inode():
    assert name_of("ABCDE1F2", 0x1F2, other=False) == "ABCDE1F2"
    assert name_of("ABCDE1F2", 0xFFF, other=False) == "ABCDEFFF"
    assert name_of("ABCDE1F2", 0x1F2, other=True) == "ABCDF1F2"
    assert name_of("F423F1F2", 0x1F2, other=True) == "000001F2"


def test_long_ids_stay():
    name = "3Pt2mN2VXxznjll"
    assert name_of(name, 1, other=False) == name
    assert name_of(name, 1, other=True) == "3Pt2mN2VXyznjll"
    assert name_of("3Pt2mN6Mszznjll", 1, other=True) == "3Pt2mN6Mt0znjll"


def test_long_ids_are_hashed_by_their_microseconds():
    spool = postfix_spool.Spool("/", ["deferred"], 2)
    # mail_queue.h: the four digits before the z, to the base of 52, as five hexadecimal ones.
    assert spool.relative("deferred", "3Pt2mN2VXxznjll") == "deferred/5/6"
    assert spool.relative("deferred", "ABCDE1F2") == "deferred/A/B"
    assert spool.relative("hold", "ABCDE1F2") == "hold"
