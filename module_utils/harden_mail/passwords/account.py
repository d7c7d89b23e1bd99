"""One mail account, as a store has it."""

from typing import NamedTuple, Optional, Tuple


class Account(NamedTuple):
    """One mail account.

    Text is UTF-8; bytes that are none are surrogate escapes, so a stored password is still what it was.

    :ivar name: ``info@example.com``, or a bare ``info`` for an account of the system
    :ivar stored: what the store has, ``{SCHEME}`` and all; secret
    :ivar scheme: what ``stored`` is where it names no scheme itself: PLAIN, CRYPT, ...
    :ivar store: the store's name, as in the facts of ``mail_host``
    :ivar hints: what a guesser may know beside the name, as the owner's name or company
    :ivar changed: day of the last change, in days since 1970; None where the store doesn't say
    :ivar active: whether the store lets it log in at all; neither locked nor disabled
    :ivar source: where in the store it is, the file (path on the host) or the database as people call it; what was
        not read of a store is known by the same (``Store.unread``)
    """

    name: str
    stored: str
    scheme: str
    store: str
    hints: Tuple[str, ...]
    changed: Optional[int]
    active: bool
    source: str = ""

    def __repr__(self) -> str:
        # A traceback, an assertion or a log line must not show the password.
        return "Account(name={0!r}, store={1!r})".format(self.name, self.store)

    def __str__(self) -> str:
        return repr(self)
