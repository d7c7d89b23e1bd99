"""Plans the changes that a backend asks for, and arms the rollback before they are made: once for all backends."""

import copy
from typing import Any, Dict, List, Optional

from ..changes import Change, make
from ..enforce import Memory, Notebook, Plan, result_of
from ..enforce import enforce as carry_out
from ..errors import UserError
from ..paths import CONFIGURATION, FIREWALL_LOCK, FIREWALL_NOTEBOOK
from ..system import System
from . import rollback
from .firewalld.backend import Firewalld
from .iptables.backend import Iptables
from .nftables.backend import Nftables
from .plan import Restriction

BACKENDS = {backend.name: backend for backend in (Iptables, Nftables, Firewalld)}


def enforce(
    system: System,
    name: str,
    persistence: str,
    restriction: Optional[Restriction],
    check_mode: bool = False,
    confirm_within: int = 0,
) -> Dict[str, Any]:
    """Bring the host to a restriction, or (``restriction`` None) back to what it was.

    :param name: backend; with ``restriction`` None it does not matter, nor does the next: all that there is goes
    :param persistence: ``auto`` or a method of that backend
    :param restriction: what is wanted
    :param check_mode: only say what would change
    :param confirm_within: seconds after which the changes undo themselves unless confirmed; 0: never
    :returns: dict of ``changed``, ``diff`` {before, after}, ``steps`` (where something changes), ``pending``
        (a rollback is armed), ``evidence`` and ``findings`` (lists of str)
    :raises UserError: the host can't be brought there, and why; what was done is undone
    """

    def disarming(changes: List[Change]) -> List[Change]:
        # Of a way back that is done, a kill may have left something that nothing else would take away.
        is_kept = confirm_within and (changes or rollback.is_armed(system))
        return [] if is_kept else rollback.disarming(system)

    def arm(changes: List[Change]) -> None:
        if confirm_within:
            rollback.arm(system, changes, confirm_within, FIREWALL_LOCK)

    with system.lock(FIREWALL_LOCK):
        made = carry_out(
            _notebook(system),
            lambda memory: _plan(system, name, persistence, restriction, memory),
            check_mode,
            first=disarming,
            arm=arm,
            notes_are_news=True,
        )
        return _result(system, name, persistence, restriction, made)


def confirm(system: System, check_mode: bool = False) -> Dict[str, Any]:
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
            make(system, changes, _notebook(system).perform)
        return _result(system, "", "", None, result_of(changes))


def _notebook(system: System) -> Notebook:
    """What is remembered of each backend: {name: {persistence, former}}."""
    return Notebook(system, FIREWALL_NOTEBOOK, (CONFIGURATION,))


def _plan(
    system: System,
    name: str,
    persistence: str,
    restriction: Optional[Restriction],
    remembered: Memory,
) -> Plan:
    """What differs. A new backend's changes come before another one's go, so that nothing opens."""
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
    return Plan(changes, memory, left)


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


def _result(system, name, persistence, restriction, made):
    result = dict(made, pending=rollback.is_armed(system), evidence=[], findings=[])
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
