"""Text from the wire: fit for a terminal, and fit for comparison."""


def printable(text):
    return text
