"""What runs the alert: a job of cron, or a timer of systemd."""

from ..errors import UserError
from ..paths import ALERT_PROGRAM, ALERT_SERVICE, ALERT_TIMER, UNITS
from . import privileges, turn

CRON = "/etc/cron.d/harden-mail-queue-alert"
SERVICE, TIMER = UNITS + "/" + ALERT_SERVICE, UNITS + "/" + ALERT_TIMER

CRON_TEXT = """\
# Tells people when the mail queue is too long. Made by harden-mail; changes are undone by its next run.
SHELL=/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
MAILTO=""
*/{minutes} * * * * root {program} >/dev/null 2>&1
"""

# What the program needs of root, it keeps by itself (privileges.py); here is what only systemd can take.
SERVICE_TEXT = """\
[Unit]
Description=Tell people when the mail queue is too long

[Service]
Type=oneshot
ExecStart={program}
# The next run waits for this one, so one that hangs is ended here.
TimeoutStartSec={longest}
ProtectSystem=full
ProtectHome=read-only
PrivateTmp=yes
CapabilityBoundingSet={capabilities}
NoNewPrivileges={no_new}
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


def texts(settings, minutes, by_timer):
    """Files of the job: list of (path, content or None, mode).

    :param dict settings: as ``settings.check`` gives it
    """
    service = SERVICE_TEXT.format(
        program=ALERT_PROGRAM,
        longest=turn.LONGEST,
        capabilities=" ".join(privileges.NAMES[number] for number in privileges.needed(settings)),
        no_new="no" if privileges.may_gain(settings) else "yes",
    )
    return [
        (CRON, None if by_timer else CRON_TEXT.format(minutes=minutes, program=ALERT_PROGRAM), 0o644),
        (SERVICE, service if by_timer else None, 0o644),
        (TIMER, TIMER_TEXT.format(minutes=minutes) if by_timer else None, 0o644),
    ]


def goes_by_timer(system, services, wanted):
    """Whether a timer is to run it.

    :param services: of ``host.services.find_services``
    :param str wanted: auto, cron or timer
    :raises UserError: the host has nothing of the kind
    """
    if wanted == "timer":
        if services.manager != "systemd":
            raise UserError("scheduler is timer, but this host has no systemd; give cron.")
        return True
    # The directory alone says nothing: other packages bring it along.
    cron = services.find_cron(system)[0]
    has_cron = bool(cron["directory"] and (cron["service"] or services.manager is None))
    if wanted == "cron" and not has_cron:
        raise UserError("scheduler is cron, but this host has no cron with /etc/cron.d; install it, or give timer.")
    if not has_cron and services.manager != "systemd":
        raise UserError("scheduler is auto, but this host has neither cron with /etc/cron.d nor systemd.")
    return not has_cron
