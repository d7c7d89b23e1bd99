#!/usr/bin/env python3
"""Times one way to list a Postfix queue; runs as root on a host, with the Python that is there.

    mail_queue_times.py WAY

Prints JSON: seconds, how many messages there were, and the most memory (MiB) of this process and of what it started.
The project's harden_mail and pymailq lie beside this file.
"""

import json
import os
import resource
import subprocess
import sys
import time

from harden_mail.queue.listing import Found
from harden_mail.queue.postfix.backend import PostfixQueue
from harden_mail.queue.postfix.instances import Instance
from harden_mail.queue.selection import compile_selection
from pymailq.store import PostqueueStore

QUEUE = "/var/spool/postfix"
SUBJECT = "*お支払い方法*00"
BLOCK = 4096


def floor():
    """Python's own least: all names, and the first block of each file."""
    count = 0
    for directory, _, _ in os.walk(os.path.join(QUEUE, "deferred")):
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    descriptor = os.open(entry.path, os.O_RDONLY)
                    os.read(descriptor, BLOCK)
                    os.close(descriptor)
                    count += 1
    return count


def select_by_subject():
    """As mail_queue_info does it with a selection."""
    return _info({"subject": SUBJECT})


def list_all():
    """As mail_queue_info does it without: all is worked out, and summed up by sender, domain, subject and origin."""
    return _info({})


def _info(select):
    queue = PostfixQueue(None, [Instance(None, "/etc/postfix", QUEUE)])
    selection = compile_selection(select, False, queue.STATES, time.time()) if select else None
    found = Found(100)
    queue.gather(selection, found)
    assert found.result()["messages"], "nothing was selected"
    assert not queue.unreadable, queue.unreadable[:3]
    return queue.met


def postqueue():
    """Read and thrown away."""
    count = 0
    with subprocess.Popen(["postqueue", "-j"], stdout=subprocess.PIPE) as process:
        for _ in process.stdout:
            count += 1
    return count


def postqueue_parsed():
    """And each line made an object."""
    count = 0
    with subprocess.Popen(["postqueue", "-j"], stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            json.loads(line.decode())
            count += 1
    return count


def pymailq():
    """It parses `mailq`; subjects it would ask postcat for, one by one."""
    store = PostqueueStore()
    store.load()
    return len(store.mails)


WAYS = {way.__name__: way for way in (floor, select_by_subject, list_all, postqueue, postqueue_parsed, pymailq)}


def main():
    started = time.monotonic()
    count = WAYS[sys.argv[1]]()
    seconds = time.monotonic() - started
    memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"seconds": seconds, "count": count, "own": memory[0], "children": memory[1]}))


if __name__ == "__main__":
    main()
