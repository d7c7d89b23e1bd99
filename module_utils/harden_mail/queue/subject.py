"""The text of a Subject header."""

# Bytes of a header's value that are looked at.
LONGEST = 16384


def decode_subject(raw):
    """Decode a header's value (bytes, still folded; its first 16 KiB) into text; never raises."""
    return raw[:LONGEST].decode("utf-8", "replace").strip()
