"""Which backend holds the restriction where nobody says so.

The table of nftables is taken wherever the kernel takes it, whatever the host's other rules are written in. It hooks in
before everybody else's and asks for the port that the client sent, so that neither an accept nor a NAT rule of others
leads around it; rules in iptables or firewalld would depend on the order and the wording of theirs.
"""

from collections import namedtuple

from ..errors import UserError

AUTO = "auto"
PREFERRED = "nftables"

# backend, persistence: str, for the engine
# evidence: list of str, why it is these
Choice = namedtuple("Choice", "backend persistence evidence")


def choose(system, backends, declared, persistence, host_backend, restriction):
    """The backend to take.

    :param System system: the host; it is asked, nothing is changed
    :param dict backends: {name: class}, the engine's registry
    :param str declared: a backend's name, which is honoured, or ``auto``
    :param str persistence: what was declared; what is no means of a backend that was not declared counts as ``auto``
    :param str host_backend: what the host's own rules are kept in, as mail_host found it; None: unknown
    :param Restriction restriction: what is wanted
    :returns: :class:`Choice`
    :raises UserError: none can be taken
    """
    if declared != AUTO:
        return Choice(declared, persistence, [])
    refusal = backends[PREFERRED](system).refusal(restriction)
    if refusal is None:
        name = PREFERRED
        evidence = ["backend auto: nftables, for `nft -c` takes the table"]
        if host_backend and host_backend != name:
            evidence[0] += "; the host's own rules stay in {0}".format(host_backend)
    elif host_backend and host_backend != PREFERRED:
        name = host_backend
        evidence = ["backend auto: {0}, as mail_host found it, for nftables can't be used: {1}".format(name, refusal)]
    else:
        raise UserError(
            "submission_firewall_backend: auto finds no firewall on this host that could restrict anything: nftables "
            "can't be used ({0}), and no other one was found. Mend that, or choose one of {1}.".format(
                refusal, ", ".join(sorted(backends))
            )
        )
    if persistence not in backends[name].methods:
        evidence.append("persistence auto: '{0}' is no means of {1}".format(persistence, name))
        persistence = AUTO
    return Choice(name, persistence, evidence)
