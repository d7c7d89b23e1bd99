"""How iptables rules outlive a reboot.

A file of the host that replaces the filter table when it is loaded must hold our part, or loading it opens the
ports: ours is merged into it. A file that is not there, or has no filter table, or is loaded without emptying the
table, takes nothing away: it stays as it is (a filter table put in there would, at the next restart of its service
or upgrade of its package, throw out the rules that fail2ban and Docker have made since). Where no enabled
service loads such a file of a family, the unit (``unit.py``) loads our rules. It also loads our sets, for a rule file
that names a missing set is refused whole.

Plesk's firewall module has no documented place for rules of others: its generated script firewall-active.sh deletes
every rule of INPUT but fail2ban's. So besides the unit a drop-in of its service loads our jump again after it. When
somebody applies rules in the panel, which does not start the service, ours is missing until the service starts or
this runs again. Written from published copies of that script, never tried on a Plesk.
"""

import re
from collections import namedtuple

from ...changes import file_change, private_file_change
from ...paths import CONFIGURATION, IPTABLES_UNIT, UNITS
from ...systemd_units import unit_file_changes
from ..boot_unit import DIRECTORY, ENABLED_LINKS, SANDBOX_OF_IPTABLES, unit_changes
from . import rules_file
from .accepts import is_enforced

# A rule file of the host.
#   method:     str, its word in ``persistence``
#   clears_all: bool, restarting its service empties every table, also those that the file does not have
#   no_flush:   str, the setting in /etc/default/netfilter-persistent that makes loading it take nothing away
HostFile = namedtuple("HostFile", "method family path service mode clears_all no_flush")

# Debian's netfilter-persistent with its plugin iptables-persistent; Red Hat's iptables-services.
HOST_FILES = (
    HostFile(
        "netfilter-persistent",
        4,
        "/etc/iptables/rules.v4",
        "netfilter-persistent",
        0o640,
        False,
        "IPTABLES_RESTORE_NOFLUSH",
    ),
    HostFile(
        "netfilter-persistent",
        6,
        "/etc/iptables/rules.v6",
        "netfilter-persistent",
        0o640,
        False,
        "IP6TABLES_RESTORE_NOFLUSH",
    ),
    HostFile("iptables-services", 4, "/etc/sysconfig/iptables", "iptables", 0o600, True, None),
    HostFile("iptables-services", 6, "/etc/sysconfig/ip6tables", "ip6tables", 0o600, True, None),
)
PROGRAMS = {4: "iptables", 6: "ip6tables"}
METHODS = ("auto", "netfilter-persistent", "iptables-services", "plesk", "unit")

RULES = {4: CONFIGURATION + "/submission.rules4", 6: CONFIGURATION + "/submission.rules6"}
SETS = CONFIGURATION + "/submission.ipset"

PLESK_SCRIPTS = (
    "/usr/local/psa/var/modules/firewall/firewall-active.sh",
    "/opt/psa/var/modules/firewall/firewall-active.sh",
)
PLESK_DROP_IN = UNITS + "/psa-firewall.service.d/harden-mail-submission.conf"


