"""Nobody is cut off by surprise: what every change that narrows who may send asks before it is made."""

import time
from itertools import chain
from typing import Callable, Dict, Iterable, Optional

from ..errors import UserError
from ..system import System
from .cutoffs import LIST_LIMIT, REMEMBERED_LIMIT, Accepted, Beyond, as_utc, grouped, preview, sentence
from .events import Login
from .forged import Sieve
from .logins import WANTED, events, logins
from .pop_cutoffs import Window
from .reader import USUAL_FILES, Logs
from .stamps import DAY

# The options a module takes for this; put them in its argument_spec.
GUARD_ARGUMENTS: Dict[str, dict] = {
    "on_cutoff": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
    "accepted_cutoffs": {"type": "list", "elements": "str", "default": []},
    "lookback_days": {"type": "int", "default": 14},
    "log_files": {"type": "list", "elements": "path", "default": []},
    "log_journal": {"type": "bool", "default": True},
    "cutoffs_listed": {"type": "int", "default": 50},
}

# Of these, a result holds some megabytes.
_RESULT_LIMIT = 10000

_UNPROVED = (
    "{0} of them stand in logs that every user of the host can write to, and no journal says who wrote it: {1}{2}. "
    "Those that are made up are accepted by these words in accepted_cutoffs; cutoff_groups has all groups."
)

_ADVICE = "Let them in"

_DAYS_LIMIT = 3660

_BEYOND = (
    "{0} log-ins more are of accounts and addresses beyond the first {1:,}, too many to be kept apart: such a log is "
    "made up; find out who writes it."
)


class CutOffError(UserError):
    """Somebody would be cut off whom nobody has named.

    :ivar dict result: what :func:`guard` returns otherwise
    """

    def __init__(self, message: str, result: dict):
        super().__init__(message)
        self.result = result


def guard(
    system: System,
    params: dict,
    is_refused: Callable[[Login], bool],
    what: str,
    window: Optional[Window] = None,
) -> dict:
    """Read the logs and name who sent mail in the last days and would be refused from now on.

    Call it only when something is about to change: the logs of a host that was narrowed yesterday still
    hold the log-ins of those who were given up then.

    :param params: a module's parameters, with those of GUARD_ARGUMENTS; with no ``log_files``, the usual ones;
        ``cutoffs_listed``, how many are listed, may be missing
    :param is_refused: asked once for each account, address and service that logged in to
        send mail. What a port would refuse depends on the service too: who uses 25 is not touched by a closed 587.
    :param what: the change, as the beginning of a sentence: "Closing 587 and 465 to all but the declared sources"
    :param window: whoever logged in to read mail shortly before is not refused (None: that means
        nothing)
    :returns: ``cutoffs`` (list of dict as :func:`cutoffs.preview` gives them, with what ``window`` adds to them;
        capped), ``cutoffs_total`` (int), ``cutoff_groups`` (list of dict as :func:`cutoffs.grouped` gives them, of
        those that are not accepted; capped), ``cutoff_groups_total`` (int), ``forged`` (list of dict as
        :meth:`forged.Sieve.forged` gives them; capped), ``forged_total`` (int), ``findings`` (list of sentences: on who
        was made up), ``covered_since`` (str, UTC, or None: no log was read), ``warnings`` (list of sentences)
    :raises CutOffError: ``on_cutoff`` is ``fail`` and somebody who isn't accepted would be cut off
    :raises UserError: a wrong parameter
    """
    days = params["lookback_days"]
    if not 1 <= days <= _DAYS_LIMIT:
        raise UserError(
            "lookback_days is {0}: give the days of logs to look at, from 1 to {1}; on_cutoff: ignore reads no "
            "logs.".format(days, _DAYS_LIMIT)
        )
    Accepted(params["accepted_cutoffs"])
    limit: int = params.get("cutoffs_listed", GUARD_ARGUMENTS["cutoffs_listed"]["default"])
    if not 1 <= limit <= _RESULT_LIMIT:
        raise UserError(
            "cutoffs_listed is {0}: give how many of those who would be cut off are listed, from 1 to {1}.".format(
                limit, _RESULT_LIMIT
            )
        )
    if params["on_cutoff"] == "ignore":
        return _result([], limit, Sieve(0), system)

    since = int(time.time()) - days * DAY
    files = params["log_files"] or [path for path in USUAL_FILES if system.exists(path)]
    if window is None:
        logs = Logs(system, files, params["log_journal"], since, wanted=WANTED)
        sieve = Sieve(since, logs.unsigned)
        found: Iterable[Login] = sieve.through(logins(logs.lines()))
    else:
        logs = Logs(system, files, params["log_journal"], since - window.lead, wanted=WANTED + window.wanted)
        sieve = Sieve(since, logs.unsigned)
        found = window.unproven(sieve.through(events(logs.lines())), since)
    # Of what may not be true it is not asked whether it followed a log-in to read mail.
    beyond = Beyond()
    cutoffs = preview(chain(found, sieve.doubtful()), is_refused, params["accepted_cutoffs"], beyond)
    notes = window.explain(cutoffs) if window else []
    covered_since = None if logs.covered_since is None else max(since, logs.covered_since)
    result = _result(cutoffs, limit, sieve, system)
    result["covered_since"] = as_utc(covered_since)
    result["warnings"] = logs.notes + _coverage(covered_since, since, days, logs.is_whole) + notes
    surprises = [cutoff for cutoff in cutoffs if not cutoff["accepted"]]
    if surprises or beyond.logins:
        summary = "{0} would cut off {1}.".format(
            what, sentence(surprises) if surprises else "accounts that are not named here"
        )
        more = _unproved(surprises, result) + _not_listed(result, limit)
        if beyond.logins:
            more.append(_BEYOND.format(beyond.logins, REMEMBERED_LIMIT))
        if params["on_cutoff"] == "fail":
            raise CutOffError(
                "{0} {1}, or name in accepted_cutoffs those who are meant to be refused (an account, an address, a "
                "network, or 'ACCOUNT from ADDRESS'); on_cutoff: warn goes ahead.".format(
                    " ".join([summary] + more + notes + result["findings"]), window.advice if window else _ADVICE
                ),
                result,
            )
        result["warnings"].append(" ".join([summary] + more))
    return result


