"""What the alert does where it can't count, can't read all, or can't write."""

import json
import os
import time

import pytest
from alert_run import CANARY, METRICS, START, Counted, Host
from harden_mail.alert import look, program, turn
from harden_mail.alert.notice import message_id
from harden_mail.alert.store import STATE, Store
from harden_mail.errors import UserError
from harden_mail.parallel import together
from harden_mail.paths import ALERT_LOCK, ALERT_SPARE_STATE


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


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
    assert line.endswith("a defect of harden-mail: at test_alert_program_blind.py:{0}".format(number))


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
