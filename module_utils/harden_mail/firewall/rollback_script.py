"""The way back as a shell script: it needs neither Ansible nor Python nor a connection.

Every step is written down with its number, the place that it brings back, and its input. A step that fails holds up no
other one but the removal of files, which something that is not back yet may still name. But the next try goes on from
the first step that failed, for those behind it may depend on it: what is done up to there is marked, in /run, because a
boot may load again what a step took out of the kernel. So each step must be one that may be done twice. The script goes
only when all of it is done.
"""

import re
import shlex

from ..changes import Run, WriteFile
from ..paths import (
    CONFIGURATION,
    FIREWALL_STATE,
    ROLLBACK,
    ROLLBACK_MARKS,
    ROLLBACK_SERVICE,
    ROLLBACK_TIMER,
    STATE,
    UNITS,
)

SCRIPT = ROLLBACK + "/undo.sh"
# There from the first step on: what failed, a line each; nothing, if nothing has failed so far.
BEGUN = ROLLBACK + "/begun"

SERVICE, TIMER = UNITS + "/" + ROLLBACK_SERVICE, UNITS + "/" + ROLLBACK_TIMER

RETRY_SECONDS = 30

# Seconds for one command; one that hangs must not hold the lock for good.
STEP_SECONDS = 300

STEPS = "# --- steps, the newest change first\n"
END = "# --- end of steps\n"

HEAD = (
    """\
#!/bin/sh
# Takes back an unconfirmed change of the submission firewall. Written by harden-mail before the change.
# After a boot it is not there yet; everybody may write to /run/lock, and would hold this up.
mkdir -p "$(dirname {lock})"
# Whoever can open it, if only to read it, can hold this up for good.
umask 077
exec 9>>{lock}
umask 022
flock 9
# Confirmed while this script waited for its turn:
[ -e {script} ] || exit 0
mkdir -p -m 700 {marks}
failed=0
note() {{ logger -t harden-mail -- "$1"; echo "$1"; }}
note "the change of the submission firewall was not confirmed in time: taking it back"
true >{begun}
step() {{ # NUMBER PLACE INPUT COMMAND...
  mark={marks}/"$1" place="$2" input="$3"
  shift 3
  [ ! -e "$mark" ] || return 0
  if said=$("$@" <"$input" 2>&1 >/dev/null); then
    [ "$failed" -gt 0 ] || touch "$mark"
    return 0
  fi
  failed=$((failed + 1))
  said=$(printf '%.300s' "$said" | head -n 1)
  note "not taken back: $place: $said"
  echo "$place: $said" >>{begun}
}}
gone() {{ # NUMBER PATH
  [ "$failed" -gt 0 ] || step "$1" "$2" /dev/null rm -f -- "$2"
}}
put() {{ # PATH MODE
  mkdir -p -- "$(dirname -- "$1")" && real=$(readlink -f -- "$1") || return 1
  new="$real.harden-mail"
  rm -f -- "$new" || return 1
  if [ -e "$real" ]; then cp --attributes-only --preserve=all -- "$real" "$new"
  else (umask 077; touch "$new") && chmod "$2" "$new"
  fi && cat >"$new" && mv -f -- "$new" "$real"
}}
"""
    + STEPS
)

TAIL = (
    END
    + """\
if [ "$failed" -gt 0 ] || ! rm -f {script}; then
  note "the former state of the submission firewall is NOT back: see above; it is tried again in {seconds} seconds"
  exit 1
fi
# The script was the mark that something waits; what is left is the next run's to tidy up if this is killed.
note "the former state of the submission firewall is back"
systemctl disable {timer} >/dev/null 2>&1
rm -f {service} {timer_path}
rm -rf {directory} {marks}
rmdir {state} {all_state} {rules} 2>/dev/null
systemctl daemon-reload
systemctl stop {timer} >/dev/null 2>&1
exit 0
""".format(
        script=SCRIPT,
        seconds=RETRY_SECONDS,
        timer=ROLLBACK_TIMER,
        service=SERVICE,
        timer_path=TIMER,
        directory=ROLLBACK,
        marks=ROLLBACK_MARKS,
        state=FIREWALL_STATE,
        all_state=STATE,
        rules=CONFIGURATION,
    )
)


def head(lock):
    """The script's beginning; ``lock``: path of the lock that the engine holds while it works."""
    return HEAD.format(lock=lock, script=SCRIPT, marks=ROLLBACK_MARKS, begun=BEGUN)


def steps_of(script):
    """The lines of a script between head and tail, or None for a script of another make."""
    found = re.search(re.escape(STEPS) + "(.*)" + re.escape(END), script, re.DOTALL)
    return found.group(1) if found else None


def steps_back(changes, earlier):
    """The undo of all changes, last first.

    :param list changes: of Change, in the order in which they will be made
    :param str earlier: lines of steps that will follow, whose numbers are taken
    :returns: (list of (path, text) of data files, str of shell lines that use them)
    """
    taken = [int(number) for number in re.findall(r"^(?:step|gone) (\d+) ", earlier, re.MULTILINE)]
    number = max(taken, default=0)
    files, lines = [], []
    for change in reversed(changes):
        for step in change.undo:
            number += 1
            data = step.stdin if isinstance(step, Run) else step.text
            source = "/dev/null"
            if data is not None:
                source = "{0}/{1:03d}".format(ROLLBACK, number)
                files.append((source, data))
            lines.append(_line(number, change.what, step, source))
    return files, "".join(lines)


def _line(number, place, step, source):
    if isinstance(step, WriteFile) and step.text is None:
        return "gone {0} {1}\n".format(number, shlex.quote(step.path))
    if isinstance(step, WriteFile):
        command = ["put", step.path, "{0:o}".format(step.mode)]
    else:
        command = ["timeout", str(STEP_SECONDS)] + list(step.argv)
    return "step {0} {1} {2} {3}\n".format(
        number, shlex.quote(place), source, " ".join(shlex.quote(word) for word in command)
    )
