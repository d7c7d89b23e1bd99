"""The script that Dovecot runs after each log-in by POP or IMAP: it writes the address into the database."""

from . import database

# One that is missing is not made here, for it would not be root's.
URI = "'file:{0}?mode=rw'".format(database.PATH)

SCRIPT = """\
#!/bin/sh
# Dovecot runs this after each log-in by POP or IMAP, before the client gets its answer: the address may send mail
# for some minutes. Made by harden-mail; changes are undone by its next run.
# Whatever goes wrong here, the log-in goes on; what is said to stderr is in Dovecot's log.
# Also where the shell itself ends, as it does when there is no process to be had.
trap 'exec "$@"' EXIT
umask 027
ip=${{IP#::ffff:}}
case $ip in
'' | *[!0-9a-f.:]*) ;;
*) {write} </dev/null >/dev/null ;;
esac
exec "$@"
"""

# No sqliterc is read; the first word of what a locked database makes it say is in Dovecot's log.
BY_SQLITE3 = """{program} -batch -init /dev/null -cmd '.timeout {milliseconds}' {path} \\
    "PRAGMA synchronous=OFF; {statement};\""""

# Twice as slow, but Python is on every host that Ansible manages.
BY_PYTHON = """{program} -IS -c '
import sqlite3, sys
try:
    base = sqlite3.connect(sys.argv[1], timeout={seconds}, isolation_level=None, uri=True)
    base.execute("PRAGMA synchronous=OFF")
    base.execute(sys.argv[2], (sys.argv[3],))
except sqlite3.Error as error:
    sys.exit("{{0}}: {{1}}".format(sys.argv[1], error))
' {path} "{statement}" "$ip\""""


def script(system, minutes, prefix6):
    """The script's text.

    :param System system: the host, asked for the fastest program that can write the database
    :param int minutes: how long a log-in counts
    :param int prefix6: 128 or 64, see :func:`database.key`
    """
    program = system.which("sqlite3")
    if program:
        write = BY_SQLITE3.format(
            program=program,
            milliseconds=database.BUSY_SECONDS * 1000,
            path=URI,
            statement=database.write("'$ip'", minutes, prefix6),
        )
    else:
        write = BY_PYTHON.format(
            program=system.which("python3") or "python3",
            seconds=database.BUSY_SECONDS,
            path=URI,
            statement=database.write("?", minutes, prefix6),
        )
    return SCRIPT.format(write=write)
