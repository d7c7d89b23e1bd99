"""Rows as database clients print them, so that no byte of a password gets lost."""

import re

# What `mysql --batch` writes for characters that would break its lines (client/mysql.cc: safe_put_field).
_BATCH = {b"\\t": b"\t", b"\\n": b"\n", b"\\0": b"\0", b"\\\\": b"\\"}

# PostgreSQL's COPY, text format (its manual, COPY, "Text Format").
_COPY = {
    b"\\b": b"\b",
    b"\\f": b"\f",
    b"\\n": b"\n",
    b"\\r": b"\r",
    b"\\t": b"\t",
    b"\\v": b"\v",
}


def unescaped(field):
    """A field of `mysql --batch`: str, or None for NULL.

    The text "NULL" is printed like the value, so it is taken for that: a query that cares says COALESCE.
    """
    if field == b"NULL":
        return None
    return text_of(re.sub(rb"\\[tn0\\]", lambda match: _BATCH[match.group()], field))


def copied(field):
    """A field of PostgreSQL's COPY in text format: str, or None for NULL."""
    if field == b"\\N":
        return None
    return text_of(re.sub(rb"\\(?:x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", _copied_escape, field, flags=re.DOTALL))


def _copied_escape(match):
    escape = match.group()
    if escape in _COPY:
        return _COPY[escape]
    if len(escape) > 2 and escape[1:2] == b"x":
        return bytes((int(escape[2:], 16),))
    if escape[1:].isdigit() and escape[1:2] < b"8":
        return bytes((int(escape[1:], 8) & 0xFF,))
    return escape[1:]


def text_of(value):
    """Bytes of a database, or a number, as text; None stays None."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)
