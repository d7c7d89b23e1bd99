"""What a mail log tells: log-ins, and ends of sessions."""

from typing import NamedTuple, Optional, Union


class Writer(NamedTuple):
    """What is known of who wrote a line.

    ``proof``: "proved": the journal says that the program itself, or root, wrote it; "unproved": nobody knows;
    "forged": the journal says that somebody else wrote it; "alone": it stands in a file, while the journal has the
    program's own lines of that time; "doubtful": the same, but the program may have written it past the journal.
    "hearsay": the same, but the lines of that time there are other programs' of this host: every user of it could.
    ``uid``: who wrote it; None where that isn't known, or is as it ought to be.
    """

    proof: str
    uid: Optional[int]


class Login(NamedTuple):
    """A log-in to a mail host, accepted or refused.

    ``time``: epoch seconds, None when the line has no stamp. ``kind``: "smtp", "pop3" or "imap". ``account``: as it was
    typed, made harmless to show; None when the line doesn't name it. ``address``: an IPv4 address never in IPv6 form;
    None when the line doesn't name it (then it is a failure). ``service``: who wrote the line:
    "postfix/submission/smtpd", "dovecot/imap-login", "imapd-ssl", "smtp_auth". ``session``: what a POP or IMAP session
    is known by when it ends; None when the line doesn't say. ``writer``: None: nothing is known.
    """

    time: Optional[int]
    kind: str
    account: Optional[str]
    address: Optional[str]
    accepted: bool
    service: str
    session: Optional[str] = None
    writer: Optional[Writer] = None


class Left(NamedTuple):
    """The end of a POP or IMAP session: its ``session`` as in Login; None: of all there are (Dovecot begins)."""

    time: Optional[int]
    session: Optional[str]


Event = Union[Login, Left]
