"""MD4 (RFC 1320), which most builds of OpenSSL, and so hashlib, refuse by now."""

import hashlib
import struct

from . import openssl

_MASK = 0xFFFFFFFF

_START = struct.pack("<4L", 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)

# Of each round: the order in which the block's words are used, the shifts, and the constant.
_ROUNDS = (
    (tuple(range(16)), (3, 7, 11, 19), 0),
    ((0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13), 0x5A827999),
    ((0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15), 0x6ED9EBA1),
)


def md4_function():
    """The quickest callable that this host has, bytes in, 16 bytes out; no two threads may call it at once."""
    for make in (_of_hashlib, openssl.md4):
        function = make()
        if function is not None:
            return function
    return md4


def md4(text):
    """The digest (16 bytes) of bytes, in Python."""
    padded = text + b"\x80" + b"\0" * ((55 - len(text)) % 64) + struct.pack("<Q", 8 * len(text))
    state = _START
    for begin in range(0, len(padded), 64):
        state = _compress(state, padded[begin : begin + 64])
    return state


def _compress(state, block):
    words = struct.unpack("<16L", block)
    before = struct.unpack("<4L", state)
    a, b, c, d = before
    for number, (order, shifts, constant) in enumerate(_ROUNDS):
        for step, place in enumerate(order):
            if number == 0:
                mixed = (b & c) | (~b & d)
            elif number == 1:
                mixed = (b & c) | (b & d) | (c & d)
            else:
                mixed = b ^ c ^ d
            turned = (a + mixed + words[place] + constant) & _MASK
            shift = shifts[step % 4]
            a, d, c, b = d, c, b, (turned << shift | turned >> (32 - shift)) & _MASK
    return struct.pack("<4L", *((old + new) & _MASK for old, new in zip(before, (a, b, c, d))))


def _of_hashlib():
    try:
        hashlib.new("md4")
    except ValueError:
        return None
    return lambda text: hashlib.new("md4", text).digest()
