"""What must be asked of firewalld itself, over D-Bus: its runtime in one call, and a reload that loses nothing.

This file is not imported on the host: its text goes to the standard input of the interpreter that firewall-cmd runs
with, because only that one is sure to have firewalld's library (``python3 - read``, ``python3 - reload``). So it
stands alone. It needs firewalld 0.9, the first with policies.
"""

import json
import os
import subprocess
import sys

# Ours are not given back after a reload: there the files of /etc/firewalld say what is wanted.
# A policy's name may have 17 characters, an ipset's 31.
POLICY = "harden-submission"
IPSETS = "harden-mail-submission"

# What was there before a reload, until all of it is back; found by a later run, it says that a kill came between.
SAVED = "/run/harden-mail-firewalld.json"

# firewalld empties the tables of iptables at a reload, those of fail2ban and others too.
DUMPS = (("iptables-save", "iptables-restore"), ("ip6tables-save", "ip6tables-restore"))

# These can't change at runtime.
PERMANENT_ONLY = ("version", "short", "description", "target", "priority", "ingress_priority", "egress_priority")


def read(client):
    """Runtime of firewalld as JSON.

    :returns: dict of ``version``, ``default_zone``, ``active_zones`` (list), ``zones`` and ``policies`` (name ->
        settings as D-Bus has them), ``ipsets`` (name -> {type, options, entries}; ours only)
    """
    state = {"version": str(client.get_property("version")), "policies": {}, "zones": {}, "ipsets": {}}
    if not hasattr(client, "getPolicies"):
        return state
    state["default_zone"] = client.getDefaultZone()
    state["active_zones"] = sorted(client.getActiveZones())
    state["zones"] = {name: client.getZoneSettings(name).getSettingsDict() for name in client.getZones()}
    state["policies"] = {name: client.getPolicySettings(name).getSettingsDict() for name in client.getPolicies()}
    for name in client.getIPSets():
        if name.startswith(IPSETS):
            settings = client.getIPSetSettings(name)
            state["ipsets"][name] = {
                "type": settings.getType(),
                "options": settings.getOptions(),
                "entries": client.getEntries(name),
            }
    return state


def runtime(client):
    """All that a reload takes away: firewalld's own runtime and the rules of iptables."""
    state = read(client)
    state["ipsets"] = {name: client.getEntries(name) for name in client.getIPSets() if not name.startswith(IPSETS)}
    state["direct"] = {
        "Chain": client.getAllChains(),
        "Rule": client.getAllRules(),
        "Passthrough": client.getAllPassthroughs(),
    }
    state["dumps"] = {save: _dump(save) for save, _ in DUMPS}
    return state


def reload(client):
    """Reload firewalld, then make its runtime and the rules of iptables what they were.

    A reload that fails ends firewalld, and all new connections are dropped from then on; then the next call, with
    the old files back in place, starts firewalld again.

    :param FirewallClient client: None when firewalld does not run
    """
    before = remember(client)
    # A reload fails when somebody flushed firewalld's own table.
    if client is None or _status("nft", "list", "chain", "inet", "firewalld", "filter_INPUT") != 0:
        subprocess.run(["systemctl", "restart", "firewalld.service"], check=True)
        client = connect()
    else:
        client.reload()
    give_back(client, before)
    os.unlink(SAVED)


def remember(client):
    """Write down the runtime before a reload, unless an earlier one was cut short: then what it wrote down counts.

    :returns: dict of :func:`runtime`
    """
    if not os.path.exists(SAVED):
        if client is None:
            sys.exit("firewalld: it does not run")
        descriptor = os.open(SAVED + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            json.dump(runtime(client), handle)
        os.rename(SAVED + ".new", SAVED)
    with open(SAVED) as handle:
        return json.load(handle)


def give_back(client, before):
    """Make the runtime what it was, but for our own ipsets and policy.

    :param dict before: of :func:`runtime`
    """
    from firewall.client import FirewallClientPolicySettings, FirewallClientZoneSettings  # noqa: PLC0415

    now = json.loads(json.dumps(runtime(client)))
    for name, entries in before["ipsets"].items():
        if name in now["ipsets"] and sorted(now["ipsets"][name]) != sorted(entries):
            client.setEntries(name, entries)
    for kind, settings_class, put in (
        ("zones", FirewallClientZoneSettings, client.setZoneSettings),
        ("policies", FirewallClientPolicySettings, client.setPolicySettings),
    ):
        for name, settings in before[kind].items():
            if name != POLICY and name in now[kind] and not _same(settings, now[kind][name]):
                put(name, settings_class({key: _tuples(value) for key, value in settings.items()}))
    for kind in ("Chain", "Rule", "Passthrough"):
        old, new = before["direct"][kind], now["direct"][kind]
        for item in new:
            if item not in old:
                getattr(client, "remove" + kind)(*item)
        for item in old:
            if item not in new:
                getattr(client, "add" + kind)(*item)
    # Last, and whole tables: the direct rules just added are in them too, in the order that they had.
    for save, restore in DUMPS:
        dump = before["dumps"][save]
        if dump and _rules_of(dump) != _rules_of(_dump(save)):
            subprocess.run([restore, "-c"], input=dump.encode("utf-8", "surrogateescape"), check=True)


def _same(one, other):
    def plain(settings):
        kept = {key: value for key, value in settings.items() if key not in PERMANENT_ONLY}
        return {key: sorted(value) if isinstance(value, list) else value for key, value in kept.items()}

    return plain(one) == plain(other)


def _tuples(value):
    """D-Bus structs are tuples; JSON made lists of them."""
    if not isinstance(value, list):
        return value
    return [tuple(item) if isinstance(item, list) else item for item in value]


def _status(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def _dump(program):
    try:
        done = subprocess.run([program, "-c"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "surrogateescape")


def _rules_of(dump):
    """A dump without comments and counters, which differ from one moment to the next."""
    lines = [line for line in dump.splitlines() if not line.startswith("#")]
    return [line.partition("] ")[2] if line.startswith("[") else line.partition(" [")[0] for line in lines]


def connect():
    """A client of firewalld, or None when it does not run."""
    # Not at the top: unit tests import this file where there is no firewalld.
    from firewall.client import FirewallClient  # noqa: PLC0415

    client = FirewallClient(quiet=True)
    return client if client.connected and client.get_property("state") != "FAILED" else None


def main(command):
    try:
        client = connect()
        if command == "read":
            print(json.dumps(read(client) if client else None))
        elif command == "reload":
            reload(client)
    except Exception as error:  # whatever firewalld answers is for a person to read
        sys.exit("firewalld: {0}".format(str(error).strip()))


if __name__ == "__main__":
    main(sys.argv[1])
