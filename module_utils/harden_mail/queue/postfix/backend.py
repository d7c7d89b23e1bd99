"""Postfix's queue, and how its messages are moved.

Postfix moves a message by renaming its file, and each of its programs is ready for a file that somebody else has moved
away meanwhile. So a message is taken out by a rename, too, with the queue it came from as the directory that it goes
to: ``RUN/INSTANCE/QUEUE/ID``. Whoever delivers it holds a lock on the file, and marks in it who has got it: what is
locked is left; what isn't can't be delivered any more, since it is no longer where queue manager and delivery agents
look for it.

A message goes back by a rename into the queue that it came from, with the same file and so the same id, which is made
of the file's inode. One that was active goes to ``incoming``, and under another id: as long as the queue manager has
the old one in memory it takes both for one, delivers neither and removes the file. That was seen with 3.7 and 3.10,
where ``postsuper -h`` and then ``-H`` lost active mail so. For this reason neither is used here.

What comes back into ``incoming`` would lie there until the queue manager looks, which it does each five minutes unless
somebody tells it to: so it is told, as it is of mail that is released.

A run on another file system than the queue has a second directory, ``SPOOL/harden-mail/RUN``, on the queue's: messages
are renamed to and from there, and copied between the two.
"""

import contextlib
import errno
import fcntl
import os
import resource
from collections import namedtuple
from urllib.parse import quote, unquote

from ...errors import CommandError, UserError
from ...postfix.postconf import POSTFIX_DIR, postconf
from ..backend import Outcome, Queue, Unfinished
from ..count import count_state
from ..quarantine import copy_all, in_batches
from .file import Unreadable
from .scan import Instance, gather, read, scan
from .spool import DIRECTORIES, LOGS, MESSAGE_QUEUES, Spool, is_mail, name_of

# On the queue's file system, for runs on another one.
STAGING = "harden-mail"

# Messages whose files are open and locked at once.
BATCH = 400

# What a queue manager is asked to look through (src/global/mail_proto.h).
LOOK_AT_INCOMING, LOOK_AT_DEFERRED = "I", "D"

# Seconds that it has to hear it; it may be busy, and looks by itself later on.
HEARING = 10

# What a file takes beside its bytes, at most: the rest of its last block, its part of a directory.
FILE_OVERHEAD = 8192

# Of what is noted of a message: what bounce(8) sends a report from, and the rest.
REPORTED = ("bounce", "trace")
NOTED = tuple(log for log in LOGS if log not in REPORTED)

NO_MAIL = "its file is not one that Postfix takes for a message"
GONE = "no longer in the queue"
REPLACED = "another message has its id now"
IN_DELIVERY = "it is being delivered at this moment"
REPORTING = "its sender is just to be told what became of it"
IN_MAILDROP = "it is in maildrop, and can be moved once Postfix, if it runs, has taken it in, which takes a minute"
NO_INSTANCE = "this host has no Postfix instance {0} now"


