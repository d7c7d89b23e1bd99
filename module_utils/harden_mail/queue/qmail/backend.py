"""qmail's queue, and how its messages are moved.

A message has a *key part*: ``todo/ID`` as long as qmail-send has not taken it in, ``info/ID`` from then on. Without it
qmail-send sees no message. So a message is moved in this order: everything else is linked to where it goes, then the
key part is renamed. That is one step: before it the message is whole where it was, after it whole where it goes. What
is left where it was has no meaning to qmail any more and is removed when qmail-send runs again.

A run keeps the parts as ``RUN/PART/ID``. Files there without a key part are the rest of an interrupted move, and no
message. A run on another file system than the queue has a second directory, ``QUEUE/harden-mail/RUN``, on the queue's:
messages are renamed to and from there, and copied between the two while qmail-send runs.
"""

import contextlib
import errno
import os
from array import array

from ...errors import UserError
from ...host.mta import QMAIL_DIR
from ..backend import Outcome, Queue, Unfinished
from ..quarantine import FILE_OVERHEAD, STAGING, copy_exactly, in_batches
from .layout import Layout
from .message import STATES, read
from .place import ALL_PARTS, PARTS_OF, Place, copy_over, key_part, same_file, sync, unlink
from .scan import gather, scan
from .service import find_service, stopped

# Messages between two syncs: what a power cut can't split.
_BATCH = 2000


