"""What systemd goes by: it reads a unit's files when it is told to, and a kill may come before that."""

import os.path

from .changes import Change, Run

RELOAD = Run(("systemctl", "daemon-reload"), None)


def is_outdated(system, path):
    """Whether systemd goes by something else than what is at a path.

    :param System system: the host
    :param str path: of a unit (``/etc/systemd/system/x.service``) or a drop-in (``.../x.service.d/y.conf``), which may
        not be there any more
    :returns: bool; False where systemd doesn't say
    """
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


def memory_changes(system, path, first=()):
    """The list of changes (none or one) that have systemd go by what is at a path, for a file that needs no change.

    :param System system: the host
    :param str path: see :func:`is_outdated`
    :param tuple first: steps to do before it
    """
    if not is_outdated(system, path):
        return []
    return [Change("systemd's memory of " + path, "outdated\n", "as on disk\n", (*first, RELOAD), ())]
