"""Spam in qmail's queue, taken out and given back while mail flows: who gets what, counted in the mailboxes.

With HARDEN_MAIL_QMAIL the queue, the injection and the deliveries are a real qmail's; without it a stand-in's.
"""

import hashlib
import json
import os
import time

import pytest
import queue_host
from code_on_host import put_code, remove_code
from hosts.lab import Lab
from once import once

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)

ON_HOST = "/usr/local/lib/qmail-host"
# Where no snapshot looks: once on the queue's file system, once on another one.
QUARANTINE = "/var/tmp/harden-mail-quarantine"
OTHER_FILE_SYSTEM = "/run/harden-mail-quarantine"

SPAM = "=?ISO-2022-JP?B?GyRCIVo9RU1XIVsbKEI=?= =?UTF-8?B?44GK5pSv5omV44GE44Gu44GU56K66KqN?="
SELECT_SPAM = {"subject": "*お支払い*"}
WANTED = "=?UTF-8?B?5L6L5Lya44Gu44GK55+l44KJ44Gb?="


@pytest.fixture(scope="module", autouse=True)
def code_on_hosts():
    for host in LAB.hosts():
        put_code(host, ON_HOST)
    yield
    for host in LAB.hosts():
        remove_code(host, ON_HOST)
        host.run("rm -rf {0} {1}".format(QUARANTINE, OTHER_FILE_SYSTEM))


def module(host, fails=False, **parameters):
    """mail_queue's result over SSH, as users run it."""
    result = queue_host.module(host, "mail_queue", **dict({"quarantine_dir": QUARANTINE}, **parameters))
    assert result["failed"] == fails, result
    return result


def move(host, kill_after=0, **parameters):
    """The same work on the host itself, killed on the way; see host/move."""
    arguments = json.dumps(dict({"quarantine_dir": QUARANTINE}, **parameters))
    return json.loads(host.run("{0}/move {1} '{2}'".format(ON_HOST, kill_after, arguments), timeout=180))


def inject(host, first, count, subject, *recipients):
    host.run("{0}/inject {1} {2} 0 '{3}' {4}".format(ON_HOST, first, count, subject, " ".join(recipients)))


def injecting(host, first, seconds, subject, recipient):
    """Injects, one by one, until it is stopped; returns how to stop it: it tells how many there were."""
    log = "/tmp/inject-{0}".format(first)
    host.run(
        'sh -c \'cd /; number={1}; while [ ! -e {5}.stop ]; do {0}/inject $number 1 0 "{3}" {4} >{5}.err 2>&1 && '
        "echo $number >>{5}; number=$((number + 1)); sleep {2}; done; touch {5}.stopped' "
        "</dev/null >/dev/null 2>&1 &".format(ON_HOST, first, seconds, subject, recipient, log)
    )

    def stop():
        host.run("touch {0}.stop; while [ ! -e {0}.stopped ]; do sleep 0.05; done".format(log))
        numbers = [int(line) for line in host.run("cat {0}".format(log)).split()]
        assert not host.run("cat {0}.err; rm {0} {0}.*".format(log))
        assert numbers == list(range(first, first + len(numbers)))
        return numbers

    return stop


def in_queue(host):
    """How many messages there are, and how many of them are not taken in yet."""
    files = "find /var/qmail/queue/{0} -type f | wc -l"
    return int(host.run(files.format("mess"))), int(host.run(files.format("todo")))


def wait_for(condition, limit=60):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def defer_alice(host, yes):
    host.run("chmod {0}t /home/alice".format("+" if yes else "-"))


def deliver_all(host):
    defer_alice(host, False)

    def empty():
        host.run("pgrep -x qmail-send && systemctl kill --kill-who=main --signal=ALRM qmail", check=False)
        return in_queue(host) == (0, 0)

    wait_for(empty, 120)


def got(host, user):
    """The numbers that a user got, sorted; every body as it was sent."""
    delivered = json.loads(host.run("{0}/sink {1}".format(ON_HOST, user)))[user]
    for number, body in delivered:
        lines = [hashlib.sha256("{0} {1}".format(number, line).encode()).hexdigest() for line in range(20)]
        assert body == "\n".join(lines) + "\n"
    return sorted(number for number, _ in delivered)


@pytest.fixture
def quiet(request):
    """The host with an empty queue before and after, and without a word of trouble from qmail."""
    host = request.getfixturevalue("host")
    began = host.run("date +%s").strip()
    assert in_queue(host) == (0, 0)
    defer_alice(host, True)
    yield host
    deliver_all(host)
    host.run("{0}/sink alice bob".format(ON_HOST))
    trouble = "journalctl --no-pager --since=@{0} | grep -E 'qmail.*(trouble|twice|warning)'"
    said = host.run(trouble.format(began), check=False)
    assert not said


