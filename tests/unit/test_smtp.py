"""What SMTP servers offer, asked of small servers that answer as Postfix, qmail and broken ones do."""

import contextlib
import pathlib
import socket
import ssl
import threading
import time

import pytest
from harden_mail import smtp

CERTIFICATE = pathlib.Path(__file__).resolve().parents[1] / "data" / "hosts" / "smtp.pem"
DEAF = object()  # reads, and never says a word
ENDLESS = object()  # a banner that never comes to its end

# Sockets that servers of a test listen at, and when they are to end.
RUNNING, TEST_HAS_ENDED = [], threading.Event()


class Server:
    """Answers on a port of 127.0.0.1, one thread a connection.

    :param list plain: lines of the answer to EHLO without TLS
    :param list in_tls: the same in TLS
    :param greeting: bytes of the banner, DEAF or ENDLESS
    :param bool tls_first: TLS from the beginning
    :param bytes starttls: the answer to STARTTLS
    """

    def __init__(self, plain=("PIPELINING",), in_tls=(), greeting=b"220 x ESMTP", tls_first=False, starttls=b"220 go"):
        self.answers = {False: plain, True: in_tls}
        self.greeting, self.tls_first, self.starttls = greeting, tls_first, starttls
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(5)
        self.port = self.socket.getsockname()[1]
        self.heard = []
        threading.Thread(target=self.serve, daemon=True).start()
        RUNNING.append(self.socket)

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def in_tls(self, connection):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(CERTIFICATE))
        return context.wrap_socket(connection, server_side=True)

    def talk(self, connection):
        try:
            encrypted = self.tls_first
            if encrypted:
                connection = self.in_tls(connection)
            if self.greeting is DEAF:
                connection.recv(100)
                TEST_HAS_ENDED.wait(60)
                return
            while self.greeting is ENDLESS:
                connection.sendall(b"220-wait\r\n")
                if TEST_HAS_ENDED.wait(0.1):
                    return
            connection.sendall(self.greeting + b"\r\n")
            while True:
                said = connection.recv(1000).strip()
                if not said:
                    return
                self.heard.append(said)
                if said.upper() == b"STARTTLS":
                    connection.sendall(self.starttls + b"\r\n")
                    if self.starttls.startswith(b"220"):
                        connection, encrypted = self.in_tls(connection), True
                elif said.upper().startswith(b"EHLO"):
                    lines = ["mail.example.com"] + list(self.answers[encrypted])
                    text = ["250-" + line for line in lines[:-1]] + ["250 " + lines[-1]]
                    connection.sendall("".join(line + "\r\n" for line in text).encode("ascii"))
                else:
                    connection.sendall(b"221 bye\r\n")
        except OSError:
            pass
        finally:
            connection.close()


@pytest.fixture(autouse=True)
def servers_end():
    TEST_HAS_ENDED.clear()
    yield
    TEST_HAS_ENDED.set()
    while RUNNING:
        # Who waits for a connection is not woken by a close.
        RUNNING[-1].shutdown(socket.SHUT_RDWR)
        RUNNING.pop().close()


def offer_of(server, monkeypatch, port=None, addresses=("127.0.0.1",)):
    """What is found when the server answers on the wanted port."""
    real = socket.create_connection
    monkeypatch.setattr(
        smtp.socket, "create_connection", lambda target, timeout: real((target[0], server.port), timeout)
    )
    return smtp.probe([(port or 25, list(addresses))])[0]


# options of Server, port, (starttls, auth_plain, auth_tls)
CASES = {
    "nothing": ({}, 25, (False, [], [])),
    "AUTH in the clear": ({"plain": ["AUTH LOGIN CRAM-MD5 PLAIN"]}, 25, (False, ["LOGIN", "CRAM-MD5", "PLAIN"], [])),
    "both forms of AUTH": ({"plain": ["AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN"]}, 25, (False, ["PLAIN", "LOGIN"], [])),
    "AUTH after STARTTLS only": ({"plain": ["STARTTLS"], "in_tls": ["AUTH PLAIN"]}, 587, (True, [], ["PLAIN"])),
    "AUTH before and after": (
        {"plain": ["STARTTLS", "AUTH LOGIN"], "in_tls": ["AUTH PLAIN LOGIN"]},
        25, (True, ["LOGIN"], ["PLAIN", "LOGIN"]),
    ),
    "STARTTLS refused": ({"plain": ["STARTTLS"], "starttls": b"454 TLS not available"}, 25, (True, [], None)),
    "TLS first": ({"tls_first": True, "in_tls": ["AUTH PLAIN"]}, 465, (False, [], ["PLAIN"])),
    "465 without TLS": ({"plain": ["AUTH PLAIN"]}, 465, (False, ["PLAIN"], [])),
    "refused by banner": ({"greeting": b"554 no"}, 25, (None, None, None)),
    "no SMTP at all": ({"greeting": b"hello"}, 25, (None, None, None)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_offer(name, monkeypatch):
    options, port, wanted = CASES[name]
    offer = offer_of(Server(**options), monkeypatch, port)
    assert (offer.starttls, offer.auth_plain, offer.auth_tls) == wanted, offer
    assert "port {0} of 127.0.0.1".format(port) in offer.how


def test_session_ends_politely_and_names_no_host(monkeypatch):
    server = Server()
    offer_of(server, monkeypatch)
    assert server.heard[0].lower() == b"ehlo [127.0.0.1]"
    assert server.heard[-1].lower() == b"quit"


def test_evidence_tells_what_failed(monkeypatch):
    offer = offer_of(Server(plain=["STARTTLS"], starttls=b"454 TLS not available"), monkeypatch)
    assert "454 TLS not available" in offer.how


def test_next_address_is_tried(monkeypatch):
    server = Server(plain=["AUTH PLAIN"])
    real = socket.create_connection

    def connect(target, timeout):
        if target[0] == "203.0.113.20":
            raise socket.timeout("timed out")
        return real((target[0], server.port), timeout)

    monkeypatch.setattr(smtp.socket, "create_connection", connect)
    (offer,) = smtp.probe([(25, ["203.0.113.20", "127.0.0.1"])])
    assert offer.auth_plain == ["PLAIN"] and "127.0.0.1" in offer.how


def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        (offer,) = smtp.probe([(taken.getsockname()[1], ["127.0.0.1"])])
    assert offer[:3] == (None, None, None)
    assert "refused" in offer.how


@pytest.mark.parametrize("greeting", (DEAF, ENDLESS), ids=("deaf", "endless"))
def test_silent_servers_cost_their_patience_once(greeting, monkeypatch):
    monkeypatch.setattr(smtp, "PROBE_TIMEOUT", 0.6)
    silent = [Server(greeting=greeting) for _number in range(5)]
    start = time.monotonic()
    talking = Server(plain=["AUTH PLAIN"])
    offers = smtp.probe([(server.port, ["127.0.0.1"]) for server in silent + [talking]])
    assert time.monotonic() - start < 1.2
    assert [offer.starttls for offer in offers] == [None] * 5 + [False]
    assert offers[5].auth_plain == ["PLAIN"], "those that answer are not lost by those that don't"
