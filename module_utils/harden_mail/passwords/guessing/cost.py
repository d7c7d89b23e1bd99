"""What one guess at a hash takes, before any was made: known from its parameters and a measurement on this host.

Whoever can write a hash chooses its parameters. A function is measured once with small ones, and its time grows with
the number of its rounds; so no guess is begun that would take minutes, nor memory that the host needs.
"""

import os
import time
from typing import Any, Dict

from ..hashes.base import Group, Uncheckable, Unreadable
from ..hashes.crypt_schemes import effort as crypt_effort
from ..hashes.parse import computer, speed_class

# Seconds of a processor, and memory, that a guess may take.
MOST_SECONDS = 3
MOST_MEMORY_KIB = 256 * 1024

# Seconds that all measuring of a run may take.
MOST_MEASURING = 10

# A guess may not take more than this part of the host's memory; each processor may make one at the same time.
_MEMORY_SHARE = 8

# Seconds of a guess that is quick, and of one that can't be measured because it can't be made.
_QUICK = {"plain": 2e-7, "fast": 3e-6}
_UNKNOWN = 2e-3

_DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}
_SALT = b"saltsaltsaltsalt"
_ARGON2_KIB = 16 * 1024
_ARGON2_PASSES = {"i": 3}
# What starting the threads of one more lane takes in a pass, at most, as if it were memory to fill.
_ARGON2_LANE_KIB = 384
_ROUNDS = 1000

# {what is measured: seconds of one unit of its work}
_measured: Dict[Any, float] = {}
# Seconds that measuring has taken.
_spent = [0.0]


def check(group):
    """See that a guess at a hash is worth what it takes.

    :param group: ``hashes.Group``
    :raises Unreadable: it would take too long, or too much memory
    :raises Unavailable: this host lacks what its scheme needs
    """
    if speed_class(group) != "slow":
        return
    _sample, _units, kib = _effort(group)
    allowed = most_memory_kib()
    if kib > allowed:
        raise Unreadable(
            "one guess would take {0:,} MiB of memory, and {1:,} are given".format(kib // 1024, allowed // 1024)
        )
    if _seconds(group) > MOST_SECONDS:
        raise Unreadable(too_slow())


def too_slow():
    return "one guess would take more than {0} seconds".format(MOST_SECONDS)


def seconds(group):
    """Seconds (float, of a processor) that a guess will take, more or less."""
    quick = _QUICK.get(speed_class(group))
    if quick is not None:
        return quick
    try:
        return _seconds(group)
    except Uncheckable:
        return _UNKNOWN


def most_memory_kib():
    """KiB that a guess may take on this host."""
    return min(MOST_MEMORY_KIB, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024 // _MEMORY_SHARE)


def _seconds(group):
    sample, units, _kib = _effort(group)
    if sample not in _measured:
        if _spent[0] > MOST_MEASURING:
            raise Unreadable("how long one guess takes was not measured: that had taken too long for others")
        began = time.monotonic()
        try:
            _measured[sample] = _measure(sample) / _effort(sample)[1]
        finally:
            _spent[0] += time.monotonic() - began
    return _measured[sample] * units


def _measure(sample):
    compute = computer(sample)
    compute(b"to load libraries")
    times = []
    for word in (b"password", b"passw0rd"):
        began = time.process_time()
        compute(word)
        times.append(time.process_time() - began)
    return max(min(times), 1e-7)


def _effort(group):
    """(group of the same function with small parameters, units of work of a guess, KiB of memory)."""
    return _EFFORTS[group[0]](*group[1:])


def _crypt(setting):
    sample, units, kib = crypt_effort(setting)
    return Group(("CRYPT", sample)), units, kib


def _pbkdf2(function, _salt, rounds, length):
    blocks = -(-length // _DIGEST_BYTES[function])
    return Group(("PBKDF2", function, _SALT, _ROUNDS, _DIGEST_BYTES[function])), rounds * blocks, 0


def _scram(function, salt, rounds):
    return _pbkdf2(function, salt, rounds, _DIGEST_BYTES[function])


def _argon2(kind, _version, kib, passes, lanes, _salt, _length):
    # One measurement for all versions and lanes: a writer of hashes could ask for one after the other.
    small = Group(("ARGON2", kind, 19, _ARGON2_KIB, _ARGON2_PASSES.get(kind, 1), 1, _SALT, 32))
    return small, (kib + _ARGON2_LANE_KIB * (lanes - 1)) * passes, kib


_EFFORTS = {
    "CRYPT": _crypt,
    "PBKDF2": _pbkdf2,
    "SCRAM": _scram,
    "PHPASS": lambda rounds, _salt: (Group(("PHPASS", _ROUNDS, b"saltsalt")), rounds, 0),
    "APR1": lambda _salt: (Group(("APR1", b"saltsalt")), 1, 0),
    "OTP": lambda function, rounds, _seed: (Group(("OTP", function, _ROUNDS, b"seed")), rounds + 1, 0),
    "ARGON2": _argon2,
}
