"""Argon2 and bcrypt from whatever a host has: libraries of other programs, called through ctypes, or Python modules.

Nothing is installed for it. libargon2 comes with systemd or cryptsetup, libsodium with Dovecot, which makes its own
Argon2 hashes by it.
"""

import ctypes

from .base import Unavailable

try:
    import argon2.low_level as argon2_module
except ImportError:
    argon2_module = None
try:
    from bcrypt import hashpw
except ImportError:
    hashpw = None

_TYPES = {"d": 0, "i": 1, "id": 2}

# crypto_pwhash(3) of libsodium: 16 bytes of salt, one lane, version 19, and these least passes.
_SODIUM_LEAST_PASSES = {"i": 3, "id": 1}
_SODIUM_SALT = 16

_ARGON2_MISSING = "install python3-argon2 (Debian), python3-argon2-cffi (RPM distributions) or libargon2 on this host"
_ARGON2_FAILED = "Argon2 fails on this host: a guess takes {0} MiB of memory"
_BCRYPT_MISSING = "this host's libcrypt does not know bcrypt: install python3-bcrypt"


def argon2(kind, version, kib, passes, lanes, salt, length):
    """A computer of Argon2: candidate in, raw hash (``length`` bytes) out.

    :param str kind: "i", "d" or "id"
    :param int version: 16 or 19
    :raises Unavailable: nothing here can do it
    """
    parameters = (kind, version, kib, passes, lanes, salt, length)
    for make in (_by_libargon2, _by_module, _by_libsodium):
        compute = make(*parameters)
        if compute:
            return compute
    raise Unavailable(_ARGON2_MISSING)


def bcrypt(setting):
    """A computer of bcrypt without libcrypt: candidate in, whole string out.

    :param bytes setting: ``$2y$10$`` and 22 characters of salt
    :raises Unavailable: there is no module for it
    """
    if hashpw is None or setting.startswith(b"$2x$"):
        raise Unavailable(_BCRYPT_MISSING)

    def compute(word):
        # bcrypt never looked at more; newer modules refuse it.
        return None if b"\0" in word else hashpw(word[:72], setting)

    return compute


def _unless(failed, room, kib):
    # That must not pass for a candidate that does not fit.
    if failed:
        raise Unavailable(_ARGON2_FAILED.format(kib // 1024))
    return room.raw


def _by_libargon2(kind, version, kib, passes, lanes, salt, length):
    try:
        function = ctypes.CDLL("libargon2.so.1").argon2_hash
    except (OSError, AttributeError):
        return None
    size, word = ctypes.c_size_t, ctypes.c_uint32
    function.argtypes = (
        (word, word, word)
        + (ctypes.c_char_p, size, ctypes.c_char_p, size, ctypes.c_void_p, size)
        + (ctypes.c_void_p, size, ctypes.c_int, word)
    )
    room = ctypes.create_string_buffer(length)

    def compute(candidate):
        failed = function(
            passes, kib, lanes, candidate, len(candidate), salt, len(salt), room, length, None, 0, _TYPES[kind], version
        )
        return _unless(failed, room, kib)

    return compute


def _by_module(kind, version, kib, passes, lanes, salt, length):
    if argon2_module is None:
        return None
    flavour = argon2_module.Type(_TYPES[kind])
    derive = argon2_module.hash_secret_raw

    def compute(candidate):
        try:
            return derive(candidate, salt, passes, kib, lanes, length, flavour, version)
        except argon2_module.HashingError:
            failed = True
        return _unless(failed, None, kib)

    return compute


def _by_libsodium(kind, version, kib, passes, lanes, salt, length):
    if lanes != 1 or version != 19 or len(salt) != _SODIUM_SALT or length < 16:
        return None
    if passes < _SODIUM_LEAST_PASSES.get(kind, passes + 1):
        return None
    for name in ("libsodium.so.26", "libsodium.so.23"):
        try:
            library = ctypes.CDLL(name)
            function = library.crypto_pwhash
        except (OSError, AttributeError):
            continue
        if library.sodium_init() < 0:
            continue
        long = ctypes.c_ulonglong
        function.argtypes = (
            ctypes.c_void_p, long, ctypes.c_char_p, long, ctypes.c_char_p, long, ctypes.c_size_t, ctypes.c_int,
        )  # fmt: skip
        room = ctypes.create_string_buffer(length)

        def compute(candidate, function=function, room=room):
            failed = function(room, length, candidate, len(candidate), salt, passes, kib * 1024, _TYPES[kind])
            return _unless(failed, room, kib)

        return compute
    return None
