"""The program that cron or a timer runs every few minutes; without Ansible, and with an empty environment.

    queue-alert [--config FILE]             count, and tell people when there is something to tell
    queue-alert --drill [--config FILE]     send a marked test alert by every way; JSON; exit status 1: none took it
    queue-alert --count [--config FILE]     only count; JSON

A run takes its lock; one that hangs longer than ``LONGEST`` is ended by the next. What is to be said is on disk before
it is sent (``store.py``).
"""

import argparse
import contextlib
import errno
import fcntl
import json
import os
import re
import signal
import socket
import sys
import syslog
import time

from ..errors import UserError
from ..queue.count import count_queue
from ..queue.queues import open_queue
from ..queue.summary import Summary
from ..queue.text import printable
from ..surface import place_of
from ..system import System
from . import conditions, ways
from .notice import NAMED, notice
from .settings import CONFIG, check
from .store import WAITING, Store

LOCK = "/run/harden-mail/queue-alert.lock"

# Seconds after which a run counts as hanging.
LONGEST = 240

# Messages that are read for the text of an alarm; with more, it says so.
READ = 100000

# Seconds that reading them, and the ways out, may take together; with the counting, a run must end before LONGEST.
READING = 40
SENDING = 150

# Runs in which every way refuses a notice for what is in it, until it is set aside.
REFUSALS = 6

# Seconds that a drill may take, less than who started it waits.
DRILL = 600


# Of a traceback, which is what a process that read a part of the queue leaves of itself.
_PLACE = re.compile(r'File "[^"]*?([^/"]+)", line ([0-9]+)')


class Busy(UserError):
    """Another run is at work, and has not been so for long."""


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="queue-alert", description="Tell people when the mail queue is too long.")
    parser.add_argument("--config", default=CONFIG, metavar="FILE")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--drill", action="store_true", help="send a marked test alert by every way")
    what.add_argument("--count", action="store_true", help="only count the queue")
    options = parser.parse_args(arguments)
    # Of what is private, each file and directory has its own mode.
    os.umask(0o022)
    try:
        return work(System(), options)
    except UserError as error:
        reason, status = str(error), 2
    except OSError as error:
        reason, status = "the host's file system said: {0} ({1})".format(error.strerror, error.filename), 2
    except Exception as error:
        # Cron throws away what is printed, and the exception may quote a secret.
        reason, status = "a defect of harden-mail: {0}; please report it".format(place_of(error)), 3
    ways.log(reason, syslog.LOG_ERR)
    print("queue-alert: {0}".format(printable(reason, 1000)), file=sys.stderr)
    return status


def work(system, options):
    """:returns: the exit status"""
    settings = check(read_config(system, options.config))
    if options.count:
        print(json.dumps(look(system, settings)[0]._asdict()))
        return 0
    if options.drill:
        results = drill(settings)
        print(json.dumps(results))
        return 0 if any(result["accepted"] for result in results) else 1
    # So that whatever it starts can be ended with it.
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    with only_one(system):
        return 0 if run(system, settings, time.time()) else 1


def read_config(system, path):
    """The configuration file as a dict.

    :raises UserError: it is not there, or no JSON
    """
    text = system.read(path)
    if text is None:
        raise UserError("--config is {0}, but there is no such file.".format(path))
    try:
        given = json.loads(text)
    except ValueError as error:
        raise UserError("{0} is no JSON: {1}.".format(path, error)) from None
    if not isinstance(given, dict):
        raise UserError("{0} holds no JSON object.".format(path))
    return given


