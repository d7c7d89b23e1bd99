"""Whether what listens on a submission port takes connections that were made to other ports (IP_TRANSPARENT).

A TPROXY rule of others leads any port to such a listener without changing the packet, so no rule that asks for a port
can know that it ends there. It must have been set up so: Postfix, Dovecot and qmail do not listen like that.
"""

import re

NOT_LOOKED = (
    "not looked at: whether what listens takes connections made to other ports too (TPROXY); ss or the kernel of this "
    "host does not say"
)


def look(system, ports):
    """Look at the listeners of the ports.

    :param System system: the host
    :param tuple ports: of int
    :returns: (list of findings, list of lines of evidence), both of str, and mostly empty
    """
    where = "( {0} )".format(" or ".join("sport = :{0}".format(port) for port in ports))
    said = system.run(["ss", "-HtlnO", "--inet-sockopt", where], check=False)
    lines = said.out.splitlines()
    if said.rc != 0 or any("inet-sockopt:" not in line for line in lines):
        return [], [NOT_LOOKED]
    found = [re.search(r":(\d+)\s", line) for line in lines if re.search(r"inet-sockopt: \(.* transparent\b", line)]
    taken = sorted({int(port.group(1)) for port in found if port})
    sentences = [
        "What listens on port {0} is transparent (IP_TRANSPARENT): a TPROXY rule can lead connections made to any "
        "other port to it, and no firewall rule that asks for port {0} sees them. Let it listen without, or restrict "
        "those other ports as well (submission_firewall_ports).".format(port)
        for port in taken
    ]
    return sentences, []
