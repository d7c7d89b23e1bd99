"""What must hold for Postfix's queue whatever happens: kills, a full disk, a queue that changes under the reader, a
reboot. Every test ends with the host as it was found.
"""

import contextlib
import random
import threading
import time
from collections import Counter

import pytest
import queue_host
import queue_sink
import queue_storm
from code_on_host import put_code
from hosts import snapshot
from hosts.lab import Lab, side_by_side
from queue_storm import SPAM

# On each of the two kinds of file system, on each host.
KILLS = 15
MOUNTED = "/mnt/quarantine"


class Place:
    """A host with a sink for its mail.

    :ivar random.Random chance: says its seed, so that a failure can be had again
    """

    def __init__(self, host):
        self.host, self.lab = host, Lab.current()
        self.sink = queue_sink.Sink(self.lab.client("controller").address(), 2000 + host.number)
        seed = time.time_ns()
        print("{0}: seed {1}".format(host.name, seed))
        self.chance = random.Random(seed)
        queue_host.forget_failures(host)

    def send(self, letters):
        queue_storm.send(self.lab.client("allowed"), self.host, letters)

    def clean(self):
        self.sink.close()
        queue_host.clean(self.host)
        self.host.run("umount {0} 2>/dev/null; rmdir {0} 2>/dev/null; true".format(MOUNTED))

    def mount(self, size):
        """A small file system of its own for the quarantine; returns the directory."""
        self.host.run("mkdir -p {0} && mount -t tmpfs -o size={1} tmpfs {0}".format(MOUNTED, size))
        return MOUNTED + "/runs"


@pytest.fixture
def places():
    """All hosts with empty queues; afterwards they are as they were found."""
    lab = Lab.current()
    before = {host.name: host.snapshot() for host in lab.hosts()}
    # For each test, since a reboot empties /tmp.
    side_by_side(put_code, lab.hosts())
    all_places = [Place(host) for host in lab.hosts()]
    try:
        yield all_places
    finally:
        side_by_side(Place.clean, all_places)
    for host in lab.hosts():
        assert not snapshot.differences(before[host.name], host.snapshot()), host.name


def each(check):
    """A test that does the same on all hosts at the same time."""

    def test(places):
        side_by_side(check, places)

    test.__doc__ = check.__doc__
    return test


@contextlib.contextmanager
def flow(place, series, pause=0.05):
    """Letters keep coming in, and the queue manager keeps trying to deliver, while a ``with`` block runs.

    :returns: list of the letters, complete after the block
    """
    stop, sent, failures = threading.Event(), [], []

    def pour():
        number = 0
        try:
            while not stop.is_set():
                some = queue_storm.letters("{0}{1}".format(series, number), 10, seed=number, fate="fickle")
                place.send(some)
                sent.extend(some)
                number += 1
                if number % 5 == 0:
                    place.host.run("postqueue -f")
                stop.wait(pause)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


# --- kill -9 ----------------------------------------------------------------------------------------------------


def kill_again_and_again(place, quarantine_dir, kills, states=("quarantined", "restored")):
    """Change the queue by turns, killed each time, with mail coming in and going out; at last complete all and deliver.

    :returns: all letters that were sent
    """
    chance, host = place.chance, place.host
    options = {"quarantine_dir": quarantine_dir, "limit_listed": 0}
    asked = {
        "quarantined": dict(options, state="quarantined", select=SPAM),
        "restored": dict(options, state="restored", all=True),
        "deleted": dict(options, state="deleted", select=SPAM),
    }
    standing = queue_storm.letters("standing", 300, seed=chance.random())
    place.send(standing)
    most = dict.fromkeys(states, 3000)
    killed, completed, resumed = Counter(), 0, 0
    with flow(place, "flow") as sent:
        while sum(killed.values()) < kills:
            state = states[(sum(killed.values()) + completed) % len(states)]
            if chance.random() < 0.8:
                # As many among the first ten calls as among the next hundred, and so on.
                answer = queue_host.work(host, fatal=round(most[state] ** chance.random()), **asked[state])
            else:
                answer = queue_host.work(host, seconds=round(chance.uniform(0.1, 0.5), 3), **asked[state])
            if "killed" in answer:
                killed[answer["killed"]] += 1
            else:
                completed += 1
                resumed += answer["resumed"]
                most[state] = max(20, answer["changes"])
            # Sometimes it is run again at once, sometimes what is in the queue is delivered first.
            if chance.random() < 0.2:
                resumed += complete(place, asked[chance.choice(states)])
            elif chance.random() < 0.5:
                host.run("postqueue -f")
                time.sleep(chance.uniform(0, 0.3))
    for state in states:
        resumed += complete(place, asked[state])
    place.sink.open.set()
    queue_host.deliver(host)
    assert host.run("ls -A {0}; ls -d /var/spool/postfix/harden-mail* 2>/dev/null; true".format(quarantine_dir)) == ""
    print(
        "{0}: killed {1} times ({2}), {3} runs ended before, {4} were taken up again; {5} letters".format(
            host.name,
            sum(killed.values()),
            ", ".join("{0}: {1}".format(*pair) for pair in killed.most_common()),
            completed,
            resumed,
            len(standing) + len(sent),
        )
    )
    return standing + list(sent)


