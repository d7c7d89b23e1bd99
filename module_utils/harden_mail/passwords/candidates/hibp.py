"""The offline files of Have I Been Pwned: every hash of a leaked password, with the number of times it was seen.

https://haveibeenpwned.com/Passwords offers them as text, sorted by hash: ``HASH:COUNT`` a line, in upper-case
hexadecimal digits, LF or CR LF; HASH is the SHA-1 of the password, or its NTLM (MD4 of the password in UTF-16LE). Such
a file has 40 GB, so a hash is searched for by halves: some 35 reads of 129 bytes each.
"""

import hashlib
import io
import os
import re
import stat

from ...errors import UserError
from ..hashes.md4 import md4_function

_LINE = re.compile(rb"([0-9A-Fa-f]{40}|[0-9A-Fa-f]{32}):([0-9]{1,15})\r?\n?")

# The longest line has 40 digits of SHA-1, a colon, a count and its end.
_LONGEST_LINE = 64

KINDS = {40: "sha1", 32: "ntlm"}


class PwnedFile:
    """One such file, open for reading; for use in a ``with`` block.

    :param str path: the file
    :ivar str kind: "sha1" or "ntlm": what its hashes are
    :raises UserError: not there, or not such a file
    """

    def __init__(self, path):
        self.path = path
        try:
            # Whoever opens a FIFO would else wait for somebody to write to it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(error.strerror) from None
        except ValueError:
            raise self._unreadable("no path has a NUL byte in it") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise self._unreadable("it is no plain file")
        self._handle, self._size = io.FileIO(descriptor), status.st_size
        try:
            self._digits = len(self._line_around(0)[1])
        except BaseException:
            self._handle.close()
            raise
        self.kind = KINDS[self._digits]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.close()

    def count_of_password(self, password):
        """How often a password (bytes, UTF-8) was seen in leaks; 0: never."""
        if self.kind == "sha1":
            return self.count(hashlib.sha1(password).digest())
        return self.count(md4_function()(password.decode("utf-8", "replace").encode("utf-16-le")))

    def count(self, digest):
        """How often the password of a hash (bytes; SHA-1 or NTLM, as ``kind`` says) was seen in leaks; 0: never.

        :raises UserError: the file is not sorted, or has something else in it
        """
        wanted = digest.hex().upper().encode()
        if len(wanted) != self._digits:
            raise ValueError("a digest of {0} bytes is none of a {1} file".format(len(digest), self.kind))
        # The line begins, if it is there, at or after `low` and before `high`.
        low, high = 0, self._size
        above, below = b"", b"g"
        while low < high:
            start, found, count, end = self._line_around((low + high) // 2)
            if len(found) != self._digits:
                raise self._malformed(start)
            if not above <= found <= below:
                raise UserError(
                    "The Have I Been Pwned file {0} is not sorted by hash near byte {1}; take the list that is"
                    " ordered by hash.".format(self.path, start)
                )
            if found == wanted:
                return count
            if wanted < found:
                high, below = start, found
            else:
                low, above = end, found
        return 0

    def _line_around(self, position):
        """(start, hash in upper case, count, end) of the line that the byte at a position is in."""
        first = max(0, position - _LONGEST_LINE)
        self._handle.seek(first)
        text = self._handle.read(2 * _LONGEST_LINE + 1)
        start = text.rfind(b"\n", 0, position - first) + 1
        end = text.find(b"\n", position - first) + 1 or len(text)
        match = _LINE.fullmatch(text[start:end])
        if match is None:
            raise self._malformed(first + start)
        return first + start, match.group(1).upper(), int(match.group(2)), first + end

    def _unreadable(self, why):
        return UserError(
            "The Have I Been Pwned file {0} cannot be read: {1}; give a file of lines HASH:COUNT.".format(
                self.path.replace("\0", "\\0"), why
            )
        )

    def _malformed(self, position):
        return UserError(
            "The Have I Been Pwned file {0} has something else than HASH:COUNT near byte {1}; give the text file of"
            " SHA-1 or NTLM hashes that is ordered by hash, unpacked.".format(self.path, position)
        )


def is_pwned(path, password):
    """How often a password (bytes, UTF-8) was seen in leaks, by the file at ``path``; 0: never."""
    with PwnedFile(path) as pwned:
        return pwned.count_of_password(password)
