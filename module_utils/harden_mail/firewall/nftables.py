"""nftables: a table of our own, named sets for sources and ports, one transaction.

Formats: nft(8) and libnftables-json(5); recorded with nft 1.0.6 and 1.1.3. The table's hooks come before those of
others: a verdict of accept ends only the chains of one hook, so nobody's accept goes around a refusal of ours, and
whom we let pass is still up to everybody else's rules.
"""

import ipaddress
import json
import re

from ..changes import Change, Run, file_change, private_file_change
from ..errors import CommandError, UserError
from .plan import Backend
from .unit import DIRECTORY, RULES_DIR, SANDBOX_OF_NFT, drop_in_changes, drop_in_of, unit_changes

TABLE = "harden_mail_submission"
RULES_FILE = RULES_DIR + "/submission.nft"

SERVICE = "nftables.service"
KNOWN_CONFIGS = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf")
INCLUDE = 'include "{0}" # harden-mail'.format(RULES_FILE)
# Says that the line before had no line end, so that taking our line out gives back the same bytes.
INCLUDE_AFTER_OPEN_LINE = INCLUDE + " (and the end of the line before)"

UNIT = "harden-mail-submission-nftables.service"

METHODS = ("auto", "nftables", "unit")

# Set elements named in the report before the rest is only counted.
SHOWN_ELEMENTS = 5

# The first line is for a host without the table, where the second would fail.
DELETE = """\
table inet {table}
delete table inet {table}
"""

# A published port of a container is sent on to it (DNAT), so it never comes by input, or comes with another port:
# there the port that the client asked for counts. Mail that containers send out is not DNAT and passes.
TEXT = (
    """\
# Written by harden-mail: who may reach mail submission. Loading it again replaces the table in one step.
"""
    + DELETE
    + """\
table inet {table} {{
	set ports {{
		type inet_service
		elements = {{ {ports} }}
	}}

	set allowed4 {{
		type ipv4_addr
		flags interval
{elements4}	}}

	set allowed6 {{
		type ipv6_addr
		flags interval
{elements6}	}}

	chain input {{
		type filter hook input priority filter - 10; policy accept;
		iifname "lo" accept
		tcp dport @ports jump submission
		meta l4proto tcp ct status dnat ct direction original ct original proto-dst @ports jump submission
	}}

	chain forward {{
		type filter hook forward priority filter - 10; policy accept;
		meta l4proto tcp ct status dnat ct direction original ct original proto-dst @ports jump submission
	}}

	chain submission {{
		ip saddr @allowed4 return
		ip6 saddr @allowed6 return
		meta l4proto tcp reject with tcp reset
	}}
}}
"""
)

DROP_IN_TEXT = """\
# Written by harden-mail. Stopping and restarting empties the ruleset; the submission table stays in the same step,
# or mail submission would be open to everybody until the rules are loaded again.
[Service]
ExecStop=
ExecStop={nft} 'flush ruleset; include "{file}"'
"""


