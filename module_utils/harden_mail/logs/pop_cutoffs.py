"""Who sent mail lately without a POP or IMAP log-in from the same address shortly before."""

import functools
import ipaddress
from collections import OrderedDict
from typing import Dict, Iterable, Iterator, List

from ..text import ascii_lower
from .events import Event, Left, Login
from .logins import WANTED_ENDS

# So many sessions, addresses and accounts are remembered at a time; what was forgotten counts as no log-in: better to
# name one too many than to cut off one who was not named.
_REMEMBERED_LIMIT = 100000

# Of a session whose end is not in the log, seconds for which it counts as open.
LONGEST_SESSION = 86400

# Seconds between two looks at who is connected, which renew a log-in: at the end of a session the last may be so old.
RENEWED_EVERY = 60

_OTHER_FAMILY = {4: 6, 6: 4}

_NO_LOGIN = (
    "The logs hold no POP or IMAP log-in at all, so everybody who sends counts as cut off: name the log that the POP "
    "server writes in log_files."
)
_DUAL_STACK = (
    "{0} of them had logged in to read mail shortly before, but over the other of IPv4 and IPv6: {1} from {2}{3}. Such "
    "clients are cut off as long as only one of the two services, submission and POP or IMAP, is found at that kind of "
    "address; publish both names with the same kinds of address."
)
_ADVICE = "Have them read mail from where they send, or exempt the network they send from"


class Window:
    """POP and IMAP log-ins of the last minutes, at each moment of a log.

    It is given to :func:`guard.guard`: of the log-ins to send mail it lets those through that had none of these.

    :ivar int lead: seconds of log that must be read before the first log-in to send mail that matters
    :ivar tuple wanted: of bytes: lines that are needed besides those that hold log-ins
    :ivar str advice: what helps those who are named, as part of a sentence
    """

    wanted = WANTED_ENDS
    advice = _ADVICE

    def __init__(self, minutes: float, ipv6_prefix: int = 128, sessions_renew: bool = True):
        """
        :param minutes: how long a log-in counts
        :param ipv6_prefix: a log-in over IPv6 counts for its network of this length
        :param sessions_renew: an open session counts like a log-in, as :data:`RENEWED_EVERY` says
        """
        self.lead = int(minutes * 60)
        self._seconds = minutes * 60
        self._sessions_renew = sessions_renew
        self._place = functools.lru_cache(maxsize=4096)(functools.partial(_place, ipv6_prefix=ipv6_prefix))
        # (network) and (account, family) -> time of the last log-in; the same -> sessions that are open.
        self._last: OrderedDict[object, float] = OrderedDict()
        self._open: Dict[object, int] = {}
        # session -> (time, keys), the oldest first
        self._sessions: OrderedDict[str, tuple] = OrderedDict()
        self._reads = False
        # (account, address) of those who sent -> [log-ins after one to read, after one over the other family only]
        self._pairs: OrderedDict[tuple, List[int]] = OrderedDict()

    def unproven(self, events: Iterable[Event], since: float) -> Iterator[Login]:
        """Leave out the log-ins to send mail that followed a log-in to read it.

        :param events: in the order of time
        :param since: epoch seconds; nothing before it is yielded
        :returns: failures too, and log-ins to read mail
        """
        now = since - self.lead
        for event in events:
            # A line without a stamp is of the time of the one before it, as far as anybody knows.
            now = now if event.time is None else event.time
            if isinstance(event, Left):
                self._ended(now, event.session)
                continue
            if event.accepted and event.kind != "smtp":
                self._read(now, event)
            if now >= since and not (event.accepted and event.kind == "smtp" and self._proven(now, event)):
                yield event

    def explain(self, cutoffs: List[dict]) -> List[str]:
        """Add to each cut-off what is known of it here.

        :param cutoffs: as :func:`cutoffs.preview` gives them; each gets ``proven`` (int, log-ins of that
            account from that address that followed one to read mail) and ``dual_stack`` (int, of its ``logins``, those
            that followed one of the same account over the other of IPv4 and IPv6)
        :returns: sentences on all of them
        """
        for cutoff in cutoffs:
            cutoff["proven"], cutoff["dual_stack"] = self._pairs.get((cutoff["account"], cutoff["address"]), (0, 0))
        if not self._reads:
            return [_NO_LOGIN] if cutoffs else []
        dual = [cutoff for cutoff in cutoffs if cutoff["dual_stack"]]
        if not dual:
            return []
        more = " and {0} more".format(len(dual) - 1) if len(dual) > 1 else ""
        return [_DUAL_STACK.format(len(dual), dual[0]["account"], dual[0]["address"], more)]

    # --- log-ins to read mail -----------------------------------------------------------------------------------

    def _keys(self, event):
        network, family = self._place(event.address)
        return (network,) if event.account is None else (network, (ascii_lower(event.account), family))

    def _read(self, now, event):
        self._reads = True
        keys = self._keys(event)
        self._renew(now, keys)
        if self._sessions_renew and event.session is not None and event.session not in self._sessions:
            self._sessions[event.session] = (now, keys)
            for key in keys:
                self._open[key] = self._open.get(key, 0) + 1
            if len(self._sessions) > _REMEMBERED_LIMIT:
                self._close(next(iter(self._sessions)))

    def _renew(self, time, keys):
        for key in keys:
            self._last[key] = max(time, self._last.pop(key, time))
        while len(self._last) > 2 * _REMEMBERED_LIMIT:
            self._last.popitem(last=False)

    def _ended(self, now, session):
        for one in list(self._sessions) if session is None else [session]:
            if one in self._sessions:
                began, keys = self._close(one)
                self._renew(max(began, min(now - RENEWED_EVERY, began + LONGEST_SESSION)), keys)

    def _close(self, session):
        began, keys = self._sessions.pop(session)
        for key in keys:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
        return began, keys

    # --- log-ins to send it -------------------------------------------------------------------------------------

    def _proven(self, now, event):
        """Whether the log-in to send mail followed one to read it; counted as one or the other."""
        while self._sessions and self._sessions[next(iter(self._sessions))][0] < now - LONGEST_SESSION:
            self._close(next(iter(self._sessions)))
        keys = self._keys(event)
        proven = self._counts(now, keys[0])
        dual = not proven and len(keys) > 1 and self._counts(now, (keys[1][0], _OTHER_FAMILY[keys[1][1]]))
        if proven or dual:
            pair = self._pairs.setdefault((event.account, event.address), [0, 0])
            pair[0 if proven else 1] += 1
            if len(self._pairs) > _REMEMBERED_LIMIT:
                self._pairs.popitem(last=False)
        return proven

    def _counts(self, now, key):
        last = self._last.get(key)
        return key in self._open or (last is not None and now - last < self._seconds)


def _place(address, ipv6_prefix):
    """What of an address (str, folded) counts: (str or network, family)."""
    if ":" not in address:
        return address, 4
    if ipv6_prefix == 128:
        return address, 6
    return ipaddress.ip_network((address, ipv6_prefix), strict=False), 6
