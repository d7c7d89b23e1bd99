"""Runs on a test host: a queue module's work, with a kill -9 before its Nth call that changes a file system.

Usage: queue_mortal.py FATAL [no-room-check] [reused-ids] < {"check": bool, "params": {...}}, as JSON; without
`state` in params it is mail_queue_info's work. FATAL 0: no kill. Prints the result as JSON, with `calls`, how many
there were; what was refused is {"refused": sentence}. Killed, it says what it was about to do and dies of SIGKILL like
anyone.
reused-ids: before the work, and after the look at the queue, two messages that are held come to have the ids of two
that were selected, one of them with its inode.
"""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "module_utils"))

from harden_mail.errors import UserError
from harden_mail.queue import engine, listing, quarantine
from harden_mail.queue.arguments import QUEUE_ARGUMENTS
from harden_mail.queue.postfix import backend as postfix
from harden_mail.system import System

# Names of sys.addaudithook: what is raised before a system call that changes something, or locks.
CHANGING = frozenset(
    ["fcntl.flock", "fcntl.lockf", "subprocess.Popen"]
    + ["os." + name for name in "rename link remove mkdir rmdir chmod chown utime truncate".split()]
)


def reuse_ids():
    """Have PostfixQueue's next take or hold meet other messages."""
    for name in ("take", "hold"):
        setattr(postfix.PostfixQueue, name, _with_reused_ids(getattr(postfix.PostfixQueue, name)))


def _with_reused_ids(work):
    def changed(queue, *arguments, **options):
        *before, messages = arguments
        messages = list(messages)
        names = [one["id"] if isinstance(one, dict) else one.id for one in messages[:2]]
        spool = queue.instances[None].queue_dir
        held = sorted(_files(os.path.join(spool, "hold")))
        first, second = [path for path in _files(os.path.join(spool, "deferred")) if os.path.basename(path) in names]
        os.rename(held[0], first)
        with open(held[1], "rb") as other, open(second, "r+b") as same_inode:
            same_inode.truncate(0)
            same_inode.write(other.read())
        os.unlink(held[1])
        return work(queue, *before, messages, **options)

    return changed


def _files(top):
    return [os.path.join(directory, name) for directory, _, names in os.walk(top) for name in names]


def main(fatal, *words):
    calls = [0]

    def mortal(event, arguments):
        if event in CHANGING or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            calls[0] += 1
            if calls[0] == int(fatal):
                print("killed before {0}".format(event), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

    asked = json.load(sys.stdin)
    params = {name: option.get("default") for name, option in QUEUE_ARGUMENTS.items()}
    params.update(run=None, expect=None)
    params.update(asked["params"])
    if "no-room-check" in words:
        quarantine.check_room = lambda directory, wanted: None
    if "reused-ids" in words:
        reuse_ids()
    sys.addaudithook(mortal)
    try:
        result = engine.run(System(), params, asked["check"]) if "state" in params else listing.info(System(), params)
    except UserError as error:
        result = {"refused": str(error)}
    print(json.dumps(dict(result, calls=calls[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
