"""Berkeley DB's hash files, read only, without the library (its layout: db_page.h, hash.h of release 5.3).

Only what lies in the page of its bucket, or in overflow pages of its own, is looked at: no duplicates, no encryption.
"""

import struct

HASH_MAGIC = 0x061561
BTREE_MAGIC = 0x053162

# Types of pages, and of items on a hash page.
_OVERFLOW_PAGE = 7
_HASH_PAGES = (2, 13)
_KEY_OR_DATA = 1
_OFF_PAGE = 3

_HEADER = 26

# More than this in one item is no name and no password.
LONGEST = 65536


class NoHashFile(Exception):
    """It is no hash file of Berkeley DB; the text says what it is instead (str)."""


def pairs(handle):
    """Keys and values of a hash file, in constant memory.

    :param handle: binary file
    :returns: iterator of (bytes key, bytes value), or None for one that is damaged or of another kind
    :raises NoHashFile: it is another kind of file
    """
    start = handle.read(512)
    order = _byte_order(start)
    size, kind, pages = (
        struct.unpack_from(order + "I", start, 20)[0],
        start[24],
        struct.unpack_from(order + "I", start, 32)[0],
    )
    if not 512 <= size <= 65536 or size & (size - 1):
        raise NoHashFile("a damaged Berkeley DB file")
    if kind:
        raise NoHashFile("an encrypted Berkeley DB file")
    for number in range(1, pages + 1):
        page = _page(handle, size, number)
        if len(page) < size:
            return
        if page[25] in _HASH_PAGES:
            yield from _pairs_of(handle, page, order)


def _byte_order(start):
    """ "<" or ">", from the first page of a file."""
    if len(start) >= 72:
        for order in "<>":
            magic = struct.unpack_from(order + "I", start, 12)[0]
            if magic == HASH_MAGIC:
                return order
            if magic == BTREE_MAGIC:
                raise NoHashFile("a Berkeley DB file of type btree")
    raise NoHashFile("no Berkeley DB file")


def _page(handle, size, number):
    handle.seek(number * size)
    return handle.read(size)


def _pairs_of(handle, page, order):
    count = struct.unpack_from(order + "H", page, 20)[0]
    if _HEADER + 2 * count > len(page):
        yield None
        return
    offsets = struct.unpack_from("{0}{1}H".format(order, count), page, _HEADER)
    # Items grow from the end of the page: each ends where the one before it begins.
    ends = (len(page),) + offsets[:-1]
    items = [_item(handle, page, offset, end, order) for offset, end in zip(offsets, ends)]
    for key, value in zip(items[::2], items[1::2]):
        yield None if key is None or value is None else (key, value)


def _item(handle, page, offset, end, order):
    """Content of an item, or None."""
    if not _HEADER <= offset < end <= len(page):
        return None
    if page[offset] == _KEY_OR_DATA:
        return bytes(page[offset + 1 : end])
    if page[offset] == _OFF_PAGE and end - offset >= 12:
        number, length = struct.unpack_from(order + "II", page, offset + 4)
        return _off_page(handle, len(page), number, length, order)
    return None


def _off_page(handle, size, number, length, order):
    content = b""
    while number and len(content) < length <= LONGEST:
        page = _page(handle, size, number)
        if len(page) < size or page[25] != _OVERFLOW_PAGE:
            return None
        used = struct.unpack_from(order + "H", page, 22)[0]
        if not used or used > size - _HEADER:
            return None
        content += page[_HEADER : _HEADER + used]
        number = struct.unpack_from(order + "I", page, 16)[0]
    return content if len(content) == length else None
