"""What an MTA's queue must be able to do; ``postfix/backend.py`` and ``qmail/backend.py`` do it.

To add an MTA: a package beside them whose ``backend.py`` implements :class:`Queue`, and a line in ``QUEUES`` of
``queues.py``.
"""

import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import UserError
from ..system import System
from .message import Message
from .quarantine import Run


class Outcome(NamedTuple):
    """What has become of messages.

    :ivar moved: how many changed their place
    :ivar skipped: [(id, why)]: those that were left as they were
    """

    moved: int
    skipped: List[Tuple[str, str]]


class Handle(NamedTuple):
    """What is kept of a message that is to be held or released, for there may be a million.

    :ivar inode: the first of its identity
    """

    id: str
    instance: Optional[str]
    states: Tuple[str, ...]
    inode: int


class Unfinished(UserError):
    """Work was begun that could not be completed; the next run goes on with it."""


class Queue:
    """The queue of one MTA (with all its Postfix instances).

    :cvar name: ``postfix`` or ``qmail``
    :cvar STATES: the states its messages can be in
    :cvar can_hold: whether a message can be held inside the queue
    :ivar met: how many messages ``messages`` met, wanted or not; right when it has come to its end
    :ivar unreadable: [(path, why)]: what ``messages`` met and could not read; filled while it runs. Never touched.
    :ivar evidence: what was done to the host besides moving messages, lines in its own terms
    """

    name: str
    STATES: Tuple[str, ...] = ()
    can_hold = False
    met: int
    unreadable: List[Tuple[str, str]]
    evidence: Sequence[str] = ()

    @classmethod
    def open(
        cls, system: System, mta: Optional[Dict[str, Any]], service_manager: Optional[str], params: Dict[str, Any]
    ) -> "Queue":
        """The queue on this host.

        :param mta: facts ``mta`` (``host/mta.py``), or None when the host's MTA is another one
        :param service_manager: ``systemd``, ``sysvinit`` or None
        :param params: the module's: ``config_dir`` and ``queue_dir`` win over facts, None where left out
        :raises UserError: there is no such queue; names the option and what would be right
        """
        raise NotImplementedError

    def messages(self, wanted: Optional[Callable[[Message], bool]] = None) -> Iterator[Message]:
        """Yield the complete messages that are wanted, each once, reading only, in any order.

        The queue may change meanwhile: who leaves it is missed, who moves within it is not counted twice.

        :param wanted: says of a message whether it is; it may be asked in another process. None: all are
        """
        raise NotImplementedError

    def gather(self, wanted: Optional[Callable[[Message], bool]], found: Any) -> None:
        """Add all messages that ``messages`` would yield to something, where that is faster in several processes.

        :param wanted: as there
        :param found: has ``add(message)``; ``another()``, an empty one of its kind; ``summary()``, what has been
            added, as ``marshal`` can write it; ``merge(summary)``, which adds that of another one
        """
        for message in self.messages(wanted):
            found.add(message)

    def stuck(self, message: Message) -> Optional[str]:
        """Why a message of the queue or of a run can't be moved as things are (a sentence's end), or None: it may.

        It is what can be known beforehand, so that check mode says it.
        """
        return None

    def parts(self, message: Message) -> List[Tuple[str, os.stat_result]]:
        """What of the queue's files belongs to a message.

        :returns: [(absolute path, what it is)]; the first one is the message itself
        """
        raise NotImplementedError

    def room_needed(self, run: Run, size: int) -> int:
        """Bytes that ``take`` needs beside the run's directory, for messages of ``size`` bytes: 0 where it renames."""
        raise NotImplementedError

    def take(self, run: Run, entries: Iterable[Dict[str, Any]], begun: bool = False) -> Outcome:
        """Move messages out of the queue into a run of the quarantine.

        Messages that are no longer there, are no longer the same (``identity``) or are being delivered are skipped
        and stay as they were. A message is at every moment whole in the queue or whole in the run, or in both.
        An exception leaves those that were not moved as they were, and qmail running.

        :param run: where to
        :param entries: lines of the manifest, read in batches; may be a million
        :param begun: the call before was killed: complete the messages that it had begun to move, and no others
        :raises UserError: nothing was changed, and why
        :raises Unfinished: something was changed
        """
        raise NotImplementedError

    def quarantined(self, run: Run) -> Iterator[Message]:
        """Yield the messages whose files are in a run; ``states``: those they had in the queue."""
        raise NotImplementedError

    def count_quarantined(self, run: Run) -> int:
        """How many there are, without reading them."""
        raise NotImplementedError

    def give_back(self, run: Run, entries: Iterable[Dict[str, Any]]) -> Outcome:
        """Move messages of a run back into the queue, into the state that they had; the reverse of ``take``.

        :param entries: with ``instance`` and ``id``, read in batches; may be a million
        :raises UserError: nothing was changed, and why
        :raises Unfinished: something was changed
        """
        raise NotImplementedError

    def hold(self, messages: List[Handle]) -> Outcome:
        """Hold messages, not yet held, inside the queue. Only where ``can_hold``."""
        raise NotImplementedError

    def release(self, messages: List[Handle]) -> Outcome:
        """Release held messages. Only where ``can_hold``."""
        raise NotImplementedError
