"""Packed logs whose reader would take what memory their author says."""

import binascii
import io
import lzma

import pytest
from harden_mail.logs.xz import xz_open

LINES = b"".join(b"line %d\n" % number for number in range(50000))


def test_it_reads_what_is_packed_however_it_is_put_together():
    assert xz_open(io.BytesIO(lzma.compress(LINES)), "rb").read() == LINES
    two = lzma.compress(b"one\n") + b"\0" * 8 + lzma.compress(b"two\n")
    assert xz_open(io.BytesIO(two), "rb").read() == b"one\ntwo\n"
    assert list(xz_open(io.BytesIO(lzma.compress(LINES, preset=9)), "rb")) == LINES.splitlines(True)
    assert xz_open(io.BytesIO(b""), "rb").read() == b""


def test_a_large_dictionary_is_refused():
    small = lzma.compress(LINES, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}])
    assert xz_open(io.BytesIO(small), "rb").read() == LINES
    # Only the dictionary's size (its code in the block's header, and that header's sum) differs.
    large = _with_dictionary(small, 512 << 20)
    with pytest.raises(lzma.LZMAError, match=r"[Mm]emory"):
        xz_open(io.BytesIO(large), "rb").read()


def test_what_is_damaged_is_said():
    packed = lzma.compress(LINES)
    with pytest.raises(EOFError):
        xz_open(io.BytesIO(packed[:-20]), "rb").read()
    with pytest.raises(lzma.LZMAError):
        xz_open(io.BytesIO(packed[:50] + b"x" * 50 + packed[100:]), "rb").read()
    with pytest.raises(lzma.LZMAError):
        xz_open(io.BytesIO(b"no xz at all"), "rb").read()


def _with_dictionary(packed, size):
    """A file of one block with another size of dictionary (a power of 2) in its header; the format's 3.1."""
    start, length = 12, (packed[12] + 1) * 4
    block = bytearray(packed[start : start + length])
    # Flags, and the filter's: id 0x21, one byte of properties, the code.
    position = block.index(b"\x21\x01") + 2
    block[position] = (size.bit_length() - 1 - 12) * 2
    block[-4:] = binascii.crc32(bytes(block[:-4])).to_bytes(4, "little")
    return packed[:start] + bytes(block) + packed[start + length :]
