"""What clients of a mail server do, from any network namespace: connect, log in, hold a connection, probe.

Sockets are made in the client's namespace by a thread that enters it; a socket belongs to the namespace it
was made in, so the rest of the program stays where it is.
"""

import contextlib
import ctypes
import errno
import os
import select
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import namedtuple

CLONE_NEWNET = 0x40000000

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

# outcome: "open" (a TCP connection came about), "refused" (an answer said no), "timeout" (no answer)
# banner:  str, the first line the server said; "" when it said nothing in time or nothing was open
Result = namedtuple("Result", "outcome banner")

# The outcome of probing one port for a while: how many tries, how many connections, the last try's outcome.
Probe = namedtuple("Probe", "tried opened last")


class NoTls(ssl.SSLContext):
    """Test hosts have self-made certificates: encryption is what is tested, not identity."""

    def __new__(cls):
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


class Client:
    """A machine on the lab's network, with nothing but an address.

    :ivar str name: "allowed", "refused" or "controller"
    """

    def __init__(self, name, namespace, addresses, directory):
        """
        :param str namespace: path of its network namespace
        :param dict addresses: {4: str, 6: str}
        :param str directory: where held connections leave their sockets
        """
        self.name, self.namespace, self._addresses, self._directory = name, namespace, addresses, directory

    def address(self, family=4):
        return self._addresses[family]

    def run(self, command, **options):
        """Run a shell command in the client's network namespace; returns subprocess.CompletedProcess (text)."""
        return subprocess.run(
            ["nsenter", "--net=" + self.namespace, "sh", "-c", command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            **options,
        )

    def socket(self, family=4):
        """A TCP socket in the client's namespace."""
        return self._inside(lambda: socket.socket(FAMILIES[family], socket.SOCK_STREAM))

    def connect(self, address, port, timeout=3.0, tls=False):
        """Try one connection, and read the banner (after the TLS handshake where ``tls``).

        :param str address: IPv4 or IPv6 address; the family follows from it
        :returns: :class:`Result`; a failed handshake is an open connection without a banner
        """
        with contextlib.closing(self.socket(family_of(address))) as connection:
            connection.settimeout(timeout)
            try:
                connection.connect((address, port))
            except OSError as error:
                return Result(_outcome(error), "")
            try:
                talking = NoTls().wrap_socket(connection) if tls else connection
                return Result("open", talking.recv(512).decode("utf-8", "replace").split("\r\n")[0])
            except OSError:
                return Result("open", "")

    def smtp(self, address, port, tls=False, timeout=10.0):
        """An smtplib.SMTP connected from this client (by implicit TLS where ``tls``)."""
        client = self

        class Session(smtplib.SMTP):
            def _get_socket(self, host, port_, timeout_):
                connection = client.socket(family_of(host))
                connection.settimeout(timeout_)
                connection.connect((host, port_))
                return NoTls().wrap_socket(connection) if tls else connection

        return Session(address, port, local_hostname="client.example.com", timeout=timeout)

    def log_in(self, address, user, password, port=587):
        """AUTH as a mail program does it (TLS first); returns the server's code: 235 in, 535 not.

        :raises OSError: no connection
        """
        with self.smtp(address, port, tls=port == 465) as session:
            if port != 465:
                session.starttls(context=NoTls())
            try:
                return session.login(user, password)[0]
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code

    def hold(self, address, port):
        """Open a connection and keep it open in a process of its own, until the lab ends.

        :raises AssertionError: the connection could not be opened
        """
        place = self._holder(address, port)
        holder = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "hold", self.namespace, address, str(port), place],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        banner = holder.stdout.readline().decode("utf-8", "replace").strip()
        assert banner.startswith("220"), "{0} got {1!r} from {2} port {3}".format(self.name, banner, address, port)

    def is_held(self, address, port):
        """Does a connection opened by :meth:`hold` still work? (It asks the server for a NOOP.)"""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(self._holder(address, port))
            return asking.recv(16) == b"alive"

    @contextlib.contextmanager
    def probing(self, targets, every=0.005):
        """Try ports again and again while a ``with`` block runs.

        :param list targets: of (address, port)
        :param float every: seconds between two tries of the same target
        :returns: dict that is filled at the end of the block: {(address, port): :class:`Probe`}
        """
        results, stop = {}, threading.Event()
        thread = threading.Thread(
            target=_in_namespace, args=(self.namespace, lambda: results.update(_probe(targets, every, stop)))
        )
        thread.start()
        try:
            yield results
        finally:
            stop.set()
            thread.join()

    def _holder(self, address, port):
        return "{0}/{1}-{2}-{3}.held".format(self._directory, self.name, address, port)

    def _inside(self, make):
        box = []
        thread = threading.Thread(target=_in_namespace, args=(self.namespace, lambda: box.append(make())))
        thread.start()
        thread.join()
        return box[0]


