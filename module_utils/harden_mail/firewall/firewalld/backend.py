"""firewalld: ipsets and a policy of our own, rules in the zones that had submission open, permanent and runtime.

The policy comes before every zone and refuses our ports to everybody who is not in the ipsets, so it covers zones
that trust all, port ranges, and zones that somebody makes later. Whom it does not refuse is still up to the zones.

Permanent configuration is read and written as firewalld's own files (firewalld.zone(5), firewalld.policy(5),
firewalld.ipset(5)): each in one step, and given back byte for byte, which firewall-cmd can't. The runtime is read
by ``firewalld_agent.py`` and changed by firewall-cmd. Recorded with firewalld 1.3.3 and 2.3.1.
"""

import ipaddress
import json
import re
import shlex
from collections import namedtuple
from xml.etree import ElementTree

from ...changes import Change, Run, file_change, private_file_change
from ...errors import UserError
from ..boot_unit import RULES_DIR, drop_in_changes, drop_in_of
from ..nftables.table import DELETE, fold, range_of, read_table, ruleset
from ..plan import Backend
from . import agent as firewalld_agent

POLICY = firewalld_agent.POLICY
IPSETS = {family: "{0}{1}".format(firewalld_agent.IPSETS, family) for family in (4, 6)}
FAMILIES = {4: "inet", 6: "inet6"}

ETC = "/etc/firewalld"
USR = "/usr/lib/firewalld"
POLICY_PATH = "{0}/policies/{1}.xml".format(ETC, POLICY)
IPSET_PATHS = {family: "{0}/ipsets/{1}.xml".format(ETC, name) for family, name in IPSETS.items()}

# A stopped firewalld leaves every port open, at each restart and shutdown, while the mail server runs. Until it is
# back, a table of nftables stands in for it; and for good where it fails to start.
STAND_IN = "harden_mail_stand_in"
STAND_IN_FILE = RULES_DIR + "/firewalld-stopped.nft"
STAND_IN_DROP_IN = """\
# Written by harden-mail: while firewalld is stopped, a table of nftables keeps mail submission restricted.
[Service]
ExecStartPre=-{nft} -f {file}
ExecStartPost=-/bin/sh -c "firewall-cmd --quiet --state && exec {nft} 'table inet {table}; delete table inet {table}'"
ExecStop=-{nft} -f {file}
"""

# The lowest that firewalld allows: no other policy can accept before ours refuses.
PRIORITY = -32768

# The most sources that change one by one; beyond that the set is filled anew, for a moment empty: refused to all.
ONE_BY_ONE = 50

# Addresses and lines named before the rest is only counted.
SHOWN = 10

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'

OTHER_WAY = "set submission_firewall_backend: nftables, which lives beside firewalld"


