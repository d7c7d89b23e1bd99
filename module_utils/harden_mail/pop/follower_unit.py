"""Puts the program that takes log-ins from a POP server's log on a host: a systemd unit and a user of its own."""

import grp
import hashlib
import os
import stat

from ..archive import build_program
from ..changes import Change, Run
from ..errors import UserError
from ..paths import POP_FOLLOWER, POP_FOLLOWER_UNIT, UNITS
from ..systemd_units import RELOAD
from . import follower

USER = "harden-mail-pop"

UNIT = UNITS + "/" + POP_FOLLOWER_UNIT

# Courier's units of Debian, of Plesk and of its own packages; those that a host doesn't have write nothing.
COURIER_UNITS = tuple(
    name + ".service"
    for name in (
        "courier-pop",
        "courier-pop-ssl",
        "courier-imap",
        "courier-imap-ssl",
        "courier-pop3d",
        "courier-pop3s",
        "courier-imapd",
        "courier-imaps",
    )
)

JOURNAL_GROUP = "systemd-journal"

NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")

# It reads a log and writes one file.
TEXT = """\
[Unit]
Description=Take log-ins by POP and IMAP from the log, for POP-before-SMTP
After=systemd-journald.service
StartLimitIntervalSec=0

[Service]
ExecStart={command}
User={user}
Group={user}
SupplementaryGroups={groups}
UMask=0007
Restart=always
RestartSec=2
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=full
ProtectHome=yes
PrivateTmp=yes
RestrictAddressFamilies=AF_UNIX

[Install]
WantedBy=multi-user.target
"""

FORGED = (
    "Log-ins by POP and IMAP are taken from {0}, into which every user and web application of this host can write "
    "(logger): name the POP server's units in follower_units instead; who wrote a line in the journal, the kernel says."
)


