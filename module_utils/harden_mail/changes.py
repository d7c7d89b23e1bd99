"""Changes of a host as data: what differs, and the steps that bring it about or take it back."""

import contextlib
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from .errors import UserError
from .system import System


class WriteFile(NamedTuple):
    """A file gets a content; text None: it is removed."""

    path: str
    text: Optional[str]
    mode: int


class Run(NamedTuple):
    """A command is run; stdin None: empty."""

    argv: Tuple[str, ...]
    stdin: Optional[str]


# One thing done to the host. They are data, not functions, so that the rollback can be written down as a
# script that works when neither Ansible nor this code is there.
Step = Union[WriteFile, Run]


class Change(NamedTuple):
    """One difference between the host and what is wanted.

    what: where it is, in the host's own terms: "/etc/nftables.conf", "kernel, ip6tables, filter"
    before: how it is now (for --diff, and to find the person who changed it)
    after: how it will be
    do: what brings ``after`` about; each step may be interrupted and done again
    undo: what brings ``before`` back
    """

    what: str
    before: str
    after: str
    do: Tuple[Step, ...]
    undo: Tuple[Step, ...]


def file_change(system: System, path: str, text: Optional[str], mode: int = 0o644) -> List[Change]:
    """The list of changes (none or one) that give a file this content.

    :param text: wanted content; None: no file
    """
    before = system.read(path)
    if before == text:
        return []
    return [
        Change(
            path,
            before or "",
            text or "",
            (WriteFile(path, text, mode),),
            (WriteFile(path, before, mode),),
        )
    ]


def private_file_change(system: System, path: str, text: Optional[str]) -> List[Change]:
    """Changes like those of :func:`file_change`, for a file of ours that nobody but root may read.

    :returns: one more for a file that is there and open to others
    """
    changes = []
    mode = system.mode(path)
    if text is not None and mode not in (None, 0o600):
        # Nothing opens it again: others have no use for it.
        do = (Run(("chmod", "0600", path), None),)
        changes.append(Change("mode of " + path, "{0:04o}\n".format(mode), "0600\n", do, ()))
    return changes + file_change(system, path, text, 0o600)


def make(
    system: System,
    changes: Sequence[Change],
    perform: Callable[[System, Sequence[Step]], None],
    proof: Optional[Callable[[], None]] = None,
) -> None:
    """Do every change; when one fails, undo what was done, last first, and say why.

    :param changes: in their order
    :param perform: carries steps out, stops at the first that fails
    :param proof: called when all are made; what it raises is a failure, too
    :raises UserError: a step failed; what was done is undone
    """
    done = []
    try:
        for change in changes:
            done.append(change)
            perform(system, change.do)
        if proof is not None:
            proof()
    except (UserError, OSError):
        for change in reversed(done):
            for step in change.undo:
                with contextlib.suppress(UserError, OSError):
                    perform(system, [step])
        raise


def perform(system: System, steps: Sequence[Step], private: str, own: Sequence[str]) -> None:
    """Carry out steps; stops at the first that fails.

    :param private: directory that is made for its owner alone before something is written into it
    :param own: directories that go when nothing is in them, inner ones first; looked at with each file that is
        removed, so that a kill in between leaves none behind for good
    :raises UserError: a command failed
    """
    for step in steps:
        if isinstance(step, Run):
            system.run(list(step.argv), stdin=step.stdin)
        elif step.text is None:
            system.remove(step.path)
            for directory in own:
                system.remove_empty_dir(directory)
        else:
            if step.path.startswith(private):
                system.make_private_dir(private)
            system.write(step.path, step.text, step.mode)


def as_diff(changes: Sequence[Change]) -> Dict[str, str]:
    """Changes as Ansible shows them: dict of ``before`` and ``after``."""
    return {"before": _side(changes, "before"), "after": _side(changes, "after")}


def _side(changes: Sequence[Change], side: str) -> str:
    return "".join("# {0}\n{1}\n".format(change.what, getattr(change, side).rstrip("\n")) for change in changes)