class PostfixQueue(Queue):
    """See ``backend.Queue``.

    :ivar dict instances: name (None: the default one) -> postfix_scan.Instance
    """

    name = "postfix"
    STATES = ("maildrop", "incoming", "active", "deferred", "hold")
    can_hold = True

    def __init__(self, system, instances):
        self.system = system
        self.instances = {instance.name: instance for instance in instances}
        self.unreadable, self.met = [], 0
        self._spools = {}
        self._renames = {}

    @classmethod
    def open(cls, system, mta, service_manager, params):
        known = _instances(system, mta, params["config_dir"])
        wanted = params["queue_dir"]
        found = [one for one in known if wanted is None or os.path.normpath(one.queue_dir) == os.path.normpath(wanted)]
        if not found:
            raise UserError(
                "queue_dir is {0}, but that is no queue of this Postfix; it has {1}.".format(
                    wanted, ", ".join(one.queue_dir for one in known)
                )
            )
        started = [one for one in found if system.is_dir(os.path.join(one.queue_dir, "active"))]
        if not started:
            raise UserError(
                "config_dir is {0}, which says that the queue is in {1}, but there is none; name the directory of an "
                "instance that has been started once.".format(found[0].config_dir, found[0].queue_dir)
            )
        # Paths are cut at its length.
        return cls(system, [one._replace(queue_dir=system.real(os.path.normpath(one.queue_dir))) for one in started])

    def messages(self, wanted=None):
        self.unreadable, self.met = [], 0
        for instance in self.instances.values():
            self.met += yield from scan(instance, self.unreadable, wanted)

    def gather(self, wanted, found):
        self.unreadable, self.met = [], 0
        for instance in self.instances.values():
            self.met += gather(instance, self.unreadable, wanted, found)

    def count(self):
        """See ``count.count_queue``."""
        found = {
            state: sum(count_state(os.path.join(one.queue_dir, state)) for one in self.instances.values())
            for state in self.STATES
        }
        held = found.pop("hold")
        return sum(found.values()), held, None

    def stuck(self, message):
        if message.instance not in self.instances:
            return NO_INSTANCE.format(message.instance)
        return IN_MAILDROP if message.states == ("maildrop",) else None

    def parts(self, message):
        spool = self._spool(message.instance)
        path = message.path
        about = _lstat(path)
        if about is None:
            queue = spool.find(message.id)
            if queue is None:
                return []
            path = spool.path(queue, message.id)
            about = _lstat(path)
        if about is None or about.st_ino != message.inode:
            return []
        logs = ((spool.path(log, message.id), spool.stat(log, message.id)) for log in LOGS)
        return [(path, about)] + [(log, found) for log, found in logs if found]

    def hold(self, messages):
        return self._inside(messages, Inside.hold)

    def release(self, messages):
        return self._inside(messages, Inside.release)

    def _inside(self, messages, change):
        done, skipped = [], []
        with _as_sentence("queue_dir", lambda: any(done)):
            for name, instance in self.instances.items():
                inside = Inside(self.system, self._spool(name), instance)
                try:
                    for batch in in_batches((one for one in messages if one.instance == name), BATCH):
                        changed, left = change(inside, batch)
                        done.append(changed)
                        skipped += left
                finally:
                    inside.wake()
                    inside.spool.close()
        return Outcome(sum(done), skipped)

    # --- out of the queue -------------------------------------------------------------------------------------

    def room_needed(self, run, size):
        if _deletes(run) or all(self._can_rename(name, run) for name in self.instances):
            return 0
        return size + FILE_OVERHEAD * 2 * sum(1 for _ in run.entries())

    def take(self, run, entries, begun=False):
        moved, skipped = 0, []
        with self._moving(run, "quarantine_dir") as ways:
            if begun:
                for way in ways.values():
                    moved += way.settle()
            else:
                for batch in in_batches(entries, BATCH):
                    for name, way in ways.items():
                        taken, left = way.take([entry for entry in batch if entry["instance"] == name])
                        moved += taken
                        skipped += left
        return Outcome(moved, skipped)

    def quarantined(self, run):
        for place, queue, message_id, instance in self._kept(run):
            with contextlib.suppress(Unreadable, FileNotFoundError):
                yield read(place.path(queue, message_id), message_id, queue, instance)

    def count_quarantined(self, run):
        return sum(1 for _ in self._kept(run))

    def _kept(self, run):
        """Yield (Spool, queue, id, Instance) of the messages that are in a run."""
        for label in sorted(os.listdir(run.directory)):
            if not os.path.isdir(run.path(label)):
                continue
            name = _name_of_label(label)
            instance = self.instances.get(name, Instance(name, None, None))
            staged = self._staging(name, run) if name in self.instances else None
            for queue in MESSAGE_QUEUES:
                for place in (staged, Spool(run.path(label))):
                    for message_id in place.names(queue) if place else ():
                        # On its way from one to the other it is in both.
                        if place is not staged and staged and staged.stat(queue, message_id):
                            continue
                        yield place, queue, message_id, instance

    # --- back into the queue ----------------------------------------------------------------------------------

    def give_back(self, run, entries):
        moved, skipped = 0, []
        with self._moving(run, "queue_dir") as ways:
            for batch in in_batches(entries, BATCH):
                for name in {entry["instance"] for entry in batch}:
                    names = [entry["id"] for entry in batch if entry["instance"] == name]
                    if name in ways:
                        given, left = ways[name].give_back(names)
                        moved += given
                        skipped += left
                    else:
                        skipped += [(one, NO_INSTANCE.format(name)) for one in names]
        return Outcome(moved, skipped)

    # --- shared -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _moving(self, run, option):
        """The ways between the queues and a run (name of the instance -> Way), for the time of a ``with`` block."""
        ways = {}
        _may_open(BATCH + 3 * DIRECTORIES * len(self.instances) + 100)
        try:
            with _as_sentence(option, lambda: any(way.changed for way in ways.values())):
                for name, instance in self.instances.items():
                    final = Spool(run.path(_label(name)))
                    place = final if self._can_rename(name, run) else self._staging(name, run)
                    ways[name] = Way(self.system, self._spool(name), place, final, instance, _deletes(run))
                yield ways
                for way in ways.values():
                    way.finish()
        finally:
            for way in ways.values():
                way.wake()
                way.close()

    def _staging(self, name, run):
        return Spool(os.path.join(self.instances[name].queue_dir, STAGING, run.name))

    def _spool(self, name):
        if name not in self._spools:
            instance = self.instances[name]
            names = ("hash_queue_names", "hash_queue_depth")
            settings = postconf(self.system, instance.config_dir, names)
            hashed = settings.get(names[0], "deferred, defer").replace(",", " ").split()
            self._spools[name] = Spool(instance.queue_dir, hashed, int(settings.get(names[1], "1")))
        return self._spools[name]

    def _can_rename(self, name, run):
        """Whether files can be renamed from a queue to a run; two mounts of one file system look alike, but can't."""
        if name not in self._renames:
            probe, there = run.path("probe"), os.path.join(self.instances[name].queue_dir, STAGING + ".probe")
            with open(probe, "w"):
                pass
            try:
                os.rename(probe, there)
            except OSError as error:
                os.unlink(probe)
                if error.errno != errno.EXDEV:
                    raise
                self._renames[name] = False
            else:
                os.unlink(there)
                self._renames[name] = True
        return self._renames[name]


