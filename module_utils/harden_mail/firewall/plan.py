"""What a backend hands to the engine: the wanted restriction, and the changes that bring a host there."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ..changes import Change
from ..system import System


class Restriction(NamedTuple):
    """Only ``networks4`` and ``networks6`` may open ``ports``; loopback always may.

    :ivar ports: ascending
    :ivar networks4: folded and ascending; empty: nobody by IPv4
    :ivar networks6: likewise
    """

    ports: Tuple[int, ...]
    networks4: Tuple[IPv4Network, ...]
    networks6: Tuple[IPv6Network, ...]

    def networks(self, family: int) -> Union[Tuple[IPv4Network, ...], Tuple[IPv6Network, ...]]:
        """Networks of family 4 or 6."""
        return self.networks4 if family == 4 else self.networks6


class Backend:
    """What a firewall's file must give. ``name`` is its word in ``submission_firewall_backend``.

    A backend reads the host, compares, and answers with changes; it never changes anything itself.
    It must be complete: when ``changes()`` answers with an empty list, the kernel refuses everyone else
    *now* and *after a reboot*. The engine calls it once more after the work and takes any answer but an
    empty list as a failure, so reading the kernel back is not a step that can be forgotten.
    """

    name = ""

    #: words for ``persistence`` that this backend knows
    methods: Tuple[str, ...] = ("auto",)

    def __init__(self, system: System, persistence: str = "auto") -> None:
        """
        :param system: the host
        :param persistence: how rules outlive a reboot: one of ``methods``
        """
        self.system = system
        self.persistence = persistence

    def missing(self) -> Optional[str]:
        """A sentence on what this host lacks for this backend ("nft is not installed"), or None."""
        raise NotImplementedError

    def changes(self, restriction: Optional[Restriction], former: Dict[str, Any]) -> List[Change]:
        """Differences between the host and what is wanted, in the order in which they must be made.

        The order never leaves a port open that was closed, also when it ends half-way.

        :param restriction: what is wanted; None: nothing of ours (``state: absent``)
        :param former: what this backend remembered of the host before its first change (its own
            words, JSON); it may add to it while planning, the engine saves it before the first change
        :returns: empty when the host is as wanted
        :raises UserError: the host is in a state that must not be touched, and why
        """
        raise NotImplementedError

    def traces(self) -> bool:
        """Whether anything of ours made by this backend is on the host, remembered or not (a copied image, a lost
        /var). It must not raise where the backend can't be used."""
        return False

    def refusal(self, restriction: Restriction) -> Optional[str]:
        """Why this host can't hold the restriction by this backend (a clause), or None; asks, and changes nothing."""
        return self.missing()

    def beside(self, restriction: Restriction) -> List[str]:
        """Findings where another backend holds the restriction and this firewall runs too, each a sentence."""
        return []

    def findings(self, restriction: Restriction) -> List[str]:
        """What this backend can't cover, each a sentence: a published port that goes around it, a zone that
        refuses allowed sources too. Empty list: nothing."""
        return []

    def evidence(self) -> List[str]:
        """How the host enforces this now, each a line in the host's own terms, for the report."""
        return []
