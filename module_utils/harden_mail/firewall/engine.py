"""Shows, makes, verifies and takes back the changes that a backend asks for: written once for all backends.

The order of a change is: remember what was there, arm the rollback (if asked), change, ask the backend again.
Every step may be cut short by a kill: the next run plans anew from what it finds.
"""

import copy
import json

from ..changes import Change, WriteFile, as_diff, make
from ..changes import perform as carry_out
from ..errors import UserError
from ..paths import CONFIGURATION, FIREWALL_LOCK, FIREWALL_NOTEBOOK, FIREWALL_STATE, STATE
from . import rollback
from .firewalld.backend import Firewalld
from .iptables.backend import Iptables
from .nftables.backend import Nftables

BACKENDS = {backend.name: backend for backend in (Iptables, Nftables, Firewalld)}

# Directories of ours go when the last file in them goes.
OWN_DIRECTORIES = (FIREWALL_STATE, STATE, CONFIGURATION)


def enforce(system, name, persistence, restriction, check_mode=False, confirm_within=0):
    """Bring the host to a restriction, or (``restriction`` None) back to what it was.

    :param System system: the host
    :param str name: backend; with ``restriction`` None it does not matter: all that there is goes
    :param str persistence: ``auto`` or a method of that backend
    :param Restriction restriction: what is wanted
    :param bool check_mode: only say what would change
    :param int confirm_within: seconds after which the changes undo themselves unless confirmed; 0: never
    :returns: dict of ``changed``, ``diff`` {before, after}, ``steps`` (where something changes), ``pending``
        (a rollback is armed), ``evidence`` and ``findings`` (lists of str)
    :raises UserError: the host can't be brought there, and why; what was done is undone
    """
    with system.lock(FIREWALL_LOCK):
        former = _load_former(system)
        changes = _plan(system, name, persistence, restriction, former)
        # Of a way back that is done, a kill may have left something that nothing else would take away.
        if not confirm_within or not (changes or rollback.is_armed(system)):
            changes = rollback.disarming(system) + changes
        if changes and not check_mode:
            if confirm_within:
                rollback.arm(system, changes, confirm_within, FIREWALL_LOCK)
            make(system, changes, perform)
            _verify(system, name, persistence, restriction)
        return _result(system, name, persistence, restriction, changes)


def confirm(system, check_mode=False):
    """Make an unconfirmed change permanent.

    :returns: dict of ``changed``, ``diff``, ``steps`` and ``pending``
    :raises UserError: the change has already taken itself back, or there was none
    """
    with system.lock(FIREWALL_LOCK):
        if not rollback.is_armed(system):
            raise UserError(
                "There is nothing to confirm: no change waits for it. One that was not confirmed within "
                "confirm_within seconds has taken itself back; run with state: present again."
            )
        trouble = rollback.trouble(system)
        if trouble is not None:
            raise UserError(
                "The change was not confirmed in time and is being taken back; {0}. Run with state: present "
                "again.".format("what fails: " + "; ".join(trouble) if trouble else "it is under way")
            )
        changes = rollback.disarming(system)
        if not check_mode:
            make(system, changes, perform)
        return _result(system, None, None, None, changes)


def _plan(system, name, persistence, restriction, remembered):
    """All changes in their order. A new backend's come before another one's go, so that nothing opens."""
    memory = copy.deepcopy(remembered)
    changes = []
    if restriction is not None:
        mine = memory.setdefault(name, {"former": {}})
        mine["persistence"] = persistence
        changes += _backend(system, name, persistence).changes(restriction, mine["former"])
    for other in sorted(BACKENDS):
        if restriction is not None and other == name:
            continue
        # Of what nothing is remembered something may stand there all the same: a copied image, a lost /var.
        if other in memory or BACKENDS[other](system).traces():
            # A copy: what it forgets while planning must be remembered until the work is done.
            former = copy.deepcopy(memory.get(other, {}).get("former", {}))
            changes += _former_backend(system, other).changes(None, former)
    left = {name: memory[name]} if restriction is not None else {}
    return _remembering(remembered, memory) + changes + _remembering(memory, left)


def _remembering(before, after):
    """The change (none or one) of what is remembered of each backend: {name: {persistence, former}}."""
    if before == after:
        return []
    texts = [json.dumps(memory, indent=1, sort_keys=True) + "\n" if memory else None for memory in (before, after)]
    steps = [WriteFile(FIREWALL_NOTEBOOK, text, 0o600) for text in texts]
    return [Change(FIREWALL_NOTEBOOK, texts[0] or "", texts[1] or "", (steps[1],), (steps[0],))]


def _backend(system, name, persistence):
    if name not in BACKENDS:
        raise UserError(
            "submission_firewall_backend is '{0}': choose one of {1}.".format(name, ", ".join(sorted(BACKENDS)))
        )
    backend = BACKENDS[name](system, persistence)
    missing = backend.missing()
    if missing:
        raise UserError(
            "submission_firewall_backend: {0} can't be used on this host: {1}.".format(name, missing.rstrip("."))
        )
    return backend


def _former_backend(system, name):
    """A backend whose rules are to go. How they were to outlive a reboot no longer matters: all of it goes."""
    backend = BACKENDS[name](system)
    missing = backend.missing()
    if missing:
        raise UserError("What an earlier run made with {0} can't be taken away: {1}.".format(name, missing.rstrip(".")))
    return backend


def _load_former(system):
    text = system.read(FIREWALL_NOTEBOOK)
    return json.loads(text) if text else {}


def perform(system, steps):
    """Carry out steps, see :func:`changes.perform`."""
    carry_out(system, steps, FIREWALL_STATE, OWN_DIRECTORIES)


def _verify(system, name, persistence, restriction):
    left = _plan(system, name, persistence, restriction, _load_former(system))
    if left:
        raise UserError(
            "The changes were made, but reading them back shows a difference in {0}: something else on this host "
            "changes it. Look at it with --check --diff.".format(", ".join(change.what for change in left))
        )


def _result(system, name, persistence, restriction, changes):
    # Our own notebook is not the host's state: it is written, but it is no news.
    shown = [change for change in changes if not change.what.startswith(FIREWALL_STATE)] or changes
    result = {
        "changed": bool(changes),
        "steps": [change.what for change in shown],
        "diff": as_diff(shown),
        "pending": rollback.is_armed(system),
        "evidence": [],
        "findings": [],
    }
    if restriction is not None:
        backend = _backend(system, name, persistence)
        result["evidence"] = backend.evidence()
        result["findings"] = backend.findings(restriction)
        trouble = rollback.trouble(system)
        if trouble:
            result["findings"].append(
                "A change that was not confirmed is being taken back, and that fails ({0}); it is tried again "
                "until a run ends it (journalctl -t harden-mail).".format("; ".join(trouble))
            )
        for other in sorted(set(BACKENDS) - {name}):
            result["findings"] += BACKENDS[other](system).beside(restriction)
    return result
