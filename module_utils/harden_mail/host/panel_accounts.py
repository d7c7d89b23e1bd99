"""Where panels keep the mail accounts of each domain, and whose domain it is: cPanel's and DirectAdmin's own lists.

A file that looks like a panel's is one only where root has put that panel, and only for a domain that the panel has
given to its owner: anybody can make ``~/etc/example.com/shadow``.
"""

import fnmatch
import os
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..system import System
from ..untrusted import ACCOUNT_FILE, Limits, NotRead, lines_untrusted, walked
from .users import User, as_good, is_roots, text_of_root, users


class AccountFile(NamedTuple):
    """A file of accounts.

    :ivar owner: name of whose the domain is
    :ivar uid: of whom the file may be, besides root
    """

    path: str
    domain: str
    owner: str
    uid: int


# Files of its own that root alone can have put there; one of them is enough.
CPANEL_MARKS = ("/usr/local/cpanel/version", "/usr/local/cpanel/cpanel", "/etc/wwwacct.conf")
DIRECTADMIN_MARKS = ("/usr/local/directadmin/conf/directadmin.conf", "/usr/local/directadmin/directadmin")

# A file of root's or the mail system's; the seconds are those of an audit, too, which looks at each account meanwhile.
OF_THE_SYSTEM = ACCOUNT_FILE._replace(seconds=600)

# One customer's files; what is in it is held in memory for the whole of an audit.
OF_A_CUSTOMER = Limits(4 << 20, 20000, 60)

# "domain: owner" a line; the second has each customer's main domain only.
CPANEL_DOMAINS = ("/etc/userdomains", "/etc/trueuserdomains")
DIRECTADMIN_DOMAINS = ("/etc/virtual/domainowners", "/etc/virtual/domains")

# Of nothing: of the way to it, all but the last step is taken.
_NO_NAME = ".harden-mail"

_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_])?\Z")


class Shares:
    """Lines of files of several owners, within a bound on all files of each.

    :param each: the bytes and seconds of each file, the lines of each owner
    """

    def __init__(self, each: Limits) -> None:
        self._each = each
        self._lines: Dict[str, int] = {}

    def taken(
        self, owner: str, system: System, path: str, problems: Any, owners: Iterable[int]
    ) -> Iterator[Tuple[int, str]]:
        """Lines of a file, as of ``untrusted.lines_untrusted``, off an owner's share."""
        left = self._each.lines - self._lines.get(owner, 0)
        for number, line in lines_untrusted(system, path, problems, self._each._replace(lines=left), owners):
            self._lines[owner] = self._lines.get(owner, 0) + 1
            yield number, line


class Panel:
    """A panel that keeps a file of accounts for each domain.

    :ivar name: of its store
    :ivar title: its name, as people write it
    :ivar pattern: of those files, where they usually are
    """

    def __init__(
        self,
        title: str,
        pattern: str,
        marks: Sequence[str],
        as_good: Sequence[str],
        lists: Sequence[str],
        file_of: Callable[[str, str, Dict[str, User]], Optional[AccountFile]],
    ) -> None:
        self.name, self.title, self.pattern = title.lower(), title, pattern
        self._marks, self._as_good, self._lists, self._file_of = marks, as_good, lists, file_of

    def is_there(self, system: System) -> bool:
        """Whether root has put this panel on the host."""
        good = as_good(system, self._as_good)
        return any(is_roots(system, mark, good) for mark in self._marks)

    def files(self, system: System, problems: Any) -> List[AccountFile]:
        """Files that its domains' accounts are in, ordered by path; there may be none.

        :param problems: told (``add``) of lists of domains that can't be read
        """
        there = users(system)
        found: Dict[str, AccountFile] = {}
        by_other_names: List[AccountFile] = []
        for domain, owner in self._domains(system, problems).items():
            file = self._file_of(domain, owner, there)
            if file is None:
                continue
            other = other_name(system, file.path)
            if other:
                by_other_names.append(file._replace(path=other))
            elif _is_there(system, file.path):
                found[file.path] = file
        for file in by_other_names:
            # Most are read by their own name already.
            if file.path not in found and _is_there(system, file.path):
                found[file.path] = file
        return [found[path] for path in sorted(found)]

    def _domains(self, system: System, problems: Any) -> Dict[str, str]:
        """Owner ("" where it isn't said) by domain."""
        good = as_good(system, self._as_good)
        found: Dict[str, str] = {}
        is_said = False
        for path in self._lists:
            try:
                text = text_of_root(system, path, good)
            except NotRead as error:
                problems.add(path, error.why)
                is_said = True
                continue
            is_said = is_said or text is not None
            for line in (text or "").splitlines():
                domain, _colon, owner = line.partition(":")
                domain = domain.strip().lower()
                if _DOMAIN.match(domain):
                    found.setdefault(domain, owner.strip())
        if not is_said:
            problems.add(self._lists[0], "is not there, so nobody knows whose a domain is")
        return found


def _of_cpanel(domain: str, owner: str, there: Dict[str, User]) -> Optional[AccountFile]:
    # "nobody" and root have no mail accounts in their homes.
    if owner not in there or not there[owner].uid or owner == "nobody":
        return None
    path = "{0}/etc/{1}/shadow".format(there[owner].home.rstrip("/"), domain)
    return AccountFile(path, domain, owner, there[owner].uid)


def _of_directadmin(domain: str, owner: str, there: Dict[str, User]) -> AccountFile:
    return AccountFile(
        "/etc/virtual/{0}/passwd".format(domain), domain, owner, there["mail"].uid if "mail" in there else 0
    )


CPANEL = Panel("cPanel", "/home/*/etc/*/shadow", CPANEL_MARKS, (), CPANEL_DOMAINS, _of_cpanel)
DIRECTADMIN = Panel(
    "DirectAdmin",
    "/etc/virtual/*/passwd",
    DIRECTADMIN_MARKS,
    ("diradmin", "mail"),
    DIRECTADMIN_DOMAINS,
    _of_directadmin,
)


def _is_there(system: System, path: str) -> bool:
    """Whether a file is there, or something in its place that is to be told of."""
    try:
        with walked(system, path) as (_directory, _name, about):
            return about is not None
    except NotRead as error:
        return not error.missing


def other_name(system: System, path: str) -> Optional[str]:
    """Of a file in a directory that is a link to one beside it, the path by way of that one; else None.

    Panels have such links for a domain's other names. Whoever could make it could as well have named the directory so.
    """
    directory, name = os.path.split(path)
    above = os.path.dirname(directory)
    try:
        # By safe steps to where the link is: a customer's own directory above it may lead anywhere, or wait for ever.
        with walked(system, above + "/" + _NO_NAME) as (parent, _name, _about):
            link = os.readlink(os.path.basename(directory), dir_fd=parent.descriptor)
    except (OSError, NotRead):
        return None
    target = os.path.join(above, link.rstrip("/"))
    return target + "/" + name if os.path.dirname(target) == above and os.path.basename(target) != ".." else None


def pattern_of(file: AccountFile) -> str:
    """The pattern that a file of cPanel's matches and those of customers beside it: ``/home2/*/etc/*/shadow``."""
    return file.path.rsplit("/", 4)[0] + "/*/etc/*/shadow"


def fits(path: str, pattern: str) -> bool:
    """Whether a path matches a pattern of the shell, component by component."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(fnmatch.fnmatchcase(*pair) for pair in zip(parts, wanted))
