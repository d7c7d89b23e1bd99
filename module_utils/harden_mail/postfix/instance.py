"""One instance of Postfix: its services, and what a setting is for each of them."""

from typing import Dict, List

from ..system import System
from .master_cf import Service, parse_services, port_of
from .postconf import postconf


class Instance:
    """One Postfix instance.

    :ivar path: its master.cf
    :ivar text: that file's content, as it was when first read
    """

    def __init__(self, system: System, config_dir: str) -> None:
        self.system, self.config_dir = system, config_dir
        self.path = config_dir.rstrip("/") + "/master.cf"
        self.text = system.read(self.path) or ""
        self._settings: Dict[str, str] = {}

    def services(self) -> List[Service]:
        return parse_services(self.text)

    def servers_on(self, port: int) -> List[Service]:
        """The smtpd services that answer on a TCP port; behind a postscreen, those that it hands connections to."""
        listeners = [service for service in self.services() if service.kind == "inet" and port_of(service) == port]
        servers = [service for service in listeners if service.command == "smtpd"]
        if any(service.command == "postscreen" for service in listeners):
            servers += [s for s in self.services() if s.kind == "pass" and s.command == "smtpd"]
        return servers

    def value(self, service: Service, name: str) -> str:
        """What a setting is for a service: of its -o, or of main.cf; "" when it is nowhere."""
        value = service.options.get(name)
        if value is None:
            return self.setting(name)
        if "$" in value:
            wanted = "{0}/{1}/{2}".format(service.name, service.kind, name)
            value = postconf(self.system, self.config_dir, ["-xP", wanted]).get(wanted, value)
        return value

    def setting(self, name: str) -> str:
        """What a setting is in main.cf or by default, "" when Postfix doesn't know it."""
        if name not in self._settings:
            # Before 2.10 postconf doesn't follow $name.
            found = postconf(self.system, self.config_dir, ["-x", name]) or postconf(
                self.system, self.config_dir, [name]
            )
            self._settings[name] = found.get(name, "")
        return self._settings[name]

    def log_name(self, service: Service) -> str:
        """Who a service is in the log: "postfix/submission/smtpd"."""
        return self.value(service, "syslog_name") + "/smtpd"
