"""The part of bench_mail_queue_qmail.py that runs on the host: makes queues, and measures what is done to them.

    mail_queue_qmail_on_host.py CODE MESSAGES [QMHANDLE]

CODE has module_utils and tests/hosts below it. Prints JSON: [[what, seconds, greatest memory in MiB, messages]], each
the best of three.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

CODE = sys.argv[1]
sys.path[:0] = [os.path.join(CODE, name) for name in ("module_utils", "tests")]

from hosts.qmail_spool import Spool  # noqa: E402

# Where qmHandle looks.
QUEUE = "/var/qmail/queue"
QUARANTINE = "/var/qmail/quarantine"
ASIDE = "/var/qmail/aside"

ROUNDS = 3

# Half of the messages have a subject in Japanese, as ISO-2022-JP. qmHandle matches what is on the wire.
SELECTED = "iso2022jp"
KINDS = (SELECTED, "php", SELECTED, "logged_in", SELECTED, "partly", SELECTED, "plain")
SUBJECT, SUBJECT_ON_WIRE = "*お支払い*", "ISO-2022-JP"
BODY = b"".join(b"line %d of a body that goes on for some two thousand bytes\n" % number for number in range(35))

LIST_FLOOR = """
import os, sys
count = 0
for part in ("mess", "info"):
    for rest in range(23):
        directory = "{0}/{1}/{2}/".format(sys.argv[1], part, rest)
        for entry in os.scandir(directory):
            file = os.open(directory + entry.name, os.O_RDONLY)
            os.fstat(file)
            os.read(file, 4096)
            os.close(file)
            count += part == "info"
print(count)
"""

# What must be done for each message at least, the choice already made.
CHANGE_FLOOR = """
import os, sys
queue, how, count = sys.argv[1], sys.argv[2], 0
if how == "rename":
    for part in ("mess", "info", "local", "remote"):
        os.makedirs(sys.argv[3] + "/" + part)
for line in open(sys.argv[4]):
    number = int(line)
    for part in ("info", "local", "remote", "mess"):
        path = "{0}/{1}/{2}/{3}".format(queue, part, number % 23, number)
        try:
            if how == "rename":
                os.rename(path, "{0}/{1}/{2}".format(sys.argv[3], part, number))
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass
    count += 1
print(count)
"""

OURS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from harden_mail.queue import engine, listing
from harden_mail.system import System
params = json.loads(sys.argv[2])
if "state" in params:
    print(engine.run(System(), params, False)["moved"])
else:
    print(listing.info(System(), params)["matched"])
"""


def ours(**params):
    defaults = {"mta": "qmail", "queue_dir": QUEUE, "config_dir": None, "quarantine_dir": QUARANTINE, "run": None}
    defaults.update(select={}, all=False, limit_listed=100, expect=None)
    options = json.dumps(dict(defaults, **params))
    return [sys.executable, "-c", OURS, os.path.join(CODE, "module_utils"), options]


class Bench:
    """A queue, and what is to be selected of it: half of the messages."""

    def __init__(self, count):
        self.spool, self.chosen = Spool(QUEUE).make(), os.path.join(os.path.dirname(QUEUE), "chosen")
        self._numbers = []
        for number in range(count):
            made = self.spool.add(KINDS[number % len(KINDS)], body=BODY)
            if made.kind == SELECTED:
                self._numbers.append(int(made.id))
        self.complete()

    def complete(self):
        """Put back what was renamed away, make anew what was deleted."""
        for part in os.listdir(ASIDE) if os.path.exists(ASIDE) else ():
            for name in os.listdir(os.path.join(ASIDE, part)):
                os.rename(os.path.join(ASIDE, part, name), self.spool.path(part, int(name)))
        shutil.rmtree(ASIDE, ignore_errors=True)
        left = [number for number in self._numbers if os.path.exists(self.spool.path("info", number))]
        missing = len(self._numbers) - len(left)
        self._numbers = left + [int(self.spool.add(SELECTED, body=BODY).id) for _ in range(missing)]
        with open(self.chosen, "w") as handle:
            handle.writelines("{0}\n".format(number) for number in self._numbers)

    def commands(self, qmhandle):
        """(what, whether the queue must be complete before, command)"""
        by_subject = {"subject": SUBJECT}

        def floor(how):
            return [sys.executable, "-c", CHANGE_FLOOR, QUEUE, how, ASIDE, self.chosen]

        yield "list: floor (read)", True, [sys.executable, "-c", LIST_FLOOR, QUEUE]
        yield "list: mail_queue_info", True, ours()
        yield "list: mail_queue_info, by subject", True, ours(select=by_subject)
        if qmhandle:
            yield "list: qmHandle -l", True, [qmhandle, "-l"]
        yield "move: floor (rename)", True, floor("rename")
        yield "move: mail_queue, quarantined", True, ours(state="quarantined", select=by_subject)
        yield "move: mail_queue, restored", False, ours(state="restored", all=True)
        yield "delete: floor (unlink)", True, floor("unlink")
        yield "delete: mail_queue, deleted", True, ours(state="deleted", select=by_subject)
        if qmhandle:
            yield "delete: qmHandle -S", True, [qmhandle, "-S" + SUBJECT_ON_WIRE]


def timed(command):
    """(seconds, MiB, messages) of a run of a program, which prints how many messages there were."""
    os.sync()
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, universal_newlines=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = status
    assert status == 0, out
    numbers = re.findall(r"^(?:Total messages: |Deleted )?(\d+)(?: messages from queue)?$", out, re.MULTILINE)
    return seconds, usage.ru_maxrss / 1024, int(numbers[-1])


def main(count, qmhandle):
    bench, found = Bench(count), {}
    for _ in range(ROUNDS):
        for what, must_be_complete, command in bench.commands(qmhandle):
            if must_be_complete:
                bench.complete()
            found.setdefault(what, []).append(timed(command))
    rows = []
    for what, done in found.items():
        seconds, _, messages = min(done)
        rows.append([what, seconds, max(memory for _, memory, _ in done), messages])
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[2]), (sys.argv[3:] or [None])[0])