class QmailQueue(Queue):
    """See ``backend.Queue``.

    :ivar list evidence: what was done to the host besides moving messages
    """

    name = "qmail"
    STATES = STATES

    def __init__(self, system, layout, service):
        self.system, self.layout, self.service = system, layout, service
        self.unreadable = []
        self.evidence = []

    @classmethod
    def open(cls, system, mta, service_manager, params):
        default = (mta and mta["queue_dir"]) or QMAIL_DIR + "/queue"
        queue_dir = params["queue_dir"] or default
        layout = Layout.detect(system.real(queue_dir))
        if layout is None:
            raise UserError(
                "queue_dir is {0}, but that is not a qmail queue (mess, info, todo and lock/sendmutex are not all "
                "there); qmail's own is {1}/queue.".format(queue_dir, QMAIL_DIR)
            )
        # The host's service is that of its own queue; nothing is known of another one's.
        own = os.path.realpath(system.real(default)) == os.path.realpath(system.real(queue_dir))
        return cls(system, layout, find_service(system, mta, service_manager) if own else None)

    def messages(self, wanted=None):
        self.unreadable, self.met = [], 0
        self.met = yield from scan(self.layout, self.unreadable, wanted)

    def gather(self, wanted, found):
        self.unreadable, self.met = [], 0
        self.met = gather(self.layout, self.unreadable, wanted, found)

    def count(self):
        """See ``count.count_queue``. As qmail-qstat counts: every message file, also one without an envelope."""
        return self.layout.count("mess"), 0, self.layout.count("todo")

    def parts(self, message):
        number = int(message.id)
        found = []
        for part in reversed(ALL_PARTS):
            path = self.layout.path(part, number)
            with contextlib.suppress(FileNotFoundError):
                found.append((path, os.stat(path)))
            if not found:
                break
        return found

    def quarantined(self, run):
        for place, number in self._kept(run):
            message = self._read(place, number)
            if message is not None:
                yield message

    def count_quarantined(self, run):
        return sum(1 for _ in self._kept(run))

    def _kept(self, run):
        """Yield (Place, number) of the messages that are in a run."""
        staged, final = self._staging(run), Place(run.directory)
        for place in (staged, final):
            for number in place.numbers():
                # On its way from one to the other it is in both.
                if place is staged or not key_part(staged, number):
                    yield place, number

    def _read(self, place, number):
        return read(place, number, as_written=self.layout.as_written)

    # --- out of the queue -------------------------------------------------------------------------------------

    def room_needed(self, run, size):
        if self._renames(run) or run.deletes():
            return 0
        return size + FILE_OVERHEAD * 4 * sum(1 for _ in run.entries())

    def take(self, run, entries, begun=False):
        place, final = self._places(run)
        wanted = Wanted(entries)
        skipped = []
        if wanted and not begun:
            if place is not final:
                final.make()
                self._copy_ahead(run, wanted, final)
            with self._stopped(), _no_room("quarantine_dir", place.directory, Unfinished):
                place.make()
                for batch in wanted.batches(_BATCH):
                    skipped += self._take_out(batch, place)
        moved = self._settle(run, wanted, place, final)
        return Outcome(moved, skipped)

    def _copy_ahead(self, run, wanted, final):
        """Copy the messages themselves, which never change, while qmail-send still runs."""
        if run.deletes():
            return
        try:
            with _no_room("quarantine_dir", run.directory, UserError):
                for number, _inode, _size, _mtime in wanted:
                    # Delivered meanwhile.
                    with contextlib.suppress(FileNotFoundError):
                        copy_exactly(self.layout.path("mess", number), final.path("mess", number))
        except BaseException:
            for number, _inode, _size, _mtime in wanted:
                final.drop(number)
            raise

    def _take_out(self, batch, place):
        """Move messages from the queue to a place; returns those skipped."""
        ready, skipped = [], []
        for number, inode, size, mtime in batch:
            key = key_part(self.layout, number)
            why = self._differs(number, key, inode, size, mtime)
            if why:
                skipped.append((str(number), why))
                continue
            for part in PARTS_OF[key]:
                with contextlib.suppress(FileNotFoundError):
                    os.link(self.layout.path(part, number), place.path(part, number))
            ready.append((number, key))
        sync(place)
        for number, key in ready:
            if key == "todo":
                # Half made when qmail-send was killed; it makes them anew from todo. Without todo they would count.
                for part in ("info", "local", "remote"):
                    unlink(self.layout.path(part, number))
            os.rename(self.layout.path(key, number), place.path(key, number))
        return skipped

    def _differs(self, number, key, inode, size, mtime):
        """Why a message isn't the one that was selected (a sentence's end), or None."""
        try:
            about = os.stat(self.layout.path("mess", number))
        except FileNotFoundError:
            return "no longer in the queue"
        if (about.st_ino, about.st_size, about.st_mtime_ns) != (inode, size, mtime):
            return "another message has its number now"
        return None if key else "not complete"

    def _settle(self, run, wanted, place, final):
        """Remove what is left in the queue of messages that were taken, and in the run of those that were not.

        :returns: how many messages are in the run
        """
        moved = 0
        for batch in wanted.batches(_BATCH):
            taken = []
            for number, _inode, _size, _mtime in batch:
                if key_part(place, number):
                    self._remove_rest(number, place)
                    taken.append(number)
                elif place is not final and key_part(final, number):
                    place.drop(number)
                    moved += 1
                else:
                    final.drop(number)
                    place.drop(number)
            if place is not final and run.deletes():
                for number in taken:
                    place.drop(number)
            elif place is not final:
                with _no_room("quarantine_dir", run.directory, Unfinished):
                    copy_over(place, final, taken)
            moved += len(taken)
        sync(self.layout)
        sync(final)
        if place is not final:
            place.remove_empty()
        return moved

    def _remove_rest(self, number, place):
        for part in ALL_PARTS:
            kept, path = place.path(part, number), self.layout.path(part, number)
            if same_file(kept, path):
                unlink(path)

    # --- back into the queue ----------------------------------------------------------------------------------

    def give_back(self, run, entries):
        place, final = self._places(run)
        numbers = array("Q", (int(entry["id"]) for entry in entries))
        try:
            if place is not final:
                self._stage(numbers, place, final)
            outcome = self._put_all_back(numbers, place, keep_numbers=place is final)
        except Unfinished:
            raise
        except UserError:
            if place is not final:
                self._unstage(numbers, place, final)
            raise
        for number in numbers:
            if not key_part(place, number):
                place.drop(number)
                if place is not final:
                    final.drop(number)
        if place is not final:
            self._unstage(numbers, place, final)
        final.remove_empty()
        return outcome

    def _put_all_back(self, numbers, place, keep_numbers):
        moved, skipped = 0, []
        here = array("Q", (number for number in numbers if key_part(place, number)))
        if here:
            with self._stopped(), _no_room("queue_dir", self.layout.directory, Unfinished):
                for number in here:
                    why = self._put_back(number, place, keep_numbers)
                    if why:
                        skipped.append((str(number), why))
                    else:
                        moved += 1
            sync(self.layout)
        return Outcome(moved, skipped)

    def _stage(self, numbers, place, final):
        """Move messages of a run to the queue's file system."""
        place.make()
        with _no_room("queue_dir", self.layout.directory, UserError):
            for batch in in_batches(numbers, _BATCH):
                copy_over(final, place, [number for number in batch if key_part(final, number)])

    @staticmethod
    def _unstage(numbers, place, final):
        """Move what is not back in the queue to where a run's messages are for good."""
        for batch in in_batches(numbers, _BATCH):
            copy_over(place, final, [number for number in batch if key_part(place, number)])
        for number in numbers:
            place.drop(number)
        place.remove_empty()

    def _put_back(self, number, place, keep_number):
        """Move a message from a place into the queue; returns why it could not be, or None."""
        key = key_part(place, number)
        try:
            inode = os.stat(place.path("mess", number)).st_ino
        except FileNotFoundError:
            return "its message file is not in the quarantine"
        # A number is an inode's, so the message's own is free. In a queue that was unpacked from an archive the two
        # differ; there the old number is kept as long as nobody has it.
        own, new = self.layout.path("mess", number), inode
        if keep_number and (not os.path.lexists(own) or same_file(place.path("mess", number), own)):
            new = number
        for part in ALL_PARTS:
            target = self.layout.path(part, new)
            if os.path.lexists(target) and not same_file(place.path(part, number), target):
                return "the queue has a {0} that is not this message's".format(target)
        for part in PARTS_OF[key]:
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(place.path(part, number), self.layout.path(part, new))
        os.rename(place.path(key, number), self.layout.path(key, new))
        return None

    # --- shared -----------------------------------------------------------------------------------------------

    def _places(self, run):
        """Where a run's messages are on the queue's file system, and where they are for good; often the same."""
        final = Place(run.directory)
        if self._renames(run):
            return final, final
        return self._staging(run), final

    def _staging(self, run):
        above = os.path.join(self.layout.directory, STAGING)
        return Place(os.path.join(above, run.name), above)

    def _renames(self, run):
        return _can_link(self.layout.mutex, run.directory)

    @contextlib.contextmanager
    def _stopped(self):
        with stopped(self.system, self.service, self.layout.mutex) as stop:
            yield
        if stop.seconds is not None:
            self.evidence.append("qmail-send was stopped for {0:.1f} seconds and runs again".format(stop.seconds))


class Wanted:
    """The messages of a manifest in little memory: what was selected, and is looked for again when qmail is stopped.

    Iterated: (number, inode, size, mtime in ns) of each message file.
    """

    def __init__(self, entries):
        self._rows = array("q")
        for entry in entries:
            _path, inode, _mode, _uid, _gid, mtime = entry["parts"][0]
            self._rows.extend((int(entry["id"]), inode, entry["size"], mtime))

    def __len__(self):
        return len(self._rows) // 4

    def __iter__(self):
        rows = iter(self._rows)
        return zip(rows, rows, rows, rows)

    def batches(self, size):
        return in_batches(self, size)


def _can_link(path, directory):
    """Whether a file can be linked into a directory; two mounts of one file system look alike, but it can't."""
    probe = os.path.join(directory, "probe")
    unlink(probe)
    try:
        os.link(path, probe)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    os.unlink(probe)
    return True


@contextlib.contextmanager
def _no_room(option, directory, kind):
    """Say a full file system in a sentence: UserError, or Unfinished."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise kind(
            "{0} is on a file system that is full now ({1}); make room and run this again.".format(option, directory)
        ) from None
