"""One mail account, as a store has it."""

from collections import namedtuple

_Fields = namedtuple("_Fields", "name stored scheme store hints changed active source")
_Fields.__new__.__defaults__ = ("",)


class Account(_Fields):
    """One mail account.

    Text is UTF-8; bytes that are none are surrogate escapes, so a stored password is still what it was.

    :ivar str name: ``info@example.com``, or a bare ``info`` for an account of the system
    :ivar str stored: what the store has, ``{SCHEME}`` and all; secret
    :ivar str scheme: what ``stored`` is where it names no scheme itself: PLAIN, CRYPT, ...
    :ivar str store: the store's name, as in the facts of ``mail_host``
    :ivar tuple hints: of str: what a guesser may know beside the name, as the owner's name or company
    :ivar int changed: day of the last change, in days since 1970; None where the store doesn't say
    :ivar bool active: whether the store lets it log in at all; neither locked nor disabled
    :ivar str source: where in the store it is, the file (path on the host) or the database as people call it; what was
        not read of a store is known by the same (``Store.unread``)
    """

    __slots__ = ()

    def __repr__(self):
        # A traceback, an assertion or a log line must not show the password.
        return "Account(name={0!r}, store={1!r})".format(self.name, self.store)

    __str__ = __repr__
