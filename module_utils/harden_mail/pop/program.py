"""``pop-before-smtp`` on the host: each minute it renews the log-ins of who is still connected, and keeps the database.

A mail program that stays connected (IMAP IDLE) logs in once in hours, so who is connected counts as just logged in.
Old rows are removed, and a database that is missing or spoiled is made anew. When this program does not run, log-ins
expire as ever: it lets nobody in by stopping.

It runs as root, because Dovecot tells only root who is connected and only root may make the file. What is in the file
is read and written by a process with the rights of its writer, who may have put anything there.
"""

import contextlib
import errno
import ipaddress
import json
import os
import pwd
import resource
import signal
import smtplib
import socket
import sqlite3
import stat
import subprocess
import sys
import time

from ..errors import UserError
from ..paths import POP_CONFIG, POP_DATABASE, POP_NOTED
from . import database, readers
from .meaning import MOST_MINUTES

# Seconds for a program to answer.
ANSWER_TIMEOUT = 20

# Exit status of the writer's process.
SPOILED = 3

# What the writer has made of its file must not keep this busy: seconds that the work may take, of the processor's and
# in all; bytes of memory; and bytes of the file, some millions of log-ins.
WORKING, WAITING = 20, 90
MEMORY = 512 << 20
LARGEST = 256 << 20

# What SQLite puts beside the file.
BESIDE = ("-journal", "-wal", "-shm")


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
        with open(POP_CONFIG, encoding="utf-8") as handle:
            config = json.load(handle)
        about = pwd.getpwnam(config["writer"])
        make(about.pw_gid)
        let_in(config)
        give_back(about.pw_uid, about.pw_gid)
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


def let_in(config, directory=POP_DATABASE, path=database.PATH):
    """Let the reader read, where one is named."""
    if config.get("reader"):
        uid = pwd.getpwnam(config["reader"]).pw_uid
        for one in (directory, path):
            if not readers.may_read(one, uid):
                readers.let_read(one, uid)


def answers(address, port):
    """Whether a mail server greets and takes EHLO within some seconds."""
    end = time.monotonic() + ANSWER_TIMEOUT
    while time.monotonic() < end:
        try:
            with contextlib.closing(smtplib.SMTP(address, port, "[127.0.0.1]", timeout=ANSWER_TIMEOUT / 2)) as session:
                if session.ehlo()[0] == 250:
                    return True
        except (OSError, smtplib.SMTPException):
            pass
        time.sleep(0.2)
    return False


def looks_up(path, name):
    """Whether within some seconds a table says of some address what becomes of it."""
    request = "{0} 192.0.2.1".format(name).encode()
    end = time.monotonic() + ANSWER_TIMEOUT
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(ANSWER_TIMEOUT / 2)
            asking.connect(path)
            asking.sendall(b"%d:%s," % (len(request), request))
            if asking.recv(1024).partition(b":")[2].startswith(b"OK "):
                return True
        time.sleep(0.2)
    return False


def make(group, directory=POP_DATABASE, path=database.PATH):
    """Make the directory and an empty file where they are missing, and have them belong to whom they ought to."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    belong(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW), group, database.DIRECTORY_MODE)
    how = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, how)
    except OSError as error:
        # A link is the writer's, for root makes none here.
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        descriptor = None
    if descriptor is not None and not is_alone(descriptor, os.geteuid()):
        os.close(descriptor)
        descriptor = None
    if descriptor is None:
        # Whatever the writer has put there is not made ours: it may be a second name of a file of root's.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        descriptor = os.open(path, how | os.O_CREAT | os.O_EXCL, 0o600)
    belong(descriptor, group, database.FILE_MODE)


def is_alone(descriptor, owner):
    """Whether that is a user's (its number) plain file and has no other name."""
    about = os.fstat(descriptor)
    return stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and about.st_uid == owner


def belong(descriptor, group, mode):
    try:
        os.fchown(descriptor, os.geteuid(), group)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def give_back(user, group, path=database.PATH):
    """Give the writer the journal that SQLite made root's, when root looked into a database that a kill had left.

    In a sticky directory the writer could not remove it, and without that nobody could write any more. What is no plain
    file there is none of SQLite's: a FIFO would have everybody wait who opens the database.
    """
    for name in BESIDE:
        try:
            if not stat.S_ISREG(os.lstat(path + name).st_mode):
                os.unlink(path + name)
            descriptor = os.open(path + name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # it is not there, or no file of root's
        try:
            if is_alone(descriptor, os.geteuid()):
                os.fchmod(descriptor, database.FILE_MODE)
                os.fchown(descriptor, user, group)
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
            timeout=ANSWER_TIMEOUT,
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
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
        sys.stderr.write("{0}: the work on it was ended by signal {1}\n".format(database.PATH, os.WTERMSIG(status)))
        # What takes so much of the processor is none of our rows.
        return SPOILED if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGSEGV) else 1
    status = 1
    try:
        os.initgroups(about.pw_name, about.pw_gid)
        os.setgid(about.pw_gid)
        os.setuid(about.pw_uid)
        os.umask(0o777 & ~database.FILE_MODE)
        resource.setrlimit(resource.RLIMIT_CPU, (WORKING, WORKING + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(WAITING)
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
    except MemoryError:
        sys.stderr.write("{0}: it takes more than {1} MiB\n".format(path, MEMORY >> 20))
        return SPOILED
    return 0


def work(path, config, connected):
    minutes = config["minutes"]
    if os.stat(path).st_size > LARGEST:
        raise sqlite3.DatabaseError("larger than {0} MiB".format(LARGEST >> 20))
    with contextlib.closing(open_(path)) as base:
        # A view or a trigger would have its writer's statements run by whoever reads it.
        made = base.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchmany(2)
        if made not in ([], [(database.TABLE,)]):
            raise sqlite3.DatabaseError("something else than the table of log-ins is in it")
        base.execute("PRAGMA journal_mode=DELETE").fetchone()
        if base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("spoiled")
        base.execute("BEGIN IMMEDIATE")
        base.execute(database.SCHEMA)
        (former,) = base.execute("PRAGMA user_version").fetchone()
        if minutes < former <= MOST_MINUTES:
            base.execute(database.shorten(former, minutes))
        if former != minutes:
            base.execute("PRAGMA user_version={0:d}".format(minutes))
        statement = database.write("?", minutes, config["prefix6"])
        for address in connected:
            base.execute(statement, (address,))
        base.execute(database.prune(minutes))
        base.execute("COMMIT")


def open_(path):
    uri = "file:{0}?mode=rw".format(path)
    base = sqlite3.connect(uri, timeout=database.BUSY_SECONDS * 3, isolation_level=None, uri=True)
    base.execute("PRAGMA synchronous=OFF")
    return base


def remove(path=database.PATH):
    for name in [path + end for end in BESIDE] + [path]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def reread(config):
    """Have those who read the database open it again where it is not the file that they have open."""
    number = str(os.stat(database.PATH).st_ino)
    noted = None
    with contextlib.suppress(OSError), open(POP_NOTED, encoding="ascii") as handle:
        noted = handle.read()
    if noted == number:
        return
    if noted is not None:
        for argv in config["reread"]:
            subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.makedirs(os.path.dirname(POP_NOTED), mode=0o755, exist_ok=True)
    with open(POP_NOTED, "w", encoding="ascii") as handle:
        handle.write(number)
