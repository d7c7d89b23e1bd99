"""The directory of a run: when it counts as unfinished, what others could do to it, exact copies."""

import json
import os
import stat
import warnings

import pytest
from harden_mail.errors import UserError
from harden_mail.paths import QMAIL_WATCHDOG_LOCK, QUEUE_LOCK
from harden_mail.queue import quarantine
from harden_mail.queue.message import Message, Recipient
from harden_mail.queue.qmail import service as qmail_service
from harden_mail.queue.quarantine import Run
from harden_mail.system import System

QUARANTINE = "/var/lib/quarantine"
HEADER = {"mta": "postfix", "action": "quarantine", "selection": "all"}


@pytest.fixture
def system(tmp_path):
    return System(str(tmp_path))


def message(**values):
    known = {
        "id": "ABC1",
        "instance": None,
        "states": ("deferred",),
        "sender": "evil\x1b[2J@example.com",
        "recipients": [Recipient("to@example.org", False)],
        "subject": None,
        "size": 7,
        "arrival": 1500000000,
        "sasl_user": None,
        "client": None,
        "uid": None,
        "script": None,
        "identity": (1, "x", 7),
    }
    return Message(**dict(known, **values))


def sealed(system, count=1, directory=QUARANTINE):
    run = Run.begin(system, directory, HEADER)
    for number in range(count):
        run.enter(message(id="ABC{0}".format(number)), [(run.directory, os.stat(run.directory))])
    run.seal()
    return run


