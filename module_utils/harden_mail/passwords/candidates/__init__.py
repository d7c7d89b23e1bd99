"""Guesses at the passwords of mail accounts, likeliest first.

``derived`` are an account's own guesses (``from_account.py``), ``general`` the ones that every account shares
(``for_all.py``). Words are bytes (UTF-8), as a log-in would send them. They may be what somebody's password is: they
never go into a message, an exception, a log or a file.
"""

from .for_all import general, general_batches
from .from_account import MOST as MOST_OWN
from .from_account import derived, may_be_derived
from .lists import fingerprint

# Broad classes of rules. This is all that a result may say about how a password was guessed: a finer one, or the
# position in a public list, would give the word away.
KINDS = ("account", "domain", "name", "common", "japanese", "english", "keyboard", "date", "digits", "own-list")

# (guesses at an account in all, how many of them are its own). A round tries what the former one left: with limits L
# and own guesses D, ``derived[D_former:D]`` and ``general[L_former - D_former:L - D]``. After the last one only general
# guesses go on. The first hundred own guesses find more than the next thousand; for general ones it falls off slower.
QUOTAS = ((100, 50), (1000, 300), (10000, 2000), (100000, 5000))

__all__ = ["KINDS", "MOST_OWN", "QUOTAS", "derived", "fingerprint", "general", "general_batches", "may_be_derived"]