def run(system, settings, now):
    """One run: count, decide, keep, send.

    :returns: whether nothing is left to be said
    """
    store = Store(system)
    if store.damaged:
        ways.log("the state file was damaged; beginning anew", syslog.LOG_ERR)
    try:
        counts, seen = look(system, settings)
    except (UserError, OSError):
        # What waits has nothing to do with it.
        deliver(store, settings)
        raise
    kind, over = conditions.decide(settings, store, counts, now)
    limit = conditions.current_limit(settings, store, now)
    if kind:
        ways.log("{0}: {1} messages (limit {2})".format(kind, counts.total, limit))
        about = store.alarm or store.ended
        if kind in ("alarm", "repeat"):
            seen.read()
        made = notice(
            kind,
            host_name(),
            settings["language"],
            now,
            about["sequence"],
            about["since"],
            total=counts.total,
            held=counts.held,
            todo=counts.todo,
            limit=limit,
            peak=about["peak"],
            over=over,
            summary=seen.summary,
            read=seen.only,
            target=settings["inventory_name"],
            aside=store.aside,
        )
        store.aside = []
        if kind == "repeat":
            # A newer number of the same alarm takes the place of one that nobody took.
            store.waiting = [kept for kept in store.waiting if kept["kind"] != "repeat"]
        store.waiting.append(made)
        for kept in store.overflow():
            set_aside(store, kept, "more than {0} notices wait".format(WAITING))
    save(store)
    deliver(store, settings)
    if settings["prometheus_file"]:
        try:
            write_metrics(system, settings["prometheus_file"], counts, limit, store, now)
        except OSError as error:
            ways.log("{0}: {1}".format(settings["prometheus_file"], error.strerror), syslog.LOG_ERR)
    # A notice that was set aside is told by nobody yet but the next one, and by this silence.
    is_good = not store.waiting and not store.aside
    if is_good and settings["ping_url"]:
        try:
            ways.ping(settings["ping_url"])
        except ways.WayError as error:
            ways.log(str(error))
    return is_good


def save(store):
    """Keep the state; what can't be kept is told nevertheless, for a clogged queue may have filled the disk."""
    try:
        error = store.save()
        where = "it is in /run"
    except OSError as nowhere:
        error, where = nowhere, "it is nowhere"
    if error:
        ways.log("what is remembered can't be written to disk, {0}: {1}".format(where, error.strerror), syslog.LOG_ERR)


def deliver(store, settings):
    """Hand what waits to the ways, in their order, until one accepts it. Each acceptance is on disk before the next.

    A way that is down is left alone for the rest of the run, and none may use up the time of those after it. One that
    only refuses a notice is asked about the next; what all refuse for good holds up nothing, and is set aside at last.
    """
    left, end = list(settings["ways"]), time.monotonic() + SENDING
    for kept in list(store.waiting):
        refusals = 0
        for way in list(left):
            seconds = (end - time.monotonic()) / (len(left) - left.index(way))
            if seconds <= 0:
                return
            try:
                ways.send(kept, way, settings, min(3 * way["timeout"], seconds))
            except ways.WayError as error:
                ways.log(str(error))
                refusals += error.for_good
                if not error.answered:
                    left.remove(way)
                continue
            store.waiting.remove(kept)
            save(store)
            break
        else:
            if refusals and refusals == len(settings["ways"]):
                kept["refusals"] = kept.get("refusals", 0) + 1
                if kept["refusals"] >= REFUSALS and set_aside(store, kept, "every way refuses it for what is in it"):
                    store.waiting.remove(kept)
                save(store)


def set_aside(store, kept, why):
    """Put a notice out of the way, where a person finds it.

    :returns: whether it is on disk
    """
    try:
        path, gone = store.set_aside(kept)
    except OSError as error:
        ways.log("{0}: {1}, and can't be written: {2}".format(kept["subject"], why, error.strerror), syslog.LOG_ERR)
        return False
    ways.log("{0}: {1}; it is set aside in {2}".format(kept["subject"], why, path), syslog.LOG_ERR)
    for name in gone:
        ways.log("{0} is removed: too many were set aside".format(name), syslog.LOG_ERR)
    return True


def drill(settings):
    """Send a marked test alert by every way.

    :returns: list of {way, accepted, reason}
    """
    now = time.time()
    made = notice("drill", host_name(), settings["language"], now, os.getpid(), int(now))
    results = []
    for way in settings["ways"]:
        reason = None
        try:
            ways.send(made, way, settings, min(3 * way["timeout"], DRILL / len(settings["ways"])))
        except ways.WayError as error:
            reason = str(error)
        results.append({"way": ways.describe(way), "accepted": reason is None, "reason": reason})
    ways.log("drill: {0} of {1} ways took it".format(sum(result["accepted"] for result in results), len(results)))
    return results


