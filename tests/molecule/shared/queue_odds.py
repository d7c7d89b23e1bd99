"""Runs on a test host, with killed.py: what a queue module meets by bad luck only."""

import os

from harden_mail.queue import quarantine
from harden_mail.queue.postfix import backend as postfix


def no_room_check():
    """The room that is needed is not known beforehand, as when others write into it meanwhile."""
    quarantine.check_room = lambda directory, wanted: None


def reused_ids():
    """After the look at the queue two messages that are held come to have the ids of two that were selected.

    One of them has its inode, too.
    """
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
