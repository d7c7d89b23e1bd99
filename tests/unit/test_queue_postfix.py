"""Messages moved out of a Postfix queue and back: byte for byte, locked, replaced; its instances and ids."""

import contextlib
import os
import resource

import pytest
from harden_mail.errors import CommandError, UserError
from harden_mail.queue import quarantine
from harden_mail.queue.backend import Unfinished
from harden_mail.queue.postfix import backend, mover
from harden_mail.queue.postfix import spool as postfix_spool
from harden_mail.queue.postfix.backend import PostfixQueue
from harden_mail.queue.postfix.spool import name_of
from postfix_queue import (
    CONFIG_DIR,
    OWNER,
    Spool,
    crosses,
    entries,
    fill,
    full,
    hold_lock,
    in_run,
    queue_file,
    reasons,
    staged,
    told,
)
from queue_files import files_of


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path)


@pytest.fixture(params=["one file system", "two file systems"])
def crossing(request, monkeypatch):
    return crosses(request.param, monkeypatch)


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


@pytest.mark.parametrize("queue", ["active", "deferred", "hold"])
def test_in_delivery(spool, crossing, queue):
    name = spool.add(queue, logs=["defer"])
    before = spool.state()
    run = spool.select()
    with contextlib.ExitStack() as stack:
        hold_lock(stack, spool.path(queue, name))
        outcome = spool.open().take(run, run.entries())
    assert outcome == (0, [(name, mover.IN_DELIVERY)])
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
        assert reasons(spool.open().take(run, run.entries())) == [mover.IN_DELIVERY]
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
    assert spool.open().take(run, run.entries()) == (0, [(name, mover.REPLACED)])
    assert spool.state() == before


def test_another_message_in_its_file(spool):
    name = spool.add("deferred")
    run = spool.select()
    spool.write(spool.path("deferred", name), queue_file(b"another message 9"), 0o700)
    before = spool.state()
    assert spool.open().take(run, run.entries()) == (0, [(name, mover.REPLACED)])
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
        [(gone, mover.GONE), (half_made, mover.NO_MAIL), (maildrop, mover.IN_MAILDROP)]
    )
    assert spool.state() == before


def test_what_is_stuck_is_known_beforehand(spool):
    for queue in ("maildrop", "incoming", "active", "deferred", "hold"):
        spool.add(queue)
    queue = spool.open()
    stuck = {message.states[0]: queue.stuck(message) for message in queue.messages()}
    assert stuck.pop("maildrop") == mover.IN_MAILDROP
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
    assert spool.open().give_back(run, entries(run)) == (0, [(name, mover.NO_MAIL)])
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
        patched.setattr(backend, "BATCH", 2)
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
        patched.setattr(mover, "lock", after(4, mover.lock))
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


@pytest.mark.parametrize(("queue", "asked"), [("incoming", ["I"]), ("active", ["I"]), ("deferred", []), ("hold", [])])
def test_the_queue_manager_is_told_of_what_came_back(spool, crossing, queue, asked):
    spool.add(queue)
    run = spool.select()
    spool.open().take(run, run.entries())
    assert told(spool) == []
    spool.open().give_back(run, entries(run))
    assert told(spool) == ["postkick -c {0} public qmgr {1}".format(CONFIG_DIR, letter) for letter in asked]


def test_a_queue_manager_that_does_not_listen_hinders_nothing(spool):
    def hangs(argv, _stdin):
        raise CommandError(argv, None, "no answer within 10 seconds")

    spool.system.commands["postkick"] = hangs
    spool.add("incoming")
    run = spool.select()
    spool.open().take(run, run.entries())
    assert spool.open().give_back(run, entries(run)) == (1, [])


def test_more_files_than_a_process_may_have_open(spool, monkeypatch):
    """Each message of a batch is open, and so are the directories of each instance's queue."""
    monkeypatch.setattr(backend, "BATCH", 80)
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
