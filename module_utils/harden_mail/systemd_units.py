"""Files of units and drop-ins: systemd reads them when it is told to, and a kill may come before that."""

import os.path
from typing import List, Optional, Sequence, Tuple

from .changes import Change, Run, file_change
from .system import System

RELOAD = Run(("systemctl", "daemon-reload"), None)


def unit_file_changes(system: System, path: str, text: Optional[str], then: Sequence[Run] = ()) -> List[Change]:
    """The list of changes (none or one) that give a file of systemd's this content, and have systemd go by it.

    What a killed run has written or removed, and systemd has not read since, is a change too. The directory of drop-ins
    goes with the last one in it.

    :param path: of a unit (``/etc/systemd/system/x.service``) or a drop-in (``.../x.service.d/y.conf``)
    :param text: wanted content; None: no file
    :param then: steps to do when systemd has read it; nothing undoes them
    """
    changes = []
    for change in file_change(system, path, text):
        do = change.do + (() if text is not None else _tidy(path)) + (RELOAD, *then)
        undo = change.undo + (() if change.before else _tidy(path)) + (RELOAD,)
        changes.append(change._replace(do=do, undo=undo))
    if not changes and is_outdated(system, path):
        # The kill may have come before the empty directory went, or after.
        left = _tidy(path) if text is None and system.is_dir(os.path.dirname(path)) else ()
        changes = [Change("systemd's memory of " + path, "outdated\n", "as on disk\n", (*left, RELOAD, *then), ())]
    return changes


def is_outdated(system: System, path: str) -> bool:
    """Whether systemd goes by something else than what is at a path, which may not be there any more; False where
    systemd doesn't say."""
    directory = os.path.basename(os.path.dirname(path))
    unit = directory[: -len(".d")] if directory.endswith(".d") else os.path.basename(path)
    show = ["systemctl", "show", "--property=FragmentPath,DropInPaths,NeedDaemonReload", unit]
    known = dict(line.partition("=")[::2] for line in system.run(show, check=False).out.splitlines())
    if "NeedDaemonReload" not in known:
        return False
    # A unit that systemd did not know is read from its file when it is asked about.
    is_loaded = path == known.get("FragmentPath") or path in known.get("DropInPaths", "").split()
    # Of what is not loaded from there, NeedDaemonReload speaks of another file, which is not ours to have read.
    return is_loaded != system.exists(path) or (is_loaded and known["NeedDaemonReload"] == "yes")


def _tidy(path: str) -> Tuple[Run, ...]:
    """The steps, which may be done twice, that take the directory of a drop-in away when it is empty."""
    directory = os.path.dirname(path)
    if not directory.endswith(".d"):
        return ()
    script = '[ ! -d "$1" ] || rmdir --ignore-fail-on-non-empty "$1"'
    return (Run(("sh", "-c", script, "sh", directory), None),)