class Boot:
    """What is loaded when the host starts.

    :param System system: the host
    :param str persistence: one of :data:`METHODS`
    :param str chain: name of our chain
    """

    def __init__(self, system, persistence, chain):
        self.system = system
        self.persistence = persistence
        self.chain = chain

    def missing(self, families):
        """A sentence on what this host lacks for its persistence, or None."""
        if self.persistence not in METHODS:
            return "submission_firewall_persistence is '{0}': with iptables rules, choose one of {1}".format(
                self.persistence, ", ".join(METHODS)
            )
        for file in HOST_FILES:
            if file.method == self.persistence and file.family in families and not self._is_enabled(file):
                return "submission_firewall_persistence is '{0}', but its service {1} is not enabled".format(
                    file.method, file.service
                )
        if self._unit_families(families) and not self.has_systemd():
            return "nothing loads iptables rules when it starts: no systemd, and no enabled {0}".format(
                " or ".join(sorted({file.service for file in HOST_FILES}))
            )
        return None

    def has_systemd(self):
        return self.system.which("systemctl") is not None

    def changes(self, parts, set_text, former):
        """Changes that make our part be loaded at boot, or nothing of it.

        :param dict parts: of int family -> Part, or None for nothing of ours; a family that the host does not have
            is not in it, and its files stay as they are
        :param str set_text: input for ipset; None: the parts name no set
        :param dict former: remembers which files we made
        :returns: list of Change
        """
        wanted = {family: part for family, part in parts.items() if part}
        unit_families = self._unit_families(wanted)
        commands = self._commands(wanted, unit_families, set_text) or None
        unit = unit_changes(self.system, commands, IPTABLES_UNIT, SANDBOX_OF_IPTABLES)
        changes = []
        if set_text:
            changes += private_file_change(self.system, SETS, set_text)
        for family in unit_families:
            changes += private_file_change(self.system, RULES[family], _load_text(wanted[family]))
        if set_text:
            # The host's files that name a set come after what loads it.
            changes += unit
        for file in HOST_FILES:
            if file.family in parts:
                changes += self._host_file_changes(file, parts[file.family], former)
        if not set_text:
            changes += unit
        changes += self._plesk_changes(commands)
        for path in [RULES[family] for family in sorted(RULES) if family not in unit_families]:
            changes += file_change(self.system, path, None)
        if not set_text:
            changes += file_change(self.system, SETS, None)
        return changes

    def traces(self):
        """Whether anything of ours is loaded at boot, or lies there for it."""
        files = [DIRECTORY + IPTABLES_UNIT, SETS, PLESK_DROP_IN] + list(RULES.values())
        return any(self.system.exists(path) for path in files) or any(
            self.chain in (self.system.read(file.path) or "") for file in HOST_FILES
        )

    def evidence(self):
        """What is loaded at boot, each a line."""
        lines = []
        for file in HOST_FILES:
            text = self.system.read(file.path)
            if text and self.chain in text:
                lines.append("at boot: {0}, by {1}".format(file.path, file.service))
        if self.system.exists(ENABLED_LINKS + IPTABLES_UNIT):
            files = [path for path in [SETS, RULES[4], RULES[6]] if self.system.exists(path)]
            lines.append("at boot: {0}, by {1}".format(", ".join(files), IPTABLES_UNIT))
        return lines

    # --- what there is ------------------------------------------------------------------------------------

    def _unit_families(self, families):
        """Families whose rules no enabled service of the host loads."""
        if self.persistence in ("netfilter-persistent", "iptables-services"):
            return []
        if self.persistence == "unit" or self._has_plesk():
            return sorted(families)
        loaded = [file.family for file in HOST_FILES if self._takes_part(file) and self._is_enabled(file)]
        return sorted(set(families) - set(loaded))

    def _takes_part(self, file):
        """Whether our part belongs into a file of the host."""
        if self.persistence in ("netfilter-persistent", "iptables-services"):
            return file.method == self.persistence
        if self.persistence == "unit":
            return False
        text = self.system.read(file.path)
        if text is None or self._loads_without_flush(file):
            return False
        return file.clears_all or "filter" in rules_file.parse(text)

    def _loads_without_flush(self, file):
        settings = self.system.read("/etc/default/netfilter-persistent") or ""
        return (
            file.no_flush is not None
            and re.search(r"(?m)^\s*(?:export\s+)?{0}=[\"']?yes\b".format(file.no_flush), settings) is not None
        )

    def _is_enabled(self, file):
        if not self.has_systemd():
            return bool(self.system.glob("/etc/rc[S2-5].d/S[0-9][0-9]" + file.service))
        return self.system.run(["systemctl", "is-enabled", file.service + ".service"], check=False).rc == 0

    def _has_plesk(self):
        return self.persistence == "plesk" or (
            self.persistence == "auto" and any(self.system.exists(path) for path in PLESK_SCRIPTS)
        )

    # --- what must change ---------------------------------------------------------------------------------

    def _host_file_changes(self, file, part, former):
        text = self.system.read(file.path)
        if part and self._takes_part(file):
            former.setdefault("files", {}).setdefault(file.path, text is not None)
            if _holds(text or "", part):
                return []
            wanted = rules_file.merge(text or "", part)
        elif text is None:
            return []
        else:
            wanted = rules_file.strip(text, self.chain)
            if wanted == "" and not former.get("files", {}).get(file.path, True):
                wanted = None
        return file_change(self.system, file.path, wanted, file.mode)

    def _commands(self, wanted, families, set_text):
        """Command lines that load our rules, at boot and any time later without a moment in which they are gone."""
        commands = []
        if set_text:
            commands.append("{0} -exist restore -file {1}".format(self.system.which("ipset"), SETS))
        for family in families:
            # Declaring a chain under --noflush empties it and nobody else's: loading twice is loading once.
            restore = restore_argv(self.system, family)
            commands.append(" ".join([self.system.which(restore[0])] + restore[1:] + [RULES[family]]))
            commands += self._jump_commands(wanted[family], self.system.which(PROGRAMS[family]))
        return commands

    @staticmethod
    def _jump_commands(part, program):
        """Command lines that put our jumps in their places if they are not there.

        Docker takes over a DOCKER-USER that it finds when it starts, so ours may be there first.
        """
        commands = []
        for home, rule in reversed(part.jumps):
            make = "" if home == "INPUT" else "{0} -w -N {1} 2>/dev/null; ".format(program, home)
            commands.append(
                '/bin/sh -c "{0}{1} -w -C {2} {3} 2>/dev/null || {1} -w -I {2} 1 {3}"'.format(make, program, home, rule)
            )
        return commands

    def _plesk_changes(self, commands):
        text = None
        if commands and self._has_plesk():
            text = "[Service]\n" + "".join("ExecStartPost={0}\n".format(command) for command in commands)
        return unit_file_changes(self.system, PLESK_DROP_IN, text)


def restore_argv(system, family):
    """Command that adds to the tables of a family what it reads, as one transaction."""
    program = PROGRAMS[family] + "-restore"
    usage = system.run([program, "--help"], check=False)
    # The nft variant needs no lock and knows no such option in its usage; the legacy one has it since 1.6.2.
    # Not last: it would take a file name behind it for a number of seconds.
    wait = ["-w"] if "--wait" in usage.out + usage.err else []
    return [program] + wait + ["--noflush"]


def _holds(text, part):
    """Whether a file, loaded, would enforce our part, be it in our words or in those of iptables-save."""
    table = rules_file.parse(text).get("filter")
    if table is None:
        return False
    return (table.plain and is_enforced(table, part)) or rules_file.merge(text, part) == text


def _load_text(part):
    """Our chain as a file to load beside what is there."""
    lines = ["*filter", ":{0} - [0:0]".format(part.chain)]
    lines += ["-A {0} {1}".format(part.chain, rule) for rule in part.rules]
    return "\n".join(lines + ["COMMIT", ""])