class FollowerPart:
    """A POP or IMAP server whose log-ins are taken from its log.

    :param dict options: ``follower_units`` (list of str, systemd units whose lines in the journal are read),
        ``follower_files`` (list of str, log files), ``follower_patterns`` (list of str, as ``Follower`` takes them);
        with neither units nor files, Courier's units
    """

    def __init__(self, system, options):
        self.system = system
        self.logs = list(options.get("follower_files") or [])
        self.units = list(options.get("follower_units") or ([] if self.logs else COURIER_UNITS))
        self.patterns = list(options.get("follower_patterns") or [])

    def missing(self):
        """A sentence on what is missing, or None.

        :raises UserError: an option that can't be meant
        """
        follower.Follower(1, 128, self.patterns)
        for name, words in (("follower_units", self.units), ("follower_files", self.logs)):
            for word in words:
                if not word.isprintable() or " " in word or (name == "follower_files") != word.startswith("/"):
                    raise UserError("{0} contains '{1}', which is none.".format(name, word))
        if any(not pattern.isprintable() for pattern in self.patterns):
            raise UserError("follower_patterns contains a character that can't be printed.")
        if self.units and not self.system.which("journalctl"):
            return "there is no journal; name the POP server's log in follower_files"
        for path in self.logs:
            if self._group_of(path) is None:
                return (
                    "{0} is not there or no group but root's may read it; name the POP server's units in "
                    "follower_units".format(path)
                )
        return None

    def writer(self):
        """The user (str) that writes the database."""
        return USER

    def sessions(self):
        """Commands that say who is connected: none, for the program sees that by itself."""
        return []

    def changes(self, wanted):
        """Differences in the POP server's own configuration: none, its log is enough."""
        return []

    def checks(self):
        return ()

    def activation(self):
        return ()

    def user(self, wanted):
        """Differences in the user of the program: list of Change."""
        there = any(line.startswith(USER + ":") for line in (self.system.read("/etc/passwd") or "").splitlines())
        shell = next((path for path in NO_LOGIN if self.system.exists(path)), NO_LOGIN[-1])
        words = "--system --user-group --no-create-home --home-dir /nonexistent --shell".split()
        add = Run(tuple(["useradd"] + words + [shell, USER]), None)
        remove = Run(("userdel", USER), None)
        if wanted and not there:
            return [Change("user " + USER, "", "a system user without a shell\n", (add,), (remove,))]
        if there and not wanted:
            return [Change("user " + USER, "a system user without a shell\n", "", (remove,), (add,))]
        return []

    def files(self, wanted):
        """The program and its unit: list of (path, content or None, mode); ``wanted`` as in ``Backend.changes``."""
        if wanted is None:
            return [(POP_FOLLOWER, None, 0o755), (UNIT, None, 0o644)]
        program = build_program(follower)
        return [(POP_FOLLOWER, program, 0o755), (UNIT, self._unit(self._argv(wanted, program)), 0o644)]

    def running(self, wanted):
        """Differences in what runs: list of Change. Of a wanted one that runs with other options, too."""
        state = self._state()
        start = (
            RELOAD,
            Run(("systemctl", "enable", POP_FOLLOWER_UNIT), None),
            Run(("systemctl", "restart", POP_FOLLOWER_UNIT), None),
        )
        stop = (Run(("systemctl", "disable", "--now", POP_FOLLOWER_UNIT), None),)
        is_on = state.get("UnitFileState") == "enabled" and state.get("ActiveState") == "active"
        if wanted is None:
            ended = ()
            if state.get("UnitFileState") == "enabled" or state.get("ActiveState") not in ("inactive", "failed"):
                ended += stop
            if state.get("ActiveState") == "failed":
                # Or systemd remembers the last run of what is no longer there.
                ended += (Run(("systemctl", "reset-failed", POP_FOLLOWER_UNIT), None),)
            return [Change(POP_FOLLOWER_UNIT, "running\n", "", ended, start)] if ended else []
        argv = self._argv(wanted, build_program(follower))
        command = (self.system.read("/proc/{0}/cmdline".format(state.get("MainPID"))) or "").split("\0")[:-1]
        if is_on and command[-len(argv) :] == argv:
            return []
        what = "running with other options\n" if is_on else ""
        return [Change(POP_FOLLOWER_UNIT, what, "running\n", start, start if is_on else stop)]

    def findings(self, _wanted):
        return [FORGED.format(", ".join(self.logs))] if self.logs else []

    def evidence(self):
        state = self._state()
        return [
            "{0}: {1}, reads {2}".format(POP_FOLLOWER_UNIT, state.get("ActiveState"), ", ".join(self.units + self.logs))
        ]

    # --- the unit ------------------------------------------------------------------------------------------

    def _argv(self, wanted, program):
        # The last word is for us: it tells which program is running.
        digest = hashlib.sha256(program.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        argv = [POP_FOLLOWER, "--minutes", str(wanted.minutes), "--prefix6", str(wanted.prefix6)]
        for option, words in (("--unit", self.units), ("--file", self.logs), ("--pattern", self.patterns)):
            argv += ["{0}={1}".format(option, word) for word in words]
        return argv + ["--build", digest]

    def _unit(self, argv):
        groups = {self._group_of(path) for path in self.logs} - {None, ""}
        if self.units and self._has_group(JOURNAL_GROUP):
            groups.add(JOURNAL_GROUP)
        return TEXT.format(
            command=" ".join(_quoted(word) for word in argv),
            user=USER,
            groups=" ".join(sorted(groups)),
        )

    def _has_group(self, name):
        return any(line.startswith(name + ":") for line in (self.system.read("/etc/group") or "").splitlines())

    def _group_of(self, path):
        """The group (str) that may read a file, "" when everybody may, None when only its owner may."""
        try:
            about = os.stat(self.system.real(path))
        except OSError:
            return None
        if about.st_mode & stat.S_IROTH:
            return ""
        if not about.st_mode & stat.S_IRGRP or about.st_gid == 0:
            return None
        return grp.getgrgid(about.st_gid).gr_name

    def _state(self):
        show = ["systemctl", "show", "--property=ActiveState,UnitFileState,MainPID", POP_FOLLOWER_UNIT]
        return dict(line.split("=", 1) for line in self.system.run(show).out.splitlines() if "=" in line)


def _quoted(word):
    """A word as ExecStart takes it literally."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"{0}"'.format(plain)
