"""Plans the changes of POP-before-SMTP, and what is remembered of the host: once for all mail servers."""

import copy
from typing import Any, Dict, Optional, Type

from ..changes import Change
from ..enforce import Memory, Notebook, Plan
from ..enforce import enforce as carry_out
from ..errors import UserError
from ..paths import CONFIGURATION, LIBRARY, POP_LOCK, POP_NOTEBOOK
from ..postfix.master_cf import either_memory
from ..system import System
from .pairs import PostfixCourier, PostfixDovecot, QmailCourier, QmailDovecot
from .plan import Backend, Wanted
from .plesk import Plesk

BACKENDS = {backend.name: backend for backend in (PostfixDovecot, PostfixCourier, QmailDovecot, QmailCourier, Plesk)}


def enforce(
    system: System,
    name: Optional[str],
    wanted: Optional[Wanted],
    options: Dict[str, Any],
    check_mode: bool = False,
) -> Dict[str, Any]:
    """Bring the host to a rule, or (``wanted`` None) back to what it was.

    :param name: backend; with ``wanted`` None it may be None: all that are remembered
    :param options: the module's parameters, for the backend
    :param check_mode: only say what would change
    :returns: dict of ``changed``, ``diff`` {before, after}, ``steps``, ``evidence`` and ``findings`` (lists of str)
    :raises UserError: the host can't be brought there, and why; what was done is undone
    """
    with system.lock(POP_LOCK):
        result = carry_out(_notebook(system), lambda memory: plan(system, memory, name, wanted, options), check_mode)
        result.update(evidence=[], findings=[])
        if wanted is not None:
            backend = known(name)(system, options)
            result["evidence"] = backend.evidence()
            result["findings"] = backend.findings(wanted)
        return result


def plan(
    system: System, remembered: Memory, name: Optional[str], wanted: Optional[Wanted], options: Dict[str, Any]
) -> Plan:
    """What differs from a rule. A new backend's changes come before another one's go.

    While they are made, the notebook is marked unfinished, so that a killed run is known as one.

    :param remembered: what the notebook has
    """
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
        return Plan([], left, left)
    marked = dict(left, backends=_either(remembered.get("backends", {}), formers), unfinished=True)
    return Plan(changes, marked, left)


def load(system: System) -> Memory:
    """The notebook: {"backends": {name: what it remembers}, "rule": str, "unfinished": true while a run is at work}"""
    return _notebook(system).read()


def _notebook(system: System) -> Notebook:
    return Notebook(system, POP_NOTEBOOK, (LIBRARY, CONFIGURATION))


def as_text(wanted: Wanted) -> str:
    """A rule as the notebook has it."""
    networks = ", ".join(str(network) for network in wanted.exempt)
    return "{0} {1} {2} {3}".format(wanted.meaning, wanted.minutes, wanted.prefix6, networks).strip()


def known(name: Optional[str]) -> Type[Backend]:
    """A backend's class.

    :raises UserError: there is none of that name
    """
    backend = BACKENDS.get(name or "")
    if backend is None:
        raise UserError("backend is '{0}': choose one of {1}.".format(name, ", ".join(sorted(BACKENDS))))
    return backend


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
