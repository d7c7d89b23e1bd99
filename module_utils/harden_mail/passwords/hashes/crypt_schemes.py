"""The strings of crypt(3), crypt(5): which scheme one is of, what is its setting, and how much work one guess is.

A string is its setting (scheme, rounds, salt), then the hash. libcrypt is given the setting and must give the string.
Formats: crypt(5) of libxcrypt; the numbers of yescrypt and scrypt as its ``alg-yescrypt-common.c`` writes them.
"""

import re

from .base import Malformed

CHARACTERS = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# scheme, "weak", the whole string; group 1 is the setting. In these formats no salt has "$", ":" or a blank in it.
_SHAPES = tuple(
    (scheme, weak, re.compile(shape + rb"\Z"))
    for scheme, weak, shape in (
        ("SHA512-CRYPT", None, rb"(\$6\$(?:rounds=\d{1,12}\$)?[^$:\s]{0,16})\$[./0-9A-Za-z]{86}"),
        ("SHA256-CRYPT", None, rb"(\$5\$(?:rounds=\d{1,12}\$)?[^$:\s]{0,16})\$[./0-9A-Za-z]{43}"),
        ("MD5-CRYPT", "md5", rb"(\$1\$[^$:\s]{0,8})\$[./0-9A-Za-z]{22}"),
        ("BLF-CRYPT", None, rb"(\$2[abxy]\$\d\d\$[./0-9A-Za-z]{22})[./0-9A-Za-z]{31}"),
        ("YESCRYPT", None, rb"(\$y\$[./0-9A-Za-z]{3,40}\$[./0-9A-Za-z]{0,86})\$[./0-9A-Za-z]{43}"),
        ("GOST-YESCRYPT", None, rb"(\$gy\$[./0-9A-Za-z]{3,40}\$[./0-9A-Za-z]{0,86})\$[./0-9A-Za-z]{43}"),
        ("SCRYPT", None, rb"(\$7\$[./0-9A-Za-z]{11}[./0-9A-Za-z]{0,86})\$[./0-9A-Za-z]{43}"),
        ("SHA1-CRYPT", None, rb"(\$sha1\$\d{1,12}\$[./0-9A-Za-z]{1,64})\$[./0-9A-Za-z]{28}"),
        ("SUN-MD5", "md5", rb"(\$md5(?:,rounds=\d{1,12})?\$[^$:\s]{0,16}\$?)\$[./0-9A-Za-z]{22}"),
        ("BSDI-CRYPT", "des", rb"(_[./0-9A-Za-z]{4}[./0-9A-Za-z]{4})[./0-9A-Za-z]{11}"),
        ("DES-CRYPT", "des", rb"([./0-9A-Za-z]{2})[./0-9A-Za-z]{11}"),
    )
)

# A string that begins so is meant to be one; of what comes after nothing fits.
_KNOWN_BEGINNINGS = tuple(b"$1$ $2a$ $2b$ $2x$ $2y$ $5$ $6$ $7$ $y$ $gy$ $sha1$ $md5".split())


def read(string):
    """What a string of crypt(3) is: (scheme, weak, setting).

    :raises Malformed: none of the formats
    """
    for scheme, weak, shape in _SHAPES:
        match = shape.match(string)
        if match:
            effort(match.group(1))
            return scheme, weak, match.group(1)
    if string.startswith(_KNOWN_BEGINNINGS):
        raise Malformed()
    raise Malformed("not a hash of crypt(3), or of an unknown kind")


def effort(setting):
    """How much work a guess is: (setting of the same function that is little work, units of work, KiB of memory).

    :param bytes setting: scheme, parameters and salt; see :func:`read`
    :raises Malformed: parameters that the function does not take
    """
    for shape, sample, work_of in _EFFORTS:
        match = shape.match(setting)
        if match:
            units, kib = work_of(*match.groups())
            return sample, units, kib
    raise Malformed()


