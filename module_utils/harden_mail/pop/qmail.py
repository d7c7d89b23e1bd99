"""qmail's part of POP-before-SMTP: a program in tcpserver's chain, right before qmail-smtpd, on the submission ports.

Where it is called is a run script of daemontools, which is the administrator's. So the program is installed, and a
script that does not call it is a finding that holds the line to write; it is changed only when that was declared.
"""

import os
import re
import sys

from ..archive import PYTHON
from ..changes import Change, Run, WriteFile, file_change
from ..errors import UserError
from ..paths import POP_GATE
from . import database, qmail_gate

# Whom tcpserver runs qmail-smtpd as, where nobody says otherwise; with vpopmail it is often vpopmail.
USER = "qmaild"


# Where svscan looks, and where people keep what it finds there by links.
SERVICES = ("/service/*/run", "/etc/service/*/run", "/var/service/*/run", "/var/qmail/supervise/*/run", "/etc/sv/*/run")

SMTPD = re.compile(r"(?<![^\s\"'=])(?:/[\w./-]*/)?qmail-smtpd(?![\w.-])")
SUBMISSION = re.compile(r"(?<![\w.:-])(?:587|465|submissions?|smtps|ssmtp)(?![\w.:-])")
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)

NOT_ASKED = (
    "{0} takes mail by 587 or 465 without asking whether the client has read mail. Write {1} before qmail-smtpd in it, "
    "so that the line is:  {2}  and have it begin anew (svc -t {3}); or declare pop_before_smtp_edit_run_scripts: true."
)
NOT_CLEAR = (
    "{0} takes mail by 587 or 465, but where in it qmail-smtpd is called is not clear from here. Write {1} right "
    "before qmail-smtpd in the chain of tcpserver, and have it begin anew (svc -t {2})."
)
NOTHING = (
    "No run script of daemontools was found that calls qmail-smtpd on 587 or 465: there is nothing that "
    "POP-before-SMTP could guard."
)
STILL_CALLED = (
    "{0} calls {1}, which was written into it by somebody else than harden-mail: take it out there and have it begin "
    "anew (svc -t {2}), or nobody can send by it any more."
)


class Script:
    """One run script of a submission service.

    :ivar str path: where it is
    :ivar list calls: of re.Match: where in ``text`` qmail-smtpd is called, comments aside
    :ivar bool asks: whether each of them is by our program
    """

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.code = COMMENT.sub(lambda match: " " * len(match.group()), text)
        self.calls = list(SMTPD.finditer(self.code))
        self.asks = bool(self.calls) and all(self.code[: call.start()].endswith(POP_GATE + " ") for call in self.calls)

    @property
    def directory(self):
        return os.path.dirname(self.path)

    def with_gate(self):
        """The text with our program right before qmail-smtpd, None when it isn't clear where that is."""
        if len(self.calls) != 1:
            return None
        start = self.calls[0].start()
        # In quotes or an assignment it is a part of something else.
        if start and self.code[start - 1] not in " \t\n":
            return None
        return self.text[:start] + POP_GATE + " " + self.text[start:]

    def line(self):
        """The line that would call our program."""
        text = self.with_gate()
        start = text.rfind("\n", 0, self.calls[0].start()) + 1
        return text[start:].split("\n", 1)[0].strip()


