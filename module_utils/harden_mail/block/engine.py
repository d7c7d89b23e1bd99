"""Makes, verifies and takes back what keeps accounts from sending; and remembers whose list is whose.

The notebook is written before the first change, with the lists as they are to be and everything that may be in
master.cf meanwhile, and marked unfinished; the mark goes when all is done. So a killed run is completed by the next
one, whatever that is about.
"""

import copy
import json

from ..changes import Change, Run, WriteFile, as_diff, make
from ..changes import perform as carry_out
from ..errors import UserError
from ..paths import BLOCK_NOTEBOOK, BLOCK_STATE, STATE
from ..postfix.master_cf import either_memory
from .lists import NOBODY, union

# {"lists": {reason: {"accounts": [...], "addresses": [...]}}, "tables": [config_dir], "unfinished": true,
#  "master": {path: {"before": str, "after": str, "options": [[key, option]]}}}
OWN_DIRECTORIES = (BLOCK_STATE, STATE)


def load(system):
    """The notebook, {} when nobody is blocked."""
    return json.loads(system.read(BLOCK_NOTEBOOK) or "{}")


def listed(system, reason):
    """Accounts (list of str, in small letters) on the list of a reason.

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


def directories(notebook):
    """Configuration directories in which there is something of ours: list of str."""
    return sorted(set(notebook.get("tables", [])) | {path.rpartition("/")[0] for path in notebook.get("master", {})})


def enforce(system, part, lists, check_mode, afterwards):
    """Bring the host to where exactly these lists are kept from sending.

    :param PostfixPart part: the host's Postfix
    :param dict lists: reason -> {"accounts", "addresses"}, none empty
    :param afterwards: function (), called when the change is made and before it counts as finished
    :returns: dict of ``changed``, ``steps``, ``diff``
    :raises UserError: the host can't be brought there, and why; what was done is undone
    """
    notebook = load(system)
    changes, marked, finished = plan(part, notebook, lists)
    if changes and not check_mode:
        make(system, _noting(notebook, marked) + changes, perform)
        again = [change.what for change in plan(part, dict(marked, unfinished=False), lists)[0] if change.what]
        if again:
            raise UserError(
                "The changes were made, but reading them back shows a difference in {0}: something else on this host "
                "changes it. Look at it with --check --diff.".format(", ".join(again))
            )
        afterwards()
        make(system, _noting(marked, finished), perform)
    elif not check_mode:
        make(system, _noting(notebook, finished), perform)
    shown = [change for change in changes if change.what]
    # Of our own notebook, it is news whose list somebody is on, and none what others have changed in master.cf.
    if not shown and notebook.get("lists", {}) != lists:
        shown = _noting(notebook, finished)
    return {"changed": bool(shown), "steps": [change.what for change in shown], "diff": as_diff(shown)}


def plan(part, notebook, lists):
    """What differs.

    :returns: (list of Change in their order, the notebook while they are made, the notebook afterwards)
    """
    blocked = union(lists)
    wanted = None if blocked == NOBODY else blocked
    former = {name: copy.deepcopy(notebook.get(name, empty)) for name, empty in (("master", {}), ("tables", []))}
    tables, master = part.tables(wanted, former), part.master(wanted, former)
    finished = dict(former, lists=lists) if wanted is not None else {}
    marked = {
        "lists": lists,
        "tables": sorted(set(former["tables"]) | set(notebook.get("tables", []))),
        "master": either_memory(notebook.get("master", {}), former["master"]),
        "unfinished": True,
    }
    if not (tables or master or notebook.get("unfinished")):
        return [], marked, finished
    gone = [change for change in tables if change.do[0].text is None]
    there = [change for change in tables if change not in gone]
    back = Change("", "", "", (), part.activation())
    onward = Change("running servers", "", "checked and reloaded\n", part.checks(wanted) + part.activation(), ())
    # A table is there before it is named, and goes when it is named no more.
    return [back] + there + master + [onward] + gone, marked, finished


def perform(system, steps):
    """Carry out steps, see :func:`changes.perform`."""
    carry_out(system, steps, BLOCK_STATE, OWN_DIRECTORIES)


def run_all(system, commands):
    """Run commands as steps; none of them must succeed.

    :raises UserError: a program is not there
    """
    for argv in commands:
        perform(system, [Run(tuple(argv), None)])


def _noting(before, after):
    """The change (none or one) of the notebook."""
    if before == after:
        return []
    texts = [json.dumps(noted, indent=1, sort_keys=True) + "\n" if noted else None for noted in (before, after)]
    steps = [WriteFile(BLOCK_NOTEBOOK, text, 0o600) for text in texts]
    return [Change(BLOCK_NOTEBOOK, texts[0] or "", texts[1] or "", (steps[1],), (steps[0],))]
