"""Who takes alerts, on loopback: an SMTP server with STARTTLS and AUTH, an HTTP server, a sendmail."""

import base64
import contextlib
import http.server
import os
import socketserver
import ssl
import subprocess
import threading
import urllib.parse

# Answers of an SMTP server: it hangs up, or says nothing for long
GONE, SILENT = object(), object()


def make_certificate(directory, name):
    """A certificate of its own for a host's name: (path of the certificate, path of its key)."""
    certificate, key = str(directory / (name + ".pem")), str(directory / (name + ".key"))
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 3650".split()
        + ["-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name, "-keyout", key, "-out", certificate],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return certificate, key


class _Server:
    """:ivar int port: where it listens, for the time of a ``with`` block"""

    def __init__(self, certificate=None):
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)

    def _serve(self, server):
        server.owner = self
        self._running, self.port, self.has_ended = server, server.server_address[1], threading.Event()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.has_ended.set()
        self._running.shutdown()
        self._running.server_close()


class SmtpServer(_Server):
    """:ivar list heard: every command, as (the line, whether TLS was on)
    :ivar list mails: what was accepted, as (sender, recipients, bytes)

    :param certificate: from ``make_certificate``; None: no STARTTLS
    :param dict answers: command in capitals -> answer instead of the usual one, ``GONE``, ``SILENT``, or a function of
        the command's line; ``.`` is the end of the data, its function gets the mail's bytes
    """

    def __init__(self, certificate=None, answers=None):
        super().__init__(certificate)
        self.answers, self.heard, self.mails = answers or {}, [], []

    def __enter__(self):
        class Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        return self._serve(Tcp(("127.0.0.1", 0), _SmtpSession))


class _SmtpSession(socketserver.BaseRequestHandler):
    def handle(self):
        self.owner, self.is_tls, self.stream = self.server.owner, False, self.request.makefile("rb")
        self.sender, self.recipients = None, []
        self.say("220 relay ESMTP")
        while True:
            line = self.stream.readline().decode("ascii").rstrip("\r\n")
            if not line:
                return
            self.owner.heard.append((line, self.is_tls))
            word = line.split()[0].lower()
            usual = getattr(self, "on_" + word, lambda _: self.say("250 ok"))
            answer = self.owner.answers.get(word.upper(), usual)
            answer = answer(line) if callable(answer) else answer
            if answer is GONE:
                return
            if answer is SILENT:
                self.owner.has_ended.wait(30)
                return
            if answer:
                self.say(answer)

    def on_ehlo(self, _):
        offers = ["STARTTLS"] if self.owner.tls and not self.is_tls else []
        self.say("\r\n".join(["250-relay"] + ["250-" + offer for offer in offers] + ["250 AUTH PLAIN"]))

    def on_starttls(self, _):
        self.say("220 go ahead")
        self.request = self.owner.tls.wrap_socket(self.request, server_side=True)
        self.is_tls, self.stream = True, self.request.makefile("rb")

    def on_auth(self, _):
        self.say("235 welcome")

    def on_mail(self, line):
        self.sender, self.recipients = line.split(":", 1)[1].split()[0], []
        self.say("250 ok")

    def on_rcpt(self, line):
        self.recipients.append(line.split(":", 1)[1])
        self.say("250 ok")

    def on_data(self, _):
        self.say("354 go on")
        data = b"".join(iter(self.stream.readline, b".\r\n"))
        answer = self.owner.answers.get(".", "250 queued")
        answer = answer(data) if callable(answer) else answer
        if answer.startswith("250"):
            self.owner.mails.append((self.sender, self.recipients, data))
        self.say(answer)

    def say(self, text):
        self.request.sendall(text.encode("ascii") + b"\r\n")


def passwords(server):
    """What was sent to log in: (user, password, whether by TLS)."""
    return [
        tuple(base64.b64decode(line.split()[2]).decode("ascii").split("\0")[1:]) + (is_tls,)
        for line, is_tls in server.heard
        if line.startswith("AUTH")
    ]


class HttpServer(_Server):
    """:ivar list posted: (method, path, headers, body as text)

    :param status: of every answer (int), or a function that gives it for a body; None: an answer of a byte a moment,
        for ever; 0: what is no HTTP
    """

    def __init__(self, status=200, certificate=None, location=None):
        super().__init__(certificate)
        self.status, self.location, self.posted = status, location, []

    def __enter__(self):
        class Http(socketserver.ThreadingMixIn, http.server.HTTPServer):
            def handle_error(self, *_):
                pass

        server = Http(("127.0.0.1", 0), _HttpSession)
        if self.tls:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        return self._serve(server)

    @property
    def url(self):
        return "{0}://localhost:{1}/hook".format("https" if self.tls else "http", self.port)


class _HttpSession(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("utf-8")
        owner.posted.append((self.command, self.path, dict(self.headers), body))
        status = owner.status(body) if callable(owner.status) else owner.status
        if status is None:
            with contextlib.suppress(OSError):
                for _ in range(300):
                    self.wfile.write(b"H")
                    if owner.has_ended.wait(0.1):
                        break
        elif not status:
            self.wfile.write(b"SSH-2.0-canary\r\n\r\n")
        else:
            self.send_response(status)
            if owner.location:
                self.send_header("Location", owner.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


def form(body):
    """Fields of a form that was posted."""
    return {name: values[0] for name, values in urllib.parse.parse_qs(body).items()}


def make_sendmail(path, status=0):
    """A sendmail that keeps its arguments and its input beside itself; returns a function that reads both."""
    path.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" >{0}.arguments\ncat >{0}.input\nexit {1}\n'.format(path, status),
        encoding="ascii",
    )
    os.chmod(str(path), 0o755)
    return lambda: tuple(
        (path.parent / (path.name + end)).read_text(encoding="ascii") for end in (".arguments", ".input")
    )
