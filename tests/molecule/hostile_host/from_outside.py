"""Runs in a client's network namespace: tries a host's ports in ways that a rule may not have thought of.

Usage: from_outside.py IPV4 IPV6 HARDWARE-ADDRESS OWN-IPV6 OWN-HARDWARE-ADDRESS
Prints JSON: {way: {port: "SYN-ACK", "RST" or "nothing"; or "open", "refused"}}
"""

import json
import select
import socket
import struct
import sys
import time

# 25 is open to everybody: what gets an answer there has reached the host.
PORTS = (25, 587)
INTERFACE = "eth0"
TCP, ROUTING, FRAGMENT, DESTINATION = 6, 43, 44, 60
FIRST_PORT = 40000
# So many that a header can be cut in two.
OPTIONS = b"\x02\x04\x05\xa0" + b"\x01" * 16


def main(ipv4, ipv6, hardware, own_ipv6, own_hardware):
    found = by_hand(ipv6, hardware, own_ipv6, own_hardware)
    mac = bytes.fromhex(hardware.replace(":", ""))
    local = link_local(mac)
    ways = {
        "link-local": (socket.AF_INET6, (local, 0, socket.if_nametoindex(INTERFACE))),
        "mapped": (socket.AF_INET6, ("::ffff:" + ipv4, 0, 0)),
    }
    for name, (family, (address, flow, scope)) in ways.items():
        for port in PORTS:
            found.setdefault(name, {})[port] = connect(family, (address, port, flow, scope))
    print(json.dumps(found))


def link_local(mac):
    """The address that a host makes of its hardware's."""
    whole = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + b"\0" * 6 + whole)


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(address)
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return str(error)
        return "open"


def by_hand(ipv6, hardware, own_ipv6, own_hardware):
    """Packets that no socket would send; all at once, then the answers."""
    source, target = (socket.inet_pton(socket.AF_INET6, address) for address in (own_ipv6, ipv6))
    ethernet = bytes.fromhex((hardware + own_hardware).replace(":", "")) + b"\x86\xdd"
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
    wire.bind((INTERFACE, 0))
    found, asked = {}, {}
    for port in PORTS:
        for name, packets in WAYS.items():
            number = FIRST_PORT + len(asked)
            asked[number] = (name, port)
            found.setdefault(name, {})[port] = "nothing"
            for following, payload in packets(syn(source, target, number, port), number):
                wire.send(
                    ethernet + struct.pack(">IHBB", 6 << 28, len(payload), following, 64) + source + target + payload
                )
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        if not select.select([wire], [], [], 0.1)[0]:
            continue
        packet = wire.recv(4096)
        if packet[22:38] == target and packet[20] == TCP:
            number, flags = struct.unpack(">H", packet[56:58])[0], packet[67]
            if number in asked:
                name, port = asked[number]
                found[name][port] = {0x12: "SYN-ACK", 0x14: "RST"}.get(flags, hex(flags))
    return found


def syn(source, target, number, port):
    header = struct.pack(">HHIIBBHHH", number, port, 1000, 0, (20 + len(OPTIONS)) // 4 << 4, 2, 64240, 0, 0) + OPTIONS
    total = source + target + struct.pack(">I3xB", len(header), TCP) + header
    summed = sum(struct.unpack(">{0}H".format(len(total) // 2), total))
    while summed >> 16:
        summed = (summed & 0xFFFF) + (summed >> 16)
    return header[:16] + struct.pack(">H", ~summed & 0xFFFF) + header[18:]


def fragment(following, offset, more, number, payload):
    return FRAGMENT, struct.pack(">BBHI", following, 0, offset << 3 | more, number) + payload


def options(following, eights):
    return struct.pack(">BB", following, eights - 1) + bytes([1, eights * 8 - 4]) + b"\0" * (eights * 8 - 4)


WAYS = {
    "plain": lambda packet, number: [(TCP, packet)],
    "atomic fragment": lambda packet, number: [fragment(TCP, 0, 0, number, packet)],
    "destination options": lambda packet, number: [(DESTINATION, options(TCP, 4) + packet)],
    "hop-by-hop and destination options": lambda packet, number: [
        (0, options(DESTINATION, 1) + options(TCP, 8) + packet)
    ],
    "options in the second fragment": lambda packet, number: [
        fragment(TCP, 0, 1, number, packet[:24]),
        fragment(TCP, 3, 0, number, packet[24:]),
    ],
    "eight bytes in the first fragment": lambda packet, number: [
        fragment(TCP, 0, 1, number, packet[:8]),
        fragment(TCP, 1, 0, number, packet[8:]),
    ],
    "second fragment first": lambda packet, number: [
        fragment(TCP, 1, 0, number, packet[8:]),
        fragment(TCP, 0, 1, number, packet[:8]),
    ],
    "nothing of TCP in the first fragment": lambda packet, number: [
        fragment(DESTINATION, 0, 1, number, options(TCP, 2)),
        fragment(DESTINATION, 2, 0, number, packet),
    ],
    "routing header": lambda packet, number: [(ROUTING, struct.pack(">BBBBI", TCP, 0, 4, 0, 0) + packet)],
}

if __name__ == "__main__":
    main(*sys.argv[1:])
