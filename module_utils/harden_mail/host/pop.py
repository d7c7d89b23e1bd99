"""Which program hands mail out by POP and IMAP: Dovecot, Courier, or none that is known here."""

import re
from typing import Any, Dict, Iterable, Optional, Tuple

from ..errors import CommandError
from ..system import System
from .processes import Process

# 1.x had one file in /etc, every later release a directory; the last is where a build from source looks.
DOVECOT_FILES = ("/etc/dovecot/dovecot.conf", "/etc/dovecot.conf", "/usr/local/etc/dovecot/dovecot.conf")

# Debian's, Plesk's, and that of Courier's own packages.
COURIER_DIRS = ("/etc/courier", "/etc/courier-imap", "/usr/lib/courier-imap/etc")


def find_pop(system: System, processes: Iterable[Process]) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """Facts ``pop``."""
    candidates = []
    dovecot = next((path for path in DOVECOT_FILES if system.exists(path)), None)
    if dovecot and system.which("dovecot"):
        candidates.append(("dovecot", dovecot, any(process.name == "dovecot" for process in processes)))
    courier = next(
        (
            directory + "/" + name
            for directory in COURIER_DIRS
            for name in ("pop3d", "imapd")
            if system.exists(directory + "/" + name)
        ),
        None,
    )
    if courier:
        candidates.append(("courier", courier, any(process.name == "couriertcpd" for process in processes)))
    if not candidates:
        return {"name": None, "version": None, "config_dir": None}, {"name": "no configuration of Dovecot or Courier"}
    name, path, runs = max(candidates, key=lambda candidate: candidate[2])
    evidence = {
        "name": "{0} is there, and it is {1}".format(path, "running" if runs else "not running"),
        "config_dir": path + " is there",
    }
    version = _dovecot_version(system) if name == "dovecot" else None
    if version:
        evidence["version"] = "dovecot --version"
    return {"name": name, "version": version, "config_dir": path.rsplit("/", 1)[0]}, evidence


def _dovecot_version(system: System) -> Optional[str]:
    """ "2.3.19.1 (9b53102964)" and "2.4.1-4 (7d8c0e5759)": the upstream number without Debian's revision."""
    try:
        found = re.match(r"\d+(\.\d+)*", system.run(["dovecot", "--version"], check=False).out)
    except CommandError:
        return None
    return found.group() if found else None
