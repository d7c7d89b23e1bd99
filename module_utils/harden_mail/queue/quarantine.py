"""Where messages are kept outside the queue.

``QUARANTINE_DIR/RUN/`` (mode 0700), one directory for each run of the module:

- ``manifest.jsonl``: a line (JSON object) about the run, then one for each selected message; complete and on disk
  before the first message leaves the queue. A message is quarantined when its files are here; a line without files is
  a message that was skipped, or is back in the queue.
- ``unfinished``: there while work is under way: a line ``{"what": "take"}``, or ``{"what": "give back"}`` and a line
  ``{"instance": ..., "id": ...}`` for each message that goes back. A run that has it when nobody works on it was
  interrupted, and the next run completes it; one without a manifest is of no more use, and is removed.
- what else is there is the queue's own business (``postfix/backend.py``, ``qmail/backend.py``).
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import stat
import time

from ..errors import UserError
from .message import as_result

MANIFEST = "manifest.jsonl"
UNFINISHED = "unfinished"
VERSION = 1

# What the names of files end in that are not complete yet.
HALF_COPIED = ".new"

# A queue's directory for runs on another file system than its own.
STAGING = "harden-mail"

# What a file takes beside its bytes, at most: the rest of its last block, its part of a directory.
FILE_OVERHEAD = 8192

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}\Z")


class Run:
    """One run's directory.

    :ivar str name: for example ``20261125T063000Z-1f2e3d``: when it began (UTC), and chance
    :ivar str directory: absolute path, as this process reaches it
    """

    def __init__(self, directory):
        self.directory = directory
        self.name = os.path.basename(directory)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    # --- beginning and end --------------------------------------------------------------------------------

    @classmethod
    def begin(cls, system, quarantine_dir, header):
        """Make the directory of a new run, marked as unfinished; nothing is taken yet.

        :param dict header: the manifest's first line: mta, action (``quarantine`` or ``delete``), selection
        :raises UserError: others than its owner could change what is in the quarantine
        """
        system.make_private_dir(os.path.normpath(quarantine_dir))
        now = int(time.time())
        name = "{0}-{1}".format(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)), os.urandom(3).hex())
        run = cls(os.path.join(_checked(system, quarantine_dir), name))
        os.mkdir(run.directory, 0o700)
        run.mark("take")
        run._manifest = _new_file(run.path(MANIFEST + HALF_COPIED))
        run._write_line(dict(header, version=VERSION, run=name, created=now))
        return run

    def enter(self, message, parts):
        """Write one message's line.

        :param list parts: as ``Queue.parts`` gives them
        """
        line = as_result(message)
        line["states"] = list(message.states)
        line["identity"] = list(message.identity)
        line["parts"] = [
            [path, info.st_ino, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns]
            for path, info in parts
        ]
        self._write_line(line)

    def seal(self):
        """All messages are entered: put the manifest on disk. From now on messages may leave the queue."""
        self._manifest.flush()
        os.fsync(self._manifest.fileno())
        self._manifest.close()
        os.rename(self.path(MANIFEST + HALF_COPIED), self.path(MANIFEST))
        self.sync()
        sync_directory(os.path.dirname(self.directory))

    def mark(self, what, messages=()):
        """Note on disk that work is under way; a kill from now on leaves a run that is ``unfinished``.

        :param str what: ``take`` or ``give back``
        :param messages: iterable of dicts with ``instance`` and ``id``, which the work is about
        """
        write_synced(self.path(UNFINISHED), (json.dumps(line) + "\n" for line in _work_lines(what, messages)))
        self.sync()

    def unfinished(self):
        """The work that was interrupted (str: ``take``, ``give back``, ``remove``), or None."""
        # Without a manifest it is the first or the last moment of a run.
        if not os.path.exists(self.path(MANIFEST)):
            return "remove"
        with contextlib.closing(_json_lines(self.path(UNFINISHED))) as lines:
            work = next(lines, None)
        return work and work["what"]

    def marked(self):
        """Yield the messages (dicts) that the work under way is about, as :meth:`mark` was given them."""
        return itertools.islice(_json_lines(self.path(UNFINISHED)), 1, None)

    def finish(self):
        """The work is done."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(UNFINISHED))
        self.sync()

    def remove(self):
        """Remove the run with all that is in it, for good. A kill in between leaves a rest that is ``unfinished``.

        Needs no room on disk.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(MANIFEST))
        self.sync()
        shutil.rmtree(self.directory)

    # --- reading ------------------------------------------------------------------------------------------

    def header(self):
        """The manifest's first line, or None: it was never sealed, so no message was taken."""
        with contextlib.closing(_json_lines(self.path(MANIFEST))) as lines:
            return next(lines, None)

    def deletes(self) -> bool:
        """Whether what is taken into the run is to be deleted."""
        return self.header()["action"] == "delete"

    def entries(self):
        """Yield the lines of messages (dicts, as :meth:`enter` writes them)."""
        return itertools.islice(_json_lines(self.path(MANIFEST)), 1, None)

    def has_messages(self):
        """Whether any file is here besides the run's own."""
        own = {self.path(name + end) for name in (MANIFEST, UNFINISHED) for end in ("", HALF_COPIED)}
        return any(path not in own for path in _files(self.directory))

    def sync(self):
        sync_directory(self.directory)

    def _write_line(self, line):
        self._manifest.write(json.dumps(line) + "\n")


