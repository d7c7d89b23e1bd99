"""iptables and ip6tables, legacy or on nft: a chain of our own in the filter table of each family.

The chain gives allowed sources back to where they came from, so that the host's other rules (fail2ban's bans) still
decide about them, and resets the rest, connections that are already open included. Its jump stands in INPUT before
anything that could accept; where Docker is, also in DOCKER-USER, for a published port never sees INPUT. Only rules
that lead into our chain are ever added or taken away.
"""

from ...changes import Change, Run
from ...errors import UserError
from ..plan import Backend
from . import ipset
from .accepts import covers, first_accepting, is_enforced, jumps, jumps_in_order
from .boot import METHODS, PROGRAMS, Boot, restore_argv
from .rules_file import Part, Table, options, parse

CHAIN = "HARDEN-MAIL-SUBMISSION"
DOCKER = "DOCKER-USER"

# More networks than this in a family go into a set: a packet passes rules one after the other.
LONG_LIST = 100

# iptables-extensions(8), multiport
MOST_PORTS_IN_A_RULE = 15

MOST_RULES_OF_EVIDENCE = 12
NO_TABLE = Table({}, {}, True)

# Adds to a transaction, behind its first two lines, the removal of every jump to our chain.
_WITHOUT_JUMPS = (
    '{{ read -r table; read -r chain; echo "$table"; echo "$chain"; '
    "{0}-save -t filter | sed -n 's/^-A \\(.* -j {1}\\)$/-D \\1/p'; cat; }} | {2}"
)


