"""A queue of 100,000 deferred Postfix messages: read by this project, by Postfix's own program, and by a peer.

All are run on the same queue on the same host, three times in turn, and the best of each counts. Then each half of it
is changed: one by this project, one by postsuper.
"""

import io
import json
import os
import sys
import tarfile

import pymailq
from hosts.lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))

MESSAGES = 100000
ROUNDS = 3
ON_HOST = "/root/bench"

# What is timed (mail_queue_times.py) and what the table calls it.
LISTING = {
    "floor": "names and first block of each file (the floor)",
    "select_by_subject": "select by decoded subject",
    "list_all": "list and sum up all, decoded",
    "postqueue": "postqueue -j, thrown away",
    "postqueue_parsed": "postqueue -j, json.loads a line",
    "pymailq": "pymailq {0}, load".format(pymailq.VERSION),
}
# Of each half, and once what can't be taken back (mail_queue_changes.py).
CHANGES = {
    "quarantine": "quarantine",
    "restore": "restore",
    "hold": "hold",
    "postsuper_hold": "postsuper -h -",
    "release": "release",
    "postsuper_release": "postsuper -H -",
}
REMOVALS = {"delete": "delete", "postsuper_delete": "postsuper -d -"}
COMPARED = ("select_by_subject", "list_all")


def bring(host):
    """Copy what runs on the host there."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("postfix_spool.py", "mail_queue_times.py", "mail_queue_changes.py"):
            tar.add(os.path.join(HERE, name), name)
        tar.add(os.path.join(PROJECT, "module_utils", "harden_mail"), "harden_mail")
        tar.add(os.path.dirname(pymailq.__file__), "pymailq")
    host.run("mkdir -p {0}; tar -C {0} -x".format(ON_HOST), stdin=packed.getvalue())


def fill(host, count):
    """Fill the queue, and see that Postfix takes it for its own."""
    host.run("python3 {0}/postfix_spool.py {1}".format(ON_HOST, count), timeout=900)
    # It renames, moves or removes what is not in order.
    files = "cd /var/spool/postfix && find deferred defer incoming -printf '%p %i\\n' | sort | md5sum"
    before = host.run(files)
    host.run("postsuper -s", timeout=300)
    assert host.run(files) == before, "postsuper -s found something to do"
    queued = int(host.run("postqueue -j | wc -l", timeout=300))
    assert queued == count, "{0} of {1} messages are in the queue".format(queued, count)


def measure(host, ways, count, program="mail_queue_times.py", rounds=ROUNDS):
    """{way: the best of its rounds, as the program gives it}"""
    best = {}
    for _ in range(rounds):
        for way in ways:
            found = json.loads(host.run("python3 {0}/{1} {2}".format(ON_HOST, program, way), timeout=600))
            assert found["count"] == count, "{0} met {1} messages".format(way, found["count"])
            if way not in best or found["seconds"] < best[way]["seconds"]:
                best[way] = found
    return best


def listing(host, count):
    best = measure(host, LISTING, count)
    print("\n{0} deferred messages, best of {1} rounds".format(count, ROUNDS))
    head = "{0:<48} {1:>8} {2:>8} {3:>16}  {4}"
    print(head.format("", "seconds", "MiB", "MiB of children", "select, list all / this"))
    for way, name in LISTING.items():
        found = best[way]
        ratios = ["{0:.2f}".format(best[ours]["seconds"] / found["seconds"]) for ours in COMPARED]
        print(
            head.format(
                name,
                "{0:.2f}".format(found["seconds"]),
                round(found["own"]),
                round(found["children"]),
                "  ".join(ratios) if way not in COMPARED else "",
            )
        )


def changes(host, count):
    best = measure(host, CHANGES, count, "mail_queue_changes.py")
    best.update(measure(host, REMOVALS, count, "mail_queue_changes.py", 1))
    print("\n{0} of them, best of {1} rounds; removed once".format(count, ROUNDS))
    head = "{0:<48} {1:>8} {2:>8}  {3}"
    print(head.format("", "seconds", "MiB", "of postsuper -d -"))
    for way, name in list(CHANGES.items()) + list(REMOVALS.items()):
        seconds = best[way]["seconds"]
        ratio = "{0:.2f}".format(seconds / best["postsuper_delete"]["seconds"])
        print(head.format(name, "{0:.2f}".format(seconds), round(best[way]["own"]), ratio))


def main(scale):
    host = Lab.current().hosts()[0]
    count = max(1000, round(MESSAGES * scale / 2) * 2)
    bring(host)
    fill(host, count)
    listing(host, count)
    changes(host, count // 2)
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