@HOSTS
@pytest.mark.parametrize(
    "quarantine", [QUARANTINE, pytest.param(OTHER_FILE_SYSTEM, marks=once)], ids=["renames", "copies"]
)
def test_spam_is_taken_out_and_given_back(host, quiet, quarantine):
    inject(host, 0, 60, WANTED, "alice")
    inject(host, 100, 40, SPAM, "alice")
    # Served already: bob has his, alice's is waiting.
    inject(host, 200, 20, SPAM, "bob", "alice")
    wait_for(lambda: in_queue(host) == (120, 0))
    wait_for(lambda: int(host.run("ls /home/bob/Maildir/new | wc -l")) == 20)

    announced = module(host, state="quarantined", select=SELECT_SPAM, quarantine_dir=quarantine, expect=60)
    assert (announced["matched"], announced["moved"], announced["changed"]) == (60, 60, True)
    print(host.name, announced["evidence"])
    assert "runs again" in announced["evidence"][0]
    assert in_queue(host) == (60, 0)
    again = module(host, state="quarantined", select=SELECT_SPAM, quarantine_dir=quarantine)
    assert (again["matched"], again["changed"], again["evidence"]) == (0, False, [])

    back = module(host, state="restored", run=announced["run"], all=True, quarantine_dir=quarantine)
    assert (back["matched"], back["moved"]) == (60, 60)
    assert in_queue(host) == (120, 0)
    assert module(host, state="restored", all=True, quarantine_dir=quarantine)["changed"] is False

    deliver_all(host)
    assert got(host, "alice") == list(range(60)) + list(range(100, 140)) + list(range(200, 220))
    assert got(host, "bob") == list(range(200, 220))


@once
@HOSTS
@pytest.mark.parametrize("quarantine", [QUARANTINE, OTHER_FILE_SYSTEM], ids=["renames", "copies"])
def test_every_awkward_message_comes_back_as_it_was(host, quiet, quarantine):
    host.run("systemctl stop qmail")
    host.run("python3 -B {0}/qmail_spool.py /var/qmail/queue --messages 120 --debris harmless".format(ON_HOST))
    before = messages_in_queue(host)
    taken = module(host, state="quarantined", all=True, quarantine_dir=quarantine)
    assert (taken["matched"], taken["moved"], taken["passed_over"]) == (120, 120, [])
    # What qmail-queue left behind when it was killed, and what it is just writing.
    assert in_queue(host) == (2, 0)
    assert module(host, state="restored", all=True, quarantine_dir=quarantine)["moved"] == 120
    assert messages_in_queue(host) == before
    host.run("find /var/qmail/queue -type f -not -path '*/lock/*' -delete; systemctl start qmail")


def messages_in_queue(host):
    """Each message's files, as part, owners, mode, time and content; not their numbers, nor what qmail makes anew."""
    listed = "cd /var/qmail/queue && find [!l]* local -type f -printf '%p %U:%G %m %T@ ' -exec sha1sum {} ';'"
    files = {}
    for line in host.run(listed).splitlines():
        path, owners, mode, changed, digest, _ = line.split()
        files.setdefault(path.rsplit("/", 1)[1], {})[path.partition("/")[0]] = (owners, mode, changed, digest)
    for parts in files.values():
        if "todo" in parts:
            for part in ("info", "local"):
                parts.pop(part, None)
    return sorted(map(sorted, (parts.items() for parts in files.values())))


@once
@HOSTS
def test_deleted_spam_is_gone(host, quiet):
    inject(host, 0, 30, WANTED, "alice")
    inject(host, 100, 30, SPAM, "alice")
    wait_for(lambda: in_queue(host) == (60, 0))
    assert module(host, state="deleted", select=SELECT_SPAM)["moved"] == 30
    deliver_all(host)
    assert got(host, "alice") == list(range(30))


@once
@HOSTS
def test_mail_that_is_not_taken_in_yet(host, quiet):
    host.run("systemctl stop qmail")
    inject(host, 0, 10, WANTED, "alice")
    inject(host, 100, 10, SPAM, "alice")
    assert in_queue(host) == (20, 20)
    taken = module(host, state="quarantined", select=SELECT_SPAM)
    assert (taken["moved"], taken["states"], taken["evidence"]) == (10, {"todo": 10}, [])
    # It wasn't running before.
    assert host.run("systemctl is-active qmail", check=False).strip() == "inactive"
    assert module(host, state="restored", all=True)["moved"] == 10
    host.run("systemctl start qmail")
    deliver_all(host)
    assert got(host, "alice") == list(range(10)) + list(range(100, 110))
