"""Which firewall this host uses: by what is active, not by what is installed.

The answer must be the same before and after our own rules are there, so whatever harden-mail adds to a host is
passed over; so is what daemons like fail2ban add and take away again by themselves.
"""

import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import CommandError
from ..paths import CONFIGURATION
from ..system import System
from .services import Services

# Our own objects; every chain and table of ours begins so.
OUR_CHAINS = "HARDEN-MAIL-"
OUR_TABLES = "harden_mail_"

# Tables that a daemon adds by itself say nothing about how this host's people set up their firewall.
DAEMONS_TABLES = ("firewalld", "f2b-table", "crowdsec", "crowdsec6", "sshguard", "docker-bridges", "netavark")
DAEMONS_CHAINS = ("f2b-", "fail2ban-")

# iptables-nft keeps its rules in nftables tables with iptables' own names.
IPTABLES_TABLES = ("filter", "nat", "mangle", "raw", "security")
IPTABLES_CHAINS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")

# The nft service's rule file: Debian's place, and that of the RPM distributions.
NFTABLES_FILES = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf")

# Files with the tables that the old iptables has loaded, a name a line; with iptables-nft they are empty or missing.
LEGACY_TABLES = ("/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")


class Answer(NamedTuple):
    """The firewall; why: how that was found."""

    backend: Optional[str]
    running: bool
    variant: Optional[str]
    why: str


def find_firewall(system: System, services: Services, panel: Dict[str, Any]) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """Facts ``firewall``."""
    answer = _backend(system, services)
    evidence = {"backend": answer.why, "running": answer.why}
    if answer.variant:
        evidence["variant"] = answer.why
    version, how = _version(system, answer.backend)
    if version:
        evidence["version"] = how
    persistence, path, how = _persistence(system, services, panel, answer.backend)
    if persistence:
        evidence["persistence"] = evidence["persistent_path"] = how
    return {
        "backend": answer.backend,
        "running": answer.running,
        "version": version,
        "variant": answer.variant,
        "persistence": persistence,
        "persistent_path": path,
    }, evidence


def _backend(system: System, services: Services) -> Answer:
    for look in (_firewalld, _nftables, _iptables, _available):
        answer = look(system, services)
        if answer:
            return answer
    return Answer(None, False, None, "no firewall is in use, and neither nft nor iptables is there")


def _firewalld(_system: System, services: Services) -> Optional[Answer]:
    if services.active("firewalld"):
        return Answer("firewalld", True, None, "firewalld.service is active")
    return None


def _nftables(system: System, services: Services) -> Optional[Answer]:
    native, _of_iptables = nft_tables(_output(system, ["nft", "list", "chains"]))
    if native:
        why = "table {0} in `nft list chains`, neither iptables' nor a daemon's".format(native[0])
        return Answer("nftables", True, None, why)
    if services.enabled("nftables"):
        return Answer("nftables", False, None, "nftables.service is enabled, though no chain is loaded")
    return None


def _iptables(system: System, services: Services) -> Optional[Answer]:
    default = _default_variant(system)
    if default is None:
        return None
    for variant, command in _save_commands(system, default):
        if has_rules(_output(system, [command])):
            return Answer("iptables", True, variant, "rules in `{0}`".format(command))
    for name in ("netfilter-persistent", "iptables"):
        service = services.get(name)
        if service and service.enabled:
            return Answer("iptables", False, default, "no rules, but {0} is enabled".format(service.name))
    return None


def _available(system: System, _services: Services) -> Optional[Answer]:
    if system.which("nft"):
        return Answer("nftables", False, None, "no firewall is in use; nft is there")
    default = _default_variant(system)
    if default:
        return Answer("iptables", False, default, "no firewall is in use; iptables is there, nft isn't")
    return None


def nft_tables(text: str) -> Tuple[List[str], List[str]]:
    """Tables that filter something: those with a chain that hangs on a hook.

    :param text: ``nft list chains``
    :returns: (tables that people made, tables of iptables-nft), "inet filter"
    """
    hooked: List[Tuple[str, str, str]] = []  # of (family, name, chain)
    table: List[str] = []
    chain = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = words[1:3]
        elif words[:1] == ["chain"]:
            chain = words[1]
        elif words[:1] == ["type"] and "hook" in words:
            hooked.append((table[0], table[1], chain))
    native, of_iptables = [], []
    for family, name in sorted({entry[:2] for entry in hooked}):
        chains = [entry[2] for entry in hooked if entry[:2] == (family, name)]
        if name.startswith(OUR_TABLES) or name in DAEMONS_TABLES:
            continue
        if family in ("ip", "ip6") and name in IPTABLES_TABLES and set(chains) <= set(IPTABLES_CHAINS):
            of_iptables.append(family + " " + name)
        else:
            native.append(family + " " + name)
    return native, of_iptables


