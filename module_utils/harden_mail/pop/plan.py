"""What a backend hands to the engine of POP-before-SMTP: the wanted rule, and the changes that bring a host there."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..addresses import Network
from ..changes import Change, Run
from ..system import System
from .meaning import BOTH, EITHER


class Wanted(NamedTuple):
    """A log-in counts for some minutes.

    :ivar meaning: BOTH or EITHER
    :ivar minutes: how long a log-in counts
    :ivar prefix6: 128 (each IPv6 address for itself) or 64 (a log-in counts for its whole /64)
    :ivar exempt: networks whose clients need no log-in (webmail, loopback)
    """

    meaning: str
    minutes: int
    prefix6: int
    exempt: Tuple[Network, ...]


class Backend:
    """What a mail server's file must give. ``name`` is its word in ``pop_before_smtp_backend``.

    A backend reads the host, compares, and answers with changes; it never changes anything itself. When ``support()``
    and ``changes()`` answer with empty lists, the host is as wanted. The engine makes the changes in this order, and
    asks once more afterwards:

    ===========  ====================================================
    for a rule   support(), changes(), checks(), activation(), proof()
    for nothing  changes(), checks(), activation(), support()
    ===========  ====================================================

    so that what a server uses is there before it is told of it, and goes when it is used no more. What fails is undone,
    last first, and ``activation()`` is done again. A run that was killed is completed by the next one: that does the
    checks and the activation also where it finds nothing to change.
    """

    name = ""

    # What the server can do; the first is taken where none was declared. A backend that can't do BOTH leaves it out:
    # EITHER is never taken undeclared, since it adds relaying without a password.
    meanings: Tuple[str, ...] = (BOTH, EITHER)

    def __init__(self, system: System, options: Dict[str, Any]) -> None:
        """
        :param system: the host
        :param options: the module's parameters; of use here are ``config_dirs`` (of Postfix) and ``pop_config_dir``
            (of Dovecot)
        """
        self.system = system
        self.options = options

    def missing(self) -> Optional[str]:
        """A sentence on what this host lacks for this backend ("Postfix here has no sqlite tables"), or None."""
        raise NotImplementedError

    def support(self, wanted: Optional[Wanted], former: Dict[str, Any]) -> List[Change]:
        """Differences in what is ours alone: programs, units, the database's directory. As :meth:`changes`."""
        return []

    def changes(self, wanted: Optional[Wanted], former: Dict[str, Any]) -> List[Change]:
        """Differences in the configuration of the host's servers, in the order in which they must be made.

        :param wanted: what is wanted; None: nothing of ours (``state: absent``)
        :param former: what this backend remembered of the host before its first change (its own words, JSON);
            it may add to it while planning, the engine saves it before the first change
        :returns: empty when the host is as wanted
        :raises UserError: the host is in a state that must not be touched, and why
        """
        raise NotImplementedError

    def checks(self) -> Tuple[Run, ...]:
        """The steps in which the servers themselves look at their new configuration."""
        return ()

    def activation(self) -> Tuple[Run, ...]:
        """The steps that have the running servers take up the configuration they have."""
        return ()

    def proof(self) -> Tuple[Run, ...]:
        """The steps that see whether the servers still do their work, after ``activation()``.

        One that fails has everything undone. What didn't work before the change is not asked about.
        """
        return ()

    def undeclared(self) -> List[str]:
        """Why nothing is done where no meaning was declared, for a backend that can't do BOTH: sentences."""
        return []

    def findings(self, wanted: Optional[Wanted]) -> List[str]:
        """What is not as it ought to be and needs a person, each a sentence: a mynetworks wider than the host."""
        return []

    def evidence(self) -> List[str]:
        """How the host does this now, each a line in the host's own terms, for the report."""
        return []
