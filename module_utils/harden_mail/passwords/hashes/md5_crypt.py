"""md5crypt in Python: for Apache's variant of it, which no libcrypt knows.

Format and steps: FreeBSD's ``crypt-md5.c`` and Apache's ``apr_md5.c``; the variant differs by its magic alone.
"""

import itertools

from .base import hash_function

_ROUNDS = 1000

# What is mixed in changes with each second, third and seventh round, so it comes again after so many.
_PERIOD = 42

# In which order the digest's bytes are written, three at a time, the first highest; the last one alone.
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))
_LAST = 11

_CHARACTERS = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def computer(magic, salt):
    """A callable, candidate (bytes) in, the 22 characters of the hash out.

    :param bytes magic: ``$apr1$`` (or ``$1$``)
    :param bytes salt: up to 8 bytes
    """
    md5 = hash_function("md5")

    def compute(word):
        inner = md5(word + salt + word).digest()
        length = len(word)
        text = word + magic + salt + inner * (length // 16) + inner[: length % 16]
        while length:
            # Not the bit's own value, as was meant, but a zero or the first byte; by now it is the format.
            text += b"\0" if length & 1 else word[:1]
            length >>= 1
        digest = md5(text).digest()
        parts = [(salt if turn % 3 else b"") + (word if turn % 7 else b"") for turn in range(_PERIOD)]
        pairs = [(even + word, word + odd) for even, odd in zip(parts[::2], parts[1::2])]
        for after, before in itertools.islice(itertools.cycle(pairs), _ROUNDS // 2):
            digest = md5(before + md5(digest + after).digest()).digest()
        return _written(digest)

    return compute


def _written(digest):
    out = bytearray()
    for high, middle, low in _ORDER:
        out += _characters(digest[high] << 16 | digest[middle] << 8 | digest[low], 4)
    return bytes(out + _characters(digest[_LAST], 2))


def _characters(number, count):
    return bytes(_CHARACTERS[number >> (6 * place) & 63] for place in range(count))
