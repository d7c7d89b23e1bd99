"""The program that cron or a timer runs every few minutes; without Ansible, and with an empty environment.

    queue-alert [--config FILE]             count, and tell people when there is something to tell
    queue-alert --drill [--config FILE]     send a marked test alert by every way; JSON; exit status 1: none took it
    queue-alert --count [--config FILE]     only count; JSON

A run takes its turn; one that hangs is ended by the next (``turn.py``). What is to be said is on disk before
it is sent (``store.py``).
"""

import argparse
import json
import os
import re
import socket
import sys
import syslog
import time

from ..errors import UserError
from ..module_runner import place_of
from ..paths import ALERT_CONFIG
from ..system import System
from ..text import printable
from . import blind, conditions, privileges, ways
from .limit import tell_held_back
from .look import look
from .metrics import write_metrics
from .notice import notice
from .settings import check
from .store import WAITING, Store
from .turn import ALONE, Turn, only_one

# Seconds that the ways out may take together; with looking, a run must end before turn.LONGEST.
SENDING = 150

# Runs in which every way refuses a notice for what is in it, until it is set aside.
REFUSALS = 6

# Seconds that a drill may take, less than who started it waits.
DRILL = 600


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="queue-alert", description="Tell people when the mail queue is too long.")
    parser.add_argument("--config", default=ALERT_CONFIG, metavar="FILE")
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
        reason, status = _why(error), 2
    except Exception as error:
        # Cron throws away what is printed, and the exception may quote a secret.
        reason, status = _why(error) + "; please report it", 3
    ways.log(reason, syslog.LOG_ERR)
    print("queue-alert: {0}".format(printable(reason, 1000)), file=sys.stderr)
    return status


def work(system, options):
    """:returns: the exit status"""
    settings = check(read_config(system, options.config))
    privileges.drop(settings)
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
    with only_one(system) as handle:
        return 0 if run(system, settings, time.time(), Turn(handle)) else 1


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


def run(system, settings, now, turn=ALONE):
    """One run: count, decide, keep, send.

    :returns: whether nothing is left to be said
    """
    store = Store(system)
    if store.damaged:
        ways.log("the state file was damaged; beginning anew", syslog.LOG_ERR)
    counts, seen = looked(system, settings, store, now, turn)
    limit = say(settings, store, counts, seen, now)
    save(store)
    deliver(store, settings, SENDING / 2 if turn.was_cut_off else SENDING)
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


def looked(system, settings, store, now, turn):
    """As :func:`look.look`; what goes wrong there is told."""
    if turn.was_cut_off:
        # This one may hang in the same place: what is to be said goes out first.
        tell_blind(store, settings, now, "the runs before were ended while they counted")
    try:
        with turn.counting():
            return look(system, settings)
    except Exception as error:
        # What waits has nothing to do with it; and what can't be counted must not look like order.
        tell_blind(store, settings, now, _why(error))
        raise


def say(settings, store, counts, seen, now):
    """Decide, and keep what people are to be told.

    :returns: the limit in messages
    """
    kind, over = conditions.decide(settings, store, counts, now)
    limit = conditions.current_limit(settings, store, now)
    usual = {"total": counts.total, "held": counts.held, "todo": counts.todo, "limit": limit}
    if blind.can_count(settings, store, now):
        keep(store, settings, now, "sighted", store.blind, **usual)
    if kind:
        ways.log("{0}: {1} messages (limit {2})".format(kind, counts.total, limit))
        about = store.alarm or store.ended
        if kind in ("alarm", "repeat"):
            seen.read()
        more = {"peak": about["peak"], "over": over, "summary": seen.summary, "read": seen.only}
        keep(store, settings, now, kind, about, **usual, **more)
    wished = None if conditions.is_quiet(settings, now) else tell_held_back(settings, store, now)
    if wished:
        ways.log("the automatic limit is held at {0}; it would be {1}".format(limit, wished))
        keep(store, settings, now, "held_back", {"since": int(now), "sequence": 1}, value=wished, **usual)
    return limit


def tell_blind(store, settings, now, reason):
    """Have people told that the queue can't be counted, unless they were lately; what waits goes out, too."""
    kind = blind.cannot_count(settings, store, now)
    if kind:
        ways.log("{0}: {1}".format(kind, reason), syslog.LOG_ERR)
        keep(store, settings, now, kind, store.blind, reason=printable(reason, 500), alarm=bool(store.alarm))
    save(store)
    # The run may deliver once more.
    deliver(store, settings, SENDING / 2)


def keep(store, settings, now, kind, about, **facts):
    """Make a notice, and have it wait for a way.

    :param dict about: what it is about: ``since`` and ``sequence``
    """
    made = notice(
        kind,
        host_name(),
        settings["language"],
        now,
        about["sequence"],
        about["since"],
        target=settings["inventory_name"],
        aside=store.aside,
        **facts,
    )
    store.aside = []
    if kind in ("repeat", "still_blind"):
        # A newer number of the same takes the place of one that nobody took.
        store.waiting = [kept for kept in store.waiting if kept["kind"] != kind]
    store.waiting.append(made)
    for kept in store.overflow():
        set_aside(store, kept, "more than {0} notices wait".format(WAITING))


def _why(error):
    """Why the queue can't be counted: a sentence without anything that the queue's messages say."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return "the host's file system said: {0} ({1})".format(error.strerror, error.filename)
    return "a defect of harden-mail: {0}".format(place_of(error))


def save(store):
    """Keep the state; what can't be kept is told nevertheless, for a clogged queue may have filled the disk."""
    try:
        error = store.save()
        where = "it is in /run"
    except OSError as nowhere:
        error, where = nowhere, "it is nowhere"
    if error:
        ways.log("what is remembered can't be written to disk, {0}: {1}".format(where, error.strerror), syslog.LOG_ERR)


def deliver(store, settings, seconds=SENDING):
    """Hand what waits to the ways, in their order, until one accepts it. Each acceptance is on disk before the next.

    A way that is down is left alone for the rest of the run, and none may use up the time of those after it. One that
    only refuses a notice is asked about the next; what all refuse for good holds up nothing, and is set aside at last.

    :param float seconds: for all of it
    """
    left, end = list(settings["ways"]), time.monotonic() + seconds
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


if __name__ == "__main__":
    sys.exit(main())