def has_rules(text: str) -> bool:
    """Whether iptables is in use: a rule that is neither ours nor a daemon's, or a chain that refuses by default.

    :param text: ``iptables-save``
    """
    passed_over = (OUR_CHAINS,) + DAEMONS_CHAINS
    for line in text.splitlines():
        if re.match(r":\S+ DROP\b", line):
            return True
        chains = re.findall(r"(?:^-A|-j|-g) (\S+)", line)
        if line.startswith("-A ") and not any(chain.startswith(passed_over) for chain in chains):
            return True
    return False


def _default_variant(system: System) -> Optional[str]:
    """``nft`` or ``legacy``, as the program ``iptables`` says; None when there is none."""
    text = _output(system, ["iptables", "-V"])
    if not text:
        return None
    return "nft" if "(nf_tables)" in text else "legacy"


def _save_commands(system: System, default: str) -> List[Tuple[str, str]]:
    """Commands that print rules, and whose they are; the variant that isn't the default only where it left a trace."""
    commands = [(default, "iptables-save"), (default, "ip6tables-save")]
    if default == "nft" and any(system.read(path) for path in LEGACY_TABLES):
        commands += [("legacy", "iptables-legacy-save"), ("legacy", "ip6tables-legacy-save")]
    if default == "legacy" and nft_tables(_output(system, ["nft", "list", "chains"]))[1]:
        commands += [("nft", "iptables-nft-save"), ("nft", "ip6tables-nft-save")]
    return commands


def _version(system: System, backend: Optional[str]) -> Tuple[Optional[str], str]:
    """:returns: (version, how)"""
    if backend == "firewalld":
        # firewall-cmd --version takes longer than all the rest together.
        for path in system.glob("/usr/lib/python3*/*-packages/firewall/config/__init__.py"):
            found = re.search(r"^VERSION = ['\"]([^'\"]+)", system.read(path) or "", re.MULTILINE)
            if found:
                return found.group(1), path
        text, how = _output(system, ["firewall-cmd", "--version"]), "firewall-cmd --version"
    elif backend == "nftables":
        text, how = _output(system, ["nft", "--version"]), "nft --version"
    elif backend == "iptables":
        text, how = _output(system, ["iptables", "-V"]), "iptables -V"
    else:
        return None, ""
    found = re.search(r"\d+(\.\d+)+", text)
    return (found.group() if found else None), how


def _persistence(
    system: System, services: Services, panel: Dict[str, Any], backend: Optional[str]
) -> Tuple[Optional[str], Optional[str], str]:
    """:returns: (method, path, how); no method and no path where nothing is known to bring rules back after a reboot"""
    own_means = None
    if backend == "firewalld":
        own_means = "firewalld", "/etc/firewalld", "firewalld keeps its own configuration"
    elif backend == "nftables" and services.enabled("nftables"):
        path = next((path for path in NFTABLES_FILES if system.exists(path)), NFTABLES_FILES[0])
        own_means = "nftables", path, "nftables.service is enabled"
    elif backend == "iptables":
        own_means = _iptables_persistence(system, services, panel)
    if own_means:
        return own_means
    if backend and services.manager == "systemd":
        return "unit", CONFIGURATION, "this host has no means of its own; systemd can load rules at boot"
    return None, None, ""


def _iptables_persistence(system: System, services: Services, panel: Dict[str, Any]) -> Optional[Tuple[str, str, str]]:
    # Plesk writes this script and runs it at boot; it takes whatever else was loaded into INPUT away again.
    of_plesk = "{0}/var/modules/firewall/firewall-active.sh".format(panel["root"])
    if panel["root"] and system.exists(of_plesk):
        return "plesk", of_plesk, of_plesk + " is there"
    if services.enabled("netfilter-persistent"):
        return "netfilter-persistent", "/etc/iptables/rules.v4", "netfilter-persistent.service is enabled"
    if services.enabled("iptables"):
        return "iptables-services", "/etc/sysconfig/iptables", "the service iptables is enabled"
    return None


def _output(system: System, argv: Sequence[str]) -> str:
    """What a command prints; nothing when it fails or isn't there."""
    try:
        return system.run(argv, check=False).out
    except CommandError:
        return ""
