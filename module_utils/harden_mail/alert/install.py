"""Puts the alert on a host, or takes it away: what module ``queue_alert`` does."""

import contextlib
import ipaddress
import json
import os
import re
import socket
import stat
import time

from ..archive import build_program
from ..errors import UserError
from ..host.services import find_services
from ..system import System
from ..systemd_units import RELOAD, is_outdated
from . import conditions, program
from .settings import AUTO, CONFIG, DEFAULTS, check, describe, uses_own_queue
from .store import DIRECTORY, SPARE, Store

LIBRARY = "/usr/local/lib/harden-mail"
PROGRAM = LIBRARY + "/queue-alert"
CRON = "/etc/cron.d/harden-mail-queue-alert"
SERVICE = "/etc/systemd/system/harden-mail-queue-alert.service"
TIMER = "/etc/systemd/system/harden-mail-queue-alert.timer"
TIMER_NAME, SERVICE_NAME = os.path.basename(TIMER), os.path.basename(SERVICE)

# Seconds to wait for a run of the program that is at work while it is taken away.
PATIENCE = 30

CRON_TEXT = """\
# Tells people when the mail queue is too long. Made by harden-mail; changes are undone by its next run.
SHELL=/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
MAILTO=""
*/{minutes} * * * * root {program} >/dev/null 2>&1
"""

SERVICE_TEXT = """\
[Unit]
Description=Tell people when the mail queue is too long

[Service]
Type=oneshot
ExecStart={program}
# The next run waits for this one, so one that hangs is ended here.
TimeoutStartSec={longest}
"""

TIMER_TEXT = """\
[Unit]
Description=Look at the length of the mail queue every {minutes} minutes

[Timer]
OnCalendar=*:0/{minutes}
AccuracySec=10

[Install]
WantedBy=timers.target
"""

# Seconds; the program itself ends a drill earlier.
DRILL_TAKES = program.DRILL + 60