class Firewalld(Backend):
    """See :class:`plan.Backend`.

    ``former`` holds ``runtime`` and ``permanent``, each {zone: [what was taken out of it, as "service smtps" or
    "port 587/tcp"]}, and ``files``, {path of a zone file: its text, or null where there was none}.
    """

    name = "firewalld"
    methods = ("auto", "firewalld")

    def __init__(self, system, persistence="auto"):
        super().__init__(system, persistence)
        self._state_read = False
        self._state = None

    def missing(self):
        # Without firewalld its files can still be given back.
        if not self.system.which("firewall-cmd") and not self.system.exists(POLICY_PATH):
            return "firewalld is not installed"
        return None

    def traces(self):
        files = [POLICY_PATH, STAND_IN_FILE, drop_in_of("firewalld.service")] + sorted(IPSET_PATHS.values())
        return any(self.system.exists(path) for path in files)

    def changes(self, restriction, former):
        if self.persistence not in self.methods:
            raise UserError(
                "submission_firewall_persistence is '{0}': firewalld keeps its rules itself, leave it at "
                "'auto'.".format(self.persistence)
            )
        if restriction is None:
            return self._zone_changes(None, former) + self._own_changes(None) + self._stand_in_changes(None)
        self._check_usable()
        changes = self._stand_in_changes(restriction) + self._own_changes(restriction)
        changes += self._zone_changes(restriction, former)
        return changes + (self._cut_changes(restriction) if changes else [])

    def _check_usable(self):
        """:raises UserError: firewalld can't enforce it here, now and after a boot"""
        trouble = None
        configuration = self.system.read(ETC + "/firewalld.conf") or ""
        if not self.system.which("nft") or re.search(r"^FirewallBackend\s*=\s*iptables", configuration, re.M):
            trouble = "firewalld does not use nftables (FirewallBackend in {0}/firewalld.conf)".format(ETC)
        elif self.state is None:
            trouble = "firewalld is not running (systemctl enable --now firewalld)"
        elif not self.state["zones"]:
            trouble = "firewalld {0} has no policies (0.9 was the first)".format(self.state["version"])
        elif self.unit["UnitFileState"] == "disabled":
            trouble = "firewalld is not enabled, so it would be gone after a boot (systemctl enable firewalld)"
        elif int(self.state["version"].split(".")[0]) >= 2 and not self.system.which("ipset"):
            trouble = (
                "the program ipset is not installed, and without it firewalld {0} fails, and drops all traffic, as "
                "soon as anything adds a direct rule while there is an ipset".format(self.state["version"])
            )
        if trouble:
            raise UserError(
                "submission_firewall_backend: firewalld can't be used on this host: {0}; or {1}.".format(
                    trouble, OTHER_WAY
                )
            )

    # --- while firewalld is stopped -----------------------------------------------------------------------

    def _stand_in_changes(self, restriction):
        nft = self.system.which("nft")
        text = drop_in = None
        if restriction is not None:
            text = ruleset(restriction, STAND_IN)
            drop_in = STAND_IN_DROP_IN.format(nft=nft, file=STAND_IN_FILE, table=STAND_IN)
        changes = [
            private_file_change(self.system, STAND_IN_FILE, text),
            drop_in_changes(self.system, drop_in_of("firewalld.service"), drop_in),
        ]
        if restriction is None:
            changes.reverse()
        listing = self.system.run(["nft", "-s", "list", "table", "inet", STAND_IN], check=False)
        if listing.rc == 0:
            what = "kernel, nftables, table inet " + STAND_IN
            do, undo = (Run(("nft", "-f", "-"), text) for text in (DELETE.format(table=STAND_IN), listing.out))
            changes.append([Change(what, listing.out, "", (do,), (undo,))])
        return [change for part in changes for change in part]

    # --- ipsets and policy --------------------------------------------------------------------------------

    def _own_changes(self, restriction):
        """Changes of our ipsets and policy. What firewalld has yet to load or forget, it does by a reload."""
        files = []
        for path, text in own_files(restriction).items():
            before = self.system.read(path)
            # firewalld writes the same content in another order, with other words for true.
            is_same = text is not None and before is not None and read_own(before) == read_own(text)
            files += private_file_change(self.system, path, before if is_same else text)
        if self.state is None:
            return files
        if self._needs_reload(restriction):
            reload = self._agent("reload")
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
            change for family in (4, 6) for change in self._entry_changes(family, restriction.networks(family))
        ]

    def _needs_reload(self, restriction):
        if self.system.exists(firewalld_agent.SAVED):
            return True
        policy = self.state["policies"].get(POLICY)
        ipsets = self.state["ipsets"]
        if restriction is None:
            return policy is not None or any(name in ipsets for name in IPSETS.values())
        for family, name in IPSETS.items():
            options = ipsets.get(name, {}).get("options", {})
            if ipsets.get(name, {}).get("type") != "hash:net" or options != {"family": FAMILIES[family]}:
                return True
        return policy is None or not _is_policy(policy, restriction.ports) or not self._kernel_has(restriction)

    def _entry_changes(self, family, networks):
        """Change (none or one) of the entries that firewalld has at runtime, without a reload."""
        name = IPSETS[family]
        entries = self.state["ipsets"][name]["entries"]
        if read_networks(entries) == fold(range_of(net) for net in networks):
            return []
        wanted = [str(net) for net in split_any(networks)]
        return [
            Change(
                "firewalld, runtime, ipset " + name,
                "\n".join(entries),
                "\n".join(wanted),
                _replace_entries(name, entries, wanted),
                _replace_entries(name, wanted, entries),
            )
        ]

    def _kernel_has(self, restriction):
        """Whether the kernel holds what firewalld means; somebody may have flushed it behind firewalld's back."""
        listing = self.system.run(["nft", "-j", "list", "table", "inet", "firewalld"], check=False)
        return listing.rc == 0 and kernel_refuses(read_table(json.loads(listing.out)), self.state, restriction)

    # --- zones --------------------------------------------------------------------------------------------

    def _zone_changes(self, restriction, former):
        ports = restriction.ports if restriction else ()
        changes = []
        taken_out = former.setdefault("permanent", {})
        texts = former.setdefault("files", {})
        for name, path in self._zone_files():
            changes += self._zone_file_changes(name, path, ports, taken_out, texts)
        taken_out = former.setdefault("runtime", {})
        for name, settings in sorted(self.state["zones"].items() if self.state else ()):
            changes += self._runtime_zone_changes(name, settings, ports, taken_out)
        return changes

    def _zone_files(self):
        """(name, path in /etc/firewalld) of every zone that has a file there or in /usr/lib/firewalld."""
        paths = self.system.glob(ETC + "/zones/*.xml") + self.system.glob(USR + "/zones/*.xml")
        names = sorted({path.rsplit("/", 1)[1][: -len(".xml")] for path in paths})
        return [(name, "{0}/zones/{1}.xml".format(ETC, name)) for name in names]

    def _zone_file_changes(self, name, path, ports, taken_out, texts):
        text = self.system.read(path)
        shipped = "{0}/zones/{1}.xml".format(USR, name)
        base = self.system.read(shipped) if text is None else text
        before = read_zone(base, shipped if text is None else path)
        zone, out = self._narrow(before, ports, taken_out.pop(name, []))
        if out:
            taken_out[name] = out
            texts.setdefault(path, text)
        if zone == before:
            return []
        after = write_zone(base, before, zone)
        if not out and path in texts:
            # As it was, byte for byte, unless somebody changed it in the meantime.
            original = texts.pop(path)
            built_in = self.system.read("{0}/zones/{1}.xml".format(USR, name))
            if _same_zone(after, built_in if original is None else original):
                after = original
        return file_change(self.system, path, after)

    def _runtime_zone_changes(self, name, settings, ports, taken_out):
        before = Zone(
            list(settings["services"]),
            ["{0}/{1}".format(*port) for port in settings["ports"]],
            [rule for rule in settings["rules_str"] if _is_ours(rule)],
        )
        after, out = self._narrow(before, ports, taken_out.pop(name, []))
        if out:
            taken_out[name] = out
        if after == before:
            return []
        return [
            Change(
                "firewalld, runtime, zone " + name,
                before.text(),
                after.text(),
                before.steps_to(name, after),
                after.steps_to(name, before),
            )
        ]

    def _narrow(self, zone, ports, taken_out):
        """What a zone ought to be.

        :param Zone zone: as it is
        :param tuple ports: ours; none: the zone is given back
        :param list taken_out: what was taken out of it earlier
        :returns: (Zone, list of what is now out of it)
        """
        services, zone_ports = list(zone.services), list(zone.ports)
        for item in taken_out:
            kind, _, word = item.partition(" ")
            owner = services if kind == "service" else zone_ports
            if word not in owner:
                owner.append(word)
        out, opened = [], set()
        for service in list(services):
            opens = self._only_ours(service, ports)
            if opens:
                services.remove(service)
                out.append("service " + service)
                opened |= opens
        for word in list(zone_ports):
            opens = _ports_within(word, ports)
            if opens:
                zone_ports.remove(word)
                out.append("port " + word)
                opened |= opens
        rules = [accept_rule(family, port) for port in sorted(opened) for family in (4, 6)]
        return Zone(
            _in_order(services, zone.services),
            _in_order(zone_ports, zone.ports),
            _keep_wording(rules, zone.rules),
        ), out

    def _only_ours(self, service, ports):
        """Ports of a service that opens nothing but ours, or an empty set."""
        found, plain = self._service_ports(service, ())
        opened = set()
        for word in found:
            within = _ports_within(word, ports)
            if not within:
                return set()
            opened |= within
        return opened if plain else set()

    def _service_ports(self, name, above):
        """Ports of a service and of those it includes: (list of "587/tcp", bool nothing else is in it)."""
        places = ["{0}/services/{1}.xml".format(directory, name) for directory in (ETC, USR)]
        path = next((path for path in places if self.system.read(path)), None)
        if path is None or name in above:
            return [], False
        found, plain = [], True
        for element in _root(self.system.read(path), path):
            if element.tag == "port" and element.get("port"):
                found.append("{0}/{1}".format(element.get("port"), element.get("protocol")))
            elif element.tag == "include":
                more, more_plain = self._service_ports(element.get("service"), above + (name,))
                found += more
                plain = plain and more_plain
            elif element.tag not in ("short", "description"):
                plain = False
        return found, plain

    # --- open connections ---------------------------------------------------------------------------------

    def _cut_changes(self, restriction):
        """Change (none or one) that ends open connections of refused sources: firewalld lets those go on.

        It can't be done on every kernel, so it must not fail; what stays open is a finding.
        """
        peers = self._refused_peers(restriction)
        if not peers:
            return []
        condition = "( {0} ) and ( {1} )".format(
            " or ".join("sport = :{0}".format(port) for port in restriction.ports),
            " or ".join("dst [{0}]".format(peer) if ":" in peer else "dst " + peer for peer in peers),
        )
        steps = (Run(("sh", "-c", 'ss -K -t -n "$1" || :', "sh", condition), None),)
        return [Change("open connections to submission", "\n".join(peers), "", steps, ())]

    def _refused_peers(self, restriction):
        """Addresses, ascending, that are connected to our ports and may not be."""
        ports = " or ".join("sport = :{0}".format(port) for port in restriction.ports)
        connections = self.system.run(["ss", "-Htn", "state", "established", "( {0} )".format(ports)], check=False).out
        if not connections.strip():
            return []
        own = self.system.run(["ip", "-o", "addr", "show"], check=False).out
        return refused_peers(connections, own, restriction)

    # --- the report ---------------------------------------------------------------------------------------

    def findings(self, restriction):
        if not self.state:
            return []
        lines = self._closed_zones(restriction, ", reload, and run again")
        listing = self.system.run(["nft", "list", "ruleset"], check=False).out
        published = published_ports(listing, restriction.ports)
        if published:
            lines.append(
                "Port {0} is sent on by NAT (a container's published port, or a port forwarding), which goes around "
                "firewalld's zones and policies: {1}.".format(_either(published), OTHER_WAY)
            )
        peers = self._refused_peers(restriction)
        if peers:
            lines.append(
                "Connections that were open before stay open, from {0}: restart the mail server to end them.".format(
                    ", ".join(peers[:SHOWN]) + (" and {0} more".format(len(peers) - SHOWN) if peers[SHOWN:] else "")
                )
            )
        services = self.system.run(["systemctl", "show", "-p", "UnitFileState", "nftables.service"], check=False).out
        if services.strip() == "UnitFileState=enabled":
            lines.append(
                "nftables.service is enabled beside firewalld, and each stops the other: after a boot firewalld may "
                "not run. Disable one of them."
            )
        return lines

    def beside(self, restriction):
        # A packet that the table of nftables lets through still has to get past firewalld.
        return self._closed_zones(restriction, ", and reload") if self.state else []

    def _closed_zones(self, restriction, then):
        """A sentence for each zone in use that lets nobody in; ``then``: what to do after opening it."""
        return [
            "Zone {0} of firewalld does not open {1}: allowed sources are refused there too "
            "(firewall-cmd --permanent --zone={0} --add-port={2}/tcp{3}).".format(
                name, _either(restriction.ports), restriction.ports[-1], then
            )
            for name in sorted(set(self.state["active_zones"]) | {self.state["default_zone"]})
            if self._opens_none(self.state["zones"][name], restriction.ports)
        ]

    def _opens_none(self, settings, ports):
        """Whether a zone opens none of our ports to anybody."""
        if settings["target"] == "ACCEPT" or "tcp" in settings["protocols"]:
            return False
        words = ["{0}/{1}".format(*port) for port in settings["ports"]]
        rules = " ".join(settings["rules_str"])
        words += ["{0}/{1}".format(*pair) for pair in re.findall(r' port port="([^"]+)" protocol="([^"]+)"', rules)]
        for service in settings["services"] + re.findall(r'service name="([^"]+)"', rules):
            words += self._service_ports(service, ())[0]
        return not any(_covers(word, port) for word in words for port in ports)

    def evidence(self):
        if not self.state or POLICY not in self.state["policies"]:
            return []
        policy = self.state["policies"][POLICY]
        lines = [
            "policy {0}: from {1} to {2}, priority {3}, target {4}".format(
                POLICY,
                ",".join(policy["ingress_zones"]),
                ",".join(policy["egress_zones"]),
                policy["priority"],
                policy["target"],
            )
        ] + ["policy {0}: {1}".format(POLICY, rule) for rule in policy["rich_rules"]]
        for name, ipset in sorted(self.state["ipsets"].items()):
            entries = ipset["entries"]
            shown = ", ".join(entries[:SHOWN]) + (", ..." if entries[SHOWN:] else "")
            lines.append("ipset {0}: {1} entries: {2}".format(name, len(entries), shown))
        ports = sorted({int(port) for rule in policy["rich_rules"] for port in re.findall(r'port="(\d+)"', rule)})
        for name, settings in sorted(self.state["zones"].items()):
            lines += ["zone {0}: {1}".format(name, rule) for rule in settings["rules_str"] if _is_ours(rule)]
            for service in settings["services"]:
                if any(_covers(word, port) for word in self._service_ports(service, ())[0] for port in ports):
                    lines.append(
                        "zone {0}: service {1} stays, as it opens other ports too; the policy refuses ours".format(
                            name, service
                        )
                    )
            for first, protocol in settings["ports"]:
                if any(_covers("{0}/{1}".format(first, protocol), port) for port in ports):
                    lines.append("zone {0}: ports {1} stay; the policy refuses ours".format(name, first))
        return lines

    # --- firewalld itself ---------------------------------------------------------------------------------

    @property
    def state(self):
        """Runtime as :func:`firewalld_agent.read` gives it, read once; None when firewalld does not run."""
        if not self._state_read:
            self._state_read = True
            # Asking over D-Bus would start a firewalld that is stopped.
            if self.system.which("firewall-cmd") and self.unit["ActiveState"] == "active":
                step = self._agent("read")
                self._state = json.loads(self.system.run(list(step.argv), stdin=step.stdin).out)
        return self._state

    @property
    def unit(self):
        """UnitFileState and ActiveState of firewalld.service: dict of str."""
        command = ["systemctl", "show", "-p", "UnitFileState,ActiveState", "firewalld.service"]
        lines = self.system.run(command, check=False).out.splitlines()
        return dict({"UnitFileState": "", "ActiveState": ""}, **dict(line.split("=", 1) for line in lines))

    def _agent(self, command):
        """The step that runs a command of the agent, by the interpreter of firewall-cmd."""
        first_line = (self.system.read(self.system.which("firewall-cmd")) or "").split("\n", 1)[0]
        found = re.match(r"#!\s*(/\S*python\S*)", first_line)
        program = firewalld_agent.__loader__.get_source(firewalld_agent.__name__)
        return Run((found.group(1) if found else "python3", "-", command), program)


