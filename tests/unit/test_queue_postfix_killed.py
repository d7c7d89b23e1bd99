"""Moving messages of a Postfix queue, killed at every step."""

import contextlib
import os

import killing
import pytest
from harden_mail.errors import UserError
from harden_mail.queue import engine, quarantine
from harden_mail.queue.postfix import spool as postfix_spool
from postfix_queue import (
    QUARANTINE,
    Spool,
    bodies_in,
    crosses,
    entries,
    fill_little,
    full,
    handles,
    in_run,
    staged,
)
from queue_files import files_of


@pytest.fixture(params=["one file system", "two file systems"])
def crossing(request, monkeypatch):
    return crosses(request.param, monkeypatch)


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


def test_killed_while_taking(tmp_path, crossing):
    def make(fatal):
        spool = Spool(tmp_path / str(fatal))
        fill_little(spool)
        return spool, spool.select()

    def take(made):
        spool, run = made
        spool.open().take(run, run.entries())

    for (spool, run), where in killing.everywhere(make, take, at_least=20):
        # In the queue or in the quarantine, or on the way to it; in the queue never if in one of these.
        queued = spool.bodies("incoming", "active", "deferred", "hold")
        kept = set(in_run(run) + staged(spool))
        assert sorted(queued + sorted(kept)) == [1, 2, 3], where
        delivered = spool.deliver_all()
        resume(spool)
        assert staged(spool) == [], where
        assert set(in_run(run)) == kept, where
        logs = [path.split(os.sep) for path in files_of(run.directory) if path.split(os.sep)[1:2] == ["bounce"]]
        assert len(logs) == (1 in kept), where
        give_all_back(spool)
        spool.open().release(handles(spool.open(), "hold"))
        delivered += spool.deliver_all()
        assert sorted(delivered) == [1, 2, 3], where


def test_killed_while_giving_back(tmp_path, crossing):
    def make(fatal):
        spool = Spool(tmp_path / str(fatal))
        fill_little(spool)
        run = spool.select()
        spool.open().take(run, run.entries())
        run.mark("give back")
        return spool, run

    def give_back(made):
        spool, run = made
        spool.open().give_back(run, entries(run))

    for (spool, run), where in killing.everywhere(make, give_back, at_least=20):
        queued = spool.bodies("incoming", "active", "deferred", "hold")
        kept = set(in_run(run) + staged(spool))
        assert sorted(queued + sorted(kept)) == [1, 2, 3], where
        delivered = spool.deliver_all()
        resume(spool)
        assert list(files_of(run.directory)) == ["manifest.jsonl"], where
        spool.open().release(handles(spool.open(), "hold"))
        delivered += spool.deliver_all()
        assert sorted(delivered) == [1, 2, 3], where
        assert not os.path.exists(os.path.join(spool.directory, "harden-mail")), where


@pytest.mark.parametrize("crossing", ["two file systems"], indirect=True)
def test_killed_while_giving_back_and_then_there_is_no_room(tmp_path, crossing, monkeypatch):
    """What is half way back is not forgotten when the next run fails, too, and the one after it is about others."""

    def make(fatal):
        spool = Spool(tmp_path / str(fatal))
        monkeypatch.setattr(engine, "open_queue", lambda _system, _params: spool.open())
        fill_little(spool)
        change(spool, "quarantined", all=True)
        return spool

    for spool, where in killing.everywhere(make, lambda spool: change(spool, "restored", all=True), at_least=30):
        with monkeypatch.context() as patched:
            patched.setattr(quarantine, "_copy", full)
            with contextlib.suppress(UserError):
                change(spool, "restored", all=True)
        change(spool, "restored", select={"state": "hold"})
        change(spool, "restored", all=True)
        assert spool.bodies("incoming", "active", "deferred", "hold") == [1, 2, 3], where
        assert quarantine.runs(spool.system, QUARANTINE) == [], where
        assert not os.path.exists(os.path.join(spool.directory, "harden-mail")), where


def change(spool, state, **params):
    usual = {"select": {}, "all": False, "run": None, "expect": None, "limit_listed": 0, "quarantine_dir": QUARANTINE}
    return engine.run(spool.system, dict(usual, state=state, **params), False)


@pytest.mark.parametrize("work", ["hold", "release"])
def test_killed_while_holding(tmp_path, work):
    logs = ["defer"] if work == "hold" else ["defer", "trace"]

    def make(fatal):
        spool = Spool(tmp_path / str(fatal))
        for queue in ("deferred", "active") if work == "hold" else ("hold", "hold"):
            spool.add(queue, logs=logs)
        return spool

    def hold_or_release(spool):
        queue = spool.open()
        getattr(queue, work)([one for one in handles(queue) if (one.states == ("hold",)) == (work == "release")])

    for spool, where in killing.everywhere(make, hold_or_release, at_least=5):
        paths = [path for path in spool.state() if path.split(os.sep)[0] in postfix_spool.MESSAGE_QUEUES]
        assert bodies_in(paths, spool.directory) == [1, 2], where
        for path in paths:
            for log in logs:
                assert os.path.exists(spool.path(log, path.split(os.sep)[-1])), where
        hold_or_release(spool)
        assert len(spool.bodies("hold")) == (2 if work == "hold" else 0), where
