"""A night with two hacked hosts, told in order: a storm of spam among the customers' mail, looked at, taken out of the
queue, half of it given back, delivered, and counted by whom it was for.
"""

import json
import re

import pytest
import queue_host
import queue_sink
import queue_storm
from code_on_host import put_code
from hosts import snapshot
from hosts.lab import Lab, side_by_side
from queue_storm import SPAM

LETTERS = 2000
HELD = 60

# The test that failed, or that runs just now.
BROKEN_OFF = []


class Night:
    """One host and what happened to it.

    :ivar list letters: all that were sent
    :ivar list away: letters in quarantine
    :ivar list runs: names of the quarantine's runs, oldest first
    """

    def __init__(self, host):
        lab = Lab.current()
        self.host, self.lab = host, lab
        self.sink = queue_sink.Sink(lab.client("controller").address(), 2000 + host.number)
        self.letters = queue_storm.letters("night", LETTERS, seed=host.number)
        self.away, self.runs = [], []

    def begin(self):
        tenth = LETTERS // 10
        allowed = self.lab.client("allowed")
        queue_host.forget_failures(self.host)
        queue_storm.send(allowed, self.host, self.letters[2 * tenth :])
        queue_storm.send(allowed, self.host, self.letters[:tenth], log_in=True)
        queue_storm.submit(self.host, self.letters[tenth : 2 * tenth])
        queue_host.wait_until_still(self.host)
        queue_storm.assert_delivered(self.sink, queue_storm.due(self.letters, ("now",)), self.letters)
        queued = [message["queue_id"] for message in queue_host.postqueue(self.host)]
        self.host.run("postsuper -h - 2>&1", stdin="\n".join(queued[:HELD]).encode())

    def spam(self):
        return [letter for letter in self.letters if letter.spam]

    def of(self, messages):
        """The letters that a module's messages are, in the same order; each once."""
        by_sender = {letter.sender: letter for letter in self.letters}
        found = [by_sender[message["sender"]] for message in messages]
        assert len(set(found)) == len(found)
        return found

    def work(self, **params):
        return queue_host.work(self.host, limit_listed=10 * LETTERS, **params)


@pytest.fixture(scope="module")
def nights():
    """The hosts in the middle of the storm; afterwards they are as they were found."""
    lab = Lab.current()
    side_by_side(put_code, lab.hosts())
    before = state(lab)
    all_nights = [Night(host) for host in lab.hosts()]
    try:
        side_by_side(Night.begin, all_nights)
        yield all_nights
    finally:
        for night in all_nights:
            night.sink.close()
        side_by_side(queue_host.clean, lab.hosts())
    after = state(lab)
    for name in before:
        assert not snapshot.differences(before[name][0], after[name][0]), name
        assert before[name][1] == after[name][1], name


def state(lab):
    return {host.name: (host.snapshot(), queue_host.listing(host)) for host in lab.hosts()}


def each(check):
    """A test that does the same on all hosts at the same time, unless the story has broken off before."""

    def test(nights):
        assert not BROKEN_OFF, "{0} failed".format(*BROKEN_OFF)
        BROKEN_OFF.append(check.__name__)
        side_by_side(check, nights)
        BROKEN_OFF.clear()

    test.__doc__ = check.__doc__
    return test


@each
def test_the_listing_says_what_was_sent_and_what_postfix_says(night):
    found = night.work()
    assert found["total"] == found["matched"] == LETTERS
    assert found["states"] == {"deferred": LETTERS - HELD, "hold": HELD}
    assert found["unreadable_total"] == 0
    postfix = {message["queue_id"]: message for message in queue_host.postqueue(night.host)}
    for message, letter in zip(found["messages"], night.of(found["messages"])):
        theirs = postfix.pop(message["id"])
        assert message["state"] == theirs["queue_name"]
        assert message["size"] == theirs["message_size"]
        assert message["arrival"] == theirs["arrival_time"]
        to_do = [recipient["address"] for recipient in message["recipients"] if not recipient["done"]]
        assert sorted(to_do) == sorted(recipient["address"] for recipient in theirs["recipients"])
        assert [recipient["address"] for recipient in message["recipients"]] == letter.recipients
        assert message["subject"] == letter.subject
        assert message["origin"] == origin(night, letter)
    assert not postfix


def origin(night, letter):
    tenth = LETTERS // 10
    place = night.letters.index(letter)
    address = night.lab.client("allowed").address()
    return {
        "sasl_user": queue_storm.ACCOUNT if place < tenth else None,
        "client": None if tenth <= place < 2 * tenth else address,
        "uid": 33 if tenth <= place < 2 * tenth else None,
        # In mail that came by SMTP it is whatever the client wrote.
        "script": queue_storm.SCRIPT if tenth <= place < 2 * tenth else None,
    }


@each
def test_the_selection_means_the_spam_and_no_wanted_mail(night):
    found = night.work(select=SPAM)
    assert set(night.of(found["messages"])) == set(night.spam())
    over_ssh = queue_host.module(night.host, "mail_queue_info", select=SPAM)
    assert (over_ssh["total"], over_ssh["matched"]) == (LETTERS, len(night.spam()))
    assert len(over_ssh["messages"]) == 100


