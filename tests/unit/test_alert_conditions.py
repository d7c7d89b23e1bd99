"""When the queue alert tells people something."""

import time

import pytest
from fake_system import FakeSystem
from harden_mail.alert import conditions, limit
from harden_mail.alert.conditions import Counts
from harden_mail.alert.settings import check
from harden_mail.alert.store import EMPTY, KEPT_ASIDE, STATE, WAITING, Store
from harden_mail.paths import ALERT_SPARE_STATE, ALERT_STATE
from hypothesis import given
from hypothesis import strategies as st

MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR
START = 1700000000


@pytest.fixture
def store(tmp_path):
    return Store(FakeSystem(tmp_path))


def counts(total, **more):
    usual = {"total": total, "held": 0, "todo": None, "oldest": None, "top": None, "partial": False}
    return Counts(**dict(usual, **more))


def kinds(store, settings, totals, step=5 * MINUTE):
    """What is told, run after run."""
    return [
        conditions.decide(settings, store, counts(total), START + number * step)[0]
        for number, total in enumerate(totals)
    ]


def test_more_than_300_is_an_alarm_and_300_is_none(store):
    assert kinds(store, check({}), [0, 300, 301]) == [None, None, "alarm"]


def test_a_flapping_queue_gives_one_alarm_and_one_all_clear(store):
    flapping = [310, 290, 310, 290, 310, 241, 305]
    assert kinds(store, check({"repeat_minutes": 600}), flapping + [240, 10, 290]) == (
        ["alarm"] + [None] * 6 + ["clear", None, None]
    )


def test_an_alarm_is_repeated_after_its_time(store):
    told = kinds(store, check({"repeat_minutes": 15}), [400] * 8)
    assert told == ["alarm", None, None, "repeat", None, None, "repeat", None]


def test_an_end_that_is_not_wanted_is_not_told_and_the_next_alarm_is(store):
    assert kinds(store, check({"all_clear": False}), [400, 0, 400]) == ["alarm", None, "alarm"]


@pytest.mark.parametrize(
    ("given", "seen", "less"),
    [
        ({"oldest_minutes": 60}, {"oldest": START - 61 * MINUTE}, {"oldest": START - MINUTE}),
        ({"one_origin": 50}, {"top": ("account bob@example.com", 51)}, {"top": ("account bob@example.com", 3)}),
    ],
)
def test_what_could_not_be_looked_at_ends_no_alarm(store, given, seen, less):
    settings = check(given)
    nothing = {"oldest": None, "top": None}
    told = [
        conditions.decide(settings, store, counts(100, **more), START)[0]
        for more in (seen, dict(nothing, partial=True), dict(less, partial=True), less)
    ]
    assert told == ["alarm", None, None, "clear"]
    over = conditions.excesses(settings, store, counts(100, partial=True, **seen), START)
    assert len(over) == 1, "what was seen is enough for an alarm"


def test_clear_below_says_where_an_alarm_ends(store):
    assert kinds(store, check({"clear_below": 5}), [400, 100, 6, 5]) == ["alarm", None, None, "clear"]


