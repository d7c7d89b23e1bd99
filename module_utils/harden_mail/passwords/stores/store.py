"""What every store is: options in, accounts out, and what could not be read."""

import time

from ...errors import UserError
from .problems import Problems

# In place of a password: nobody can log in with it (shadow(5), and what panels and vpopmail write).
LOCKED = ("*", "!", "!!", "!*", "*LK*", "*NP*", "x", "NP", "LK")

# Schemes under which any text is a password, "!" and "x" too.
PLAIN_SCHEMES = ("PLAIN", "CLEAR", "CLEARTEXT")


class Store:
    """A place where accounts are kept; read only.

    :cvar str name: as in the facts of ``mail_host``
    :cvar tuple known: names of the options that its declaration may hold beside ``store``
    :cvar tuple required: of those that it must hold
    :ivar dict options: the declaration, checked
    :param system: ``system.System``
    :param dict options: the declaration; see :meth:`check_options`
    :raises UserError: the declaration can't be right
    """

    name = ""
    known = ("path", "default_scheme")
    required = ()

    # Options that may be numbers, which YAML makes of words like 5 where nobody puts quotes.
    numbers = ()

    # Options that are files on the host.
    paths = ("path", "credentials_file")

    # What the facts of mail_host say beside; a declaration is often a copy of these.
    ignored = ("store", "count")

    def __init__(self, system, options):
        self.system = system
        self.options = {key: value for key, value in options.items() if value is not None and key not in self.ignored}
        self._problems = Problems()
        self._sources, self._troubled = set(), set()
        self.check_options()

    def check_options(self):
        """Raise UserError for options that are not known here, missing, or of another type."""
        for key, value in sorted(self.options.items(), key=lambda item: str(item[0])):
            if key not in self.known:
                raise UserError(
                    "The store {0} has no option '{1}'; it knows {2}.".format(
                        self.name, key, ", ".join(self.known) or "none"
                    )
                )
            # A boolean is an int for Python, and no number for people.
            if key in self.numbers and type(value) is int:
                self.options[key] = str(value)
            elif not isinstance(value, str) or not value:
                raise UserError(
                    "The option {0} of the store {1} is '{2}', which is no text.".format(key, self.name, value)
                )
            elif "\0" in value:
                raise UserError("The option {0} of the store {1} has a NUL byte in it.".format(key, self.name))
        for key in self.required:
            if key not in self.options:
                raise UserError("The store {0} needs the option {1}.".format(self.name, key))
        for key in self.paths:
            path = self.options.get(key, "/")
            if not path.startswith("/"):
                raise UserError(
                    "The option {0} of the store {1} is '{2}'; it must begin with a slash.".format(key, self.name, path)
                )

    def accounts(self):
        """Iterator of :class:`Account`, in constant memory; what can't be read goes to :attr:`problems`."""
        raise NotImplementedError

    @property
    def problems(self):
        """List of sentences on what could not be read until now, 20 at most and one that counts the rest."""
        return self._problems.sentences()

    @property
    def unread(self):
        """Set of sources (str, see ``Account.source``) that were not read, or not as a whole, until now."""
        return self._troubled & self._sources

    @property
    def knows_sources(self):
        """Whether no source was missed until now: all trouble was with sources that are known by name."""
        return self._troubled <= self._sources

    def begin(self, source):
        """Say that a source is read now: its accounts and its problems have this place (str, returned)."""
        self._sources.add(source)
        return source

    @staticmethod
    def today():
        """Days since 1970."""
        return int(time.time() // 86400)

    def problem(self, place, what, line=None):
        """Remember what could not be read; see :meth:`Problems.add`."""
        self._troubled.add(place)
        self._problems.add(place, what, line)

    add = problem

    def remark(self, place, what, line=None):
        """Say what a person ought to know of a source that was read as a whole all the same; parameters as of problem."""
        self._problems.add(place, what, line)


def is_locked(stored, scheme):
    """Whether a stored password is a mark that nobody can log in with it, rather than a password.

    :param str scheme: the scheme where ``stored`` names none
    """
    if stored.startswith("{") or scheme.upper().split(".")[0] in PLAIN_SCHEMES:
        return False
    return stored in LOCKED or stored.startswith(("!", "*"))
