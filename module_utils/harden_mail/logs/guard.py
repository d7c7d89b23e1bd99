"""Nobody is cut off by surprise: what every change that narrows who may send asks before it is made."""

import time

from ..errors import UserError
from .cutoffs import Accepted, as_utc, preview, sentence
from .logins import WANTED, events, logins
from .reader import USUAL_FILES, Logs

# The options a module takes for this; put them in its argument_spec.
GUARD_ARGUMENTS = {
    "on_cutoff": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
    "accepted_cutoffs": {"type": "list", "elements": "str", "default": []},
    "lookback_days": {"type": "int", "default": 14},
    "log_files": {"type": "list", "elements": "path", "default": []},
    "log_journal": {"type": "bool", "default": True},
}

MOST_LISTED = 50

ADVICE = "Let them in"

MOST_DAYS = 3660

DAY = 86400


def guard(system, params, is_refused, what, window=None):
    """Read the logs and name who sent mail in the last days and would be refused from now on.

    Call it only when something is about to change: the logs of a host that was narrowed yesterday still
    hold the log-ins of those who were given up then.

    :param System system: the host
    :param dict params: a module's parameters, with those of GUARD_ARGUMENTS; with no ``log_files``, the usual ones
    :param is_refused: function (Login) -> bool; asked once for each account, address and service that logged in to
        send mail. What a port would refuse depends on the service too: who uses 25 is not touched by a closed 587.
    :param str what: the change, as the beginning of a sentence: "Closing 587 and 465 to all but the declared sources"
    :param pop_cutoffs.Window window: whoever logged in to read mail shortly before is not refused (None: that means
        nothing)
    :returns: dict: ``cutoffs`` (list of dict as :func:`cutoffs.preview` gives them, with what ``window`` adds to them;
        capped), ``cutoffs_total`` (int), ``covered_since`` (str, UTC, or None: no log was read), ``warnings`` (list of
        sentences)
    :raises UserError: ``on_cutoff`` is ``fail`` and somebody who isn't accepted would be cut off; its ``result`` is
        that dict; also for a wrong parameter
    """
    days = params["lookback_days"]
    if not 1 <= days <= MOST_DAYS:
        raise UserError(
            "lookback_days is {0}: give the days of logs to look at, from 1 to {1}; on_cutoff: ignore reads no "
            "logs.".format(days, MOST_DAYS)
        )
    Accepted(params["accepted_cutoffs"])
    if params["on_cutoff"] == "ignore":
        return {"cutoffs": [], "cutoffs_total": 0, "covered_since": None, "warnings": []}

    since = int(time.time()) - days * DAY
    files = params["log_files"] or [path for path in USUAL_FILES if system.exists(path)]
    if window is None:
        logs = Logs(system, files, params["log_journal"], since, wanted=WANTED)
        found = logins(logs.lines())
    else:
        logs = Logs(system, files, params["log_journal"], since - window.lead, wanted=WANTED + window.wanted)
        found = window.unproven(events(logs.lines()), since)
    cutoffs = preview(found, is_refused, params["accepted_cutoffs"])
    notes = window.explain(cutoffs) if window else []
    covered_since = None if logs.covered_since is None else max(since, logs.covered_since)
    result = {
        "cutoffs": cutoffs[:MOST_LISTED],
        "cutoffs_total": len(cutoffs),
        "covered_since": as_utc(covered_since),
        "warnings": logs.notes + _coverage(covered_since, since, days) + notes,
    }
    surprises = [cutoff for cutoff in cutoffs if not cutoff["accepted"]]
    if surprises:
        told = "{0} would cut off {1}.".format(what, sentence(surprises))
        if params["on_cutoff"] == "fail":
            error = UserError(
                "{0} {1}, or name in accepted_cutoffs those who are meant to be refused (an account, an address, a "
                "network, or 'ACCOUNT from ADDRESS'); on_cutoff: warn goes ahead.".format(
                    " ".join([told] + notes), window.advice if window else ADVICE
                )
            )
            error.result = result
            raise error
        result["warnings"].append(told)
    return result


def _coverage(covered_since, since, days):
    """What isn't known for want of logs: a list of none or one sentence."""
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
