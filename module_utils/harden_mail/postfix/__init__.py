"""Postfix's configuration: what it says, asked of ``postconf``, and small changes to it."""
