"""Files of xz, within a bound on memory: how much its reader takes is for the file to say, up to 4 GiB."""

import io
import lzma
from typing import BinaryIO

# What ``xz -9`` needs to be read is 65 MiB.
_MEMORY_LIMIT = 128 << 20

_CHUNK = 1 << 16


def xz_open(handle: BinaryIO, _mode: str) -> io.BufferedReader:
    """What is packed in a file.

    :raises lzma.LZMAError: while it is read: it is damaged, or would need more than ``_MEMORY_LIMIT``
    :raises EOFError: likewise: it ends too early
    """
    return io.BufferedReader(_Unpacked(handle), 1 << 16)


class _Unpacked(io.RawIOBase):
    def __init__(self, handle):
        super().__init__()
        self._handle, self._decompressor, self._rest = handle, None, b""

    def readable(self):
        return True

    def readinto(self, buffer):
        while True:
            if self._decompressor is None or self._decompressor.eof:
                # One file may hold several streams, with zeros between them.
                rest = self._decompressor.unused_data.lstrip(b"\0") if self._decompressor else b""
                self._rest = rest or self._handle.read(_CHUNK).lstrip(b"\0")
                if not self._rest:
                    return 0
                self._decompressor = lzma.LZMADecompressor(memlimit=_MEMORY_LIMIT)
            if self._decompressor.needs_input and not self._rest:
                self._rest = self._handle.read(_CHUNK)
                if not self._rest:
                    raise EOFError("it ends before its packed data does")
            piece = self._decompressor.decompress(self._rest, len(buffer))
            self._rest = b""
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
