"""Who sent mail lately and would be refused by a change."""

import ipaddress
from collections import OrderedDict
from datetime import datetime, timezone

from ..errors import UserError
from .logins import fold_address

# An address that failed so often before its first success was more likely guessing than mistyping: a mail program
# with an old password tries every few minutes, but its owner is told at once and has it mended within the hour.
FAILURES_OF_AN_ATTACKER = 10

# So many addresses, and so many accounts, are remembered with their failures; those that failed longest ago go first.
# A botnet of millions tries each address a few times; they would fill the memory and tell nothing.
MOST_REMEMBERED = 100000

# So many are named in a sentence; the total is always said.
NAMED = 5

NO_ACCOUNT = "an account that the log does not name"

GRAMMAR = (
    "write an account (bob@example.com), an address (203.0.113.5), a network (203.0.113.0/24), or both as "
    "'bob@example.com from 203.0.113.5'"
)


def preview(logins, is_refused, accepted=()):
    """Name each account and address that logged in to send mail and would be refused.

    :param logins: iterable of :class:`logins.Login`, in the order of time
    :param is_refused: function (Login) -> bool; asked once for each account, address and service
    :param accepted: cut-offs that are meant to happen, as :class:`Accepted` reads them
    :returns: list of dict, those that are not accepted and no attackers first, then by account and address:
        ``account`` (str or None: the log doesn't name it), ``address`` (str), ``logins`` (int), ``first`` and ``last``
        (str, UTC, or None), ``failures`` (int, of that address before the first log-in), ``account_failures`` (int, of
        that account from anywhere before it), ``likely_attacker`` (bool), ``accepted`` (bool)
    :raises UserError: an item of ``accepted`` that can't be read
    """
    meant = Accepted(accepted)
    refused = {}
    pairs = {}
    by_address, by_account = _Failures(), _Failures()
    for login in logins:
        account = login.account
        if not login.accepted:
            by_address.add(login.address)
            by_account.add(account)
        elif login.kind == "smtp":
            key = (account, login.address, login.service)
            if key not in refused:
                refused[key] = is_refused(login)
            if refused[key]:
                pair = pairs.get(key[:2])
                if pair is None:
                    counts = by_address.of(login.address), by_account.of(account)
                    pairs[key[:2]] = [1, login.time, login.time, counts]
                else:
                    pair[0] += 1
                    pair[2] = login.time or pair[2]
    cutoffs = [_cutoff(account, address, pair, meant) for (account, address), pair in pairs.items()]
    return sorted(cutoffs, key=_order)


class Accepted:
    """Cut-offs that are meant to happen.

    An item is an account (``bob@example.com``; upper and lower case are one), an address (``203.0.113.5``), a
    network (``203.0.113.0/24``), or an account from an address or a network (``bob@example.com from 203.0.113.5``).
    """

    def __init__(self, items):
        """:raises UserError: an item that is none of these"""
        self._rules = [self._read(item) for item in items]

    def covers(self, account, address):
        """Whether it is meant that this account (str or None) is refused from this address (str)."""
        name = account.casefold() if account is not None else None
        parsed = ipaddress.ip_address(address)
        return any(
            (wanted in (None, name)) and (network is None or parsed in network) for wanted, network in self._rules
        )

    def _read(self, item):
        """(account or None: any, network or None: any)"""
        said = "accepted_cutoffs contains '{0}'".format(item)
        account, separator, source = item.strip().rpartition(" from ")
        if separator:
            return self._account(account.strip(), said), self._network(source.strip(), said)
        text = item.strip()
        if ":" in text or (text and not text.strip("0123456789./")):
            return None, self._network(text, said)
        return self._account(text, said), None

    @staticmethod
    def _account(text, said):
        if not text or " " in text or "*" in text:
            raise UserError("{0}, which is no account: {1}.".format(said, GRAMMAR))
        return text.casefold()

    @staticmethod
    def _network(text, said):
        try:
            return ipaddress.ip_network(fold_address(text) or text)
        except ValueError:
            pass
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise UserError(
                "{0}, where '{1}' is neither address nor network: {2}.".format(said, text, GRAMMAR)
            ) from None
        raise UserError(
            "{0}, whose address lies inside the network: write {1} for the network, or {2} for the one address.".format(
                said, network, text.split("/")[0]
            )
        )


def sentence(cutoffs, total=None):
    """The cut-offs as text: how many, the first few of them, and what marks a likely attacker.

    :param list cutoffs: as :func:`preview` gives them, not empty
    :param int total: how many there are (None: as many as are given)
    """
    total = len(cutoffs) if total is None else total
    named = "; ".join(_said(cutoff) for cutoff in cutoffs[:NAMED])
    more = "; and {0} more".format(total - NAMED) if total > NAMED else ""
    return "{0} account{1} and address{2}: {3}{4}".format(
        total, "" if total == 1 else "s", "" if total == 1 else "es", named, more
    )


def as_utc(stamp):
    """Epoch seconds as people and programs read them: ``2026-11-24T20:54:17Z``; None stays None."""
    if stamp is None:
        return None
    return datetime.fromtimestamp(int(stamp), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _said(cutoff):
    times = "once" if cutoff["logins"] == 1 else "{0} times".format(cutoff["logins"])
    last = ", last at {0}".format(cutoff["last"]) if cutoff["last"] else ""
    attacker = ", likely an attacker: {0} failures before".format(cutoff["failures"])
    return "{0} from {1} ({2}{3}{4})".format(
        cutoff["account"] or NO_ACCOUNT, cutoff["address"], times, last, attacker if cutoff["likely_attacker"] else ""
    )


def _cutoff(account, address, pair, meant):
    logins, first, last, (failures, account_failures) = pair
    return {
        "account": account,
        "address": address,
        "logins": logins,
        "first": as_utc(first),
        "last": as_utc(last),
        "failures": failures,
        "account_failures": account_failures,
        "likely_attacker": failures >= FAILURES_OF_AN_ATTACKER,
        "accepted": meant.covers(account, address),
    }


def _order(cutoff):
    address = ipaddress.ip_address(cutoff["address"])
    return (cutoff["accepted"], cutoff["likely_attacker"], cutoff["account"] or "", address.version, address)


class _Failures:
    """How often each of many names failed, of the last MOST_REMEMBERED that did."""

    def __init__(self):
        self._counts = OrderedDict()

    def add(self, name):
        if name is None:
            return
        self._counts[name] = self._counts.pop(name, 0) + 1
        if len(self._counts) > MOST_REMEMBERED:
            self._counts.popitem(last=False)

    def of(self, name):
        return self._counts.get(name, 0)