class Iptables(Backend):
    """The backend ``iptables``."""

    name = "iptables"
    methods = METHODS

    def __init__(self, system, persistence="auto"):
        super().__init__(system, persistence)
        self.boot = Boot(system, persistence, CHAIN)

    def missing(self):
        for family in self._families():
            program = PROGRAMS[family]
            if not all(self.system.which(program + suffix) for suffix in ("", "-save", "-restore")):
                return "{0} is not installed".format(program)
        return self.boot.missing(self._families())

    def traces(self):
        if self.boot.traces():
            return True
        commands = [[PROGRAMS[family] + "-save"] for family in self._families()]
        return any(CHAIN in self.system.run(command, check=False).out for command in commands)

    def changes(self, restriction, former):
        tables = {family: self._tables(family) for family in self._families()}
        names = ipset.existing(self.system)
        long_families = []
        if restriction is not None:
            for family, found in tables.items():
                former.setdefault("filter", {}).setdefault(str(family), "filter" in found)
            # Sets are loaded at boot by our unit, which needs systemd.
            if names is not None and self.boot.has_systemd():
                long_families = [family for family in tables if len(restriction.networks(family)) > LONG_LIST]
        filters = {family: found.get("filter", NO_TABLE) for family, found in tables.items()}
        parts = dict.fromkeys(tables)
        if restriction is not None:
            parts = {family: _part(restriction, family, filters[family], family in long_families) for family in tables}
        changes = []
        for family in long_families:
            changes += ipset.fill_changes(self.system, names, family, restriction.networks(family))
        for family in sorted(tables):
            changes += self._kernel_changes(family, filters[family], parts[family])
        changes += self.boot.changes(parts, _set_text(restriction, long_families), former)
        for family in sorted(ipset.NAMES):
            if family not in long_families:
                changes += ipset.destroy_changes(self.system, names, family)
        if restriction is None:
            for family in sorted(tables):
                if former.get("filter", {}).get(str(family)) is False and "filter" in tables[family]:
                    changes += self._empty_table_changes(family, filters[family])
        return changes

    def findings(self, restriction):
        sentences = []
        for family in self._families():
            tables = self._tables(family)
            covered = _forwards_through_docker_user(tables.get("filter", NO_TABLE))
            for chain, rules in sorted(tables.get("nat", NO_TABLE).rules.items()):
                for rule in rules:
                    how = _goes_around(chain, rule, restriction.ports, covered)
                    if how:
                        sentences.append(
                            "{0}: a NAT rule {1} (-A {2} {3}): end it where it was made, or restrict its "
                            "sources there.".format(PROGRAMS[family], how, chain, rule)
                        )
        return sentences

    def evidence(self):
        lines = []
        for family in self._families():
            table = self._tables(family).get("filter", NO_TABLE)
            rules = table.rules.get(CHAIN, [])
            shown = ["-A {0} {1}".format(home, rule) for home, _, rule in jumps(table, CHAIN)]
            shown += ["-A {0} {1}".format(CHAIN, rule) for rule in rules[: MOST_RULES_OF_EVIDENCE - 1]]
            if len(rules) > MOST_RULES_OF_EVIDENCE:
                shown.append("... {0} rules in all, the last:".format(len(rules)))
            shown += ["-A {0} {1}".format(CHAIN, rule) for rule in rules[MOST_RULES_OF_EVIDENCE - 1 :][-1:]]
            lines += ["{0}: {1}".format(PROGRAMS[family], line) for line in shown]
        return lines + self.boot.evidence()

    # --- reading ------------------------------------------------------------------------------------------

    def _families(self):
        """4, and 6 where the kernel has IPv6.

        Without /proc/net/if_inet6 the kernel has none. Where that is empty no interface has an address (switched
        off by sysctl), and IPv6 is restricted only if ip6tables is there.
        """
        addresses = self.system.read("/proc/net/if_inet6")
        if addresses is None or (not addresses and self.system.which("ip6tables") is None):
            return [4]
        return [4, 6]

    def _tables(self, family):
        """All tables of a family that are there; asking for one by name could make the kernel load it."""
        program = PROGRAMS[family] + "-save"
        text = self.system.run([program]).out
        if "`filter' is incompatible" in text:
            raise UserError(
                "{0} says that its filter table holds rules which it can't show, made by nft: restrict the ports with "
                "submission_firewall_backend: nftables, or make those rules with {1}.".format(program, PROGRAMS[family])
            )
        return parse(text)

    # --- what must change ---------------------------------------------------------------------------------

    def _kernel_changes(self, family, table, part):
        """Changes (none or one) that bring our chain and its jumps into the kernel, or out of it."""
        now = jumps(table, CHAIN)
        if part is None:
            if CHAIN not in table.chains and not now:
                return []
            in_order = not now
        else:
            if is_enforced(table, part):
                return []
            in_order = jumps_in_order(table, part)
        former_rules = table.rules.get(CHAIN, []) if CHAIN in table.chains else None
        wanted = [] if part is None else part.jumps
        restore = tuple(restore_argv(self.system, family))
        moved = [] if in_order else now
        to_the_top = [] if in_order else [(home, 0, rule) for home, rule in reversed(wanted)]
        do = _transaction(moved, part.rules if part else None, to_the_top)
        undo = (Run(restore, _transaction([], former_rules, [])),)
        if not in_order:
            # Whatever jumps are there by then go, so it may be done twice.
            script = _WITHOUT_JUMPS.format(PROGRAMS[family], CHAIN, " ".join(restore))
            undo = (Run(("sh", "-c", script), _transaction([], former_rules, moved)),)
        if table is NO_TABLE:
            undo += self._table_removal(family)
        return [
            Change(
                "kernel, {0}, filter".format(PROGRAMS[family]),
                _shown(table, in_order, now, former_rules),
                _shown_after(table, in_order, now, part),
                (Run(restore, do),),
                undo,
            )
        ]

    def _empty_table_changes(self, family, table):
        """Changes (none or one) that remove a filter table that was not there before us and is empty again.

        It has no effect, but iptables-save prints it.
        """
        foreign = [rule for home, rules in table.rules.items() for rule in rules if home != CHAIN]
        ours = {rule for _, _, rule in jumps(table, CHAIN)}
        empty = all(rule in ours for rule in foreign) and all(
            policy == "ACCEPT" or name == CHAIN for name, policy in table.chains.items()
        )
        steps = self._table_removal(family)
        if not empty or not steps:
            return []
        return [Change("kernel, {0}, filter".format(PROGRAMS[family]), "*filter", "", steps, ())]

    def _table_removal(self, family):
        """Steps (none or one) that remove the filter table if it is empty; only the nft variant can lose one."""
        program = PROGRAMS[family]
        if "nf_tables" not in self.system.run([program, "-V"], check=False).out or self.system.which("nft") is None:
            return ()
        # Looked at at the last moment: somebody may have begun to use the table.
        script = (
            "nft list table {1} filter >/dev/null 2>&1 || exit 0; "
            "{0}-save -t filter | grep -Eq '^(-A|:[^ ]+ (-|DROP))' || nft delete table {1} filter"
        ).format(program, {4: "ip", 6: "ip6"}[family])
        return (Run(("sh", "-c", script), None),)


