"""Messages held and released inside a Postfix queue."""

import contextlib
import os

import pytest
from harden_mail.queue.postfix import mover
from postfix_queue import (
    CONFIG_DIR,
    QUEUES,
    Spool,
    handles,
    hold_lock,
    other,
    queue_file,
    reasons,
    told,
)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path)


def test_hold_and_release(spool):
    deferred, active = spool.add("deferred", logs=["defer", "trace"]), spool.add("active", logs=["defer"])
    incoming, maildrop = spool.add("incoming"), spool.add("maildrop")
    before = spool.state()
    queue = spool.open()
    messages = handles(queue)
    assert queue.hold(messages) == (3, [(maildrop, mover.IN_MAILDROP)])
    # What was active must not come back under the id that the queue manager has in memory.
    assert sorted(os.listdir(os.path.join(spool.directory, "hold"))) == sorted([deferred, other(active), incoming])
    assert os.path.exists(spool.path("defer", other(active)))
    assert not os.path.exists(spool.path("defer", active))
    held = handles(queue, "hold")
    assert sorted(queue.hold(messages).skipped) == sorted(
        [
            (deferred, "it is held already"),
            (incoming, "it is held already"),
            (active, mover.GONE),
            (maildrop, mover.IN_MAILDROP),
        ]
    )
    os.unlink(spool.path("hold", incoming))
    assert queue.release(held) == (2, [(incoming, mover.GONE)])
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
    assert sorted(outcome.skipped) == sorted([(deferred, mover.IN_DELIVERY), (active, mover.IN_DELIVERY)])
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
    assert outcome == (1, [(active, mover.REPORTING)])
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
            raise mover.LeftInQueue(mover.IN_DELIVERY)

    monkeypatch.setattr(mover, "lock", note)
    outcome = taken_or_held(spool, work)
    assert outcome == (0, [(active, mover.IN_DELIVERY if in_delivery else mover.REPORTING)])
    assert [path for path in spool.state() if path.startswith("bounce")] == ["bounce/" + active]
    assert os.path.exists(spool.path("incoming", other(active)))
    assert spool.bodies(*QUEUES) == [1]


def replace(path, number):
    content = queue_file("message {0}".format(number).encode())
    os.rename(path, path + ".old")
    Spool.write(path, content, 0o700)
    os.unlink(path + ".old")


def test_who_is_released_by_somebody_else_meanwhile_is_left(spool, monkeypatch):
    name = spool.add("hold", logs=["defer"])
    held = handles(spool.open())
    link = os.link

    def release(*arguments, **options):
        link(*arguments, **options)
        if os.path.exists(spool.path("hold", name)):
            os.rename(spool.path("hold", name), spool.path("incoming", name))

    monkeypatch.setattr(os, "link", release)
    assert spool.open().release(held) == (0, [(name, mover.GONE)])
    assert [path for path in spool.state() if path.startswith("defer/")] == [
        os.path.relpath(spool.path("defer", name), spool.directory)
    ]


def test_another_message_is_neither_held_nor_released(spool):
    name = spool.add("deferred", logs=["defer"])
    messages = handles(spool.open())
    replace(spool.path("deferred", name), 9)
    before = spool.state()
    assert spool.open().hold(messages) == (0, [(name, mover.REPLACED)])
    assert spool.state() == before
    os.rename(spool.path("deferred", name), spool.path("hold", name))
    held = handles(spool.open())
    replace(spool.path("hold", name), 10)
    before = spool.state()
    assert spool.open().release(held) == (0, [(name, mover.GONE)])
    assert spool.state() == before


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
        assert reasons(taken_or_held(spool, work)) == [mover.IN_DELIVERY]
    assert told(spool) == ["postkick -c {0} public qmgr I".format(CONFIG_DIR)]
