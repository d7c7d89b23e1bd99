"""What else there is: several instances, a Postfix that is down, ids that are used again, a queue manager that sleeps,
and people with the playbook. Every test ends with the host as it was found.
"""

import time
from collections import Counter

import pytest
import queue_actions
import queue_host
import queue_storm
from absent_hard_cases import each, places  # noqa: F401
from queue_storm import SPAM

SECOND = "postfix-two"
SECOND_DIR = "/etc/" + SECOND
KEPT = "/etc/postfix/main.cf.kept"

# What is deferred stays so, as in the first one (prepare.yml).
MAKE_SECOND = """
cp -p /etc/postfix/main.cf {kept}
postmulti -e init
postmulti -I {name} -e create
postconf -c /etc/{name} -e "relayhost = $(postconf -h relayhost)" "authorized_submit_users = static:anyone" \
    "minimal_backoff_time = 4h" "maximal_backoff_time = 4h" "in_flow_delay = 0"
postmulti -i {name} -e enable
postmulti -i {name} -p start
"""
REMOVE_SECOND = """
postmulti -i {name} -p stop
mv {kept} /etc/postfix/main.cf
rm -rf /etc/{name} /var/spool/{name} /var/lib/{name}
postfix reload
"""


def run_script(host, script):
    return host.run("exec 2>&1; set -eu" + script.format(name=SECOND, kept=KEPT))


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@each
def test_several_instances(place):
    host = place.host
    first, second = (queue_storm.spam_for("later", 20, series) for series in ("first", "second"))
    run_script(host, MAKE_SECOND)
    try:
        place.send(first)
        queue_storm.submit(host, second, user="root", config_dir=SECOND_DIR)
        wait_for(lambda: queue_host.work(host)["states"] == {"deferred": 40})
        found = queue_host.work(host, limit_listed=100)["messages"]
        assert Counter(message["instance"] for message in found) == {None: 20, SECOND: 20}

        one = queue_host.work(host, state="quarantined", select=SPAM, config_dir=SECOND_DIR)
        assert one["moved"] == 20
        assert {message["instance"] for message in queue_host.work(host)["messages"]} == {None}
        other = queue_host.work(host, state="quarantined", select=SPAM)
        assert (other["moved"], queue_host.work(host)["total"]) == (20, 0)
        back = queue_host.work(host, state="restored", run=one["run"])
        assert (back["moved"], {message["instance"] for message in back["messages"]}) == (20, {SECOND})
        assert queue_host.work(host, state="restored", all=True)["moved"] == 20
        assert queue_host.work(host, state="held", all=True)["moved"] == 40
        assert queue_host.work(host, state="released", all=True)["moved"] == 40
        assert queue_host.work(host, state="released", all=True)["changed"] is False

        place.sink.open.set()
        host.run("postqueue -f; postqueue -c {0} -f".format(SECOND_DIR))
        wait_for(lambda: queue_host.work(host)["total"] == 0)
        letters = first + second
        queue_storm.assert_delivered(place.sink, queue_storm.due(letters), letters)
    finally:
        run_script(host, REMOVE_SECOND)


@each
def test_while_postfix_is_down(place):
    """Nobody takes in what is in maildrop; all else can be changed as ever."""
    host = place.host
    deferred, dropped = queue_storm.spam_for("later", 20), queue_storm.spam_for("now", 10, series="dropped")
    place.send(deferred)
    queue_host.wait_until_still(host)
    # Debian 12's postfix.service is empty, and what it starts may take a moment longer to stop.
    host.run("systemctl stop postfix 'postfix@*.service'")
    try:
        queue_storm.submit(host, dropped)
        assert queue_host.count(host, "maildrop") == 10
        in_maildrop = {"state": "maildrop"}
        for state in ("quarantined", "deleted", "held"):
            before = queue_host.listing(host)
            for check in (True, False):
                said = queue_host.work(host, check=check, state=state, select=in_maildrop)
                assert (said["changed"], said["matched"], said["moved"]) == (False, 10, 0)
                assert said["passed_over_total"] == 10
                assert "maildrop" in said["passed_over"][0]["reason"]
                assert queue_host.listing(host) == before
        predicted = queue_host.work(host, check=True, state="quarantined", all=True)
        taken = queue_host.work(host, state="quarantined", all=True)
        for key in ("changed", "matched", "moved", "states", "passed_over_total"):
            assert taken[key] == predicted[key], key
        assert (taken["matched"], taken["moved"]) == (30, 20)
        assert queue_host.work(host, state="restored", all=True)["moved"] == 20
        assert queue_host.work(host, state="held", select=SPAM)["moved"] == 20
        assert queue_host.work(host, state="released", select=SPAM)["moved"] == 20
    finally:
        host.run("systemctl start postfix")
    place.sink.open.set()
    queue_host.deliver(host)
    queue_storm.assert_delivered(place.sink, queue_storm.due(deferred + dropped), deferred + dropped)


@pytest.mark.parametrize("state", ["quarantined", "held"])
def test_ids_that_are_used_again(places, state):  # noqa: F811
    """Between the look at the queue and the work, other messages got the ids of two that were selected."""

    @each
    def check(place):
        host = place.host
        spam, letters = queue_storm.spam_for("later", 10), queue_storm.letters("wanted", 12)
        wanted = [letter for letter in letters if not letter.spam][:2]
        place.send(wanted)
        queue_host.wait_until_still(host)
        host.run("postsuper -h ALL 2>&1")
        place.send(spam)
        queue_host.wait_until_still(host)
        answer = queue_host.work(host, odds=["reused_ids"], state=state, select=dict(SPAM, state="deferred"))
        assert answer["matched"] == 10
        replaced = {message["id"]: message["reason"] for message in answer["passed_over"]}
        # One that has even the inode is another one by what is in it; to hold it can be taken back.
        assert len(replaced) == (1 if state == "held" else 2)
        assert set(replaced.values()) == {"another message has its id now"}
        senders = {message["sender"] for message in queue_host.work(host)["messages"]}
        assert {letter.sender for letter in wanted} <= senders
        queue_host.work(host, state="restored", all=True)
        host.run("postsuper -H ALL 2>&1")
        place.sink.open.set()
        queue_host.deliver(host)
        got = Counter(key for key, _ in place.sink.received())
        assert [got[letter.key] for letter in wanted] == [1, 1]
        assert sum(got[letter.key] for letter in spam) == 8

    check(places)


@each
def test_what_comes_back_is_delivered_without_waiting(place):
    """Nothing else wakes the queue manager, which looks by itself each five minutes."""
    letters = queue_storm.spam_for("slow", 60, series="asleep")
    place.send(letters)
    in_delivery = place.sink.wait_until_they_wait()
    taken = queue_host.work(place.host, state="quarantined", select=SPAM)
    assert (taken["moved"], taken["states"]) == (len(letters) - in_delivery, {"active": len(letters)})
    queue_host.work(place.host, state="restored", all=True)
    place.sink.open.set()
    place.sink.wait_for(len(letters), seconds=60)
    queue_storm.assert_delivered(place.sink, queue_storm.due(letters), letters)


@each
def test_the_playbook_does_what_it_says(place):
    letters = queue_storm.letters("people", 30)
    place.send(letters)
    queue_host.wait_until_still(place.host)
    spam = sum(1 for letter in letters if letter.spam)
    queue_actions.use_playbook(place.host, SPAM, len(letters), spam)
    assert queue_host.work(place.host)["total"] == 0
    queue_storm.assert_delivered(place.sink, queue_storm.due(letters, ("now",)), letters)
