"""How a notice gets out. A way that fails says why in a sentence; never a secret."""

import contextlib
import json
import signal
import smtplib
import socket
import ssl
import string
import subprocess
import syslog
import urllib.error
import urllib.parse
import urllib.request

from ..text import printable
from .notice import mail, message_id
from .settings import NULL_SENDER, describe

# Statuses by which a web service says that it can't take what it got; those of 4xx that say "later".
UNFIT = (400, 406, 411, 413, 415, 422, 451)
LATER = (408, 425, 429)


class WayError(Exception):
    """Why a way did not take a notice: a sentence without any secret.

    :ivar bool answered: it is there, and refused this notice; it may take another one
    :ivar bool for_good: and for what is in it, so that it will not take it later either
    """

    def __init__(self, reason, answered=False, for_good=False):
        super().__init__(reason)
        self.answered, self.for_good = answered, for_good


class _Late(BaseException):
    """The time is over. Not an Exception: libraries take OSError for the failure of one address, and try the next."""


def send(kept, way, settings, seconds):
    """Hand a notice to one way.

    :param dict kept: see ``notice.notice``
    :param dict way: as ``settings.check`` gives it
    :param float seconds: for all of it; each answer has the way's own time limit
    :raises WayError: it was not accepted
    """
    hand_over = {"smtp": _smtp, "webhook": _webhook, "sendmail": _sendmail}[way["type"]]
    with _said_by(describe(way)), deadline(seconds):
        hand_over(kept, way, settings)


def log(text, level=syslog.LOG_WARNING):
    """A line in the system's log, whatever else fails."""
    with contextlib.suppress(OSError):
        syslog.openlog("harden-mail-queue-alert", syslog.LOG_PID, syslog.LOG_MAIL)
        syslog.syslog(level, printable(text, 2000))


def ping(url, seconds=20):
    """Tell a dead man's switch that this run was good.

    :raises WayError: it did not answer 2xx
    """
    with _said_by("ping_url"), deadline(seconds):
        request = urllib.request.Request(url, headers=_AGENT)
        urllib.request.build_opener(_NO_PROXY).open(request, timeout=seconds).close()


@contextlib.contextmanager
def deadline(seconds):
    """End a block that takes longer by WayError: an answer of a byte a minute outlives a socket's timeout."""

    running = [True]

    def over(*_):
        # It may come at the last moment, when nobody waits for it any more.
        if running[0]:
            raise _Late

    former = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        try:
            yield
        finally:
            running[0] = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Late:
        raise WayError("took longer than {0:.0f} seconds".format(seconds)) from None
    finally:
        signal.signal(signal.SIGALRM, former)


@contextlib.contextmanager
def _said_by(name):
    """Whatever goes wrong with a way is a sentence, and the next way is tried."""
    try:
        yield
    except WayError as error:
        raise WayError("{0}: {1}".format(name, error), error.answered, error.for_good) from None
    except Exception as error:
        # An answer may quote what was sent to it, and an exception a URL; only kinds and codes are safe to show.
        raise WayError("{0}: {1}".format(name, _reason(error))) from None


# Bytes that a relay may say in a session; a usual one says some thousand.
MOST_SAID = 1 << 20

_AGENT = {"User-Agent": "harden-mail-queue-alert"}

# Of the environment, cron has nothing: a drill that a proxy's variable helped would say nothing about cron's runs.
_NO_PROXY = urllib.request.ProxyHandler({})


class _Answers:
    """What a relay says, up to a bound: a greeting can have any number of lines, and all are kept."""

    def __init__(self, file):
        self._file, self._left = file, MOST_SAID

    def readline(self, size):
        line = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise WayError("its answers are longer than {0:,} bytes".format(MOST_SAID))
        return line

    def close(self):
        self._file.close()


class _Bounded:
    """For smtplib's sessions, which open ``file`` anew after STARTTLS."""

    def getreply(self):
        if self.file is None:
            self.file = _Answers(self.sock.makefile("rb"))
        return super().getreply()


class _Smtp(_Bounded, smtplib.SMTP):
    pass


class _SmtpOverTls(_Bounded, smtplib.SMTP_SSL):
    pass


def _smtp(kept, way, settings):
    context = None if way["tls"] == "none" else _tls(way)
    envelope, sender = _senders(way, kept)
    if way["tls"] == "tls":
        session = _SmtpOverTls(way["host"], way["port"], kept["host"], timeout=way["timeout"], context=context)
    else:
        session = _Smtp(way["host"], way["port"], kept["host"], timeout=way["timeout"])
    with contextlib.closing(session):
        if way["tls"] == "starttls":
            session.starttls(context=context)
        if way["user"]:
            session.login(way["user"], way["password"])
        try:
            refused = session.sendmail(envelope, way["to"], mail(kept, sender, way["to"], settings["charset"]))
        except smtplib.SMTPDataError as error:
            if error.smtp_code < 500:
                raise
            # Most likely a filter, which took the spam's subjects in it for spam.
            brief = mail(kept, sender, way["to"], settings["charset"], "brief")
            refused = _send_brief(session, envelope, way["to"], brief)
        # It is the relay's from the moment of its 250; what it says to QUIT changes nothing.
        with contextlib.suppress(smtplib.SMTPException, OSError, _Late):
            session.quit()
    if refused:
        log("{0}: refused {1} of {2} recipients".format(describe(way), len(refused), len(way["to"])))


