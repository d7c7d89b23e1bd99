"""Puts the alert on a host, or takes it away: what module ``queue_alert`` does."""

import contextlib
import ipaddress
import json
import os
import socket
import stat
import time

from ..archive import build_program
from ..errors import UserError
from ..host.services import find_services
from ..paths import (
    ALERT_CONFIG,
    ALERT_LOCK,
    ALERT_PROGRAM,
    ALERT_SERVICE,
    ALERT_SPARE_STATE,
    ALERT_STATE,
    ALERT_TIMER,
    CONFIGURATION,
    LIBRARY,
    STATE,
)
from ..system import System
from ..systemd_units import RELOAD, is_outdated
from ..text import printable
from ..untrusted import is_there_untrusted
from . import conditions, metrics, program, turn
from .home_made import home_made_jobs
from .jobs import CRON, SERVICE, TIMER, goes_by_timer, texts
from .limit import held_back
from .secrecy import exposed, hidden
from .settings import AUTO, DEFAULTS, check, describe, uses_own_queue
from .store import Store

# In place of a mode: a file that goes, in a directory that others may own.
OF_OTHERS = -1

# Seconds to wait for a run of the program that is at work while it is taken away.
RUN_TIMEOUT = 30

# Seconds; the program itself ends a drill earlier.
DRILL_TAKES = program.DRILL + 60


def run(system, params, check_mode):
    """See ``library/queue_alert.py`` for what goes in and comes out."""
    install = Install(system, params)
    if params["state"] == "absent":
        return install.take_away(check_mode)
    return install.put(check_mode)


