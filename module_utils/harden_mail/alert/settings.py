"""What the alert's configuration may say. The module checks it before it is written, the program when it is read."""

import ipaddress
import re
import urllib.parse
from typing import Dict, Tuple

from ..errors import UserError

SHAPES = ("slack", "mattermost", "teams", "chatwork", "json")

# name: (type, default); what the values mean is said in library/queue_alert.py
DEFAULTS: Dict[str, Tuple] = {
    "limit": ((int, str), 300),
    "auto_limit_most": (int, 1000),
    "clear_below": (int, None),
    "oldest_minutes": (int, None),
    "growth_messages": (int, None),
    "growth_minutes": (int, 30),
    "one_origin": (int, None),
    "todo_limit": (int, None),
    "all_clear": (bool, True),
    "repeat_minutes": (int, 60),
    "quiet_hours": (str, None),
    "language": (str, "en"),
    "charset": (str, "utf-8"),
    "ways": (list, []),
    "ping_url": (str, None),
    "prometheus_file": (str, None),
    "inventory_name": (str, None),
    "mta": (str, "auto"),
    "config_dir": (str, None),
    "queue_dir": (str, None),
}

# Of one way out: option -> (type, default, needed)
WAYS = {
    "smtp": {
        "host": (str, None, True),
        "port": (int, 587, False),
        "tls": (str, "starttls", False),
        "verify": (bool, True, False),
        "ca_file": (str, None, False),
        "user": (str, None, False),
        "password": (str, None, False),
        "from": (str, None, False),
        "to": (list, None, True),
        "timeout": (int, 20, False),
    },
    "webhook": {
        "url": (str, None, True),
        "shape": (str, "slack", False),
        "template": (dict, None, False),
        "headers": (dict, None, False),
        "ca_file": (str, None, False),
        "timeout": (int, 20, False),
    },
    "sendmail": {
        "path": (str, "/usr/sbin/sendmail", False),
        "from": (str, None, False),
        "to": (list, None, True),
        "timeout": (int, 30, False),
    },
}

CHOICES = {
    "language": ("en", "ja"),
    "charset": ("utf-8", "iso-2022-jp"),
    "mta": ("auto", "postfix", "qmail"),
    "tls": ("starttls", "tls", "none"),
    "shape": SHAPES,
}

AUTO = "auto"

# Of an envelope: nobody is told of what can't be delivered.
NULL_SENDER = "<>"

# Seconds for each answer of a way: a run with several must end before the next one takes it for hanging.
LONGEST_TIMEOUT = 60

# Of numbers of messages and of minutes: as far as nobody's arithmetic overflows.
_MOST = 10**9

# Options whose values no sentence shows; of a way that was written wrongly, nobody knows what is in it.
_SECRET = ("ways", "ping_url", "user", "password", "url", "headers", "template")

_KINDS = {int: "a whole number", str: "text", bool: "true or false", list: "a list", dict: "a dictionary"}
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)\Z", re.ASCII)
_ADDRESS = re.compile(r"[!#$%&'*+/=?^_`{|}~A-Za-z0-9.-]+(@[A-Za-z0-9.-]+|@\[[0-9A-Fa-f.:]+\])?\Z")
_HOST = re.compile(r"[A-Za-z0-9_.-]+\Z|[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?\Z")
# What http.client takes: RFC 9110's token, and a field value without control characters.
_HEADER = re.compile(r"[!#$%&'*+.^_`|~A-Za-z0-9-]+\Z")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*\Z")
_URL = re.compile(r"https?://[!-~]+\Z")


