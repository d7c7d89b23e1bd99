"""Makes, verifies and takes back the changes of POP-before-SMTP that a backend asks for: once for all mail servers."""

import copy
import json

from ..changes import Change, WriteFile, as_diff, make
from ..changes import perform as carry_out
from ..errors import UserError
from ..paths import CONFIGURATION, LIBRARY, POP_LOCK, POP_NOTEBOOK, POP_STATE, STATE
from ..postfix.master_cf import either_memory
from .pairs import PostfixCourier, PostfixDovecot, QmailCourier, QmailDovecot
from .plesk import Plesk

BACKENDS = {backend.name: backend for backend in (PostfixDovecot, PostfixCourier, QmailDovecot, QmailCourier, Plesk)}

# Directories of ours go when the last file in them goes.
OWN_DIRECTORIES = (POP_STATE, STATE, LIBRARY, CONFIGURATION)


def enforce(system, name, wanted, options, check_mode=False):
    """Bring the host to a rule, or (``wanted`` None) back to what it was.

    :param System system: the host
    :param str name: backend; with ``wanted`` None it may be None: all that are remembered
    :param Wanted wanted: the rule
    :param dict options: the module's parameters, for the backend
    :param bool check_mode: only say what would change
    :returns: dict of ``changed``, ``diff`` {before, after}, ``steps``, ``evidence`` and ``findings`` (lists of str)
    :raises UserError: the host can't be brought there, and why; what was done is undone
    """
    with system.lock(POP_LOCK):
        changes = plan(system, name, wanted, options)
        if changes and not check_mode:
            make(system, changes, perform)
            left = plan(system, name, wanted, options)
            if left:
                raise UserError(
                    "The changes were made, but reading them back shows a difference in {0}: something else on this "
                    "host changes it. Look at it with --check --diff.".format(", ".join(change.what for change in left))
                )
        # Our own notebook is not the host's state: it is written, but it is no news.
        shown = [change for change in changes if change.what and not change.what.startswith(POP_STATE)]
        result = {
            "changed": bool(shown),
            "steps": [change.what for change in shown],
            "diff": as_diff(shown),
            "evidence": [],
            "findings": [],
        }
        if wanted is not None:
            backend = known(name)(system, options)
            result["evidence"] = backend.evidence()
            result["findings"] = backend.findings(wanted)
        return result


def plan(system, name, wanted, options):
    """All changes in their order: list of Change; empty when the host is as wanted.

    A new backend's come before another one's go. The notebook is marked unfinished before the first and unmarked
    after the last, so that a killed run is known as one.
    """
    remembered = load(system)
    formers = copy.deepcopy(remembered.get("backends", {}))
    unfinished = remembered.get("unfinished", False)
    changes = []
    if wanted is not None:
        backend = known(name)(system, options)
        missing = backend.missing()
        if missing:
            raise UserError("backend: {0} can't be used on this host: {1}.".format(name, missing.rstrip(".")))
        changes += _for_rule(backend, wanted, formers.setdefault(name, {}), unfinished)
    for other in sorted(formers):
        if wanted is None or other != name:
            # A copy: what it forgets while planning must be remembered until the work is done.
            former = copy.deepcopy(formers[other])
            changes += _for_nothing(known(other)(system, options), former, unfinished)
    left = {"backends": {name: formers[name]}, "rule": as_text(wanted)} if wanted is not None else {}
    if not changes:
        return _noting(remembered, left)
    marked = dict(left, backends=_either(remembered.get("backends", {}), formers), unfinished=True)
    return _noting(remembered, marked) + changes + _noting(marked, left)


def load(system):
    """The notebook: {"backends": {name: what it remembers}, "rule": str, "unfinished": true while a run is at work}"""
    return json.loads(system.read(POP_NOTEBOOK) or "{}")


def as_text(wanted):
    """A rule as the notebook has it: str."""
    networks = ", ".join(str(network) for network in wanted.exempt)
    return "{0} {1} {2} {3}".format(wanted.meaning, wanted.minutes, wanted.prefix6, networks).strip()


def known(name):
    """A backend's class.

    :raises UserError: there is none of that name
    """
    if name not in BACKENDS:
        raise UserError("backend is '{0}': choose one of {1}.".format(name, ", ".join(sorted(BACKENDS))))
    return BACKENDS[name]


def perform(system, steps):
    """Carry out steps, see :func:`changes.perform`."""
    carry_out(system, steps, POP_STATE, OWN_DIRECTORIES)


def _for_rule(backend, wanted, former, unfinished):
    support = backend.support(wanted, former)
    changes = backend.changes(wanted, former)
    return support + _activated(backend, changes, unfinished, backend.proof())


def _for_nothing(backend, former, unfinished):
    changes = backend.changes(None, former)
    return _activated(backend, changes, unfinished) + backend.support(None, former)


def _activated(backend, changes, unfinished, proof=()):
    """Changes of a server's configuration with what makes it run with them; undone, it runs as before."""
    if not changes and not unfinished:
        return []
    back = Change("", "", "", (), backend.activation())
    steps = backend.checks() + backend.activation() + proof
    onward = Change("running servers", "", "checked and reloaded\n", steps, ())
    return [back] + changes + [onward]


def _either(before, after):
    """What backends remember, so that it fits the host before the changes and after them."""
    merged = copy.deepcopy(after)
    for name in set(before) & set(after):
        if "master" in before[name]:
            merged[name]["master"] = either_memory(before[name]["master"], after[name].get("master", {}))
    return merged


def _noting(before, after):
    """The change (none or one) of the notebook."""
    if before == after:
        return []
    texts = [json.dumps(noted, indent=1, sort_keys=True) + "\n" if noted else None for noted in (before, after)]
    steps = [WriteFile(POP_NOTEBOOK, text, 0o600) for text in texts]
    return [Change(POP_NOTEBOOK, texts[0] or "", texts[1] or "", (steps[1],), (steps[0],))]
