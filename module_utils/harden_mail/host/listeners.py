"""Who listens on 25, 465 and 587, and what is offered there."""

import ipaddress
import re
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..addresses import of_kernel
from ..postfix.instance import Instance
from ..postfix.master_cf import Service, host_of, port_of
from ..smtp import Offer
from ..system import System
from .processes import Process, holders, is_postfix_master

PORTS = (25, 465, 587)


class Socket(NamedTuple):
    """A socket that listens; family is 4 or 6."""

    port: int
    family: int
    address: str
    inode: str


LISTEN = "0A"  # the state's number in /proc/net/tcp, of the kernel's include/net/tcp_states.h


def find_listeners(
    system: System,
    processes: Sequence[Process],
    mta: Dict[str, Any],
    probe: Callable[[Sequence[Tuple[int, Sequence[str]]]], List[Offer]],
) -> Tuple[List[Dict[str, Any]], Dict[str, str]]:
    """Facts ``listeners``."""
    sockets = listening(system)
    held_by = holders(system, processes, {socket.inode for socket in sockets})
    instances = [Instance(system, instance["config_dir"]) for instance in mta["instances"]]
    services = [service for instance in instances for service in instance.services() if service.kind == "inet"]
    postfix_runs = any(is_postfix_master(process) for process in processes)
    own = own_addresses(system)
    offers = probe([(socket.port, _ways_in(socket, own)) for socket in sockets])
    listeners, evidence = [], {"": "sockets that listen on 25, 465 or 587 in /proc/net/tcp and tcp6"}
    for index, (socket, offer) in enumerate(zip(sockets, offers)):
        path = "{0}.".format(index)
        holder = held_by.get(socket.inode)
        program, service = (holder.name if holder else None), None
        if holder:
            evidence[path + "program"] = "{0} holds the socket (/proc/*/fd)".format(holder.command[0].split(" ")[0])
        if is_postfix_master(holder) if holder else postfix_runs:
            service = service_of(services, socket)
        if service:
            evidence[path + "service"] = "master.cf"
        if service and not holder:
            # Root in a container without CAP_SYS_PTRACE can't look into Postfix; nobody else could have the port.
            program = "master"
            evidence[path + "program"] = "master.cf, and Postfix runs; its sockets can't be looked at from here"
        listeners.append(
            {
                "port": socket.port,
                "family": socket.family,
                "address": socket.address,
                "program": program,
                "service": service,
                "starttls": offer.starttls,
                "auth_plain": offer.auth_plain,
                "auth_tls": offer.auth_tls,
            }
        )
        for key in ("starttls", "auth_plain", "auth_tls"):
            evidence[path + key] = offer.how
    return listeners, evidence


def listening(system: System) -> List[Socket]:
    """Listening sockets, by port, family and address."""
    found: Dict[Tuple[int, int, str], Socket] = {}
    for family, path in ((4, "/proc/net/tcp"), (6, "/proc/net/tcp6")):
        for line in (system.read(path) or "").splitlines()[1:]:
            fields = line.split()
            address, _colon, port = fields[1].partition(":")
            if fields[3] == LISTEN and int(port, 16) in PORTS:
                socket = Socket(int(port, 16), family, of_kernel(address), fields[9])
                # SO_REUSEPORT gives a program several sockets on one address.
                found.setdefault(socket[:3], socket)
    return [found[key] for key in sorted(found)]


def own_addresses(system: System) -> Dict[int, str]:
    """An address of the host itself that isn't loopback, for each family that has one.

    :returns: by 4 and 6
    """
    own: Dict[int, str] = {}
    # The local routing table as a trie: an address, then its leaf's type.
    trie = system.read("/proc/net/fib_trie") or ""
    for address in re.findall(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL", trie):
        if not ipaddress.ip_address(address).is_loopback:
            own.setdefault(4, address)
    for line in (system.read("/proc/net/if_inet6") or "").splitlines():
        digits, _index, _prefix, scope = line.split()[:4]
        if scope == "00":  # global
            own.setdefault(6, str(ipaddress.ip_address(int(digits, 16))))
    return own


def service_of(services: Iterable[Service], listener: Socket) -> Optional[str]:
    """The entry of master.cf that a socket belongs to, as it is written there; one that names the address comes first.

    :param services: of kind inet
    """
    for host in (listener.address, ""):
        for service in services:
            if host_of(service) == host and port_of(service) == listener.port:
                return service.name
    return None


def _ways_in(socket: Socket, own: Dict[int, str]) -> List[str]:
    """Addresses to try, the best first.

    Servers are often more generous, or more secretive, towards loopback than towards strangers
    (``mynetworks``, ``smtpd_sasl_exceptions_networks``); an outer address of the host shows what strangers see.
    """
    if not ipaddress.ip_address(socket.address).is_unspecified:
        return [socket.address]
    loopback = "127.0.0.1" if socket.family == 4 else "::1"
    return [own[socket.family], loopback] if socket.family in own else [loopback]