class Zone(namedtuple("Zone", "services ports rules")):
    """What of a zone concerns us.

    :ivar list services: of str
    :ivar list ports: of str, "587/tcp"
    :ivar list rules: of str, the rich rules that are ours
    """

    __slots__ = ()

    def text(self):
        """For a diff, as firewall-cmd lists it."""
        return "services: {0}\nports: {1}\nrich rules:\n{2}".format(
            " ".join(self.services), " ".join(self.ports), "".join("\t{0}\n".format(rule) for rule in self.rules)
        )

    def steps_to(self, name, other):
        """Steps that turn the runtime zone ``name`` into ``other``: what is let in comes before what goes."""
        steps = []
        pairs = (
            ("rich-rule", self.rules, other.rules),
            ("service", self.services, other.services),
            ("port", self.ports, other.ports),
        )
        for verb, one_way in (("add", 1), ("remove", -1)):
            for kind, have, want in pairs:
                new, old = (want, have) if one_way == 1 else (have, want)
                options = ["--{0}-{1}={2}".format(verb, kind, word) for word in new if word not in old]
                if options:
                    steps.append(Run(tuple(["firewall-cmd", "--quiet", "--zone=" + name] + options), None))
        return tuple(steps)


def accept_rule(family, port):
    """Rich rule of a zone, worded as firewalld words it."""
    return 'rule family="ipv{0}" source ipset="{1}" port port="{2}" protocol="tcp" accept'.format(
        family, IPSETS[family], port
    )


