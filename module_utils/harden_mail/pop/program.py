"""``pop-before-smtp`` on the host: each minute it renews the log-ins of who is still connected, and keeps the database.

A mail program that stays connected (IMAP IDLE) logs in once in hours, so who is connected counts as just logged in.
Old rows are removed, and a database that is missing or spoiled is made anew. When this program does not run, log-ins
expire as ever: it lets nobody in by stopping.

It runs as root, because Dovecot tells only root who is connected and only root may make the file. What is in the file
is read and written by a process with the rights of its writer, who may have put anything there.
"""

import contextlib
import ipaddress
import json
import os
import pwd
import smtplib
import socket
import sqlite3
import subprocess
import sys
import time

from ..errors import UserError
from . import database, readers

CONFIG = "/etc/harden-mail/pop-before-smtp.json"

# The number of the file that the readers have open, if they have read it since it was last made anew.
NOTED = "/run/harden-mail/pop-before-smtp.inode"

# Seconds for a program to answer.
PATIENCE = 20

# Exit status of the writer's process.
SPOILED = 3


def main():
    """One run.

    The configuration (JSON): ``minutes`` (int), ``prefix6`` (128 or 64), ``writer`` (str, user), ``sessions`` (list of
    argument lists: each prints who is connected as ``doveadm -f tab who`` does), ``reread`` (list of argument lists:
    they make the readers open a database that was made anew), ``reader`` (str or null: user who must be let read it)

    With ``--answers ADDRESS PORT`` it only looks whether a mail server answers there: exit status 0. ``--answers SOCKET
    NAME`` does so for a table of that name (see ``policy_lookup.py``) behind a socket in the file system.
    """
    if sys.argv[1:2] == ["--answers"]:
        where, what = sys.argv[2:4]
        if where.startswith("/"):
            return 0 if looks_up(where, what) else "no table {1} answers at {0}".format(where, what)
        return 0 if answers(where, int(what)) else "nothing answers at {0} port {1}".format(where, what)
    try:
        with open(CONFIG, encoding="utf-8") as handle:
            config = json.load(handle)
        about = pwd.getpwnam(config["writer"])
        make(about.pw_gid)
        let_in(config)
        connected = sorted({address for argv in config["sessions"] for address in addresses(said(argv))})
        status = as_writer(about, config, connected)
        if status == SPOILED:
            remove()
            make(about.pw_gid)
            let_in(config)
            status = as_writer(about, config, connected)
    except (OSError, KeyError, ValueError, UserError) as error:
        return str(error)
    if status == 0:
        reread(config)
    return status


def let_in(config, directory=database.DIRECTORY, path=database.PATH):
    """Let the reader read, where one is named."""
    if config.get("reader"):
        uid = pwd.getpwnam(config["reader"]).pw_uid
        for one in (directory, path):
            if not readers.may_read(one, uid):
                readers.let_read(one, uid)


def answers(address, port):
    """Whether a mail server greets and takes EHLO within some seconds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with contextlib.closing(smtplib.SMTP(address, port, "[127.0.0.1]", timeout=PATIENCE / 2)) as session:
                if session.ehlo()[0] == 250:
                    return True
        except (OSError, smtplib.SMTPException):
            pass
        time.sleep(0.2)
    return False


def looks_up(path, name):
    """Whether within some seconds a table says of some address what becomes of it."""
    request = "{0} 192.0.2.1".format(name).encode()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE / 2)
            asking.connect(path)
            asking.sendall(b"%d:%s," % (len(request), request))
            if asking.recv(1024).partition(b":")[2].startswith(b"OK "):
                return True
        time.sleep(0.2)
    return False


def make(group, directory=database.DIRECTORY, path=database.PATH):
    """Make the directory and an empty file where they are missing, and have them belong to whom they ought to."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    belong(directory, os.O_RDONLY | os.O_DIRECTORY, group, database.DIRECTORY_MODE)
    belong(path, os.O_RDWR | os.O_CREAT, group, database.FILE_MODE)


def belong(path, how, group, mode):
    descriptor = os.open(path, how | os.O_NOFOLLOW, 0o600)
    try:
        os.fchown(descriptor, os.geteuid(), group)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def said(argv):
    """What a program prints, "" when it fails: one that knows of no sessions renews none."""
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=True,
        ).stdout.decode("ascii", "replace")
    except (OSError, subprocess.SubprocessError):
        return ""


def addresses(text):
    """Addresses of who is connected, folded: iterator of str.

    :param str text: of ``doveadm -f tab who``: the last column holds a user's addresses, ``(192.0.2.1 2001:db8::1)``
    """
    for line in text.splitlines()[1:]:
        for word in line.rpartition("\t")[2].strip("()").split():
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(word)
                yield str(getattr(address, "ipv4_mapped", None) or address)


def as_writer(about, config, connected):
    """Do the database's work in a process that has the rights of its writer and no more.

    :param about: the writer, as pwd has it
    :returns: exit status; SPOILED: the file is no database
    """
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
    status = 1
    try:
        os.initgroups(about.pw_name, about.pw_gid)
        os.setgid(about.pw_gid)
        os.setuid(about.pw_uid)
        os.umask(0o777 & ~database.FILE_MODE)
        status = keep(database.PATH, config, connected)
    finally:
        os._exit(status)
    return status


def keep(path, config, connected):
    """Renew the log-ins of who is connected, and remove the old ones.

    :param list connected: of str, addresses
    :returns: 0, 1 (it could not be done, and why is said) or SPOILED
    """
    try:
        work(path, config, connected)
    except sqlite3.Error as error:
        sys.stderr.write("{0}: {1}\n".format(path, error))
        # Busy, or a full disk: no reason to throw away what others can read.
        return 1 if isinstance(error, sqlite3.OperationalError) else SPOILED
    return 0


def work(path, config, connected):
    with contextlib.closing(open_(path)) as base:
        if base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("spoiled")
        base.execute("BEGIN IMMEDIATE")
        base.execute(database.SCHEMA)
        statement = database.write("?", config["minutes"], config["prefix6"])
        for address in connected:
            base.execute(statement, (address,))
        base.execute(database.PRUNE)
        base.execute("COMMIT")


def open_(path):
    uri = "file:{0}?mode=rw".format(path)
    base = sqlite3.connect(uri, timeout=database.BUSY_SECONDS * 3, isolation_level=None, uri=True)
    base.execute("PRAGMA synchronous=OFF")
    return base


def remove(path=database.PATH):
    for name in (path + "-journal", path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def reread(config):
    """Have those who read the database open it again where it is not the file that they have open."""
    number = str(os.stat(database.PATH).st_ino)
    noted = None
    with contextlib.suppress(OSError), open(NOTED, encoding="ascii") as handle:
        noted = handle.read()
    if noted == number:
        return
    if noted is not None:
        for argv in config["reread"]:
            subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.makedirs(os.path.dirname(NOTED), mode=0o755, exist_ok=True)
    with open(NOTED, "w", encoding="ascii") as handle:
        handle.write(number)
