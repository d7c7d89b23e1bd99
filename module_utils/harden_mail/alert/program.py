"""The program that cron or a timer runs every few minutes; without Ansible, and with an empty environment.

    queue-alert [--config FILE]             count, and tell people when there is something to tell
    queue-alert --drill [--config FILE]     send a marked test alert by every way; JSON; exit status 1: none took it
    queue-alert --count [--config FILE]     only count; JSON

A run takes its lock; one that hangs longer than ``LONGEST`` is ended by the next. What is to be said is on disk before
it is sent (``store.py``).
"""

import argparse
import contextlib
import fcntl
import itertools
import json
import os
import signal
import socket
import sys
import syslog
import time

from ..errors import UserError
from ..queue.count import count_queue
from ..queue.queues import open_queue
from ..queue.summary import Summary
from ..system import System
from . import conditions, ways
from .notice import NAMED, notice
from .settings import CONFIG, check
from .store import Store

LOCK = "/run/harden-mail/queue-alert.lock"

# Seconds after which a run counts as hanging.
LONGEST = 240

# Messages that are read for the text of an alarm; with more, it says so.
READ = 100000


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="queue-alert", description="Tell people when the mail queue is too long.")
    parser.add_argument("--config", default=CONFIG, metavar="FILE")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--drill", action="store_true", help="send a marked test alert by every way")
    what.add_argument("--count", action="store_true", help="only count the queue")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    system = System()
    try:
        settings = check(read_config(system, options.config))
        if options.count:
            print(json.dumps(look(system, settings)[0]._asdict()))
            return 0
        if options.drill:
            results = drill(settings)
            print(json.dumps(results))
            return 0 if any(result["accepted"] for result in results) else 1
        with only_one(system):
            return 0 if run(system, settings, time.time()) else 1
    except UserError as error:
        ways.log(str(error), syslog.LOG_ERR)
        print("queue-alert: {0}".format(error), file=sys.stderr)
        return 2


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
    counts, queue = look(system, settings)
    kind, over = conditions.decide(settings, store, counts, now)
    limit = conditions.current_limit(settings, store, now)
    if kind:
        summary, read = busiest(queue) if kind != "clear" else (None, None)
        about = store.alarm or store.ended
        made = notice(
            kind,
            socket.getfqdn(),
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
            summary=summary,
            read=read,
        )
        if kind == "repeat":
            # A newer number of the same alarm takes the place of one that nobody took.
            store.waiting = [kept for kept in store.waiting if kept["kind"] != "repeat"]
        store.waiting.append(made)
    store.save()
    if kind:
        ways.log("{0}: {1} messages (limit {2})".format(kind, counts.total, limit))
    deliver(store, settings)
    if settings["prometheus_file"]:
        write_metrics(system, settings["prometheus_file"], counts, limit, store, now)
    if not store.waiting and settings["ping_url"]:
        try:
            with deadline(60):
                ways.ping(settings["ping_url"])
        except (ways.WayError, TimeoutError) as error:
            ways.log(str(error))
    return not store.waiting


def deliver(store, settings):
    """Hand what waits to the ways, in their order, until one accepts it. Each acceptance is on disk before the next."""
    for kept in list(store.waiting):
        for way in settings["ways"]:
            try:
                with deadline(3 * way["timeout"]):
                    ways.send(kept, way, settings)
            except (ways.WayError, TimeoutError) as error:
                ways.log(str(error) or "a way took too long")
                continue
            store.waiting.remove(kept)
            store.save()
            break
        else:
            # The next one would fare no better, and the run must end before the next one begins.
            return


def drill(settings):
    """Send a marked test alert by every way.

    :returns: list of {way, accepted, reason}
    """
    now = time.time()
    made = notice("drill", socket.getfqdn(), settings["language"], now, os.getpid(), int(now))
    results = []
    for way in settings["ways"]:
        reason = None
        try:
            with deadline(3 * way["timeout"]):
                ways.send(made, way, settings)
        except (ways.WayError, TimeoutError) as error:
            reason = str(error) or "took too long"
        results.append({"way": ways.describe(way), "accepted": reason is None, "reason": reason})
    ways.log("drill: {0} of {1} ways took it".format(sum(result["accepted"] for result in results), len(results)))
    return results


def look(system, settings):
    """Count the queue; messages are read only where a condition needs it.

    :returns: (Counts, queue)
    """
    queue = open_queue(system, settings)
    total, held, todo = count_queue(queue)
    oldest = top = None
    if conditions.needs_messages(settings, total):
        summary = Summary(NAMED)
        for message in queue.messages():
            if "hold" in message.states:
                continue
            summary.add(message)
            oldest = message.arrival if oldest is None else min(oldest, message.arrival)
        busiest_ones = [
            (entry["value"], entry["count"])
            for name in ("top_origins", "top_senders")
            for entry in summary.result()[name][:1]
        ]
        top = max(busiest_ones, key=lambda one: one[1]) if busiest_ones else None
    return conditions.Counts(total, held, todo, oldest, top), queue


def busiest(queue):
    """(summary of the messages, how many were read if not all)."""
    summary, read = Summary(NAMED), 0
    for message in itertools.islice(queue.messages(), READ):
        summary.add(message)
        read += 1
    return summary.result(), read if read == READ else None


def write_metrics(system, path, counts, limit, store, now):
    """The same numbers for node_exporter's text file collector (exposition format 0.0.4)."""
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
def deadline(seconds):
    """Raise TimeoutError when a block takes longer: an answer of a byte a minute outlives a socket's timeout."""

    def over(*_):
        raise TimeoutError("gave up after {0} seconds".format(seconds))

    former = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@contextlib.contextmanager
def only_one(system):
    """Hold the lock of the program; whoever has held it too long is ended.

    :raises UserError: another run is at work, and has not been so for long
    """
    path = system.real(LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a+", encoding="ascii") as handle:
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
        raise UserError("another run is still at work")
    ways.log("ending a run that has hung for {0:.0f} seconds".format(hung), syslog.LOG_ERR)
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(holder), signal.SIGKILL)
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
