"""Counts over many messages."""


class Summary:
    pass