def refuse_rule(family, port):
    """Rich rule of our policy, worded as firewalld words it."""
    return 'rule family="ipv{0}" source NOT ipset="{1}" port port="{2}" protocol="tcp" reject type="tcp-reset"'.format(
        family, IPSETS[family], port
    )


def _is_ours(rule):
    return any('ipset="{0}"'.format(name) in rule for name in IPSETS.values())


def _words(rule):
    return sorted(shlex.split(rule))


def _keep_wording(rules, present):
    """Rules, each as the host words it already where it means the same; in the order of the host if all are there."""
    worded = {tuple(_words(rule)): rule for rule in present}
    return _in_order([worded.get(tuple(_words(rule)), rule) for rule in rules], present)


def _in_order(items, model):
    """Items, those that are in ``model`` too first and in its order, each once."""
    return [item for item in model if item in items] + [item for item in items if item not in model]


def _is_policy(settings, ports):
    """Whether our policy, as D-Bus has it, is as wanted."""
    rules = sorted(_words(rule) for rule in settings["rich_rules"])
    empty = ("services", "ports", "protocols", "source_ports", "forward_ports", "icmp_blocks", "masquerade")
    return (
        (settings["ingress_zones"], settings["egress_zones"]) == (["ANY"], ["HOST"])
        and (settings["priority"], settings["target"]) == (PRIORITY, "CONTINUE")
        and rules == sorted(_words(refuse_rule(family, port)) for family in (4, 6) for port in ports)
        and not any(settings[key] for key in empty)
    )


