"""Which domains' mail this host delivers itself: to others, it writes to no address that a store has.

Whoever can write an account, as a web application, can give it any name. Domains that a host only passes on
(``relay_domains``, ``rcpthosts``) do not count, since such a row could make any domain one of these.
"""

import re

from ..errors import CommandError
from ..host.users import text_of_root
from ..text import ascii_lower, printable
from ..untrusted import NotRead

_CONTROL = "/var/qmail/control"
_POSTFIX = ("mydestination", "virtual_mailbox_domains", "virtual_alias_domains")

_DOMAIN = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9])?\Z")

# A name in it is another address for a mail server: user%host, host!user, a second @.
_LOCAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=~'&*#$?^`{}-]*\Z")


class Unknown(Exception):
    """It can't be known which domains are delivered here; the text says why."""


def delivered(system, backend, names):
    """Of accounts, those to whom this host itself delivers mail.

    :param str backend: the mail server, ``postfix`` or ``qmail``; None: whichever is there
    :param list names: of str, accounts
    :returns: set of str, some of the names
    :raises Unknown: that can't be known
    """
    if backend is None:
        backend = "postfix" if system.which("postconf") else "qmail"
    if backend not in _BACKENDS:
        raise Unknown("{0} is not asked which domains it delivers".format(printable(backend)))
    origin, domains_of = _BACKENDS[backend]
    parts = {}
    for name in names:
        local, at, domain = name.partition("@")
        if _LOCAL.match(local):
            parts[name] = ascii_lower(domain) if at else None
    if None in parts.values():
        # What a mail server appends to a bare name.
        bare = origin(system)
        parts = {name: bare if domain is None else domain for name, domain in parts.items()}
    wanted = {domain for domain in parts.values() if _DOMAIN.match(domain)}
    found = domains_of(system, wanted)
    return {name for name, domain in parts.items() if domain in found}


# --- Postfix -------------------------------------------------------------------------------------------------------


def _postfix(system, wanted):
    found = set()
    for item in _items(_values(system, *_POSTFIX)):
        if item.startswith("!"):
            raise Unknown("Postfix leaves some domains out again ({0})".format(printable(item)))
        if item.startswith("/"):
            found |= wanted & set(_items([_text(system, item)]))
        elif ":" in item:
            found |= wanted & _found_in(system, item, wanted)
        else:
            found |= wanted & {ascii_lower(item)}
    return found


def _postfix_origin(system):
    (value,) = _values(system, "myorigin")
    if value.startswith("/"):
        value = (_text(system, value).split() or [""])[0]
    return ascii_lower(value)


def _values(system, *names):
    """Values of settings, with the settings that they name in their places."""
    try:
        lines = system.run(["postconf", "-xh"] + list(names)).out.splitlines()
    except CommandError:
        raise Unknown("Postfix does not say which domains it delivers (postconf)") from None
    if len(lines) != len(names):
        raise Unknown("Postfix does not say which domains it delivers (postconf)")
    return [line.strip() for line in lines]


def _items(texts):
    return [
        ascii_lower(item) if item[:1] not in "/!" and ":" not in item else item
        for text in texts
        for item in re.split(r"[\s,]+", text)
        if item
    ]


def _found_in(system, table, wanted):
    if not wanted:
        return set()
    try:
        # Keys come by standard input, all at once; who is not there makes it exit with 1, as trouble does.
        done = system.run(
            ["postmap", "-q", "-", table], stdin="".join(one + "\n" for one in sorted(wanted)), check=False
        )
    except CommandError:
        raise Unknown("{0} gives no answer (postmap)".format(printable(table))) from None
    if done.rc not in (0, 1) or "fatal:" in done.err or "error:" in done.err:
        raise Unknown("{0} gives no answer (postmap)".format(printable(table)))
    return {line.partition("\t")[0] for line in done.out.splitlines()}


# --- qmail ---------------------------------------------------------------------------------------------------------


def _qmail(system, wanted):
    names = set(_lines(system, "locals") or _lines(system, "me"))
    for line in _lines(system, "virtualdomains"):
        domain, _colon, user = line.partition(":")
        # Of a domain, or of all its subdomains; without a user it is an exception.
        if user and "@" not in domain and not domain.startswith("."):
            names.add(domain)
    return wanted & names


def _qmail_origin(system):
    return (_lines(system, "defaulthost") or _lines(system, "me") or [""])[0]


def _lines(system, name):
    lines = [ascii_lower(line.strip()) for line in _text(system, "{0}/{1}".format(_CONTROL, name)).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _text(system, path):
    try:
        return text_of_root(system, path) or ""
    except NotRead as error:
        raise Unknown(str(error)) from None


_BACKENDS = {"postfix": (_postfix_origin, _postfix), "qmail": (_qmail_origin, _qmail)}
