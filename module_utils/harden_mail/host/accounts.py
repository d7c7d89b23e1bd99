"""Where the passwords of those who may send mail are kept, and how many there are. Never what they are.

A store counts only where the host's mail server would take an account from it. What a local user can make, as a file of
a panel that is not there, is none.
"""

import time
from typing import AbstractSet, Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..errors import CommandError
from ..system import System
from ..text import printable
from ..untrusted import Limits, lines_untrusted, matching
from .panel import plesk_settings
from .panel_accounts import CPANEL, DIRECTADMIN, OF_A_CUSTOMER, AccountFile, pattern_of
from .passdbs import VARIABLE, Configuration
from .sasl import sasldb_files
from .users import MAIL_SYSTEM, VPOPMAIL, as_good, users, vpasswd_files

# Dovecot's drivers that come down to the system's own accounts.
SYSTEM_DRIVERS = ("pam", "passwd", "shadow", "bsdauth")

# Of one store, for a number that is only shown.
COUNTED = Limits(64 << 20, 300000, 20)


class _Entry(NamedTuple):
    """A store.

    :ivar number: of accounts; None: not known, and why
    :ivar how: the evidence
    """

    store: str
    path: Optional[str]
    number: Optional[int]
    how: str
    why: Optional[str]


def find_accounts(
    system: System, mta: Dict[str, Any], pop: Dict[str, Any], panel: Dict[str, Any]
) -> Tuple[List[Dict[str, Any]], Dict[str, str]]:
    """Facts ``accounts``."""
    if panel["name"]:
        found = [_plesk(system)]  # whatever its Dovecot or Courier asks, the answer comes from Plesk
    else:
        found = _dovecot(system) if pop["name"] == "dovecot" else []
        found += _vpopmail(system)
        found = _with_panels(system, found)
        if mta["name"] == "postfix":
            found += [_entry("sasldb", path, None, how) for path, how in sasldb_files(system, mta["config_dir"])]
        # Courier, qmail's checkpassword and SASL's saslauthd ask the system unless they are told otherwise.
        if not found and (mta["name"] or pop["name"]):
            found.append(_shadow(system, "no other store was found"))
    # Dovecot may ask a store more than once, as the system's accounts; those of 2.4's SQL are told apart by no path.
    first: Dict[Tuple[str, Optional[str]], _Entry] = {}
    for entry in found:
        first.setdefault(entry[:2], entry)
    found = list(first.values())
    accounts = [{"store": store, "path": path, "count": count} for store, path, count, _how, _why in found]
    evidence = {str(index): entry.how for index, entry in enumerate(found)}
    evidence.update({"{0}.count".format(index): entry.why for index, entry in enumerate(found) if entry.why})
    return accounts, evidence


def passdbs(text: str) -> List[Tuple[str, Optional[str]]]:
    """Where Dovecot looks passwords up.

    :param text: ``doveconf -n`` (2.3: ``passdb {``, driver and args inside; 2.4: ``passdb NAME {``, where the
        name is the driver unless ``driver`` says otherwise)
    :returns: (driver, path), without those that only deny
    """
    return [(passdb.driver, passdb.path) for passdb in Configuration(text).passdbs()]


def _dovecot(system: System) -> List[_Entry]:
    try:
        text = system.run(["doveconf", "-n"], check=False).out
    except CommandError:
        return []
    found = []
    for driver, path in passdbs(text):
        how = "passdb {0} in `doveconf -n`".format(driver)
        if driver == "passwd-file" and path:
            # A path may hold the user's domain: "/etc/mail/%d/passwd", in 2.4 "%{user | domain}".
            count = _Count(system)
            peers = as_good(system, MAIL_SYSTEM).uids
            count.paths(matching(system, VARIABLE.sub("*", path), count, peers=peers), peers=peers)
            found.append(_entry("dovecot-passwd-file", path, count, how))
        elif driver in SYSTEM_DRIVERS:
            found.append(_shadow(system, how))
        else:
            # The file holds the way into a database, password and all: its name is enough.
            found.append(_entry("dovecot-" + driver, path, None, how))
    return found


def _plesk(system: System) -> _Entry:
    mailnames = (plesk_settings(system) or {}).get("PLESK_MAILNAMES_D", "/var/qmail/mailnames")
    domains = matching(system, mailnames + "/*")
    boxes = sum(system.is_dir(domain + "/" + name) for domain in domains for name in system.listdir(domain))
    how = "Plesk's mailbox directories; the passwords are in its database"
    return _Entry("plesk", mailnames, boxes, how, None)


