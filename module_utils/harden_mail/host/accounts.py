"""Where the passwords of those who may send mail are kept, and how many there are. Never what they are."""

from ..errors import CommandError
from .lines import read_lines
from .panel import plesk_settings
from .passdbs import VARIABLE, Configuration

# Stores that are plain files of one account a line, each a name and a pattern.
LINE_FILES = (
    ("cpanel", "/home/*/etc/*/shadow"),
    ("directadmin", "/etc/virtual/*/passwd"),
)

VPOPMAIL_HOME = "/home/vpopmail"

# Cyrus SASL's own store, in Debian and in Red Hat.
SASLDB_FILES = ("/etc/sasldb2", "/etc/sasl2/sasldb2")

# Dovecot's drivers that come down to the system's own accounts.
SYSTEM_DRIVERS = ("pam", "passwd", "shadow", "bsdauth")


# Each store in this file is a tuple: its name, its path, the number of accounts or None, and the evidence.


def find_accounts(system, mta, pop, panel):
    """Facts ``accounts``."""
    if panel["name"]:
        found = [_plesk(system)]  # whatever its Dovecot or Courier asks, the answer comes from Plesk
    else:
        found = _dovecot(system) if pop["name"] == "dovecot" else []
        found += _vpopmail(system) + _line_files(system)
        found += [("sasldb", path, None, "the file is there") for path in SASLDB_FILES if system.exists(path)]
        # Courier, qmail's checkpassword and SASL's saslauthd ask the system unless they are told otherwise.
        if not found and (mta["name"] or pop["name"]):
            found.append(_shadow(system, "no other store was found"))
    # Dovecot may ask a store more than once, as the system's accounts; those of 2.4's SQL are told apart by no path.
    first = {}
    for entry in found:
        first.setdefault(entry[:2], entry)
    found = list(first.values())
    accounts = [{"store": store, "path": path, "count": count} for store, path, count, _how in found]
    return accounts, {str(index): entry[3] for index, entry in enumerate(found)}


def passdbs(text):
    """Where Dovecot looks passwords up.

    :param str text: ``doveconf -n`` (2.3: ``passdb {``, driver and args inside; 2.4: ``passdb NAME {``, where the
        name is the driver unless ``driver`` says otherwise)
    :returns: list of (driver, path or None), without those that only deny
    """
    return [(passdb.driver, passdb.path) for passdb in Configuration(text).passdbs()]


def _dovecot(system):
    try:
        text = system.run(["doveconf", "-n"], check=False).out
    except CommandError:
        return []
    found = []
    for driver, path in passdbs(text):
        how = "passdb {0} in `doveconf -n`".format(driver)
        if driver == "passwd-file" and path:
            # A path may hold the user's domain: "/etc/mail/%d/passwd", in 2.4 "%{user | domain}".
            files = system.glob(VARIABLE.sub("*", path))
            found.append(("dovecot-passwd-file", path, sum(_count_lines(system, name) for name in files), how))
        elif driver in SYSTEM_DRIVERS:
            found.append(_shadow(system, how))
        else:
            # The file holds the way into a database, password and all: its name is enough.
            found.append(("dovecot-" + driver, path, None, how))
    return found


def _plesk(system):
    mailnames = plesk_settings(system).get("PLESK_MAILNAMES_D", "/var/qmail/mailnames")
    boxes = [path for path in system.glob(mailnames + "/*/*") if system.is_dir(path)]
    return "plesk", mailnames, len(boxes), "Plesk's mailbox directories; the passwords are in its database"


def _line_files(system):
    found = []
    for store, pattern in LINE_FILES:
        paths = system.glob(pattern)
        if paths:
            found.append((store, pattern, sum(_count_lines(system, path) for path in paths), "files are there"))
    return found


def _vpopmail(system):
    home = VPOPMAIL_HOME
    for line in (system.read("/etc/passwd") or "").splitlines():
        if line.startswith("vpopmail:") and line.count(":") >= 6:
            home = line.split(":")[5]
    directory = home + "/domains"
    # Beyond a hundred domains vpopmail spreads them over one more level.
    files = system.glob(directory + "/*/vpasswd") + system.glob(directory + "/*/*/vpasswd")
    tables = home + "/etc/vpopmail.mysql"
    if not files:
        return [("vpopmail", tables, None, "the file is there")] if system.exists(tables) else []
    return [("vpopmail", directory, sum(_count_lines(system, path) for path in files), "vpasswd files are there")]


def _shadow(system, how):
    try:
        text = system.read("/etc/shadow")
    except OSError:
        text = None
    if text is None:
        return "shadow", "/etc/shadow", None, how
    # "*" and "!" at the beginning: nobody can log in with a password.
    hashes = [line.split(":")[1] for line in text.splitlines() if line.count(":") >= 2]
    return "shadow", "/etc/shadow", sum(1 for value in hashes if value[:1] not in ("*", "!", "")), how


def _count_lines(system, path):
    lines = read_lines(system, path)
    return sum(1 for _number, line in lines if ":" in line and line[:1] not in (":", "#"))
