"""The host's crypt(3), called through ctypes: Python's own ``crypt`` module is gone from 3.13.

``crypt_r`` is called, which keeps its state in memory that the caller brings, so every thread and process can have its
own; ctypes lets other threads run meanwhile.
"""

import ctypes
from typing import Any, List

from .base import Unavailable

# Of a host that has both, libxcrypt's newer one knows more schemes. None: musl has crypt_r in libc itself.
_NAMES = ("libcrypt.so.2", "libcrypt.so.1", "libcrypt.so.1.1", None)

# glibc's struct crypt_data has 131,232 bytes, libxcrypt's 32,768.
_DATA_BYTES = 1 << 18

# What crypt(3) says where it can't: libxcrypt "*0", or "*1" where the setting itself begins so; glibc NULL.
FAILURES = frozenset((None, b"*0", b"*1"))

# crypt_checksalt(3): the setting is of no scheme that this libcrypt knows, or a locked one.
_REFUSED = (1, 2)

# A candidate so long is refused by libxcrypt: CRYPT_MAX_PASSPHRASE_SIZE.
_TOO_LONG = 512

_loaded: List[Any] = []


def knows(setting):
    """Whether libcrypt knows the scheme of a setting (bytes: scheme, rounds and salt).

    :raises Unavailable: there is no libcrypt
    """
    raw = crypt_r()
    check = _loaded[0][1]
    if check is not None:
        return check(setting) not in _REFUSED
    return raw(b"", setting, working_memory()) not in FAILURES


def working_memory():
    """What ``crypt_r`` wants as third argument; no two threads may use the same at once."""
    return ctypes.byref(ctypes.create_string_buffer(_DATA_BYTES))


def crypt_r():
    """libcrypt's ``crypt_r(phrase, setting, data)``: bytes, bytes without NUL and ``working_memory()`` in, bytes out.

    :raises Unavailable: there is no libcrypt
    """
    if not _loaded:
        _loaded.append(_load())
    return _loaded[0][0]


def check(words, answers):
    """See that ``crypt_r`` did its work: a failure must not pass for a candidate that does not fit.

    :raises Unavailable: it failed, and not for the length of a candidate
    """
    if FAILURES.isdisjoint(answers):
        return
    if any(answer in FAILURES and len(word) < _TOO_LONG for word, answer in zip(words, answers)):
        raise Unavailable("this host's libcrypt refuses such a salt, or there is too little memory for a guess")


def _load():
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
            function = library.crypt_r
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_char_p
        return function, getattr(library, "crypt_checksalt", None)
    raise Unavailable("libcrypt is missing on this host: install libcrypt1 (Debian) or libxcrypt")
