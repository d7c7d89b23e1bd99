"""Source addresses as people write them, turned into networks a firewall takes."""

import bisect
import ipaddress
import re
from collections import namedtuple

from ..errors import UserError
from .plan import Restriction

# iptables' multiport match takes no more.
MAX_PORTS = 15

# What the whole world connects from, and the most of it (a number of addresses) that can still be a list of who may
# submit mail.
# - IPv4: an eighth. Lists of a whole country stay below it, but for one country's, which is a third of the world.
# - IPv6: 2000::/3 is all that is routed, and little of it is in use: a whole registry (Europe's, say) gives out a /12,
#   so some /12 are everybody, and the largest country's list stays below one. Local addresses (fc00::/7) don't count.
WORLD = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("2000::/3")}
MOST_OF_IT = {4: 2**29, 6: 2**116}
IN_WORDS = {4: "a /3, an eighth of all addresses", 6: "a /12 of 2000::/3, what a whole registry gives out"}

# networks4, networks6: tuples of ipaddress networks, folded and ascending
# declared: int, how many entries were written
# folded: list of str, which entries say nothing new, each as a sentence
Sources = namedtuple("Sources", "networks4 networks6 declared folded")


def parse_sources(entries, allow_any=False):
    """Normalise a list of sources.

    An entry is an address (``203.0.113.5``, ``2001:db8::5``), a network (``203.0.113.0/24``) or a range
    (``203.0.113.5-203.0.113.9``); what follows a ``#`` is a comment; an entry that is nothing but a comment or
    blank is passed over, so that the lines of a file can be handed in as they are.

    :param list entries: of str
    :param bool allow_any: accept ``0.0.0.0/0`` and ``::/0``
    :returns: :class:`Sources`
    :raises UserError: an entry that can't be meant, with what would be right
    """
    by_family = {4: [], 6: []}
    declared = 0
    for entry in entries:
        for network, text in _parse_entry(entry):
            by_family[network.version].append((network, text))
        declared += bool(_without_comment(entry))
    if not declared:
        raise UserError(
            "submission_firewall_sources is an empty list: that could mean closed to everyone or open to everyone. "
            "List the addresses that may submit mail, or leave it out."
        )
    folded = []
    networks = {}
    for family, pairs in by_family.items():
        networks[family] = tuple(ipaddress.collapse_addresses(network for network, _text in pairs))
        folded += _folded(networks[family], pairs)
        if not allow_any:
            _refuse_half_the_world(family, networks[family])
    return Sources(networks[4], networks[6], declared, folded)


def parse_ports(ports):
    """Check TCP ports to restrict.

    :param list ports: of int, or of str with digits
    :returns: tuple of int, ascending, without duplicates
    :raises UserError: none, too many, out of range, or 25
    """
    if not ports:
        raise UserError(
            "submission_firewall_ports is an empty list: name the submission ports to restrict, such as [587, 465]."
        )
    numbers = set()
    for port in ports:
        # YAML's yes is True, which is 1; a fraction would be cut off to another port.
        is_number = isinstance(port, int) and not isinstance(port, bool)
        is_digits = isinstance(port, str) and re.match(r"^[0-9]{1,5}\Z", port)
        if not (is_number or is_digits) or not 1 <= int(port) <= 65535:
            raise UserError(
                "submission_firewall_ports contains {0}: a TCP port is a whole number from 1 to 65535.".format(
                    port if is_number or isinstance(port, float) else repr(port)
                )
            )
        if int(port) == 25:
            raise UserError(
                "submission_firewall_ports contains 25: other mail servers deliver to it, so restricting it would lose "
                "inbound mail. Restrict the submission ports (587, 465); AUTH on 25 is a matter of "
                "submission_firewall_no_auth_on_25."
            )
        numbers.add(int(port))
    unique = tuple(sorted(numbers))
    if len(unique) > MAX_PORTS:
        raise UserError(
            "submission_firewall_ports names {0} ports: no more than {1} fit one rule.".format(len(unique), MAX_PORTS)
        )
    return unique


def restriction(entries, ports, allow_any=False):
    """Both of the above at once: (:class:`Restriction`, :class:`Sources`)."""
    sources = parse_sources(entries, allow_any)
    return Restriction(parse_ports(ports), sources.networks4, sources.networks6), sources


