"""Dovecot's passwd-file: ``user:password:uid:gid:gecos:home:shell:extra fields``.

As Dovecot reads it (2.3 and 2.4, db-passwd-file.c): lines that are empty or begin with ``#`` or ``:`` are comments; the
password may be in libpam-pwdfile's format, ``hash[34]``.
"""

import re

from ...host.lines import read_lines, readable_text
from ...host.passdbs import VARIABLE, configuration, variable
from ..account import Account
from .store import Store, is_locked

# Dovecot's own default for this store.
DEFAULT_SCHEME = "CRYPT"

# libpam-pwdfile's marks: 34 is MD5, 56 Digest-MD5, all others crypt(3).
_MARKED = re.compile(r"([^{$].*)\[(.)(.)\]", re.DOTALL)


class PasswdFile(Store):
    name = "dovecot-passwd-file"
    required = ("path",)

    def accounts(self):
        pattern = PathPattern(self.options["path"])
        scheme = self.options.get("default_scheme") or self._scheme()
        paths = self.system.glob(pattern.glob)
        if not paths:
            self.problem(self.options["path"], "there is no such file")
        for path in paths:
            name_in_path = pattern.user(path)
            if name_in_path is None:
                continue  # the pattern is wider than the variables are
            for number, line in read_lines(self.system, self.begin(path), self):
                if line[:1] in ("", ":", "#"):
                    continue
                account = account_of(line, scheme, name_in_path)
                if account is None:
                    self.problem(path, "no colon", number)
                else:
                    yield account._replace(source=path)

    def _scheme(self):
        """The scheme of passwords that name none, as Dovecot's configuration has it for this path."""
        dovecot = configuration(self.system)
        if dovecot is None:
            return DEFAULT_SCHEME
        for passdb in dovecot.passdbs():
            if passdb.driver == "passwd-file" and passdb.path == self.options["path"]:
                scheme = passdb.settings.get("scheme") or passdb.settings.get("default_password_scheme")
                if scheme:
                    return scheme
        return dovecot.settings.get("passdb_default_password_scheme") or DEFAULT_SCHEME


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
    extra = ":".join(fields[7:]).split()
    active = not is_locked(stored, scheme) and not any(field.split("=")[0] == "nologin" for field in extra)
    return Account(name, stored, scheme, PasswdFile.name, (gecos,) if gecos else (), None, active)


def _stored(password):
    match = _MARKED.match(password) if password.endswith("]") else None
    if match is None or match.end() != len(password):
        return password
    value, tens, ones = match.groups()
    # As Dovecot counts: whatever the characters are.
    number = (ord(tens) - 48) * 10 + ord(ones) - 48
    return {34: "{PLAIN-MD5}", 56: "{DIGEST-MD5}"}.get(number, "{CRYPT}") + value
