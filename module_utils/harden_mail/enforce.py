"""Makes, verifies and remembers the changes that a feature has planned: once for all features that change a host.

A feature plans: it compares the host with what is wanted, and says what differs and what must be remembered. Here is
the order in which that is done: note what was there, change, look again, note that it is done. Every step may be cut
short by a kill: the next run plans anew, from what it finds on the host and in the notebook.
"""

import json
import os.path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from .changes import Change, Step, WriteFile, as_diff, make, perform
from .errors import UserError
from .paths import STATE
from .system import System

# What is in a notebook (JSON): the feature's own words. ``unfinished`` (bool, may be missing): a run is at work, or was
# killed at it.
Memory = Dict[str, Any]

_LEFT = (
    "The changes were made, but reading them back shows a difference in {0}: something else on this host changes it. "
    "Look at it with --check --diff."
)


class Plan(NamedTuple):
    """What is to be done.

    changes: what differs on the host, in the order in which it must be changed; one without a name (``what``) is a step
        that nobody is result_of of
    during: the notebook while they are made: it must fit the host before each of them and after it
    after: the notebook when they are made; {}: none
    """

    changes: List[Change]
    during: Memory
    after: Memory


class Notebook:
    """The file in which a feature remembers, for root alone, what it has changed and how that was before.

    :ivar system: the host
    :ivar path: of the file, in a directory of the feature's own
    """

    def __init__(self, system: System, path: str, own: Sequence[str] = ()):
        """
        :param own: other directories of ours that the feature writes into: like the notebook's, they go when the last
            file in them goes
        """
        self.system, self.path = system, path
        self._own = (os.path.dirname(path), STATE, *own)

    def read(self) -> Memory:
        """:raises ValueError: it is damaged"""
        return json.loads(self.system.read(self.path) or "{}")

    def changes(self, before: Memory, after: Memory) -> List[Change]:
        """The list of changes (none or one) that make of one memory another."""
        if before == after:
            return []
        texts = [json.dumps(memory, indent=1, sort_keys=True) + "\n" if memory else None for memory in (before, after)]
        steps = [WriteFile(self.path, text, 0o600) for text in texts]
        return [Change(self.path, texts[0] or "", texts[1] or "", (steps[1],), (steps[0],))]

    def tidy_up(self) -> None:
        """Remove directories of ours that are empty, as a kill leaves them after the last file in them has gone."""
        for directory in self._own:
            self.system.remove_empty_dir(directory)

    def perform(self, system: System, steps: Sequence[Step]) -> None:
        """Carry out steps of the feature, see :func:`changes.perform`."""
        perform(system, steps, self._own[0], self._own)


def enforce(
    notebook: Notebook,
    plan: Callable[[Memory], Plan],
    check_mode: bool,
    first: Optional[Callable[[List[Change]], List[Change]]] = None,
    arm: Optional[Callable[[List[Change]], None]] = None,
    proof: Optional[Callable[[], None]] = None,
    finish: Optional[Callable[[], None]] = None,
    notes_are_news: bool = False,
) -> Dict[str, Any]:
    """Bring a host where a plan has it, and see that it is there.

    :param plan: gives what differs, by what the notebook has; asked once more when the work is done
    :param check_mode: only say what would change
    :param first: given all changes, those to make before them
    :param arm: given all changes, called before the first is made
    :param proof: called when they are made; if it raises UserError, they are undone
    :param finish: called when they are made and verified; with it, the notebook says only then that they are done
    :param notes_are_news: a change of the notebook alone is result_of, too
    :returns: as :func:`result_of`
    :raises UserError: a change failed, and what was done is undone; or a difference is left
    """
    before = notebook.read()
    planned = plan(before)
    changes = notebook.changes(before, planned.during) + planned.changes
    end = notebook.changes(planned.during, planned.after)
    everything = changes + end
    if first is not None:
        everything = first(everything) + everything
    if everything and not check_mode:
        if arm is not None:
            arm(everything)
        last = end if finish is not None and planned.changes else []
        make(notebook.system, everything[: len(everything) - len(last)], notebook.perform, proof)
        _verify(notebook, plan)
        if finish is not None and planned.changes:
            finish()
            make(notebook.system, last, notebook.perform)
    if not check_mode:
        notebook.tidy_up()
    named = [change for change in everything if change.what]
    # Our own notebook is not the host's state: it is written, but it is no news.
    shown = [change for change in named if change.what != notebook.path]
    return result_of(shown or (named if notes_are_news else []))


def result_of(changes: Sequence[Change]) -> Dict[str, Any]:
    """What a module says of changes: ``changed`` (bool), ``steps`` (list of str), ``diff`` {before, after}."""
    return {"changed": bool(changes), "steps": [change.what for change in changes], "diff": as_diff(changes)}


def _verify(notebook: Notebook, plan: Callable[[Memory], Plan]) -> None:
    """:raises UserError: something is not as it was planned"""
    # With its mark, there would always be something to complete.
    memory = {name: value for name, value in notebook.read().items() if name != "unfinished"}
    left = [change.what for change in plan(memory).changes if change.what]
    if left:
        raise UserError(_LEFT.format(", ".join(left)))
