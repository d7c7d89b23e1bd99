"""A qmail queue, listed, and half of it taken out by a subject in Japanese: ours beside qmHandle, and beside the floor.

QMHANDLE names a qmHandle; without it, its lines are left out. Nobody sends mail meanwhile, and qmail doesn't run: how
long it takes to stop is the same for both. qmHandle neither decodes subjects nor waits for the disk.
"""

import json
import os
import shutil
import sys
import tempfile

from hosts.lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))

MESSAGES = 20000
ON_HOST = "/usr/local/lib/harden-mail-bench"


def main(scale):
    host = Lab.current().hosts()[0]
    count = max(100, round(MESSAGES * scale))
    peer = os.environ.get("QMHANDLE")
    with tempfile.TemporaryDirectory() as directory:
        place = directory + ON_HOST
        shutil.copytree(
            os.path.join(PROJECT, "module_utils"), place + "/module_utils", ignore=shutil.ignore_patterns("__pycache__")
        )
        os.makedirs(place + "/tests/hosts")
        for name in ("__init__.py", "qmail_spool.py"):
            shutil.copy(os.path.join(PROJECT, "tests", "hosts", name), place + "/tests/hosts")
        shutil.copy(os.path.join(HERE, "mail_queue_qmail_on_host.py"), place)
        if peer:
            shutil.copy(peer, place + "/qmHandle")
        host.put(directory)
    try:
        command = "python3 -B {0}/mail_queue_qmail_on_host.py {0} {1} ".format(ON_HOST, count)
        rows = json.loads(host.run(command + (ON_HOST + "/qmHandle" if peer else ""), timeout=1200))
    finally:
        host.run("rm -rf {0} /var/qmail".format(ON_HOST), timeout=300)
    print("{0:<34} {1:>9} {2:>9} {3:>9} {4:>9}".format("", "messages", "seconds", "MiB", "of floor"))
    floor = {}
    for what, seconds, memory, messages in rows:
        expected = count if what.startswith("list") and "subject" not in what else count // 2
        assert messages == expected, "{0}: {1} messages, not {2}".format(what, messages, expected)
        least = floor.setdefault(what.split(":")[0], seconds)
        print("{0:<34} {1:>9} {2:>9.3f} {3:>9.0f} {4:>9.2f}".format(what, messages, seconds, memory, seconds / least))


if __name__ == "__main__":
    main(float(sys.argv[1]))
