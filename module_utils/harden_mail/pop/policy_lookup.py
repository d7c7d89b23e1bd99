"""``pop-lookup``: tells a Postfix that has no sqlite tables who has read mail lately.

Postfix's spawn(8) starts it for each smtpd that asks, as the one who writes the database, with the connection as
standard input, output *and* error. It speaks the protocol of socketmap_table(5): a request is a netstring ``NAME
ADDRESS``, the answer one that begins with ``OK``, ``NOTFOUND`` or ``TEMP``. There are two tables:

- ``relay``: for an access list, what becomes of a client; an answer for each address.
- ``ehlo``: what is hidden from a client that has read mail; nothing for others, for whom Postfix then hides AUTH.

That a log-in has expired is asked in the look-up. The database is opened for each, so one that was made anew is taken
up at once. Whatever goes wrong here is no answer, and without an answer Postfix lets nobody in: for want of the second
table it ends the session at EHLO, for want of the first it refuses for the moment.
"""

import argparse
import contextlib
import socket
import sqlite3
import sys

from . import database
from .meaning import BOTH, EITHER

REFUSED = "REJECT Read your mail first (log in by POP or IMAP), then send"

# Bytes: a name of a table and a host name, which Postfix asks for as well.
LONGEST = 1024


def main():
    """Answer until who asks hangs up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--meaning", choices=[BOTH, EITHER], required=True)
    parser.add_argument("--minutes", type=int, required=True, help="how long a log-in counts")
    parser.add_argument("--prefix6", type=int, choices=[128, 64], required=True)
    parser.add_argument("--ehlo", required=True, help="words that are hidden from who has read mail")
    options = parser.parse_args()
    tables = {"relay": relay_answers(options.meaning), "ehlo": (options.ehlo, None)}
    query = database.look_up("x", "?", options.minutes, options.prefix6)
    serve(sys.stdin.buffer, sys.stdout.buffer, tables, query, database.PATH)
    return 0


def relay_answers(meaning):
    """What an access list is told of an address that has read mail, and of one that has not: two words of access(5)."""
    return ("DUNNO", REFUSED) if meaning == BOTH else ("OK", "DUNNO")


def serve(requests, answers, tables, query, path):
    """Answer requests until there are no more.

    :param requests: binary file
    :param answers: binary file
    :param dict tables: {name: (answer for who has read mail, answer for who has not)}; None: not in the table
    :param str query: gives a row for an address (its one parameter) whose log-in counts
    :param str path: of the database
    :raises ValueError: what was asked is no netstring
    """
    while True:
        request = read_netstring(requests)
        if request is None:
            return
        answer = answer_to(request.decode("utf-8", "replace"), tables, query, path).encode()
        answers.write(b"%d:%s," % (len(answer), answer))
        answers.flush()


def read_netstring(file):
    """The next netstring (bytes) of a binary file, None when it ends before one.

    :raises ValueError: there is none
    """
    digits = b""
    while not digits.endswith(b":"):
        byte = file.read(1)
        if not byte and not digits:
            return None
        if not (byte.isdigit() or (byte == b":" and digits)) or len(digits) > len(str(LONGEST)):
            raise ValueError("no netstring")
        digits += byte
    length = int(digits[:-1])
    text = file.read(length + 1) if length <= LONGEST else b""
    if len(text) != length + 1 or not text.endswith(b","):
        raise ValueError("no netstring")
    return text[:-1]


def answer_to(request, tables, query, path):
    """The answer (str) to a request (str)."""
    name, _blank, key = request.partition(" ")
    if name not in tables:
        return "PERM there is no such table"
    # Postfix asks for the client's name, too, which proves nothing.
    if not is_address(key):
        return "NOTFOUND "
    try:
        has_read = look_up(path, key, query)
    except sqlite3.Error as error:
        return "TEMP {0}: {1}".format(path, error)
    answer = tables[name][0 if has_read else 1]
    return "NOTFOUND " if answer is None else "OK " + answer


def is_address(text):
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, text)
            return True
    return False


def look_up(path, address, query):
    """Whether a client (its address, as Postfix writes it) has read mail lately.

    :raises sqlite3.Error: that can't be said
    """
    uri = "file:{0}?mode=ro".format(path)
    with contextlib.closing(sqlite3.connect(uri, timeout=database.BUSY_SECONDS, uri=True)) as base:
        return base.execute(query, (address,)).fetchone() is not None
