"""How a notice gets out. Each way is given its own time limit, and says in a sentence why it failed; never a secret."""

import contextlib
import json
import smtplib
import ssl
import string
import subprocess
import syslog
import urllib.error
import urllib.parse
import urllib.request

from .notice import mail, message_id
from .settings import describe


class WayError(Exception):
    """Why a way did not take a notice: a sentence without any secret."""


def send(kept, way, settings):
    """Hand a notice to one way.

    :param dict kept: see ``notice.notice``
    :param dict way: as ``settings.check`` gives it
    :raises WayError: it was not accepted
    """
    try:
        {"smtp": _smtp, "webhook": _webhook, "sendmail": _sendmail}[way["type"]](kept, way, settings)
    except WayError as error:
        raise WayError("{0}: {1}".format(describe(way), error)) from None
    except (OSError, smtplib.SMTPException, subprocess.SubprocessError, ValueError) as error:
        # An answer may quote what was sent to it; only its kind and code are safe to show.
        raise WayError("{0}: {1}".format(describe(way), _reason(error))) from None


def log(text, level=syslog.LOG_WARNING):
    """A line in the system's log, whatever else fails."""
    with contextlib.suppress(OSError):
        syslog.openlog("harden-mail-queue-alert", syslog.LOG_PID, syslog.LOG_MAIL)
        syslog.syslog(level, text)


def ping(url, timeout=20):
    """Tell a dead man's switch that this run was good.

    :raises WayError: it did not answer 2xx
    """
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=_AGENT), timeout=timeout) as answer:
            answer.read(1024)
    except (OSError, ValueError) as error:
        raise WayError("ping_url: {0}".format(_reason(error))) from None


_AGENT = {"User-Agent": "harden-mail-queue-alert"}


def _smtp(kept, way, settings):
    context = _tls(way)
    sender = way["from"] or _default_sender(kept)
    if way["tls"] == "tls":
        session = smtplib.SMTP_SSL(way["host"], way["port"], _name(kept), timeout=way["timeout"], context=context)
    else:
        session = smtplib.SMTP(way["host"], way["port"], _name(kept), timeout=way["timeout"])
    with contextlib.closing(session):
        if way["tls"] == "starttls":
            session.starttls(context=context)
        if way["user"]:
            session.login(way["user"], way["password"])
        refused = session.sendmail(sender, way["to"], mail(kept, sender, way["to"], settings["charset"]))
        # It is the relay's from the moment of its 250; what it says to QUIT changes nothing.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            session.quit()
    if refused:
        log("{0}: refused {1} of {2} recipients".format(describe(way), len(refused), len(way["to"])))


def _sendmail(kept, way, settings):
    sender = way["from"] or _default_sender(kept)
    done = subprocess.run(
        [way["path"], "-i", "-f", sender, "--"] + way["to"],
        input=mail(kept, sender, way["to"], settings["charset"]).replace(b"\r\n", b"\n"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=way["timeout"],
        check=False,
    )
    if done.returncode:
        raise WayError("exited with {0}".format(done.returncode))


def _webhook(kept, way, settings):
    headers = dict(_AGENT, **(way["headers"] or {}))
    text = "{0}\n\n{1}".format(kept["subject"], kept["text"])
    if way["shape"] == "chatwork":
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        body = urllib.parse.urlencode({"body": text}).encode("ascii")
    else:
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(_shaped(way, kept, text)).encode("ascii")
    request = urllib.request.Request(way["url"], data=body, headers=headers, method="POST")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_tls(way)), _NoRedirect)
    with opener.open(request, timeout=way["timeout"]) as answer:
        answer.read(1024)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, whose 200 says nothing."""

    def redirect_request(self, *_):
        return None


def _shaped(way, kept, text):
    """What a service wants as JSON. Slack and Mattermost read ``text`` as their markup, so it goes as a code block."""
    if way["shape"] in ("slack", "mattermost"):
        return {"text": "{0}\n```\n{1}```".format(kept["subject"], kept["text"].replace("```", "'''"))}
    if way["shape"] == "teams":
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.2",
            "body": [
                {"type": "TextBlock", "text": kept["subject"], "weight": "bolder", "wrap": True},
                {"type": "TextBlock", "text": kept["text"].replace("\n", "\n\n"), "wrap": True},
            ],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        return {"type": "message", "attachments": [attachment]}
    names = dict(kept, text=text, body=kept["text"], message_id=message_id(kept))
    return _filled(way["template"], {name: "" if value is None else str(value) for name, value in names.items()})


def _filled(template, names):
    if isinstance(template, dict):
        return {key: _filled(value, names) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, names) for value in template]
    return string.Template(template).safe_substitute(names) if isinstance(template, str) else template


def _tls(way):
    context = ssl.create_default_context(cafile=way["ca_file"])
    if not way.get("verify", True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _default_sender(kept):
    return "root@" + kept["host"]


def _name(kept):
    return kept["host"]


def _reason(error):
    if isinstance(error, urllib.error.HTTPError):
        return "answered with status {0}".format(error.code)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "refused every recipient ({0})".format(", ".join(str(code) for code, _ in error.recipients.values()))
    if isinstance(error, smtplib.SMTPResponseException):
        return "answered {0} ({1})".format(error.smtp_code, type(error).__name__)
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, OSError) else error
    if isinstance(error, subprocess.TimeoutExpired):
        return "took longer than its timeout"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