def contains(wanted, address):
    """Whether a restriction lets an address (str) in; loopback always is let in."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6 and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return True
    return _container(wanted.networks(parsed.version), parsed) is not None


def _container(networks, address):
    """The one of some folded, ascending networks that an address lies in, or None."""
    index = bisect.bisect_right(networks, type(networks[0])((address, address.max_prefixlen))) if networks else 0
    if index and address in networks[index - 1]:
        return networks[index - 1]
    return None


def _refuse_half_the_world(family, networks):
    """Networks that are, together, so much of all addresses that they restrict next to nothing.

    :param tuple networks: of ipaddress networks of one family, folded
    :raises UserError: they are
    """
    world, covered, widest = WORLD[family], 0, None
    for network in networks:
        # One of two networks that overlap lies in the other.
        common = network if network.prefixlen > world.prefixlen else world
        if network.overlaps(world):
            covered += common.num_addresses
            widest = widest or network
            widest = min(widest, network, key=lambda one: one.prefixlen)
    if covered == world.num_addresses:
        raise UserError(
            "submission_firewall_sources covers every IPv{0} address ({1}), which restricts nothing: narrow it, or say "
            "submission_firewall_allow_any: true if the whole world may open submission.".format(family, widest)
        )
    if covered >= MOST_OF_IT[family]:
        raise UserError(
            "submission_firewall_sources covers, all in all, {0:.3g} % of {1} (the widest is {2}), and what reaches "
            "{3} is no restriction any more: narrow it, or say submission_firewall_allow_any: true if so much "
            "of the world may open submission.".format(
                100.0 * covered / world.num_addresses, world, widest, IN_WORDS[family]
            )
        )


def _folded(networks, pairs):
    """Sentences on entries that duplicate another or lie inside one."""
    sentences = []
    seen = set()
    for network, text in pairs:
        if network in seen:
            sentences.append("{0} is listed twice".format(text))
            continue
        seen.add(network)
        wider = _container(networks, network.network_address)
        if wider != network:
            sentences.append("{0} is covered by {1}".format(text, wider))
    return sentences


def _without_comment(entry):
    return entry.split("#", 1)[0].strip() if isinstance(entry, str) else entry


def _parse_entry(entry):
    """An entry as a list of (network, text as written); empty for a comment."""
    if not isinstance(entry, str):
        raise UserError(
            "submission_firewall_sources contains {0!r}, which is not text: write each source as an address, a network "
            "in CIDR form or a range, in quotes.".format(entry)
        )
    text = _without_comment(entry)
    where = " (noted: {0})".format(entry.split("#", 1)[1].strip()) if "#" in entry else ""
    if not text:
        return []
    if re.search(r"[\s,;]", re.sub(r"\s*-\s*", "-", text)):
        raise UserError(
            "submission_firewall_sources contains '{0}'{1}: write one source in each item of the list.".format(
                text, where
            )
        )
    if "-" in text and not re.search(r"[g-zG-Z]", text):
        networks = _parse_range(text, where)
    else:
        networks = [_parse_network(text, where)]
    for network in networks:
        _refuse_senseless(network, text, where)
    return [(network, text) for network in networks]


def _parse_range(text, where):
    first_text, last_text = (part.strip() for part in text.split("-", 1))
    first, last = _parse_address(first_text, text, where), _parse_address(last_text, text, where)
    if first.version != last.version:
        raise UserError(
            "submission_firewall_sources contains the range '{0}'{1}, which mixes IPv4 and IPv6: write one range for "
            "each.".format(text, where)
        )
    if first > last:
        raise UserError(
            "submission_firewall_sources contains the range '{0}'{1}, which runs backwards: write {2}-{3}.".format(
                text, where, last, first
            )
        )
    return list(ipaddress.summarize_address_range(first, last))


def _parse_network(text, where):
    if "/" not in text:
        return ipaddress.ip_network(_parse_address(text, text, where))
    address_text, mask = text.split("/", 1)
    address = _parse_address(address_text, text, where)
    prefix = _prefix_length(mask, address.version)
    if prefix is None:
        raise UserError(
            "submission_firewall_sources contains '{0}'{1}: '{2}' is not a prefix length; IPv{3} takes /0 to "
            "/{4}.".format(text, where, mask, address.version, address.max_prefixlen)
        )
    network = ipaddress.ip_network("{0}/{1}".format(address, prefix), strict=False)
    if network.network_address != address:
        raise UserError(
            "submission_firewall_sources contains '{0}'{1}, whose address lies inside the network: write {2} for "
            "the network, or {3} for the one address.".format(text, where, network, address)
        )
    return network


def _prefix_length(mask, version):
    if re.match(r"^\d{1,3}\Z", mask):
        prefix = int(mask)
        return prefix if prefix <= (32 if version == 4 else 128) else None
    if version == 4 and re.match(r"^\d+\.\d+\.\d+\.\d+\Z", mask):
        try:
            bits = int(ipaddress.IPv4Address(mask))
        except ValueError:
            return None
        prefix = bin(bits).count("1")
        # Only a netmask's ones are all on the left; a Cisco wildcard (0.0.0.255) is not guessed at.
        return prefix if bits == (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF else None
    return None


def _parse_address(address_text, text, where):
    said = "submission_firewall_sources contains '{0}'{1}".format(text, where)
    if re.search(r"(^|\.)0[0-9]", address_text):
        raise UserError(
            "{0}: a part of the address begins with 0, which some programs read as octal; leave the zero out.".format(
                said
            )
        )
    try:
        address = ipaddress.ip_address(address_text)
    except ValueError:
        if re.search(r"[g-zG-Z]", address_text) and ":" not in address_text:
            raise UserError(
                "{0}, which is a host name: a firewall holds addresses. Write the address, or say "
                "submission_firewall_resolve_names: true to have names looked up on the controller.".format(said)
            ) from None
        raise UserError(
            "{0}, which is no IP address: write one like 203.0.113.5, 203.0.113.0/24, 203.0.113.5-203.0.113.9 or "
            "2001:db8::/48.".format(said)
        ) from None
    if "%" in address_text:
        raise UserError("{0}: leave out the zone after the %.".format(said))
    if address.version == 6 and address.ipv4_mapped:
        raise UserError("{0}, an IPv4 address in IPv6 form: write {1}.".format(said, address.ipv4_mapped))
    return address


def _refuse_senseless(network, text, where):
    """No connection comes from these: most likely a slip that leaves the person meant outside."""
    if network.prefixlen == 0:
        return
    if network.is_multicast:
        raise UserError(
            "submission_firewall_sources contains '{0}'{1}: multicast addresses send no mail.".format(text, where)
        )
    if network.is_unspecified or network == ipaddress.ip_network("255.255.255.255/32"):
        raise UserError(
            "submission_firewall_sources contains '{0}'{1}, which is no host's address: name the host, or "
            "0.0.0.0/0 with submission_firewall_allow_any: true for everyone.".format(text, where)
        )
