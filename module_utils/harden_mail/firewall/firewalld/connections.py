"""Connections that firewalld does not end, and ports that NAT leads around it."""

import ipaddress
import re
from typing import List

from ...changes import Change, Run
from ...system import System
from ..plan import Restriction
from .ports import covers


def cut_changes(system: System, restriction: Restriction) -> List[Change]:
    """Change (none or one) that ends open connections of refused sources: firewalld lets those go on.

    It can't be done on every kernel, so it must not fail; what stays open is a finding.
    """
    peers = connected_and_refused(system, restriction)
    if not peers:
        return []
    condition = "( {0} ) and ( {1} )".format(
        " or ".join("sport = :{0}".format(port) for port in restriction.ports),
        " or ".join("dst [{0}]".format(peer) if ":" in peer else "dst " + peer for peer in peers),
    )
    steps = (Run(("sh", "-c", 'ss -K -t -n "$1" || :', "sh", condition), None),)
    return [Change("open connections to submission", "\n".join(peers), "", steps, ())]


def connected_and_refused(system: System, restriction: Restriction) -> List[str]:
    """Addresses, ascending, that are connected to our ports and may not be."""
    ports = " or ".join("sport = :{0}".format(port) for port in restriction.ports)
    connections = system.run(["ss", "-Htn", "state", "established", "( {0} )".format(ports)], check=False).out
    if not connections.strip():
        return []
    own = system.run(["ip", "-o", "addr", "show"], check=False).out
    return refused_peers(connections, own, restriction)


def refused_peers(connections, own_addresses, restriction):
    """Peers of established connections that may not be connected.

    :param str connections: of ``ss -Htn state established``
    :param str own_addresses: of ``ip -o addr show``
    :returns: list of str addresses, ascending, IPv4 first
    """
    own = {ipaddress.ip_address(word) for word in re.findall(r" inet6? ([0-9a-fA-F.:]+)", own_addresses)}
    peers = set()
    for line in connections.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        address = ipaddress.ip_address(words[3].rsplit(":", 1)[0].strip("[]").partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        allowed = restriction.networks(address.version)
        if not address.is_loopback and address not in own and not any(address in net for net in allowed):
            peers.add(address)
    return [str(peer) for peer in sorted(peers, key=lambda peer: (peer.version, peer))]


def published_ports(ruleset, ports):
    """Our ports that a rule of NAT in ``nft list ruleset`` sends elsewhere."""
    found = set()
    for line in ruleset.splitlines():
        if re.search(r"\b(dnat|redirect)\b|DNAT|REDIRECT", line):
            words = re.findall(r"dport (?:\{ )?([0-9, -]+)", line)
            for word in ",".join(words).split(","):
                found |= {port for port in ports if covers(word.strip() + "/tcp", port)}
    return sorted(found)
