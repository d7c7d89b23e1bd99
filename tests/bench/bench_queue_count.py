"""Counting a long queue: the alert's way, beside find and what people pipe into wc.

The million files are links to a few, which are names in directories like any; `postqueue` wants real messages, so it
has fewer, and a line of ours on the same ones.
"""

import json
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(PROJECT, "tests"))

from hosts.lab import Lab  # noqa: E402

FILES, MESSAGES = 1000000, 20000
ON_HOST = "/var/spool/harden-mail-bench"

# A file has no more links than that on ext4.
MAKE = """
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    directory = "{0}/deferred/{1:X}".format(top, number % 16)
    if number < 16:
        os.makedirs(directory)
    source = "{0}/source{1}".format(top, number // 50000)
    if number % 50000 == 0:
        open(source, "w").close()
    os.link(source, "{0}/{1:05X}{2:X}".format(directory, number % 1000000, number))
"""

OURS = """
import sys
sys.path.insert(0, sys.argv[1])
from harden_mail.queue.count import count_files
print(count_files(sys.argv[2]))
"""

# Seconds of the best of three, and the greatest memory of all their processes in MiB.
MEASURE = """
import json, resource, subprocess, sys, time
best = None
for _ in range(3):
    began = time.monotonic()
    out = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
    seconds = time.monotonic() - began
    best = seconds if best is None else min(best, seconds)
print(json.dumps([best, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, int(out)]))
"""


def main(scale):
    host = Lab.current().hosts()[0]
    files, messages = (max(100, round(number * scale)) for number in (FILES, MESSAGES))
    put_code(host)
    try:
        host.run("python3 - {0} {1}".format(ON_HOST, files), stdin=MAKE.encode(), timeout=600)
        many = ON_HOST + "/deferred"
        rows = [
            ("find | wc -l", files, measured(host, "sh", "-c", "find {0} -type f | wc -l".format(many))),
            ("ours", files, ours(host, many)),
        ]
        host.run("postconf -e default_transport=smtp:[127.0.0.1]:9 in_flow_delay=0; postfix reload")
        host.run(
            "smtp-source -c -m {0} -s 20 -f a@example.com -t b@example.net 127.0.0.1:25; "
            "while [ $(find /var/spool/postfix/maildrop /var/spool/postfix/incoming /var/spool/postfix/active -type f "
            "| wc -l) -gt 0 ]; do sleep 1; done".format(messages),
            timeout=600,
        )
        queue = "/var/spool/postfix/deferred"
        rows += [
            ("postqueue -j | wc -l", messages, measured(host, "sh", "-c", "postqueue -j | wc -l")),
            ("find | wc -l", messages, measured(host, "sh", "-c", "find {0} -type f | wc -l".format(queue))),
            ("ours", messages, ours(host, queue)),
        ]
    finally:
        host.run("rm -rf " + ON_HOST, timeout=300)
    print("{0:<22} {1:>9} {2:>9} {3:>9} {4:>9}".format("", "messages", "seconds", "MiB", "of find"))
    floor = {count: answer[0] for name, count, answer in rows if name == "find | wc -l"}
    for name, count, (seconds, memory, found) in rows:
        assert found == count, "{0} found {1} of {2}".format(name, found, count)
        print(
            "{0:<22} {1:>9} {2:>9.3f} {3:>9.0f} {4:>9.2f}".format(name, count, seconds, memory, seconds / floor[count])
        )


def put_code(host):
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(
            os.path.join(PROJECT, "module_utils"),
            directory + ON_HOST + "/code",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        host.put(directory)
    host.run("cat > {0}/ours.py".format(ON_HOST), stdin=OURS.encode())
    host.run("cat > {0}/measure.py".format(ON_HOST), stdin=MEASURE.encode())


def ours(host, directory):
    return measured(host, "python3", "-B", ON_HOST + "/ours.py", ON_HOST + "/code", directory)


def measured(host, *command):
    quoted = " ".join("'{0}'".format(word) for word in command)
    return json.loads(host.run("python3 {0}/measure.py {1}".format(ON_HOST, quoted), timeout=600))


if __name__ == "__main__":
    main(float(sys.argv[1]))
