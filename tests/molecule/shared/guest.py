"""A guest on a test host, 192.0.2.2, that answers on the submission ports: a container or virtual machine with mail."""

import contextlib
import subprocess

ADDRESS = "192.0.2.2"

MAKE = """
ip netns add guest
ip link add to-guest type veth peer name eth0 netns guest
ip address add 192.0.2.1/24 dev to-guest
ip link set to-guest up
ip -n guest address add {0}/24 dev eth0
ip -n guest link set eth0 up
ip -n guest route add default via 192.0.2.1
cat >/run/guest.py
setsid ip netns exec guest python3 /run/guest.py >/dev/null 2>&1 </dev/null &
""".format(ADDRESS)

SERVER = b"""
import select, socket
listeners = []
for port in (587, 465):
    listeners.append(socket.socket())
    listeners[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listeners[-1].bind(("", port))
    listeners[-1].listen(64)
while True:
    for ready in select.select(listeners, [], [])[0]:
        connection = ready.accept()[0]
        connection.sendall(b"220 guest ESMTP\\r\\n")
        connection.close()
"""

REMOVE = """
ip netns pids guest | xargs --no-run-if-empty kill
ip netns delete guest
ip link delete to-guest 2>/dev/null
rm -f /run/guest.py
"""


@contextlib.contextmanager
def guest(lab, host):
    """Have a guest on the host, to which it forwards, for the time of a ``with`` block."""
    host.run(MAKE, stdin=SERVER)
    try:
        _forward(lab, host, 1)
        yield
    finally:
        _forward(lab, host, 0)
        host.run(REMOVE, check=False)


def _forward(lab, host, value):
    # A container can't write its kernel settings.
    command = "echo {0} >/proc/sys/net/ipv4/ip_forward".format(value)
    subprocess.run(["nsenter", "--net=" + lab.namespace(host.name), "sh", "-c", command], check=True)