def check(given):
    """Fill in the defaults and refuse what makes no sense.

    :param dict given: as the configuration file has it; options that are None count as left out
    :returns: dict with every name in ``DEFAULTS``; each way with every option of its type
    :raises UserError: names the option, its value and what would be right; never a secret's value
    """
    _refuse_unknown("", given, DEFAULTS)
    settings = {name: _typed(name, given.get(name), *DEFAULTS[name]) for name in DEFAULTS}
    for name in ("language", "charset", "mta"):
        _choice(name, settings[name])
    if isinstance(settings["limit"], str) and settings["limit"] != AUTO:
        if not re.match(r"-?[0-9]{1,9}\Z", settings["limit"]):
            raise UserError("limit is {0!r}: give a number of messages, or auto.".format(settings["limit"]))
        settings["limit"] = int(settings["limit"])
    for name, least, most in (
        ("limit", 0, _MOST),
        # Less than the least that it ever is makes no sense.
        ("auto_limit_most", 50, _MOST),
        ("clear_below", 0, _MOST),
        ("oldest_minutes", 1, _MOST),
        ("growth_messages", 1, _MOST),
        # So long each run's count is remembered.
        ("growth_minutes", 1, 1440),
        ("one_origin", 1, _MOST),
        ("todo_limit", 0, _MOST),
        ("repeat_minutes", 1, _MOST),
    ):
        if isinstance(settings[name], int) and not least <= settings[name] <= most:
            raise UserError("{0} is {1}: give {2} to {3}.".format(name, settings[name], least, most))
    below, limit = settings["clear_below"], settings["limit"]
    if below is not None and limit != AUTO and below > limit:
        raise UserError(
            "clear_below is {0}, more than limit ({1}): an alarm would end while it is on; give {1} or less.".format(
                below, limit
            )
        )
    if settings["quiet_hours"] is not None:
        _check_hours(settings["quiet_hours"])
    if settings["ping_url"] is not None:
        _check_url("ping_url", settings["ping_url"])
    for name in ("prometheus_file", "config_dir", "queue_dir"):
        _check_path(name, settings[name])
    if settings["inventory_name"] is not None and not re.match(r"[^\x00-\x1f\x7f]+\Z", settings["inventory_name"]):
        raise UserError(
            "inventory_name is {0!r}: give the name that Ansible's inventory has for the host.".format(
                settings["inventory_name"]
            )
        )
    checked = [_check_way(number, way) for number, way in enumerate(settings["ways"], 1)]
    # There, an alert is accepted, and waits: whatever comes after it would never be tried.
    settings["ways"] = sorted(checked, key=uses_own_queue)
    return settings


def uses_own_queue(way):
    """Whether a way is this host's own mail queue, whatever the host is called."""
    if way["type"] == "webhook":
        return False
    if way["type"] == "sendmail":
        return True
    return way["port"] in (25, 465, 587) and is_loopback(way["host"])


