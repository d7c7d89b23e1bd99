"""firewalld: ipsets and a policy of our own, rules in the zones that had submission open, permanent and runtime.

The policy comes before every zone and refuses our ports to everybody who is not in the ipsets, so it covers zones
that trust all, port ranges, and zones that somebody makes later. Whom it does not refuse is still up to the zones.

Permanent configuration is read and written as firewalld's own files (firewalld.zone(5), firewalld.policy(5),
firewalld.ipset(5)): each in one step, and given back byte for byte, which firewall-cmd can't. The runtime is read
by ``agent.py`` and changed by firewall-cmd. Recorded with firewalld 1.3.3 and 2.3.1.
"""

import re

from ...errors import UserError
from ..plan import Backend
from . import stand_in
from .connections import connected_and_refused, cut_changes, published_ports
from .daemon import Daemon
from .names import ETC, IPSET_PATHS, POLICY, POLICY_PATH
from .policy import policy_changes
from .ports import covers, either
from .rules import is_ours
from .zones import Zones

# Addresses and lines named before the rest is only counted.
_SHOWN = 10

_OTHER_WAY = "set submission_firewall_backend: nftables, which lives beside firewalld"


class Firewalld(Backend):
    """See :class:`plan.Backend`.

    ``former`` holds ``runtime`` and ``permanent``, each {zone: [what was taken out of it, as "service smtps" or
    "port 587/tcp"]}, and ``files``, {path of a zone file: its text, or null where there was none}.
    """

    name = "firewalld"
    methods = ("auto", "firewalld")

    def __init__(self, system, persistence="auto"):
        super().__init__(system, persistence)
        self._daemon = Daemon(system)
        self._zones = Zones(self._daemon)

    def missing(self):
        # Without firewalld its files can still be given back.
        if not self.system.which("firewall-cmd") and not self.system.exists(POLICY_PATH):
            return "firewalld is not installed"
        return None

    def traces(self):
        files = [POLICY_PATH, stand_in.FILE, stand_in.DROP_IN] + sorted(IPSET_PATHS.values())
        return any(self.system.exists(path) for path in files)

    def changes(self, restriction, former):
        if self.persistence not in self.methods:
            raise UserError(
                "submission_firewall_persistence is '{0}': firewalld keeps its rules itself, leave it at "
                "'auto'.".format(self.persistence)
            )
        if restriction is None:
            changes = self._zones.changes(None, former) + policy_changes(self._daemon, None)
            return changes + stand_in.stand_in_changes(self.system, None)
        self._check_usable()
        changes = stand_in.stand_in_changes(self.system, restriction) + policy_changes(self._daemon, restriction)
        changes += self._zones.changes(restriction, former)
        return changes + (cut_changes(self.system, restriction) if changes else [])

    def _check_usable(self):
        """:raises UserError: firewalld can't enforce it here, now and after a boot"""
        trouble = None
        configuration = self.system.read(ETC + "/firewalld.conf") or ""
        if not self.system.which("nft") or re.search(r"^FirewallBackend\s*=\s*iptables", configuration, re.M):
            trouble = "firewalld does not use nftables (FirewallBackend in {0}/firewalld.conf)".format(ETC)
        elif self._daemon.state is None:
            trouble = "firewalld is not running (systemctl enable --now firewalld)"
        elif not self._daemon.state["zones"]:
            trouble = "firewalld {0} has no policies (0.9 was the first)".format(self._daemon.state["version"])
        elif self._daemon.unit["UnitFileState"] == "disabled":
            trouble = "firewalld is not enabled, so it would be gone after a boot (systemctl enable firewalld)"
        elif int(self._daemon.state["version"].split(".")[0]) >= 2 and not self.system.which("ipset"):
            trouble = (
                "the program ipset is not installed, and without it firewalld {0} fails, and drops all traffic, as "
                "soon as anything adds a direct rule while there is an ipset".format(self._daemon.state["version"])
            )
        if trouble:
            raise UserError(
                "submission_firewall_backend: firewalld can't be used on this host: {0}; or {1}.".format(
                    trouble, _OTHER_WAY
                )
            )

    # --- the report ---------------------------------------------------------------------------------------

    def findings(self, restriction):
        if not self._daemon.state:
            return []
        lines = self._closed_zones(restriction, ", reload, and run again")
        listing = self.system.run(["nft", "list", "ruleset"], check=False).out
        published = published_ports(listing, restriction.ports)
        if published:
            lines.append(
                "Port {0} is sent on by NAT (a container's published port, or a port forwarding), which goes around "
                "firewalld's zones and policies: {1}.".format(either(published), _OTHER_WAY)
            )
        peers = connected_and_refused(self.system, restriction)
        if peers:
            lines.append(
                "Connections that were open before stay open, from {0}: restart the mail server to end them.".format(
                    ", ".join(peers[:_SHOWN]) + (" and {0} more".format(len(peers) - _SHOWN) if peers[_SHOWN:] else "")
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
        return self._closed_zones(restriction, ", and reload") if self._daemon.state else []

    def _closed_zones(self, restriction, then):
        """A sentence for each zone in use that lets nobody in; ``then``: what to do after opening it."""
        return [
            "Zone {0} of firewalld does not open {1}: allowed sources are refused there too "
            "(firewall-cmd --permanent --zone={0} --add-port={2}/tcp{3}).".format(
                name, either(restriction.ports), restriction.ports[-1], then
            )
            for name in sorted(set(self._daemon.state["active_zones"]) | {self._daemon.state["default_zone"]})
            if self._zones.opens_none(self._daemon.state["zones"][name], restriction.ports)
        ]

    def evidence(self):
        if not self._daemon.state or POLICY not in self._daemon.state["policies"]:
            return []
        policy = self._daemon.state["policies"][POLICY]
        lines = [
            "policy {0}: from {1} to {2}, priority {3}, target {4}".format(
                POLICY,
                ",".join(policy["ingress_zones"]),
                ",".join(policy["egress_zones"]),
                policy["priority"],
                policy["target"],
            )
        ] + ["policy {0}: {1}".format(POLICY, rule) for rule in policy["rich_rules"]]
        for name, ipset in sorted(self._daemon.state["ipsets"].items()):
            entries = ipset["entries"]
            shown = ", ".join(entries[:_SHOWN]) + (", ..." if entries[_SHOWN:] else "")
            lines.append("ipset {0}: {1} entries: {2}".format(name, len(entries), shown))
        ports = sorted({int(port) for rule in policy["rich_rules"] for port in re.findall(r'port="(\d+)"', rule)})
        for name, settings in sorted(self._daemon.state["zones"].items()):
            lines += ["zone {0}: {1}".format(name, rule) for rule in settings["rules_str"] if is_ours(rule)]
            for service in settings["services"]:
                if any(covers(word, port) for word in self._zones.service_ports(service) for port in ports):
                    lines.append(
                        "zone {0}: service {1} stays, as it opens other ports too; the policy refuses ours".format(
                            name, service
                        )
                    )
            for first, protocol in settings["ports"]:
                if any(covers("{0}/{1}".format(first, protocol), port) for port in ports):
                    lines.append("zone {0}: ports {1} stay; the policy refuses ours".format(name, first))
        return lines
