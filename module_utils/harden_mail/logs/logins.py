"""Log-ins to a mail host, read from what its servers log, by the formats of each."""

import itertools
import re
from collections import defaultdict
from typing import Any, Dict, Iterable, Iterator, List, Optional

from .events import Event, Login, Writer
from .formats.format import Memory, read_events, read_line
from .formats.registry import FORMATS, Formats

# A line without any of these (bytes) is no log-in; for Logs(wanted=WANTED).
WANTED = FORMATS.wanted
# The same for what tells of sessions that end.
WANTED_ENDS = FORMATS.wanted_ends

# A count beyond this changes nothing.
_REPEAT_LIMIT = 1000

# rsyslog folds lines that repeat themselves, where it is told to (Ubuntu does).
_REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]\Z", re.DOTALL)


def logins(lines: Iterable[tuple], formats: Formats = FORMATS) -> Iterator[Login]:
    """Go through lines of logs for log-ins.

    A session that sends ten messages is one log-in. Postfix names the account only when a message is sent: of a
    session without one the account is None.

    :param lines: of (time, text, writer) as :meth:`reader.Logs.lines` gives them, or of (time, text)
    """
    return _events(lines, formats, with_ends=False)


def events(lines: Iterable[tuple], formats: Formats = FORMATS) -> Iterator[Event]:
    """The same, and when POP and IMAP sessions end.

    :param lines: as above, with those that have one of WANTED_ENDS
    """
    return _events(lines, formats, with_ends=True)


def _events(lines: Iterable[tuple], formats: Formats, with_ends: bool) -> Iterator[Any]:
    # Of each kind of writer: a forged line must not change what a true one of the same process means.
    memories: Dict[Optional[Writer], Memory] = defaultdict(dict)
    for time, text, *known in lines:
        line = read_line(time, text)
        form = formats.of(line.program) if line else None
        if line is None or form is None:
            continue
        writer = known[0] if known else None
        memory = memories[writer]
        if with_ends and form.ends and _may_end(writer):
            ends = read_events(form, form.ends, line, memory)
            if ends:
                yield from ends
                continue
        times = 1
        repeated = _REPEATED.match(line.message)
        if repeated:
            times, line = int(repeated.group(1)), line._replace(message=repeated.group(2))
        found = read_events(form, form.logins, line, memory)
        if found:
            # Half the time of _replace.
            found = found if writer is None else [Login(*one[:-1], writer) for one in found]  # type: ignore[call-arg]
            yield from found if times == 1 else _times(found, times)


def _times(found: List[Event], times: int) -> Iterator[Event]:
    return itertools.islice(itertools.chain.from_iterable(itertools.repeat(found, times)), _REPEAT_LIMIT)


def _may_end(writer: Optional[Writer]) -> bool:
    """Whether a line may tell of a session's end: not when somebody else seems to have written it."""
    return writer is None or writer.proof in ("proved", "unproved")
