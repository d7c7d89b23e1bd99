"""Whether an iptables table enforces our part, or something before it could let in what ours would refuse.

Only an accepting rule matters: one that drops, rejects, logs or marks (fail2ban's bans, say) may stand first. When
it is not certain that a rule does no harm, it counts as harmful: putting our jump first again costs nothing.
"""

from .rules_file import options, same_rule, target

# Targets (iptables-extensions(8), xtables-addons(8)) that never accept a packet for good.
# fmt: off
NEVER_ACCEPT = frozenset((
    "DROP", "REJECT", "TARPIT", "DELUDE", "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "MARK", "CONNMARK",
    "SECMARK", "CONNSECMARK", "CLASSIFY", "DSCP", "TOS", "TTL", "HL", "ECN", "TCPMSS", "TCPOPTSTRIP", "CT",
    "NOTRACK", "SET", "RATEEST", "LED", "IDLETIMER", "CHECKSUM", "HMARK", "TEE", "ACCOUNT",
))
# fmt: on
TCP = ("tcp", "6", "all", "0")


def is_enforced(table, part):
    """Whether a filter table holds our part, reached before anything that could accept.

    :param Table table: of the kernel, or of a file
    :param Part part: ours
    """
    return (
        part.chain in table.chains
        and same_rules(table.rules.get(part.chain, []), part.rules)
        and jumps_in_order(table, part)
    )


def jumps_in_order(table, part):
    """Whether our jumps stand where they must, and only there."""
    wanted = {}
    for home, rule in part.jumps:
        wanted.setdefault(home, []).append(rule)
    found = jumps(table, part.chain)
    if {home for home, _, _ in found} != set(wanted):
        return False
    for home, rules in wanted.items():
        ours = [(position, rule) for where, position, rule in found if where == home]
        if not same_rules([rule for _, rule in ours], rules):
            return False
        # What NAT sent here may have another port by now, so that any accepting rule counts.
        ports = part.ports if home == "INPUT" else None
        if first_accepting(table, home, ours[-1][0], ports, part.chain):
            return False
    return True


def jumps(table, chain):
    """Every rule outside a chain that leads into it.

    :returns: list of (str chain, int position from 0, str rule), positions ascending
    """
    return [
        (home, position, rule)
        for home, rules in sorted(table.rules.items())
        if home != chain
        for position, rule in enumerate(rules)
        if chain in rule and target(rule) == chain
    ]


def same_rules(some, others):
    return len(some) == len(others) and all(same_rule(one, other) for one, other in zip(some, others))


def first_accepting(table, chain, before, ports, own_chain):
    """The first rule of a chain that could accept a TCP connection to one of the ports, or None.

    :param Table table: the filter table
    :param str chain: where to look; a RETURN there accepts too, for what comes next is unknown
    :param int before: look at so many rules only
    :param ports: of int; None: any port
    :param str own_chain: the chain that restricts; a jump to it does no harm
    """
    for rule in table.rules.get(chain, [])[:before]:
        if _may_accept(table, rule, (ports, own_chain), [chain]):
            return rule
    return None


def _may_accept(table, rule, wanted, path):
    """
    :param tuple wanted: (ports, name of our own chain)
    :param list path: of str, the chains that led here
    """
    ports, own_chain = wanted
    found = options(rule)
    leads = [(name, values[0]) for _, name, values in found if name in ("-j", "-g") and values]
    if not leads or not _may_match(found, ports):
        return False
    kind, aim = leads[0]
    if aim == "RETURN":
        return len(path) == 1
    if aim == own_chain or aim in NEVER_ACCEPT:
        return False
    if table.chains.get(aim) == "-" and kind == "-j" and aim not in path:
        inner = table.rules.get(aim, [])
        return any(_may_accept(table, inner_rule, wanted, path + [aim]) for inner_rule in inner)
    return True


def _may_match(found, ports):
    """Whether options could match a TCP connection from elsewhere to one of the ports."""
    for negated, name, values in found:
        value = values[0] if values else ""
        if name == "-p" and (value in TCP) == negated:
            return False
        if name == "-i" and value == "lo" and not negated:
            return False
        if name in ("--dport", "--dports") and ports is not None and not negated and not covers(value, ports):
            return False
    return True


def covers(value, ports):
    """Whether a value of --dport or --dports ("25,465:587") holds one of the ports; names count as yes."""
    for piece in value.split(","):
        low, _, high = piece.partition(":")
        ends = (low or "0", (high or "65535") if ":" in piece else low)
        if not all(end.isdigit() for end in ends):
            return True
        if any(int(ends[0]) <= port <= int(ends[1]) for port in ports):
            return True
    return False