def host_name():
    """This host's name as it stands in an alert's headers; no name server is asked if the host knows its whole name."""
    name = os.uname().nodename
    return re.sub(r"[^A-Za-z0-9.-]", "-", name if "." in name else socket.getfqdn(name)) or "localhost"


def look(system, settings):
    """Count the queue; messages are read only where a condition needs it.

    :returns: (Counts, Seen)
    """
    queue = open_queue(system, settings)
    total, held, todo = count_queue(queue)
    seen = Seen(queue)
    if conditions.needs_messages(settings, total):
        seen.read()
    return conditions.Counts(total, held, todo, seen.oldest, seen.top(), seen.only is not None), seen


class Seen:
    """What the messages that are to be delivered have in common: of as many as can be read in a short time.

    :ivar dict summary: see ``queue.summary.Summary.result``; None before ``read``
    :ivar int oldest: epoch seconds of the oldest one, or None
    :ivar int only: how many were read, if not all, else None
    """

    def __init__(self, queue):
        self.summary = self.oldest = self.only = None
        self._queue = queue

    def read(self):
        """Read the messages, if that was not done yet. Where it fails there is an alert nevertheless."""
        if self.summary is not None:
            return
        found, is_all = Summary(NAMED), False
        try:
            with ways.deadline(READING):
                for message in self._queue.messages():
                    if found.matched >= READ:
                        break
                    if "hold" not in message.states:
                        found.add(message)
                else:
                    is_all = True
        except (ways.WayError, UserError, OSError) as error:
            ways.log("not all messages could be read: {0}".format(error))
        except Exception as error:
            # Spammers write what is read here; a defect that one of them finds must not keep the rest from being told.
            places = _PLACE.findall(str(error))
            where = "at {0}:{1}".format(*places[-1]) if places else place_of(error)
            ways.log("not all messages could be read; a defect of harden-mail: {0}".format(where))
        self.summary = found.result()
        self.oldest = self.summary["oldest"]
        self.only = None if is_all else found.matched

    def top(self):
        """(origin or envelope sender, messages) of the busiest one, or None; bounces have no sender to be busy."""
        if self.summary is None:
            return None
        entries = [entry for name in ("top_origins", "top_senders") for entry in self.summary[name]]
        return max(
            ((entry["value"], entry["count"]) for entry in entries if entry["value"] != "<>"),
            key=lambda one: one[1],
            default=None,
        )


def write_metrics(system, path, counts, limit, store, now):
    """The same numbers for node_exporter's text file collector (exposition format 0.0.4).

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
    system.write(path, "\n".join(lines) + "\n", mode=0o644)


@contextlib.contextmanager
def only_one(system):
    """Hold the lock of the program; whoever has held it too long is ended.

    :raises Busy: another run is at work, and has not been so for long
    :raises UserError: one that hangs could not be ended
    """
    with system.open_lock(LOCK) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _end_hanging(handle)
        handle.seek(0)
        handle.truncate()
        handle.write("{0} {1}".format(os.getpid(), int(time.monotonic())))
        handle.flush()
        yield


def _end_hanging(handle):
    handle.seek(0)
    # Who holds the lock writes its number and the time into it; between the two there is nothing to go by.
    holder, _, since = handle.read().strip().partition(" ")
    hung = time.monotonic() - int(since) if holder.isdigit() and since.isdigit() else 0
    if hung < LONGEST or "queue-alert" not in (System().read("/proc/{0}/cmdline".format(holder)) or ""):
        raise Busy("another run is still at work")
    ways.log("ending a run that has hung for {0:.0f} seconds".format(hung), syslog.LOG_ERR)
    with contextlib.suppress(ProcessLookupError):
        end = os.killpg if os.getpgid(int(holder)) == int(holder) else os.kill
        end(int(holder), signal.SIGKILL)
    for _ in range(50):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        else:
            return
    raise UserError("a run that hangs could not be ended")


if __name__ == "__main__":
    sys.exit(main())
