"""Changes of a host as data: what differs, and the steps that bring it about or take it back."""

import contextlib
from collections import namedtuple

from .errors import UserError

# One thing done to the host. They are data, not functions, so that the rollback can be written down as a
# script that works when neither Ansible nor this code is there.
WriteFile = namedtuple("WriteFile", "path text mode")  # text None: remove the file
Run = namedtuple("Run", "argv stdin")  # stdin None: empty

# One difference between the host and what is wanted.
#   what:   str, where it is, in the host's own terms: "/etc/nftables.conf", "kernel, ip6tables, filter"
#   before: str, how it is now (for --diff, and to find the person who changed it)
#   after:  str, how it will be
#   do:     tuple of WriteFile and Run that bring ``after`` about; each may be interrupted and done again
#   undo:   tuple of WriteFile and Run that bring ``before`` back
Change = namedtuple("Change", "what before after do undo")


def file_change(system, path, text, mode=0o644):
    """The list of changes (none or one) that give a file this content.

    :param System system: the host
    :param str text: wanted content; None: no file
    :returns: list of Change
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


def private_file_change(system, path, text):
    """Changes like those of :func:`file_change`, for a file of ours that nobody but root may read.

    :returns: list of Change: one more for a file that is there and open to others
    """
    changes = []
    mode = system.mode(path)
    if text is not None and mode not in (None, 0o600):
        # Nothing opens it again: others have no use for it.
        do = (Run(("chmod", "0600", path), None),)
        changes.append(Change("mode of " + path, "{0:04o}\n".format(mode), "0600\n", do, ()))
    return changes + file_change(system, path, text, 0o600)


def make(system, changes, perform):
    """Do every change; when one fails, undo what was done, last first, and say why.

    :param list changes: of Change, in their order
    :param perform: function (System, steps): carries steps out, stops at the first that fails
    :raises UserError: a step failed; what was done is undone
    """
    done = []
    try:
        for change in changes:
            done.append(change)
            perform(system, change.do)
    except (UserError, OSError):
        for change in reversed(done):
            for step in change.undo:
                with contextlib.suppress(UserError, OSError):
                    perform(system, [step])
        raise


def perform(system, steps, private, own):
    """Carry out WriteFile and Run steps; stops at the first that fails.

    :param str private: directory that is made for its owner alone before something is written into it
    :param tuple own: directories that go when nothing is in them, inner ones first; looked at with each file that is
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


def as_diff(changes):
    """Changes as Ansible shows them: dict of ``before`` and ``after``."""
    return {"before": _side(changes, "before"), "after": _side(changes, "after")}


def _side(changes, side):
    return "".join("# {0}\n{1}\n".format(change.what, getattr(change, side).rstrip("\n")) for change in changes)
