"""What an audit of passwords says: results for each account, sentences, counts. Never a password or a hash."""

import re
from collections import Counter, namedtuple

from ..text import ascii_lower, folds_to_ascii, masked, printable

# Names that one sentence lists at most.
_LIST_LIMIT = 5

# Characters of a token: as many as tell two passwords of an account apart.
_TOKEN = 16

# Names that other modules can be given: what has blanks or odd characters in it is no name that somebody logs in by.
_FIT = re.compile(r"[^\s\x00-\x20\x7f\ud800-\udfff\"#][^\s\x00-\x20\x7f\ud800-\udfff]{0,319}\Z")

KINDS = {
    "account": "made of the account's own name",
    "domain": "made of its domain",
    "name": "made of its owner's name",
    "common": "a common password",
    "japanese": "made of a Japanese word or name",
    "english": "made of an English word or name",
    "keyboard": "a walk over the keyboard",
    "date": "made of a date",
    "digits": "digits",
    "own-list": "from a list of one's own",
    "pwned": "in a list of leaked passwords",
    "empty": "empty",
}

WEAK = {
    "plain": "the store has the passwords themselves",
    "unsalted": "without salt",
    "des": "only eight characters count",
    "md5": "quick to guess for whoever steals it",
}


class Checked:
    """An account of which there is something to say.

    :ivar str name: account
    :ivar str store: the store's name
    :ivar str scheme: as ``hashes.Hash``; None when it could not be read
    :ivar weak: str, as ``hashes.Hash``
    :ivar bytes password: where the store has the password itself; secret
    :ivar entry: ``notebook.Entry``; None when it could not be read
    :ivar unchanged: int, days for which the password is known to be the same; None: not known
    :ivar str reason: why it is not tried, or None
    :ivar bool is_harmless: nobody can log in with it, so that it is not tried is right
    :ivar same: int, how many others are known to have the same password; None: not known
    """

    __slots__ = ("entry", "is_harmless", "name", "password", "reason", "same", "scheme", "store", "unchanged", "weak")

    def __init__(self, name, store):
        self.name, self.store = name, store
        self.scheme = self.weak = self.entry = self.unchanged = self.reason = self.same = self.password = None
        self.is_harmless = False

    def __repr__(self):
        return "Checked({0!r})".format(self.name)

    @property
    def plain(self):
        """Whether the store has the password itself."""
        return self.password is not None

    @property
    def kind(self):
        """The class of rules by which it was guessed, "pwned", or None."""
        if not self.entry:
            return None
        return self.entry.kind or ("pwned" if self.entry.pwned else None)


# How it went.
#   is_finished: bool, all was tried within the limits of each account
#   is_look:     bool, of what is left, only the first guesses were to be tried (check mode)
#   seconds:     the time there was; waited: how much of it was left to others on this host
#   excluded:    number of accounts
#   problems:    list of sentences on what could not be read
#   notes:       list of sentences, what else is to be known
AuditRun = namedtuple("AuditRun", "is_finished is_look seconds waited excluded problems notes")


def result(checked, options, audit_run):
    """The module's result but for ``changed`` and ``progress``.

    :param list checked: of :class:`Checked`
    :param dict options: ``max_age_days``, ``mask_accounts``, ``name_guessed``, ``limit_listed``
    :param AuditRun audit_run: how it went
    """
    shown = masked if options["mask_accounts"] else printable
    ranked = sorted(checked, key=lambda one: _rank(one, options))
    if len(ranked) > options["limit_listed"]:
        ranked = _taking_turns(ranked, options)
    listed = ranked[: options["limit_listed"]]
    guessed = [one for one in checked if one.kind and _is_fit(one.name)]
    # Who is in two stores is told once.
    first = {}
    for one in guessed:
        first.setdefault(one.name, one)
    named = str if options["name_guessed"] else shown
    return {
        "accounts": [_account(one, options, shown) for one in listed],
        "accounts_total": len(checked),
        "guessed_accounts": sorted({named(one.name) for one in guessed}),
        "guessed": [
            {"name": one.name, "token": one.entry.mac.hex()[:_TOKEN], "kind": one.kind}
            for _, one in sorted(first.items())
            if options["name_guessed"]
        ],
        "summary": _summary(checked, options, audit_run),
        "finished": audit_run.is_finished,
        "findings": _findings(ranked, options, audit_run, shown),
        "evidence": _evidence(checked, audit_run),
    }