# --- files ------------------------------------------------------------------------------------------------


def own_files(restriction):
    """Files of our own: dict of str path -> str text (None: no file), ipsets before the policy that names them."""
    if restriction is None:
        paths = [POLICY_PATH] + sorted(IPSET_PATHS.values())
        # firewall-cmd --permanent leaves the former file beside one that it changes.
        return dict.fromkeys(paths + [path + ".old" for path in paths])
    files = {}
    for family, path in sorted(IPSET_PATHS.items()):
        entries = "".join("  <entry>{0}</entry>\n".format(net) for net in split_any(restriction.networks(family)))
        files[path] = (
            HEAD
            + '<ipset type="hash:net">\n  <short>Mail submission</short>\n'
            + "  <description>Who may submit mail by IPv{0}; written by harden-mail</description>\n".format(family)
            + '  <option name="family" value="{0}"/>\n{1}</ipset>\n'.format(FAMILIES[family], entries)
        )
    rules = "".join(
        '  <rule family="ipv{0}">\n    <source ipset="{1}" invert="True"/>\n'
        '    <port port="{2}" protocol="tcp"/>\n    <reject type="tcp-reset"/>\n  </rule>\n'.format(
            family, IPSETS[family], port
        )
        for port in restriction.ports
        for family in (4, 6)
    )
    files[POLICY_PATH] = (
        HEAD
        + '<policy priority="{0}" target="CONTINUE">\n  <short>Mail submission</short>\n'.format(PRIORITY)
        + "  <description>Refuses mail submission to all who are not in the ipsets; written by harden-mail"
        + '</description>\n  <ingress-zone name="ANY"/>\n  <egress-zone name="HOST"/>\n{0}</policy>\n'.format(rules)
    )
    return files