def _with_panels(system: System, found: List[_Entry]) -> List[_Entry]:
    """Stores, with those of a panel that root has put on this host."""
    if DIRECTADMIN.is_there(system):
        # Its Dovecot asks the same files by a path of its own.
        known = {VARIABLE.sub("*", path) for store, path, *_rest in found if store == "dovecot-passwd-file" and path}
        if DIRECTADMIN.pattern not in known:
            count = _Count(system)
            count.files(DIRECTADMIN.files(system, count))
            found = [*found, _entry(DIRECTADMIN.name, DIRECTADMIN.pattern, count, "DirectAdmin's domains")]
    if CPANEL.is_there(system):
        # What its Dovecot asks ("dict") is cPanel's own program, which reads these files and the system's accounts.
        found = [entry for entry in found if entry[0] != "dovecot-dict"]
        found += _cpanel(system)
        found.append(_shadow(system, "cPanel's customers are mail accounts, too"))
    return found


def _cpanel(system: System) -> List[_Entry]:
    counts: Dict[str, _Count] = {}
    of_lists = _Count(system)
    for file in CPANEL.files(system, of_lists):
        counts.setdefault(pattern_of(file), _Count(system)).files([file])
    if not counts:
        counts[CPANEL.pattern] = of_lists
    return [_entry(CPANEL.name, pattern, counts[pattern], "cPanel's domains") for pattern in sorted(counts)]


def _vpopmail(system: System) -> List[_Entry]:
    user = users(system).get(VPOPMAIL)
    if user is None:
        return []
    directory, tables = user.home.rstrip("/") + "/domains", user.home.rstrip("/") + "/etc/vpopmail.mysql"
    count = _Count(system)
    files = vpasswd_files(system, directory, count)
    if files:
        count.paths(files, (user.uid,))
        return [_entry("vpopmail", directory, count, "vpasswd files are there")]
    if count.why:
        return [_entry("vpopmail", directory, count, "vpopmail's directory of domains")]
    return [_entry("vpopmail", tables, None, "the file is there")] if system.exists(tables) else []


def _shadow(system: System, how: str) -> _Entry:
    count = _Count(system)
    count.paths(["/etc/shadow"], (), is_account=_has_password)
    return _entry("shadow", "/etc/shadow", count, how)


def _has_password(line: str) -> bool:
    # "*" and "!" at the beginning: nobody can log in with a password.
    return line.count(":") >= 2 and line.split(":")[1][:1] not in ("*", "!", "")


def _is_account(line: str) -> bool:
    return ":" in line and line[:1] not in (":", "#")


def _entry(store: str, path: Optional[str], count: Optional["_Count"], how: str) -> _Entry:
    """A store, with what was counted, if anything was."""
    return _Entry(store, path, count.number if count else None, how, count.why if count else None)


class _Count:
    """Counts accounts in files that others may have written, within a bound on all of them together.

    Where not all could be counted, the number is not known.
    """

    def __init__(self, system: System) -> None:
        self._system, self._found, self._left = system, 0, COUNTED.lines
        self._deadline = time.monotonic() + COUNTED.seconds
        self._trouble: Optional[str] = None
        self._troubles = 0

    def add(self, place: str, what: str, line: Optional[int] = None) -> None:
        """A problem of whoever reads for this."""
        self._troubles += 1
        if self._trouble is None:
            where = " (line {0})".format(line) if line else ""
            self._trouble = "{0} {1}{2}".format(printable(place), what, where)

    def files(self, files: Iterable[AccountFile]) -> None:
        """Count those of a panel; what each customer writes is bounded on its own, too."""
        for file in files:
            self.paths([file.path], (file.uid,), OF_A_CUSTOMER)

    def paths(
        self,
        paths: Iterable[str],
        owners: Optional[Iterable[int]] = None,
        each: Limits = COUNTED,
        is_account: Callable[[str], bool] = _is_account,
        peers: AbstractSet[int] = frozenset(),
    ) -> None:
        for path in paths:
            seconds = self._deadline - time.monotonic()
            if self._left <= 0 or seconds <= 0:
                self.add(path, "is not counted, since there are too many before it")
                return
            limits = Limits(each.bytes, min(each.lines, self._left), min(each.seconds, seconds))
            for _number, line in lines_untrusted(self._system, path, self, limits, owners, peers):
                self._left -= 1
                self._found += is_account(line)

    @property
    def number(self) -> Optional[int]:
        return None if self._trouble else self._found

    @property
    def why(self) -> Optional[str]:
        if not self._trouble:
            return None
        more = " and {0:,} more".format(self._troubles - 1) if self._troubles > 1 else ""
        return "not known, {0:,} were counted: {1}{2}".format(self._found, self._trouble, more)
