"""The database of POP-before-SMTP: where it is, who may do what with it, and every statement that is made to it.
from ..paths import POP_DATABASE

It is an SQLite file with one table, ``seen``: an address, and until when (epoch seconds) a log-in from it counts. That
it has not expired is asked in the look-up itself, so whatever stops working, no old row lets anybody in. Nor does one
that ends later than a log-in of now would, as one does that somebody made up or a wrong clock has left.

- The writer (who runs the log-in hook) writes by its group: the directory is root's and sticky, so that nobody but root
  can put another file, or a link, in the place of the database, which Postfix opens as root. The journal mode is
  DELETE, for a reader must never need to write.
- ``synchronous`` is OFF: a log-in must not wait for a disk, and after a power cut that spoils the file, a look-up fails
  (nobody is let in) until ``pop-before-smtp`` has made it anew, which it does each minute. What is lost are minutes.
- For how many minutes the log-ins in it were made is its ``user_version``, so that a shorter time holds for them, too.
- An IPv4 address is never written as IPv6 (``::ffff:192.0.2.1``). Where a log-in counts for the whole /64, the row's
  key is that network, worked out by the same expression when it is written and when it is looked up.
"""

from ..paths import POP_DATABASE

PATH = POP_DATABASE + "/seen.sqlite"
DIRECTORY_MODE = 0o3770
FILE_MODE = 0o660

# Seconds that a writer waits for another one. Then it gives up: a log-in is not held up any longer.
BUSY_SECONDS = 5

# As SQLite remembers it; whatever else is in there was not made by us.
TABLE = "CREATE TABLE seen (ip TEXT PRIMARY KEY, expires INTEGER NOT NULL)"
SCHEMA = TABLE.replace("TABLE", "TABLE IF NOT EXISTS", 1) + ";"

NOW = "CAST(strftime('%s','now') AS INTEGER)"

_DIGITS = "'0123456789abcdef'"


def key(address, prefix6=128):
    """The SQL expression of a row's key.

    :param str address: SQL expression of an address as inet_ntop(3) writes it, as Dovecot and Postfix do
    :param int prefix6: 128, or 64: of an IPv6 address only its /64 counts, as ``2001:db8:0:1/64``
    """
    if prefix6 == 128:
        return address
    # SQLite has no function for this. The zeros that "::" stands for are put back, then the last four groups come off.
    left = "substr(a,1,instr(a,'::')-1)"
    right = "substr(a,instr(a,'::')+2)"
    groups = "(length({0})-length(replace({0},':',''))+({0}<>''))"
    zeros = "substr(':0:0:0:0:0:0:0:0',1,2*(8-{0}-{1}))".format(groups.format(left), groups.format(right))
    whole = "CASE WHEN instr(a,'::') THEN trim({0}||{1}||':'||{2},':') ELSE a END".format(left, zeros, right)
    network = "a8"
    for _group in range(4):
        network = "rtrim(rtrim({0},{1}),':')".format(network, _DIGITS)
    return (
        "(SELECT CASE WHEN instr(a,':') THEN {network}||'/64' ELSE a END FROM "
        "(SELECT a, {whole} AS a8 FROM (SELECT {address} AS a)))"
    ).format(network=network, whole=whole, address=address)


def write(address, minutes, prefix6=128, now=NOW):
    """The SQL statement that lets an address in for some minutes; what an earlier one has given is never shortened.

    A row from the future was given by none, and is no reason to keep out who logs in now.

    :param str address: SQL expression: a quoted address, a parameter (``?``)
    :param str now: SQL expression of when it logged in, epoch seconds; the second parameter when both are one
    """
    # The oldest SQLite that is still about has no ON CONFLICT DO UPDATE.
    return (
        "INSERT OR REPLACE INTO seen SELECT k, max(e, ifnull((SELECT expires FROM seen WHERE ip = k AND {latest}), 0)) "
        "FROM (SELECT {key} AS k, {now}+{seconds} AS e)"
    ).format(key=key(address, prefix6), now=now, seconds=minutes * 60, latest=_not_later(minutes))


def look_up(answer, address, minutes, prefix6=128):
    """The SQL query that gives ``answer`` (str) for an address whose log-in still counts, and else nothing."""
    return "SELECT '{0}' FROM seen WHERE ip = {1} AND expires > {2} AND {3}".format(
        answer.replace("'", "''"), key(address, prefix6), NOW, _not_later(minutes)
    )


def prune(minutes):
    """The SQL statement that removes what no look-up counts."""
    return "DELETE FROM seen WHERE NOT (expires > {0} AND {1})".format(NOW, _not_later(minutes))


def shorten(former, minutes):
    """The SQL statement that has log-ins that were made for a longer time count for some minutes from now.

    :param int former: minutes for which they were made
    """
    return "UPDATE seen SET expires = {0}+{1} WHERE expires > {0}+{1} AND {2}".format(
        NOW, minutes * 60, _not_later(former)
    )


def _not_later(minutes):
    return "expires <= {0}+{1}".format(NOW, minutes * 60)