def complete(place, asked):
    """A run that nobody kills; returns how many interrupted ones it completed."""
    answer = queue_host.work(place.host, **asked)
    assert "refused" not in answer, answer
    return answer["resumed"]


def assert_each_once(place, letters):
    queue_storm.assert_delivered(place.sink, queue_storm.due(letters), letters)
    reported = {letter.sender: 1 for letter in letters if queue_storm.is_reported(letter)}
    assert queue_storm.bounces(place.sink) == reported
    print("{0}: {1} deliveries, each once".format(place.host.name, sum(queue_storm.due(letters).values())))


@each
def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(place):
    assert_each_once(place, kill_again_and_again(place, queue_host.QUARANTINE, KILLS))


@each
def test_killed_anywhere_with_the_quarantine_on_another_file_system(place):
    assert_each_once(place, kill_again_and_again(place, place.mount("200m"), KILLS))


@each
def test_killed_while_it_deletes_no_wanted_mail_is_lost(place):
    letters = kill_again_and_again(place, queue_host.QUARANTINE, KILLS // 3, states=("deleted",))
    wanted = [letter for letter in letters if not letter.spam]
    queue_storm.assert_delivered(place.sink, queue_storm.due(wanted), wanted)
    assert max(place.sink.received().values()) == 1


@each
def test_taken_in_the_middle_of_deliveries_each_is_delivered_once(place):
    """Messages are active, some of them in delivery, when they are taken, given back, and taken again."""
    letters, left = [], 0
    # Whatever comes in has the queue manager look for what is new.
    with flow(place, "flow", pause=0) as sent:
        for number in range(6):
            some = queue_storm.spam_for("lazy", 100, series="middle{0}".format(number))
            place.send(some)
            letters += some
            for asked in ({"state": "quarantined", "select": SPAM}, {"state": "restored", "all": True}):
                left += queue_host.work(place.host, **asked)["passed_over_total"]
    letters += sent
    place.sink.open.set()
    queue_host.deliver(place.host)
    assert_each_once(place, letters)
    print(
        "{0}: {1} letters, {2} times one was left since it was in delivery".format(place.host.name, len(letters), left)
    )


# --- a full disk ------------------------------------------------------------------------------------------------


@each
def test_without_room_nothing_is_changed_and_mail_is_delivered(place):
    quarantine = place.mount("4m")
    letters = queue_storm.letters("full", 300)
    place.send(letters)
    queue_host.wait_until_still(place.host)
    before = queue_host.listing(place.host, MOUNTED)
    answer = queue_host.work(place.host, state="quarantined", select=SPAM, quarantine_dir=quarantine)
    assert answer["refused"].startswith("quarantine_dir is on a file system with")
    assert queue_host.listing(place.host, MOUNTED) == before
    place.sink.open.set()
    queue_host.deliver(place.host)
    queue_storm.assert_delivered(place.sink, queue_storm.due(letters), letters)


@each
def test_a_disk_that_fills_up_meanwhile_loses_nothing(place):
    """What others write there is not known beforehand: the check for room is left out here."""
    quarantine = place.mount("600k")
    letters = queue_storm.letters("filling", 600)
    place.send(letters)
    queue_host.wait_until_still(place.host)
    asked = {"state": "quarantined", "select": SPAM, "quarantine_dir": quarantine}
    answer = queue_host.work(place.host, odds=["no_room_check"], **asked)
    assert "full" in answer["refused"]
    place.host.run("mount -o remount,size=100m " + MOUNTED)
    queue_host.work(place.host, **asked)
    assert queue_host.count(place.host, "deferred") == sum(1 for letter in letters if not letter.spam)
    queue_host.work(place.host, state="restored", all=True, quarantine_dir=quarantine)
    place.sink.open.set()
    queue_host.deliver(place.host)
    queue_storm.assert_delivered(place.sink, queue_storm.due(letters), letters)


# --- changes under the reader -----------------------------------------------------------------------------------


@each
def test_a_queue_that_changes_meanwhile_is_read_all_the_same(place):
    standing = queue_storm.letters("standing", 200)
    place.send(standing)
    queue_host.wait_until_still(place.host)
    place.host.run("postsuper -h ALL 2>&1")
    stay = {message["queue_id"] for message in queue_host.postqueue(place.host)}
    totals = []
    with flow(place, "flow", pause=0) as sent:
        for _ in range(20):
            found = queue_host.work(place.host, limit_listed=100000)
            names = [message["id"] for message in found["messages"]]
            assert len(names) == len(set(names)), "a message is there twice"
            assert stay <= set(names)
            assert found["unreadable"] == []
            totals.append(found["total"])
    assert all(len(stay) <= total <= len(stay) + len(sent) for total in totals)
    print("{0}: {1} letters came; listed were {2}".format(place.host.name, len(sent), totals))


# --- a reboot ---------------------------------------------------------------------------------------------------


@each
def test_a_reboot_between_quarantine_and_restore(place):
    letters = queue_storm.letters("reboot", 300)
    place.send(letters)
    queue_host.wait_until_still(place.host)
    taken = queue_host.work(place.host, state="quarantined", select=SPAM)
    place.host.reboot()
    put_code(place.host)
    assert queue_host.work(place.host, state="restored", run=taken["run"], all=True)["moved"] == taken["moved"]
    place.sink.open.set()
    queue_host.deliver(place.host)
    queue_storm.assert_delivered(place.sink, queue_storm.due(letters), letters)
