"""Sets of networks in the kernel, by ipset(8): for lists that would be long as rules."""

import socket

from ...changes import Change, Run

NAMES = {4: "harden-mail-submission4", 6: "harden-mail-submission6"}
FAMILY_WORDS = {4: "inet", 6: "inet6"}
ADDRESS_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
ALL_BITS = {4: 32, 6: 128}

# A limit, not memory that is taken. It never changes, so that "create" of an existing set is no error.
MAX_ELEMENTS = 1 << 20


def existing(system):
    """Names of all sets of the host; None when ipset is not installed or the kernel has no sets."""
    listed = system.run(["ipset", "list", "-n"], check=False)
    return set(listed.out.split()) if listed.rc == 0 else None


def member(network):
    """A network as ipset and iptables-save print it, which differs from Python for some IPv6 addresses."""
    version = network.version
    address = socket.inet_ntop(ADDRESS_FAMILIES[version], network.network_address.packed)
    return address if network.prefixlen == ALL_BITS[version] else "{0}/{1}".format(address, network.prefixlen)


def load_text(family, members, is_there=False):
    """Input of ``ipset -exist restore`` that gives the set these members in one step (swap).

    :param list members: of str, as :func:`member` gives them; never a network of length 0, which ipset refuses
    :param bool is_there: the set exists, whatever its limits
    """
    name = NAMES[family]
    spare = name + "-new"
    create = "create {0} hash:net family {1} maxelem {2}"
    lines = [] if is_there else [create.format(name, FAMILY_WORDS[family], MAX_ELEMENTS)]
    lines += [create.format(spare, FAMILY_WORDS[family], MAX_ELEMENTS), "flush " + spare]
    lines += ["add {0} {1}".format(spare, text) for text in members]
    lines += ["swap {0} {1}".format(spare, name), "destroy " + spare]
    return "\n".join(lines) + "\n"


def fill_changes(system, names, family, networks):
    """Changes (none or one) that make the set hold exactly these networks; it comes before rules that name it.

    :param set names: of all sets there, as :func:`existing` gives them
    """
    wanted = [member(network) for network in networks]
    name = NAMES[family]
    present = name in names
    now = _members(system, name) if present else []
    if present and sorted(now) == sorted(wanted):
        return []
    # One that may be done twice.
    undo = Run(("sh", "-c", 'ipset destroy "$1" || ! ipset list -n "$1"', "sh", name), None)
    if present:
        undo = Run(("ipset", "-exist", "restore"), load_text(family, now, is_there=True))
    return [
        Change(
            "kernel, ipset " + name,
            "\n".join(sorted(now)),
            "\n".join(sorted(wanted)),
            (Run(("ipset", "-exist", "restore"), load_text(family, wanted, is_there=present)),),
            (undo,),
        )
    ]


def destroy_changes(system, names, family):
    """Changes (none or one) that remove the set; it comes after the rules that named it are gone."""
    name = NAMES[family]
    if not names or name not in names:
        return []
    now = _members(system, name)
    return [
        Change(
            "kernel, ipset " + name,
            "\n".join(sorted(now)),
            "",
            (Run(("ipset", "destroy", name), None),),
            (Run(("ipset", "-exist", "restore"), load_text(family, now)),),
        )
    ]


def _members(system, name):
    lines = system.run(["ipset", "save", name]).out.splitlines()
    # Whoever added a member by hand may have given it a timeout or a comment: then the words differ, as they should.
    return [line.split(" ", 2)[2] for line in lines if line.startswith("add ")]
