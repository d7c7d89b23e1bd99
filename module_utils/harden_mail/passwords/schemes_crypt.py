"""The strings of crypt(3), crypt(5): which scheme one is of, what is its setting, and what one guess costs.

A string is its setting (scheme, rounds, salt), then the hash. libcrypt is given the setting and must give the string.
Formats: crypt(5) of libxcrypt; the numbers of yescrypt and scrypt as its ``alg-yescrypt-common.c`` writes them.
"""

import re

from .schemes_base import Malformed, Unreadable

# One guess must not take minutes, nor the host's memory: about three seconds of one processor at most.
_MOST_ROUNDS = 10000000
_MOST_SHA_CRYPT_ROUNDS = 5000000
_MOST_BCRYPT_COST = 15
_MOST_SUN_MD5_ROUNDS = 1000000
MOST_MEMORY_KIB = 256 * 1024

CHARACTERS = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# scheme, "weak", the whole string; group 1 is the setting. In these formats no salt has "$", ":" or a blank in it.
_SHAPES = tuple(
    (scheme, weak, re.compile(shape + rb"\Z"))
    for scheme, weak, shape in (
        ("SHA512-CRYPT", None, rb"(\$6\$(?:rounds=(?P<rounds>\d{1,12})\$)?[^$:\s]{0,16})\$[./0-9A-Za-z]{86}"),
        ("SHA256-CRYPT", None, rb"(\$5\$(?:rounds=(?P<rounds>\d{1,12})\$)?[^$:\s]{0,16})\$[./0-9A-Za-z]{43}"),
        ("MD5-CRYPT", "md5", rb"(\$1\$[^$:\s]{0,8})\$[./0-9A-Za-z]{22}"),
        ("BLF-CRYPT", None, rb"(\$2[abxy]\$(?P<cost>\d\d)\$[./0-9A-Za-z]{22})[./0-9A-Za-z]{31}"),
        ("YESCRYPT", None, rb"(\$y\$(?P<parameters>[./0-9A-Za-z]{3,40})\$[./0-9A-Za-z]{0,86})\$[./0-9A-Za-z]{43}"),
        (
            "GOST-YESCRYPT",
            None,
            rb"(\$gy\$(?P<parameters>[./0-9A-Za-z]{3,40})\$[./0-9A-Za-z]{0,86})\$[./0-9A-Za-z]{43}",
        ),
        ("SCRYPT", None, rb"(\$7\$(?P<scrypt>[./0-9A-Za-z]{11})[./0-9A-Za-z]{0,86})\$[./0-9A-Za-z]{43}"),
        ("SHA1-CRYPT", None, rb"(\$sha1\$(?P<rounds>\d{1,12})\$[./0-9A-Za-z]{1,64})\$[./0-9A-Za-z]{28}"),
        ("SUN-MD5", "md5", rb"(\$md5(?:,rounds=(?P<rounds>\d{1,12}))?\$[^$:\s]{0,16}\$?)\$[./0-9A-Za-z]{22}"),
        ("BSDI-CRYPT", "des", rb"(_(?P<bsdi>[./0-9A-Za-z]{4})[./0-9A-Za-z]{4})[./0-9A-Za-z]{11}"),
        ("DES-CRYPT", "des", rb"([./0-9A-Za-z]{2})[./0-9A-Za-z]{11}"),
    )
)

# A string that begins so is meant to be one; of what comes after nothing fits.
_KNOWN_BEGINNINGS = tuple(b"$1$ $2a$ $2b$ $2x$ $2y$ $5$ $6$ $7$ $y$ $gy$ $sha1$ $md5".split())


def read(string):
    """What a string of crypt(3) is: (scheme, weak, setting).

    :raises Malformed: none of the formats
    :raises Unreadable: a guess would cost too much
    """
    for scheme, weak, shape in _SHAPES:
        match = shape.match(string)
        if match:
            _check_cost(scheme, match.groupdict())
            return scheme, weak, match.group(1)
    if string.startswith(_KNOWN_BEGINNINGS):
        raise Malformed()
    raise Malformed("not a hash of crypt(3), or of an unknown kind")


def check_rounds(rounds, most=_MOST_ROUNDS):
    """:raises Unreadable: so many rounds that one guess would take minutes"""
    if rounds > most:
        raise Unreadable("too costly: one guess has {0} rounds (at most {1} are tried)".format(rounds, most))


def check_memory(kib):
    """:raises Unreadable: one guess would take too much memory (KiB)"""
    if kib > MOST_MEMORY_KIB:
        raise Unreadable(
            "too costly: one guess takes {0} MiB of memory (at most {1} are given)".format(
                kib // 1024, MOST_MEMORY_KIB // 1024
            )
        )


def _check_cost(scheme, found):
    if found.get("cost"):
        cost = int(found["cost"])
        if cost < 4:
            raise Malformed()
        if cost > _MOST_BCRYPT_COST:
            raise Unreadable("too costly: bcrypt cost {0} (at most {1} is tried)".format(cost, _MOST_BCRYPT_COST))
    if found.get("rounds"):
        most = _MOST_SUN_MD5_ROUNDS if scheme == "SUN-MD5" else _MOST_SHA_CRYPT_ROUNDS
        check_rounds(int(found["rounds"]), most)
    if found.get("bsdi"):
        check_rounds(_fixed(found["bsdi"]))
    if found.get("scrypt"):
        text = found["scrypt"]
        _check_scrypt(CHARACTERS.index(text[:1]), _fixed(text[1:6]), _fixed(text[6:11]), 1)
    if found.get("parameters"):
        _check_scrypt(*_yescrypt(found["parameters"]))


def _check_scrypt(log2_n, r, p, t):
    if not (0 < log2_n < 64 and r and p):
        raise Malformed()
    kib = (r << log2_n) // 8
    check_memory(kib)
    if kib * p * t > 8 * MOST_MEMORY_KIB:
        raise Unreadable("too costly: one guess takes longer than it would be worth")


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
