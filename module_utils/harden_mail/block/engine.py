"""Plans what keeps accounts from sending, and remembers whose list is whose.

The notebook is written before the first change, with the lists as they are to be and everything that may be in
master.cf meanwhile, and marked unfinished; the mark goes when all is done. So a killed run is completed by the next
one, whatever that is about.
"""

import copy
from typing import Any, Callable, Dict, List

from ..changes import Change
from ..enforce import Memory, Notebook, Plan
from ..enforce import enforce as carry_out
from ..errors import UserError
from ..paths import BLOCK_NOTEBOOK
from ..postfix.master_cf import either_memory
from ..system import System
from .lists import NOBODY, union

# {"lists": {reason: {"accounts": [...], "addresses": [...]}}, "tables": [config_dir], "unfinished": true,
#  "master": {path: {"before": str, "after": str, "options": [[key, option]]}}}


def load(system: System) -> Memory:
    """What the notebook has, {} when nobody is blocked."""
    return Notebook(system, BLOCK_NOTEBOOK).read()


def listed(system: System, reason: str) -> List[str]:
    """Accounts, in small letters, on the list of a reason.

    :raises UserError: what is remembered can't be read
    """
    try:
        return list(load(system).get("lists", {}).get(reason, {}).get("accounts", []))
    except (ValueError, AttributeError):
        raise UserError(
            "{0}, where it is remembered who may not send, can't be read: put it back from a backup.".format(
                BLOCK_NOTEBOOK
            )
        ) from None


def directories(notebook: Memory) -> List[str]:
    """Configuration directories in which there is something of ours."""
    return sorted(set(notebook.get("tables", [])) | {path.rpartition("/")[0] for path in notebook.get("master", {})})


def enforce(
    system: System,
    part,
    lists: Dict[str, Dict[str, List[str]]],
    check_mode: bool,
    afterwards: Callable[[], None],
) -> Dict[str, Any]:
    """Bring the host to where exactly these lists are kept from sending.

    :param PostfixPart part: the host's Postfix
    :param lists: reason -> {"accounts", "addresses"}, none empty
    :param afterwards: called when the change is made and before it counts as finished
    :returns: dict of ``changed``, ``steps``, ``diff``
    :raises UserError: the host can't be brought there, and why; what was done is undone
    """
    # Of our own notebook, it is news whose list somebody is on, and none what others have changed in master.cf.
    notes_are_news = load(system).get("lists", {}) != lists
    notebook = Notebook(system, BLOCK_NOTEBOOK)
    return carry_out(
        notebook,
        lambda memory: plan(part, memory, lists),
        check_mode,
        finish=afterwards,
        notes_are_news=notes_are_news,
    )


def plan(part, notebook: Memory, lists: Dict[str, Dict[str, List[str]]]) -> Plan:
    """What differs."""
    blocked = union(lists)
    wanted = None if blocked == NOBODY else blocked
    former = {name: copy.deepcopy(notebook.get(name, empty)) for name, empty in (("master", {}), ("tables", []))}
    tables, master = part.tables(wanted, former), part.master(wanted, former)
    finished = dict(former, lists=lists) if wanted is not None else {}
    if not (tables or master or notebook.get("unfinished")):
        return Plan([], finished, finished)
    marked = {
        "lists": lists,
        "tables": sorted(set(former["tables"]) | set(notebook.get("tables", []))),
        "master": either_memory(notebook.get("master", {}), former["master"]),
        "unfinished": True,
    }
    gone = [change for change in tables if change.do[0].text is None]
    there = [change for change in tables if change not in gone]
    back = Change("", "", "", (), part.activation())
    onward = Change("running servers", "", "checked and reloaded\n", part.checks(wanted) + part.activation(), ())
    # A table is there before it is named, and goes when it is named no more.
    return Plan([back] + there + master + [onward] + gone, marked, finished)
