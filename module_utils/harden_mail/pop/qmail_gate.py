"""A link in tcpserver's chain, right before qmail-smtpd: has the client read mail lately?

It is one file without anything of ours, so that it starts quickly; ``qmail.py`` writes it with its settings. Whatever
goes wrong here, the client counts as one that has not read mail: it may not relay, and AUTH is not offered. Mail for
this host is taken from everybody, as ever. Standard output is the client's: nothing is said there.
"""

import os
import sqlite3
import sys

# The C part of socket; the rest of it takes longer to load than all else here.
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

# path: of the database; query: gives a row for an address (its one parameter) that has read mail; both: bool, the
# log-in is asked for besides SMTP AUTH (else it is taken instead); exempt: list of (network, mask), ints, and their
# size in bytes; seconds: to wait for a writer
SETTINGS = {"path": "", "query": "", "both": True, "exempt": [], "seconds": 2}

# What turns AUTH on in the qmail-smtpd of some patches; those that ask for it (FORCE_AUTH) stay, which keeps it closed.
AUTH = ("SMTPAUTH", "SMTP_AUTH", "AUTH", "AUTH_CDB")

MAPPED = b"\0" * 10 + b"\xff\xff"


def main(argv, environ):
    """The program to run and its environment: (list of str, dict).

    :param list argv: qmail-smtpd and its arguments
    """
    # tcprules lets it relay: it is this host's own, or declared.
    if "RELAYCLIENT" in environ:
        return argv, environ
    address = packed(environ.get("TCPREMOTEIP", ""))
    # For an exempt client all is as before. Webmail's users log in from one address all the time, so in `either`, too:
    # that must not open it for whoever is on that host.
    if address is not None and is_exempt(address):
        return argv, environ
    is_known = address is not None and has_read(address)
    if not SETTINGS["both"]:
        return argv, dict(environ, RELAYCLIENT="") if is_known else environ
    if is_known:
        return argv, environ
    # Without a program that checks passwords it has no AUTH: what follows its name is the host's name and that program.
    return argv[:1], {name: value for name, value in environ.items() if name not in AUTH}


def packed(text):
    """An address (str) as bytes, IPv4 never in IPv6 form; None when it is no address."""
    try:
        if ":" not in text:
            return inet_pton(AF_INET, text)
        address = inet_pton(AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    return address[12:] if address.startswith(MAPPED) else address


def is_exempt(address):
    number = int.from_bytes(address, "big")
    return any(size == len(address) and number & mask == network for network, mask, size in SETTINGS["exempt"])


def has_read(address):
    """Whether a client (its address, bytes) has read mail lately, as far as the database can be asked."""
    text = inet_ntop(AF_INET6 if len(address) == 16 else AF_INET, address)
    try:
        base = sqlite3.connect("file:{0}?mode=ro".format(SETTINGS["path"]), timeout=SETTINGS["seconds"], uri=True)
        try:
            return base.execute(SETTINGS["query"], (text,)).fetchone() is not None
        finally:
            base.close()
    except sqlite3.Error as error:
        sys.stderr.write("pop-before-smtp: {0}: {1}\n".format(SETTINGS["path"], error))
        sys.stderr.flush()  # the next program takes this one's place
        return False


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: pop-gate qmail-smtpd [HOST CHECKPASSWORD TRUE]")
    words, variables = main(sys.argv[1:], dict(os.environ))
    try:
        os.execvpe(words[0], words, variables)
    except OSError as failed:
        sys.exit("pop-before-smtp: {0}: {1}".format(words[0], failed.strerror))
