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

ROUNDS = 3

# Half of the messages have a subject in Japanese, as ISO-2022-JP. qmHandle matches what is on the wire.
KINDS = ("iso2022jp", "php", "iso2022jp", "logged_in", "iso2022jp", "partly", "iso2022jp", "plain")
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


def make(count):
    """Make the queue anew; returns the numbers of those that are to be selected."""
    for directory in (QUEUE, QUARANTINE):
        shutil.rmtree(directory, ignore_errors=True)
    spool, chosen = Spool(QUEUE).make(), []
    for number in range(count):
        made = spool.add(KINDS[number % len(KINDS)], body=BODY)
        if made.kind == "iso2022jp":
            chosen.append(made.id)
    return chosen


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


def best(what, command, before=None):
    done = []
    for _ in range(ROUNDS):
        if before:
            before()
        done.append(timed(command))
    seconds, _, messages = min(done)
    return [what, seconds, max(memory for _, memory, _ in done), messages]


def main(count, qmhandle):
    chosen = "/var/qmail/chosen"
    by_subject = {"subject": SUBJECT}

    def anew():
        numbers = make(count)
        with open(chosen, "w") as handle:
            handle.writelines(number + "\n" for number in numbers)

    def quarantined():
        anew()
        timed(ours(state="quarantined", select=by_subject))

    def floor(how):
        return [sys.executable, "-c", CHANGE_FLOOR, QUEUE, how, QUARANTINE, chosen]

    anew()
    yield best("list: floor", [sys.executable, "-c", LIST_FLOOR, QUEUE])
    yield best("list: mail_queue_info", ours())
    yield best("list: mail_queue_info, by subject", ours(select=by_subject))
    if qmhandle:
        yield best("list: qmHandle -l", [qmhandle, "-l"])
    yield best("change: floor, rename", floor("rename"), anew)
    yield best("change: floor, unlink", floor("unlink"), anew)
    yield best("change: mail_queue, quarantined", ours(state="quarantined", select=by_subject), anew)
    yield best("change: mail_queue, restored", ours(state="restored", all=True), quarantined)
    yield best("change: mail_queue, deleted", ours(state="deleted", select=by_subject), anew)
    if qmhandle:
        yield best("change: qmHandle -S", [qmhandle, "-S" + SUBJECT_ON_WIRE], anew)


if __name__ == "__main__":
    json.dump(list(main(int(sys.argv[2]), (sys.argv[3:] or [None])[0])), sys.stdout)
