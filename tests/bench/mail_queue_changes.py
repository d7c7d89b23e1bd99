#!/usr/bin/env python3
"""Times one way to change half of a Postfix queue; runs as root on a host, with the Python that is there.

    mail_queue_changes.py WAY

Prints JSON: seconds, how many messages there were, and the most memory (MiB) of this process and of what it started.
The project's harden_mail lies beside this file. What it changes has even numbers (postfix_spool.py), what postsuper
changes has odd ones.
"""

import json
import resource
import subprocess
import sys
import time

from harden_mail.queue import engine, quarantine
from harden_mail.queue.arguments import QUEUE_ARGUMENTS
from harden_mail.queue.postfix.backend import PostfixQueue
from harden_mail.queue.postfix.instances import Instance
from harden_mail.queue.selection import compile_selection
from harden_mail.system import System

EVEN, ODD = {"recipient": "re:[02468]@"}, {"recipient": "re:[13579]@"}


def change(state, **values):
    """As module mail_queue does it: (how many, seconds)"""
    params = {name: option.get("default") for name, option in QUEUE_ARGUMENTS.items()}
    params.update(values, state=state, expect=None)
    started = time.monotonic()
    moved = engine.run(System(), dict({"run": None}, **params), False)["moved"]
    return moved, time.monotonic() - started


def restore():
    (run,) = quarantine.runs(System(), QUEUE_ARGUMENTS["quarantine_dir"]["default"])
    return change("restored", run=run.name)


def postsuper(option):
    """Of messages whose ids are known: (how many, seconds)"""
    queue = PostfixQueue(None, [Instance(None, "/etc/postfix", "/var/spool/postfix")])
    selection = compile_selection(ODD, False, queue.STATES, time.time())
    names = "".join(message.id + "\n" for message in queue.messages(selection)).encode()
    started = time.monotonic()
    subprocess.run(["postsuper", option, "-"], input=names, stderr=subprocess.DEVNULL, check=True)
    return names.count(b"\n"), time.monotonic() - started


WAYS = {
    "quarantine": lambda: change("quarantined", select=EVEN),
    "restore": restore,
    "hold": lambda: change("held", select=EVEN),
    "release": lambda: change("released", select=EVEN),
    "delete": lambda: change("deleted", select=EVEN),
    "postsuper_hold": lambda: postsuper("-h"),
    "postsuper_release": lambda: postsuper("-H"),
    "postsuper_delete": lambda: postsuper("-d"),
}


def main():
    count, seconds = WAYS[sys.argv[1]]()
    memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"seconds": seconds, "count": count, "own": memory[0], "children": memory[1]}))


if __name__ == "__main__":
    main()