@each
def test_check_mode_says_how_many_and_changes_nothing(night):
    before = queue_host.listing(night.host)
    wanted = len(night.spam())
    said = queue_host.module(night.host, "mail_queue", check=True, state="quarantined", select=SPAM)
    assert (said["changed"], said["matched"], said["moved"], said["run"]) == (True, wanted, wanted, None)
    assert sum(said["states"].values()) == wanted
    shown = queue_host.playbook(night.host, check=True, queue_action="quarantine", queue_select=SPAM)
    assert shown.returncode == 0, shown.stdout
    assert "{0:,} would be quarantined".format(wanted) in shown.stdout, shown.stdout
    assert queue_host.listing(night.host) == before


WRONG = [
    ({"state": "quarantined"}, "select is empty"),
    ({"state": "deleted", "select": {"subjekt": "*"}}, "did you mean subject"),
    ({"state": "quarantined", "select": {"subject": []}}, "select.subject is an empty list"),
    ({"state": "quarantined", "select": {"subject": "re:("}}, "no regular expression"),
    ({"state": "held", "select": {"age": "2 nights"}}, "write it like '>2h'"),
    ({"state": "held", "select": {"state": "bounce"}}, "this queue knows"),
    ({"state": "held", "select": SPAM, "all": True}, "give one of them"),
    ({"state": "deleted", "select": SPAM, "expect": 7}, "expect is 7"),
    ({"state": "quarantined", "select": SPAM, "expect": 7}, "expect is 7"),
    ({"state": "restored", "run": "20200101T000000Z-000000"}, "run is '20200101T000000Z-000000'"),
    ({"state": "quarantined", "select": SPAM, "config_dir": "/etc"}, "config_dir"),
    ({"state": "quarantined", "select": SPAM, "queue_dir": "/var/spool/cron"}, "queue_dir"),
    ({"state": "quarantined", "select": SPAM, "quarantine_dir": "quarantine"}, "quarantine_dir"),
    ({"state": "quarantined", "select": SPAM, "quarantine_dir": "/etc/passwd"}, "quarantine_dir"),
    ({"state": "quarantined", "select": SPAM, "quarantine_dir": "/var/spool/postfix/hold"}, "quarantine_dir"),
]


@each
def test_bad_input_is_one_sentence_and_changes_nothing(night):
    before = queue_host.listing(night.host)
    for params, sentence in WRONG:
        answer = night.work(**params)
        assert sentence in answer.get("refused", ""), (params, answer)
        assert "\n" not in answer["refused"], params
    over_ssh = queue_host.module(night.host, "mail_queue", state="deleted", select=SPAM, expect=7)
    assert over_ssh["failed"]
    assert over_ssh["msg"].startswith("expect is 7, but {0} messages match".format(len(night.spam())))
    assert queue_host.listing(night.host) == before


@each
def test_quarantine_takes_the_spam_and_nothing_else(night):
    odd = {"subject": SPAM["subject"], "sender": "re:[13579]@"}
    first = queue_host.module(night.host, "mail_queue", state="quarantined", select=odd)
    assert first["changed"]
    assert first["moved"] == sum(1 for letter in night.spam() if re.search("[13579]@", letter.sender))
    assert first["passed_over_total"] == 0
    shown = queue_host.playbook(night.host, queue_action="quarantine", queue_select=SPAM)
    assert shown.returncode == 0, shown.stdout
    assert "Traceback" not in shown.stdout
    left = night.work()
    assert set(night.of(left["messages"])) == set(night.letters) - set(night.spam())
    night.away, night.runs = night.spam(), [run["run"] for run in left["quarantine"]]
    assert [run["messages"] for run in left["quarantine"]] == [first["moved"], len(night.spam()) - first["moved"]]
    assert night.runs[0] == first["run"]
    open_to_others = "find {0} -maxdepth 1 -not -perm 0700".format(queue_host.QUARANTINE)
    assert night.host.run(open_to_others) == ""
    assert len(queue_host.postqueue(night.host)) == left["total"]


@each
def test_a_second_run_finds_nothing(night):
    before = queue_host.listing(night.host)
    again = queue_host.module(night.host, "mail_queue", state="quarantined", select=SPAM)
    assert (again["changed"], again["matched"], again["moved"], again["run"]) == (False, 0, 0, None)
    assert queue_host.listing(night.host) == before


