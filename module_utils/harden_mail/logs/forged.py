"""Log-ins that somebody made up: lines of a log that the mail server did not write."""

from collections import OrderedDict
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Set, TypeVar, cast

from ..system import System
from .cutoffs import NO_ACCOUNT, as_utc
from .events import Event, Left, Login
from .journal import user_name
from .logins import logins
from .reader import ALONE, DOUBTFUL, SAME_SECONDS

# So many accounts with their addresses are kept apart; of what comes after them only the number is known.
_REMEMBERED_LIMIT = 100000

# So many are named in a sentence; the total is always said.
_LIST_LIMIT = 3

# A line that tells of a log-in more often than this changes nothing.
_REPEAT_LIMIT = 1000

_BY_OTHERS = (
    "{0} log line{1} of log-ins {2} forged and counted for nothing: {3} wrote {4} into the journal as if the mail "
    "server had, for example of {5}. Find out what runs there as that user."
)
_IN_FILES = (
    "Log-ins of {0} account{1} and address{2} stand in a log file alone, while the journal has what the mail server "
    "itself wrote at that time; taken for forged, and counted for nothing: {3}. Find out which program of this host "
    "writes to syslog's sockets."
)


_UNNAMED = (
    "{0} lines more are of accounts and addresses beyond the first {1:,}: whether one of them is true was not looked "
    "at. Stop who writes them, and look again."
)

_Event = TypeVar("_Event", bound=Event)


class Sieve:
    """Keeps back what was not written by the mail server, and remembers it.

    A log file's copy of what the journal has is kept back as well, and forgotten.

    :ivar int lines: how many lines others are known to have forged
    """

    def __init__(self, since: float, unsigned: Optional[Callable] = None):
        """
        :param since: epoch seconds; what is before it is not remembered
        :param unsigned: :meth:`reader.Logs.unsigned`, asked when all went through (None: there is no journal)
        """
        self._since, self._unsigned = since, unsigned
        self.lines = 0
        # user id -> number of lines
        self._writers: Dict[int, int] = {}
        # (account, address) -> [Login, the first one; number; time of the last]; of others in the journal, and in files
        self._forged: OrderedDict[tuple, list] = OrderedDict()
        self._held: OrderedDict[tuple, list] = OrderedDict()
        self._unnamed = 0
        # (account, address) of those who sent, by the mail server's own lines
        self._known: Set[tuple] = set()

    def through(self, events: Iterable[_Event]) -> Iterator[_Event]:
        """Those of the events that the mail server wrote, as far as anybody knows."""
        for event in events:
            if isinstance(event, Left):
                yield event
                continue
            proof = "unproved" if event.writer is None else event.writer.proof
            if proof in ("unproved", "hearsay"):
                # What some user of the host says of a program proves no log-in to read mail, and nobody's failure.
                if not _is_hearsay(event) or (event.accepted and event.kind == "smtp"):
                    yield event
            elif proof == "proved":
                if event.accepted and event.kind == "smtp":
                    self._known.add((event.account, event.address))
                yield event
            elif cast(int, event.time) >= self._since:  # forged, alone or doubtful: of lines that have a time
                self._keep(event, proof)

    def doubtful(self) -> Iterator[Login]:
        """When all went through: log-ins to send mail that may be true though the journal lacks them."""
        self._ask_again()
        for (login, number, _last), is_forged in self._alone():
            if not is_forged:
                for _time in range(min(number, _REPEAT_LIMIT)):
                    yield login

    def forged(self) -> List[dict]:
        """When all went through: who was made up, the latest first.

        :returns: dicts of ``account`` (str or None), ``address``, ``service`` (str), ``logins`` (int), ``first``,
            ``last`` (str, UTC), ``uid`` (int: who wrote it; None: it stands in a file alone)
        """
        found = list(self._forged.values()) + [kept for kept, is_forged in self._alone() if is_forged]
        return [
            {
                "account": login.account,
                "address": login.address,
                "service": login.service,
                "logins": number,
                "first": as_utc(login.time),
                "last": as_utc(last),
                "uid": login.writer.uid,
            }
            for login, number, last in sorted(found, key=lambda kept: kept[2], reverse=True)
        ]

    def total(self) -> int:
        """How many accounts with addresses :meth:`forged` names, and those that are too many to be named."""
        return len(self.forged()) + self._unnamed

    def findings(self, system: System) -> List[str]:
        """Sentences on what was forged, none when nothing was."""
        found, forged = [], self.forged()
        if self._writers:
            one = self.lines == 1
            who = ", ".join("uid " + user_name(system, uid) for uid in sorted(self._writers)[:_LIST_LIMIT])
            more = len(self._writers) - _LIST_LIMIT
            who += " and {0} more".format(more) if more > 0 else ""
            example = _examples([one_ for one_ in forged if one_["uid"] is not None]) or "failed log-ins"
            words = ("", "was", "it") if one else ("s", "were", "them")
            found.append(_BY_OTHERS.format(self.lines, words[0], words[1], who, words[2], example))
        alone = [one for one in forged if one["uid"] is None]
        if alone:
            number = len(alone)
            plural = ("", "") if number == 1 else ("s", "es")
            found.append(_IN_FILES.format(number, plural[0], plural[1], _examples(alone)))
        if self._unnamed:
            found.append(_UNNAMED.format(self._unnamed, _REMEMBERED_LIMIT))
        return found

    def _ask_again(self):
        """Take for doubtful what the journal has without saying who wrote it: journald can't always find that out."""
        alone = {pair: kept for pair, kept in self._held.items() if kept[0].writer == ALONE and pair not in self._known}
        if not alone or self._unsigned is None:
            return
        times = [kept[0].time for kept in alone.values()] + [kept[2] for kept in alone.values()]
        programs = {kept[0].service.partition("/")[0] if kept[0].service.startswith("dovecot/") else kept[0].service
                    for kept in alone.values()}  # fmt: skip
        lines, is_whole = self._unsigned(programs, min(times) - SAME_SECONDS, max(times) + SAME_SECONDS)
        known = {(login.account, login.address) for login in logins(lines)}
        for pair, kept in alone.items():
            if pair in known or not is_whole:
                kept[0] = kept[0]._replace(writer=DOUBTFUL)

    def _alone(self):
        """What stands in files alone: iterator of ([Login, number, last], bool: whether it is forged)."""
        for pair, kept in self._held.items():
            if pair not in self._known:
                yield kept, kept[0].writer.proof == "alone"

    def _keep(self, login, proof):
        if proof == "forged":
            self.lines += 1
            self._writers[login.writer.uid] = self._writers.get(login.writer.uid, 0) + 1
        if not login.accepted or login.kind != "smtp":
            return
        place = self._forged if proof == "forged" else self._held
        pair = (login.account, login.address)
        kept = place.get(pair)
        if kept is not None:
            kept[1] += 1
            kept[2] = login.time
            if proof == "doubtful":
                kept[0] = login
        elif len(place) < _REMEMBERED_LIMIT:
            place[pair] = [login, 1, login.time]
        else:
            self._unnamed += 1


def _is_hearsay(login):
    """Whether it is known who wrote of it, and that it was not root; or who could, past the journal."""
    return login.writer is not None and (login.writer.uid is not None or login.writer.proof == "hearsay")


def _examples(forged):
    named = ["{0} from {1}".format(one["account"] or NO_ACCOUNT, one["address"]) for one in forged[:_LIST_LIMIT]]
    more = len(forged) - _LIST_LIMIT
    return "; ".join(named) + ("; and {0} more".format(more) if more > 0 else "")
