"""An SMTP server that counts: whoever a mail host relays to, as far as a test of its queue cares."""

import contextlib
import hashlib
import socketserver
import threading
import time
from collections import Counter, namedtuple

# sender, recipient: str, without angle brackets
# key:               str, the Message-ID without angle brackets; None without one
# digest:            as :func:`digest` gives it
# mail, rcpt:        dict of the ESMTP options of MAIL and RCPT, by name in capitals
Delivery = namedtuple("Delivery", "sender recipient key digest mail rcpt")

EXTENSIONS = ("sink.example.net", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN")
# What servers on the way add to a message.
TRACE = (b"received:", b"return-path:", b"delivered-to:", b"x-original-to:")
# Seconds that an answer to a lazy recipient takes.
LAZY = 0.15


class Sink:
    """Takes mail on an address and says to each recipient what the fate in its local part wants.

    ``FATE-...@...``: ``never`` is refused for good; ``later`` is deferred until ``open`` is set; ``slow`` is taken, but
    the answer to the message's data waits until ``open`` is set; ``lazy`` is answered after a while; ``fickle`` is
    deferred twice in three times until ``open`` is set; all others are taken.

    :ivar list deliveries: Delivery, as they were acknowledged
    :ivar threading.Event open: no recipient is deferred from now on
    :ivar int waiting: how many ``slow`` messages wait for their answer just now
    """

    def __init__(self, address, port):
        self.deliveries, self.open, self.waiting = [], threading.Event(), 0
        self._tries = 0
        self._server = _Server((address, port), _Session)
        self._server.sink = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self):
        self.open.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, recipient):
        """The code for a recipient at RCPT."""
        fate = recipient.split("-", 1)[0]
        if fate == "never":
            return 550
        if self.open.is_set():
            return 250
        self._tries += 1
        return 451 if fate == "later" or (fate == "fickle" and self._tries % 3) else 250

    def received(self):
        """Counter of (key, recipient)."""
        return Counter((delivery.key, delivery.recipient) for delivery in list(self.deliveries))

    def wait_for(self, count, what=lambda delivery: True, seconds=60):
        """Wait until that many deliveries have come.

        :raises AssertionError: they haven't
        """
        deadline = time.monotonic() + seconds
        while True:
            there = sum(1 for delivery in list(self.deliveries) if what(delivery))
            if there >= count:
                return
            assert time.monotonic() < deadline, "{0} of {1} deliveries have come".format(there, count)
            time.sleep(0.1)

    def wait_until_they_wait(self, seconds=30):
        """Wait until no more ``slow`` messages come, and return how many wait for their answer.

        :raises AssertionError: none does
        """
        deadline, before = time.monotonic() + seconds, 0
        while True:
            time.sleep(1)
            if before and self.waiting == before:
                return before
            before = self.waiting
            assert time.monotonic() < deadline, "{0} wait".format(before)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class _Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        # A host may be shut down in the middle of it.
        with contextlib.suppress(OSError):
            self._converse()

    def _converse(self):
        sink = self.server.sink
        self._say("220 sink.example.net ESMTP")
        sender, accepted = None, []
        for line in self.rfile:
            words = line.decode("ascii").split()
            verb = words[0].upper()
            if verb == "EHLO":
                self._say(*["250-" + word for word in EXTENSIONS[:-1]], "250 " + EXTENSIONS[-1])
            elif verb == "MAIL":
                (address, options), accepted = _path_and_options(words), []
                sender = (address, options)
                self._say("250 2.1.0 Ok")
            elif verb == "RCPT":
                recipient = _path_and_options(words)
                code = sink.answer(recipient[0])
                if code == 250:
                    accepted.append(recipient)
                self._say({250: "250 2.1.5 Ok", 451: "451 4.2.0 Later", 550: "550 5.1.1 Nobody"}[code])
            elif verb == "DATA" and not accepted:
                self._say("554 5.5.1 Nobody to take it")
            elif verb == "DATA":
                self._say("354 Go on")
                self._take(sender, accepted)
            else:
                self._say("221 2.0.0 Bye" if verb == "QUIT" else "250 2.0.0 Ok")
                if verb == "QUIT":
                    return

    def _take(self, sender, accepted):
        sink = self.server.sink
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        else:
            return
        if any(address.startswith("slow-") for address, _ in accepted):
            sink.waiting += 1
            sink.open.wait()
            sink.waiting -= 1
        if any(address.startswith("lazy-") for address, _ in accepted):
            time.sleep(LAZY)
        data = b"".join(lines)
        key, hashed = message_id(data), digest(data)
        sink.deliveries += [
            Delivery(sender[0], address, key, hashed, sender[1], options) for address, options in accepted
        ]
        self._say("250 2.0.0 Taken")

    def _say(self, *lines):
        self.wfile.write("".join(line + "\r\n" for line in lines).encode("ascii"))


def _path_and_options(words):
    """(address, {option: value}) of ``MAIL FROM:<a@b> SIZE=1`` or ``RCPT TO:<a@b>``, split at blanks."""
    options = [word.partition("=") for word in words[2:]]
    return words[1].split(":", 1)[1].strip("<>"), {name.upper(): value for name, _, value in options}


def _header_lines(data):
    """Header fields (bytes, with their folded lines) of a message whose lines end with LF."""
    fields = []
    for line in data.partition(b"\n\n")[0].split(b"\n"):
        if line.startswith((b" ", b"\t")) and fields:
            fields[-1] += b"\n" + line
        else:
            fields.append(line)
    return fields


def digest(data):
    """What tells whether a message is the same: a hash of all of it but trace fields and the form of line ends."""
    data = data.replace(b"\r\n", b"\n")
    kept = [field for field in _header_lines(data) if not field.lower().startswith(TRACE)]
    return hashlib.sha256(b"\n".join(kept) + b"\n\n" + data.partition(b"\n\n")[2]).hexdigest()


def message_id(data):
    for field in _header_lines(data.replace(b"\r\n", b"\n")):
        if field.lower().startswith(b"message-id:"):
            return field.split(b":", 1)[1].strip().decode("ascii").strip("<>")
    return None
