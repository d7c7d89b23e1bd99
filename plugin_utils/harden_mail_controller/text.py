"""What others wrote, as it may be shown on the controller's terminal and in its report."""

from harden_mail.text import printable

LIMIT = 1000
# A text in lines, and one that Ansible prints on the terminal by itself: in characters and in lines.
LONGEST_LINES = 1 << 20
LONGEST_SAID, MOST_SAID = 20000, 200


def clean(value, limit=LIMIT):
    """One line that steers no terminal and no page, whatever the value is.

    Runs of white space are one blank; what steers (C0, C1, bidi) or is invisible is an escape (``\\x1b``).

    :param int limit: longest result in characters; what is cut off is marked with an ellipsis
    """
    # Python refuses to write out a number of thousands of digits.
    if isinstance(value, int) and value.bit_length() > 1024:
        value = "a number of {0} bits".format(value.bit_length())
    return printable(" ".join(str(value).split()), limit)


def lines(text, limit=LONGEST_LINES):
    """Text in lines, each of which steers nothing."""
    return "\n".join(clean_line(line) for line in text[:limit].split("\n"))


def clean_line(text):
    """A line as :func:`clean`, but with its blanks and tabs as they are."""
    return text if text.isprintable() else "".join(map(_clean_sign, text))


def _clean_sign(sign):
    return sign if sign.isprintable() or sign == "\t" else clean(sign) or " "


def said(text):
    """What somebody said, to be printed: lines behind the first are set in, so that none passes for Ansible's own.

    :returns: str; what is cut off is marked with an ellipsis
    """
    first, *rest = text[:LONGEST_SAID].split("\n")
    kept = [clean_line(first), *(_set_in(clean_line(line)) for line in rest[: MOST_SAID - 1])]
    is_cut = len(text) > LONGEST_SAID or len(rest) >= MOST_SAID
    return "\n".join(kept) + ("\u2026" if is_cut else "")


def _set_in(line):
    return line if not line or line.startswith("    ") else "    " + line
