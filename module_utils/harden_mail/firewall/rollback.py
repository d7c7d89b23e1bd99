"""The way back from a change that locks people out: it undoes itself unless it is confirmed in time.

The undo is written down as a shell script (``rollback_script.py``) before anything changes; a systemd timer on disk
starts it, so a reboot in between does not lose it. It is tried again until all of it is true.
"""

from typing import List, Optional, Sequence

from ..changes import Change, Run, Step, WriteFile
from ..errors import UserError
from ..paths import FIREWALL_STATE, ROLLBACK, ROLLBACK_MARKS, ROLLBACK_SERVICE, ROLLBACK_TIMER, UNITS
from ..system import System
from ..systemd_units import RELOAD
from .rollback_script import (
    BEGUN,
    RETRY_SECONDS,
    SCRIPT,
    SERVICE,
    TAIL,
    TIMER,
    head,
    steps_back,
    steps_of,
)

ENABLED_LINK = UNITS + "/timers.target.wants/" + ROLLBACK_TIMER

# No ProtectSystem: what it takes back lies in /etc and /var, and where a container forbids mounts it would not start,
# and nobody would get in again. CAP_SYS_ADMIN is what systemd asks of who talks to it, CAP_NET_RAW and CAP_SYS_MODULE
# what the old iptables needs, the rest are for files.
SERVICE_TEXT = """\
[Unit]
Description=Take back a change of the submission firewall that was not confirmed
ConditionPathExists={0}

[Service]
ExecStart=/bin/sh {0}
# Until all of it is back, also after a kill.
Restart=on-failure
RestartSec={1}
StandardOutput=null
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_MODULE CAP_SYS_ADMIN CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER
""".format(SCRIPT, RETRY_SECONDS)

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


def is_armed(system: System) -> bool:
    """Whether a rollback waits for its time, or has begun and is not done."""
    return system.exists(SCRIPT)


def arm(system: System, changes: Sequence[Change], seconds: int, lock: str) -> None:
    """Write the way back down and start its clock; call before the first change.

    :param changes: in the order in which they will be made
    :param seconds: until it runs
    :param lock: path of the lock that the engine holds while it works
    :raises UserError: a script of another version of this code waits
    """
    # An earlier change may still wait for its confirmation: its way back follows ours in the same script.
    script = system.read(SCRIPT)
    earlier = steps_of(script) if script else ""
    if earlier is None:
        raise UserError(
            "A change that another version of harden-mail made waits for its confirmation: run once with "
            "submission_firewall_confirm_within: 0, which ends the wait."
        )
    system.make_private_dir(FIREWALL_STATE)
    system.make_private_dir(ROLLBACK)
    files, lines = steps_back(changes, earlier)
    for path, text in files:
        system.write(path, text, 0o600)
    system.write(SERVICE, SERVICE_TEXT)
    system.write(TIMER, TIMER_TEXT.format(seconds))
    system.write(SCRIPT, head(lock) + lines + earlier + TAIL, 0o700)
    # What was done of an earlier way back may have been changed again, and is to be done again.
    for path in [ROLLBACK_MARKS + "/" + name for name in system.listdir(ROLLBACK_MARKS)] + [BEGUN]:
        if system.exists(path):
            system.remove(path)
    system.run(list(RELOAD.argv))
    system.run(["systemctl", "enable", ROLLBACK_TIMER])
    # One that has failed would be started again before its time.
    system.run(["systemctl", "stop", ROLLBACK_SERVICE])
    system.run(["systemctl", "restart", ROLLBACK_TIMER])


def trouble(system: System) -> Optional[List[str]]:
    """What is not back yet of a way back that has begun, each a place and what was said; None: not begun."""
    text = system.read(BEGUN) if is_armed(system) else None
    return None if text is None else text.splitlines()


def disarming(system: System) -> List[Change]:
    """The change (none or one) that ends the wait: what was done stays."""
    if not any(system.exists(path) for path in (ROLLBACK, SERVICE, TIMER)):
        return []
    leftovers = [ROLLBACK + "/" + name for name in system.listdir(ROLLBACK) if ROLLBACK + "/" + name != SCRIPT]
    leftovers += [ROLLBACK_MARKS + "/" + name for name in system.listdir(ROLLBACK_MARKS)]
    # The script is the mark that it is armed, so it goes first: a rollback that has begun to wait sees it.
    do: List[Step] = [WriteFile(SCRIPT, None, 0)]
    if system.exists(TIMER):
        do.append(Run(("systemctl", "disable", "--now", ROLLBACK_TIMER), None))
    if system.exists(SERVICE):
        # It may wait to be started again.
        do.append(Run(("systemctl", "stop", ROLLBACK_SERVICE), None))
    do += [WriteFile(path, None, 0) for path in leftovers + [SERVICE, TIMER]]
    do += [
        Run(("rmdir", "--ignore-fail-on-non-empty", path), None)
        for path in (ROLLBACK, ROLLBACK_MARKS)
        if system.is_dir(path)
    ]
    return [Change("unit " + ROLLBACK_TIMER, "armed", "", (*do, RELOAD), ())]
