"""Every log format there is."""

import functools
from typing import Iterable, Iterator, Optional

from .courier import courier_format
from .dovecot import dovecot_format
from .format import Format
from .plesk import plesk_postfix_format, plesk_qmail_format
from .postfix import postfix_format
from .vpopmail import vpopmail_format

_PROGRAM_LIMIT = 4096


class Formats:
    """Formats that a log is read by; of two that know a program, the first one counts.

    :ivar wanted: a line without any of these is no log-in, for :class:`reader.Logs`
    :ivar wanted_ends: the same of what tells of sessions that end
    """

    def __init__(self, formats: Iterable[Format]):
        self._formats = tuple(formats)
        self.wanted = tuple(word for form in self._formats for word in form.wanted)
        self.wanted_ends = tuple(word for form in self._formats for word in form.wanted_ends)
        # A log has few names of programs, and others write as many as they like.
        self.of = functools.lru_cache(maxsize=_PROGRAM_LIMIT)(self._of)

    def __iter__(self) -> Iterator[Format]:
        return iter(self._formats)

    def _of(self, program: str) -> Optional[Format]:
        """Whose program that is, by its name in the log; None when no format knows it."""
        return next((form for form in self._formats if form.programs.match(program)), None)


# To add a log format, add it here.
FORMATS = Formats(
    [
        postfix_format(),
        dovecot_format(),
        courier_format(),
        plesk_qmail_format(),
        plesk_postfix_format(),
        vpopmail_format(),
    ]
)
