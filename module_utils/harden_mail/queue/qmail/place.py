"""A directory that keeps messages of qmail's outside the queue, and how they get from one to another."""

import contextlib
import os
from typing import Iterator, List, Optional

from ...errors import UserError
from ..quarantine import HALF_COPIED, copy_exactly, is_own_directory, sync_directory

# Without one of them qmail sees no message.
KEY_PARTS = ("todo", "info")

# Besides the key part; the message itself is the last to be removed, since as long as it is there no other one can get
# its number.
PARTS_OF = {"todo": ("intd", "mess"), "info": ("local", "remote", "bounce", "mess")}
ALL_PARTS = ("todo", "info", "intd", "local", "remote", "bounce", "mess")


class Place:
    """A directory that keeps messages outside the queue, as ``PART/ID``.

    :param above: the directory that it is made in, if that is made, too
    """

    def __init__(self, directory: str, above: Optional[str] = None):
        self.directory, self.above = directory, above

    def path(self, part: str, number: int) -> str:
        return os.path.join(self.directory, part, str(number))

    def directories(self):
        return [os.path.join(self.directory, part) for part in ALL_PARTS]

    def make(self):
        for directory in filter(None, [self.above, self.directory] + self.directories()):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
            # The queue's directory isn't root's: whoever it belongs to could have put a symbolic link there.
            if not is_own_directory(directory):
                raise UserError(
                    "queue_dir has {0}, which is no directory of root's own; find out what it is, and take it "
                    "away.".format(directory)
                )

    def numbers(self) -> Iterator[int]:
        """Yield the messages that are here."""
        for key in KEY_PARTS:
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(os.path.join(self.directory, key)):
                    if entry.name.isdigit():
                        yield int(entry.name)

    def drop(self, number: int) -> None:
        """Remove what is here of a message, the key part first."""
        for part in ALL_PARTS:
            for path in (self.path(part, number), self.path(part, number) + HALF_COPIED):
                unlink(path)

    def remove_empty(self):
        """Remove what has become empty of the directories made by :meth:`make`."""
        for directory in filter(None, self.directories() + [self.directory, self.above]):
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def copy_over(source: Place, target: Place, numbers: List[int]) -> None:
    """Move messages between places on two file systems. Interrupted, it goes on where it was when called again."""
    for number in numbers:
        if not key_part(target, number):
            for part in PARTS_OF[key_part(source, number)]:
                _copy(source.path(part, number), target.path(part, number))
    sync(target)
    for number in numbers:
        if not key_part(target, number):
            key = key_part(source, number)
            _copy(source.path(key, number), target.path(key, number))
    sync(target)
    for number in numbers:
        source.drop(number)


def _copy(source, target):
    """Copy a file that may be missing, or may have been copied already."""
    with contextlib.suppress(FileNotFoundError):
        wanted = os.stat(source)
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(target)
            if (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns):
                return
        copy_exactly(source, target)


def key_part(place, number: int):
    """The key part that a message has in a place or in the queue, or None."""
    return next((part for part in KEY_PARTS if os.path.lexists(place.path(part, number))), None)


def sync(place) -> None:
    """Make renames in a place or in the queue survive a power cut."""
    for directory in place.directories():
        sync_directory(directory)


def same_file(one: str, other: str) -> bool:
    """Whether two paths are links to one file."""
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except FileNotFoundError:
        return False


def unlink(path: str) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
