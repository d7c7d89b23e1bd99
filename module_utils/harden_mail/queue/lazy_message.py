"""A message that is read bit by bit, for a queue may have a million of them, of which nearly all are passed over."""

import os
from typing import Callable, ClassVar, Dict, Type, TypeVar

from .message import Message, Recipient

# Whatever else lies where a queue's file is expected is not followed, and not waited for.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

# What of a message is to be worked out yet: bits.
ENVELOPE, SUBJECT, ORIGIN = 1, 2, 4

_Lazy = TypeVar("_Lazy", bound="LazyMessage")


class LazyMessage(Message):
    """A message in a queue. What is not set yet is worked out when it is asked for.

    A subclass has ``_read_envelope``, ``_read_subject`` and ``_read_origin``, each of which takes its bit from
    ``_unread`` and sets what belongs to it, and ``_let_go``.

    :cvar READERS: attribute -> function that sets it (and others)
    """

    __slots__ = ("_unread",)

    _unread: int

    READERS: ClassVar[Dict[str, Callable]]

    def __getattr__(self, name):
        try:
            work_out = self.READERS[name]
        except KeyError:
            raise AttributeError(name) from None
        work_out(self)
        return getattr(self, name)

    def keep(self: _Lazy) -> _Lazy:
        """Work out all that is there to know, and let go of the files.

        :returns: itself
        """
        self.work_out()
        self._let_go()
        return self

    def work_out(self: _Lazy) -> _Lazy:
        """The same as asking for all of it, but for path and identity; faster.

        :returns: itself
        """
        unread = self._unread
        if unread & ENVELOPE:
            self._read_envelope()
        # Before the subject, which then is looked for in the header that this may have read.
        if unread & ORIGIN:
            self._read_origin()
        if unread & SUBJECT:
            self._read_subject()
        return self

    def summary(self) -> tuple:
        """What ``from_summary`` makes such a message of, in another process: of what ``marshal`` can write."""
        return (
            self.id,
            self.instance,
            self.states,
            self.size,
            self.identity,
            self.arrival,
            self.sender,
            [tuple(one) for one in self.recipients],
            self.subject,
            self.sasl_user,
            self.client,
            self.uid,
            self.script,
        )

    @classmethod
    def from_summary(cls: Type[_Lazy], summary: tuple) -> _Lazy:
        message = cls.__new__(cls)
        (
            message.id,
            message.instance,
            message.states,
            message.size,
            message.identity,
            message.arrival,
            message.sender,
            recipients,
            message.subject,
            message.sasl_user,
            message.client,
            message.uid,
            message.script,
        ) = summary
        message.recipients = [Recipient(*one) for one in recipients]
        return message

    def _let_go(self):
        """Set what ``work_out`` doesn't, and forget the files."""
        raise NotImplementedError

    def _read_envelope(self):
        raise NotImplementedError

    def _read_origin(self):
        raise NotImplementedError

    def _read_subject(self):
        raise NotImplementedError
