"""What of the alert's secrets others could read: on the way to where they are sent, and in what is shown of them."""

import json
import urllib.parse

from .settings import describe, is_loopback

NOT_SHOWN = "(not shown)"

# Each names the variable to change; the values are not shown.
WEBHOOK = (
    "queue_alert_ways has a {way} without TLS: who is on the way there reads {secret}, and can post in your name. Give "
    "its url with https."
)
RELAY = (
    "queue_alert_ways has a {way} whose certificate is not verified (verify: false): whoever answers in its place gets "
    "the password. Leave verify out, and name in ca_file the certificate of an authority of your own."
)
PING = (
    "queue_alert_ping_url is http:// to {host}: who is on the way there reads it, and can call it while this host is "
    "silent. Give it with https."
)


def exposed(settings):
    """Secrets that go over a network for others to read: list of findings.

    :param dict settings: as ``settings.check`` gives it
    """
    findings = []
    for way in settings["ways"]:
        if way["type"] == "smtp" and way["user"] and not way["verify"] and not is_loopback(way["host"]):
            findings.append(RELAY.format(way=describe(way)))
        if way["type"] == "webhook" and _is_open(way["url"]):
            parts = urllib.parse.urlsplit(way["url"])
            secrets = ["its headers"] if way["headers"] else []
            secrets += ["its URL, whose path is its password"] if parts.path.strip("/") or parts.query else []
            if secrets:
                findings.append(WEBHOOK.format(way=describe(way), secret=" and ".join(secrets)))
    if settings["ping_url"] and _is_open(settings["ping_url"]):
        findings.append(PING.format(host=urllib.parse.urlsplit(settings["ping_url"]).hostname))
    return findings


def hidden(text):
    """A configuration without its secrets: passwords, headers, and URLs, whose path is often a password."""
    try:
        settings = json.loads(text)
        for way in settings.get("ways", []):
            for name in ("password", "headers", "url"):
                if way.get(name):
                    way[name] = NOT_SHOWN
        if settings.get("ping_url"):
            settings["ping_url"] = NOT_SHOWN
    except (ValueError, AttributeError, TypeError):
        return "(not readable, not shown)\n"
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"


def _is_open(url):
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
