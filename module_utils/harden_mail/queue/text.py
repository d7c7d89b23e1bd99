"""Text from the wire: fit for a terminal, and fit for comparison."""

import unicodedata


def printable(text, limit=300):
    """Text that steers no terminal and breaks no JSON or report; None stays None."""
    if text is None or (text.isprintable() and len(text) <= limit):
        return text
    return ascii(text)[1:-1][:limit]


def folded(text):
    """Text as it is compared: NFKC, no invisible characters, single blanks, no case."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