class Install:
    def __init__(self, system, params):
        self.system, self.params = system, params
        self.services = find_services(system)
        self.differences = []

    # --- present ------------------------------------------------------------------------------------------

    def put(self, check_mode):
        settings = {name: self.params[name] for name in DEFAULTS if self.params.get(name) is not None}
        settings["ways"] = [_said(way) for way in settings.get("ways", [])]
        checked = check(settings)
        minutes = self.params["interval"]
        if not 1 <= minutes <= 30 or 60 % minutes:
            raise UserError(
                "interval is {0}: give a number of minutes by which an hour can be divided, 1 to 30.".format(minutes)
            )
        by_timer = goes_by_timer(self.system, self.services, self.params["scheduler"])
        files = _leftovers(ALERT_PROGRAM, ALERT_CONFIG) + [
            (ALERT_PROGRAM, build_program(program), 0o755),
            (ALERT_CONFIG, json.dumps(settings, indent=2, sort_keys=True) + "\n", 0o600),
        ]
        former = self._metrics()
        if former and former != checked["prometheus_file"]:
            # Its numbers would stay what they are for ever; before the configuration that says whose it is.
            files = [(former, None, OF_OTHERS), *files]
        self._write_all(self._to_change(files), check_mode)
        self._schedule(texts(checked, minutes, by_timer), by_timer, check_mode)
        drilled = self._drill() if self.params["drill"] and not check_mode else {}
        findings = self._no_way_out(checked) + self._not_run(by_timer, minutes)
        without = checked["prometheus_file"] and metrics.problem(self.system, checked["prometheus_file"])
        findings += [without] if without else []
        findings += [
            "The drill's test alert was not taken by every way: {0}.".format(result["reason"])
            for result in drilled.get("drill", [])
            if not result["accepted"]
        ]
        found, left_out = home_made_jobs(self.system, CRON)
        findings += [
            "{0}, line {1}, counts the queue, too. Its alert waits in that queue; take it away.".format(*job)
            for job in found
        ]
        findings += exposed(checked) + self._held_back(checked)
        return {
            **drilled,
            "changed": bool(self.differences),
            "diff": self._diff(),
            "findings": findings,
            "evidence": [
                "{0} every {1} minutes by {2}".format(ALERT_PROGRAM, minutes, ALERT_TIMER if by_timer else CRON),
                "ways out: " + ("; ".join(describe(way) for way in checked["ways"]) or "none"),
                "limit: {0}".format(self._limit(checked)),
            ]
            + _not_looked_at(left_out),
        }

    def _limit(self, settings):
        if settings["limit"] != AUTO:
            return settings["limit"]
        now = time.time()
        limit = conditions.current_limit(settings, Store(self.system), now)
        return "auto, at present {0}, at most {1}".format(limit, settings["auto_limit_most"])

    def _held_back(self, settings):
        """Findings: what the queue has is more than the automatic limit believes."""
        store, now = Store(self.system), time.time()
        wished = held_back(settings, store, now)
        if wished is None:
            return []
        limit = conditions.current_limit(settings, store, now)
        return [
            "limit is auto, and by what the queue has had would be {0}, but is held at {1}: if so many messages are "
            "usual here, give a number (or a higher auto_limit_most); if not, look what fills the queue.".format(
                wished, limit
            )
        ]

    def _not_run(self, by_timer, minutes):
        """Findings: what is there does not run, so that nobody looks at the queue."""
        cron = None if by_timer else self.services.get("cron", "crond")
        if cron and cron.active is False:
            return ["{0} is not running, so nobody looks at the queue; start it.".format(cron.name)]
        longest = 3 * 60 * minutes + turn.LONGEST
        job = TIMER if by_timer else CRON
        # Only what has had the time for it can be blamed, also since the host was booted.
        if self.differences or not self.system.exists(job) or time.monotonic() < longest:
            return []
        now = time.time()
        if now - os.stat(self.system.real(job)).st_mtime <= longest:
            return []
        runs = Store(self.system).recent
        if runs and now - runs[-1][0] <= longest:
            return []
        return [
            "No run of {0} has counted the queue in the last {1} minutes, though {2} is there; the system's log has "
            "why (harden-mail-queue-alert), or the job is not run.".format(ALERT_PROGRAM, longest // 60, job)
        ]

    def _drill(self):
        done = self.system.run([ALERT_PROGRAM, "--drill"], check=False, timeout=DRILL_TAKES)
        try:
            results = json.loads(done.out)
        except ValueError:
            raise UserError("The drill failed: {0}".format(done.err.strip() or "no answer")) from None
        if not any(result["accepted"] for result in results):
            reasons = "; ".join(result["reason"] for result in results) or "ways is empty"
            raise UserError("The drill's test alert was accepted by no way: {0}.".format(reasons))
        return {"drill": results}

    @staticmethod
    def _no_way_out(settings):
        if not all(uses_own_queue(way) or _is_this_host(way) for way in settings["ways"]):
            return []
        return [
            "The queue alert has no way out but this host's own queue, where an alert waits behind what it is about; "
            "declare a relay on another host or a webhook."
        ]

    # --- absent -------------------------------------------------------------------------------------------

    def take_away(self, check_mode):
        self._schedule([(path, None, 0) for path in (CRON, TIMER, SERVICE)], False, check_mode)
        named = self._metrics()
        with self._nobody_at_work(check_mode):
            files = [(ALERT_STATE + "/" + name, None, 0) for name in self.system.listdir(ALERT_STATE)]
            files += _removed(ALERT_SPARE_STATE) + ([(named, None, OF_OTHERS)] if named else [])
            files += _removed(ALERT_PROGRAM)
            # What says which file of metrics is ours goes last.
            self._write_all(self._to_change(files + _removed(ALERT_CONFIG)), check_mode)
        if not check_mode:
            for directory in (ALERT_STATE, STATE, LIBRARY, CONFIGURATION):
                self.system.remove_empty_dir(directory)
        return {"changed": bool(self.differences), "diff": self._diff(), "findings": [], "evidence": []}

    @contextlib.contextmanager
    def _nobody_at_work(self, check_mode):
        """A run that began before its job was taken away would write its state and its metrics once more."""
        if check_mode:
            yield
            return
        end = time.monotonic() + RUN_TIMEOUT
        while True:
            try:
                with turn.only_one(self.system):
                    yield
                    self.system.remove(ALERT_LOCK)
                return
            except turn.Busy:
                if time.monotonic() > end:
                    raise UserError(
                        "A run of {0} is at work and has not ended within {1} seconds; its job is taken away, the rest "
                        "is not. Run this again in five minutes.".format(ALERT_PROGRAM, RUN_TIMEOUT)
                    ) from None
                time.sleep(0.5)

    # --- shared -------------------------------------------------------------------------------------------

    def _metrics(self):
        """The Prometheus file that the configuration on the host names, or None."""
        try:
            named = json.loads(self.system.read(ALERT_CONFIG) or "{}").get("prometheus_file")
        except (ValueError, AttributeError):
            return None
        return named if isinstance(named, str) else None

    def _to_change(self, files):
        """Those of some (path, content or None, mode) that are not so on the host; noted as differences."""
        return [file for file in files if self._differs(*file)]

    def _write_all(self, files, check_mode):
        for path, content, mode in [] if check_mode else files:
            if mode == OF_OTHERS:
                metrics.take_away(self.system, path)
            elif content is None:
                self.system.remove(path)
            else:
                self._write(path, content, mode)

    def _schedule(self, jobs, by_timer, check_mode):
        """Make the files of the jobs what they are to be, and systemd know it; also where a former run was killed."""
        timer = self._timer()
        is_enabled, is_active = timer.get("UnitFileState") == "enabled", timer.get("ActiveState") == "active"
        is_right = is_enabled and is_active if by_timer else not is_enabled and not is_active
        if not is_right:
            self.differences.append((ALERT_TIMER, *(("", "running\n") if by_timer else ("running\n", ""))))
        to_change = self._to_change(jobs)
        is_stale = bool(timer) and any(is_outdated(self.system, path) for path in (SERVICE, TIMER))
        if any(path in (SERVICE, TIMER) for path, _, _ in to_change):
            is_stale = bool(timer)
        elif is_stale:
            self.differences.append((ALERT_TIMER, "not yet read by systemd\n", "read by systemd\n"))
        is_failed = not by_timer and timer.get("ServiceState") == "failed"
        if is_failed:
            self.differences.append((ALERT_SERVICE, "failed\n", ""))
        if check_mode:
            return
        if not by_timer and not is_right:
            self.system.run(["systemctl", "disable", "--now", ALERT_TIMER])
        self._write_all(to_change, check_mode)
        if is_stale:
            self.system.run(list(RELOAD.argv))
        if is_failed:
            # Or systemd remembers the last run of what is no longer there.
            self.system.run(["systemctl", "reset-failed", ALERT_SERVICE])
        if by_timer and not is_right:
            self.system.run(["systemctl", "enable", "--now", ALERT_TIMER])

    def _timer(self):
        """What systemd knows of the timer: dict of its properties, and the service's state; empty without systemd."""
        if self.services.manager != "systemd":
            return {}
        wanted = "ActiveState,UnitFileState"
        timer, service = (
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            for block in self.system.run(
                ["systemctl", "show", "--property=" + wanted, ALERT_TIMER, ALERT_SERVICE]
            ).out.split("\n\n")[:2]
        )
        return dict(timer, ServiceState=service["ActiveState"])

    def _write(self, path, content, mode):
        # Before secrets are in it, for a file that is replaced keeps its owner and mode.
        if self.system.exists(path):
            os.chown(self.system.real(path), os.geteuid(), os.getegid())
            os.chmod(self.system.real(path), mode)
        self.system.write(path, content, mode)

    def _differs(self, path, content, mode):
        if mode == OF_OTHERS:
            if is_there_untrusted(self.system, path):
                self.differences.append((path, "the numbers of the last run\n", ""))
                return True
            return False
        before = self.system.read(path)
        if before == content and (content is None or self._is_ours(path, mode)):
            return False
        self.differences.append((path, _shown(path, before), _shown(path, content)))
        return True

    def _is_ours(self, path, mode):
        about = os.stat(self.system.real(path))
        return stat.S_IMODE(about.st_mode) == mode and about.st_uid == os.geteuid()

    def _diff(self):
        return [
            {"before_header": path, "after_header": path, "before": before, "after": after}
            for path, before, after in self.differences
        ]


def _is_this_host(way):
    """Whether a relay is the host itself, by a name or an address of its own; no name server is asked."""
    if way["type"] != "smtp" or way["port"] not in (25, 465, 587):
        return False
    node = os.uname().nodename.lower()
    if way["host"].lower().rstrip(".") in (node, node.partition(".")[0]):
        return True
    try:
        address = ipaddress.ip_address(way["host"].partition("%")[0])
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as try_out:
            # Nobody is spoken to: an address can be bound where it is one's own.
            try_out.bind((str(address), 0))
    except (ValueError, OSError):
        return False
    return True


def _not_looked_at(clauses):
    """Evidence on the files of cron that were not read, as far as anybody reads on."""
    if not clauses:
        return []
    more = "; ..." if len(clauses) > 3 else ""
    shown = "; ".join(printable(clause, 300) for clause in clauses[:3])
    return ["jobs of cron that were not looked at ({0}): {1}{2}".format(len(clauses), shown, more)]


def _removed(path):
    """A file that is to go, and what a killed run may have left of making it."""
    return _leftovers(path) + [(path, None, 0)]


def _leftovers(*paths):
    return [(System.temporary(path), None, 0) for path in paths]


def _shown(path, content):
    if content is None:
        return ""
    if path == ALERT_PROGRAM:
        return "the program, {0} bytes\n".format(len(content))
    if path == ALERT_CONFIG:
        return hidden(content)
    if path.startswith(ALERT_STATE) or path in (ALERT_SPARE_STATE, System.temporary(ALERT_SPARE_STATE)):
        return "what the alert remembers\n"
    if path in (System.temporary(ALERT_PROGRAM), System.temporary(ALERT_CONFIG)):
        return "what a killed run has left\n"
    return content


def _said(way):
    """Of a way, what was said: Ansible adds every option there is as None."""
    return {name: value for name, value in way.items() if value is not None}
