"""Stored passwords: what each is, and how a candidate is tried against it.

What is stored becomes a ``Hash`` (``parse``); hashes with an equal ``group`` share the work of one candidate:
``computer(group)(candidate)`` is the ``digest`` of those that the candidate fits. Many candidates at once are cheaper:
``matcher``. A candidate is bytes (UTF-8). Neither a password nor a hash is in any exception or representation.
"""

import contextlib

from . import compute as schemes_compute
from . import schemes
from .base import Group, Hash, Unavailable, Uncheckable, Unreadable

__all__ = ["Group", "Hash", "Unavailable", "Uncheckable", "Unreadable", "computer", "matcher", "parse", "speed_class"]

_SPEEDS = {"PLAIN": "plain", "PLAIN-TRUNC": "plain", "HASH": "fast", "MD4": "fast", "HMAC-MD5": "fast"}


def parse(stored, default_scheme, user):
    """What is stored as the password of an account.

    :param str stored: with ``{SCHEME}`` and all; bytes that are not UTF-8 as surrogate escapes
    :param str default_scheme: what it is where it names no scheme itself, in any case: "PLAIN", "CRYPT", ...
    :param str user: the account's name, which DIGEST-MD5 mixes in
    :rtype: Hash
    :raises Unreadable: with the reason, which has no part of what is stored
    """
    found = schemes.read(stored, default_scheme, user)
    if not found.plain and speed_class(found.group) == "fast":
        with contextlib.suppress(Unavailable):
            found = found._replace(empty=computer(found.group)(b"") == found.digest)
    return found


def computer(group):
    """A callable, candidate (bytes) in, digest out. One thread at a time may call it; make one for each.

    The callable raises Unavailable where the host has too little memory for a guess: that is no candidate tried.

    :raises Unavailable: something is missing on this host; says what to install
    """
    return schemes_compute.computer(group)


def matcher(group, digests):
    """A callable, list of candidates in, list of (index, digest) out: which of them fit which of these digests.

    It does what ``computer`` does, but for many candidates at a time, at hardly more than the cost of the hashes.

    :param digests: iterable of the digests of hashes of this group
    :raises Unavailable: as ``computer``
    """
    return schemes_compute.matcher(group, frozenset(digests))


def speed_class(group):
    """How dear one candidate is: "plain", "fast" (one hash function) or "slow" (made to be slow, as crypt(3))."""
    return _SPEEDS.get(group[0], "slow")
