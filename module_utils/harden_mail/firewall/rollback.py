"""The way back from a change that locks people out: it undoes itself unless it is confirmed in time.

The undo is written down as a shell script before anything changes, so it needs neither Ansible nor Python nor a
connection; a systemd timer on disk starts it, so a reboot in between does not lose it.
"""

import re
import shlex

from ..changes import Change, Run, WriteFile
from .plan import STATE_DIR
from .unit import RULES_DIR

DIR = STATE_DIR + "/rollback"
SCRIPT = DIR + "/undo.sh"
SERVICE = "/etc/systemd/system/harden-mail-rollback.service"
TIMER = "/etc/systemd/system/harden-mail-rollback.timer"
TIMER_NAME = "harden-mail-rollback.timer"
ENABLED_LINK = "/etc/systemd/system/timers.target.wants/" + TIMER_NAME

SERVICE_TEXT = """\
[Unit]
Description=Take back a change of the submission firewall that was not confirmed

[Service]
Type=oneshot
ExecStart=/bin/sh {0}
""".format(SCRIPT)

# Counted from the activation of the timer, so after a reboot the time runs again from the start.
TIMER_TEXT = """\
[Unit]
Description=Take back the submission firewall's change in {0} seconds

[Timer]
OnActiveSec={0}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""

SCRIPT_HEAD = """\
#!/bin/sh
# Takes back an unconfirmed change of the submission firewall. Written by harden-mail before the change.
# After a boot it is not there yet; everybody may write to /run/lock, and would hold this up.
mkdir -p "$(dirname {lock})"
exec 9>>{lock}
flock 9
# Confirmed while this script waited for its turn:
[ -e {script} ] || exit 0
note() {{ logger -t harden-mail -- "$1"; echo "$1"; }}
note "the change of the submission firewall was not confirmed in time: taking it back"
put() {{
  new="$2.harden-mail"
  if [ -e "$2" ]; then cp --attributes-only --preserve=all -- "$2" "$new"
  else : >"$new"; chmod "$3" "$new"; fi
  cat -- "$1" >"$new" && mv -f -- "$new" "$2" || note "could not write $2"
}}
"""

SCRIPT_TAIL = """\
systemctl disable {timer} >/dev/null 2>&1
rm -f {service} {timer_path}
rm -rf {directory}
rmdir {state} /var/lib/harden-mail {rules} 2>/dev/null
systemctl daemon-reload
systemctl stop {timer} >/dev/null 2>&1
note "the former state of the submission firewall is back"
""".format(timer=TIMER_NAME, service=SERVICE, timer_path=TIMER, directory=DIR, state=STATE_DIR, rules=RULES_DIR)


def is_armed(system):
    """Whether a rollback waits for its time."""
    return system.exists(SCRIPT)


def arm(system, changes, seconds, lock):
    """Write the way back down and start its clock; call before the first change.

    :param list changes: of Change, in the order in which they will be made
    :param int seconds: until it runs
    :param str lock: path of the lock that the engine holds while it works
    """
    system.make_private_dir(STATE_DIR)
    system.make_private_dir(DIR)
    # An earlier change may still wait for its confirmation: its way back follows ours in the same script.
    earlier = system.read(SCRIPT)
    head = SCRIPT_HEAD.format(lock=lock, script=SCRIPT)
    files, lines = _steps_back(changes, first=len(system.listdir(DIR)))
    for path, text in files:
        system.write(path, text, 0o600)
    system.write(SERVICE, SERVICE_TEXT)
    system.write(TIMER, TIMER_TEXT.format(seconds))
    system.write(SCRIPT, head + lines + (earlier[len(head) :] if earlier else SCRIPT_TAIL), 0o700)
    system.run(["systemctl", "daemon-reload"])
    system.run(["systemctl", "enable", TIMER_NAME])
    system.run(["systemctl", "restart", TIMER_NAME])


def disarming(system):
    """The change (none or one) that ends the wait: what was done stays.

    :returns: list of Change
    """
    if not any(system.exists(path) for path in (DIR, SERVICE, TIMER)):
        return []
    leftovers = [DIR + "/" + name for name in system.listdir(DIR) if DIR + "/" + name != SCRIPT]
    do = (
        # The script is the mark that it is armed, so it goes first: a rollback that has begun to wait sees it.
        [WriteFile(SCRIPT, None, 0)]
        + [Run(("systemctl", "disable", "--now", TIMER_NAME), None)]
        + [WriteFile(path, None, 0) for path in leftovers + [SERVICE, TIMER]]
        + [Run(("rmdir", "--ignore-fail-on-non-empty", DIR), None), Run(("systemctl", "daemon-reload"), None)]
    )
    return [Change("unit " + TIMER_NAME, "armed", "", tuple(do), ())]


def _steps_back(changes, first):
    """The undo of all changes, last first.

    :param int first: number of the first data file
    :returns: (list of (path, text) of data files, str of shell lines that use them)
    """
    files, lines = [], []
    for change in reversed(changes):
        for step in change.undo:
            data = step.stdin if isinstance(step, Run) else step.text
            source = "/dev/null"
            if data is not None:
                source = "{0}/{1:03d}".format(DIR, first + len(files))
                files.append((source, data))
            lines.append(_line(step, source))
    return files, "".join(lines)


def _line(step, source):
    if isinstance(step, WriteFile):
        path = shlex.quote(step.path)
        if step.text is None:
            return "rm -f -- {0}\n".format(path)
        return "mkdir -p -- {0}\nput {1} {2} {3:o}\n".format(
            shlex.quote(re.sub(r"/[^/]*$", "", step.path) or "/"), source, path, step.mode
        )
    command = " ".join(shlex.quote(word) for word in step.argv)
    return "{0} <{1} >/dev/null 2>&1 || note {2}\n".format(
        command, source, shlex.quote("failed: " + " ".join(step.argv)[:200])
    )