def split_any(networks):
    """Networks, with halves for one that is everything: hash:net can't hold a prefix of 0."""
    return [half for net in networks for half in (net.subnets() if net.prefixlen == 0 else [net])]


def read_networks(entries):
    """Folded ranges of an ipset's entries; the entries themselves when one of them is no network."""
    try:
        return fold(range_of(ipaddress.ip_network(entry)) for entry in entries)
    except ValueError:
        return list(entries)


def read_own(text):
    """An ipset's or policy's file as data that is the same whoever wrote it; None for what is no XML."""
    try:
        root = ElementTree.fromstring(_encoded(text))
    except ElementTree.ParseError:
        return None
    entries = [(element.text or "").strip() for element in root if element.tag == "entry"]
    others = [_element(element) for element in root if element.tag not in ("entry", "short", "description")]
    return root.tag, _attributes(root), read_networks(entries), sorted(others)


def _element(element):
    """An element as text that can be compared and sorted; the order of its children means nothing."""
    children = "".join(sorted(_element(child) for child in element))
    return "<{0} {1}>{2}</>".format(element.tag, _attributes(element), children)


def _attributes(element):
    words = {"yes": "true", "True": "true"}
    return sorted((key, words.get(value, value)) for key, value in element.attrib.items() if key != "version")