def is_old(one, options):
    limit = options["max_age_days"]
    return limit is not None and one.unchanged is not None and not one.is_harmless and one.unchanged > limit


def _rank(one, options):
    """The worst first."""
    if one.kind == "empty":
        return 0, 0, one.name
    if one.kind:
        return 1, one.entry.within or 1 << 30, one.name
    if is_old(one, options):
        return 2, -one.unchanged, one.name
    if one.reason:
        return (6 if one.is_harmless else 3), 0, one.name
    return (4 if one.plain or one.weak else 5), 0, one.name


def _taking_turns(ranked, options):
    """The same, in which domains take turns among equals: who makes many bad accounts hides nobody else's."""
    had, number = Counter(), len(ranked)

    # A number, not a tuple: there is one for each account at once. It is asked for from the worst account to the best.
    def turn(one):
        place = _rank(one, options)[0], ascii_lower(one.name.rpartition("@")[2])
        had[place] += 1
        return place[0] * number + had[place]

    return sorted(ranked, key=turn)


def _account(one, options, shown):
    entry = one.entry
    return {
        "account": shown(one.name),
        "store": one.store,
        "scheme": one.scheme,
        "guessed": {"kind": one.kind, "within": entry.within} if one.kind else None,
        "not_guessed_in": entry.tried if entry and not one.kind and not one.reason else None,
        "plaintext_store": one.plain,
        "weak_scheme": one.weak,
        "empty": one.kind == "empty",
        "unchanged_for_days": one.unchanged,
        "too_old": is_old(one, options),
        "same_password_as": one.same,
        "not_tried_because": one.reason,
    }


def _summary(checked, options, audit_run):
    tried = [one for one in checked if not one.reason]
    return {
        "accounts": len(checked),
        "tried": len(tried),
        "guessed": sum(1 for one in checked if one.kind),
        "empty": sum(1 for one in checked if one.kind == "empty"),
        "within": dict(Counter(_bucket(one.entry.within) for one in checked if one.kind)),
        "kinds": dict(Counter(one.kind for one in checked if one.kind)),
        "too_old": sum(1 for one in checked if is_old(one, options)),
        "plaintext_store": sum(1 for one in tried if one.plain),
        "weak_scheme": sum(1 for one in tried if one.weak),
        "same_password": sum(1 for one in tried if one.same),
        "not_tried": dict(Counter(one.reason for one in checked if one.reason)),
        "excluded": audit_run.excluded,
    }


def _bucket(within):
    return "more" if within is None else str(within)


def _findings(ranked, options, audit_run, shown):
    limit = options["limit_listed"]
    empty = [one for one in ranked if one.kind == "empty"]
    guessed = [one for one in ranked if one.kind not in (None, "empty")]
    old = [one for one in ranked if is_old(one, options)]
    return (
        _capped(empty, limit, lambda one: "{0} has an empty password.".format(shown(one.name)), "an empty password")
        + _capped(guessed, limit, lambda one: _guessed(one, shown), "a password that was guessed")
        + _capped(
            old,
            limit,
            lambda one: "The password of {0} has been the same for {1:,} days; {2:,} are allowed.".format(
                shown(one.name), one.unchanged, options["max_age_days"]
            ),
            "a password that is too old",
        )
        + _not_tried([one for one in ranked if one.reason and not one.is_harmless], shown)
        + _unnamed([one for one in ranked if one.kind and not _is_fit(one.name)], options)
        + audit_run.problems
    )


def _is_fit(name):
    # What another program may fold to a name in ASCII would be followed by something for somebody else.
    return bool(_FIT.match(name)) and not folds_to_ascii(name)


def _unnamed(accounts, options):
    if not accounts or not options["name_guessed"]:
        return []
    return [
        "{0:,} of these accounts with guessed passwords have blanks or odd characters in their names: only this report "
        "follows for them, they are neither blocked nor told.".format(len(accounts))
    ]


def _capped(accounts, limit, sentence, what):
    told = [sentence(one) for one in accounts[:limit]]
    if len(accounts) > limit:
        more = _counted(len(accounts) - limit, "more account has", "more accounts have")
        told.append("{0} {1}; {2:,} in all.".format(more, what, len(accounts)))
    return told


