"""Changes of our ipsets and policy, permanent and runtime."""

import json
from typing import List, Optional

from ...addresses import joined, range_of
from ...changes import Change, Run, private_file_change
from ..nftables.table import read_table
from ..plan import Restriction
from .agent import SAVED
from .daemon import Daemon
from .files import PRIORITY, own_files, read_networks, read_own, split_any
from .names import FAMILIES, IPSETS, POLICY
from .rules import refuse_rule, words

# The most sources that change one by one; beyond that the set is filled anew, for a moment empty: refused to all.
_ONE_BY_ONE = 50


def policy_changes(daemon: Daemon, restriction: Optional[Restriction]) -> List[Change]:
    """Changes of our ipsets and policy; without a restriction they go.

    What firewalld has yet to load or forget, it does by a reload.
    """
    files = []
    for path, text in own_files(restriction).items():
        before = daemon.system.read(path)
        # firewalld writes the same content in another order, with other words for true.
        is_same = text is not None and before is not None and read_own(before) == read_own(text)
        files += private_file_change(daemon.system, path, before if is_same else text)
    if daemon.state is None:
        return files
    if _needs_reload(daemon, restriction):
        reload = daemon.agent_step("reload")
        return [
            Change(
                "firewalld, ipsets and policy " + POLICY,
                "".join(change.before for change in files),
                "".join(change.after for change in files) or "loaded anew",
                tuple(step for change in files for step in change.do) + (reload,),
                tuple(step for change in reversed(files) for step in change.undo) + (reload,),
            )
        ]
    if restriction is None:
        return files
    return files + [
        change for family in (4, 6) for change in _entry_changes(daemon, family, restriction.networks(family))
    ]


def _needs_reload(daemon, restriction):
    if daemon.system.exists(SAVED):
        return True
    policy = daemon.state["policies"].get(POLICY)
    ipsets = daemon.state["ipsets"]
    if restriction is None:
        return policy is not None or any(name in ipsets for name in IPSETS.values())
    for family, name in IPSETS.items():
        options = ipsets.get(name, {}).get("options", {})
        if ipsets.get(name, {}).get("type") != "hash:net" or options != {"family": FAMILIES[family]}:
            return True
    return policy is None or not _is_policy(policy, restriction.ports) or not _kernel_has(daemon, restriction)


def _entry_changes(daemon, family, networks):
    """Change (none or one) of the entries that firewalld has at runtime, without a reload."""
    name = IPSETS[family]
    entries = daemon.state["ipsets"][name]["entries"]
    if read_networks(entries) == joined(range_of(net) for net in networks):
        return []
    wanted = [str(net) for net in split_any(networks)]
    return [
        Change(
            "firewalld, runtime, ipset " + name,
            "\n".join(entries),
            "\n".join(wanted),
            replace_entries(name, entries, wanted),
            replace_entries(name, wanted, entries),
        )
    ]


def _kernel_has(daemon, restriction):
    """Whether the kernel holds what firewalld means; somebody may have flushed it behind firewalld's back."""
    listing = daemon.system.run(["nft", "-j", "list", "table", "inet", "firewalld"], check=False)
    return listing.rc == 0 and kernel_refuses(read_table(json.loads(listing.out)), daemon.state, restriction)


def _is_policy(settings, ports):
    """Whether our policy, as D-Bus has it, is as wanted."""
    rules = sorted(words(rule) for rule in settings["rich_rules"])
    empty = ("services", "ports", "protocols", "source_ports", "forward_ports", "icmp_blocks", "masquerade")
    return (
        (settings["ingress_zones"], settings["egress_zones"]) == (["ANY"], ["HOST"])
        and (settings["priority"], settings["target"]) == (PRIORITY, "CONTINUE")
        and rules == sorted(words(refuse_rule(family, port)) for family in (4, 6) for port in ports)
        and not any(settings[key] for key in empty)
    )


def kernel_refuses(table, state, restriction):
    """Whether firewalld's table in the kernel holds our sets and refuses by them, reached from its input hook.

    :param dict table: of :func:`nftables.table.read_table`
    :param dict state: of :func:`agent.read`: what firewalld believes that the sets hold
    """
    for name in IPSETS.values():
        believed = read_networks(state["ipsets"][name]["entries"])
        if table["sets"].get(name, (None, None, None))[2] != believed:
            return False
    chain = "filter_IN_policy_" + POLICY
    refusals = [json.dumps(rule, sort_keys=True) for rule in table["rules"].get(chain + "_deny", [])]
    for name in IPSETS.values():
        for port in restriction.ports:
            wanted = ('"@{0}"'.format(name), '"right": {0}}}'.format(port), '"tcp reset"')
            if not any(all(word in rule for word in wanted) for rule in refusals):
                return False
    jumps = {}
    for home, rules in table["rules"].items():
        for rule in rules:
            for expression in rule:
                for kind in ("jump", "goto"):
                    if kind in expression:
                        jumps.setdefault(home, set()).add(expression[kind]["target"])
    reached, waiting = set(), ["filter_INPUT"]
    while waiting:
        home = waiting.pop()
        if home not in reached:
            reached.add(home)
            waiting += jumps.get(home, ())
    hook = table["chains"].get("filter_INPUT", {}).get("hook")
    return hook == "input" and "dormant" not in table["flags"] and chain + "_deny" in reached


def replace_entries(name, old, new):
    """Steps that turn the entries of a runtime ipset from one list into another."""
    had, wanted = set(old), set(new)
    gone = [entry for entry in old if entry not in wanted]
    come = [entry for entry in new if entry not in had]
    steps = []
    for verb, entries in (("remove", gone), ("add", come)):
        command = ["firewall-cmd", "--quiet", "--ipset=" + name]
        if 0 < len(entries) <= _ONE_BY_ONE:
            options = ["--{0}-entry={1}".format(verb, entry) for entry in entries]
            steps.append(Run(tuple(command + options), None))
        elif entries:
            option = "--{0}-entries-from-file=/dev/stdin".format(verb)
            steps.append(Run(tuple(command + [option]), "\n".join(entries) + "\n"))
    return tuple(steps)
