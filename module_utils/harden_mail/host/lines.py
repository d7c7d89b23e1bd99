"""Files of one account a line, read safely: whatever somebody has put in their place."""

import os
import stat

# Longest line in bytes; a hash and its owner's name need a hundredth.
LONGEST = 65536


class Unheard:
    """For who need not know what could not be read."""

    def add(self, place, what, line=None):
        pass


def read_lines(system, path, problems=None, trusted=None):
    """Lines of a file, one at a time, in constant memory.

    What can't be read is told to ``problems`` (its method ``add``): no file, a directory, a FIFO or device (which is
    never waited for), no leave, and lines that are too long or hold a NUL, which are passed over.

    :param str path: on the host
    :param str trusted: directory beneath which the path's rest belongs to somebody who is not trusted: there no
        symbolic link is followed, which might lead to other people's passwords
    :returns: iterator of (int number from 1, str line without its end; "\\r\\n" is an end too)
    """
    problems = problems or Unheard()
    try:
        descriptor = _open(system, path, trusted)
    except OSError as error:
        problems.add(path, _why(error))
        return
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        problems.add(path, "is no plain file, so it is not read")
        return
    with os.fdopen(descriptor, "rb") as handle:
        try:
            for number, line in numbered(handle):
                if line is None:
                    problems.add(path, "more than {0:,} bytes".format(LONGEST), number)
                elif b"\0" in line:
                    problems.add(path, "a NUL byte", number)
                else:
                    yield number, line.decode("utf-8", "surrogateescape")
        except OSError as error:
            problems.add(path, _why(error))


def _open(system, path, trusted):
    # A FIFO without a writer would block, a terminal could become ours.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    if trusted is None:
        return os.open(system.real(path), flags)
    descriptor = os.open(system.real(trusted), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    names = path[len(trusted) :].strip("/").split("/")
    for position, name in enumerate(names):
        last = position == len(names) - 1
        try:
            deeper = os.open(name, flags | os.O_NOFOLLOW | (0 if last else os.O_DIRECTORY), dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor


def numbered(handle, carriage_return=True):
    """Lines of a binary file.

    :param bool carriage_return: whether one before the line's end is part of that end
    :returns: iterator of (int number from 1, bytes without the line's end, or None for a line that is too long)
    """
    number = 0
    while True:
        line = handle.readline(LONGEST + 2)
        if not line:
            return
        number += 1
        whole = line.endswith(b"\n")
        line = line[:-1] if whole else line
        line = line[:-1] if carriage_return and line.endswith(b"\r") else line
        if len(line) > LONGEST:
            while not whole and line:
                line = handle.readline(LONGEST)
                whole = line.endswith(b"\n")
            yield number, None
        else:
            yield number, line


def _why(error):
    return "can't be read ({0})".format(error.strerror or error)


def readable_text(text):
    """A name as people read it: bytes that are no UTF-8 are tried as EUC-JP, Shift_JIS and Latin-1.

    :param str text: with surrogate escapes for such bytes
    """
    raw = text.encode("utf-8", "surrogateescape")
    for encoding in ("utf-8", "euc_jp", "cp932"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")
