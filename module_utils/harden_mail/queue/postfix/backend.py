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
import os
import resource

from ...errors import UserError
from ...postfix.postconf import postconf
from ..backend import Outcome, Queue, Unfinished
from ..count import count_state
from ..quarantine import FILE_OVERHEAD, STAGING, in_batches
from .file import Unreadable
from .holder import Holder
from .instances import Instance, find_instances, label_of, name_of_label
from .message import read
from .mover import IN_MAILDROP
from .scan import gather, scan
from .spool import DIRECTORIES, LOGS, MESSAGE_QUEUES, Spool
from .transfer import BATCH, Transfer

_NO_INSTANCE = "this host has no Postfix instance {0} now"


class PostfixQueue(Queue):
    """See ``backend.Queue``.

    :ivar dict instances: name (None: the default one) -> instances.Instance
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
        known = find_instances(system, mta, params["config_dir"])
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
            return _NO_INSTANCE.format(message.instance)
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
        return self._inside(messages, Holder.hold)

    def release(self, messages):
        return self._inside(messages, Holder.release)

    def _inside(self, messages, change):
        done, skipped = [], []
        with _as_sentence("queue_dir", lambda: any(done)):
            for name, instance in self.instances.items():
                holder = Holder(self.system, self._spool(name), instance)
                try:
                    for batch in in_batches((one for one in messages if one.instance == name), BATCH):
                        changed, left = change(holder, batch)
                        done.append(changed)
                        skipped += left
                finally:
                    holder.wake()
                    holder.spool.close()
        return Outcome(sum(done), skipped)

    # --- out of the queue -------------------------------------------------------------------------------------

    def room_needed(self, run, size):
        if run.deletes() or all(self._can_rename(name, run) for name in self.instances):
            return 0
        return size + FILE_OVERHEAD * 2 * sum(1 for _ in run.entries())

    def take(self, run, entries, begun=False):
        moved, skipped = 0, []
        with self._moving(run, "quarantine_dir") as transfers:
            if begun:
                for transfer in transfers.values():
                    moved += transfer.settle()
            else:
                for batch in in_batches(entries, BATCH):
                    for name, transfer in transfers.items():
                        taken, left = transfer.take([entry for entry in batch if entry["instance"] == name])
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
            name = name_of_label(label)
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
        with self._moving(run, "queue_dir") as transfers:
            for batch in in_batches(entries, BATCH):
                for name in {entry["instance"] for entry in batch}:
                    names = [entry["id"] for entry in batch if entry["instance"] == name]
                    if name in transfers:
                        given, left = transfers[name].give_back(names)
                        moved += given
                        skipped += left
                    else:
                        skipped += [(one, _NO_INSTANCE.format(name)) for one in names]
        return Outcome(moved, skipped)

    # --- shared -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _moving(self, run, option):
        """The transfers between the queues and a run (name of the instance -> Transfer), for the time of a ``with``."""
        transfers = {}
        _may_open(BATCH + 3 * DIRECTORIES * len(self.instances) + 100)
        try:
            with _as_sentence(option, lambda: any(transfer.changed for transfer in transfers.values())):
                for name, instance in self.instances.items():
                    final = Spool(run.path(label_of(name)))
                    place = final if self._can_rename(name, run) else self._staging(name, run)
                    transfers[name] = Transfer(self.system, self._spool(name), place, final, instance, run.deletes())
                yield transfers
                for transfer in transfers.values():
                    transfer.finish()
        finally:
            for transfer in transfers.values():
                transfer.wake()
                transfer.close()

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


def _may_open(count):
    """Have this process allowed to have so many files open, if the host lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


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
