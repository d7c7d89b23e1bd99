"""The numbers of a run for node_exporter's text file collector (exposition format 0.0.4)."""

import contextlib
import errno
import os

from ..untrusted import NotRead, remove_untrusted, write_untrusted
from ..untrusted_walk import walked


def write_metrics(system, path, counts, limit, store, now):
    """Write them, whoever owns the directory: no link is followed there.

    :raises OSError: it can't be written; a directory that is not there is not made, for nobody would take it away
    """
    if not system.is_dir(os.path.dirname(path)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.path.dirname(path))
    values = [
        ("messages", "Messages that are to be delivered.", counts.total),
        ("held_messages", "Messages on hold.", counts.held),
        ("limit_messages", "Messages above which there is an alarm.", limit),
        ("alarm", "Whether there is an alarm.", int(store.alarm is not None)),
        ("notices_waiting", "Notices that no way has accepted yet.", len(store.waiting)),
        ("last_run_seconds", "When this was written, in seconds since 1970.", int(now)),
    ]
    if counts.todo is not None:
        values.append(("todo_messages", "Messages not yet preprocessed.", counts.todo))
    lines = []
    for name, text, value in values:
        full = "harden_mail_queue_" + name
        lines += ["# HELP {0} {1}".format(full, text), "# TYPE {0} gauge".format(full), "{0} {1}".format(full, value)]
    try:
        write_untrusted(system, path, "\n".join(lines) + "\n", 0o644)
    except NotRead as error:
        raise OSError(errno.EPERM, error.why, path) from None


def take_away(system, path):
    """Remove the file, whoever owns its directory. Where that can't be reached safely, none was written."""
    with contextlib.suppress(NotRead):
        remove_untrusted(system, path)


def problem(system, path):
    """Why nothing is written there: a finding, or None."""
    if not system.is_dir(os.path.dirname(path)):
        return (
            "prometheus_file is {0}, but its directory is not there, so nothing is written; make it, or name that of "
            "node_exporter's text file collector.".format(path)
        )
    try:
        with walked(system, path, replaces=True):
            return None
    except NotRead as error:
        return "prometheus_file is not written: {0}. Name a file in a directory that is reached safely.".format(error)
