"""The managed host as the logic sees it: commands run, files read, files written atomically."""

import contextlib
import errno
import fcntl
import glob
import io
import os
import select
import stat
import subprocess
import tempfile
from typing import Any, BinaryIO, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, TextIO, Union, cast

from .errors import CommandError, UserError

# cron, sudo and old init scripts hand down a PATH without the sbin directories that firewall tools live in.
SEARCH_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Completed(NamedTuple):
    """What has become of a command."""

    rc: int
    out: str
    err: str


# Bytes of a file that is read whole: the kernel's list of a million connections is 150 MB long.
LARGEST_FILE = 256 << 20
_CHUNK = 1 << 20

# Seconds for a command to end when nobody reads it any more, and again when it was asked to.
END_TIMEOUT = 3


class System:
    """The host at ``root``.

    Text is UTF-8 with surrogateescape both ways, so that any byte read can be written back unchanged.

    :param root: where the host's file system begins; unit tests pass a directory of recorded files
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root

    # --- commands -----------------------------------------------------------------------------------------

    def run(
        self, argv: Sequence[str], stdin: Optional[str] = None, check: bool = True, timeout: float = 60
    ) -> Completed:
        """Run one command, without a shell, in the C locale.

        :param argv: program and arguments; a bare name is looked up in ``SEARCH_PATH``
        :param stdin: text for its standard input (None: empty)
        :param check: raise when it exits with anything but 0
        :param timeout: seconds until it is killed
        :returns: rc 127 when it is not there and ``check`` is off
        :raises CommandError: not found, timed out, or (with ``check``) a non-zero exit
        """
        program = argv[0] if "/" in argv[0] else self.which(argv[0])
        if program is None:
            if check:
                raise CommandError(argv, None, "no such program on this host")
            return Completed(127, "", "no such program")
        try:
            done = subprocess.run(
                [program] + list(argv[1:]),
                input=(stdin or "").encode("utf-8", "surrogateescape"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CommandError(argv, None, "no answer within {0} seconds".format(timeout)) from None
        except OSError as error:
            raise CommandError(argv, None, error.strerror or str(error)) from None
        result = Completed(
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "surrogateescape"),
        )
        if check and result.rc != 0:
            raise CommandError(argv, result.rc, result.err or result.out)
        return result

    @contextlib.contextmanager
    def stream(self, argv: Sequence[str], silence: Optional[float] = None) -> Iterator[BinaryIO]:
        """Run one command and read what it prints as it comes: a binary file for the time of a ``with`` block.

        Who leaves the block early ends the command.

        :param argv: program, looked up in ``SEARCH_PATH``, and arguments
        :param silence: seconds without a byte, while somebody waits for one, after which it is killed
        :raises CommandError: not found, silent for too long, or, when all was read, a non-zero exit or a signal (128
            and its number)
        """
        program = self.which(argv[0])
        if program is None:
            raise CommandError(argv, None, "no such program on this host")
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    [program] + list(argv[1:]),
                    bufsize=0,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=_environment(),
                )
            except OSError as error:
                raise CommandError(argv, None, error.strerror or str(error)) from None
            pipe = cast(io.FileIO, process.stdout)
            raw = _Output(pipe, silence)
            try:
                yield io.BufferedReader(raw, 1 << 16)
            except _Silent:
                process.terminate()
                raise CommandError(argv, None, "no answer within {0} seconds".format(silence)) from None
            finally:
                # A command that still has something to say dies of the closed pipe: a negative status.
                pipe.close()
                status = _ended(process, silence if raw.has_ended else END_TIMEOUT)
            if status > 0 or (status < 0 and raw.has_ended):
                # What one has printed that was killed (for want of memory) is not all; a shell says it so, too.
                status = status if status > 0 else 128 - status
                errors.seek(0)
                raise CommandError(argv, status, errors.read(_CHUNK).decode("utf-8", "surrogateescape"))

    def which(self, name: str) -> Optional[str]:
        """Absolute path (on the host) of a program, or None."""
        for directory in SEARCH_PATH:
            path = directory + "/" + name
            if os.access(self.real(path), os.X_OK) and os.path.isfile(self.real(path)):
                return path
        return None

    # --- files --------------------------------------------------------------------------------------------

    def real(self, path: str) -> str:
        """Path of ``path`` (absolute, on the host) as this process reaches it."""
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.real(path))

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(self.real(path))

    def listdir(self, path: str) -> List[str]:
        """Sorted names in a directory; empty when there is none."""
        try:
            return sorted(os.listdir(self.real(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def glob(self, pattern: str) -> List[str]:
        """Sorted host paths that match a pattern."""
        prefix = len(self.root.rstrip("/")) if self.root != "/" else 0
        return sorted(path[prefix:] for path in glob.glob(self.real(pattern)))

    def mode(self, path: str) -> Optional[int]:
        """Permission bits of what a path leads to, or None when it does not exist."""
        try:
            return stat.S_IMODE(os.stat(self.real(path)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, path: str) -> Optional[str]:
        """Whole text of a file that root wrote, or None when it does not exist.

        What others can put in a file's place is for :mod:`untrusted` to read; here it is only not waited for.

        :raises OSError: it is no plain file, can't be read, or is larger than any file that is read whole
        """
        try:
            descriptor = os.open(self.real(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is no plain file", path)
            with open(descriptor, "rb", closefd=False) as handle:
                content = _up_to(handle, LARGEST_FILE + 1)
        finally:
            os.close(descriptor)
        if len(content) > LARGEST_FILE:
            raise OSError(errno.EFBIG, "it has more than {0:,} bytes".format(LARGEST_FILE), path)
        return content.decode("utf-8", "surrogateescape")

    def write(self, path: str, text: Union[str, Iterable[str]], mode: int = 0o644) -> None:
        """Replace a file in one step: temporary file beside it, fsync, rename, fsync of the directory.

        An existing file keeps its owner and mode; a symbolic link is followed, not replaced.
        Missing directories are made (0755).

        :param text: of several, one after another is written
        """
        target = os.path.realpath(self.real(path))
        directory = os.path.dirname(target)
        _make_dirs(directory)
        try:
            former = os.stat(target)
        except FileNotFoundError:
            former = None
        temporary = self.temporary(target)
        # Whatever is there already is nothing to write into: what a kill left, or a link or FIFO of somebody else's.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as handle:
                handle.writelines([text] if isinstance(text, str) else text)
                handle.flush()
                os.fchmod(handle.fileno(), stat.S_IMODE(former.st_mode) if former else mode)
                if former and os.geteuid() == 0:
                    os.fchown(handle.fileno(), former.st_uid, former.st_gid)
                os.fsync(handle.fileno())
            os.rename(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        self.sync_directory(directory)

    @staticmethod
    def temporary(path: str) -> str:
        """Where ``write`` makes the new content of a file; after a kill it may still be there.

        A fixed name (callers hold a lock): what a kill leaves behind, the next run removes.
        """
        return os.path.join(os.path.dirname(path), ".{0}.harden-mail".format(os.path.basename(path)))

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        target = self.real(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
            self.sync_directory(os.path.dirname(target))

    def make_private_dir(self, path: str) -> None:
        """Make a directory (and its parents) that only its owner may enter; nothing happens when it is there."""
        _make_dirs(os.path.dirname(self.real(path)))
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.real(path), 0o700)

    def remove_empty_dir(self, path: str) -> None:
        """Remove a directory if it is there and empty."""
        with contextlib.suppress(OSError):
            os.rmdir(self.real(path))

    @staticmethod
    def sync_directory(real_path: str) -> None:
        """Make renames and removals in a directory survive a power cut."""
        descriptor = os.open(real_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[None]:
        """Hold an exclusive lock (flock) on a file for the time of a ``with`` block; waits for its turn.

        The file lives in /run, so nothing is left behind on disk.
        """
        with self.open_lock(path) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def wait_for_lock(self, path: str) -> Iterator[None]:
        """Have nobody hold :meth:`lock` on a file for the time of a ``with`` block, without making that file."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(FileNotFoundError):
                handle = stack.enter_context(open(self.real(path), encoding="ascii"))
                fcntl.flock(handle, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def open_lock(self, path: str) -> Iterator[TextIO]:
        """A file to lock, for the time of a ``with`` block: text, to read and to append, for its owner alone.

        Whoever can open a file, if only to read it, can hold its lock, and with it up all others.

        :raises UserError: somebody else has put a file there
        :raises OSError: or a symbolic link
        """
        real_path = self.real(path)
        _make_dirs(os.path.dirname(real_path))
        with open(real_path, "a+", encoding="ascii", opener=_for_owner_alone) as handle:
            if os.fstat(handle.fileno()).st_uid != os.geteuid():
                raise UserError(
                    "{0}, which is to be locked, is somebody else's file; find out whose, and remove it.".format(path)
                )
            # One of a former version is open to all.
            os.fchmod(handle.fileno(), 0o600)
            yield handle


class _Silent(Exception):
    """A command has printed nothing for too long."""


class _Output(io.RawIOBase):
    """What a command prints.

    :ivar has_ended: whether it was read to its end
    """

    def __init__(self, pipe: io.FileIO, silence: Optional[float]) -> None:
        super().__init__()
        self._pipe, self._silence, self.has_ended = pipe, silence, False
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._silence is not None and not self._poll.poll(self._silence * 1000):
            raise _Silent
        count = self._pipe.readinto(buffer)
        self.has_ended = count == 0
        return count


def _ended(process: subprocess.Popen, patience: Optional[float]) -> int:
    """Exit status of a command that nobody reads any more; it is made to end after ``patience`` seconds (None: never).

    One that writes nothing would not notice that its pipe is closed. That it was ended here is no failure: 0, unless it
    has a status of its own.
    """
    for seconds, end in ((patience, process.terminate), (END_TIMEOUT, process.kill)):
        try:
            status = process.wait(seconds)
            return status if end == process.terminate else max(status, 0)
        except subprocess.TimeoutExpired:
            end()
    return max(process.wait(), 0)


def _up_to(handle: BinaryIO, most: int) -> bytearray:
    """So many bytes of a file at most; memory is taken for what is there, and not for what might be."""
    content = bytearray()
    while len(content) < most:
        chunk = handle.read(min(_CHUNK, most - len(content)))
        if not chunk:
            break
        content += chunk
    return content


def _make_dirs(path: str) -> None:
    """Make a directory and its parents (0755), whatever the umask of whoever started this would give to everybody."""
    if not os.path.isdir(path):
        _make_dirs(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)


def _for_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _environment() -> Dict[str, str]:
    return dict(os.environ, LC_ALL="C", PATH=":".join(SEARCH_PATH))
