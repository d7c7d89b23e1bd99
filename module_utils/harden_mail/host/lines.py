"""Text that people wrote, in whatever encoding."""


def readable_text(text: str) -> str:
    """A name as people read it: bytes that are no UTF-8 are tried as EUC-JP, Shift_JIS and Latin-1.

    :param text: with surrogate escapes for such bytes
    """
    raw = text.encode("utf-8", "surrogateescape")
    for encoding in ("utf-8", "euc_jp", "cp932"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")
