"""Who sent mail lately and would be refused by a change."""

import ipaddress
import re
from collections import OrderedDict
from datetime import datetime, timezone
from typing import Callable, Dict, Iterable, List, Optional, Sequence

from ..addresses import fold_address, network_of
from ..errors import UserError
from ..text import ascii_lower
from .events import Login

# An address that failed so often before its first success was more likely guessing than mistyping: a mail program
# with an old password tries every few minutes, but its owner is told at once and has it mended within the hour.
_ATTACKER_FAILURES = 10

# So many addresses, and so many accounts, are remembered with their failures; those that failed longest ago go first.
# A botnet of millions tries each address a few times; they would fill the memory and tell nothing.
REMEMBERED_LIMIT = 100000

# So many are named in a sentence; the total is always said.
LIST_LIMIT = 5

# Of so many accounts from one network, that no journal proves, the network is shown instead.
_GROUP_LIMIT = 10

_UID = re.compile(r"\s*uid \d{1,10}\s*\Z")

NO_ACCOUNT = "an account that the log does not name"

_GRAMMAR = (
    "write an account (bob@example.com), an address (203.0.113.5), a network (203.0.113.0/24), both as "
    "'bob@example.com from 203.0.113.5', or 'uid 33' for what that user of the host wrote into the journal"
)


def preview(
    logins: Iterable[Login],
    is_refused: Callable[[Login], bool],
    accepted: Sequence[str] = (),
    beyond: "Optional[Beyond]" = None,
) -> List[dict]:
    """Name each account and address that logged in to send mail and would be refused.

    :param logins: in the order of time
    :param is_refused: asked once for each account, address and service
    :param accepted: cut-offs that are meant to happen, as :class:`Accepted` reads them
    :param beyond: counts what no journal proves and is too many to be kept (None: nobody asks)
    :returns: those first that are not accepted, of them those that the journal proves, then who is no
        likely attacker, then by account and address (of those that no journal proves, those first that are known for
        longest, by days, and networks take turns):
        ``account`` (str or None: the log doesn't name it), ``address`` (str), ``logins`` (int), ``first`` and ``last``
        (str, UTC, or None), ``failures`` (int, of that address before the first log-in), ``account_failures`` (int, of
        that account from anywhere before it), ``likely_attacker`` (bool), ``accepted`` (bool), ``in_journal`` (bool:
        the journal says that the mail server itself wrote of it), ``uid`` (int: who wrote of it instead; None: not
        known)
    :raises UserError: an item of ``accepted`` that can't be read
    """
    meant = Accepted(accepted)
    refused: Dict[tuple, bool] = {}
    pairs: Dict[tuple, list] = {}
    by_address, by_account = _Failures(), _Failures()
    for login in logins:
        account = login.account
        if not login.accepted:
            by_address.add(login.address)
            by_account.add(account)
        elif login.kind == "smtp" and login.address is not None:
            key = (account, login.address, login.service)
            if key not in refused:
                if len(refused) > REMEMBERED_LIMIT:
                    refused.clear()
                refused[key] = is_refused(login)
            if refused[key]:
                pair = pairs.get(key[:2])
                proved, uid = _proof(login)
                if pair is None and len(pairs) >= REMEMBERED_LIMIT and not proved:
                    # Anybody can write a million of these; of what the mail server wrote, all are kept.
                    if beyond is not None and not meant.covers(account, login.address, uid):
                        beyond.logins += 1
                elif pair is None:
                    counts = by_address.of(login.address), by_account.of(account)
                    pairs[key[:2]] = [1, login.time, login.time, counts, proved, uid]
                else:
                    pair[0] += 1
                    pair[2] = login.time or pair[2]
                    pair[4] = pair[4] or proved
                    pair[5] = uid if pair[5] == uid else None
    cutoffs = [_cutoff(account, address, pair, meant) for (account, address), pair in pairs.items()]
    return _taking_turns(sorted(cutoffs, key=_order))


class Beyond:
    """How many log-ins were too many to be kept apart.

    :ivar int logins: those that are not accepted
    """

    def __init__(self):
        self.logins = 0


class Accepted:
    """Cut-offs that are meant to happen.

    An item is an account (``bob@example.com``; upper and lower case are one), an address (``203.0.113.5``), a
    network (``203.0.113.0/24``), an account from an address or a network (``bob@example.com from 203.0.113.5``), or a
    user of the host (``uid 33``): what is known only by what that user wrote into the journal.
    """

    def __init__(self, items: Iterable[str]):
        """:raises UserError: an item that is none of these"""
        self._uids = {int(item.split()[1]) for item in items if _UID.match(item)}
        self._rules = [self._read(item) for item in items if not _UID.match(item)]

    def covers(self, account: Optional[str], address: str, uid: Optional[int] = None) -> bool:
        """Whether it is meant that this account is refused from this address.

        :param uid: of the user of the host who alone wrote of it (None: not known)
        """
        if uid is not None and uid in self._uids:
            return True
        name = ascii_lower(account) if account is not None else None
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
            raise UserError("{0}, which is no account: {1}.".format(said, _GRAMMAR))
        return ascii_lower(text)

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
                "{0}, where '{1}' is neither address nor network: {2}.".format(said, text, _GRAMMAR)
            ) from None
        raise UserError(
            "{0}, whose address lies inside the network: write {1} for the network, or {2} for the one address.".format(
                said, network, text.split("/")[0]
            )
        )