@each
def test_half_is_given_back_by_run_by_selection_and_by_id(night):
    kept = night.work(state="restored", all=True, run=night.runs[0], check=True)["messages"]
    before = queue_host.listing(night.host)
    predicted = queue_host.module(night.host, "mail_queue", check=True, state="restored", run=night.runs[1])
    assert queue_host.listing(night.host) == before
    by_run = queue_host.module(night.host, "mail_queue", state="restored", run=night.runs[1])
    assert by_run["moved"] == predicted["moved"] == len(night.spam()) - len(kept)
    by_selection = night.work(state="restored", select={"sender": "night-1*"})
    by_id = night.work(state="restored", select={"id": [message["id"] for message in kept[:50]]})
    assert by_selection["changed"] and by_id["changed"]
    back = set(night.of(kept[:50])) | {letter for letter in night.of(kept) if letter.sender.startswith("night-1")}
    night.away = [letter for letter in night.of(kept) if letter not in back]
    assert by_selection["moved"] + by_id["moved"] == len(back)
    found = night.work()
    assert set(night.of(found["messages"])) == set(night.letters) - set(night.away)
    away = set(night.away)
    held_away = [message for message in kept if message["state"] == "hold" and night.of([message])[0] in away]
    assert found["states"]["hold"] == HELD - len(held_away)
    assert [(run["run"], run["unfinished"]) for run in found["quarantine"]] == [(night.runs[0], False)]
    again = queue_host.module(
        night.host, "mail_queue", state="restored", run=night.runs[0], select={"id": kept[0]["id"]}
    )
    assert (again["changed"], again["moved"]) == (False, 0)


@each
def test_what_is_in_the_queue_is_delivered_once_and_what_is_in_quarantine_is_not(night):
    released = queue_host.module(night.host, "mail_queue", state="released", select={"state": "hold"})
    assert released["changed"]
    night.sink.open.set()
    queue_host.deliver(night.host)
    away = set(night.away)
    there = [letter for letter in night.letters if letter not in away]
    expected = queue_storm.due(there) + queue_storm.due(night.away, ("now",))
    queue_storm.assert_delivered(night.sink, expected, night.letters)


@each
def test_what_was_given_back_late_is_delivered_once_too(night):
    back = queue_host.module(night.host, "mail_queue", state="restored", all=True)
    assert back["moved"] == len(night.away)
    night.host.run("postsuper -H ALL 2>&1")
    queue_host.deliver(night.host)
    queue_storm.assert_delivered(night.sink, queue_storm.due(night.letters), night.letters)
    reported = {letter.sender: 1 for letter in night.letters if queue_storm.is_reported(letter)}
    assert queue_storm.bounces(night.sink) == reported
    assert night.work()["quarantine"] == []
    print(
        "{0}: {1} letters sent, {2} of them through the quarantine; {3} deliveries, each once, {4} bounces".format(
            night.host.name,
            LETTERS,
            len(night.spam()),
            sum(queue_storm.due(night.letters).values()),
            len(reported),
        )
    )


@each
def test_a_message_in_delivery_is_left_alone_and_delivered_once(night):
    night.sink.open.clear()
    slow = queue_storm.spam_for("slow", 30)
    queue_storm.send(night.lab.client("allowed"), night.host, slow)
    in_delivery = night.sink.wait_until_they_wait()
    assert 0 < in_delivery < len(slow)
    found = queue_host.module(night.host, "mail_queue", state="quarantined", select=SPAM)
    assert found["matched"] == len(slow)
    assert (found["moved"], found["passed_over_total"]) == (len(slow) - in_delivery, in_delivery)
    night.sink.open.set()
    night.sink.wait_for(in_delivery, lambda delivery: delivery.recipient.startswith("slow-"))
    queue_host.deliver(night.host)
    assert len(set(night.sink.received()) & set(queue_storm.due(slow))) == in_delivery
    assert night.work(state="restored", all=True)["moved"] == len(slow) - in_delivery
    queue_host.deliver(night.host)
    queue_storm.assert_delivered(night.sink, queue_storm.due(slow), slow)


@each
def test_held_released_and_deleted_are_declared_states(night):
    night.sink.open.clear()
    some = queue_storm.letters("states", 60)
    spam = [letter for letter in some if letter.spam]
    queue_storm.send(night.lab.client("allowed"), night.host, some)
    queue_host.wait_until_still(night.host)
    for state, wanted in (("held", {"hold": 40, "deferred": 20}), ("released", {"deferred": 60})):
        before = queue_host.listing(night.host)
        assert night.work(state=state, select=SPAM, check=True)["moved"] == len(spam)
        assert queue_host.listing(night.host) == before
        changed = night.work(state=state, select=SPAM, expect=len(spam))
        assert (changed["changed"], changed["moved"]) == (True, len(spam))
        assert night.work()["states"] == wanted
        before = queue_host.listing(night.host)
        assert not night.work(state=state, select=SPAM)["changed"]
        assert queue_host.listing(night.host) == before
    deleted = queue_host.module(night.host, "mail_queue", state="deleted", select=SPAM, expect=len(spam))
    assert (deleted["moved"], deleted["run"]) == (len(spam), None)
    assert not queue_host.module(night.host, "mail_queue", state="deleted", select=SPAM)["changed"]
    night.sink.open.set()
    queue_host.deliver(night.host)
    wanted = [letter for letter in some if not letter.spam]
    queue_storm.assert_delivered(night.sink, queue_storm.due(wanted) + queue_storm.due(spam, ("now",)), some)
    assert not json.loads(night.host.run("find {0} -mindepth 1 | wc -l".format(queue_host.QUARANTINE)))
