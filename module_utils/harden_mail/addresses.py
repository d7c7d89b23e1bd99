"""IP addresses and networks, as people write them and as the kernel does."""

import functools
import ipaddress
import re
import struct
from typing import Iterable, List, Optional, Tuple, Union

from .errors import UserError

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# What needs no folding, which is most of a log: ipaddress takes ten times as long.
_USUAL_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!\Z)|\Z)){4}\Z", re.ASCII)


def network_in(option: str, text: str, everybody: str, bare: Optional[str] = None) -> Network:
    """A network, or a single address, that an option names.

    :param option: name of the option, for the sentence
    :param text: as people wrote it
    :param everybody: what to do where it holds every address
    :param bare: the part of the text that is the network; None: all of it
    :raises UserError: it is neither, or everybody
    """
    try:
        network = ipaddress.ip_network(text.strip() if bare is None else bare)
    except ValueError:
        raise UserError(
            "{0} contains '{1}': give an address (203.0.113.5) or a network (203.0.113.0/24).".format(option, text)
        ) from None
    if network.prefixlen == 0:
        raise UserError("{0} contains '{1}', which is everybody: {2}.".format(option, text, everybody))
    return network


def is_within(network: Network, other: Network) -> bool:
    """Whether a network is another one of the same version, or a part of it."""
    first, last = range_of(network)
    least, most = range_of(other)
    return network.version == other.version and least <= first and last <= most


def is_loopback(text: str) -> bool:
    """Whether an address, a network or "localhost" is of this host only; False for what is none of these."""
    if text == "localhost":
        return True
    try:
        return ipaddress.ip_network(text, strict=False).is_loopback
    except ValueError:
        return False


def network_of(address: str) -> str:
    """The network that an address is taken to share with others of its owner: /24 or, of IPv6, /64."""
    return str(ipaddress.ip_network((address, 64 if ":" in address else 24), strict=False))


def range_of(network: Network) -> Tuple[int, int]:
    """First and last address of a network."""
    return int(network.network_address), int(network.broadcast_address)


def joined(ranges: Iterable[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """Ascending ranges (first, last), those that touch or overlap joined."""
    found = []  # type: List[Tuple[int, int]]
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def of_kernel(digits: str) -> str:
    """An address of /proc/net/tcp and tcp6: words of 32 bits in the machine's own byte order, as hexadecimal digits."""
    packed = b"".join(struct.pack("=I", int(digits[start : start + 8], 16)) for start in range(0, len(digits), 8))
    return str(ipaddress.ip_address(packed))


@functools.lru_cache(maxsize=65536)
def fold_address(text: str) -> Optional[str]:
    """An address in the usual form, IPv4 never as IPv6 (``::ffff:192.0.2.1``); None when it is no address."""
    if _USUAL_ADDRESS.match(text):
        return text
    try:
        address = ipaddress.ip_address(text.split("%", maxsplit=1)[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)
