"""Zones that had submission open: narrowed to our sources, and given back."""

import re
from typing import Dict, List, Optional

from ...changes import Change, file_change
from ..plan import Restriction
from .daemon import Daemon
from .files import read_zone, root_of, same_zone, write_zone
from .names import ETC, USR
from .ports import covers, ports_within
from .rules import accept_rule, in_order, is_ours, keep_wording
from .zone import Zone


class Zones:
    """The zones of a host.

    See ``backend.Firewalld`` for what ``former`` holds.
    """

    def __init__(self, daemon: Daemon):
        self.daemon, self.system = daemon, daemon.system

    def changes(self, restriction: Optional[Restriction], former: Dict) -> List[Change]:
        """Narrow the zones, or without a restriction give them back."""
        ports = restriction.ports if restriction else ()
        changes = []
        taken_out = former.setdefault("permanent", {})
        texts = former.setdefault("files", {})
        for name, path in self._files():
            changes += self._file_changes(name, path, ports, taken_out, texts)
        taken_out = former.setdefault("runtime", {})
        for name, settings in sorted(self.daemon.state["zones"].items() if self.daemon.state else ()):
            changes += self._runtime_changes(name, settings, ports, taken_out)
        return changes

    def _files(self):
        """(name, path in /etc/firewalld) of every zone that has a file there or in /usr/lib/firewalld."""
        paths = self.system.glob(ETC + "/zones/*.xml") + self.system.glob(USR + "/zones/*.xml")
        names = sorted({path.rsplit("/", 1)[1][: -len(".xml")] for path in paths})
        return [(name, "{0}/zones/{1}.xml".format(ETC, name)) for name in names]

    def _file_changes(self, name, path, ports, taken_out, texts):
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
            if same_zone(after, built_in if original is None else original):
                after = original
        return file_change(self.system, path, after)

    def _runtime_changes(self, name, settings, ports, taken_out):
        before = Zone(
            list(settings["services"]),
            ["{0}/{1}".format(*port) for port in settings["ports"]],
            [rule for rule in settings["rules_str"] if is_ours(rule)],
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
            opens = ports_within(word, ports)
            if opens:
                zone_ports.remove(word)
                out.append("port " + word)
                opened |= opens
        rules = [accept_rule(family, port) for port in sorted(opened) for family in (4, 6)]
        return Zone(
            in_order(services, zone.services),
            in_order(zone_ports, zone.ports),
            keep_wording(rules, zone.rules),
        ), out

    def _only_ours(self, service, ports):
        """Ports of a service that opens nothing but ours, or an empty set."""
        found, plain = self._ports_of_service(service, ())
        opened = set()
        for word in found:
            within = ports_within(word, ports)
            if not within:
                return set()
            opened |= within
        return opened if plain else set()

    def service_ports(self, name: str) -> List[str]:
        """Ports of a service and of those it includes, as "587/tcp"."""
        return self._ports_of_service(name, ())[0]

    def _ports_of_service(self, name, above):
        """Ports of a service and of those it includes: (list of "587/tcp", bool nothing else is in it)."""
        places = ["{0}/services/{1}.xml".format(directory, name) for directory in (ETC, USR)]
        path = next((path for path in places if self.system.read(path)), None)
        if path is None or name in above:
            return [], False
        found, plain = [], True
        for element in root_of(self.system.read(path), path):
            if element.tag == "port" and element.get("port"):
                found.append("{0}/{1}".format(element.get("port"), element.get("protocol")))
            elif element.tag == "include":
                more, more_plain = self._ports_of_service(element.get("service"), above + (name,))
                found += more
                plain = plain and more_plain
            elif element.tag not in ("short", "description"):
                plain = False
        return found, plain

    def opens_none(self, settings, ports):
        """Whether a zone (as the agent gives it) opens none of our ports to anybody."""
        if settings["target"] == "ACCEPT" or "tcp" in settings["protocols"]:
            return False
        words = ["{0}/{1}".format(*port) for port in settings["ports"]]
        rules = " ".join(settings["rules_str"])
        words += ["{0}/{1}".format(*pair) for pair in re.findall(r' port port="([^"]+)" protocol="([^"]+)"', rules)]
        for service in settings["services"] + re.findall(r'service name="([^"]+)"', rules):
            words += self.service_ports(service)
        return not any(covers(word, port) for word in words for port in ports)
