"""What the module ``submission_block`` does."""

import os

from ..errors import CommandError, UserError
from ..logs.cutoffs import sentence
from ..logs.guard import guard
from ..paths import BLOCK_LOCK
from ..postfix.instance import Instance
from ..postfix.master_cf import key_of
from ..postfix.postconf import POSTFIX_DIR
from ..text import masked
from . import engine, sessions
from .lists import NOBODY, Naming, as_blocked, as_reason, fold, union
from .postfix import TABLES, PostfixPart, is_inbound, takers

LIST_LIMIT = 50

NOT_KNOWN = "There is no Postfix on this host that could keep an account from sending."
NO_SWITCH = (
    "{0} can't keep one account from sending while it reads mail: no such switch of it is known. Give {1} a new "
    "password, or close the account."
)
GO_ON = (
    "{0} SMTP session{1} that began before {2} still open: {3}. Such a session goes on until the client leaves; "
    "`postfix stop` and `postfix start` end it."
)


def run(system, params, check_mode):
    """Do what the options say.

    :param System system: the host
    :param dict params: as in the module's argument_spec
    :param bool check_mode: change nothing
    :returns: dict, the module's result
    :raises UserError: a wrong option; the host can't be brought there
    """
    reason = None if params["reason"] is None else as_reason(params["reason"])
    wanted = as_blocked(params["accounts"], params["addresses"])
    if params["state"] == "present" and reason is None:
        raise UserError("reason is missing: give the word that this list is to be known by, such as password_audit.")
    with system.lock(BLOCK_LOCK):
        notebook = engine.load(system)
        # What was changed is given back whatever has become of the mail server.
        if params["backend"] != "postfix" and (params["state"] == "present" or not notebook):
            return _other_server(params, wanted)
        lists = _lists(notebook, params["state"], reason, wanted)
        return _Run(system, params, notebook, lists).done(check_mode)


def _other_server(params, wanted):
    result = {"changed": False, "not_applicable": NOT_KNOWN, "findings": [], "evidence": []}
    if params["backend"] is not None:
        result["not_applicable"] = "qmail can't keep one account from sending."
        shown = _shown(wanted.accounts, params) + list(wanted.addresses)
        named = ", ".join(shown[:5])
        more = len(shown) - 5
        if named and params["state"] == "present":
            result["findings"] = [NO_SWITCH.format("qmail", named + (" and {0} more".format(more) if more > 0 else ""))]
    return result


def _lists(notebook, state, reason, wanted):
    """All lists as they are to be: dict reason -> {"accounts", "addresses"}."""
    lists = dict(notebook.get("lists", {}))
    if reason is None:
        lists = {}
    elif state == "absent" or wanted == NOBODY:
        lists.pop(reason, None)
    else:
        lists[reason] = {"accounts": list(wanted.accounts), "addresses": list(wanted.addresses)}
    return lists


