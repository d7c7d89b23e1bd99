"""The messages in the queue of a Postfix instance, one after the other, as its files say."""

import functools
import itertools
import os
import re
from array import array
from bisect import bisect_left
from typing import Callable, Generator, List, Optional, Tuple

from ...errors import UserError
from .. import scanner
from ..scanner import PRIME, Scanner
from .file import HalfMade, Unreadable
from .instances import Instance
from .message import Place, PostfixMessage, read_in

# In the order in which mail moves, so that what moves on meanwhile is met; only from deferred it goes back, to active,
# and what people hold and release goes to and fro.
STATES = ("hold", "maildrop", "incoming", "active", "deferred")
_AGAIN = ("hold", "incoming", "active")

# Short: 5 digits of microseconds and the inode, hexadecimal; long: seconds and microseconds in base 52, z, the inode in
# base 51 (src/global/mail_queue.h).
_ID = re.compile(r"(?:[0-9A-F]{6,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+)\Z")

# Microseconds and process: a file that is being made, and has no id yet (src/global/mail_queue.c).
_TEMPORARY = re.compile(r"\d+\.\d+\Z")

# hash_queue_depth, at most (src/global/mail_params.h has no limit; mail_queue.c makes one directory for a character).
_DEEPEST = 16


def scan(
    instance: Instance, unreadable: List[Tuple[str, str]], wanted: Optional[Callable[[PostfixMessage], bool]] = None
) -> Generator[PostfixMessage, None, int]:
    """Yield the complete messages of an instance's queue, reading only. Order is that of the directories.

    A big queue is read by several processes at once.

    :param unreadable: gets (path, why) of what is no message that can be read; it is passed over
    :param wanted: says of a message whether it is yielded; asked in the process that reads. None: all
    :returns: yields messages that no longer need their files; the generator's value is how many there were
    :raises UserError: a directory can't be read
    """
    return scanner.scan(functools.partial(PostfixScanner, instance, wanted), PostfixMessage.from_summary, unreadable)


def gather(instance: Instance, unreadable: List[Tuple[str, str]], wanted, found) -> int:
    """Add the messages that ``scan`` would yield to something; see ``backend.Queue.gather``.

    :returns: how many there were, wanted or not
    :raises UserError: a directory can't be read
    """
    return scanner.gather(functools.partial(PostfixScanner, instance, wanted), found, unreadable)


class PostfixScanner(Scanner):
    """See ``scanner.Scanner``."""

    def __init__(self, instance: Instance, wanted, unreadable, part=0, parts=1):
        super().__init__(unreadable, wanted, part, parts)
        self.instance = instance
        self._mail_owner = _mail_owner(instance)
        # Hashes of the ids that were met, sorted, for each of STATES but the last: 8 bytes for each of a million.
        self._earlier: List[array] = []

    def messages(self):
        for state in STATES:
            met = array("q")
            for place, name, inode in self.files(state):
                yield self._message(place, name, inode, met)
            if met and state != STATES[-1]:
                self._earlier.append(array("q", sorted(met)))
        # What had left for directories that were read already, before it was met where it came from.
        noted = len(self.unreadable)
        late = {
            hash(name): (place, name, inode) for again in _AGAIN for place, name, inode in self.files(again) if inode
        }
        # What is foreign has been noted the first time.
        del self.unreadable[noted:]
        for key in met if late else ():
            late.pop(key, None)
        for place, name, inode in late.values():
            yield self._message(place, name, inode, met)
        for place, name, _ in self.files("corrupt"):
            self._note(place, name, "Postfix found it damaged")

    def names(self):
        return itertools.chain.from_iterable(map(self.files, STATES))

    def _message(self, place, name, inode, met):
        """A message that is wanted, and was not met before; else None."""
        if inode is None:
            self._note(place, name, "not a file of Postfix's")
            return None
        key = hash(name)
        for earlier in self._earlier:
            at = bisect_left(earlier, key)
            if at < len(earlier) and earlier[at] == key:
                return None
        try:
            message = read_in(place, name, inode)
            is_wanted = self.wanted is None or self.wanted(message)
            if is_wanted:
                message.work_out()
        except (FileNotFoundError, HalfMade):
            return None
        except Unreadable as error:
            self._note(place, name, str(error))
            met.append(key)
            return None
        except OSError as error:
            self._note(place, name, error.strerror)
            met.append(key)
            return None
        met.append(key)
        self.met += 1
        return message if is_wanted else None

    def files(self, state):
        """Yield (place, name, inode) of what is in one of the queue's directories; inode is None of what is foreign."""
        return self._files_below(os.path.join(self.instance.queue_dir, state), state, 0)

    def _files_below(self, directory, state, depth):
        place = Place(directory, state, self.instance, self._mail_owner)
        is_id, part, parts = _ID.match, self.part, self.parts
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    name, inode = entry.name, entry.inode()
                    is_mine = inode % PRIME % parts == part
                    if not is_mine and len(name) > 1:
                        continue
                    if is_id(name) and entry.is_file(follow_symlinks=False):
                        yield place, name, inode
                    elif len(name) == 1 and depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
                        yield from self._files_below(entry.path, state, depth + 1)
                    elif is_mine and not _TEMPORARY.match(name):
                        self._note(place, name, "not a file of Postfix's")
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise UserError("{0} can't be read: {1}.".format(directory, error.strerror)) from None

    def _note(self, place, name, why):
        self.unreadable.append((place.directory + "/" + name, why))


def _mail_owner(instance):
    """Uid of Postfix's user, to which its queues belong, or None."""
    try:
        return os.stat(os.path.join(instance.queue_dir, "active")).st_uid
    except OSError:
        return None
