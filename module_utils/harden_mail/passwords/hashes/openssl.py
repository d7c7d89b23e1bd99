"""Old functions of OpenSSL, called through ctypes.

Its new interface has MD4 in a provider that nobody loads; and its crypt(3) of DES is half as fast again as libcrypt's.
"""

import ctypes
from typing import Any, Dict

_NAMES = ("libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so.10")

_FIPS = "/proc/sys/crypto/fips_enabled"

_MD4_OF_NOTHING = bytes.fromhex("31d6cfe0d16ae931b73c59d7e0c089c0")
_CRYPT_OF_SECRET = b"abNANd1rDfiNc"

# name of a function: what ctypes gives for it, or None
_loaded: Dict[str, Any] = {}


def md4():
    """A callable, bytes in, 16 bytes out, or None; no two threads may call it at once."""
    function = _function("MD4")
    if function is None:
        return None
    function.restype = ctypes.c_void_p
    function.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
    room = ctypes.create_string_buffer(len(_MD4_OF_NOTHING))
    answer = ctypes.byref(room)

    def compute(text):
        function(text, len(text), answer)
        return room.raw

    return compute if compute(b"") == _MD4_OF_NOTHING else None


def des_crypt():
    """(crypt, memory), as ``libcrypt.crypt_r`` and its memory, for settings of two characters, or None."""
    function = _function("DES_fcrypt")
    if function is None:
        return None
    function.restype = ctypes.c_char_p
    memory = ctypes.byref(ctypes.create_string_buffer(len(_CRYPT_OF_SECRET) + 1))
    return (function, memory) if function(b"secret", b"ab", memory) == _CRYPT_OF_SECRET else None


def _function(name):
    if name not in _loaded:
        _loaded[name] = _look_for(name)
    return _loaded[name]


def _look_for(name):
    if _is_in_fips_mode():
        # OpenSSL 1.x would end the process.
        return None
    for library in _NAMES:
        try:
            return getattr(ctypes.CDLL(library), name)
        except (OSError, AttributeError):
            continue
    return None


def _is_in_fips_mode():
    try:
        with open(_FIPS, encoding="ascii") as handle:
            return handle.read().strip() == "1"
    except OSError:
        return False
