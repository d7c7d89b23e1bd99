"""What others wrote, as it may be shown on the controller's terminal and in its report."""

from harden_mail.text import printable

LIMIT = 1000


def clean(value, limit=LIMIT):
    """One line that steers no terminal and no page, whatever the value is.

    Runs of white space are one blank; what steers (C0, C1, bidi) or is invisible is an escape (``\\x1b``).

    :param int limit: longest result in characters; what is cut off is marked with an ellipsis
    """
    # Python refuses to write out a number of thousands of digits.
    if isinstance(value, int) and value.bit_length() > 1024:
        value = "a number of {0} bits".format(value.bit_length())
    return printable(" ".join(str(value).split()), limit)
