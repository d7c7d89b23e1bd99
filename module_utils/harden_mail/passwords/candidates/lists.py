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
RULES_VERSION = 2

LONGEST_WORD = 128
MOST_WORDS_IN_MEMORY = 150000

# Files up to this size are part of the fingerprint byte by byte, longer ones by their ends, size and time.
HASHED_BYTES = 64 << 20
END_BYTES = 1 << 20

# A word in hashcat's notation takes twice its length and some.
SHORTEST_BLOCK = 512
_SKIPPED = 1 << 16

# What makes a line something else than a word as it stands.
_ODD = re.compile(rb"\r|\$HEX\[|#!comment:|\xef\xbb\xbf")
_HEX = re.compile(rb"\$HEX\[((?:[0-9A-Fa-f]{2})*)\]")


def files(lists_dir, kind):
    """Paths of the lists of a kind ("own", "common", "japanese", "english"), sorted; empty without a directory."""
    if not lists_dir or not os.path.isdir(lists_dir):
        return []
    names = sorted(name for name in os.listdir(lists_dir) if name.startswith(kind) and name.endswith(".txt"))
    paths = [os.path.join(lists_dir, name) for name in names]
    return [path for path in paths if os.path.isfile(path)]


def size(path):
    """Length of a file in bytes."""
    return os.path.getsize(path)


def word(line):
    """The word (bytes) on a line (bytes, without LF), or None."""
    if line.endswith(b"\r"):
        line = line[:-1]
    if line.startswith(b"\xef\xbb\xbf"):  # what some editors put at the beginning of UTF-8
        line = line[3:]
    if line.startswith(b"#!comment:"):
        return None
    match = _HEX.fullmatch(line) if line.startswith(b"$HEX[") else None
    if match:
        line = binascii.unhexlify(match.group(1))
    return line if 0 < len(line) <= LONGEST_WORD else None


def block(path, where, length):
    """Some words of a file, from a position on.

    :param int where: position in bytes where a line begins
    :param int length: bytes to read, at least ``SHORTEST_BLOCK``
    :returns: (list of bytes words, position after them); (None, position) at the end of the file
    """
    with open(path, "rb", buffering=0) as handle:
        handle.seek(where)
        text = handle.read(length)
        if not text:
            return None, where
        end = text.rfind(b"\n") + 1
        if end == 0 and len(text) == length:
            # A line that is longer than any word.
            return [], _next_line(handle, where + length)
    # The last line may have no end.
    end = end or len(text)
    lines = text[:end].split(b"\n")
    if _ODD.search(text, 0, end):
        lines = [word(line) for line in lines]
    return [line for line in lines if line and len(line) <= LONGEST_WORD], where + end


def _next_line(handle, where):
    while True:
        text = handle.read(_SKIPPED)
        if not text:
            return where
        end = text.find(b"\n") + 1
        where += end or len(text)
        if end:
            return where


def words(paths, most):
    """The first ``most`` words (list of bytes) of some files, each once."""
    found = {}
    for path in paths:
        some, where = block(path, 0, _SKIPPED)
        while some is not None and len(found) < most:
            for one in some:
                found[one] = None
            some, where = block(path, where, _SKIPPED)
    return list(found)[:most]


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
