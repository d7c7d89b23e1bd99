"""What an MTA's queue must be able to do; ``postfix/backend.py`` and ``qmail/backend.py`` do it.

To add an MTA: a package beside them whose ``backend.py`` implements :class:`Queue`, and a line in ``QUEUES`` of
``queues.py``.
"""

from collections import namedtuple
from typing import Tuple

from ..errors import UserError

# moved: how many messages changed their place; skipped: [(id, why)], messages that were left as they were
Outcome = namedtuple("Outcome", "moved skipped")

# What is kept of a message that is to be held or released, for there may be a million; inode: the first of its identity
Handle = namedtuple("Handle", "id instance states inode")


class Unfinished(UserError):
    """Work was begun that could not be completed; the next run goes on with it."""


class Queue:
    """The queue of one MTA (with all its Postfix instances).

    :cvar str name: ``postfix`` or ``qmail``
    :cvar tuple STATES: the states its messages can be in
    :cvar bool can_hold: whether a message can be held inside the queue
    :ivar int met: how many messages ``messages`` met, wanted or not; right when it has come to its end
    :ivar list unreadable: [(path, why)]: what ``messages`` met and could not read; filled while it runs. Never touched.
    :ivar list evidence: what was done to the host besides moving messages, lines in its own terms
    """

    name: str
    STATES: Tuple[str, ...] = ()
    can_hold = False
    evidence = ()

    @classmethod
    def open(cls, system, mta, service_manager, params):
        """The queue on this host.

        :param dict mta: facts ``mta`` (``host/mta.py``), or None when the host's MTA is another one
        :param str service_manager: ``systemd``, ``sysvinit`` or None
        :param dict params: the module's: ``config_dir`` and ``queue_dir`` win over facts, None where left out
        :raises UserError: there is no such queue; names the option and what would be right
        """
        raise NotImplementedError

    def messages(self, wanted=None):
        """Yield the complete messages (:class:`Message`) that are wanted, each once, reading only, in any order.

        The queue may change meanwhile: who leaves it is missed, who moves within it is not counted twice.

        :param wanted: callable, says of a message whether it is; it may be asked in another process. None: all are
        """
        raise NotImplementedError

    def gather(self, wanted, found):
        """Add all messages that ``messages`` would yield to something, where that is faster in several processes.

        :param wanted: as there
        :param found: has ``add(message)``; ``another()``, an empty one of its kind; ``summary()``, what has been
            added, as ``marshal`` can write it; ``merge(summary)``, which adds that of another one
        """
        for message in self.messages(wanted):
            found.add(message)

    def stuck(self, message):
        """Why a message of the queue or of a run can't be moved as things are (a sentence's end), or None: it may.

        It is what can be known beforehand, so that check mode says it.
        """

    def parts(self, message):
        """What of the queue's files belongs to a message.

        :returns: [(absolute path, os.stat_result)]; the first one is the message itself
        """
        raise NotImplementedError

    def room_needed(self, run, size):
        """Bytes that ``take`` needs beside the run's directory, for messages of ``size`` bytes: 0 where it renames."""
        raise NotImplementedError

    def take(self, run, entries, begun=False):
        """Move messages out of the queue into a run of the quarantine.

        Messages that are no longer there, are no longer the same (``identity``) or are being delivered are skipped
        and stay as they were. A message is at every moment whole in the queue or whole in the run, or in both.
        An exception leaves those that were not moved as they were, and qmail running.

        :param Run run: where to
        :param entries: iterable of manifest lines (dicts), read in batches; may be a million
        :param bool begun: the call before was killed: complete the messages that it had begun to move, and no others
        :returns: Outcome
        :raises UserError: nothing was changed, and why
        :raises Unfinished: something was changed
        """
        raise NotImplementedError

    def quarantined(self, run):
        """Yield the messages (:class:`Message`) whose files are in a run; ``states``: those they had in the queue."""
        raise NotImplementedError

    def count_quarantined(self, run):
        """How many there are, without reading them."""
        raise NotImplementedError

    def give_back(self, run, entries):
        """Move messages of a run back into the queue, into the state that they had; the reverse of ``take``.

        :param entries: iterable of dicts with ``instance`` and ``id``, read in batches; may be a million
        :returns: Outcome
        :raises UserError: nothing was changed, and why
        :raises Unfinished: something was changed
        """
        raise NotImplementedError

    def hold(self, messages):
        """Hold messages (list of Handle, not yet held) inside the queue. Only where ``can_hold``.

        :returns: Outcome
        """
        raise NotImplementedError

    def release(self, messages):
        """Release held messages (list of Handle). Only where ``can_hold``.

        :returns: Outcome
        """
        raise NotImplementedError
