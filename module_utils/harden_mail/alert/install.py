"""Puts the alert on a host, or takes it away: what module ``queue_alert`` does."""

import io
import json
import os
import re
import stat
import sys
import zipfile

from ..errors import UserError
from ..host.services import find_services
from . import program
from .settings import CONFIG, DEFAULTS, check, describe
from .store import DIRECTORY

LIBRARY = "/usr/local/lib/harden-mail"
PROGRAM = LIBRARY + "/queue-alert"
CRON = "/etc/cron.d/harden-mail-queue-alert"
SERVICE = "/etc/systemd/system/harden-mail-queue-alert.service"
TIMER = "/etc/systemd/system/harden-mail-queue-alert.timer"
TIMER_NAME = "harden-mail-queue-alert.timer"
ENABLED = "/etc/systemd/system/timers.target.wants/" + TIMER_NAME

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

# Seconds; each way has its own time limit.
DRILL_TAKES = 900

# Home-made jobs, as one finds them everywhere: a program that counts the queue, called by cron.
COUNTS_A_QUEUE = re.compile(r"qmail-qstat|qmail-qread|\bmailq\b|postqueue\s+-[pj]|qshape|mailqueuemng")
CRON_PLACES = (
    "/etc/crontab",
    "/etc/cron.d/*",
    "/etc/cron.hourly/*",
    "/etc/cron.daily/*",
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
        files = [
            (PROGRAM, build_program(), 0o755),
            (CONFIG, json.dumps(settings, indent=2, sort_keys=True) + "\n", 0o600),
            (CRON, None if by_timer else CRON_TEXT.format(minutes=minutes, program=PROGRAM), 0o644),
            (SERVICE, SERVICE_TEXT.format(program=PROGRAM, longest=program.LONGEST) if by_timer else None, 0o644),
            (TIMER, TIMER_TEXT.format(minutes=minutes) if by_timer else None, 0o644),
        ]
        changed = self._change(files, by_timer, check_mode)
        drilled = self._drill() if self.params["drill"] and not check_mode else {}
        findings = self._no_way_out(checked) + [
            "{0} counts the queue, too: {1}. Its alert waits in the queue that it counts; take it away.".format(*job)
            for job in home_made_jobs(self.system)
        ]
        return {
            **drilled,
            "changed": changed,
            "diff": self._diff(),
            "findings": findings,
            "evidence": [
                "{0} every {1} minutes by {2}".format(PROGRAM, minutes, TIMER_NAME if by_timer else CRON),
                "ways out: " + ("; ".join(describe(way) for way in checked["ways"]) or "none"),
                "limit: {0}".format(checked["limit"]),
            ],
        }

    def _by_timer(self):
        wanted = self.params["scheduler"]
        manager = find_services(self.system).manager
        if wanted == "timer":
            if manager != "systemd":
                raise UserError("scheduler is timer, but this host has no systemd; give cron.")
            return True
        has_cron = self.system.is_dir("/etc/cron.d")
        if wanted == "cron" and not has_cron:
            raise UserError("scheduler is cron, but this host has no /etc/cron.d; install cron, or give timer.")
        if wanted == "auto" and not has_cron and manager != "systemd":
            raise UserError("scheduler is auto, but this host has neither /etc/cron.d nor systemd.")
        return wanted == "auto" and not has_cron

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
        if any(way["type"] != "sendmail" for way in settings["ways"]):
            return []
        return [
            "The queue alert has no way out but this host's own queue, where an alert waits behind what it is about; "
            "declare a relay on another host or a webhook."
        ]

    # --- absent -------------------------------------------------------------------------------------------

    def take_away(self, check_mode):
        files = [(path, None, 0) for path in (CRON, TIMER, SERVICE, PROGRAM)]
        metrics = _metrics_of(self.system.read(CONFIG))
        files += [(path, None, 0) for path in ([metrics] if metrics else []) + [CONFIG]]
        state = [DIRECTORY + "/" + name for name in self.system.listdir(DIRECTORY)]
        changed = self._change(files + [(path, None, 0) for path in state], False, check_mode)
        if not check_mode:
            for directory in (DIRECTORY, os.path.dirname(DIRECTORY), LIBRARY, os.path.dirname(CONFIG)):
                self.system.remove_empty_dir(directory)
        return {"changed": changed, "diff": self._diff(), "findings": [], "evidence": []}

    # --- shared -------------------------------------------------------------------------------------------

    def _change(self, files, by_timer, check_mode):
        enabled = self.system.exists(ENABLED)
        to_change = [file for file in files if self._differs(*file)]
        if enabled and not by_timer:
            self.differences.append((TIMER_NAME, "enabled\n", ""))
            if not check_mode:
                self.system.run(["systemctl", "disable", "--now", TIMER_NAME])
        if not check_mode:
            for path, content, mode in to_change:
                if content is None:
                    self.system.remove(path)
                else:
                    self._write(path, content, mode)
            if any(path in (SERVICE, TIMER) for path, _, _ in to_change):
                self.system.run(["systemctl", "daemon-reload"])
        if by_timer and not enabled:
            self.differences.append((TIMER_NAME, "", "enabled\n"))
            if not check_mode:
                self.system.run(["systemctl", "enable", "--now", TIMER_NAME])
        return bool(self.differences)

    def _write(self, path, content, mode):
        # Before secrets are in it, for a file that is replaced keeps its mode.
        if self.system.exists(path):
            os.chmod(self.system.real(path), mode)
        self.system.write(path, content, mode)

    def _differs(self, path, content, mode):
        before = self.system.read(path)
        if before == content and (content is None or _mode(self.system, path) == mode):
            return False
        self.differences.append((path, _shown(path, before), _shown(path, content)))
        return True

    def _diff(self):
        return [
            {"before_header": path, "after_header": path, "before": before, "after": after}
            for path, before, after in self.differences
        ]


def build_program():
    """The program: a zip archive that Python runs (PEP 441), the same for the same code.

    What is in it is what this module was loaded with: Ansible has sent it anyway.

    :returns: str, its bytes by surrogateescape, as ``System`` reads and writes files
    """
    prefix = __name__.rsplit(".", 2)[0]
    sources = {}
    for name, module in sorted(sys.modules.items()):
        if name == prefix or name.startswith(prefix + "."):
            path = name[len(prefix) - len("harden_mail") :].replace(".", "/")
            path += "/__init__.py" if hasattr(module, "__path__") else ".py"
            sources[path] = module.__spec__.loader.get_source(name) or ""
    sources["__main__.py"] = "import sys\n\nfrom harden_mail.alert.program import main\n\nsys.exit(main())\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(sources):
            about = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            about.external_attr = 0o644 << 16
            archive.writestr(about, sources[path])
    return "#!{0} -I\n".format(sys.executable) + buffer.getvalue().decode("utf-8", "surrogateescape")


def home_made_jobs(system):
    """[(file of cron, the line)] of jobs that count the queue, themselves or by a script that they call."""
    found = []
    for pattern in CRON_PLACES:
        for path in system.glob(pattern):
            text = None if path == CRON or system.is_dir(path) else system.read(path)
            lines = (line.strip() for line in (text or "").splitlines())
            job = next((line for line in lines if line[:1] not in ("", "#") and _counts_a_queue(system, line)), None)
            if job:
                found.append((path, job[:200]))
    return found


def _counts_a_queue(system, line):
    if COUNTS_A_QUEUE.search(line):
        return True
    scripts = [
        word for word in line.split() if word.startswith("/") and not word.startswith(("/dev/", "/bin/", "/usr/bin/"))
    ]
    return any(COUNTS_A_QUEUE.search(system.read(path) or "") for path in scripts[:5] if _is_script(system, path))


def _is_script(system, path):
    real = system.real(path)
    return os.path.isfile(real) and os.path.getsize(real) < 100000


def _shown(path, content):
    if content is None:
        return ""
    if path == PROGRAM:
        return "the program, {0} bytes\n".format(len(content))
    if path == CONFIG:
        return hidden(content)
    if path.startswith(DIRECTORY):
        return "what the alert remembers\n"
    return content


def _said(way):
    """Of a way, what was said: Ansible adds every option there is as None."""
    return {name: value for name, value in way.items() if value is not None}


def _mode(system, path):
    return stat.S_IMODE(os.stat(system.real(path)).st_mode)


def _metrics_of(config):
    """The Prometheus file that a configuration names, or None."""
    try:
        return json.loads(config or "{}").get("prometheus_file")
    except (ValueError, AttributeError):
        return None


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