def _rounds(usual, least=0):
    """Work of so many rounds: of a number in the setting, or what is usual without it."""
    return lambda text: (max(least, int(text or usual)), 0)


def _bcrypt(text):
    if int(text) < 4:
        raise Malformed()
    # What more than 31 means, no function says: it is too much in any case.
    return 1 << int(text), 4


def _scrypt(text):
    return _of_memory(CHARACTERS.index(text[:1]), _fixed(text[1:6]), _fixed(text[6:11]), 1)


def _of_memory(log2_n, r, p, t):
    if not (0 < log2_n < 64 and r and p):
        raise Malformed()
    blocks = r << log2_n
    return blocks * p * t, blocks // 8


# What a setting begins with, one of little work, and a function: of the shape's groups to (units of work, KiB).
_EFFORTS = tuple(
    (re.compile(shape), sample, work_of)
    for shape, sample, work_of in (
        (rb"\$6\$(?:rounds=(\d{1,12})\$)?", b"$6$rounds=1000$saltsalt", _rounds(5000, 1000)),
        (rb"\$5\$(?:rounds=(\d{1,12})\$)?", b"$5$rounds=1000$saltsalt", _rounds(5000, 1000)),
        (rb"\$1\$()", b"$1$saltsalt", _rounds(1000)),
        (rb"\$2[abxy]\$(\d\d)", b"$2b$04$saltsaltsaltsaltsaltsO", _bcrypt),
        (rb"\$y\$([./0-9A-Za-z]+)", b"$y$j75$saltsalt", lambda text: _of_memory(*_yescrypt(text))),
        (rb"\$gy\$([./0-9A-Za-z]+)", b"$gy$j75$saltsalt", lambda text: _of_memory(*_yescrypt(text))),
        (rb"\$7\$([./0-9A-Za-z]{11})", b"$7$86..../....saltsalt", _scrypt),
        (rb"\$sha1\$(\d{1,12})", b"$sha1$1000$saltsalt", _rounds(1)),
        (rb"\$md5(?:,rounds=(\d{1,12}))?\$", b"$md5$saltsalt$", lambda text: (4096 + int(text or 0), 0)),
        (rb"_([./0-9A-Za-z]{4})", b"_J9..salt", lambda text: (_fixed(text), 0)),
        (rb"[./0-9A-Za-z]{2}()\Z", b"sa", _rounds(1)),
    )
)


def _yescrypt(text):
    """log2 of N, r, p and t of yescrypt's parameters."""
    _flavour, rest = _flexible(text, 0)
    log2_n, rest = _flexible(rest, 1)
    r, rest = _flexible(rest, 1)
    p, t = 1, 1
    if rest:
        has, rest = _flexible(rest, 1)
        if has & 1:
            p, rest = _flexible(rest, 2)
        if has & 2:
            t, rest = _flexible(rest, 1)
            t += 1
        if has & 4:
            # How often the hash was made dearer afterwards: each time four times the memory.
            upgrades, rest = _flexible(rest, 1)
            log2_n += 2 * upgrades
    return log2_n, r, p, t


def _fixed(text):
    """A number in six bits a character, the lowest first."""
    return sum(CHARACTERS.index(text[place : place + 1]) << (6 * place) for place in range(len(text)))


def _flexible(text, least):
    """(number, rest of the text): small numbers take one character, greater ones more; ``least`` is what "." means."""
    start, end, characters, bits, value = 0, 47, 1, 0, least
    digit = _digit(text, 0)
    while digit > end:
        value += (end + 1 - start) << bits
        start = end + 1
        end = start + (62 - end) // 2
        characters += 1
        bits += 6
    value += (digit - start) << bits
    for place in range(1, characters):
        bits -= 6
        value += _digit(text, place) << bits
    return value, text[characters:]


def _digit(text, place):
    if place >= len(text):
        raise Malformed()
    return CHARACTERS.index(text[place : place + 1])
