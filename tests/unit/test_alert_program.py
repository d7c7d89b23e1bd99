"""What one run of the alert's program does, and what the next one makes of it."""

import os
import re

import pytest
from alert_run import METRICS, MINUTE, START, Host
from harden_mail.alert import look, program, turn, ways
from harden_mail.alert import store as store_module
from harden_mail.alert.store import Store
from harden_mail.paths import ALERT_STATE


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