def sentence(cutoffs: List[dict], total: Optional[int] = None) -> str:
    """The cut-offs as text: how many, the first few of them, and what marks a likely attacker.

    :param cutoffs: as :func:`preview` gives them, not empty
    :param total: how many there are (None: as many as are given)
    """
    total = len(cutoffs) if total is None else total
    named = "; ".join(_described(cutoff) for cutoff in cutoffs[:LIST_LIMIT])
    more = "; and {0} more".format(total - LIST_LIMIT) if total > LIST_LIMIT else ""
    return "{0} account{1} and address{2}: {3}{4}".format(
        total, "" if total == 1 else "s", "" if total == 1 else "es", named, more
    )


def grouped(cutoffs: List[dict]) -> List[dict]:
    """Cut-offs by account; those that only one user of the host wrote of, by that user; many from one network that no
    journal proves, by that.

    :param cutoffs: as :func:`preview` gives them
    :returns: in the order of the first of each: ``accept`` (str, what accepts all of them, as an item of
        ``accepted_cutoffs``), ``accounts``, ``addresses``, ``logins`` (int), ``in_journal`` (bool, of one of them),
        ``uid`` (int or None)
    """
    groups: OrderedDict[tuple, List[dict]] = OrderedDict()
    accounts: Dict[str, set] = {}
    for cutoff in cutoffs:
        if not cutoff["in_journal"]:
            accounts.setdefault(network_of(cutoff["address"]), set()).add(cutoff["account"])
    for cutoff in cutoffs:
        uid, account = cutoff["uid"], cutoff["account"]
        if uid is not None:
            accept = "uid {0}".format(uid)
        elif not cutoff["in_journal"] and len(accounts[network_of(cutoff["address"])]) >= _GROUP_LIMIT:
            accept = network_of(cutoff["address"])
        else:
            accept = cutoff["address"] if account is None or not _can_be_named(account) else account
        groups.setdefault((uid is None, accept), []).append(cutoff)
    return [
        {
            "accept": accept,
            "accounts": len({one["account"] for one in group}),
            "addresses": len({one["address"] for one in group}),
            "logins": sum(one["logins"] for one in group),
            "in_journal": any(one["in_journal"] for one in group),
            "uid": group[0]["uid"],
        }
        for (_by_name, accept), group in groups.items()
    ]


def _can_be_named(account):
    """Whether ``accepted_cutoffs`` takes the name for this account and nothing else."""
    return not (set(account) & set(" *:")) and bool(account.strip("0123456789./"))


def as_utc(stamp: Optional[float]) -> Optional[str]:
    """Epoch seconds as people and programs read them: ``2026-11-24T20:54:17Z``; None stays None."""
    if stamp is None:
        return None
    return datetime.fromtimestamp(int(stamp), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _described(cutoff):
    times = "once" if cutoff["logins"] == 1 else "{0} times".format(cutoff["logins"])
    last = ", last at {0}".format(cutoff["last"]) if cutoff["last"] else ""
    last += ", as only user id {0} wrote".format(cutoff["uid"]) if cutoff["uid"] is not None else ""
    attacker = ", likely an attacker: {0} failures before".format(cutoff["failures"])
    return "{0} from {1} ({2}{3}{4})".format(
        cutoff["account"] or NO_ACCOUNT, cutoff["address"], times, last, attacker if cutoff["likely_attacker"] else ""
    )


def _cutoff(account, address, pair, meant):
    logins, first, last, (failures, account_failures), proved, uid = pair
    return {
        "account": account,
        "address": address,
        "logins": logins,
        "first": as_utc(first),
        "last": as_utc(last),
        "failures": failures,
        "account_failures": account_failures,
        "likely_attacker": failures >= _ATTACKER_FAILURES,
        "accepted": meant.covers(account, address, uid),
        "in_journal": proved,
        "uid": uid,
    }


def _order(cutoff):
    address = ipaddress.ip_address(cutoff["address"])
    # Nobody can write yesterday's lines today, so a flood of made-up ones comes after those who were there before.
    since = "" if cutoff["in_journal"] else (cutoff["first"] or "")[:10]
    return (
        cutoff["accepted"],
        not cutoff["in_journal"],
        cutoff["likely_attacker"],
        since,
        cutoff["account"] or "",
        address.version,
        address,
    )


def _taking_turns(cutoffs):
    """The same, in which the networks of those that are not proved take turns: no flood from one hides another."""
    seen, turns = {}, []
    for position, cutoff in enumerate(cutoffs):
        *head, since, _account, _version, _address = _order(cutoff)
        place = tuple(head), since, network_of(cutoff["address"])
        turn = 0 if cutoff["in_journal"] else seen.get(place, 0)
        seen[place] = turn + 1
        turns.append((head, since, turn, position))
    return [cutoffs[position] for _head, _since, _turn, position in sorted(turns)]


def _proof(login):
    """Whether it is proved who wrote of a log-in, and the user id of whoever else is known to have written it."""
    return (False, None) if login.writer is None else (login.writer.proof == "proved", login.writer.uid)


class _Failures:
    """How often each of many names failed, of the last REMEMBERED_LIMIT that did."""

    def __init__(self):
        self._counts = OrderedDict()

    def add(self, name):
        if name is None:
            return
        self._counts[name] = self._counts.pop(name, 0) + 1
        if len(self._counts) > REMEMBERED_LIMIT:
            self._counts.popitem(last=False)

    def of(self, name):
        return self._counts.get(name, 0)
