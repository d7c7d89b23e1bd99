"""The directory of word lists on a managed host.

Its files are plain UTF-8 text, one word a line (LF or CR LF), likeliest first; the beginning of the name says what a
file is:

=================  ===================================================================================
``own*.txt``       lists of one's own, in the order of their names, of any length: read in passing
``common*.txt``    passwords that are often met
``japanese*.txt``  Japanese names and words in Latin letters
``english*.txt``   English names and words
=================  ===================================================================================

The last three are what ``tools/wordlists.py`` makes; the first 150,000 words of all of them together are used. Any
other file is left alone. ``$HEX[...]`` is a word in hexadecimal digits (hashcat's notation); empty lines, lines of more
than 128 bytes and lines that begin with ``#!comment:`` (john's notation) are no words.
"""

import binascii
import hashlib
import os
import re

from .dates import year_of

# To be raised whenever the guesses or their order change: audits that were made with others are not complete any more.
RULES_VERSION = 1

LONGEST_WORD = 128
MOST_WORDS_IN_MEMORY = 150000

# Files up to this size are part of the fingerprint byte by byte, longer ones by their ends, size and time.
HASHED_BYTES = 64 << 20
END_BYTES = 1 << 20

_HEX = re.compile(rb"\$HEX\[((?:[0-9A-Fa-f]{2})*)\]")


def files(lists_dir, kind):
    """Paths of the lists of a kind ("own", "common", "japanese", "english"), sorted; empty without a directory."""
    if not lists_dir or not os.path.isdir(lists_dir):
        return []
    names = sorted(name for name in os.listdir(lists_dir) if name.startswith(kind) and name.endswith(".txt"))
    paths = [os.path.join(lists_dir, name) for name in names]
    return [path for path in paths if os.path.isfile(path)]


def word(line):
    """The word (bytes) on a line (bytes), or None."""
    line = line.rstrip(b"\r\n")
    if not line or len(line) > LONGEST_WORD or line.startswith(b"#!comment:"):
        return None
    if line.startswith(b"$HEX["):
        match = _HEX.fullmatch(line)
        if match:
            return binascii.unhexlify(match.group(1)) or None
    return line


def words(paths, most):
    """The first ``most`` words (list of bytes) of some files, each once."""
    found = {}
    for path in paths:
        with open(path, "rb") as handle:
            for line in handle:
                one = word(line)
                if one is not None and one not in found:
                    found[one] = None
                    if len(found) >= most:
                        return list(found)
    return list(found)


def size(path):
    """Length of a file in bytes."""
    return os.path.getsize(path)


def block(path, where, most):
    """Some words of a file, from a position on.

    :param int where: position in bytes where a line begins
    :param int most: lines to read
    :returns: (list of bytes words, position after them); (None, position) at the end of the file
    """
    found = []
    with open(path, "rb") as handle:
        handle.seek(where)
        for _ in range(most):
            line = handle.readline()
            if not line:
                return (found or None), where
            where += len(line)
            one = word(line)
            if one is not None:
                found.append(one)
    return found, where


def fingerprint(lists_dir, today=None):
    """What an audit was made with: another text when the lists, the rules, or the year that they know have changed.

    :param str lists_dir: directory of lists; None or missing: none
    :param datetime.date today: the day that guesses are made for (None: today)
    :returns: str of 32 hexadecimal digits
    """
    summary = hashlib.sha256("{0} {1}".format(RULES_VERSION, year_of(today)).encode())
    for kind in ("own", "common", "japanese", "english"):
        for path in files(lists_dir, kind):
            summary.update(b"\0" + os.fsencode(os.path.basename(path)) + b"\0" + _content(path))
    return summary.hexdigest()[:32]


def _content(path):
    summary = hashlib.sha256()
    with open(path, "rb") as handle:
        status = os.fstat(handle.fileno())
        summary.update(b"%d " % status.st_size)
        if status.st_size <= HASHED_BYTES:
            for block in iter(lambda: handle.read(1 << 20), b""):
                summary.update(block)
        else:
            summary.update(b"%d " % int(status.st_mtime * 1000000))
            summary.update(handle.read(END_BYTES))
            handle.seek(-END_BYTES, os.SEEK_END)
            summary.update(handle.read(END_BYTES))
    return summary.digest()