def read_zone(text, path):
    """:class:`Zone` of a zone's file.

    :raises UserError: it is no XML
    """
    root = _root(text, path)
    return Zone(
        [element.get("name") for element in root.findall("service")],
        ["{0}/{1}".format(element.get("port"), element.get("protocol")) for element in root.findall("port")],
        [_rule_text(element) for element in root.findall("rule") if _rule_is_ours(element)],
    )


def write_zone(text, before, after):
    """Text of a zone's file, changed from one :class:`Zone` to another, all else kept."""
    root = ElementTree.fromstring(_encoded(text))
    for element in list(root):
        word = None
        if element.tag == "service":
            word, old, new = element.get("name"), before.services, after.services
        elif element.tag == "port":
            word, old, new = "{0}/{1}".format(element.get("port"), element.get("protocol")), before.ports, after.ports
        elif element.tag == "rule" and _rule_is_ours(element):
            word, old, new = _rule_text(element), before.rules, after.rules
        if word is not None and word in old and word not in new:
            root.remove(element)
    for service in after.services:
        if service not in before.services:
            ElementTree.SubElement(root, "service", {"name": service})
    for word in after.ports:
        if word not in before.ports:
            _add_port(root, word)
    for rule in after.rules:
        if rule not in before.rules:
            family, port = re.match(r'rule family="ipv(\d)".* port port="(\d+)"', rule).groups()
            element = ElementTree.SubElement(root, "rule", {"family": "ipv" + family})
            ElementTree.SubElement(element, "source", {"ipset": IPSETS[int(family)]})
            _add_port(element, port + "/tcp")
            ElementTree.SubElement(element, "accept")
    _indent(root, 0)
    # The end of an empty element as firewalld writes it; in text and values ">" is escaped.
    return HEAD + ElementTree.tostring(root, encoding="unicode").replace(" />", "/>") + "\n"


def _add_port(parent, word):
    port, protocol = word.split("/")
    ElementTree.SubElement(parent, "port", {"port": port, "protocol": protocol})


def _indent(element, depth):
    """Two spaces a level, as firewalld writes its files."""
    inner = "\n" + "  " * (depth + 1)
    if len(element):
        element.text = inner
        for child in element:
            _indent(child, depth + 1)
            child.tail = inner
        element[-1].tail = inner[:-2]


def _same_zone(one, other):
    return other is not None and _element(ElementTree.fromstring(_encoded(one))) == _element(
        ElementTree.fromstring(_encoded(other))
    )


def _rule_is_ours(element):
    return any(source.get("ipset") in IPSETS.values() for source in element.findall("source"))


