"""Nobody is cut off by surprise: what every change that narrows who may send asks before it is made."""

# The options a module takes for this; put them in its argument_spec.
GUARD_ARGUMENTS = {
    "on_cutoff": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
    "accepted_cutoffs": {"type": "list", "elements": "str", "default": []},
    "lookback_days": {"type": "int", "default": 14},
    "log_files": {"type": "list", "elements": "path", "default": []},
    "log_journal": {"type": "bool", "default": True},
}


def guard(system, params, is_refused, what):
    """Read the logs and name who sent mail in the last days and would be refused from now on.

    Call it only when something is about to change: the logs of a host that was narrowed yesterday still
    hold the log-ins of those who were given up then.

    :param System system: the host
    :param dict params: a module's parameters, with those of GUARD_ARGUMENTS
    :param is_refused: function (Login) -> bool; asked once for each account and address
    :param str what: the change, as the beginning of a sentence: "Closing 587 and 465 to all but the declared sources"
    :returns: dict: ``cutoffs`` (list of dict, capped), ``cutoffs_total`` (int), ``covered_since`` (str, UTC, or
        None: no log was found), ``warnings`` (list of sentences)
    :raises UserError: ``on_cutoff`` is ``fail`` and somebody who isn't accepted would be cut off; its ``result`` is
        that dict; also for a wrong parameter
    """
    raise NotImplementedError