class _Run:
    def __init__(self, system, params, notebook, lists):
        self.system, self.params, self.lists = system, params, lists
        config_dirs = params["config_dirs"]
        remembered = engine.directories(notebook)
        if config_dirs is None:
            usual = [POSTFIX_DIR] if system.exists(POSTFIX_DIR + "/main.cf") else []
            # An instance may have gone since, and all of Postfix but for its configuration.
            config_dirs = [path for path in remembered if system.exists(path + "/master.cf")] or usual
            config_dirs = config_dirs if system.which("postconf") else []
        self.part = PostfixPart(system, [path.rstrip("/") for path in config_dirs], remembered)
        self.blocked = union(lists)
        earlier = NOBODY if notebook.get("unfinished") else union(notebook.get("lists", {}))
        self.new_accounts = set(self.blocked.accounts) - set(earlier.accounts)
        self.new_addresses = set(self.blocked.addresses) - set(earlier.addresses)
        self.lifted = (
            set(earlier.accounts) - set(self.blocked.accounts),
            set(earlier.addresses) - set(self.blocked.addresses),
        )
        self.naming = Naming()
        self.seen_from = set()
        self.ended, self.open_still = 0, []

    def done(self, check_mode):
        if self.blocked != NOBODY:
            if not self.part.config_dirs and self.params["state"] == "present":
                return {"changed": False, "not_applicable": NOT_KNOWN, "findings": [], "evidence": []}
            self.part.check()
            self.naming = self.part.naming()
        preview = self._senders() if self.new_accounts else {}
        result = engine.enforce(self.system, self.part, self.lists, check_mode, self._end_sessions)
        result["evidence"] = self._evidence(preview)
        result["findings"] = self.part.findings(self.blocked) if self.blocked != NOBODY else []
        if self.blocked != NOBODY and not check_mode:
            # What others have written may be read by Postfix in another way than here: then nobody is refused.
            result["findings"] += self.part.uncovered(self.blocked)
        if self.open_still:
            named = ", ".join("{0} port {1}".format(*session.remote) for session in self.open_still[:5])
            number = len(self.open_still)
            result["findings"].append(
                GO_ON.format(number, "" if number == 1 else "s", "is" if number == 1 else "are", named)
            )
        everybody = _shown(self.blocked.accounts, self.params) + list(self.blocked.addresses)
        return dict(
            result,
            warnings=preview.get("warnings", []),
            senders=preview.get("cutoffs", []),
            senders_total=preview.get("cutoffs_total", 0),
            covered_since=preview.get("covered_since"),
            blocked=everybody[:LIST_LIMIT],
            blocked_total=len(everybody),
            newly_blocked=self._listed(self.new_accounts, self.new_addresses),
            lifted=self._listed(*self.lifted),
            sessions_ended=self.ended,
        )

    def _listed(self, accounts, networks):
        return sorted(_shown(accounts, self.params) + list(networks))[:LIST_LIMIT]

    def _senders(self):
        """Who of the newly blocked has sent lately, as :func:`guard.guard` says it."""
        names = set(self.naming.all_names(self.new_accounts))
        options = dict(self.params, on_cutoff="warn", accepted_cutoffs=[])

        def is_refused(login):
            refused = fold(login.account or "") in names
            if refused:
                # What the guard lists is capped.
                self.seen_from.add(login.address)
            return refused

        told = guard(self.system, options, is_refused, "Blocking them")
        if told["cutoffs"]:
            # To refuse them is what is meant: told as evidence, not as a warning.
            told["warnings"] = told["warnings"][:-1]
        for cutoff in told["cutoffs"]:
            (cutoff["account"],) = _shown([cutoff["account"]], self.params)
        return told

    def _evidence(self, preview):
        lines = [
            "{0}: {1} and {2} may not send".format(
                reason,
                _counted(len(owned["accounts"]), "account", "accounts"),
                _counted(len(owned["addresses"]), "network", "networks"),
            )
            for reason, owned in sorted(self.lists.items())
        ]
        if self.blocked != NOBODY:
            lines += self.part.evidence()
        if preview.get("cutoffs"):
            lines.append(
                "In the last {0} days mail was sent by {1}".format(
                    self.params["lookback_days"], sentence(preview["cutoffs"], preview["cutoffs_total"])
                )
            )
        if self.ended:
            lines.append("{0} ended".format(_counted(self.ended, "open SMTP session was", "open SMTP sessions were")))
        return lines

    def _end_sessions(self):
        """End the sessions of who is newly blocked: their smtpd goes on by what it has read before."""
        if not (self.new_accounts or self.new_addresses):
            return
        options, on_25 = {}, set()
        for config_dir in self.part.config_dirs:
            instance = Instance(self.system, config_dir)
            for service in takers(instance):
                words = [name for name in TABLES if name in " ".join(service.options.values())]
                options.setdefault(key_of(service), words)
                if is_inbound(service):
                    on_25.add(key_of(service))
        found = sessions.stale(self.system, options, self._tables_changed())
        found = sessions.meant(
            found,
            set(self.naming.all_names(self.blocked.accounts)),
            self.blocked.addresses,
            self.seen_from,
            sessions.owners(self.system, self.params, found),
            on_25,
        )
        if not found:
            return
        try:
            for argv in sessions.cuts(found):
                self.system.run(argv)
        except CommandError:
            self.open_still = found
            return
        self.open_still = sessions.left(self.system, found)
        self.ended = len(found) - len(self.open_still)

    def _tables_changed(self):
        """Epoch seconds of the last change of a table."""
        times = [0.0]
        for config_dir in self.part.config_dirs:
            for name in TABLES:
                path = "{0}/{1}".format(config_dir, name)
                if self.system.exists(path):
                    times.append(os.stat(self.system.real(path)).st_mtime)
        return max(times)


def _shown(accounts, params):
    """Accounts as they may be told: list of str."""
    return [masked(name) for name in accounts] if params["mask_accounts"] else list(accounts)


def _counted(number, one, many):
    return "{0} {1}".format(number, one if number == 1 else many)