def _part(restriction, family, table, as_set):
    """Our part of the filter table of a family."""
    rules = ["-i lo -j RETURN"]
    if as_set:
        rules.append("-m set --match-set {0} src -j RETURN".format(ipset.NAMES[family]))
    else:
        rules += [_source_rule(network) for network in restriction.networks(family)]
    rules.append("-p tcp -j REJECT --reject-with tcp-reset")
    ports = list(restriction.ports)
    jump_rules = []
    while ports:
        some, ports = ports[:MOST_PORTS_IN_A_RULE], ports[MOST_PORTS_IN_A_RULE:]
        match = "-m tcp --dport" if len(some) == 1 else "-m multiport --dports"
        jump_rules.append(("INPUT", "-p tcp {0} {1} -j {2}".format(match, ",".join(str(port) for port in some), CHAIN)))
    if DOCKER in table.chains:
        # Without "DNAT", a container that itself sends mail to port 587 somewhere else would be refused too.
        rule = "-p tcp -m conntrack --ctstate DNAT --ctorigdstport {0} --ctdir ORIGINAL -j {1}"
        jump_rules += [(DOCKER, rule.format(port, CHAIN)) for port in restriction.ports]
    return Part(CHAIN, rules, jump_rules, restriction.ports)


def _source_rule(network):
    # iptables-save leaves out a source that is everybody, and writes the length of single addresses.
    if network.prefixlen == 0:
        return "-j RETURN"
    address = ipset.member(network).split("/")[0]
    return "-s {0}/{1} -j RETURN".format(address, network.prefixlen)


def _set_text(restriction, families):
    """What loads all our sets at boot, or None."""
    texts = [
        ipset.load_text(family, [ipset.member(network) for network in restriction.networks(family)])
        for family in families
    ]
    return "".join(texts) or None


def _transaction(removed, rules, inserted):
    """Input of ``iptables-restore --noflush``.

    :param list removed: of (chain, position, rule), jumps to take away
    :param list rules: what our chain holds afterwards; None: no chain
    :param list inserted: of (chain, position from 0, rule), jumps to put in
    """
    # Declaring the chain makes it, or empties it if it is there.
    lines = ["*filter", ":{0} - [0:0]".format(CHAIN)]
    lines += ["-A {0} {1}".format(CHAIN, rule) for rule in rules or []]
    lines += ["-D {0} {1}".format(home, rule) for home, _, rule in removed]
    lines += ["-I {0} {1} {2}".format(home, position + 1, rule) for home, position, rule in inserted]
    if rules is None:
        lines.append("-X " + CHAIN)
    return "\n".join(lines + ["COMMIT", ""])


def _shown(table, in_order, found, rules):
    """Our lines of the kernel; if a jump is out of place, with the rules before it."""
    lines = []
    for home in sorted({home for home, _, _ in found}):
        positions = [position for where, position, _ in found if where == home]
        for position, rule in enumerate(table.rules[home][: positions[-1] + 1]):
            if position in positions or not in_order:
                lines.append("-A {0} {1}".format(home, rule))
    if rules is not None:
        lines += [":{0} - [0:0]".format(CHAIN)] + ["-A {0} {1}".format(CHAIN, rule) for rule in rules]
    return "\n".join(lines)


def _shown_after(table, in_order, found, part):
    """The same for the state after the change."""
    lines = []
    homes = {home for home, _, _ in found} | {home for home, _ in (part.jumps if part else [])}
    for home in sorted(homes):
        lines += ["-A {0} {1}".format(home, rule) for where, rule in (part.jumps if part else []) if where == home]
        positions = [position for where, position, _ in found if where == home]
        if positions and not in_order:
            before = enumerate(table.rules[home][: positions[-1]])
            lines += ["-A {0} {1}".format(home, rule) for position, rule in before if position not in positions]
    if part:
        lines += [":{0} - [0:0]".format(CHAIN)] + ["-A {0} {1}".format(CHAIN, rule) for rule in part.rules]
    return "\n".join(lines)


def _forwards_through_docker_user(table):
    """Whether what is forwarded passes DOCKER-USER before anything could accept it."""
    for position, rule in enumerate(table.rules.get("FORWARD", [])):
        if options(rule) == [(False, "-j", (DOCKER,))]:
            return first_accepting(table, "FORWARD", position, None, DOCKER) is None
    return False


def _goes_around(chain, rule, ports, covered):
    """How a NAT rule leads connections to one of the ports past our chain, in words; None if it does not."""
    found = {name: values for negated, name, values in options(rule) if not negated}
    aimed = [found[name][0] for name in ("--dport", "--dports") if found.get(name)]
    if chain == "OUTPUT" or not aimed or not covers(aimed[0], ports):
        return None
    target = found.get("-j", ("",))[0]
    if target == "DNAT" and not covered:
        where = found.get("--to-destination", ("elsewhere",))[0]
        return "sends connections to port {0} on to {1}, past INPUT and with no {2} to stop them".format(
            aimed[0], where, DOCKER
        )
    if target == "REDIRECT" and not covers(found.get("--to-ports", aimed)[0], ports):
        return "turns port {0} into port {1} before our rules see it".format(aimed[0], found["--to-ports"][0])
    return None