class QmailPart:
    """qmail-smtpd under tcpserver.

    :param dict options: ``edit_run_scripts`` (bool), ``qmail_user`` (str, whom qmail-smtpd runs as)
    """

    def __init__(self, system, options):
        self.system = system
        self.edits = bool(options.get("edit_run_scripts"))
        self.user = options.get("qmail_user") or USER
        self._changed = []

    def missing(self):
        """A sentence on what is missing, or None."""
        if not self.system.exists("/var/qmail/bin/qmail-smtpd"):
            return "qmail is not there"
        users = (self.system.read("/etc/passwd") or "").splitlines()
        if not any(line.startswith(self.user + ":") for line in users):
            return "there is no user {0}; name in qmail_user whom tcpserver runs qmail-smtpd as".format(self.user)
        return None

    def scripts(self):
        """The run scripts of submission services: list of :class:`Script`, each file once."""
        return [script for script in self._all_scripts() if script.calls and SUBMISSION.search(script.code)]

    def _all_scripts(self):
        found, seen = [], set()
        for pattern in SERVICES:
            for path in self.system.glob(pattern):
                text = self.system.read(path)
                real = os.path.realpath(self.system.real(path))
                if real in seen or text is None:
                    continue
                seen.add(real)
                found.append(Script(path, text))
        return found

    def reader(self):
        """The user (str) who must be let read the database."""
        return self.user

    def reread(self):
        """Commands that have a database that was made anew opened: none, each client's program opens it."""
        return []

    def checks(self):
        return ()

    def activation(self):
        """Have tcpserver of each script that we have changed begin anew; who is connected goes on."""
        return tuple(Run(("svc", "-t", directory), None) for directory in self._changed)

    def answering(self):
        return []

    def own(self, wanted, _former):
        """Differences in our program: list of Change."""
        text = None if wanted is None else gate_text(wanted)
        return [
            change._replace(before=_size(change.before), after=_size(change.after))
            for change in file_change(self.system, POP_GATE, text, 0o755)
        ]

    def changes(self, wanted, former):
        """Differences in run scripts. ``former["scripts"]`` says which were changed (list of str).

        :raises UserError: one that somebody else has changed calls a program that is about to go
        """
        changes = []
        if wanted is None:
            # Of any port: what calls a program that is not there takes no mail at all.
            for script in self._all_scripts():
                is_ours = script.path in former.get("scripts", [])
                text = script.text.replace(POP_GATE + " ", "", 1) if is_ours else script.text
                if POP_GATE in Script(script.path, text).code:
                    raise UserError(STILL_CALLED.format(script.path, POP_GATE, script.directory))
                changes += self._change(script, text)
        elif self.edits:
            for script in self.scripts():
                text = script.with_gate()
                if not script.asks and text is not None:
                    former["scripts"] = sorted({*former.get("scripts", []), script.path})
                    changes += self._change(script, text)
        # Also one that a killed run has changed: it may have come no further.
        changed = former.get("scripts", [])
        self._changed = [script.directory for script in self._all_scripts() if script.path in changed]
        return changes

    def findings(self, _wanted):
        scripts = self.scripts()
        if not scripts:
            return [NOTHING]
        return [self._finding(script) for script in scripts if not script.asks]

    def evidence(self):
        return [
            "{0}: {1}".format(script.path, "asks " + POP_GATE if script.asks else "does not ask " + POP_GATE)
            for script in self.scripts()
        ]

    def _finding(self, script):
        if script.with_gate() is None:
            return NOT_CLEAR.format(script.path, POP_GATE, script.directory)
        return NOT_ASKED.format(script.path, POP_GATE, script.line(), script.directory)

    def _change(self, script, text):
        if text == script.text:
            return []
        do, undo = (WriteFile(script.path, text, 0o755),), (WriteFile(script.path, script.text, 0o755),)
        return [Change(script.path, script.text, text, do, undo)]


def settings(wanted):
    """What the program is told: see :data:`qmail_gate.SETTINGS`."""
    return {
        "path": database.PATH,
        "query": database.look_up("x", "?", wanted.minutes, wanted.prefix6),
        "both": wanted.meaning == "both",
        "exempt": [
            (int(network.network_address), int(network.netmask), network.max_prefixlen // 8)
            for network in wanted.exempt
        ],
        "seconds": database.BUSY_SECONDS,
    }


def gate_text(wanted, python=None):
    """The program's text (str)."""
    if python is None:
        python = PYTHON if os.path.realpath(PYTHON) == os.path.realpath(sys.executable) else sys.executable
    source = qmail_gate.__spec__.loader.get_source(qmail_gate.__name__)
    before, _equals, rest = source.partition("\nSETTINGS = {")
    told = "\nSETTINGS = {0!r}\n".format(sorted_dict(settings(wanted)))
    return "#!{0} -IS\n{1}{2}{3}".format(python, before, told, rest.partition("\n")[2])


def sorted_dict(values):
    """The same in one order, whatever Python it is: what is written must not differ from run to run."""
    return dict(sorted(values.items()))


def _size(text):
    return "the program, {0} bytes\n".format(len(text)) if text else ""
