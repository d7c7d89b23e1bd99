"""The audit of mail-account passwords: reads the stores, guesses, remembers, and says what came of it."""

import contextlib
import datetime
import fnmatch
import itertools
import os
import sys
import time

from ..block.engine import listed
from ..errors import NotApplicable, UserError
from ..module_runner import place_of
from ..paths import PASSWORDS_LOCK, PASSWORDS_QUESTION, PASSWORDS_STATE
from ..text import ascii_lower, printable
from . import notebook
from . import result as answers
from .audit_lists import Wanted, lists_dir
from .candidates import QUOTAS, derived, fingerprint, general_batches
from .candidates.hibp import PwnedFile
from .guessing import cost, process_guard
from .guessing.jobs import Target
from .guessing.rounds import Words
from .guessing.run import Guessing, Limits
from .hashes.parse import Uncheckable, Unreadable, parse
from .stores import sql_client
from .stores.registry import OUT_OF_REACH, open_store

_EPOCH = datetime.date(1970, 1, 1)

# Seconds between two times that the notebook is saved, and how many times longer than saving takes.
_SAVE_EVERY = 10
_SAVE_SHARE = 20

_DISABLED = "disabled"

# The reason by which ``submission_block`` knows whom the audit keeps from sending.
BLOCK = "password_audit"

# This part of the time is for guessing, however long others make the reading of what they write.
_GUESSING_SHARE = 0.5

_LITTLE_TIME = (
    "Reading the stores took {0:,.0f} of the {1:,.0f} seconds that there are (password_audit_budget_seconds), so "
    "the guessing had no more than {2:,.0f}: give more."
)

# Unsalted hashes that are what a file of Have I Been Pwned has: the scheme, and that file's kind.
LEAKED = {"SHA1": "sha1", "NTLM": "ntlm"}


def run(system, params, check_mode):
    """What the module mail_password_audit does.

    :param system: ``system.System``
    :param dict params: the module's
    :param bool check_mode: guess all the same, but write nothing down
    :returns: dict, the module's result
    :raises UserError: an option can't be right, or no store could be read
    """
    if params["state"] == "absent":
        return _absent(system, check_mode)
    limits = _limits(params)
    if not params["stores"]:
        raise NotApplicable("No store of mail accounts was found on this host or declared (password_audit_stores).")
    names = [declaration.get("store") for declaration in params["stores"]]
    if all(name in OUT_OF_REACH for name in names):
        raise NotApplicable(" ".join(_out_of_reach(name) for name in sorted(set(names))))
    with contextlib.ExitStack() as stack:
        if not check_mode:
            stack.enter_context(system.lock(PASSWORDS_LOCK))
            sql_client.remove_left(system, check_mode)
        try:
            lists = stack.enter_context(lists_dir(system, params, check_mode))
        except Wanted:
            return {"changed": False, "lists_wanted": True}
        return _Audit(system, params, limits, lists, check_mode).run()


def _absent(system, check_mode):
    with contextlib.ExitStack() as stack:
        if not check_mode:
            # An audit that is at work would write it down once more.
            stack.enter_context(system.lock(PASSWORDS_LOCK))
        removed = [
            place
            for place, remove in (
                (PASSWORDS_STATE, notebook.remove),
                (PASSWORDS_QUESTION, sql_client.remove_left),
            )
            if remove(system, check_mode)
        ]
    diff = {"before": "".join(place + "\n" for place in removed), "after": ""}
    return {"changed": bool(removed), "diff": diff, "findings": [], "evidence": []}


def _out_of_reach(name):
    return "{0} is not audited: {1}.".format(name, OUT_OF_REACH[name])


def _limits(params):
    for name in (
        "budget_seconds",
        "budget_seconds_per_account",
        "budget_guesses_per_account",
        "spent_seconds",
        "cores",
        "max_load",
        "max_age_days",
        "limit_listed",
    ):
        # What is not a number ("nan") is not below, either.
        if params[name] is not None and not 0 <= params[name] < float("inf"):
            raise UserError("{0} is {1}: give 0 or more, a finite number.".format(name, params[name]))
    there = _processors()
    return Limits(
        seconds=params["budget_seconds"],
        seconds_per_account=params["budget_seconds_per_account"] or None,
        guesses_per_account=params["budget_guesses_per_account"] or None,
        processes=min(params["cores"], there) or there,
        max_load=params["max_load"] or None,
    )


def _of_a_look(limits):
    """Limits of check mode: nothing of it is remembered, so a nightly look would do hours of work again each time.

    The first round finds most; accounts that had more already are not tried at all.
    """
    return limits._replace(guesses_per_account=min(QUOTAS[0][0], limits.guesses_per_account or QUOTAS[0][0]))


def _processors():
    return len(os.sched_getaffinity(0))