def _rule_text(element):
    """A rule of ours in the words of firewall-cmd; what is more than such a rule shows as XML, so as drift."""
    source, port = element.find("source"), element.find("port")
    plain = {"source": ["ipset"], "port": ["port", "protocol"], "accept": []}
    is_plain = list(element.attrib) == ["family"] and sorted(child.tag for child in element) == sorted(plain)
    if is_plain and all(sorted(child.attrib) == plain[child.tag] for child in element):
        return 'rule family="{0}" source ipset="{1}" port port="{2}" protocol="{3}" accept'.format(
            element.get("family"), source.get("ipset"), port.get("port"), port.get("protocol")
        )
    return ElementTree.tostring(element, encoding="unicode").strip()


def _root(text, path):
    """The root element of a file.

    :raises UserError: it is no XML
    """
    try:
        return ElementTree.fromstring(_encoded(text))
    except ElementTree.ParseError as error:
        raise UserError(
            "{0} is no XML ({1}), so firewalld can't read it either; mend it or take it away.".format(path, error)
        ) from None


def _encoded(text):
    # With an encoding in its first line, a file must be parsed as bytes.
    return text.encode("utf-8", "surrogateescape")


# --- ports, kernel, connections ---------------------------------------------------------------------------


def _port_range(word):
    """(int first, int last) of "587/tcp" or "500-600/tcp"; (1, 0), which is nothing, for another protocol."""
    ports, _, protocol = word.partition("/")
    if protocol != "tcp" or not re.match(r"\d+(-\d+)?$", ports):
        return 1, 0
    first, _, last = ports.partition("-")
    return int(first), int(last or first)


def _covers(word, port):
    first, last = _port_range(word)
    return first <= port <= last


def _ports_within(word, ports):
    """Ports of a word like "587/tcp" if all of them are ours, or an empty set."""
    first, last = _port_range(word)
    inside = {port for port in ports if first <= port <= last}
    return inside if len(inside) == last - first + 1 else set()


def kernel_refuses(table, state, restriction):
    """Whether firewalld's table in the kernel holds our sets and refuses by them, reached from its input hook.

    :param dict table: of :func:`nft_table.read_table`
    :param dict state: of :func:`firewalld_agent.read`: what firewalld believes that the sets hold
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


def refused_peers(connections, own_addresses, restriction):
    """Peers of established connections that may not be connected.

    :param str connections: of ``ss -Htn state established``
    :param str own_addresses: of ``ip -o addr show``
    :returns: list of str addresses, ascending, IPv4 first
    """
    own = {ipaddress.ip_address(word) for word in re.findall(r" inet6? ([0-9a-fA-F.:]+)", own_addresses)}
    peers = set()
    for line in connections.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        address = ipaddress.ip_address(words[3].rsplit(":", 1)[0].strip("[]").partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        allowed = restriction.networks(address.version)
        if not address.is_loopback and address not in own and not any(address in net for net in allowed):
            peers.add(address)
    return [str(peer) for peer in sorted(peers, key=lambda peer: (peer.version, peer))]


def published_ports(ruleset, ports):
    """Our ports that a rule of NAT in ``nft list ruleset`` sends elsewhere."""
    found = set()
    for line in ruleset.splitlines():
        if re.search(r"\b(dnat|redirect)\b|DNAT|REDIRECT", line):
            words = re.findall(r"dport (?:\{ )?([0-9, -]+)", line)
            for word in ",".join(words).split(","):
                found |= {port for port in ports if _covers(word.strip() + "/tcp", port)}
    return sorted(found)


def _replace_entries(name, old, new):
    """Steps that turn the entries of a runtime ipset from one list into another."""
    had, wanted = set(old), set(new)
    gone = [entry for entry in old if entry not in wanted]
    come = [entry for entry in new if entry not in had]
    steps = []
    for verb, entries in (("remove", gone), ("add", come)):
        command = ["firewall-cmd", "--quiet", "--ipset=" + name]
        if 0 < len(entries) <= ONE_BY_ONE:
            options = ["--{0}-entry={1}".format(verb, entry) for entry in entries]
            steps.append(Run(tuple(command + options), None))
        elif entries:
            option = "--{0}-entries-from-file=/dev/stdin".format(verb)
            steps.append(Run(tuple(command + [option]), "\n".join(entries) + "\n"))
    return tuple(steps)


def _either(ports):
    return " or ".join(str(port) for port in ports)
