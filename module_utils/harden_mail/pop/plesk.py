"""POP-before-SMTP of Plesk: its own setting, changed by its own command, read in its database.

Plesk knows one meaning only: a POP log-in *instead of* SMTP AUTH.
"""

import contextlib

from ..changes import Change, Run
from ..errors import CommandError, UserError
from ..host.panel import plesk_settings
from .meaning import EITHER
from .plan import Backend

SHADOW = "/etc/psa/.psa.shadow"

QUERY = (
    "SELECT param, COALESCE(val, '') FROM misc "
    "WHERE param IN ('relay', 'disable_pop_auth', 'disable_smtp_auth', 'poplock_time')"
)

# (pop, smtp) -> Plesk's word for it; with neither, nobody could relay, and its command has no word.
AUTH_TYPES = {(True, True): "both", (True, False): "pop", (False, True): "smtp"}

# What its report says where nobody declared the one meaning that Plesk has.
NO_BOTH = (
    "Plesk can't ask for both a POP log-in and SMTP AUTH: it only takes the log-in instead of SMTP AUTH, which relays "
    "mail without a password for some minutes, and such mail names no account. So nothing was changed here. Declare "
    "pop_before_smtp_meaning: either for this host if old clients need that; against guessed passwords, restrict 587 "
    "and 465 by address (submission_firewall)."
)
OPEN = (
    "Plesk relays mail for everybody, without any authorization (psa.misc: relay is open): choose authorization in "
    "Plesk's mail server settings."
)
NEITHER = (
    "Plesk's mail relaying asks for authorization and allows no kind of it (psa.misc: disable_pop_auth and "
    "disable_smtp_auth), which its command could not give back afterwards: choose POP3, SMTP or closed relaying in "
    "Plesk's mail server settings."
)


class Plesk(Backend):
    name = "plesk"

    meanings = (EITHER,)

    def missing(self):
        settings = plesk_settings(self.system)
        if settings is None:
            return "There is no Plesk on this host: /etc/psa/psa.conf is missing."
        try:
            self._mailserver()
            self._settings()
        except UserError as error:
            return str(error)
        return None

    def changes(self, wanted, former):
        if wanted is None and (not former or plesk_settings(self.system) is None):
            return []
        now = self._settings()
        if wanted is not None:
            goal = {"relay": "auth", "pop": True, "smtp": True, "minutes": str(wanted.minutes)}
        else:
            goal = former
        if _same(now, goal):
            return []
        if wanted is not None and not former:
            former.update(now)
        return [
            Change("Plesk's mail relaying", _shown(now), _shown(goal), self._steps(now, goal), self._steps(goal, now))
        ]

    def undeclared(self):
        """Findings (list of sentences) of a host for which nobody declared the meaning that Plesk has."""
        findings = [NO_BOTH]
        # What is said of Plesk holds whether its database answers or not.
        with contextlib.suppress(UserError):
            findings += [OPEN] if self._settings()["relay"] == "open" else []
        return findings

    def evidence(self):
        return ["psa.misc: " + _shown(self._settings()).rstrip("\n").replace("\n", ", ")]

    # --- Plesk -----------------------------------------------------------------------------------------------

    def _root(self):
        return (plesk_settings(self.system) or {}).get("PRODUCT_ROOT_D", "/usr/local/psa")

    def _mailserver(self):
        """Plesk's command for these settings: list of str."""
        if self.system.which("plesk"):
            return ["plesk", "bin", "mailserver"]
        old = self._root() + "/bin/mailserver"
        if self.system.exists(old):
            return [old]
        raise UserError("Plesk's command for mail settings is not there: neither `plesk` nor {0}.".format(old))

    def _settings(self):
        """dict: ``relay`` (str), ``pop`` and ``smtp`` (bool, whether that authorizes), ``minutes`` (str or None).

        :raises UserError: Plesk's database can't be asked, or doesn't answer as expected
        """
        found = {}
        for line in self._ask(QUERY).splitlines():
            name, _tab, value = line.partition("\t")
            found[name] = value.strip()
        if found.get("relay") not in ("auth", "open", "closed"):
            raise UserError(
                "Plesk's database says that mail relaying is '{0}' (psa.misc, relay), which is none of auth, open and "
                "closed: choose one in Plesk's mail server settings.".format(found.get("relay", ""))
            )
        return {
            "relay": found["relay"],
            # The flags are inverted, and Plesk itself tests them for truth.
            "pop": found.get("disable_pop_auth", "") in ("", "0"),
            "smtp": found.get("disable_smtp_auth", "") in ("", "0"),
            "minutes": found.get("poplock_time") or None,
        }

    def _ask(self, query):
        """What Plesk's database answers, a row a line, columns by tabs (str)."""
        if self.system.which("plesk"):
            return self.system.run(["plesk", "db", "-N", "-B", "-e", query]).out
        # Releases without that command keep the password in plain text. By standard input, for a command line and an
        # environment can be looked at.
        password = (self.system.read(SHADOW) or "").strip()
        options = '[client]\nuser=admin\npassword="{0}"\n'.format(password.replace("\\", "\\\\").replace('"', '\\"'))
        client = next((name for name in ("mysql", "mariadb") if self.system.which(name)), "mysql")
        argv = [client, "--defaults-extra-file=/dev/stdin", "-N", "-B", "-e", query, "psa"]
        try:
            return self.system.run(argv, stdin=options).out
        except CommandError as error:
            raise UserError("Plesk's database can't be asked: {0}".format(error)) from None

    def _steps(self, now, goal):
        """Run steps (tuple) that bring Plesk from some settings to others."""
        command, steps = self._mailserver(), []
        wanted = (goal["pop"], goal["smtp"])
        if goal["relay"] == "auth" and wanted not in AUTH_TYPES:
            raise UserError(NEITHER)
        if wanted in AUTH_TYPES:
            # The lock time of settings without POP counts again when somebody turns POP on.
            if goal["minutes"] and (goal["pop"] or goal["minutes"] != now["minutes"]):
                kind = AUTH_TYPES[wanted] if goal["pop"] else "both"
                steps.append(["auth", "-auth-type", kind, "-lock-time", goal["minutes"]])
            if not goal["pop"] or not goal["minutes"]:
                steps.append(["auth", "-auth-type", AUTH_TYPES[wanted]])
        if goal["relay"] != "auth":
            steps.append([goal["relay"]])
        return tuple(Run(tuple(command + ["--set-relay"] + step), None) for step in steps)


def _same(now, goal):
    """Whether two settings have the same effect: what is hidden by another is no difference."""
    if now["relay"] != "auth" or goal["relay"] != "auth":
        return now["relay"] == goal["relay"]
    # A lock time that was never set can't be given back.
    same_time = now["minutes"] == goal["minutes"] or not goal["pop"] or not goal["minutes"]
    return (now["pop"], now["smtp"]) == (goal["pop"], goal["smtp"]) and same_time


def _shown(settings):
    if settings["relay"] != "auth":
        return "relay: {0}\n".format(settings["relay"])
    text = "relay: auth\nPOP3 authorization: {0}\nSMTP authorization: {1}\n".format(
        *("on" if settings[name] else "off" for name in ("pop", "smtp"))
    )
    return text + ("lock time: {0} minutes\n".format(settings["minutes"] or "unknown") if settings["pop"] else "")