def family_of(address):
    return 6 if ":" in address else 4


def _outcome(error):
    # A host that is down answers by nothing at all, or the client's own neighbour table says so after a while.
    silent = isinstance(error, socket.timeout) or error.errno in (errno.EHOSTUNREACH, errno.ETIMEDOUT)
    return "timeout" if silent else "refused"


def _in_namespace(path, work):
    """Call ``work()`` in a network namespace; for a thread of its own, which stays in there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "can't enter the network namespace", path)
    work()


def _probe(targets, every, stop):
    """Start a connection to each target every so often, many at a time, and count those that come about."""
    tried, opened, last = dict.fromkeys(targets, 0), dict.fromkeys(targets, 0), dict.fromkeys(targets, "timeout")
    flying = {}  # file descriptor: (socket, target, when to give up)
    poll = select.poll()
    next_round = time.monotonic()
    while not stop.is_set() or flying:
        now = time.monotonic()
        if now >= next_round and not stop.is_set():
            next_round = now + every
            for target in targets:
                connection = socket.socket(FAMILIES[family_of(target[0])], socket.SOCK_STREAM)
                connection.setblocking(False)
                tried[target] += 1
                code = connection.connect_ex(target)
                if code != errno.EINPROGRESS:
                    last[target] = "refused" if code == errno.ECONNREFUSED else "timeout"
                    connection.close()
                    continue
                # A SYN that gets no answer is sent again after a second: by then it's another try's turn.
                flying[connection.fileno()] = (connection, target, now + 0.9)
                poll.register(connection, select.POLLOUT)
        wait = every if stop.is_set() else max(0.0, next_round - time.monotonic())
        for number, _ in poll.poll(wait * 1000):
            connection, target, _ = flying.pop(number)
            poll.unregister(number)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            opened[target] += code == 0
            last[target] = {0: "open", errno.ECONNREFUSED: "refused"}.get(code, "timeout")
            connection.close()
        for number in [number for number, (_, _, until) in flying.items() if until < time.monotonic()]:
            connection, target, _ = flying.pop(number)
            poll.unregister(number)
            last[target] = "timeout"
            connection.close()
    return {target: Probe(tried[target], opened[target], last[target]) for target in targets}


def _hold(namespace, address, port, place):
    """Body of the process behind :meth:`Client.hold`: open, print the banner, answer whoever asks."""
    connection = Client("", namespace, {}, "").socket(family_of(address))
    connection.settimeout(5)
    connection.connect((address, port))
    if port == 465:
        connection = NoTls().wrap_socket(connection)
    banner = connection.recv(512).decode("utf-8", "replace").split("\r\n")[0]
    with socket.socket(socket.AF_UNIX) as asked:
        asked.bind(place)
        asked.listen(8)
        print(banner, flush=True)
        while True:
            asking, _ = asked.accept()
            try:
                connection.sendall(b"NOOP\r\n")
                alive = connection.recv(512).startswith(b"250")
            except OSError:
                alive = False
            with asking:
                asking.sendall(b"alive" if alive else b"cut")


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        _hold(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