def runs(system, quarantine_dir):
    """The runs in a quarantine, oldest first.

    :raises UserError: others than its owner could change what is in the quarantine
    """
    directory = _checked(system, quarantine_dir)
    names = filter(_NAME.match, system.listdir(quarantine_dir))
    return [Run(path) for path in (os.path.join(directory, name) for name in names) if is_own_directory(path)]


def find_run(system, quarantine_dir, name):
    """:raises UserError: there is none of that name"""
    found = [run for run in runs(system, quarantine_dir) if run.name == name]
    if not found:
        names = [run.name for run in runs(system, quarantine_dir)]
        raise UserError(
            "run is {0!r}, but {1} has {2}.".format(
                name, quarantine_dir, "no run" if not names else "only " + ", ".join(names[-10:])
            )
        )
    return found[0]


def check_room(directory, wanted):
    """See that a file system has room before anything is moved there.

    :param str directory: it need not exist yet
    :param int wanted: bytes
    :raises UserError: too little
    """
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    about = os.statvfs(directory)
    free = about.f_bavail * about.f_frsize
    # What others write meanwhile needs room, too.
    if free < wanted + max(16 << 20, wanted // 20):
        raise UserError(
            "quarantine_dir is on a file system with {0} MiB free ({1}), but {2} MiB are needed; make room, or name a "
            "directory elsewhere.".format(free >> 20, directory, (wanted >> 20) + 16)
        )


def copy_exactly(source, target):
    """Copy a file with owner, mode and times to another file system, synced, in one step.

    A copy that is there already is the rest of an interrupted run and is replaced.
    """
    copy_all([(source, target)])


def copy_all(pairs):
    """As :func:`copy_exactly`, of many files (list of (source, target)): all or, when it fails, none."""
    try:
        for source, target in pairs:
            _copy(source, target + HALF_COPIED)
        # After all are written: one sync of a file system's journal is often enough for them all.
        for _, target in pairs:
            _sync(target + HALF_COPIED, os.O_RDONLY)
    except BaseException:
        for _, target in pairs:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target + HALF_COPIED)
        raise
    for _, target in pairs:
        os.rename(target + HALF_COPIED, target)


def _copy(source, target):
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as reader, _new_file(target, "wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        about = os.fstat(reader.fileno())
        os.fchown(writer.fileno(), about.st_uid, about.st_gid)
        os.fchmod(writer.fileno(), stat.S_IMODE(about.st_mode))
        os.utime(writer.fileno(), ns=(about.st_atime_ns, about.st_mtime_ns))


def in_batches(items, size):
    """Yield lists of up to ``size`` items of an iterable."""
    iterator = iter(items)
    while True:
        batch = list(itertools.islice(iterator, size))
        if not batch:
            return
        yield batch


def _work_lines(what, messages):
    yield {"what": what}
    for message in messages:
        yield {"instance": message["instance"], "id": message["id"]}


def _json_lines(path):
    """Yield what the lines of a file say; nothing when it isn't there."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as handle:
        for line in handle:
            yield json.loads(line)


def write_synced(path, lines):
    """Replace a file in one step, synced (its directory is the caller's)."""
    with _new_file(path + HALF_COPIED) as handle:
        handle.writelines(lines)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(path + HALF_COPIED, path)


def sync_directory(path):
    """Make renames in a directory survive a power cut; nothing happens when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path, flags):
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _new_file(path, mode="w"):
    """A file to write, for its owner alone; the rest of an interrupted run is overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, mode)


def _files(directory):
    """Yield the paths of the files below a directory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry.path


def _checked(system, quarantine_dir):
    """The quarantine as this process reaches it; it need not exist yet."""
    if not quarantine_dir.startswith("/"):
        raise UserError("quarantine_dir is {0!r}, but it must be an absolute path.".format(quarantine_dir))
    directory = system.real(quarantine_dir)
    try:
        about = os.stat(directory)
    except FileNotFoundError:
        return directory
    if not stat.S_ISDIR(about.st_mode):
        raise UserError("quarantine_dir is {0}, but that is not a directory.".format(quarantine_dir))
    if about.st_uid not in (0, os.geteuid()) or about.st_mode & 0o022:
        raise UserError(
            "quarantine_dir is {0}, but others than root could change what is in it; give a directory that is root's, "
            "with mode 0700.".format(quarantine_dir)
        )
    return directory


def is_own_directory(path):
    """Whether there is a directory, not a symbolic link to one, that is this user's."""
    about = os.lstat(path)
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