@pytest.fixture
def careless():
    """Files are open to everybody, unless somebody sees to it."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize("lock", [QUEUE_LOCK, QMAIL_WATCHDOG_LOCK])
def test_nobody_else_can_hold_a_lock(system, lock):
    """Who can open its file could keep spam in the queue by it."""
    path = system.real(lock)
    os.makedirs(os.path.dirname(path), mode=0o755)
    for _ in ("made", "left by a former version"):
        with system.lock(lock) if lock == QUEUE_LOCK else qmail_service._watchdog_slot(system):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        os.chmod(path, 0o644)


def test_a_lock_that_somebody_else_has_put_there_is_not_taken(system):
    """Some lie where everybody may write."""
    path = system.real(QUEUE_LOCK)
    os.makedirs(os.path.dirname(path))
    with open(path + ".other", "w"):
        pass
    os.chmod(path + ".other", 0o640)
    os.symlink(path + ".other", path)
    with pytest.raises(OSError, match="symbolic links"), system.lock(QUEUE_LOCK):
        pytest.fail("locked")
    if os.geteuid() == 0:
        os.chown(path + ".other", 1234, 1234)
        os.rename(path + ".other", path)
        with pytest.raises(UserError, match=r"^/run/harden-mail/.* is somebody else's file"), system.lock(QUEUE_LOCK):
            pytest.fail("locked")
        os.rename(path, path + ".other")
    assert stat.S_IMODE(os.stat(path + ".other").st_mode) == 0o640


@pytest.mark.usefixtures("careless")
def test_nobody_else_can_put_another_quarantine_in_its_place(system):
    sealed(system)
    with system.lock(QUEUE_LOCK):
        for path in (QUARANTINE, QUEUE_LOCK):
            assert stat.S_IMODE(os.stat(os.path.dirname(system.real(path))).st_mode) & 0o022 == 0


@pytest.mark.parametrize("directory", [QUARANTINE, QUARANTINE + "/"])
def test_a_run_is_for_its_owner_alone(system, directory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = sealed(system, directory=directory)
    for path in (system.real(QUARANTINE), run.directory, run.path("manifest.jsonl"), run.path("unfinished")):
        assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
    assert run.header()["run"] == run.name
    assert run.header()["action"] == "quarantine"
    (entry,) = run.entries()
    assert entry["identity"] == [1, "x", 7]
    assert entry["states"] == ["deferred"]
    about = os.stat(run.directory)
    assert entry["parts"][0][:2] == [run.directory, about.st_ino]
    assert "\x1b" not in open_text(run.path("manifest.jsonl"))
    assert not run.has_messages()


def open_text(path):
    with open(path, encoding="ascii") as handle:
        return handle.read()


def test_unfinished_until_it_is_said_to_be_done(system):
    run = Run.begin(system, QUARANTINE, HEADER)
    assert run.unfinished() == "remove"
    # Nothing was taken before the manifest was on disk.
    assert run.header() is None
    assert list(run.entries()) == []
    run.seal()
    assert run.unfinished() == "take"
    run.finish()
    assert run.unfinished() is None
    run.mark("give back", [{"instance": None, "id": "ABC1", "subject": "x"}])
    found = quarantine.find_run(system, QUARANTINE, run.name)
    assert found.unfinished() == "give back"
    assert list(found.marked()) == [{"instance": None, "id": "ABC1"}]
    run.finish()
    run.finish()


def test_killed_in_its_first_and_its_last_moment(system):
    run = sealed(system)
    run.finish()
    empty = os.path.join(os.path.dirname(run.directory), "20200101T000000Z-000000")
    os.mkdir(empty, 0o700)
    (found, _) = quarantine.runs(system, QUARANTINE)
    assert found.name == "20200101T000000Z-000000"
    assert found.unfinished() == "remove"
    found.remove()
    assert [one.name for one in quarantine.runs(system, QUARANTINE)] == [run.name]


def test_removed_with_all_that_is_in_it_but_not_behind_links(system, tmp_path):
    run = sealed(system)
    os.makedirs(run.path("default", "deferred"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    os.symlink(str(tmp_path / "outside"), run.path("link"))
    os.symlink(str(tmp_path / "outside"), run.path("default", "link"))
    assert run.has_messages()
    run.remove()
    assert not os.path.exists(run.directory)
    assert (tmp_path / "outside" / "file").exists()


def test_what_counts_as_a_message(system):
    run = sealed(system)
    run.finish()
    os.makedirs(run.path("default", "deferred"))
    assert not run.has_messages()
    open(run.path("default", "deferred", "ABC1"), "w").close()
    assert run.has_messages()


def test_runs_of_others_are_none(system, tmp_path):
    run = sealed(system)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(str(tmp_path / "elsewhere"), os.path.join(system.real(QUARANTINE), "20200101T000000Z-000000"))
    os.mkdir(os.path.join(system.real(QUARANTINE), "notes"))
    open(os.path.join(system.real(QUARANTINE), "20200101T000000Z-000001"), "w").close()
    if os.geteuid() == 0:
        foreign = os.path.join(system.real(QUARANTINE), "20200101T000000Z-000002")
        os.mkdir(foreign)
        os.chown(foreign, 1234, 1234)
    assert [one.name for one in quarantine.runs(system, QUARANTINE)] == [run.name]
    assert quarantine.runs(system, "/nowhere") == []


@pytest.mark.parametrize("work", [quarantine.runs, lambda system, path: Run.begin(system, path, HEADER)])
def test_a_place_that_others_could_change_is_refused(system, work):
    with pytest.raises(UserError) as caught:
        work(system, "quarantine")
    assert "quarantine_dir is 'quarantine'" in str(caught.value)
    system.write("/file", "x")
    with pytest.raises(UserError) as caught:
        quarantine.runs(system, "/file")
    assert "not a directory" in str(caught.value)
    system.make_private_dir(QUARANTINE)
    os.chmod(system.real(QUARANTINE), 0o770)
    with pytest.raises(UserError) as caught:
        work(system, QUARANTINE)
    assert "0700" in str(caught.value)


def test_an_unknown_run_is_named(system):
    run = sealed(system)
    with pytest.raises(UserError) as caught:
        quarantine.find_run(system, QUARANTINE, "20200101T000000Z-000000")
    assert run.name in str(caught.value)
    run.remove()
    with pytest.raises(UserError) as caught:
        quarantine.find_run(system, QUARANTINE, run.name)
    assert "no run" in str(caught.value)


def test_room(tmp_path):
    quarantine.check_room(str(tmp_path / "not" / "there"), 0)
    with pytest.raises(UserError) as caught:
        quarantine.check_room(str(tmp_path), 1 << 60)
    assert "quarantine_dir" in str(caught.value)


def test_a_copy_is_exact(tmp_path):
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    with open(source, "wb") as handle:
        handle.write(os.urandom(3000000))
    os.chmod(source, 0o750)
    os.utime(source, ns=(1500000000123456789, 1600000000987654321))
    if os.geteuid() == 0:
        os.chown(source, 1234, 4321)
    # The rest of an interrupted one.
    with open(target + quarantine.HALF_COPIED, "wb") as handle:
        handle.write(os.urandom(4000000))
    quarantine.copy_exactly(source, target)
    one, other = os.stat(source), os.stat(target)
    for value in ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns"):
        assert getattr(one, value) == getattr(other, value)
    with open(source, "rb") as first, open(target, "rb") as second:
        assert first.read() == second.read()
    assert sorted(os.listdir(str(tmp_path))) == ["source", "target"]


def test_all_are_copied_or_none(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    pairs = [(str(tmp_path / name), str(tmp_path / (name + ".copy"))) for name in ("one", "two", "missing")]
    with pytest.raises(FileNotFoundError):
        quarantine.copy_all(pairs)
    assert sorted(os.listdir(str(tmp_path))) == ["one", "two"]
    quarantine.copy_all(pairs[:2])
    assert sorted(os.listdir(str(tmp_path))) == ["one", "one.copy", "two", "two.copy"]


def test_a_link_is_not_copied(tmp_path):
    (tmp_path / "secret").write_text("x")
    os.symlink(str(tmp_path / "secret"), str(tmp_path / "link"))
    with pytest.raises(OSError, match="link"):
        quarantine.copy_exactly(str(tmp_path / "link"), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_a_manifest_has_a_line_for_each_message(system):
    run = sealed(system, 3)
    lines = open_text(run.path("manifest.jsonl")).splitlines()
    assert [json.loads(line).get("id") for line in lines] == [None, "ABC0", "ABC1", "ABC2"]


def test_batches():
    assert list(quarantine.in_batches(iter(range(5)), 2)) == [[0, 1], [2, 3], [4]]
    assert list(quarantine.in_batches([], 2)) == []