def _send_brief(session, envelope, recipients, data):
    try:
        return session.sendmail(envelope, recipients, data)
    except smtplib.SMTPDataError as error:
        if error.smtp_code < 500:
            raise
        raise WayError(_reason(error), answered=True, for_good=True) from None


def _sendmail(kept, way, settings):
    envelope, sender = _senders(way, kept)
    done = subprocess.run(
        [way["path"], "-i", "-f", envelope, "--"] + way["to"],
        input=mail(kept, sender, way["to"], settings["charset"]).replace(b"\r\n", b"\n"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=way["timeout"],
        check=False,
    )
    if done.returncode:
        raise WayError("exited with {0}".format(done.returncode))


def _webhook(kept, way, settings):
    opener = urllib.request.build_opener(_NO_PROXY, urllib.request.HTTPSHandler(context=_tls(way)), _NoRedirect)
    try:
        _post(opener, kept, way)
    except urllib.error.HTTPError as error:
        if not _is_refusal(error):
            raise
        # As with a relay: the spam's subjects in it may be what it can't bear.
        try:
            _post(opener, dict(kept, text=kept["brief"]), way)
        except urllib.error.HTTPError as again:
            if not _is_refusal(again):
                raise
            raise WayError(_reason(again), answered=True, for_good=again.code in UNFIT) from None


def _is_refusal(error):
    return 400 <= error.code < 500 and error.code not in LATER


def _post(opener, kept, way):
    # Who gets it a second time, after a kill, can tell by this key.
    headers = dict(_AGENT, **{"Idempotency-Key": '"{0}"'.format(message_id(kept).strip("<>"))})
    headers.update(way["headers"] or {})
    if way["shape"] == "chatwork":
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        # In a code block, nothing is a mention or a link.
        code = kept["text"].replace("[/code]", "[/ code]")
        body = urllib.parse.urlencode({"body": "{0}\n[code]{1}[/code]".format(kept["subject"], code)}).encode("ascii")
    else:
        headers.setdefault("Content-Type", "application/json")
        # Teams takes 28 KB, and an escaped letter is six bytes.
        body = json.dumps(_shaped(way, kept), ensure_ascii=False).encode("utf-8", "backslashreplace")
    request = urllib.request.Request(way["url"], data=body, headers=headers, method="POST")
    # With a good status it is accepted, whatever becomes of the rest of the answer.
    opener.open(request, timeout=way["timeout"]).close()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, whose 200 says nothing."""

    def redirect_request(self, *_):
        return None


def _shaped(way, kept):
    """What a service wants as JSON. Spammers write subjects: no mention, link or markup of theirs may work there."""
    if way["shape"] in ("slack", "mattermost"):
        code = kept["text"].replace("```", "'''")
        if way["shape"] == "slack":
            # Its <!channel> and <link|text> work in a code block, too; these three are what it wants escaped.
            code = code.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": "{0}\n```\n{1}```".format(kept["subject"], code)}
    if way["shape"] == "teams":
        # A TextBlock would read markdown, a TextRun does not, and has no line breaks.
        runs = [{"type": "TextRun", "text": line or " ", "fontType": "Monospace"} for line in kept["text"].splitlines()]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.2",
            "body": [{"type": "TextBlock", "text": kept["subject"], "weight": "bolder", "wrap": True}]
            + [{"type": "RichTextBlock", "spacing": "none", "inlines": [run]} for run in runs],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        return {"type": "message", "attachments": [attachment]}
    text = "{0}\n\n{1}".format(kept["subject"], kept["text"])
    names = dict(kept, text=text, body=kept["text"], message_id=message_id(kept))
    return _filled(way["template"], {name: "" if value is None else str(value) for name, value in names.items()})


def _filled(template, names):
    if isinstance(template, dict):
        return {key: _filled(value, names) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, names) for value in template]
    return string.Template(template).safe_substitute(names) if isinstance(template, str) else template


def _tls(way):
    try:
        context = ssl.create_default_context(cafile=way["ca_file"])
    except OSError as error:
        raise WayError("ca_file {0}: {1}".format(way["ca_file"], error.strerror or "no certificates")) from None
    if not way.get("verify", True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _senders(way, kept):
    """(sender of the envelope, of the header); the first may be null, so that nothing ever bounces."""
    usual = "root@" + kept["host"]
    if way["from"] == NULL_SENDER:
        return "", usual
    return way["from"] or usual, way["from"] or usual


def _reason(error):
    if isinstance(error, urllib.error.HTTPError):
        return "answered with status {0}".format(error.code)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "refused every recipient ({0})".format(", ".join(str(code) for code, _ in error.recipients.values()))
    if isinstance(error, smtplib.SMTPResponseException):
        return "answered {0} ({1})".format(error.smtp_code, type(error).__name__)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "does not offer STARTTLS or AUTH"
    return _failure(error.reason if isinstance(error, urllib.error.URLError) else error)


def _failure(error):
    """Of what came to no answer."""
    if isinstance(error, (subprocess.TimeoutExpired, socket.timeout, TimeoutError)):
        return "gave no answer in time"
    if isinstance(error, ssl.CertificateError):
        # Its text quotes a whole certificate on Python 3.6.
        return "its certificate is not valid ({0})".format(getattr(error, "verify_message", "for another name"))
    if isinstance(error, ssl.SSLError):
        return "TLS failed ({0})".format(error.reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