class Mover:
    """Takes messages of an instance from where its queue manager and delivery agents would find them.

    :ivar Spool spool: the queue
    """

    def __init__(self, system, spool, instance):
        self.system, self.spool, self.instance = system, spool, instance
        self.owner = spool.owner()
        self._locks = None
        self._to_look_at = set()

    def wake(self):
        """Tell the queue manager of mail that it would not look for soon; where none runs nothing happens."""
        if self._to_look_at:
            request = "".join(sorted(self._to_look_at))
            argv = ["postkick", "-c", self.instance.config_dir, "public", "qmgr", request]
            with contextlib.suppress(CommandError):
                self.system.run(argv, check=False, timeout=HEARING)
            self._to_look_at.clear()

    def take_all(self, wanted, files, take_one):
        """Call ``take_one(message, files)`` for each message (Wanted): [(id, why)] of those left."""
        self._locks = None
        skipped = []
        for one in wanted:
            try:
                take_one(one, files)
            except _Left as left:
                skipped.append((one.id, str(left)))
        return skipped

    def move(self, wanted, files, target):
        """Move a message that nobody delivers, as far as can be seen before it is moved.

        :param Wanted wanted: which
        :param list files: gets its open file
        :param function target: queue -> (Spool, queue, id) that it goes to
        :returns: (queue that it was in, os.stat_result)
        :raises _Left: it was left in the queue, and why
        """
        if wanted.state == "maildrop":
            raise _Left(IN_MAILDROP)
        for directory in self._where(wanted):
            queue = directory.partition("/")[0]
            try:
                descriptor = self.spool.open_file(directory, wanted.id)
                files.append(descriptor)
                about = os.fstat(descriptor)
                if about.st_ino != wanted.inode:
                    raise _Left(REPLACED)
                if not is_mail(about, self.owner):
                    raise _Left(NO_MAIL)
                if queue == "active":
                    self._see_that_nothing_is_reported(wanted.id)
                if queue == "active" and self._is_in_delivery(about.st_ino):
                    # Rather than to move it and back; the lock may also be that of another file system's file.
                    _lock(descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                # As long as the file is open nobody else gets its inode, and so its name.
                self.spool.rename(directory, wanted.id, *target(queue))
            except (FileNotFoundError, NotADirectoryError):
                continue
            return queue, about
        raise _Left(GONE)

    def _see_that_nothing_is_reported(self, name):
        """See that bounce(8) has nothing to do with an active message.

        It reads the log, sends, and then removes the log by its name: moved meanwhile, it would be sent once more when
        the message comes back.

        :raises _Left: it has
        """
        if any(self.spool.stat(log, name) for log in REPORTED):
            raise _Left(REPORTING)

    def _lock(self, descriptor, queue, name):
        """Lock a message that was moved out of a queue, and see that nobody had done anything with it till then.

        :raises _Left: somebody has; what he notes of it, he notes under its former id
        """
        _lock(descriptor)
        if queue == "active":
            self._see_that_nothing_is_reported(name)

    def _where(self, wanted):
        """Directories that a message may be in: it moves between them, and may get to one that was looked at before."""
        if wanted.directory:
            yield wanted.directory
        for _ in range(2):
            for queue in (wanted.state,) + MESSAGE_QUEUES:
                yield self.spool.relative(queue, wanted.id)

    def _way_back(self, queue):
        """The queue that a message goes back to which was in another one."""
        back = "incoming" if queue == "active" else queue
        if back == "incoming":
            self._to_look_at.add(LOOK_AT_INCOMING)
        return back

    def _is_in_delivery(self, inode):
        """Whether somebody has, or may have, locked a file with that inode."""
        if self._locks is None:
            self._locks = _locked_inodes(self.system)
        return inode in self._locks


class Inside(Mover):
    """Holds and releases messages inside the queue of an instance."""

    def hold(self, messages):
        """Hold messages: (how many, [(id, why)] of those left)"""
        files = []
        wanted = [Wanted(message.id, message.states[0], message.inode, None, None, None, None) for message in messages]
        try:
            skipped = self.take_all(wanted, files, self._hold_one)
        finally:
            for descriptor in files:
                os.close(descriptor)
        return len(wanted) - len(skipped), skipped

    def release(self, messages):
        """Release messages: (how many, [(id, why)] of those left)"""
        skipped = []
        for message in messages:
            name, about = message.id, self.spool.stat("hold", message.id)
            if about is None or about.st_ino != message.inode:
                skipped.append((name, GONE))
                continue
            # Whoever held it may have done so while it was active.
            other = name_of(name, about.st_ino, other=True)
            self._link_logs(name, other, LOGS)
            try:
                self.spool.rename(self.spool.relative("hold", name), name, self.spool, "deferred", other)
            except FileNotFoundError:
                # Somebody else has released or removed it since it was looked at.
                self._drop_logs(other)
                skipped.append((name, GONE))
            else:
                self._to_look_at.add(LOOK_AT_DEFERRED)
                self._drop_logs(name)
        return len(messages) - len(skipped), skipped

    def _hold_one(self, wanted, files):
        name, other = wanted.id, name_of(wanted.id, wanted.inode, other=True)
        unused = None

        def new_id(queue):
            return other if queue == "active" else name

        def target(queue):
            nonlocal unused
            if queue == "hold":
                raise _Left("it is held already")
            if queue == "active":
                self._link_logs(name, other, NOTED)
                unused = other
            return self.spool, "hold", new_id(queue)

        try:
            queue, _ = self.move(wanted, files, target)
            held = new_id(queue)
            if held == other:
                unused = name
            try:
                self._lock(files[-1], queue, name)
            except _Left:
                back = self._way_back(queue)
                self.spool.rename(self.spool.relative("hold", held), held, self.spool, back, held)
                raise
        finally:
            if unused:
                self._drop_logs(unused, NOTED)

    def _link_logs(self, name, other, logs):
        """Have what Postfix noted of a message under two ids, until it is known which one it has."""
        for log in logs:
            self.spool.link(log, name, other)

    def _drop_logs(self, name, logs=LOGS):
        for log in logs:
            self.spool.remove_file(log, name)


class Way(Mover):
    """Between the queue of an instance and a run.

    :ivar Spool final: where a run's messages are for good
    :ivar Spool place: where they are on the queue's file system; often the same
    :ivar bool changed: whether a message has changed its place
    """

    def __init__(self, system, spool, place, final, instance, deletes):
        super().__init__(system, spool, instance)
        self.place, self.final, self.deletes, self.changed = place, final, deletes, False
        for where in {place, final}:
            where.make_private()

    def close(self):
        for spool in {self.spool, self.place, self.final}:
            spool.close()

    def finish(self):
        for spool in (self.spool, self.place, self.final):
            spool.sync()
        if self.place is not self.final:
            self.place.remove_empty()

    # --- from the queue to the run ----------------------------------------------------------------------------

    def take(self, entries):
        """Move messages (lines of the manifest) out of the queue: (how many were, [(id, why)] of those that weren't)"""
        taken, files = [], []

        def take_one(wanted, files):
            queue, about = self.move(wanted, files, lambda queue: (self.place, queue, wanted.id))
            taken.append((queue, wanted.id))
            # It has the time of its last delivery, or of the next one.
            same = about.st_mtime_ns == wanted.mtime and queue == wanted.state
            try:
                if not same:
                    self._check(wanted, queue)
                self._lock(files[-1], queue, wanted.id)
            except _Left:
                self._put_back(queue, wanted.id)
                taken.pop()
                raise
            logs = NOTED if queue == "active" else wanted.logs if same else LOGS
            self.spool.move_logs(wanted.id, self.place, wanted.id, logs)

        try:
            skipped = self.take_all(map(self._of_entry, entries), files, take_one)
            # Locked all the while: what has been copied is not changed any more.
            self._store(taken)
        except BaseException:
            if self.place is not self.final:
                _drop(taken, self.final, self.place)
                for queue, name in taken:
                    self._put_back(queue, name)
                taken = []
            raise
        finally:
            self.changed = self.changed or bool(taken)
            for descriptor in files:
                os.close(descriptor)
        return len(taken), skipped

    def _of_entry(self, entry):
        paths = [part[0][len(self.spool.directory) + 1 :] for part in entry["parts"]]
        _, inode, _, _, _, mtime = entry["parts"][0]
        directory = os.path.dirname(paths[0])
        logs = [path.partition("/")[0] for path in paths[1:]]
        return Wanted(entry["id"], entry["states"][0], inode, entry["identity"], directory, mtime, logs)

    def _check(self, wanted, queue):
        """See that what was moved is the message that was meant.

        :raises _Left: it isn't
        """
        try:
            message = read(self.place.path(queue, wanted.id), wanted.id, queue, self.instance)
        except Unreadable as error:
            raise _Left("its file can't be read: {0}".format(error)) from None
        if list(message.identity) != wanted.identity:
            raise _Left(REPLACED)

    def settle(self):
        """Complete what a killed :meth:`take` has begun to move: how many messages are in the run."""
        count = 0
        for queue in MESSAGE_QUEUES:
            for names in in_batches(self.place.names(queue), BATCH):
                count += self._settle([(queue, name) for name in names])
            if self.place is not self.final:
                count += sum(1 for _ in self.final.names(queue))
        return count

    def _settle(self, messages):
        ready, files = [], []
        try:
            for queue, name in messages:
                files.append(self.place.open_file(queue, name))
                try:
                    _lock(files[-1])
                except _Left:
                    self._put_back(queue, name)
                else:
                    self.spool.move_logs(name, self.place, name, LOGS)
                    ready.append((queue, name))
            self._store(ready)
        finally:
            for descriptor in files:
                os.close(descriptor)
        return len(ready) if self.place is self.final else 0

    def _store(self, taken):
        """What is on the queue's file system goes to where it is for good."""
        if self.place is self.final:
            return
        if not self.deletes:
            self._copy(self.place, self.final, taken)
        _drop(taken, self.place, self.place if self.deletes else self.final)

    # --- from the run to the queue ----------------------------------------------------------------------------

    def give_back(self, names):
        """Move messages back into the queue: (how many were, [(id, why)] of those that weren't)"""
        moved, skipped, here = 0, [], []
        for name in names:
            queue = self.final.find(name)
            if queue:
                here.append((queue, name))
        if self.place is not self.final:
            try:
                self._copy(self.final, self.place, here)
            except BaseException:
                _drop(here, self.place, self.final)
                raise
            # Before a message is in the queue, so that it can never be given back twice.
            self.changed = self.changed or bool(here)
            _drop(here, self.final, self.place)
            here = [(self.place.find(name), name) for name in names]
        kept = []
        for queue, name in here:
            why = queue and self._put_back(queue, name)
            if why:
                skipped.append((name, why))
                kept.append((queue, name))
            elif queue:
                moved += 1
                self.changed = True
        if self.place is not self.final:
            self._copy(self.place, self.final, kept)
            _drop(kept, self.place, self.final)
        return moved, skipped

    def _put_back(self, queue, name):
        """Move a message from the place into the queue; returns why it could not be, or None."""
        about = self.place.stat(queue, name)
        if not is_mail(about, self.owner):
            return NO_MAIL
        # Computed the same way by a run that goes on after a kill, when its logs are there already.
        new_name = name_of(name, about.st_ino, other=queue == "active")
        if self.spool.find(new_name):
            return "the queue has another message with its id"
        # Before it, since Postfix may deliver it at once.
        self.place.move_logs(name, self.spool, new_name, LOGS)
        self.place.rename(queue, name, self.spool, self._way_back(queue), new_name)
        return None

    def _copy(self, source, target, messages):
        """Copy messages with their logs to another file system."""
        pairs = []
        for queue, name in messages:
            for part in LOGS + (queue,):
                if source.stat(part, name):
                    pairs.append((source.path(part, name), target.path(part, name)))
        copy_all(pairs)
        target.sync()


def _drop(messages, place, other):
    """Remove what is in a place of messages that are in the other, too."""
    for queue, name in messages:
        # The message last: as long as it is there, whoever goes on after a kill looks for the rest.
        for part in LOGS + (queue,):
            if other.stat(part, name):
                place.remove_file(part, name)


# A message that is to be moved. inode, mtime: of its file; directory: that it was found in, of the spool; logs: those
# that it had; what is not known is None
Wanted = namedtuple("Wanted", "id state inode identity directory mtime logs")


class _Left(Exception):
    """A message is left in the queue: why."""


def _lock(descriptor):
    """Lock a file as a queue manager does.

    :raises _Left: somebody has locked it
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _Left(IN_DELIVERY) from None


def _may_open(count):
    """Have this process allowed to have so many files open, if the host lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _locked_inodes(system):
    """Inodes of all files on the host that somebody has locked."""
    found = set()
    for line in (system.read("/proc/locks") or "").splitlines():
        fields = line.split()
        if "FLOCK" in fields and len(fields) > 5:
            found.add(int(fields[5].rpartition(":")[2]))
    return found


def _deletes(run):
    return run.header()["action"] == "delete"


# --- instances --------------------------------------------------------------------------------------------------


def _instances(system, mta, config_dir):
    """Instances (with paths on the host) of the host, or the one whose configuration is in a directory."""
    if config_dir is None and mta and all(one["queue_dir"] for one in mta["instances"]):
        return _named(Instance(one["name"], one["config_dir"], one["queue_dir"]) for one in mta["instances"])
    directory = config_dir or POSTFIX_DIR
    settings = postconf(system, directory, ("queue_directory", "multi_instance_name"))
    if not settings.get("queue_directory"):
        raise UserError(
            "config_dir is {0}, but `postconf -c {0} queue_directory` gives no answer; name the directory of a "
            "main.cf, as {1}.".format(directory, POSTFIX_DIR)
        )
    default = os.path.normpath(directory) == POSTFIX_DIR
    name = None if default else settings.get("multi_instance_name") or directory
    return [Instance(name, directory, settings["queue_directory"])]


def _named(instances):
    """Instances with names of their own: an id is unique only in one."""
    found = []
    for one in instances:
        default = os.path.normpath(one.config_dir) == POSTFIX_DIR
        taken = [other.name for other in found]
        unnamed = not default and (one.name is None or one.name in taken)
        found.append(one._replace(name=one.config_dir) if unnamed else one)
    return found


def _label(name):
    """The directory of an instance in a run."""
    return "default" if name is None else "instance-" + quote(name, safe="")


def _name_of_label(label):
    return None if label == "default" else unquote(label[len("instance-") :])


def _lstat(path):
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _as_sentence(option, changed):
    """Say what a file system refuses in a sentence: UserError, or Unfinished."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (Unfinished if changed() else UserError)(
            "{0}: {1} ({2}); {3} and run this again.".format(
                option,
                "its file system is full now" if full else "its file system refuses",
                error,
                "make room" if full else "mend that",
            )
        ) from error
