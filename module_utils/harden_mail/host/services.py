"""The service manager, and the state of the services that matter here."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..errors import CommandError
from ..system import System

NAMES = (
    "postfix",
    "qmail",
    "firewalld",
    "nftables",
    "iptables",
    "netfilter-persistent",
    "psa-firewall",
    "cron",
    "crond",
)


class Service(NamedTuple):
    """A service.

    :ivar name: as its manager wants it ("cron.service", under System V "crond")
    :ivar active: None when it isn't known
    """

    name: str
    active: Optional[bool]
    enabled: bool


class Services:
    """:ivar manager: ``systemd``, ``sysvinit`` or None
    :ivar evidence: how the manager was found
    """

    def __init__(self, manager: Optional[str], evidence: str, known: Dict[str, Service]) -> None:
        self.manager, self.evidence, self._known = manager, evidence, known

    def get(self, *names: str) -> Optional[Service]:
        """The first of these names (without ``.service``) that this host has, or None."""
        return next((self._known[name] for name in names if name in self._known), None)

    def active(self, name: str) -> bool:
        return bool(name in self._known and self._known[name].active)

    def enabled(self, name: str) -> bool:
        return bool(name in self._known and self._known[name].enabled)

    def find_cron(self, system: System) -> Tuple[Dict[str, Any], Dict[str, str]]:
        """Facts ``cron``."""
        service = self.get("cron", "crond")
        directory = "/etc/cron.d" if system.is_dir("/etc/cron.d") else None
        evidence = {"directory": "/etc/cron.d is {0}".format("there" if directory else "not there")}
        if service:
            evidence["service"] = "known to {0}".format(self.manager)
        return {"directory": directory, "service": service.name if service else None}, evidence


def find_services(system: System) -> Services:
    if system.is_dir("/run/systemd/system"):
        return Services("systemd", "/run/systemd/system is there", _of_systemd(system))
    if system.exists("/etc/inittab") or system.is_dir("/etc/rc3.d"):
        return Services("sysvinit", "no /run/systemd/system, but System V's /etc/rc3.d or inittab", _of_sysv(system))
    return Services(None, "neither /run/systemd/system nor /etc/rc3.d", {})


def _of_systemd(system: System) -> Dict[str, Service]:
    """One question for all: each costs a round trip over D-Bus."""
    units = [name + ".service" for name in NAMES]
    try:
        out = system.run(
            ["systemctl", "show", "--property=LoadState,ActiveState,UnitFileState"] + units, check=False
        ).out
    except CommandError:
        return {}
    known = {}
    # The answers come in the order of the questions, a blank line between two.
    for name, block in zip(NAMES, out.strip().split("\n\n")):
        state = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if state.get("LoadState") not in ("loaded", "masked"):
            continue
        enabled = state.get("UnitFileState", "").startswith("enabled") or (
            state.get("UnitFileState") == "generated" and _starts_at_boot(system, name)
        )
        known[name] = Service(name + ".service", state.get("ActiveState") == "active", enabled)
    return known


def _of_sysv(system: System) -> Dict[str, Service]:
    return {
        name: Service(name, None, _starts_at_boot(system, name))
        for name in NAMES
        if system.exists("/etc/init.d/" + name)
    }


def _starts_at_boot(system: System, name: str) -> bool:
    return bool(system.glob("/etc/rc[2345].d/S[0-9][0-9]" + name))