def at(hour, minute):
    return time.mktime((2026, 11, 25, hour, minute, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("hours", "quiet", "loud"),
    [
        ("22:00-07:00", [(22, 0), (23, 59), (0, 0), (6, 59)], [(7, 0), (21, 59), (12, 0)]),
        ("12:00-13:00", [(12, 0), (12, 59)], [(11, 59), (13, 0), (0, 0)]),
    ],
)
def test_quiet_hours_are_the_hosts_own(hours, quiet, loud):
    settings = check({"quiet_hours": hours})
    assert all(conditions.is_quiet(settings, at(*when)) for when in quiet)
    assert not any(conditions.is_quiet(settings, at(*when)) for when in loud)


def test_quiet_hours_hold_back_repeats_only(store):
    settings = check({"quiet_hours": "22:00-07:00", "repeat_minutes": 60})
    night = at(23, 0)
    assert conditions.decide(settings, store, counts(400), night)[0] == "alarm"
    assert conditions.decide(settings, store, counts(400), night + 2 * HOUR)[0] is None
    assert conditions.decide(settings, store, counts(400), night + 9 * HOUR)[0] == "repeat"
    assert conditions.decide(settings, store, counts(0), night + 24 * HOUR)[0] == "clear"


@pytest.mark.parametrize(
    ("given", "seen", "name"),
    [
        ({"oldest_minutes": 60}, {"oldest": START - 61 * MINUTE}, "oldest"),
        ({"one_origin": 50}, {"top": ("sasl bob@example.com", 51)}, "origin"),
        ({"todo_limit": 10}, {"todo": 11}, "todo"),
        ({"todo_limit": 0}, {"todo": 1}, "todo"),
    ],
)
def test_each_condition_is_an_alarm_of_its_own(store, given, seen, name):
    settings = check(given)
    kind, over = conditions.decide(settings, store, counts(100, **seen), START)
    assert (kind, [excess.name for excess in over]) == ("alarm", [name])
    less = {key: value for key, value in seen.items() if key != "oldest"}
    less = {key: (value[0], 50) if key == "top" else value - 1 for key, value in less.items()}
    assert not conditions.excesses(settings, store, counts(100, **less), START)


def test_growth_is_measured_from_the_lowest_of_its_window(store):
    settings = check({"growth_messages": 100, "growth_minutes": 30})
    assert kinds(store, settings, [50, 60, 20, 119, 120, 121]) == [None] * 5 + ["alarm"]


def test_a_slow_growth_is_none(store):
    settings = check({"growth_messages": 100, "growth_minutes": 30})
    assert set(kinds(store, settings, range(0, 300, 10))) == {None}


def learn(store, settings, days, total):
    for hour in range(days * 24):
        conditions.decide(settings, store, counts(total), START + hour * HOUR)
    return conditions.current_limit(settings, store, START + days * DAY)


def test_the_automatic_limit_is_never_over_300_in_the_first_week(store):
    settings = check({"limit": "auto"})
    assert conditions.current_limit(settings, store, START) == 300
    assert learn(store, settings, 6, 200) == 300


def test_the_automatic_limit_follows_a_busy_host_and_not_its_storms(store):
    settings = check({"limit": "auto"})
    assert learn(store, settings, 9, 200) == 600
    for hour in range(24):
        conditions.decide(settings, store, counts(50000), START + 9 * DAY + hour * HOUR)
    assert conditions.current_limit(settings, store, START + 10 * DAY) == 600


def test_the_automatic_limit_of_a_quiet_host_is_50(store):
    assert learn(store, check({"limit": "auto"}), 9, 2) == 50


def attack(store, settings, days, share):
    """Keep a queue at a share of its limit, hour after hour.

    :returns: (the highest limit, days until it was there, alarms, how often people would be told)
    """
    learn(store, settings, 28, 10)
    highest, reached, alarms, told = 0, 0, 0, 0
    for hour in range(days * 24):
        now = START + 28 * DAY + hour * HOUR
        total = int(conditions.current_limit(settings, store, now) * share)
        alarms += conditions.decide(settings, store, counts(total), now)[0] == "alarm"
        told += limit.tell_held_back(settings, store, now) is not None
        at_present = conditions.current_limit(settings, store, now)
        if at_present > highest:
            highest, reached = at_present, hour // 24
    return highest, reached, alarms, told


def test_who_keeps_the_queue_at_its_limit_for_months_gets_not_far_and_people_are_told(store):
    highest, reached, alarms, told = attack(store, check({"limit": "auto"}), 300, 1)
    assert (highest, alarms) == (1000, 0)
    # 50, 100, 200, 400, 800, 1000.
    assert reached > 3 * 28
    assert told > 30


def test_who_does_so_slowly_does_not_get_further(store):
    highest, reached, _alarms, _told = attack(store, check({"limit": "auto", "auto_limit_most": 700}), 300, 0.6)
    assert highest == 700
    assert reached > 2 * 28


def test_a_clock_that_jumps_about_does_not_let_it_grow(store):
    settings = check({"limit": "auto"})
    learn(store, settings, 28, 10)
    assert conditions.current_limit(settings, store, START + 28 * DAY) == 50
    for number in range(20):
        at = START + (0 if number % 2 else 29) * DAY
        conditions.decide(settings, store, counts(50), at)
        assert conditions.current_limit(settings, store, at) <= 300


def test_a_number_is_what_it_is(store):
    settings = check({"limit": 5000, "auto_limit_most": 60})
    assert learn(store, settings, 40, 4000) == 5000
    assert limit.held_back(settings, store, START + 40 * DAY) is None


def test_what_is_remembered_is_bounded(store):
    learn(store, check({"limit": "auto"}), 60, 200)
    assert len(store.hours) <= 4 * 7 * 24 + 1
    assert len(store.recent) <= 31


def test_a_clock_set_back_leaves_nothing_in_the_future(store):
    settings = check({"growth_messages": 10})
    conditions.decide(settings, store, counts(0), START + DAY)
    conditions.decide(settings, store, counts(5), START)
    assert [when for when, _ in store.recent] == [START]


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_alarms_and_ends_alternate(totals):
    class Memory:
        alarm = ended = begun = learned = None
        recent, hours = (), ()

    told = [kind for kind in kinds(Memory(), check({"repeat_minutes": 10}), totals) if kind in ("alarm", "clear")]
    assert told == ["alarm", "clear"] * (len(told) // 2) + ["alarm"] * (len(told) % 2)


def test_messages_are_read_only_where_a_condition_asks_for_it():
    assert not conditions.needs_messages(check({}), 10**6)
    assert not conditions.needs_messages(check({"one_origin": 50}), 40)
    assert conditions.needs_messages(check({"one_origin": 50}), 41)
    assert conditions.needs_messages(check({"oldest_minutes": 5}), 1)
    assert not conditions.needs_messages(check({"oldest_minutes": 5}), 0)


def test_the_store_keeps_what_it_is_given(tmp_path):
    system = FakeSystem(tmp_path)
    store = Store(system)
    kinds(store, check({}), [400, 500])
    store.waiting = [
        dict.fromkeys(["kind", "key", "host", "subject", "text", "brief"], "件名"),
    ]
    store.waiting[0].update(created=START, refusals=2)
    store.aside = ["件名"]
    store.save()
    again = Store(system)
    for name in EMPTY:
        assert getattr(again, name) == getattr(store, name), name
    assert (tmp_path / STATE.lstrip("/")).stat().st_mode & 0o777 == 0o600


def test_of_the_file_on_disk_and_the_one_in_run_the_newer_counts(tmp_path):
    system = FakeSystem(tmp_path)
    store = Store(system)
    store.save()
    system.write(
        ALERT_SPARE_STATE, system.read(STATE).replace('"begun": null', '"begun": 5').replace('"saves": 1', '"saves": 2')
    )
    assert Store(system).begun == 5
    again = Store(system)
    again.begun = 6
    assert again.save() is None
    assert not system.exists(ALERT_SPARE_STATE), "what the disk has, it need not keep"
    assert Store(system).begun == 6


def test_what_is_set_aside_can_be_found_and_is_bounded(tmp_path):
    system = FakeSystem(tmp_path)
    store = Store(system)
    for number in range(KEPT_ASIDE + 2):
        kept = {"key": "17000{0:05}.1.alarm".format(number), "subject": "件名", "text": "text\n"}
        path, gone = store.set_aside(kept)
        assert system.read(path) == "件名\n\ntext\n"
        assert (tmp_path / path.lstrip("/")).stat().st_mode & 0o777 == 0o600
    assert len(system.listdir(ALERT_STATE)) == KEPT_ASIDE
    assert gone == [ALERT_STATE + "/refused-1700000001.1.alarm.txt"]
    assert len(store.aside) == KEPT_ASIDE + 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"waiting": 5}', "\x00" * 10])
def test_a_damaged_store_begins_anew_and_says_so(tmp_path, text):
    system = FakeSystem(tmp_path)
    system.write(STATE, text)
    store = Store(system)
    assert store.damaged
    assert (store.alarm, store.waiting) == (None, [])


def test_what_waits_is_bounded(tmp_path):
    store = Store(FakeSystem(tmp_path))
    store.waiting = [{"key": str(number)} for number in range(3 * WAITING)]
    taken = store.overflow()
    assert [kept["key"] for kept in store.waiting[:: WAITING - 1]] == ["0", str(3 * WAITING - 1)]
    assert len(store.waiting) == WAITING
    assert len(taken) == 2 * WAITING, "none is lost"
    assert store.overflow() == []
