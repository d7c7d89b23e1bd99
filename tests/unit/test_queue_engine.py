"""The module's work on a queue of small files: states, check mode, expectations, kills."""

import json
import os
import time
import tracemalloc

import killing
import pytest
from fake_queue import LOCKED, FakeQueue
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.paths import QUEUE_LOCK
from harden_mail.queue import engine, listing, quarantine
from harden_mail.queue.backend import Outcome
from harden_mail.queue.message import Message, Recipient

SPAM = {"sender": "spam*"}
QUARANTINE = "/var/lib/harden-mail/quarantine"


class Host:
    """A host with a queue: four messages of spam (one of them held), two others."""

    def __init__(self, root):
        self.root = root
        self.system = FakeSystem(root)
        self.queue = FakeQueue(root / "queue")
        for number in range(3):
            self.queue.put("s{0}".format(number), sender="spam@example.com", arrival=1700000000 + number)
        self.queue.put("s9", "hold", sender="spam@example.com", subject="\x1b[2J当選")
        self.queue.put("w0")
        self.queue.put("w1", "hold")
        self.everything = self.queue.ids()

    def run(self, state, select=None, check_mode=False, **more):
        params = {
            "state": state,
            "select": select,
            "all": False,
            "run": None,
            "expect": None,
            "limit_listed": 2,
            "quarantine_dir": QUARANTINE,
        }
        return engine.run(self.system, dict(params, **more), check_mode)

    def info(self, select=None, **more):
        params = {"select": select, "all": False, "limit_listed": 2, "quarantine_dir": QUARANTINE}
        return listing.info(self.system, dict(params, **more))

    def runs(self):
        return quarantine.runs(self.system, QUARANTINE)

    def quarantined(self):
        return {message.id: message.states[0] for run in self.runs() for message in self.queue.quarantined(run)}

    def state(self):
        """Every file of the host."""
        return {
            os.path.join(directory, name): os.lstat(os.path.join(directory, name)).st_ino
            for directory, _, names in os.walk(str(self.root))
            for name in names
            if not name.endswith(".lock")
        }


@pytest.fixture
def host(tmp_path, monkeypatch):
    made = Host(tmp_path)
    for module in (engine, listing):
        monkeypatch.setattr(module, "open_queue", lambda system, params: made.queue)
    return made


@pytest.mark.parametrize("state", ["quarantined", "deleted", "held", "released"])
def test_check_mode_predicts_and_changes_nothing_and_a_second_run_finds_nothing(host, state):
    before = host.state()
    predicted = host.run(state, SPAM, check_mode=True)
    assert host.state() == before
    made = host.run(state, SPAM)
    for name in ("changed", "matched", "moved", "states", "messages", "diff"):
        assert made[name] == predicted[name], name
    assert made["changed"]
    again = host.run(state, SPAM)
    assert (again["changed"], again["moved"], again["diff"]) == (False, 0, {"before": "", "after": ""})
    assert {name: state for name, state in host.queue.ids().items() if name[0] == "w"} == {
        "w0": "deferred",
        "w1": "hold",
    }


def test_quarantined_leaves_the_queue_with_a_manifest_and_comes_back_as_it_was(host):
    made = host.run("quarantined", SPAM)
    assert made["states"] == {"deferred": 3, "hold": 1}
    assert host.quarantined() == {name: state for name, state in host.everything.items() if name[0] == "s"}
    run = host.runs()[0]
    assert run.name == made["run"]
    assert run.unfinished() is None
    assert run.header()["selection"] == "sender: spam*"
    assert sorted(entry["id"] for entry in run.entries()) == ["s0", "s1", "s2", "s9"]
    assert os.stat(run.directory).st_mode & 0o777 == 0o700

    before = host.state()
    predicted = host.run("restored", check_mode=True, run=made["run"])
    assert host.state() == before
    back = host.run("restored", run=made["run"])
    assert (back["moved"], predicted["moved"]) == (4, 4)
    assert host.queue.ids() == host.everything
    assert host.runs() == []
    assert not host.run("restored", all=True)["changed"]


def test_restoring_by_selection_leaves_the_rest(host):
    made = host.run("quarantined", all=True)
    assert made["moved"] == 6
    assert host.run("restored", {"id": ["w0", "s1"]})["moved"] == 2
    assert host.queue.ids() == {"w0": "deferred", "s1": "deferred"}
    assert len(host.quarantined()) == 4