class _Audit:
    def __init__(self, system, params, limits, lists, check_mode):
        self._began = time.monotonic()
        self._system, self._params, self._limits = system, params, limits
        self._today = datetime.date.today()
        self._day = (self._today - _EPOCH).days
        self._lists, self._is_check = lists, check_mode
        self._notebook = notebook.Notebook(system, self._day, is_read_only=check_mode)
        self._checked, self._targets = [], []
        self._problems, self._excluded = [], 0
        # Sources that were read as a whole; and whether any was not.
        self._read_whole, self._is_any_unread = set(), False
        self._searchable = []
        self._saved = (time.monotonic(), 0.0)

    def run(self):
        self._notebook.begin(fingerprint(self._lists, self._today))
        for declaration in self._params["stores"]:
            self._read(declaration)
        if self._is_any_unread and not self._checked and not self._excluded:
            raise UserError("No account could be read. " + " ".join(self._problems))
        self._notebook.forget_others(self._read_whole)
        reading = time.monotonic() - self._began
        words = Words(self._own, lambda: general_batches(self._lists, self._today), QUOTAS)
        limits = _of_a_look(self._limits) if self._is_check else self._limits
        limits = limits._replace(seconds=max(limits.seconds * _GUESSING_SHARE, limits.seconds - reading))
        guessing = Guessing(self._targets, words, limits, self._notebook.word_mac)
        try:
            is_finished = guessing.run(self._save_sometimes)
            self._notebook.is_whole = self._notebook.is_whole or (is_finished and self._was_everybody_tried())
        finally:
            self._notebook.save()
        if self._is_check:
            guessing.limits = self._limits
            is_finished = guessing.is_finished
        if not is_finished and 0 < self._limits.seconds * (1 - _GUESSING_SHARE) <= reading:
            self._problems.append(_LITTLE_TIME.format(reading, self._limits.seconds, limits.seconds))
        self._look_up()
        self._take_failures()
        self._count_equal()
        kept = self._kept()
        # What was guessed in former times is known by the notebook, of accounts that are met.
        knows_all = self._notebook.is_whole and not self._notebook.missed()
        seconds = time.monotonic() - self._began + self._params["spent_seconds"]
        is_look = self._is_check and not is_finished
        audit_run = answers.AuditRun(
            is_finished, is_look, seconds, guessing.waited, self._excluded, self._problems, self._notes(guessing, kept)
        )
        answer = answers.result(self._checked, self._params, audit_run)
        everyone, behind = guessing.reached()
        progress = {
            "accounts": len(self._targets),
            "guessed": answer["summary"]["guessed"],
            "everyone": everyone,
            "behind": behind,
            "seconds": round(seconds, 1),
            "reading": round(reading, 1),
        }
        kept = sorted(kept) if self._params["name_guessed"] else []
        return dict(answer, changed=False, progress=progress, knows_all=knows_all, kept_accounts=kept)

    def _was_everybody_tried(self):
        """Whether an audit that was finished leaves nobody out; a look in check mode is not all there is to try."""
        is_any_failed = any(target.failure for target in self._targets)
        return not self._is_check and not self._is_any_unread and not is_any_failed

    # --- accounts -----------------------------------------------------------------------------------------

    def _read(self, declaration):
        name = declaration.get("store")
        if name in OUT_OF_REACH:
            self._problems.append(_out_of_reach(name))
            return
        store = open_store(self._system, declaration)
        sources, problem = {}, None
        try:
            for account in store.accounts():
                if account.source not in sources:
                    sources[account.source] = self._notebook.source(declaration, account.source)
                self._meet(account, sources[account.source], store.writers.get(account.source))
        except UserError as error:
            problem = "{0} could not be read: {1}".format(name, error)
        except OSError as error:
            problem = "{0} could not be read: {1} ({2}).".format(name, error.strerror, printable(str(error.filename)))
        if problem is not None:
            self._problems.append(problem)
        self._problems += store.problems
        if problem is not None or store.unread or not store.knows_sources:
            self._is_any_unread = True
        else:
            self._read_whole.add(self._notebook.source(declaration))
        if problem is None:
            self._read_whole |= {self._notebook.source(declaration, place) for place in store.read_whole}

    def _meet(self, account, source, writer):
        if any(fnmatch.fnmatchcase(ascii_lower(account.name), ascii_lower(glob)) for glob in self._params["exclude"]):
            self._excluded += 1
            return
        one = answers.Checked(account.name, account.store)
        self._checked.append(one)
        if not account.active:
            one.reason, one.is_harmless = _DISABLED, True
            self._keep(account, source)
            return
        try:
            found = parse(account.stored, account.scheme, account.name)
            cost.check(found.group)
        except Uncheckable as error:
            one.is_harmless = isinstance(error, Unreadable) and error.locked
            known = self._keep(account, source)
            if known is not None and known.is_guessed and not one.is_harmless:
                # Whatever keeps it from being tried now, its password is what it was.
                one.entry = known
            else:
                one.reason = error.reason
            return
        except Exception as error:
            # The text of an exception may quote what is stored.
            one.reason = "harden-mail has a defect, {0}; please report it".format(place_of(error))
            return
        one.scheme, one.weak = found.scheme, found.weak
        one.entry = entry = self._notebook.entry(account.store, account.name, account.stored, source)
        since = entry.first_seen if account.changed is None else account.changed
        one.unchanged = max(0, self._day - since)
        if found.plain:
            one.password = found.digest
        if found.empty and entry.kind is None:
            entry.guess("empty", QUOTAS[0][0], self._notebook.word_mac(b""))
        if not entry.is_target:
            entry.is_target = True
            # Who may write rows of a database writes them of his own domain.
            crowd = writer or sys.intern(ascii_lower(account.name.rpartition("@")[2]))
            self._targets.append(Target(account.name, account.hints, found, entry, crowd))
            if self._params["hibp_file"] is not None and (found.plain or found.scheme in LEAKED):
                self._searchable.append(self._targets[-1])

    def _keep(self, account, source):
        """Keep what is known of an account that is not tried for now: its ``notebook.Entry``, or None."""
        # Where marks before its hash lock it, it is known by what is behind them.
        for stored in {account.stored, account.stored.lstrip("!")}:
            known = self._notebook.meet(account.store, account.name, stored, source)
            if known is not None:
                return known
        return None

    def _own(self, name, hints):
        return itertools.chain([(b"", "empty")], derived(name, hints, self._today))

    # --- afterwards ---------------------------------------------------------------------------------------

    def _look_up(self):
        """Look passwords, of those that the store has in plain text, up in a file of leaked ones."""
        path = self._params["hibp_file"]
        if path is None:
            return
        real = self._system.real(path)
        with PwnedFile(real) as pwned:
            status = os.stat(real)
            this = "{0} {1}".format(status.st_size, status.st_mtime_ns)
            for target in self._searchable:
                entry = target.entry
                if entry.kind is None and entry.searched != this:
                    if target.scheme not in LEAKED:
                        entry.pwned = pwned.count_of_password(target.digest) > 0
                    elif LEAKED[target.scheme] == pwned.kind:
                        entry.pwned = pwned.count(target.digest) > 0
                    entry.searched = this
        self._notebook.save()

    def _take_failures(self):
        failures = {id(target.entry): target.failure for target in self._targets if target.failure is not None}
        for one in self._checked:
            if one.entry and not one.entry.is_guessed:
                one.reason = failures.get(id(one.entry))

    def _count_equal(self):
        """How many others have the same password, where it is known: an account that is in two stores is one."""
        names = {}
        for one in self._checked:
            mac = self._known(one)
            if mac:
                # Nearly all are of one name.
                first = names.setdefault(mac, one.name)
                if isinstance(first, set):
                    first.add(one.name)
                elif first != one.name:
                    names[mac] = {first, one.name}
        for one in self._checked:
            mac = self._known(one)
            if mac:
                one.same = len(names[mac]) - 1 if isinstance(names[mac], set) else 0

    def _known(self, one):
        """The password of an account, where it is known, as a keyed hash (bytes); or None."""
        if not one.entry:
            return None
        if one.password is not None:
            return bytes.fromhex(self._notebook.word_mac(one.password))
        return bytes.fromhex(one.entry.word_mac) if one.entry.word_mac else None

    def _kept(self):
        """Accounts (set of str) that are kept from sending, and of whom nobody knows now whether they ought to be."""
        blocked = listed(self._system, BLOCK)
        return set(blocked) if not self._notebook.is_whole else self._notebook.among_missed(blocked)

    def _notes(self, guessing, kept):
        notes = process_guard.missing() or ([] if guessing.unprotected else [process_guard.PROTECTED])
        if guessing.unprotected and not notes:
            notes = [process_guard.PARTLY]
        if self._notebook.lost:
            notes.append(self._notebook.lost)
        notes += answers.of_missed(self._notebook.missed(), len(kept), self._notebook.is_whole, notebook.KEPT_DAYS)
        if self._lists is None:
            notes.append(
                "Without word lists{0}: only what is made of names, dates, digits and keyboards was tried.".format(
                    ", which check mode does not bring" if self._is_check else ""
                )
            )
        return notes

    def _save_sometimes(self):
        last, cost = self._saved
        now = time.monotonic()
        if now - last > max(_SAVE_EVERY, cost * _SAVE_SHARE):
            self._notebook.save()
            done = time.monotonic()
            self._saved = (done, done - now)
