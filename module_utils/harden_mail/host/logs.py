"""Where this host's mail log is."""

import os
import re
from typing import Any, Dict, List, Set, Tuple

from ..postfix.postconf import postconf
from ..system import System

SYSLOG_CONFIGURATIONS = ("/etc/rsyslog.conf", "/etc/rsyslog.d/*.conf", "/etc/syslog.conf", "/etc/syslog-ng/*.conf")

# What is left when no syslog configuration names one: the places of distributions, and of multilog under qmail.
USUAL = (
    "/var/log/mail.log",
    "/var/log/maillog",
    "/var/log/mail",
    "/var/log/qmail/current",
    "/var/log/qmail/*/current",
)


def find_logs(system: System, mta: Dict[str, Any], panel: Dict[str, Any]) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """Facts ``logs``: files that exist, each once however many names it has."""
    named: List[Tuple[str, str]] = []  # of (path or pattern, how)
    for pattern in SYSLOG_CONFIGURATIONS:
        for path in system.glob(pattern):
            named += [(target, path) for target in mail_targets(system.read(path) or "")]
    if mta["name"] == "postfix":
        own = postconf(system, mta["config_dir"], ["maillog_file"]).get("maillog_file")
        named += [(own, "postconf maillog_file")] if own else []
    if panel["root"]:
        named.append((panel["root"] + "/var/log/maillog", "Plesk's place"))
    named += [(pattern, "a usual place") for pattern in USUAL]

    files: List[str] = []
    evidence: Dict[str, str] = {}
    seen: Set[str] = set()
    for pattern, how in named:
        for path in system.glob(pattern):
            real = os.path.realpath(system.real(path))
            if os.path.isfile(real) and real not in seen:
                seen.add(real)
                evidence["files.{0}".format(len(files))] = how
                files.append(path)
    journal = bool(
        system.which("journalctl") and (system.glob("/var/log/journal/*") or system.glob("/run/log/journal/*"))
    )
    evidence["journal"] = "journalctl and a directory in /var/log/journal or /run/log/journal are {0}there".format(
        "" if journal else "not both "
    )
    if not files:
        evidence["files"] = "no syslog configuration names a mail log that exists, nor is one in a usual place"
    return {"files": files, "journal": journal}, evidence


def mail_targets(text: str) -> List[str]:
    """Files that a syslog configuration sends the facility ``mail`` to.

    :param text: selectors and actions as in rsyslog.conf(5) and syslog.conf(5): ``mail.*  -/var/log/mail.log``
    :returns: absolute paths
    """
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*([\w,*;.=!]+)\s+-?(/[^\s;]+)", line)
        if match and any(_takes_mail(selector) for selector in match.group(1).split(";")):
            found.append(match.group(2))
    return found


def _takes_mail(selector: str) -> bool:
    """Whether "mail.*" or "mail,news.info" takes what log-ins are written at (info); "mail.err" doesn't."""
    facilities, _dot, priority = selector.partition(".")
    return "mail" in facilities.split(",") and priority in ("*", "info", "debug", "=info")
