"""Our table of nftables: as text for ``nft -f``, and as data that is compared with what ``nft -j list`` says.

Formats: nft(8) and libnftables-json(5); recorded with nft 1.0.6 and 1.1.3.
"""

import ipaddress

from ...addresses import joined, range_of

TABLE = "harden_mail_submission"

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
            "ports": ("inet_service", [], joined((port, port) for port in restriction.ports)),
            "allowed4": ("ipv4_addr", ["interval"], joined(range_of(net) for net in restriction.networks4)),
            "allowed6": ("ipv6_addr", ["interval"], joined(range_of(net) for net in restriction.networks6)),
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
        return joined([_read_element(element) for element in elements or []])
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
