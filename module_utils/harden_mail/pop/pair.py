"""POP-before-SMTP where one program takes mail and another hands it out, each with a part of its own.

The part of who takes mail (``mta``) gives ``missing``, ``own``, ``changes``, ``checks``, ``activation``, ``answering``,
``reread``, ``reader``, ``findings`` and ``evidence``; that of who hands it out (``pop``) gives ``missing``, ``writer``,
``user``, ``files``, ``running``, ``sessions``, ``changes``, ``checks``, ``activation``, ``findings`` and ``evidence``.
Here is what they share: the database, the program that keeps it, and the order.
"""

import json
import os
import pwd
import stat

from ..archive import build_program
from ..changes import Change, Run, WriteFile, file_change
from ..paths import POP_CONFIG, POP_DATABASE, POP_NOTED, POP_PROGRAM, POP_SERVICE, POP_TIMER, UNITS
from ..systemd_units import unit_file_changes
from . import database, program, readers
from .plan import Backend

SERVICE, TIMER = UNITS + "/" + POP_SERVICE, UNITS + "/" + POP_TIMER

# What it needs of root: to make the directory somebody's, to ask Dovecot, to become the one who owns the database, and
# to have Postfix, whose data are its own user's, read it anew.
SERVICE_TEXT = """\
[Unit]
Description=Renew the log-ins of who reads mail, for POP-before-SMTP
After=dovecot.service

[Service]
Type=oneshot
ExecStart={program}
TimeoutStartSec=120
ProtectSystem=full
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_SETGID CAP_SETUID CAP_KILL CAP_DAC_OVERRIDE
"""

TIMER_TEXT = """\
[Unit]
Description=Renew the log-ins of who reads mail every {seconds} seconds

[Timer]
OnActiveSec=1
OnUnitInactiveSec={seconds}
AccuracySec=1

[Install]
WantedBy=timers.target
"""


class Pair(Backend):
    """A backend of two parts.

    :ivar mta: the part of who takes mail
    :ivar pop: the part of who hands it out
    """

    def __init__(self, system, options):
        super().__init__(system, options)
        self.mta, self.pop = self.parts(system, options)

    @staticmethod
    def parts(system, options):
        """(mta, pop) of a host."""
        raise NotImplementedError

    def missing(self):
        if not self.system.exists("/run/systemd/system"):
            return "systemd doesn't run it"
        return self.mta.missing() or self.pop.missing()

    def support(self, wanted, former):
        if wanted is None:
            changes = self.pop.running(None) + self._timer(False) + self.mta.own(None, former)
            return changes + self._files(None) + self._database(None) + self.pop.user(None)
        return (
            self.pop.user(wanted)
            + self._files(wanted)
            + self._database(wanted)
            + self._timer(True)
            + self.pop.running(wanted)
        )

    def changes(self, wanted, former):
        # Postfix reads its tables when it is told to, so they are configuration; they go when it asks them no more.
        own = [] if wanted is None else self.mta.own(wanted, former)
        return self.pop.changes(wanted) + own + self.mta.changes(wanted, former)

    def checks(self):
        return self.pop.checks() + self.mta.checks()

    def activation(self):
        return self.pop.activation() + self.mta.activation()

    def proof(self):
        return tuple(
            Run((POP_PROGRAM, "--answers", address, str(port)), None) for address, port in self.mta.answering()
        )

    def findings(self, wanted):
        return self.mta.findings(wanted) + self.pop.findings(wanted)

    def evidence(self):
        return self.pop.evidence() + self.mta.evidence()

    # --- what is ours alone ---------------------------------------------------------------------------------

    def _files(self, wanted):
        texts = [(path, None, mode) for path, _text, mode in self.pop.files(None)]
        texts += [(POP_PROGRAM, None, 0o755), (POP_CONFIG, None, 0o644), (SERVICE, None, 0o644), (TIMER, None, 0o644)]
        if wanted is not None:
            config = {
                "minutes": wanted.minutes,
                "prefix6": wanted.prefix6,
                "writer": self.pop.writer(),
                "sessions": self.pop.sessions(),
                "reread": self.mta.reread(),
                "reader": self.mta.reader(),
            }
            # Three times in a window, but each minute is often enough.
            seconds = max(10, min(60, wanted.minutes * 20))
            texts = self.pop.files(wanted) + [
                (POP_PROGRAM, build_program(program), 0o755),
                (POP_CONFIG, json.dumps(config, indent=1, sort_keys=True) + "\n", 0o644),
                (SERVICE, SERVICE_TEXT.format(program=POP_PROGRAM), 0o644),
                (TIMER, TIMER_TEXT.format(seconds=seconds), 0o644),
            ]
        changes = []
        for path, text, mode in texts:
            if path.endswith((".service", ".timer")):
                changes += unit_file_changes(self.system, path, text)
                continue
            for change in file_change(self.system, path, text, mode):
                shown = change
                if path.startswith(POP_PROGRAM):
                    shown = change._replace(before=_size(change.before), after=_size(change.after))
                changes.append(shown)
        if wanted is None:
            changes += [
                Change(path, "what is read by whom\n", "", (WriteFile(path, None, 0),), ())
                for path in [POP_NOTED]
                if self.system.exists(path)
            ]
        return changes

    def _database(self, wanted):
        there = self.system.exists(POP_DATABASE)
        if wanted is None:
            # The writer can put anything there, directories too.
            steps = (Run(("rm", "-rf", "--", POP_DATABASE), None),)
            return [Change(POP_DATABASE, "log-ins\n", "", steps, ())] if there else []
        if self._is_made():
            return []
        undo = () if there else (Run(("rm", "-rf", "--", POP_DATABASE), None),)
        return [Change(database.PATH, "", "no log-ins yet\n", (Run((POP_PROGRAM,), None),), undo)]

    def _is_made(self):
        paths = (POP_DATABASE, database.DIRECTORY_MODE), (database.PATH, database.FILE_MODE)
        return all(
            self.system.exists(path)
            and stat.S_IMODE(os.lstat(self.system.real(path)).st_mode) == mode
            and os.lstat(self.system.real(path)).st_uid == os.geteuid()
            and self._is_readable(path)
            for path, mode in paths
        )

    def _is_readable(self, path):
        reader = self.mta.reader()
        return reader is None or readers.may_read(self.system.real(path), pwd.getpwnam(reader).pw_uid)

    def _timer(self, wanted):
        """Differences in what systemd does, the units' files aside."""
        timer, service = self._unit(POP_TIMER), self._unit(POP_SERVICE)
        is_on = timer.get("UnitFileState") == "enabled" and timer.get("ActiveState") == "active"
        start = Run(("systemctl", "enable", "--now", POP_TIMER), None)
        stop = Run(("systemctl", "disable", "--now", POP_TIMER), None)
        if wanted:
            return [] if is_on else [Change(POP_TIMER, "", "running\n", (start,), (stop,))]
        # One that is at work would make the database once more; of a failed one systemd would remember its last run.
        ended = []
        if timer.get("UnitFileState") == "enabled" or timer.get("ActiveState") == "active":
            ended += [stop, Run(("systemctl", "stop", POP_SERVICE), None)]
        if service.get("ActiveState") == "failed":
            ended.append(Run(("systemctl", "reset-failed", POP_SERVICE), None))
        return [Change(POP_TIMER, "running\n", "", tuple(ended), (start,))] if ended else []

    def _unit(self, name):
        """What systemd says of a unit: dict."""
        out = self.system.run(["systemctl", "show", "--property=ActiveState,UnitFileState", name]).out
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def _size(text):
    return "the program, {0} bytes\n".format(len(text)) if text else ""