def test_one_selection_restores_from_several_runs(host, monkeypatch):
    marked = []
    mark = quarantine.Run.mark

    def noted(self, what, messages=()):
        mark(self, what, messages)
        marked.append([message["id"] for message in self.marked()])

    host.run("quarantined", {"id": ["s0", "s1", "w0"]})
    host.run("quarantined", {"id": ["s2", "s9"]})
    monkeypatch.setattr(quarantine.Run, "mark", noted)
    assert host.run("restored", SPAM)["moved"] == 4
    assert sorted(marked) == [["s0", "s1"], ["s2", "s9"]]
    assert host.quarantined() == {"w0": "deferred"}
    assert host.run("restored", all=True)["moved"] == 1
    assert host.runs() == []


class Endless(FakeQueue):
    """As many messages as are wanted, without files."""

    count = 0

    def messages(self, wanted=None):
        self.met = self.count
        for number in range(self.count):
            message = Message(
                id="4F1C2A{0:07X}".format(number),
                instance=None,
                states=("deferred",),
                sender="user{0}@{0}.example".format(number),
                recipients=[Recipient("{0}@r{0}.example".format(number), False)],
                subject="当選 {0}".format(number),
                size=2000,
                arrival=1700000000 + number,
                sasl_user="account{0}".format(number),
                client="10.0.{0}.{1}".format(number >> 8, number & 255),
                uid=None,
                script=None,
                identity=(number,),
            )
            if wanted is None or wanted(message):
                yield message

    def parts(self, message):
        return [("/queue/" + message.id, os.lstat("/"))]

    def quarantined(self, run):
        return self.messages()

    def take(self, run, entries, begun=False):
        with open(run.path("file"), "w"):
            return Outcome(sum(1 for _ in entries), [])

    def give_back(self, run, entries):
        return Outcome(sum(1 for _ in entries), [])

    def hold(self, messages):
        return Outcome(len(messages), [])


# What is held goes in batches of 5000; a summary keeps 5000 values of each kind.
@pytest.mark.parametrize(
    ("work", "count", "mebibytes"),
    [("info", 10000, 4), ("held", 20000, 4), ("quarantined", 5000, 1), ("restored", 5000, 1)],
)
def test_memory_does_not_grow_with_the_queue(host, monkeypatch, work, count, mebibytes):
    monkeypatch.setattr(host.queue, "__class__", Endless)
    monkeypatch.setattr(Endless, "count", count)
    if work == "restored":
        host.run("quarantined", all=True)
    tracemalloc.start()
    try:
        made = host.info() if work == "info" else host.run(work, all=True)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made["matched"] == count
    assert most < mebibytes << 20, most


def test_deleted_is_gone_for_good(host):
    assert host.run("deleted", SPAM)["run"] is None
    assert set(host.queue.ids()) == {"w0", "w1"}
    assert host.runs() == []


def test_held_and_released_stay_in_the_queue(host):
    host.run("held", SPAM)
    assert {host.queue.ids()[name] for name in ("s0", "s1", "s2", "s9")} == {"hold"}
    host.run("released", SPAM)
    assert {host.queue.ids()[name] for name in ("s0", "s1", "s2", "s9")} == {"deferred"}


def test_what_is_being_delivered_is_left_and_said(host):
    host.queue.locked = {"s1"}
    made = host.run("quarantined", SPAM)
    assert (made["matched"], made["moved"]) == (4, 3)
    assert made["passed_over"] == [{"id": "s1", "reason": LOCKED}]
    assert "1 of 4" in made["warnings"][0]
    assert "s1" in host.queue.ids()


def test_when_everything_is_being_delivered_nothing_is_left_behind(host):
    host.queue.locked = set(host.everything)
    made = host.run("quarantined", SPAM)
    assert (made["changed"], made["run"]) == (False, None)
    assert host.runs() == []