def _match(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


_PUBLISHED = [
    _match({"meta": {"key": "l4proto"}}, "tcp"),
    _match({"ct": {"key": "status"}}, "dnat", "in"),
    _match({"ct": {"key": "direction"}}, "original"),
    _match({"ct": {"key": "proto-dst", "dir": "original"}}, "@ports"),
    {"jump": {"target": "submission"}},
]

# What TEXT is when nft lists it as JSON.
WANTED_CHAINS = {
    "input": {"type": "filter", "hook": "input", "prio": -10, "policy": "accept"},
    "forward": {"type": "filter", "hook": "forward", "prio": -10, "policy": "accept"},
    "submission": {},
}
WANTED_RULES = {
    "input": [
        [_match({"meta": {"key": "iifname"}}, "lo"), {"accept": None}],
        [_match({"payload": {"protocol": "tcp", "field": "dport"}}, "@ports"), {"jump": {"target": "submission"}}],
        _PUBLISHED,
    ],
    "forward": [_PUBLISHED],
    "submission": [
        [_match({"payload": {"protocol": "ip", "field": "saddr"}}, "@allowed4"), {"return": None}],
        [_match({"payload": {"protocol": "ip6", "field": "saddr"}}, "@allowed6"), {"return": None}],
        [{"reject": {"type": "tcp reset"}}],
    ],
}


class Nftables(Backend):
    """See :class:`plan.Backend`."""

    name = "nftables"
    methods = METHODS

    def missing(self):
        if not self.system.which("nft"):
            return "nft is not installed"
        if not self.system.which("systemctl"):
            return "there is no systemd, so nothing would load the rules at boot"
        listing = self.system.run(["nft", "-j", "list", "tables"], check=False)
        if listing.rc != 0:
            return "nft -j list tables says: {0}".format((listing.err or listing.out).strip().split("\n")[0])
        return None

    def refusal(self, restriction):
        missing = self.missing()
        if missing:
            return missing
        # nft hands this to the kernel too, which takes it all in and then does not do it. The sources are left out:
        # they need nothing of the kernel that an empty set of their kind does not need.
        text = ruleset(restriction._replace(networks4=(), networks6=()))
        tried = self.system.run(["nft", "-c", "-f", "-"], stdin=text, check=False)
        if tried.rc != 0:
            return "nft -c refuses the table: {0}".format((tried.err or tried.out).strip().split("\n")[0])
        return None

    def traces(self):
        files = (RULES_FILE, DIRECTORY + UNIT, drop_in_of(SERVICE))
        if any(self.system.exists(path) for path in files):
            return True
        if any(RULES_FILE in (self.system.read(path) or "") for path in KNOWN_CONFIGS):
            return True
        return self.system.run(["nft", "list", "table", "inet", TABLE], check=False).rc == 0

    def changes(self, restriction, former):
        if restriction is None:
            # First what refers to the file, then the table, the file last: a boot in between finds what it loads.
            return (
                unit_changes(self.system, None, UNIT, SANDBOX_OF_NFT)
                + self._config_changes(None)
                + self._drop_in_changes(None)
                + self._kernel_changes(None)
                + file_change(self.system, RULES_FILE, None)
            )
        nft = self.system.which("nft")
        config, by_unit = self._at_boot()
        return (
            private_file_change(self.system, RULES_FILE, ruleset(restriction))
            + self._kernel_changes(restriction)
            + self._config_changes(config)
            + self._drop_in_changes(nft if config else None)
            + unit_changes(
                self.system, ["{0} -f {1}".format(nft, RULES_FILE)] if by_unit else None, UNIT, SANDBOX_OF_NFT
            )
        )

    def findings(self, restriction):
        services = self._services()
        stop = services.get(SERVICE, {}).get("ExecStop", "")
        if services.get(SERVICE, {}).get("ActiveState") == "active" and self._flushes(services) is None and stop:
            return [
                "{0} stops with a command that is not known here ({1}): if it empties the ruleset, submission is open "
                "until the rules are loaded again.".format(SERVICE, _argv(stop))
            ]
        return []

    def evidence(self):
        listing = self.system.run(["nft", "-s", "list", "table", "inet", TABLE], check=False).out
        lines = _one_element_a_line(listing, SHOWN_ELEMENTS).replace("\t", "  ").splitlines()
        config, by_unit = self._at_boot()
        if config:
            lines.append("{0} loads {1}, which ends with: {2}".format(SERVICE, config, INCLUDE))
        if by_unit:
            lines.append("{0} loads {1} before the network comes up".format(UNIT, RULES_FILE))
        return [line for line in lines if line.strip()]

    # --- the kernel ---------------------------------------------------------------------------------------

    def _kernel_changes(self, restriction):
        listing = self._list()
        wanted = None if restriction is None else wanted_table(restriction)
        if (None if listing is None else read_table(listing)) == wanted:
            return []
        before = ""
        if listing is not None:
            before = self.system.run(["nft", "-s", "list", "table", "inet", TABLE]).out
        after = "" if restriction is None else ruleset(restriction)
        deletion = DELETE.format(table=TABLE)
        return [
            Change(
                "kernel, nftables, table inet " + TABLE,
                _one_element_a_line(before),
                after[after.find("table inet {0} {{".format(TABLE)) :] if after else "",
                (Run(("nft", "-f", "-"), after or deletion),),
                (Run(("nft", "-f", "-"), deletion + before),),
            )
        ]

    def _list(self):
        """The table as nft's JSON, or None when there is none."""
        command = ["nft", "-j", "list", "table", "inet", TABLE]
        listing = self.system.run(command, check=False)
        if listing.rc == 0:
            return json.loads(listing.out)
        if "No such file or directory" in listing.err:
            return None
        raise CommandError(command, listing.rc, listing.err)

    # --- the boot -----------------------------------------------------------------------------------------

    def _at_boot(self):
        """How the table comes back after a boot and after a flush by nftables.service.

        :returns: (str path of the host's nftables configuration that must include our file, or None;
            bool whether a unit of ours loads it)
        """
        if self.persistence not in METHODS:
            raise UserError(
                "persistence is '{0}': with nftables choose one of {1}.".format(self.persistence, ", ".join(METHODS))
            )
        services = self._services()
        service = services.get(SERVICE, {})
        enabled = service.get("UnitFileState") == "enabled"
        found = re.search(r"-f (/[^ ;]+)", _argv(service.get("ExecStart", "")))
        config = found.group(1) if found and self.system.exists(found.group(1)) else None
        if self.persistence == "unit":
            return None, True
        if self.persistence == "nftables" and not (enabled and config):
            raise UserError(
                "persistence is 'nftables', but {0} is not enabled on this host, or loads no file: enable it, or "
                "leave persistence at 'auto'.".format(SERVICE)
            )
        if not (enabled or service.get("ActiveState") == "active"):
            config = None
        # firewalld and nftables.service stop each other, so which of both a boot ends with is not sure.
        rival = services.get("firewalld.service", {}).get("UnitFileState") == "enabled"
        return config, not (config and enabled) or (rival and self.persistence == "auto")

    def _services(self):
        """Properties of the units that load or empty nftables: dict of str unit -> dict of str -> str."""
        command = ["systemctl", "show", "-p", "Id,UnitFileState,ActiveState,ExecStart,ExecStop"]
        answer = self.system.run(command + [SERVICE, "firewalld.service"], check=False).out
        units = {}
        for block in answer.split("\n\n"):
            properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            units[properties.get("Id", "")] = properties
        return units

    @staticmethod
    def _flushes(services):
        """Whether stopping nftables.service empties the ruleset; None: not known."""
        stop = services.get(SERVICE, {}).get("ExecStop", "")
        if not stop:
            return False
        return True if "flush ruleset" in _argv(stop) else None

    def _config_changes(self, wanted):
        """Changes that put our include line into one configuration and take it out of all others."""
        changes = []
        for path in sorted(set(KNOWN_CONFIGS) | ({wanted} if wanted else set())):
            text = self.system.read(path)
            if text is None:
                continue
            changes += file_change(self.system, path, with_include(text) if path == wanted else without_include(text))
        return changes

    def _drop_in_changes(self, nft):
        """Changes that keep our table when nftables.service stops (``nft``: its path), or let it go (None)."""
        text = None
        if nft and self._flushes(self._services()):
            text = DROP_IN_TEXT.format(nft=nft, file=RULES_FILE)
        return drop_in_changes(self.system, drop_in_of(SERVICE), text)


def ruleset(restriction, table=TABLE):
    """Text for ``nft -f`` that replaces our table in one transaction, and is safe to load twice."""
    return TEXT.format(
        table=table,
        ports=", ".join(str(port) for port in restriction.ports),
        elements4=_elements(restriction.networks4),
        elements6=_elements(restriction.networks6),
    )


def _elements(networks):
    if not networks:
        return ""
    words = [str(net.network_address if net.prefixlen == net.max_prefixlen else net) for net in networks]
    return "\t\telements = {{\n\t\t\t{0}\n\t\t}}\n".format(",\n\t\t\t".join(words))


def wanted_table(restriction):
    """The restriction in the shape that :func:`read_table` gives."""
    return {
        "flags": [],
        "sets": {
            "ports": ("inet_service", [], fold((port, port) for port in restriction.ports)),
            "allowed4": ("ipv4_addr", ["interval"], fold(range_of(net) for net in restriction.networks4)),
            "allowed6": ("ipv6_addr", ["interval"], fold(range_of(net) for net in restriction.networks6)),
        },
        "chains": WANTED_CHAINS,
        "rules": WANTED_RULES,
        "others": [],
    }


def read_table(listing):
    """A table as data that is the same for every version of nft and every way to write the same sources.

    :param dict listing: what ``nft -j list table`` says
    :returns: dict of ``flags`` (list), ``sets`` {name: (type, flags, [(first, last), ...] or other elements)},
        ``chains`` {name: properties}, ``rules`` {chain: [[expression, ...], ...]}, ``others`` (what else there is)
    """
    table = {"flags": [], "sets": {}, "chains": {}, "rules": {}, "others": []}
    for item in listing["nftables"]:
        kind, body = next(iter(item.items()))
        if kind == "table":
            table["flags"] = _listed(body.get("flags"))
        elif kind == "set":
            extra = [key for key in ("map", "timeout", "gc-interval", "size") if key in body]
            table["sets"][body["name"]] = (
                body.get("type"),
                _listed(body.get("flags")) + extra,
                _read_elements(body.get("elem")),
            )
        elif kind == "chain":
            kept = ("type", "hook", "prio", "policy", "dev")
            table["chains"][body["name"]] = {key: body[key] for key in kept if key in body}
        elif kind == "rule":
            table["rules"].setdefault(body["chain"], []).append(_read_rule(body["expr"]))
        elif kind != "metainfo":
            table["others"].append(item)
    return table


def _listed(value):
    """A list; nft writes a list of one as a bare value since 1.1.1."""
    if value is None:
        return []
    return sorted(value) if isinstance(value, list) else [value]


def _read_elements(elements):
    """Folded ranges of a set's elements; as they are when one is not a plain address, port, prefix or range."""
    try:
        return fold([_read_element(element) for element in elements or []])
    except (ValueError, TypeError, KeyError):
        return elements


def _read_element(element):
    """(int first, int last); raises ValueError for what is more than that (one with a timeout will go away)."""
    if isinstance(element, int):
        return element, element
    if isinstance(element, str):
        address = int(ipaddress.ip_address(element))
        return address, address
    if set(element) == {"prefix"}:
        prefix = element["prefix"]
        return range_of(ipaddress.ip_network("{0}/{1}".format(prefix["addr"], prefix["len"])))
    if set(element) == {"range"}:
        first, last = [_read_element(end)[0] for end in element["range"]]
        return first, last
    raise ValueError("not a plain element")


def range_of(network):
    return int(network.network_address), int(network.broadcast_address)


def fold(ranges):
    """Ascending ranges, those that touch or overlap joined: list of (first, last)."""
    folded = []
    for first, last in sorted(ranges):
        if folded and first <= folded[-1][1] + 1:
            folded[-1] = (folded[-1][0], max(folded[-1][1], last))
        else:
            folded.append((first, last))
    return folded


def _read_rule(expressions):
    """Expressions of a rule without what versions write in different ways or leave out."""
    kept = []
    resets = {"reject": {"type": "tcp reset"}} in expressions
    for expression in expressions:
        match = expression.get("match", {}) if isinstance(expression, dict) else {}
        if match.get("left") == {"meta": {"key": "l4proto"}} and match.get("right") in ("tcp", 6):
            if not resets:  # the reset itself says it
                kept.append(_match(match["left"], "tcp", match.get("op")))
        else:
            kept.append(expression)
    return kept


def with_include(text):
    """Text of the host's configuration with our include line, once, at its end."""
    text = without_include(text)
    if text and not text.endswith("\n"):
        return text + "\n" + INCLUDE_AFTER_OPEN_LINE + "\n"
    return text + INCLUDE + "\n"


def without_include(text):
    """Text of the host's configuration without our line; every other byte as it is."""
    if text.endswith("\n" + INCLUDE_AFTER_OPEN_LINE + "\n"):
        text = text[: -len("\n" + INCLUDE_AFTER_OPEN_LINE + "\n")]
    lines = text.split("\n")
    return "\n".join(line for line in lines if line not in (INCLUDE, INCLUDE_AFTER_OPEN_LINE))


def _one_element_a_line(listing, most=None):
    """A listing of nft with the elements of address sets one a line, as in our own text.

    :param int most: how many elements to show before the rest is only counted; None: all
    """

    def rewrite(found):
        words = [word.strip() for word in found.group(1).split(",")]
        shown = words[:most]
        if len(shown) < len(words):
            shown.append("and {0} more".format(len(words) - len(shown)))
        return "\t\telements = {{\n\t\t\t{0}\n\t\t}}".format(",\n\t\t\t".join(shown))

    return re.sub(r"\t\telements = \{([^}]*[.:][^}]*)\}", rewrite, listing)


def _argv(property_text):
    """The command line in a unit's Exec property as systemctl shows it."""
    found = re.search(r"argv\[\]=(.*?) ; ignore_errors", property_text)
    return found.group(1) if found else property_text
