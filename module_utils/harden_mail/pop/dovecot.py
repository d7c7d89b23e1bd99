"""Dovecot's part of POP-before-SMTP: a post-login script, told of in a drop-in file; the same for 2.3 and 2.4."""

from ..changes import Run, file_change
from ..errors import UserError
from ..paths import POP_HOOK
from ..trusted_proxies import dovecot_findings
from . import hook

SERVICE = "harden-mail-pop"
NAME = "99-harden-mail-pop.conf"

PROTOCOLS = ("imap", "pop3")

HEAD = """\
# A log-in by POP or IMAP counts for sending mail. Made by harden-mail; changes are undone by its next run.
"""

LOGIN = """\
service {protocol} {{
  executable = {protocol} {service}
}}
"""

# Each log-in waits for it, and a client may make many at once: as many processes as Dovecot has for mail.
SCRIPT = """\
service {service} {{
  executable = script-login {script}
  user = {user}
  process_limit = 1024
  unix_listener {service} {{
  }}
}}
"""


class DovecotPart:
    """The host's Dovecot.

    :param str config_dir: where dovecot.conf is
    """

    def __init__(self, system, config_dir):
        self.system = system
        self.path = config_dir + "/conf.d/" + NAME
        self.main = config_dir + "/dovecot.conf"

    def missing(self):
        if not self.system.which("doveconf") or not self.system.exists(self.main):
            return "Dovecot is not there"
        if "!include conf.d/*.conf" not in (self.system.read(self.main) or ""):
            return "{0} doesn't include conf.d/*.conf, where this would put a file".format(self.main)
        return None

    def writer(self):
        """The user (str) that the script runs as: Dovecot's own for what needs no rights, as its manual has it."""
        return self._setting("default_internal_user") or "dovecot"

    def sessions(self):
        """Commands that say who is connected: list of list of str."""
        return [["doveadm", "-f", "tab", "who"]]

    def files(self, wanted):
        """The script: list of (path, content or None, mode)."""
        text = None if wanted is None else hook.script(self.system, wanted.minutes, wanted.prefix6)
        return [(POP_HOOK, text, 0o755)]

    def user(self, wanted):
        """Differences in users: none, the script runs as one of Dovecot's."""
        return []

    def running(self, wanted):
        """Differences in units: none."""
        return []

    def findings(self, wanted):
        return dovecot_findings(self.system, wanted.exempt)

    def changes(self, wanted):
        text = None
        if wanted is not None:
            protocols = [protocol for protocol in PROTOCOLS if protocol in self._protocols()]
            text = HEAD + "".join(LOGIN.format(protocol=name, service=SERVICE) for name in protocols)
            text += SCRIPT.format(service=SERVICE, script=POP_HOOK, user=self.writer())
            there = self.system.read(self.path) is not None
            for protocol in protocols:
                self._have_no_other_script(protocol, there)
        return file_change(self.system, self.path, text)

    def checks(self):
        return (Run(("doveconf", "-n"), None),)

    def activation(self):
        base_dir = self._setting("base_dir") or "/run/dovecot"
        if not self.system.exists(base_dir + "/master.pid"):
            return ()
        return (Run(("doveadm", "reload"), None),)

    def evidence(self):
        return [
            "doveconf: service {0} has executable = {1}".format(protocol, self._setting(_executable(protocol)))
            for protocol in PROTOCOLS
            if protocol in self._protocols()
        ]

    def _have_no_other_script(self, protocol, there):
        """:raises UserError: somebody else has a say in what is run for a log-in"""
        runs = self._setting(_executable(protocol))
        usual = [protocol] if not there else [protocol + " " + SERVICE, protocol]
        if runs not in usual:
            raise UserError(
                "Dovecot has 'executable = {0}' for its service {1}, set by somebody else, and there is room for one "
                "script only: have that script call {2} with the same arguments as the last thing it does, or take "
                "it out.".format(runs, protocol, POP_HOOK)
                if not there
                else "Dovecot has 'executable = {0}' for its service {1}, set after {2} was read, so log-ins are not "
                "seen; take that out.".format(runs, protocol, self.path)
            )

    def _protocols(self):
        """2.3 says "imap pop3"; 2.4 "imap = yes", one a line."""
        words = self._setting("protocols").replace("= yes", "").split()
        return [word for word in words if word in PROTOCOLS]

    def _setting(self, name):
        return self.system.run(["doveconf", "-h", name], check=False).out.strip()


def _executable(protocol):
    return "service/{0}/executable".format(protocol)