@pytest.mark.parametrize("state", ["quarantined", "deleted", "held", "restored"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_another_number_than_expected_changes_nothing(host, state, check_mode):
    if state == "restored":
        host.run("quarantined", SPAM)
    before = host.state()
    with pytest.raises(UserError, match=r"^expect is 5, but [34] messages match; nothing was changed\."):
        host.run(state, SPAM, check_mode, expect=5)
    assert host.state() == before


@pytest.mark.parametrize(
    ("state", "select", "more", "sentence"),
    [
        ("quarantined", None, {}, "select is empty"),
        ("restored", None, {}, "select is empty"),
        ("quarantined", SPAM, {"all": True}, "all is true and select has sender"),
        ("quarantined", {"state": "todo"}, {}, "select.state is 'todo'"),
        ("quarantined", SPAM, {"run": "x"}, "run is x, but state is quarantined"),
        ("restored", None, {"run": "x"}, "run is 'x', but "),
        ("quarantined", SPAM, {"limit_listed": -1}, "limit_listed is -1: "),
    ],
)
def test_what_makes_no_sense_is_a_sentence_and_changes_nothing(host, state, select, more, sentence):
    before = host.state()
    with pytest.raises(UserError, match="^" + sentence):
        host.run(state, select, **more)
    assert host.state() == before


def test_a_queue_that_cannot_hold_says_so(host):
    host.queue.can_hold = False
    with pytest.raises(UserError, match=r"^state is held, but fake can't hold mail"):
        host.run("held", SPAM)


def test_no_room_is_a_sentence_and_changes_nothing(host, monkeypatch):
    before = host.state()
    monkeypatch.setattr(host.queue, "room_needed", lambda run, size: 1 << 60)
    with pytest.raises(UserError, match=r"^quarantine_dir is on a file system with"):
        host.run("quarantined", SPAM)
    assert host.state() == before


def test_a_failure_before_anything_was_taken_leaves_nothing_behind(host, monkeypatch):
    before = host.state()

    def full(self, message, parts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quarantine.Run, "enter", full)
    with pytest.raises(OSError, match="No space"):
        host.run("quarantined", SPAM)
    assert host.state() == before


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A function that makes for a number a host."""

    def make(number):
        host = Host(tmp_path / str(number))
        monkeypatch.setattr(engine, "open_queue", lambda system, params: host.queue)
        return host

    return make


@pytest.mark.parametrize("state", ["quarantined", "deleted"])
def test_a_kill_at_any_point_loses_nothing_and_the_next_run_completes(fresh, state):
    for host, where in killing.everywhere(fresh, lambda host: host.run(state, SPAM), at_least=10):
        there = dict(host.queue.ids(), **host.quarantined())
        if state == "quarantined":
            assert there == host.everything, where
        host.run(state, SPAM)
        assert set(host.queue.ids()) == {"w0", "w1"}, where
        assert set(host.quarantined()) == (set() if state == "deleted" else {"s0", "s1", "s2", "s9"}), where
        assert all(run.unfinished() is None for run in host.runs()), where
        assert not host.run(state, SPAM)["changed"], where


def test_a_kill_while_restoring_loses_nothing_and_doubles_nothing(fresh):
    def quarantine_on(number):
        host = fresh(number)
        host.run("quarantined", SPAM)
        return host

    def restore(host):
        (run,) = host.runs()
        host.run("restored", run=run.name)

    for host, where in killing.everywhere(quarantine_on, restore, at_least=10):
        assert not set(host.queue.ids()) & set(host.quarantined()), where
        assert dict(host.queue.ids(), **host.quarantined()) == host.everything, where
        host.run("restored", all=True)
        assert host.queue.ids() == host.everything, where
        assert host.runs() == [], where


def interrupted(host, monkeypatch, state, **params):
    """Kill the module when half of the messages are moved."""

    class Half(FakeQueue):
        def take(self, run, entries, begun=False):
            super().take(run, entries if begun else list(entries)[:2], begun)
            killing.now()

        def give_back(self, run, entries):
            super().give_back(run, list(entries)[:2])
            killing.now()

    with monkeypatch.context() as patched:
        patched.setattr(host.queue, "__class__", Half)
        assert killing.killed(lambda: host.run(state, **params), 0) is not None


@pytest.mark.parametrize("before", ["quarantined", "deleted", "restored"])
@pytest.mark.parametrize(
    ("state", "params"),
    [
        ("quarantined", {"select": SPAM}),
        ("deleted", {"all": True}),
        ("held", {"select": SPAM}),
        ("released", {"all": True}),
        ("restored", {"all": True}),
        ("restored", {"select": {"id": ["s0", "s9"]}}),
    ],
)
def test_check_mode_knows_what_an_interrupted_run_will_have_done_first(host, monkeypatch, before, state, params):
    if before == "restored":
        host.run("quarantined", SPAM)
        interrupted(host, monkeypatch, "restored", all=True)
    else:
        interrupted(host, monkeypatch, before, select=SPAM)
    files = host.state()
    predicted = host.run(state, check_mode=True, **params)
    assert host.state() == files
    made = host.run(state, **params)
    for name in ("changed", "matched", "moved", "states", "resumed", "diff"):
        assert made[name] == predicted[name], name
    assert made["resumed"] == 1
    again = host.run(state, **params)
    assert (again["changed"], again["resumed"]) == (False, 0)


@pytest.mark.parametrize("before", ["quarantined", "deleted", "restored"])
def test_the_run_that_was_interrupted_can_be_named(host, monkeypatch, before):
    """Who asks for the same again, after a kill, is not told that there is no such run, since it has been completed."""
    if before == "restored":
        name = host.run("quarantined", SPAM)["run"]
        interrupted(host, monkeypatch, "restored", run=name)
    else:
        interrupted(host, monkeypatch, before, select=SPAM)
        (name,) = (run.name for run in host.runs())
    predicted = host.run("restored", check_mode=True, run=name)
    made = host.run("restored", run=name)
    for key in ("changed", "matched", "moved", "resumed"):
        assert made[key] == predicted[key], key
    assert made["resumed"] == 1
    assert host.runs() == []
    assert ("s0" in host.queue.ids()) == (before != "deleted")


def test_what_could_not_be_resumed_is_still_unfinished(host, monkeypatch):
    """Messages may be half way back, where a run that counts as finished would not be looked through for them."""
    host.run("quarantined", SPAM)
    interrupted(host, monkeypatch, "restored", all=True)

    def refuse(run, entries):
        raise UserError("full")

    with monkeypatch.context() as patched:
        patched.setattr(host.queue, "give_back", refuse)
        with pytest.raises(UserError, match=r"^full"):
            host.run("held", SPAM)
    assert [run.unfinished() for run in host.runs()] == ["give back"]
    assert host.run("held", SPAM)["resumed"] == 1
    assert host.runs() == []


@pytest.mark.parametrize("state", ["quarantined", "restored"])
def test_a_run_with_messages_beside_the_queue_is_kept(host, monkeypatch, state):
    if state == "restored":
        host.run("quarantined", SPAM)
    with monkeypatch.context() as patched:
        patched.setattr(quarantine.Run, "has_messages", lambda _: False)
        patched.setattr(host.queue, "count_quarantined", lambda _: 1)
        host.run(state, {"id": "s0"})
    assert len(host.runs()) == 1


def test_what_is_left_is_counted_among_what_matched(host, monkeypatch):
    host.queue.locked = {"s1", "s2"}
    assert host.run("quarantined", SPAM)["warnings"] == [
        "2 of 4 messages were left as they were ({0}); run this again for them.".format(LOCKED)
    ]

    class Left(FakeQueue):
        def give_back(self, run, entries):
            return Outcome(0, [(entry["id"], LOCKED) for entry in entries])

    interrupted(host, monkeypatch, "restored", all=True)
    monkeypatch.setattr(host.queue, "__class__", Left)
    made = host.run("held", {"id": "w1"})
    assert made["warnings"] == [
        "Messages, also of interrupted runs (2), were left as they were ({0}); run this again for them.".format(LOCKED)
    ]


@pytest.mark.parametrize("state", ["quarantined", "deleted", "held", "restored"])
def test_check_mode_knows_what_can_not_be_moved(host, monkeypatch, state):
    if state == "restored":
        host.run("quarantined", SPAM)
    stuck = {"s1": "it is nailed to the floor", "w0": "it is nailed to the floor"}
    monkeypatch.setattr(host.queue, "stuck", lambda message: stuck.get(message.id))
    monkeypatch.setattr(host.queue, "locked", set(stuck))
    predicted = host.run(state, SPAM, check_mode=True)
    assert (predicted["matched"], predicted["moved"]) == (4, 2 if state == "held" else 3)
    assert predicted["passed_over"] == [{"id": "s1", "reason": stuck["s1"]}]
    assert "would be left" in predicted["warnings"][0]
    alone = host.run(state, {"id": "s1"}, check_mode=True)
    assert (alone["changed"], alone["matched"], alone["moved"]) == (False, 1, 0)


def test_a_full_disk_does_not_keep_a_run_from_being_removed(host, monkeypatch):
    before = host.state()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    def refuse(run, entries, begun=False):
        monkeypatch.setattr(quarantine, "write_synced", full)
        raise UserError("full")

    monkeypatch.setattr(host.queue, "take", refuse)
    with pytest.raises(UserError, match=r"^full"):
        host.run("quarantined", SPAM)
    assert host.state() == before


def test_check_mode_waits_for_a_run_that_is_at_work(host, monkeypatch):
    host.run("quarantined", SPAM)
    (run,) = host.runs()
    run.mark("take")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with host.system.lock(QUEUE_LOCK):
            os.write(write, b"x")
            # As long as a check that did not wait would take.
            time.sleep(1)
            run.finish()
            os._exit(0)
    os.read(read, 1)
    before = host.state()
    predicted = host.run("quarantined", SPAM, check_mode=True)
    os.waitpid(child, 0)
    assert (predicted["resumed"], predicted["changed"]) == (0, False)
    assert set(before) - set(host.state()) == {run.path("unfinished")}


def test_check_mode_makes_no_lock(host):
    assert host.run("quarantined", SPAM, check_mode=True)["moved"] == 4
    assert not os.path.exists(host.system.real(QUEUE_LOCK))


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_run_of_another_mail_server_is_not_restored(host, check_mode):
    name = host.run("quarantined", SPAM)["run"]
    host.queue.name = "other"
    before = host.state()
    with pytest.raises(
        UserError, match="^run is {0}, which came out of fake's queue, but this is other's".format(name)
    ):
        host.run("restored", check_mode=check_mode, run=name)
    assert host.run("restored", check_mode=check_mode, all=True)["changed"] is False
    assert host.state() == before


def test_what_was_finished_first_is_not_denied(host, monkeypatch):
    interrupted(host, monkeypatch, "quarantined", select=SPAM)
    with pytest.raises(UserError, match=r"^expect is 5, but 2 messages match; nothing else was changed\."):
        host.run("quarantined", SPAM, expect=5)


def test_what_is_listed_was_read_before_it_was_moved(host, monkeypatch):
    class Lazy(Message):
        __slots__ = ("path",)

        @property
        def subject(self):
            assert os.path.exists(self.path), "it has been moved"
            return "lazy"

    def lazily(self, wanted=None):
        path = self.path("deferred", "w0")
        yield Lazy(
            path=path,
            id="w0",
            instance=None,
            states=("deferred",),
            sender="x",
            recipients=[],
            size=1,
            arrival=1,
            sasl_user=None,
            client=None,
            uid=None,
            script=None,
            identity=(1,),
        )

    monkeypatch.setattr(FakeQueue, "messages", lazily)
    assert host.run("quarantined", all=True)["messages"][0]["subject"] == "lazy"


def test_info_counts_what_is_in_a_run_and_not_what_was(host):
    name = host.run("quarantined", SPAM)["run"]
    host.run("restored", {"id": "s0"}, run=name)
    assert [run["messages"] for run in host.info()["quarantine"]] == [3]


def test_info_counts_lists_the_newest_and_names_the_runs(host):
    made = host.info(SPAM)
    assert (made["changed"], made["total"], made["matched"]) == (False, 6, 4)
    assert [entry["id"] for entry in made["messages"]] == ["s2", "s1"]
    assert made["states"] == {"deferred": 3, "hold": 1}
    assert made["quarantine"] == []
    assert host.info()["matched"] == 6
    name = host.run("quarantined", SPAM)["run"]
    about = host.info()["quarantine"]
    assert [(run["run"], run["messages"], run["unfinished"]) for run in about] == [(name, 4, False)]
    json.dumps(made).encode("ascii")


def test_what_is_in_a_header_steers_no_terminal(host):
    shown = host.info({"state": "hold"}, limit_listed=100)["messages"]
    assert [entry["subject"] for entry in shown if entry["id"] == "s9"] == ["\\x1b[2J当選"]