def _result(cutoffs, limit, sieve, system):
    groups = grouped([cutoff for cutoff in cutoffs if not cutoff["accepted"]])
    return {
        "cutoffs": cutoffs[:limit],
        "cutoffs_total": len(cutoffs),
        "cutoff_groups": groups[:limit],
        "cutoff_groups_total": len(groups),
        "forged": sieve.forged()[:limit],
        "forged_total": sieve.total(),
        "findings": sieve.findings(system),
        "covered_since": None,
        "warnings": [],
    }


def _unproved(surprises, result):
    """What to do with those that no journal proves, unless all are such and few: a list of none or one sentence."""
    unproved = [cutoff for cutoff in surprises if not cutoff["in_journal"]]
    if len(unproved) == len(surprises) <= LIST_LIMIT and not any(cutoff["uid"] for cutoff in unproved):
        return []
    if not unproved:
        return []
    groups = [group for group in result["cutoff_groups"] if not group["in_journal"]]
    shown = "; ".join(
        "'{0}' ({1} account{2}, {3} address{4})".format(
            group["accept"],
            group["accounts"],
            "" if group["accounts"] == 1 else "s",
            group["addresses"],
            "" if group["addresses"] == 1 else "es",
        )
        for group in groups[:LIST_LIMIT]
    )
    more = len(groups) - LIST_LIMIT
    return [_UNPROVED.format(len(unproved), shown, " and {0} groups more".format(more) if more > 0 else "")]


def _not_listed(result, limit):
    """That not all are listed, and how to see them: list of none or one sentence."""
    total = result["cutoffs_total"]
    if total <= limit:
        return []
    return [
        "The result's cutoffs lists the first {0} of {1}; cutoffs_listed: {2} lists {3}.".format(
            limit, total, min(total, _RESULT_LIMIT), "all" if total <= _RESULT_LIMIT else "that many"
        )
    ]


def _coverage(covered_since, since, days, is_whole):
    """What isn't known for want of logs: a list of none or one sentence."""
    if covered_since is None and not is_whole:
        return [
            "Not all of the mail log of the last {0} days could be read: who else would be cut off is not "
            "known.".format(days)
        ]
    if covered_since is None:
        return ["No mail log of the last {0} days was found: who would be cut off is not known.".format(days)]
    # Log rotation and the first line of a day don't fall on the second.
    if covered_since > since + DAY:
        return [
            "The mail logs reach back to {0} only, not {1} days: who sent mail before that is not known.".format(
                as_utc(covered_since), days
            )
        ]
    return []
