"""Who may not send: a list for each reason, and the other names that a mail server knows an account by."""

import ipaddress
import re
from collections import namedtuple

from ..addresses import network_in
from ..errors import UserError
from ..text import ascii_lower, folds_to_ascii, printable

# accounts: tuple of str, folded, ascending; addresses: tuple of str, networks, IPv4 first, ascending
Blocked = namedtuple("Blocked", "accounts addresses")

NOBODY = Blocked((), ())

REASON = re.compile(r"[a-z][a-z_]{0,39}\Z")

# What a table of Postfix can't have in a name: blanks end it, a quote or hash sign at its beginning means something.
UNFIT = re.compile(r"\s|[\x00-\x20\x7f]|\A[\"#]")

LONGEST_NAME = 320


def as_reason(text):
    """:raises UserError: no word that a list could have for its name"""
    if not REASON.match(text):
        raise UserError(
            "reason is '{0}': give one word of small letters and underscores, such as password_audit.".format(text)
        )
    return text


def as_blocked(accounts, addresses):
    """The list that two options name.

    :param list accounts: of str
    :param list addresses: of str, addresses and networks
    :returns: :class:`Blocked`
    :raises UserError: an item that can't be meant
    """
    names = sorted({_account(str(item)) for item in accounts})
    networks = [network_in("addresses", str(item), "take it out") for item in addresses]
    folded = []
    for version in (4, 6):
        folded += ipaddress.collapse_addresses(n for n in networks if n.version == version)
    return Blocked(tuple(names), tuple(str(network) for network in folded))


def union(lists):
    """Who is blocked for any reason: :class:`Blocked`.

    :param dict lists: reason -> {"accounts": list of str, "addresses": list of str}, of :func:`as_blocked`
    """
    return as_blocked(
        # Former releases have listed names that are refused now.
        [name for owned in lists.values() for name in owned["accounts"] if not folds_to_ascii(name)],
        [network for owned in lists.values() for network in owned["addresses"]],
    )


class Naming:
    """How the servers of a host name an account when somebody logs in.

    Dovecot hands Postfix the name that it has made of what was typed: in small letters, with its default realm, or
    without any domain. Cyrus SASL may add a realm to a bare name or not.

    :param realms: of str: what a bare name may get behind its @
    :param bool local_only: the server forgets the domain of a name
    """

    def __init__(self, realms=(), local_only=False):
        self.realms = sorted({fold(realm) for realm in realms if realm})
        self.local_only = local_only

    def names(self, account):
        """All names (list of str) by which an account may come; its own is the first."""
        account = fold(account)
        local, at, domain = account.partition("@")
        names = [account]
        if at and (self.local_only or domain in self.realms):
            names.append(local)
        if not at:
            names += [local + "@" + realm for realm in self.realms]
        return names

    def all_names(self, accounts):
        return sorted({name for account in accounts for name in self.names(account)})


def fold(name):
    """A name with ASCII in small letters: Postfix looks every name up so, in the tables that are used here."""
    return ascii_lower(name)


def _account(text):
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or UNFIT.search(name):
        raise UserError(
            "accounts contains '{0}', which is no account's name: give the name that it logs in by "
            "(bob@example.com).".format(text[:LONGEST_NAME])
        )
    if folds_to_ascii(name):
        raise UserError(
            "accounts contains '{0}', which Postfix may take for another account, since some of its letters become "
            "plain ones when it folds them: take it out.".format(printable(name))
        )
    return fold(name)