# Home-made jobs, as one finds them everywhere: a program that counts the queue, called by cron.
COUNTS_A_QUEUE = re.compile(r"qmail-qstat|qmail-qread|cron-qstat|\bmailq\b|postqueue\s+-[pj]|qshape|mailqueuemng")
CRON_PLACES = (
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.d/*",
    "/etc/cron.hourly/*",
    "/etc/cron.daily/*",
    "/etc/cron.weekly/*",
    "/var/spool/cron/*",
    "/var/spool/cron/crontabs/*",
)


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
        by_timer = self._by_timer()
        files = _leftovers(PROGRAM, CONFIG) + [
            (PROGRAM, build_program(program), 0o755),
            (CONFIG, json.dumps(settings, indent=2, sort_keys=True) + "\n", 0o600),
        ]
        former = self._metrics()
        if former and former != checked["prometheus_file"]:
            # Its numbers would stay what they are for ever; before the configuration that says whose it is.
            files = _removed(former) + files
        self._write_all(self._to_change(files), check_mode)
        jobs = [
            (CRON, None if by_timer else CRON_TEXT.format(minutes=minutes, program=PROGRAM), 0o644),
            (SERVICE, SERVICE_TEXT.format(program=PROGRAM, longest=program.LONGEST) if by_timer else None, 0o644),
            (TIMER, TIMER_TEXT.format(minutes=minutes) if by_timer else None, 0o644),
        ]
        self._schedule(jobs, by_timer, check_mode)
        drilled = self._drill() if self.params["drill"] and not check_mode else {}
        findings = self._no_way_out(checked) + self._not_run(by_timer, minutes)
        if checked["prometheus_file"] and not self.system.is_dir(os.path.dirname(checked["prometheus_file"])):
            findings.append(
                "prometheus_file is {0}, but its directory is not there, so nothing is written; make it, or name that "
                "of node_exporter's text file collector.".format(checked["prometheus_file"])
            )
        findings += [
            "The drill's test alert was not taken by every way: {0}.".format(result["reason"])
            for result in drilled.get("drill", [])
            if not result["accepted"]
        ]
        findings += [
            "{0}, line {1}, counts the queue, too. Its alert waits in that queue; take it away.".format(*job)
            for job in home_made_jobs(self.system)
        ]
        return {
            **drilled,
            "changed": bool(self.differences),
            "diff": self._diff(),
            "findings": findings,
            "evidence": [
                "{0} every {1} minutes by {2}".format(PROGRAM, minutes, TIMER_NAME if by_timer else CRON),
                "ways out: " + ("; ".join(describe(way) for way in checked["ways"]) or "none"),
                "limit: {0}".format(self._limit(checked)),
            ],
        }

    def _limit(self, settings):
        if settings["limit"] != AUTO:
            return settings["limit"]
        return "auto, at present {0}".format(conditions.current_limit(settings, Store(self.system), time.time()))

    def _not_run(self, by_timer, minutes):
        """Findings: what is there does not run, so that nobody looks at the queue."""
        cron = None if by_timer else self.services.get("cron", "crond")
        if cron and cron.active is False:
            return ["{0} is not running, so nobody looks at the queue; start it.".format(cron.name)]
        longest = 3 * 60 * minutes + program.LONGEST
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
            "why (harden-mail-queue-alert), or the job is not run.".format(PROGRAM, longest // 60, job)
        ]

    def _by_timer(self):
        wanted = self.params["scheduler"]
        services = self.services
        if wanted == "timer":
            if services.manager != "systemd":
                raise UserError("scheduler is timer, but this host has no systemd; give cron.")
            return True
        # The directory alone says nothing: other packages bring it along.
        cron = services.find_cron(self.system)[0]
        has_cron = bool(cron["directory"] and (cron["service"] or services.manager is None))
        if wanted == "cron" and not has_cron:
            raise UserError("scheduler is cron, but this host has no cron with /etc/cron.d; install it, or give timer.")
        if not has_cron and services.manager != "systemd":
            raise UserError("scheduler is auto, but this host has neither cron with /etc/cron.d nor systemd.")
        return not has_cron

    def _drill(self):
        done = self.system.run([PROGRAM, "--drill"], check=False, timeout=DRILL_TAKES)
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
        metrics = self._metrics()
        with self._nobody_at_work(check_mode):
            files = [(DIRECTORY + "/" + name, None, 0) for name in self.system.listdir(DIRECTORY)] + _removed(SPARE)
            files += (_removed(metrics) if metrics else []) + _removed(PROGRAM)
            # What says which file of metrics is ours goes last.
            self._write_all(self._to_change(files + _removed(CONFIG)), check_mode)
        if not check_mode:
            for directory in (DIRECTORY, os.path.dirname(DIRECTORY), LIBRARY, os.path.dirname(CONFIG)):
                self.system.remove_empty_dir(directory)
        return {"changed": bool(self.differences), "diff": self._diff(), "findings": [], "evidence": []}

    @contextlib.contextmanager
    def _nobody_at_work(self, check_mode):
        """A run that began before its job was taken away would write its state and its metrics once more."""
        if check_mode:
            yield
            return
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with program.only_one(self.system):
                    yield
                    self.system.remove(program.LOCK)
                return
            except program.Busy:
                if time.monotonic() > end:
                    raise UserError(
                        "A run of {0} is at work and has not ended within {1} seconds; its job is taken away, the rest "
                        "is not. Run this again in five minutes.".format(PROGRAM, PATIENCE)
                    ) from None
                time.sleep(0.5)

    # --- shared -------------------------------------------------------------------------------------------

    def _metrics(self):
        """The Prometheus file that the configuration on the host names, or None."""
        try:
            named = json.loads(self.system.read(CONFIG) or "{}").get("prometheus_file")
        except (ValueError, AttributeError):
            return None
        return named if isinstance(named, str) else None

    def _to_change(self, files):
        """Those of some (path, content or None, mode) that are not so on the host; noted as differences."""
        return [file for file in files if self._differs(*file)]

    def _write_all(self, files, check_mode):
        for path, content, mode in [] if check_mode else files:
            if content is None:
                self.system.remove(path)
            else:
                self._write(path, content, mode)

    def _schedule(self, jobs, by_timer, check_mode):
        """Make the files of the jobs what they are to be, and systemd know it; also where a former run was killed."""
        timer = self._timer()
        is_enabled, is_active = timer.get("UnitFileState") == "enabled", timer.get("ActiveState") == "active"
        is_right = is_enabled and is_active if by_timer else not is_enabled and not is_active
        if not is_right:
            self.differences.append((TIMER_NAME, *(("", "running\n") if by_timer else ("running\n", ""))))
        to_change = self._to_change(jobs)
        is_stale = bool(timer) and any(is_outdated(self.system, path) for path in (SERVICE, TIMER))
        if any(path in (SERVICE, TIMER) for path, _, _ in to_change):
            is_stale = bool(timer)
        elif is_stale:
            self.differences.append((TIMER_NAME, "not yet read by systemd\n", "read by systemd\n"))
        is_failed = not by_timer and timer.get("ServiceState") == "failed"
        if is_failed:
            self.differences.append((SERVICE_NAME, "failed\n", ""))
        if check_mode:
            return
        if not by_timer and not is_right:
            self.system.run(["systemctl", "disable", "--now", TIMER_NAME])
        self._write_all(to_change, check_mode)
        if is_stale:
            self.system.run(list(RELOAD.argv))
        if is_failed:
            # Or systemd remembers the last run of what is no longer there.
            self.system.run(["systemctl", "reset-failed", SERVICE_NAME])
        if by_timer and not is_right:
            self.system.run(["systemctl", "enable", "--now", TIMER_NAME])

    def _timer(self):
        """What systemd knows of the timer: dict of its properties, and the service's state; empty without systemd."""
        if self.services.manager != "systemd":
            return {}
        wanted = "ActiveState,UnitFileState"
        timer, service = (
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            for block in self.system.run(
                ["systemctl", "show", "--property=" + wanted, TIMER_NAME, SERVICE_NAME]
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


def home_made_jobs(system):
    """[(file of cron, number of the line)] of jobs that count the queue, themselves or by a script that they call.

    The lines themselves may hold passwords.
    """
    found = []
    for pattern in CRON_PLACES:
        for path in system.glob(pattern):
            text = None if path == CRON or system.is_dir(path) else system.read(path)
            for number, line in enumerate((text or "").splitlines(), 1):
                if _counts_a_queue(system, line):
                    found.append((path, number))
                    break
    return found


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


def _counts_a_queue(system, line):
    code = _code(line)
    words = [word.strip("\"'`;|&()<>") for word in code.split()]
    # What was made at home is in /usr/local, or is called by its whole name.
    local = [system.which(word) for word in words if re.match(r"[A-Za-z][A-Za-z0-9._-]*\Z", word)]
    scripts = [path for path in local if path and path.startswith("/usr/local/")]
    scripts += [word for word in words if word.startswith("/") and not word.startswith(("/dev/", "/bin/", "/usr/bin/"))]
    texts = [code] + [_code(system.read(path) or "") for path in scripts[:5] if _is_script(system, path)]
    return any(map(COUNTS_A_QUEUE.search, texts))


def _code(script):
    """A shell script without its comments."""
    return re.sub(r"(?m)(^|\s)#.*$", "", script)


def _is_script(system, path):
    real = system.real(path)
    return os.path.isfile(real) and os.path.getsize(real) < 100000


def _removed(path):
    """A file that is to go, and what a killed run may have left of making it."""
    return _leftovers(path) + [(path, None, 0)]


def _leftovers(*paths):
    return [(System.temporary(path), None, 0) for path in paths]


def _shown(path, content):
    if content is None:
        return ""
    if path == PROGRAM:
        return "the program, {0} bytes\n".format(len(content))
    if path == CONFIG:
        return hidden(content)
    if path.startswith(DIRECTORY) or path in (SPARE, System.temporary(SPARE)):
        return "what the alert remembers\n"
    if path in (System.temporary(PROGRAM), System.temporary(CONFIG)):
        return "what a killed run has left\n"
    return content


def _said(way):
    """Of a way, what was said: Ansible adds every option there is as None."""
    return {name: value for name, value in way.items() if value is not None}


def hidden(text):
    """A configuration without its secrets: passwords, headers, and URLs, whose path is often a password."""
    try:
        settings = json.loads(text)
        for way in settings.get("ways", []):
            for name in ("password", "headers", "url"):
                if way.get(name):
                    way[name] = "(not shown)"
        if settings.get("ping_url"):
            settings["ping_url"] = "(not shown)"
    except (ValueError, AttributeError, TypeError):
        return "(not readable, not shown)\n"
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"
