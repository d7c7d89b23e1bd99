"""What one run of the alert's program does, and what the next one makes of it."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time

import killing
import pytest
from alert_servers import HttpServer, SmtpServer, make_sendmail
from fake_queue import FakeQueue
from fake_system import FakeSystem
from harden_mail.alert import look, program, turn, ways
from harden_mail.alert import store as store_module
from harden_mail.alert.notice import message_id
from harden_mail.alert.settings import check
from harden_mail.alert.store import STATE, Store
from harden_mail.errors import UserError
from harden_mail.parallel import together
from harden_mail.paths import ALERT_LOCK, ALERT_SPARE_STATE, ALERT_STATE

START = 1700000000
MINUTE = 60
METRICS = "/var/lib/node/mail.prom"
CANARY = "canary5ecret"


class Counted(FakeQueue):
    """A queue of which only the number matters, unless messages are put into it.

    :ivar int total: how many it says it has; None: as many as were put into it
    :ivar int was_read: messages that were read of it
    """

    total, todo, was_read = None, None, 0

    def count(self):
        states = list(self.ids().values())
        total = states.count("deferred") if self.total is None else self.total
        return total, states.count("hold"), self.todo

    def messages(self, wanted=None):
        for message in super().messages(wanted):
            self.was_read += 1
            yield message


class Host:
    """:ivar list told: notices that a way has accepted, as (number of the way from 1, notice)
    :ivar set down: numbers of the ways that accept nothing
    """

    def __init__(self, tmp_path, monkeypatch):
        self.system = FakeSystem(tmp_path / "host")
        self.queue = Counted(tmp_path / "queue")
        self.logged, self.told, self.tried, self.down = [], [], [], set()
        self.now = START
        self.settings = self.check()
        monkeypatch.setattr(look, "open_queue", lambda system, settings: self.queue)
        monkeypatch.setattr(program, "host_name", lambda: "vps1.example.com")
        monkeypatch.setattr(ways.syslog, "syslog", lambda level, text: self.logged.append(text))
        self.monkeypatch = monkeypatch
        self.use_fake_ways()

    def check(self, **given):
        two = [
            {"type": "smtp", "host": "relay{0}.example.net".format(number), "to": ["a@example.net"]}
            for number in (1, 2)
        ]
        return check(dict({"ways": two}, **given))

    def use_fake_ways(self):
        def send(kept, way, settings, seconds):
            number = settings["ways"].index(way) + 1
            self.tried.append((number, kept["kind"]))
            self.before_send(kept)
            if number in self.down:
                raise ways.WayError("way {0} is down".format(number))
            if self.refuses(kept):
                raise ways.WayError("way {0} refuses it".format(number), answered=True, for_good=True)
            self.told.append((number, kept))

        self.monkeypatch.setattr(ways, "send", send)

    def refuses(self, kept):
        """Whether the ways that are up refuse a notice for what is in it."""
        return False

    def before_send(self, kept):
        """For tests that look at the disk at this moment."""

    def run(self, total=None, minutes=5):
        self.queue.total = total
        self.now += minutes * MINUTE
        return program.run(self.system, self.settings, self.now)

    def kinds(self):
        return [kept["kind"] for _, kept in self.told]

    def waiting(self):
        return [kept["kind"] for kept in Store(self.system).waiting]


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_an_alert_is_on_disk_before_anybody_is_told(host):
    seen = []
    host.before_send = lambda kept: seen.append([one["key"] for one in Store(host.system).waiting])
    assert host.run(301)
    assert seen == [[host.told[0][1]["key"]]]
    assert host.waiting() == []
    assert "alarm: 301 messages (limit 300)" in host.logged


def test_nothing_to_say_says_nothing(host):
    assert host.run(300)
    assert (host.told, host.logged) == ([], [])


def test_a_flapping_queue_gives_one_alarm_and_one_all_clear(host):
    for total in (301, 299, 301, 241, 310, 290, 240, 0, 300):
        host.run(total)
    assert host.kinds() == ["alarm", "clear"]


@pytest.mark.parametrize("condition", ["one_origin", "oldest_minutes"])
def test_other_conditions_do_not_flap_either(host, condition):
    host.settings = host.check(**{condition: 10})
    for number in (11, 10, 11, 9, 11, 8, 10):
        for name in host.queue.ids():
            os.unlink(host.queue.path("deferred", name))
        for one in range(number):
            host.queue.put(
                str(one),
                arrival=host.now + 5 * MINUTE - number * MINUTE,
                **({"sender": str(one), "uid": one} if condition == "oldest_minutes" else {}),
            )
        host.run()
    assert host.kinds() == ["alarm", "clear"]


def test_an_alarm_of_one_condition_ends_though_another_is_near_its_limit(host):
    host.settings = host.check(todo_limit=10)
    for todo in (11, 8):
        host.queue.todo = todo
        host.run(290)
    assert host.kinds() == ["alarm", "clear"]


def test_the_second_way_gets_it_when_the_first_is_down_and_is_not_asked_twice(host):
    host.down = {1, 2}
    host.run(301)
    host.run(0)
    assert host.waiting() == ["alarm", "clear"]
    host.down, host.tried = {1}, []
    assert host.run(0)
    assert [(number, kept["kind"]) for number, kept in host.told] == [(2, "alarm"), (2, "clear")]
    assert host.tried == [(1, "alarm"), (2, "alarm"), (2, "clear")], "a way that is down costs its time once a run"


def test_what_nobody_takes_is_kept_and_arrives_in_order(host):
    host.settings = host.check(ping_url="http://127.0.0.1:9/", repeat_minutes=5)
    pinged = []
    host.monkeypatch.setattr(ways, "ping", pinged.append)
    host.down = {1, 2}
    for total in (301, 400, 500, 0, 301):
        assert not host.run(total)
    assert pinged == [], "that run was not good"
    assert host.waiting() == ["alarm", "repeat", "clear", "alarm"], "a newer number takes the older one's place"
    host.down = {2}
    assert host.run(400)
    assert host.kinds() == ["alarm", "clear", "alarm", "repeat"], "the newest repeat stands for those before"
    keys = [kept["key"] for _, kept in host.told]
    assert len(set(keys)) == len(keys)
    assert len(pinged) == 1


def test_what_every_way_refuses_for_good_holds_up_nothing_and_is_set_aside_at_last(host):
    host.settings = host.check(ping_url="http://127.0.0.1:9/", repeat_minutes=10000)
    pinged = []
    host.monkeypatch.setattr(ways, "ping", pinged.append)
    host.refuses = lambda kept: kept["kind"] == "alarm"
    assert not host.run(301)
    assert not host.run(0)
    assert (host.kinds(), host.waiting()) == (["clear"], ["alarm"]), "the next one is not held up"
    for _ in range(program.REFUSALS - 3):
        assert not host.run(0)
    assert host.waiting() == ["alarm"]
    host.down = {2}
    host.run(0)
    assert host.waiting() == ["alarm"], "one way did not refuse it"
    host.down, host.logged = set(), []
    assert not host.run(0)
    assert host.waiting() == []
    ((path, line),) = [(line.rsplit(" ", 1)[1], line) for line in host.logged if "set aside" in line]
    assert "301 messages" in line
    assert "301 messages" in host.system.read(path).splitlines()[0]
    assert "queue_action=quarantine" in host.system.read(path)
    assert not host.run(0)
    assert pinged == [], "nobody was told of it yet: the silence says so"
    host.refuses = lambda kept: False
    host.told = []
    assert host.run(302)
    ((_, told),) = host.told
    assert path in told["text"]
    assert path in told["brief"]
    assert len(pinged) == 1
    host.run(0)
    assert path not in host.told[1][1]["text"], "it is named once"


def test_what_can_not_be_set_aside_goes_on_waiting(host):
    host.refuses = lambda kept: True
    original = host.system.write

    def write(path, text, mode=0o644):
        if "refused-" in path:
            raise OSError(28, "No space left on device")
        original(path, text, mode)

    host.system.write = write
    for _ in range(program.REFUSALS + 2):
        host.run(301)
    assert host.waiting() == ["alarm"]
    assert any("can't be written: No space left" in line for line in host.logged)


def test_too_many_that_wait_are_set_aside_and_none_is_lost(host):
    host.monkeypatch.setattr(store_module, "WAITING", 4)
    host.down = {1, 2}
    for _ in range(4):
        host.run(301)
        host.run(0)
    names = [name for name in os.listdir(host.system.real(ALERT_STATE)) if name.startswith("refused-")]
    assert len(host.waiting()) == 4
    assert len(names) == 4
    assert host.waiting()[0] == "alarm"
    assert sum("set aside" in line for line in host.logged) == 4
    keys = [kept["key"] for kept in Store(host.system).waiting]
    assert not any(key in name for key in keys for name in names)


def test_no_way_may_use_up_the_time_of_the_next(host):
    host.settings = host.check(
        ways=[{"type": "smtp", "host": str(number), "to": ["a@b"], "timeout": 60} for number in range(9)]
    )
    clock, given = [0], []

    def send(kept, way, settings, seconds):
        given.append(seconds)
        clock[0] += seconds
        raise ways.WayError("late")

    host.monkeypatch.setattr(ways, "send", send)
    host.monkeypatch.setattr(program.time, "monotonic", lambda: clock[0])
    host.run(301)
    assert len(given) == 9
    assert min(given) > 10
    assert clock[0] + look.READING + look.COUNTING < turn.LONGEST


def test_what_there_is_no_time_for_waits_for_the_next_run(host):
    host.down = {1, 2}
    host.run(301)
    host.run(0)
    clock, given = [0], []

    def slow(kept, way, settings, seconds):
        given.append(seconds)
        clock[0] += program.SENDING + 1

    host.monkeypatch.setattr(ways, "send", slow)
    host.monkeypatch.setattr(program.time, "monotonic", lambda: clock[0])
    assert not host.run(0)
    assert host.waiting() == ["clear"]
    assert len(given) == 1
    host.logged = []
    assert host.run(0)
    assert host.logged == []


def test_a_drill_takes_no_longer_than_is_waited_for_it(host):
    given = []
    many = [{"type": "smtp", "host": str(number), "to": ["a@b"], "timeout": 60} for number in range(9)]
    host.monkeypatch.setattr(ways, "send", lambda kept, way, settings, seconds: given.append(seconds))
    assert len(program.drill(host.check(ways=many))) == 9
    assert sum(given) <= program.DRILL


def test_an_alert_names_the_host_as_the_inventory_does(host):
    host.settings = host.check(inventory_name="web1")
    host.run(301)
    assert "--limit web1\n" in host.told[0][1]["text"]


def goes_blind(host, error):
    def gone(system, settings):
        raise error

    host.monkeypatch.setattr(look, "open_queue", gone)


def sees_again(host):
    host.monkeypatch.setattr(look, "open_queue", lambda system, settings: host.queue)


def run_blind(host, times=1, minutes=5):
    for _ in range(times):
        with pytest.raises((UserError, OSError, TypeError)):
            host.run(301, minutes)


def test_a_queue_that_cannot_be_read_holds_nothing_back(host):
    host.down = {1, 2}
    host.run(301)
    host.down = set()
    goes_blind(host, UserError("there is no queue"))
    run_blind(host)
    assert host.kinds() == ["alarm", "blind"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("There is no queue in /var/spool/postfix."), "There is no queue in /var/spool/postfix."),
        (OSError(5, "Input/output error", "/var/spool/postfix/active"), "Input/output error (/var/spool/postfix/act"),
        (TypeError(CANARY), "a defect of harden-mail: TypeError at "),
    ],
)
def test_who_cannot_count_says_so_and_when_it_is_over(host, error, said):
    host.run(0)
    goes_blind(host, error)
    # Told at once, and again in an hour.
    run_blind(host, 13)
    assert host.kinds() == ["blind", "still_blind"]
    first = host.told[0][1]
    assert first["subject"] == "Mail queue on vps1.example.com can't be counted"
    assert said in first["text"]
    assert CANARY not in json.dumps(host.told) + "".join(host.logged)
    sees_again(host)
    host.run(7)
    host.run(7)
    assert host.kinds() == ["blind", "still_blind", "sighted"]
    assert host.told[2][1]["subject"] == "Mail queue on vps1.example.com can be counted again: 7 messages"
    keys = [message_id(kept) for _, kept in host.told]
    assert len(set(keys)) == len(keys)


def test_while_it_is_blind_no_alarm_ends(host):
    host.run(301)
    goes_blind(host, OSError(5, "Input/output error", "/q"))
    run_blind(host, 3)
    assert host.kinds() == ["alarm", "blind"]
    assert "is not over" in host.told[1][1]["text"]
    sees_again(host)
    host.run(301)
    host.run(0)
    assert host.kinds() == ["alarm", "blind", "sighted", "clear"]


def test_who_is_blind_every_other_time_says_so_no_more_often(host):
    for _ in range(24):
        goes_blind(host, OSError(5, "Input/output error", "/q"))
        run_blind(host)
        sees_again(host)
        host.run(0)
    # Four hours.
    assert 4 <= host.kinds().count("blind") <= 5
    assert host.kinds().count("sighted") == host.kinds().count("blind")


def test_at_night_a_blindness_begins_and_is_not_repeated(host):
    span = "{0}-{1}".format(*(time.strftime("%H:%M", time.localtime(START + hours * 3600)) for hours in (-1, 8)))
    host.settings = host.check(quiet_hours=span, language="ja")
    goes_blind(host, UserError("there is no queue"))
    run_blind(host, 6 * 12)
    assert host.kinds() == ["blind"]
    assert "件数を確認できません" in host.told[0][1]["subject"]
    run_blind(host, 4 * 12)
    assert host.kinds()[:2] == ["blind", "still_blind"]


def test_what_is_told_of_a_blindness_waits_for_a_way_as_any_alert(host):
    host.down = {1, 2}
    goes_blind(host, UserError("there is no queue"))
    run_blind(host, 30)
    assert host.waiting() == ["blind", "still_blind"]
    host.down = set()
    run_blind(host)
    assert host.kinds() == ["blind", "still_blind"]
    assert host.waiting() == []


def test_a_count_that_takes_too_long_is_none(host):
    host.monkeypatch.setattr(look, "COUNTING", 0.2)
    host.monkeypatch.setattr(look, "count_queue", lambda queue: time.sleep(5))
    with pytest.raises(UserError, match="took longer than"):
        host.run(0)
    assert host.kinds() == ["blind"]


def test_a_run_that_was_ended_while_it_counted_is_told_before_the_next_one_hangs_there(host):
    def hangs(queue):
        assert host.kinds() == ["blind"]
        assert host.system.read(ALERT_LOCK).split()[2:] == ["counting"] * 3
        raise KeyboardInterrupt

    path = host.system.real(ALERT_LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as handle:
        handle.write("1 1 counting counting")
    host.monkeypatch.setattr(look, "count_queue", hangs)
    seen = []
    host.before_send = lambda kept: seen.append(host.system.read(ALERT_LOCK).split()[2:])
    with pytest.raises(KeyboardInterrupt), turn.only_one(host.system) as handle:
        program.run(host.system, host.settings, host.now, turn.Turn(handle))
    assert seen == [["counting"] * 2]
    host.monkeypatch.undo()
    with turn.only_one(host.system) as handle:
        assert not turn.Turn(handle).was_cut_off, "an end by an exception is told otherwise"


def test_one_run_that_was_ended_while_it_counted_is_nothing_to_tell(host):
    path = host.system.real(ALERT_LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as handle:
        handle.write("1 1 counting")
    host.queue.total = 0
    for _ in range(3):
        with turn.only_one(host.system) as handle:
            assert program.run(host.system, host.settings, host.now, turn.Turn(handle))
    assert host.told == []


def test_a_limit_that_would_be_learned_too_fast_is_told_once_a_week_and_not_at_night(host):
    host.settings = host.check(limit="auto")
    for _ in range(24 * 8):
        host.run(10, 60)
    assert host.told == []
    for _ in range(24 * 14):
        host.run(50, 60)
    assert host.kinds() == ["held_back"] * 2
    assert "would be 150." in host.told[0][1]["text"]
    assert "stays at 100 " in host.told[0][1]["text"]


def test_messages_that_cannot_be_read_hold_no_alert_back(host):
    def broken(wanted=None):
        yield from ()
        raise OSError(5, "Input/output error")

    host.queue.messages = broken
    host.run(301)
    assert host.kinds() == ["alarm"]


def test_a_message_that_a_defect_trips_over_holds_no_alert_back(host):
    def broken(wanted=None):
        yield from Counted.messages(host.queue)
        raise IndexError(CANARY)

    host.queue.put("1", subject="spam")
    host.queue.messages = broken
    host.run(301)
    assert host.kinds() == ["alarm"]
    assert "spam" in host.told[0][1]["text"]
    assert any("defect of harden-mail: IndexError at" in line for line in host.logged)
    assert CANARY not in "".join(host.logged)


def test_of_a_process_that_failed_only_its_place_is_logged(host):
    def work(part):
        yield from ()
        raise IndexError(CANARY)

    host.queue.messages = lambda wanted=None: together(2, work)
    host.run(301)
    assert host.kinds() == ["alarm"]
    (line,) = [line for line in host.logged if "defect" in line]
    number = work.__code__.co_firstlineno + 2
    assert line.endswith("a defect of harden-mail: at test_alert_program.py:{0}".format(number))


def test_messages_that_cannot_be_read_this_time_end_no_alarm(host):
    host.settings = host.check(one_origin=2)
    for number in range(3):
        host.queue.put(str(number), sasl_user="bob")
    host.run()

    def broken(wanted=None):
        yield from ()
        raise OSError(5, "Input/output error")

    host.queue.messages = broken
    host.run()
    del host.queue.messages
    host.run()
    assert host.kinds() == ["alarm"]


def test_reading_that_takes_long_is_cut_off_and_the_alert_says_so(host):
    host.monkeypatch.setattr(look, "READING", 0.3)

    def slow(wanted=None):
        yield from Counted.messages(host.queue)
        time.sleep(10)

    host.queue.put("1", subject="spam")
    host.queue.messages = slow
    host.run(301)
    assert "spam" in host.told[0][1]["text"]
    assert "of the first 1 messages" in host.told[0][1]["text"]


@pytest.mark.parametrize("given", [{}, {"one_origin": 2}])
def test_of_a_million_messages_only_so_many_are_read_once(host, given):
    host.settings = host.check(**given)
    host.monkeypatch.setattr(look, "READ", 10)
    for number in range(30):
        host.queue.put("{0:02}".format(number))
    host.run(10**6)
    assert host.queue.was_read == 11
    assert "of the first 10 messages" in host.told[0][1]["text"]


def test_held_messages_are_no_part_of_it(host):
    host.settings = host.check(limit=1, one_origin=1, oldest_minutes=1)
    for number in range(5):
        host.queue.put("h" + str(number), "hold", subject="held")
    host.queue.put("1", arrival=host.now + 5 * MINUTE)
    host.run()
    assert host.told == []
    host.queue.put("2", arrival=host.now + 5 * MINUTE)
    host.run()
    assert "held" not in host.told[0][1]["text"]
    assert "Held besides: 5" in host.told[0][1]["text"]


def test_bounces_have_no_sender_who_could_send_too_many(host):
    host.settings = host.check(one_origin=2)
    for number in range(5):
        host.queue.put(str(number), sender="")
    host.run()
    assert host.told == []
    for number in range(3):
        host.queue.put(str(number), sender="", sasl_user="bob")
    host.run()
    assert "3 messages come from one origin" in host.told[0][1]["text"]


def test_the_oldest_and_growth_are_told(host):
    host.settings = host.check(oldest_minutes=60, growth_messages=3)
    host.queue.put("1", arrival=START - 61 * MINUTE)
    host.run()
    assert "waited for 66 minutes" in host.told[0][1]["text"]
    os.unlink(host.queue.path("deferred", "1"))
    host.run(0)
    host.run(4)
    assert "grown by 4 messages" in host.told[2][1]["text"]


def fill_the_disk(host, everywhere=False):
    """Returns a function that makes room again."""
    original = host.system.write

    def full(path, text, mode=0o644):
        if everywhere or not path.startswith("/run/"):
            raise OSError(28, "No space left on device")
        original(path, text, mode)

    host.system.write = full
    return lambda: setattr(host.system, "write", original)


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_disk_that_is_full_stops_no_alert(host, everywhere):
    host.settings = host.check(prometheus_file=METRICS)
    fill_the_disk(host, everywhere)
    host.run(301)
    assert host.kinds() == ["alarm"]
    where = "it is nowhere" if everywhere else "it is in /run"
    assert any("can't be written to disk, {0}: No space left".format(where) in line for line in host.logged)


def test_an_alarm_while_the_disk_is_full_is_one_alarm_before_and_after(host):
    make_room = fill_the_disk(host)
    host.down = {1, 2}
    host.run(301)
    host.down = set()
    host.run(301)
    host.run(301)
    assert host.kinds() == ["alarm"]
    make_room()
    host.run(301)
    assert not host.system.exists(ALERT_SPARE_STATE)
    host.run(0)
    assert host.kinds() == ["alarm", "clear"]
    assert host.told[1][1]["key"].split(".")[0] == host.told[0][1]["key"].split(".")[0]


@pytest.mark.parametrize(
    "text",
    [
        '{"alarm": {}, "waiting": [], "recent": [], "hours": [], "begun": 1}',
        '{"alarm": null, "waiting": [{"key": 5}], "recent": [], "hours": [], "begun": 1}',
        '{"alarm": null, "waiting": [], "recent": ["x"], "hours": [], "begun": 1}',
        '{"alarm": null, "waiting": [], "recent": [[1, 2]], "hours": [[1.5, "2"]], "begun": 1}',
        '{"alarm": null, "waiting": [], "recent": [], "hours": [], "begun": "x"}',
        '{"alarm": null, "waiting": [], "recent": [], "hours": [], "begun": 1, "saves": "x"}',
        '{"alarm": null, "waiting": [], "recent": [], "hours": [], "begun": 1, "aside": [5]}',
        '{"alarm": {"since": 1000000000000000000, "sequence": 1, "last": 1, "peak": 1}, "waiting": [], "recent": [],'
        ' "hours": [], "begun": 1}',
        '{"alarm": {"since": 1, "sequence": 1, "last": 1, "peak": 1, "over": [5]}, "waiting": [], "recent": [],'
        ' "hours": [], "begun": 1}',
        "{}",
        "[" * 100000,
        "\x00",
    ],
)
def test_a_damaged_state_silences_nothing(host, text):
    host.system.write(STATE, text)
    host.run(301)
    assert host.kinds() == ["alarm"]
    assert "the state file was damaged; beginning anew" in host.logged
    assert not Store(host.system).damaged


def test_a_clock_that_is_set_back_holds_back_no_repeat(host):
    host.run(301)
    host.now -= 10**8
    host.run(301)
    assert host.kinds() == ["alarm", "repeat"]


def test_metrics_make_no_directory_that_would_stay(host):
    host.settings = host.check(prometheus_file=METRICS)
    assert host.run(0)
    assert not host.system.exists(os.path.dirname(METRICS))
    assert host.logged == [METRICS + ": No such file or directory"]


def test_the_metrics_can_be_read_by_others(host):
    os.makedirs(host.system.real(os.path.dirname(METRICS)))
    host.settings = host.check(prometheus_file=METRICS)
    host.queue.todo = 4
    host.down = {1, 2}
    host.run(301)
    text = host.system.read(METRICS)
    values = {}
    for line in text.splitlines():
        if not re.match(r"# (HELP harden_mail_queue_\w+ \S.*|TYPE harden_mail_queue_\w+ gauge)\Z", line):
            name, value = re.match(r"(harden_mail_queue_[a-z_]+) (\d+)\Z", line).groups()
            assert "# TYPE {0} gauge\n{1}".format(name, line) in text
            values[name[len("harden_mail_queue_") :]] = int(value)
    assert values == {
        "messages": 301,
        "held_messages": 0,
        "todo_messages": 4,
        "limit_messages": 300,
        "alarm": 1,
        "notices_waiting": 1,
        "last_run_seconds": host.now,
    }
    assert os.stat(host.system.real(METRICS)).st_mode & 0o777 == 0o644


# --- killed -------------------------------------------------------------------------------------------------


def test_killed_anywhere_no_alert_is_lost_and_a_doubled_one_can_be_told(tmp_path, monkeypatch):
    doubled = 0
    for fatal in range(1, 100):
        host = Host(tmp_path / str(fatal), monkeypatch)
        record = tmp_path / "told"
        record.write_text("", encoding="ascii")

        def send(kept, way, settings, seconds, record=record):
            killing.about_to("send")
            with record.open("a", encoding="ascii") as handle:
                handle.write(message_id(kept) + " " + kept["kind"] + "\n")

        monkeypatch.setattr(ways, "send", send)
        died = False
        for total in (301, 0):
            died = killing.killed(lambda host=host, total=total: host.run(total), fatal) or died
            # The next run is a little later.
            host.now += MINUTE
            host.run(total)
        told = record.read_text(encoding="ascii").splitlines()
        assert [line.split()[1] for line in dict.fromkeys(told)] == ["alarm", "clear"], fatal
        doubled += len(told) > len(set(told))
        assert set(os.listdir(host.system.real(ALERT_STATE))) == {"state.json"}
        if not died:
            break
    assert not died
    assert doubled, "a kill between acceptance and its record was among them"


# --- one run at a time --------------------------------------------------------------------------------------


def hold_lock(host, name, since):
    """Start a process of this name that holds the lock and hangs."""
    path = host.system.real(ALERT_LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    code = (
        "import fcntl, os, sys, time\n"
        "handle = open(os.environ['LOCK'], 'a+')\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "handle.truncate(0)\n"
        "handle.write('%d %s' % (os.getpid(), sys.argv[2]))\n"
        "handle.flush()\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, name, str(since)], env={"LOCK": path}, stdout=subprocess.PIPE
    )
    holder.stdout.readline()
    return holder


@pytest.mark.parametrize(
    ("name", "age", "ends"), [("queue-alert", 20, True), ("queue-alert", 1, False), ("other", 20, False)]
)
def test_a_run_that_hangs_is_ended_and_one_that_works_is_not(host, name, age, ends):
    host.monkeypatch.setattr(turn, "LONGEST", 10)
    holder = hold_lock(host, name, int(time.monotonic()) - age)
    try:
        if ends:
            with turn.only_one(host.system):
                pass
            assert holder.wait(5) == -signal.SIGKILL
        else:
            with pytest.raises(turn.Busy), turn.only_one(host.system):
                pytest.fail("two at once")
            assert holder.poll() is None
    finally:
        holder.kill()
        holder.communicate()


def test_nobody_else_can_hold_the_lock(host):
    """Whoever can open its file can keep the alert from running."""
    path = host.system.real(ALERT_LOCK)
    umask = os.umask(0)
    try:
        for _ in ("made", "left by a former version"):
            with turn.only_one(host.system):
                assert os.stat(path).st_mode & 0o777 == 0o600
            assert os.stat(os.path.dirname(path)).st_mode & 0o022 == 0
            os.chmod(path, 0o644)
    finally:
        os.umask(umask)


@pytest.mark.parametrize("text", ["", "x", "1 x", "1", "999999999 0", "-1 0"])
def test_a_lock_that_says_nothing_useful_ends_nobody(host, text):
    path = host.system.real(ALERT_LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as handle:
        handle.write(text)
        handle.flush()
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(turn.Busy), turn.only_one(host.system):
            pytest.fail("two at once")


# --- the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def command(host, monkeypatch, tmp_path):
    """Calls the program with its own configuration file; gives its exit status."""
    monkeypatch.setattr(program, "System", lambda: host.system)
    # Of this process, they would be given up for all tests.
    monkeypatch.setattr(program.privileges, "drop", lambda settings: None)
    umask = os.umask(0o022)

    def call(*arguments, **settings):
        host.system.write("/config.json", json.dumps(settings))
        return program.main(["--config", "/config.json"] + list(arguments))

    yield call
    os.umask(umask)


def test_it_counts(host, command, capsys):
    host.queue.put("1")
    host.queue.put("2", "hold")
    assert command("--count") == 0
    counted = json.loads(capsys.readouterr().out)
    assert (counted["total"], counted["held"], counted["todo"]) == (1, 1, None)
    assert not host.system.exists(STATE)


def test_a_drill_goes_by_every_way_for_real(host, command, capsys, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(program, "System", lambda: host.system)
    monkeypatch.setattr(program.privileges, "drop", lambda settings: None)
    read = make_sendmail(tmp_path / "sendmail")
    with SmtpServer() as relay, HttpServer(500) as hook:
        two = [
            {"type": "smtp", "host": "localhost", "port": relay.port, "tls": "none", "to": ["a@example.net"]},
            {"type": "webhook", "url": hook.url + "/" + CANARY},
            {"type": "sendmail", "path": str(tmp_path / "sendmail"), "to": ["root"]},
        ]
        assert command("--drill", ways=two) == 0
        results = json.loads(capsys.readouterr().out)
        assert [result["accepted"] for result in results] == [True, False, True]
        assert "status 500" in results[1]["reason"]
        assert CANARY not in json.dumps(results)
        assert command("--drill", ways=two[1:2]) == 1
    assert b"DRILL" in relay.mails[0][2]
    assert "DRILL" in read()[1]
    assert not host.system.exists(STATE)
    assert command("--drill") == 1


def test_a_run_says_by_its_status_whether_all_is_said(host, command):
    host.queue.total = 301
    two = host.settings["ways"]
    assert command(ways=two) == 0
    host.down = {1, 2}
    host.queue.total = 0
    assert command(ways=two) == 1


@pytest.mark.parametrize("text", [None, "{", "[]", '{"ways": [{"type": "smtp", "password": "' + CANARY + '"}]}'])
def test_a_wrong_configuration_is_a_line_in_the_log(host, command, text, capsys):
    if text is None:
        assert program.main(["--config", "/gone"]) == 2
    else:
        host.system.write("/wrong", text)
        assert program.main(["--config", "/wrong"]) == 2
    assert len(host.logged) == 1
    assert CANARY not in host.logged[0] + capsys.readouterr().err


def test_a_defect_is_a_line_in_the_log_without_its_text(host, command, monkeypatch, capsys):
    def broken(*_):
        raise TypeError(CANARY)

    monkeypatch.setattr(program, "run", broken)
    assert command() == 3
    assert host.logged == [
        "a defect of harden-mail: TypeError at test_alert_program.py:{0}; please report it".format(
            broken.__code__.co_firstlineno + 1
        )
    ]
    monkeypatch.setattr(program, "run", lambda *_: os.stat("/no/such/file"))
    assert command() == 2
    assert host.logged[1] == "the host's file system said: No such file or directory (/no/such/file)"
    assert CANARY not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("node", "full", "name"),
    [
        ("vps1.example.com", None, "vps1.example.com"),
        ("vps1", "vps1.example.com", "vps1.example.com"),
        ("vps1", "a b\n<c>\u3042", "a-b--c--"),
        ("vps1", "", "localhost"),
    ],
)
def test_the_hosts_name_fits_into_a_header(monkeypatch, node, full, name):
    def getfqdn(asked):
        assert full is not None, "no name server is needed"
        return full

    monkeypatch.setattr(program.os, "uname", lambda: type("Uname", (), {"nodename": node}))
    monkeypatch.setattr(program.socket, "getfqdn", getfqdn)
    assert program.host_name() == name
