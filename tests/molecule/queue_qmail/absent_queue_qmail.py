"""What takes long or breaks things, so once and last, on a qmail host; and the playbook as it is used."""

import random

import pytest
import queue_actions
from verify_queue_qmail import (
    HOSTS,
    OTHER_FILE_SYSTEM,
    QUARANTINE,
    SELECT_SPAM,
    SPAM,
    WANTED,
    code_on_hosts,  # noqa: F401
    deliver_all,
    got,
    in_queue,
    inject,
    injecting,
    module,
    move,
    quiet,  # noqa: F401
    wait_for,
)

# On each host as often with a quarantine on the queue's file system as with one on another.
KILLS = 13
# kill -9 to qmail-send's mutex being held again; the watchdog needs milliseconds, a boot of the service a bit more.
DOWN_AFTER_KILL = 5


@HOSTS
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("quarantine", [QUARANTINE, OTHER_FILE_SYSTEM], ids=["renames", "copies"])
def test_killed_at_any_point_while_mail_flows(host, quarantine):
    inject(host, 0, 60, WANTED, "alice")
    inject(host, 1000, 300, SPAM, "alice")
    wait_for(lambda: in_queue(host)[1] == 0)
    stops = {
        "bob": [injecting(host, 100000, 0.02, WANTED, "bob")],
        "alice": [injecting(host, 200000, 0.1, SPAM, "alice")],
    }
    options = {
        "quarantined": {"state": "quarantined", "select": SELECT_SPAM, "quarantine_dir": quarantine},
        "restored": {"state": "restored", "all": True, "quarantine_dir": quarantine},
    }
    took = {state: move(host, **options[state])["took"] for state in ("quarantined", "restored")}
    chance = random.Random(host.name)
    killed, down = 0, []
    for number in range(KILLS * 3):
        state = ("quarantined", "restored")[number % 2]
        outcome = move(host, chance.uniform(0.05, took[state]), **options[state])
        killed += outcome["killed"]
        down.append(outcome["down"])
        if killed == KILLS:
            break
    assert killed == KILLS
    assert max(down) < DOWN_AFTER_KILL
    numbers = {user: [number for stop in some for number in stop()] for user, some in stops.items()}
    move(host, **options["restored"])
    assert move(host, **options["restored"])["result"]["changed"] is False
    deliver_all(host)
    assert got(host, "bob") == numbers["bob"]
    assert got(host, "alice") == list(range(60)) + list(range(1000, 1300)) + numbers["alice"]
    print(
        "{0}: killed {1} times, down for {2:.2f} seconds at most; {3} messages delivered once".format(
            host.name, killed, max(down), 360 + sum(map(len, numbers.values()))
        )
    )


@HOSTS
@pytest.mark.usefixtures("quiet")
def test_no_room(host):
    full = "/run/harden-mail-full"
    host.run("mkdir -p -m 700 {0} && mount -t tmpfs -o size=8m,mode=700 none {0}".format(full))
    inject(host, 0, 20, SPAM, "alice")
    wait_for(lambda: in_queue(host) == (20, 0))
    process = host.run("systemctl show --property=MainPID qmail")
    said = module(host, fails=True, state="quarantined", select=SELECT_SPAM, quarantine_dir=full)
    assert "quarantine_dir is on a file system with" in said["msg"]
    assert host.run("systemctl show --property=MainPID qmail") == process
    host.run("umount {0}; rmdir {0}".format(full))
    deliver_all(host)
    assert got(host, "alice") == list(range(20))


@HOSTS
@pytest.mark.usefixtures("quiet")
def test_the_playbook_does_what_it_says(host):
    inject(host, 0, 10, WANTED, "alice")
    inject(host, 100, 20, SPAM, "alice")
    wait_for(lambda: in_queue(host) == (30, 0))
    queue_actions.use_playbook(host, SELECT_SPAM, 30, 20, QUARANTINE)
    assert in_queue(host) == (0, 0)
    host.run("rm -rf " + QUARANTINE)