def is_loopback(host):
    """Whether a name or an address is that of the host itself, wherever it is said."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") in ("localhost", "localhost.localdomain", "ip6-localhost")


def quiet_minutes(hours):
    """(first, last) minute of the day of ``quiet_hours``, or None."""
    if hours is None:
        return None
    begin_hour, begin_minute, end_hour, end_minute = (int(part) for part in _HOURS.match(hours).groups())
    return begin_hour * 60 + begin_minute, end_hour * 60 + end_minute


def describe(way):
    """A way in words, without its secrets: for logs, results and findings."""
    if way["type"] == "smtp":
        return "smtp to {0}:{1}".format(way["host"], way["port"])
    if way["type"] == "webhook":
        # The path of a webhook's URL is its password.
        parts = urllib.parse.urlsplit(way["url"])
        return "webhook ({0}) at {1}://{2}".format(way["shape"], parts.scheme, parts.netloc)
    return "sendmail to {0}".format(", ".join(way["to"]))


def _check_way(number, way):
    name = "ways[{0}]".format(number)
    if not isinstance(way, dict):
        # Its value is not shown: a webhook's URL, most likely.
        raise UserError("{0} is no dictionary: give one, with its type and options.".format(name))
    kind = way.get("type")
    if not isinstance(kind, str) or kind not in WAYS:
        raise UserError("{0}.type is {1!r}: give one of {2}.".format(name, kind, ", ".join(sorted(WAYS))))
    options = WAYS[kind]
    _refuse_unknown(name + ".", way, dict(options, type=None))
    checked = {"type": kind}
    for option, (wanted, default, needed) in options.items():
        where = "{0}.{1}".format(name, option)
        value = _typed(where, way.get(option), wanted, default)
        if needed and not value:
            raise UserError("{0} is missing: a way of type {1} needs it.".format(where, kind))
        if option in CHOICES:
            _choice(option, value, where)
        checked[option] = value
    for option, most in (("port", 65535), ("timeout", LONGEST_TIMEOUT)):
        if option in checked and not 1 <= checked[option] <= most:
            raise UserError("{0}.{1} is {2}: give 1 to {3}.".format(name, option, checked[option], most))
    for address in checked.get("to", []):
        _check_address(name + ".to", address)
    if checked.get("from") not in (None, NULL_SENDER):
        _check_address(name + ".from", checked["from"])
    for option in ("ca_file", "path"):
        _check_path("{0}.{1}".format(name, option), checked.get(option))
    _check_together(name, checked)
    return checked


def _check_together(name, checked):
    """What options of a way mean for each other."""
    kind = checked["type"]
    if kind == "smtp":
        if not _HOST.match(checked["host"]):
            raise UserError("{0}.host is {1!r}: give the relay's name or address.".format(name, checked["host"]))
        if bool(checked["user"]) != bool(checked["password"]):
            raise UserError("{0} has only one of user and password: give both, or neither.".format(name))
        if checked["user"] and checked["tls"] == "none":
            raise UserError(
                "{0}.tls is none, which would send the password in the clear; give starttls or tls.".format(name)
            )
        for option in ("user", "password"):
            if not re.match(r"[ -~]*\Z", checked[option] or ""):
                raise UserError(
                    "{0}.{1} has other characters than printable ASCII, which Python's smtplib can't send (its value "
                    "is not shown).".format(name, option)
                )
    if kind == "webhook":
        _check_url(name + ".url", checked["url"])
        _check_headers(name + ".headers", checked["headers"])
        if checked["shape"] == "json" and not checked["template"]:
            raise UserError("{0}.shape is json, which needs a template: a dictionary with $text in it.".format(name))


def _check_hours(hours):
    if not _HOURS.match(hours) or hours[:5] == hours[6:]:
        raise UserError("quiet_hours is {0!r}: give a beginning and another end, like 22:00-07:00.".format(hours))


def _check_path(name, path):
    if path is not None and not re.match(r"/[^\x00-\x1f\x7f]*\Z", path):
        raise UserError("{0} is {1!r}: give an absolute path.".format(name, path))


def _check_address(name, address):
    if not isinstance(address, str) or not _ADDRESS.match(address):
        raise UserError("{0} has {1!r}: give a plain mail address, such as admin@example.com.".format(name, address))


def _check_url(name, url):
    try:
        parts = urllib.parse.urlsplit(url)
        sound = bool(_URL.match(url) and parts.hostname and _HOST.match(parts.hostname) and parts.port != 0)
    except ValueError:
        sound = False
    if not sound:
        raise UserError("{0} is no URL of http or https (its value is not shown, it may be a secret).".format(name))
    if "@" in parts.netloc:
        raise UserError(
            "{0} has a user or password before its host, which Python does not send; give a header Authorization "
            "(its value is not shown).".format(name)
        )


def _check_headers(name, headers):
    for header, value in (headers or {}).items():
        if not isinstance(header, str) or not _HEADER.match(header):
            # Somebody may have written the whole line as its name.
            raise UserError("{0} has a name that no HTTP header can have (it is not shown).".format(name))
        if not isinstance(value, str) or not _HEADER_VALUE.match(value):
            raise UserError("{0} has no text of one line for {1} (its value is not shown).".format(name, header))


def _refuse_unknown(prefix, given, known):
    for name in sorted(given, key=str):
        if name not in known:
            raise UserError("{0}{1} is not known here; there are {2}.".format(prefix, name, ", ".join(sorted(known))))


def _typed(name, value, wanted, default):
    if value is None:
        return default
    kinds = wanted if isinstance(wanted, tuple) else (wanted,)
    # True is an int in Python, but no number of messages.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UserError(
            "{0} is {1}: give {2}.".format(
                name,
                "of another type" if name.split(".")[-1] in _SECRET else repr(value),
                " or ".join(_KINDS[kind] for kind in kinds),
            )
        )
    return value


def _choice(option, value, where=None):
    if value not in CHOICES[option]:
        raise UserError("{0} is {1!r}: give one of {2}.".format(where or option, value, ", ".join(CHOICES[option])))
