"""Addresses as the kernel writes them in /proc/net/tcp and tcp6."""

import ipaddress
import struct


def address_of(digits):
    """An address (str) of words of 32 bits in the machine's own byte order, as hexadecimal digits."""
    packed = b"".join(struct.pack("=I", int(digits[start : start + 8], 16)) for start in range(0, len(digits), 8))
    return str(ipaddress.ip_address(packed))
