"""Counting a queue of a million deferred messages: the alert's way, beside find and what people pipe into wc.

All count the same files on the same host; the best of three counts, but `postqueue` is run once.
"""

import io
import json
import os
import sys
import tarfile

from hosts.lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))

MESSAGES = 1000000
ON_HOST = "/root/bench"
DEFERRED = "/var/spool/postfix/deferred"

OURS = """
import sys
sys.path.insert(0, sys.argv[1])
from harden_mail.queue.count import count_files
print(count_files(sys.argv[2]))
"""

# As cron runs it, but that it only counts: Python's start and the search for the mail server are in it.
PROGRAM = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
from harden_mail.alert import program
out = io.StringIO()
with contextlib.redirect_stdout(out):
    program.main(["--count", "--config", sys.argv[1] + "/config.json"])
print(json.loads(out.getvalue())["total"])
"""

# Seconds of the best of some rounds, and the greatest memory of all their processes in MiB.
MEASURE = """
import json, resource, subprocess, sys, time
best = None
for _ in range(int(sys.argv[1])):
    began = time.monotonic()
    out = subprocess.run(sys.argv[2:], check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
    seconds = time.monotonic() - began
    best = seconds if best is None else min(best, seconds)
print(json.dumps([best, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, int(out)]))
"""


def main(scale):
    host = Lab.current().hosts()[0]
    messages = max(100, round(MESSAGES * scale))
    put_code(host)
    # Its own look at them all would be measured with the rest.
    host.run("postconf -e queue_run_delay=1d; postfix reload")
    host.run("python3 {0}/postfix_spool.py {1}".format(ON_HOST, messages), timeout=1800)
    rows = [
        ("find | wc -l", measured(host, 3, "sh", "-c", "find {0} -type f | wc -l".format(DEFERRED))),
        ("ours, the same", measured(host, 3, "python3", "-B", ON_HOST + "/ours.py", ON_HOST, DEFERRED)),
        ("queue-alert --count", measured(host, 3, "python3", "-B", ON_HOST + "/program.py", ON_HOST)),
        ("postqueue -j | wc -l", measured(host, 1, "sh", "-c", "postqueue -j | wc -l")),
    ]
    print("\n{0} deferred messages".format(messages))
    print("{0:<22} {1:>9} {2:>9} {3:>9}".format("", "seconds", "MiB", "of find"))
    floor = rows[0][1][0]
    for name, (seconds, memory, found) in rows:
        assert found == messages, "{0} found {1} of {2}".format(name, found, messages)
        print("{0:<22} {1:>9.3f} {2:>9.0f} {3:>9.2f}".format(name, seconds, memory, seconds / floor))


def put_code(host):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(os.path.join(HERE, "postfix_spool.py"), "postfix_spool.py")
        tar.add(os.path.join(PROJECT, "module_utils", "harden_mail"), "harden_mail")
    host.run("mkdir -p {0}; tar -C {0} -x".format(ON_HOST), stdin=packed.getvalue())
    for name, text in (("ours.py", OURS), ("program.py", PROGRAM), ("measure.py", MEASURE), ("config.json", "{}")):
        host.run("cat > {0}/{1}".format(ON_HOST, name), stdin=text.encode())


def measured(host, rounds, *command):
    """[seconds, MiB, messages] of a command that prints their number."""
    quoted = " ".join("'{0}'".format(word) for word in command)
    return json.loads(host.run("python3 {0}/measure.py {1} {2}".format(ON_HOST, rounds, quoted), timeout=1800))


if __name__ == "__main__":
    main(float(sys.argv[1]))
