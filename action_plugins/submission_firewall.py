"""The controller's part of submission_firewall: source files, host names, and the look from outside."""

import os
import re
import socket
import sys

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.checked import CheckedAction

DEFAULT_PORTS = (587, 465)
PROBE_SECONDS = 5

NAME = re.compile(r"^(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")


class ActionModule(CheckedAction):
    """Hands the module addresses only; tries the ports from here; confirms the change over a fresh connection."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = self._list(arguments.pop("source_files", None), "source_files")
        resolve = self._truth(arguments.pop("resolve_names", False))
        if arguments.get("sources") is not None or files:
            sources = self._list(arguments.get("sources"), "sources")
            for path in files:
                sources += self._lines(path)
            arguments["sources"] = with_names_looked_up(sources) if resolve else sources
        probing = self._truth(arguments.get("probe", True)) and arguments.get("state", "present") == "present"
        ports = self._list(arguments.get("ports", DEFAULT_PORTS), "ports")
        # Only what an unconfirmed change closes is to be undone, not what was closed before.
        answered = self._answers(ports) if probing and arguments.get("confirm_within") else {}
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        if result.get("changed") and not result.get("failed") and not self._task.check_mode:
            if probing:
                self._probe(result, answered, ports)
            if result.get("pending") and not result.get("failed"):
                self._confirm(result, task_vars)
        return result

    def _host(self):
        """The address that this connection goes to; None when it does not go over the network."""
        try:
            return self._connection.get_option("host")
        except (KeyError, AttributeError):
            return None

    def _answers(self, ports):
        """{port: whether it accepts a connection from here}; what is no port is for the module to refuse."""
        host = self._host()
        numbers = [int(port) for port in ports or [] if str(port).isdigit()]
        return {port: answers_on(host, port) for port in numbers} if host else {}

    def _probe(self, result, answered, ports):
        """Try the ports from here; fail when a port answers a stranger, or no more answers a friend.

        :param dict answered: of the ports that answered before the change
        :param list ports: that were asked for; others that the host names would be tried for days
        """
        host, controller = self._host(), result.get("controller") or {}
        # Behind a jump host or a NAT the host sees somebody else's address: then the try would prove nothing.
        if not host or not controller.get("address") or own_address_towards(host) != controller["address"]:
            return
        asked = {str(port) for port in ports or []}
        seen = self._answers(sorted(port for port in set(result.get("listening") or []) if str(port) in asked))
        result["probed"] = {str(port): "open" if answers else "closed" for port, answers in seen.items()}
        for port, answers in sorted(seen.items()):
            if answers == controller["allowed"]:
                continue
            message = "TCP {0} {1} the controller ({2}), which is {3} allowed source: look for {4}.".format(
                port,
                "answers" if answers else "does not answer",
                controller["address"],
                "an" if controller["allowed"] else "no",
                "a NAT or proxy in between" if answers else "other rules on the host or in between that refuse it",
            )
            if answers or answered.get(port):
                undone = " The change is not confirmed and will undo itself." if result.get("pending") else ""
                result.update(failed=True, msg="The rules are in place, but " + message + undone)
                return
            result.setdefault("warnings", []).append(message)

    def _confirm(self, result, task_vars):
        with self.bounded(self.seconds):
            self._connection.reset()
        confirmed = self._execute_module(module_args={"state": "confirmed"}, task_vars=task_vars)
        if confirmed.get("failed") or confirmed.get("unreachable"):
            result["failed"] = True
            result["msg"] = "The change could not be confirmed and will undo itself: {0}".format(confirmed.get("msg"))
        else:
            result["pending"] = False

    @staticmethod
    def _truth(value):
        return boolean(value, strict=False)

    @staticmethod
    def _list(value, option):
        if value is None:
            return []
        if isinstance(value, str):
            return [value]
        if isinstance(value, (list, tuple)):
            return list(value)
        raise AnsibleActionFail("{0} is {1!r}: give a list.".format(option, value))

    def _lines(self, path):
        """Lines of a file on the controller, each with a note on where it stands."""
        found = self._loader.path_dwim(str(path))
        try:
            with open(found, encoding="utf-8") as handle:
                lines = handle.read().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise AnsibleActionFail(
                "source_files names {0}, which can't be read on the controller: {1}.".format(
                    found, getattr(error, "strerror", None) or "it is not UTF-8 text"
                )
            ) from None
        noted = []
        for number, line in enumerate(lines, 1):
            text, _, comment = line.partition("#")
            if text.strip():
                where = "{0} line {1}".format(os.path.basename(found), number)
                noted.append("{0} # {1}{2}".format(text.strip(), comment.strip() and comment.strip() + ", ", where))
        return noted


def with_names_looked_up(sources):
    """Replace each host name by all of its addresses, noted as such.

    :param list sources: entries as the module takes them, or host names
    :returns: list; sorted by address within one name, so that two runs say the same
    :raises AnsibleActionFail: a name that has no address
    """
    result = []
    for source in sources:
        text = source.split("#", 1)[0].strip() if isinstance(source, str) else ""
        # A range has a letter only in IPv6, where it has colons; a name has a letter beyond f or a dot-less word.
        if not NAME.match(text) or re.match(r"^[0-9.\-]+\Z", text):
            result.append(source)
            continue
        try:
            found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise AnsibleActionFail(
                "sources names the host {0}, which the controller can't look up: {1}.".format(text, error.strerror)
            ) from None
        addresses = sorted({entry[4][0].split("%")[0] for entry in found})
        result += ["{0} # {1}".format(address, text) for address in addresses]
    return result


def own_address_towards(host):
    """The address this machine would use to reach a host; None when there is no route. Sends nothing."""
    try:
        family, _type, _proto, _name, address = socket.getaddrinfo(host, 587, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return probe.getsockname()[0]
    except OSError:
        return None


def answers_on(host, port):
    """Whether a TCP connection from here is accepted within a few seconds."""
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True
