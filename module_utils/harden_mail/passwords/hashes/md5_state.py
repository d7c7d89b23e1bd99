"""MD5 from a saved state (RFC 1321): hashlib can't begin in the middle, and Dovecot's CRAM-MD5 is a saved middle."""

import math
import struct

_SHIFTS_OF_ROUNDS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_SHIFTS = tuple(shifts[step % 4] for shifts in _SHIFTS_OF_ROUNDS for step in range(16))

# RFC 1321 defines its table so.
_SINES = tuple(int(abs(math.sin(step + 1)) * (1 << 32)) for step in range(64))

_MASK = 0xFFFFFFFF


def compress(state, block):
    """The state after one more block.

    :param bytes state: 16 bytes, as MD5 writes its digest
    :param bytes block: 64 bytes
    """
    words = struct.unpack("<16L", block)
    before = struct.unpack("<4L", state)
    a, b, c, d = before
    for step in range(64):
        if step < 16:
            mixed, place = (b & c) | (~b & d), step
        elif step < 32:
            mixed, place = (d & b) | (~d & c), (5 * step + 1) % 16
        elif step < 48:
            mixed, place = b ^ c ^ d, (3 * step + 5) % 16
        else:
            mixed, place = c ^ (b | (~d & _MASK)), (7 * step) % 16
        turned = (a + mixed + _SINES[step] + words[place]) & _MASK
        shift = _SHIFTS[step]
        a, d, c, b = d, c, b, (b + (turned << shift | turned >> (32 - shift))) & _MASK
    return struct.pack("<4L", *((old + new) & _MASK for old, new in zip(before, (a, b, c, d))))


def finished(state, length, tail):
    """The digest of a text of which a beginning is known only by the state that it left.

    :param bytes state: 16 bytes
    :param int length: of that beginning, bytes, a multiple of 64
    :param bytes tail: what comes after it
    """
    padded = tail + b"\x80" + b"\0" * ((55 - len(tail)) % 64) + struct.pack("<Q", 8 * (length + len(tail)))
    for begin in range(0, len(padded), 64):
        state = compress(state, padded[begin : begin + 64])
    return state