def _guessed(one, shown):
    if one.kind == "pwned":
        return "The password of {0} is in the list of leaked passwords.".format(shown(one.name))
    how = "within {0:,} guesses".format(one.entry.within) if one.entry.within else "in more than 10,000 guesses"
    also = "; {0} the same".format(_counted(one.same, "other account has", "other accounts have")) if one.same else ""
    return "The password of {0} was guessed {1}: it is {2}{3}.".format(
        shown(one.name), how, KINDS.get(one.kind, "known"), also
    )


def _not_tried(accounts, shown):
    reasons = {}
    for one in accounts:
        reasons.setdefault((one.store, one.reason), []).append(one.name)
    told = []
    for (store, reason), names in reasons.items():
        some = ", ".join(shown(name) for name in names[:_LIST_LIMIT])
        more = " and {0:,} more".format(len(names) - _LIST_LIMIT) if len(names) > _LIST_LIMIT else ""
        told.append("Not tried, {0} of {1}: {2}. {3}{4}.".format(_accounts(len(names)), store, reason, some, more))
    return told


def _counted(number, one, many):
    return "{0:,} {1}".format(number, one if number == 1 else many)


def _accounts(number):
    return _counted(number, "account", "accounts")


def _evidence(checked, audit_run):
    told = []
    for store in sorted({one.store for one in checked}):
        told.append(_store(store, [one for one in checked if one.store == store]))
    schemes = {}
    for one in checked:
        if one.scheme and not one.reason:
            schemes.setdefault(one.scheme, []).append(one)
    told += [_scheme(scheme, accounts) for scheme, accounts in sorted(schemes.items())]
    equal = sum(1 for one in checked if one.same)
    if equal:
        some = _counted(equal, "account is known to share its", "accounts are known to share their")
        told.append("{0} password with another one.".format(some))
    if audit_run.excluded:
        some = _counted(audit_run.excluded, "account is", "accounts are")
        told.append("{0} excluded by declaration.".format(some))
    if audit_run.is_look:
        told.append("Check mode tries the first 100 guesses only.")
    elif not audit_run.is_finished:
        told.append(
            "The time was over ({0:,.0f} s, {1:,.0f} of them left to others): the next audit goes on from here.".format(
                audit_run.seconds, audit_run.waited
            )
        )
    return told + audit_run.notes


def of_missed(missed, kept, is_whole, days):
    """Sentences on blocks that stay because nobody knows now whether they still ought to be there.

    :param int missed: accounts that were guessed, in sources that were not read as a whole this time
    :param int kept: accounts that are kept from sending for it
    :param bool is_whole: whether it is known who was guessed at any time
    :param int days: for which such accounts are remembered
    """
    if not is_whole:
        return [
            "Not everybody whose password was guessed before is known now, so blocks stay until everybody was tried "
            "again, for {0} days at most ({1}).".format(days, _counted(kept, "account", "accounts"))
        ]
    if not missed:
        return []
    return [
        "{0} in sources that could not be read as a whole this time, or are gone; of these, {1} for {2} days after "
        "the last time that their source was read. All others are blocked and unblocked as usual.".format(
            _counted(missed, "account with a guessed password is", "accounts with guessed passwords are"),
            _counted(kept, "that is blocked stays so", "that are blocked stay so"),
            days,
        )
    ]


def _store(store, accounts):
    counts = Counter(one.reason for one in accounts if one.is_harmless)
    apart = "".join(", {0:,} {1}".format(number, reason) for reason, number in sorted(counts.items()))
    guessed = sum(1 for one in accounts if one.kind)
    return "{0}: {1}, {2:,} guessed{3}.".format(store, _accounts(len(accounts)), guessed, apart)


def _scheme(scheme, accounts):
    weak = next((WEAK.get(one.weak, one.weak) for one in accounts if one.weak), None)
    tries = [one.entry.tried for one in accounts if not one.kind]
    told = "{0}{1}: {2}".format(scheme, " ({0})".format(weak) if weak else "", _accounts(len(accounts)))
    if tries:
        least, most = min(tries), max(tries)
        span = "{0:,}".format(least) if least == most else "{0:,} to {1:,}".format(least, most)
        told += ", {0:,} not guessed in {1} tries".format(len(tries), span)
    return told + "."
