"""Dovecot's passwd-file: ``user:password:uid:gid:gecos:home:shell:extra fields``.

As Dovecot reads it (2.3 and 2.4, db-passwd-file.c): lines that are empty or begin with ``#`` or ``:`` are comments; the
password may be in libpam-pwdfile's format, ``hash[34]``. The extra field ``nologin`` keeps nobody from sending, for
Postfix, which is told of it, knows no such thing and lets in whoever has the password.
"""

import re

from ...host.lines import readable_text
from ...host.panel_accounts import OF_A_CUSTOMER, OF_THE_SYSTEM, Shares, other_name
from ...host.passdbs import VARIABLE, configuration, variable
from ...host.users import MAIL_SYSTEM, as_good
from ...text import ascii_lower
from ...untrusted import NotRead, lines_untrusted, owner_of
from ...untrusted_walk import trusted_users
from ..account import Account
from .store import Store, domain_is, is_locked

# Dovecot's own default for this store.
DEFAULT_SCHEME = "CRYPT"

# libpam-pwdfile's marks: 34 is MD5, 56 Digest-MD5, all others crypt(3).
_MARKED = re.compile(r"([^{$].*)\[(.)(.)\]", re.DOTALL)

# Extra fields by which Dovecot gives who logs in another name; Postfix is told that one, and looks that one up.
_RENAMES = ("user", "username", "domain")
RENAMED = "an extra field user=, username= or domain=, so who is meant sends under another name, and no block holds,"


class PasswdFile(Store):
    name = "dovecot-passwd-file"
    required = ("path",)

    def read_accounts(self):
        pattern = PathPattern(self.options["path"])
        scheme, key = self._as_dovecot_says()
        scheme = self.options.get("default_scheme") or scheme
        peers = as_good(self.system, MAIL_SYSTEM).uids
        shares = Shares(OF_A_CUSTOMER)
        paths = self.matching(pattern.glob, peers)
        if not paths and not self.problems:
            self.problem(self.options["path"], "there is no such file")
        for path in paths:
            name_in_path = pattern.user(path)
            if name_in_path is None:
                continue  # the pattern is wider than the variables are
            # A file of a domain by its other name is known by its own.
            source = self.begin(other_name(self.system, path) or path)
            for number, line in self._lines(source, peers, shares):
                if line[:1] in ("", ":", "#"):
                    continue
                account = account_of(line, scheme, name_in_path)
                if account is None:
                    self.problem(source, "no colon", number)
                elif not is_looked_up(line.split(":")[0], name_in_path, key):
                    self.remark(source, "a name that Dovecot would not look for there, which is ignored,", number)
                else:
                    if is_renamed(line):
                        self.remark(source, RENAMED, number)
                    yield account._replace(source=source)

    def _lines(self, path, peers, shares):
        try:
            owner = owner_of(self.system, path, peers)
        except NotRead as error:
            self.problem(path, error.why)
            return iter(())
        if owner in peers | trusted_users():
            return lines_untrusted(self.system, path, self, OF_THE_SYSTEM, peers=peers)
        self.writers[path] = "user {0}".format(owner)
        return shares.taken(owner, self.system, path, self, (owner,))

    def _as_dovecot_says(self):
        """As Dovecot's configuration has it for this path: (scheme of passwords that name none, what it looks for).

        The latter is "user", "username", or None where it does not ask this file or it is not known.
        """
        dovecot = configuration(self.system)
        if dovecot is None:
            return DEFAULT_SCHEME, None
        scheme = key = None
        for passdb in dovecot.passdbs():
            if passdb.driver == "passwd-file" and passdb.path == self.options["path"]:
                said = passdb.settings
                scheme = scheme or said.get("scheme") or said.get("default_password_scheme")
                # Of several that ask it with different keys, each finds its own rows.
                this = key_of(said.get("username_format") or said.get("auth_username_format") or "%u")
                key = this if key in (None, this) else ""
        return scheme or dovecot.settings.get("passdb_default_password_scheme") or DEFAULT_SCHEME, key or None


def key_of(username_format):
    """What Dovecot looks for in the file, from its option: "user" (all of the name), "username", or "" for another."""
    match = VARIABLE.match(username_format)
    if match is None or match.end() != len(username_format):
        return ""
    return variable(match) if variable(match) in ("user", "username") else ""


def is_looked_up(name, name_in_path, key):
    """Whether Dovecot would look for a name in a file, where the path has the user's name or domain (bool).

    :param str name: in the row
    :param str name_in_path: see :meth:`PathPattern.user`
    :param key: see :func:`key_of`; None: it is not known
    """
    user, _at, domain = name_in_path.partition("@")
    local, at, _domain = name.partition("@")
    if key == "username" and at:
        return False
    if domain and key == "user" and not at:
        return False
    if domain and at and not domain_is(name, domain):
        return False
    return not user or ascii_lower(local) == ascii_lower(user)


class PathPattern:
    """A path with Dovecot's variables or shell wildcards in it.

    :ivar str glob: the same for a shell
    """

    def __init__(self, path):
        glob, regex, position = [], [], 0
        seen = set()
        for match in VARIABLE.finditer(path):
            _literal(path[position : match.start()], glob, regex)
            position = match.end()
            if match.group(2) == "%":
                _literal("%", glob, regex)
                continue
            meaning = variable(match)
            glob.append("*")
            if meaning is None:
                regex.append("[^/]*")
            elif meaning in seen:
                regex.append("(?P={0})".format(meaning))
            else:
                seen.add(meaning)
                regex.append("(?P<{0}>[^/]*)".format(meaning))
        _literal(path[position:], glob, regex)
        self.glob = "".join(glob)
        self._regex = re.compile("".join(regex) + r"\Z", re.DOTALL)

    def user(self, path):
        """What a path says of the users in the file: "info@example.com", "@example.com", "" for nothing, or None.

        None is a path that the variables can't have made.
        """
        match = self._regex.match(path)
        if match is None:
            return None
        parts = match.groupdict()
        if parts.get("user"):
            return parts["user"]
        return parts.get("username", "") + ("@" + parts["domain"] if parts.get("domain") else "")


def _literal(text, glob, regex):
    """Add what stands between variables, where shell wildcards may be."""
    glob.append(text)
    for character in text:
        regex.append({"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character))


def account_of(line, scheme, name_in_path=""):
    """:class:`Account` of a line that is no comment, or None if there is no password in it.

    :param str scheme: of passwords that name none
    :param str name_in_path: see :meth:`PathPattern.user`
    """
    fields = line.split(":")
    if len(fields) < 2:
        return None
    name = fields[0]
    if "@" not in name and "@" in name_in_path:
        name += name_in_path[name_in_path.index("@") :]
    stored = _stored(fields[1])
    gecos = readable_text(fields[4]).strip(" ,") if len(fields) > 4 else ""
    return Account(
        name, stored, scheme, PasswdFile.name, (gecos,) if gecos else (), None, not is_locked(stored, scheme)
    )


def is_renamed(line):
    """Whether a line gives who logs in by it another name (bool)."""
    extra = ":".join(line.split(":")[7:]).split()
    return any(field.split("=")[0] in _RENAMES for field in extra)


def _stored(password):
    match = _MARKED.match(password) if password.endswith("]") else None
    if match is None or match.end() != len(password):
        return password
    value, tens, ones = match.groups()
    # As Dovecot counts: whatever the characters are.
    number = (ord(tens) - 48) * 10 + ord(ones) - 48
    return {34: "{PLAIN-MD5}", 56: "{DIGEST-MD5}"}.get(number, "{CRYPT}") + value
