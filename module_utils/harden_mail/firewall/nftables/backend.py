"""nftables: a table of our own, named sets for sources and ports, one transaction.

The table's hooks come before those of others: a verdict of accept ends only the chains of one hook, so nobody's accept
goes around a refusal of ours, and whom we let pass is still up to everybody else's rules.
"""

import json
import re

from ...changes import Change, Run, file_change, private_file_change
from ...errors import CommandError, UserError
from ...paths import CONFIGURATION, NFTABLES_UNIT
from ...systemd_units import unit_file_changes
from ..boot_unit import DIRECTORY, SANDBOX_OF_NFT, drop_in_of, unit_changes
from ..plan import Backend
from .table import DELETE, TABLE, read_table, ruleset, wanted_table

RULES_FILE = CONFIGURATION + "/submission.nft"

SERVICE = "nftables.service"
KNOWN_CONFIGS = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf")
INCLUDE = 'include "{0}" # harden-mail'.format(RULES_FILE)
# Says that the line before had no line end, so that taking our line out gives back the same bytes.
INCLUDE_AFTER_OPEN_LINE = INCLUDE + " (and the end of the line before)"

METHODS = ("auto", "nftables", "unit")

# Set elements named in the report before the rest is only counted.
SHOWN_ELEMENTS = 5

DROP_IN_TEXT = """\
# Written by harden-mail. Stopping and restarting empties the ruleset; the submission table stays in the same step,
# or mail submission would be open to everybody until the rules are loaded again.
[Service]
ExecStop=
ExecStop={nft} 'flush ruleset; include "{file}"'
"""


class Nftables(Backend):
    """See :class:`plan.Backend`."""

    name = "nftables"
    methods = METHODS

    def missing(self):
        if not self.system.which("nft"):
            return "nft is not installed"
        if not self.system.which("systemctl"):
            return "there is no systemd, so nothing would load the rules at boot"
        listing = self.system.run(["nft", "-j", "list", "tables"], check=False)
        if listing.rc != 0:
            return "nft -j list tables says: {0}".format((listing.err or listing.out).strip().split("\n")[0])
        return None

    def refusal(self, restriction):
        missing = self.missing()
        if missing:
            return missing
        # nft hands this to the kernel too, which takes it all in and then does not do it. The sources are left out:
        # they need nothing of the kernel that an empty set of their kind does not need.
        text = ruleset(restriction._replace(networks4=(), networks6=()))
        tried = self.system.run(["nft", "-c", "-f", "-"], stdin=text, check=False)
        if tried.rc != 0:
            return "nft -c refuses the table: {0}".format((tried.err or tried.out).strip().split("\n")[0])
        return None

    def traces(self):
        files = (RULES_FILE, DIRECTORY + NFTABLES_UNIT, drop_in_of(SERVICE))
        if any(self.system.exists(path) for path in files):
            return True
        if any(RULES_FILE in (self.system.read(path) or "") for path in KNOWN_CONFIGS):
            return True
        return self.system.run(["nft", "list", "table", "inet", TABLE], check=False).rc == 0

    def changes(self, restriction, former):
        if restriction is None:
            # First what refers to the file, then the table, the file last: a boot in between finds what it loads.
            return (
                unit_changes(self.system, None, NFTABLES_UNIT, SANDBOX_OF_NFT)
                + self._config_changes(None)
                + self._drop_in_changes(None)
                + self._kernel_changes(None)
                + file_change(self.system, RULES_FILE, None)
            )
        nft = self.system.which("nft")
        config, by_unit = self._at_boot()
        return (
            private_file_change(self.system, RULES_FILE, ruleset(restriction))
            + self._kernel_changes(restriction)
            + self._config_changes(config)
            + self._drop_in_changes(nft if config else None)
            + unit_changes(
                self.system, ["{0} -f {1}".format(nft, RULES_FILE)] if by_unit else None, NFTABLES_UNIT, SANDBOX_OF_NFT
            )
        )

    def findings(self, restriction):
        services = self._services()
        stop = services.get(SERVICE, {}).get("ExecStop", "")
        if services.get(SERVICE, {}).get("ActiveState") == "active" and self._flushes(services) is None and stop:
            return [
                "{0} stops with a command that is not known here ({1}): if it empties the ruleset, submission is open "
                "until the rules are loaded again.".format(SERVICE, _argv(stop))
            ]
        return []

    def evidence(self):
        listing = self.system.run(["nft", "-s", "list", "table", "inet", TABLE], check=False).out
        lines = _one_element_a_line(listing, SHOWN_ELEMENTS).replace("\t", "  ").splitlines()
        config, by_unit = self._at_boot()
        if config:
            lines.append("{0} loads {1}, which ends with: {2}".format(SERVICE, config, INCLUDE))
        if by_unit:
            lines.append("{0} loads {1} before the network comes up".format(NFTABLES_UNIT, RULES_FILE))
        return [line for line in lines if line.strip()]

    # --- the kernel ---------------------------------------------------------------------------------------

    def _kernel_changes(self, restriction):
        listing = self._list()
        wanted = None if restriction is None else wanted_table(restriction)
        if (None if listing is None else read_table(listing)) == wanted:
            return []
        before = ""
        if listing is not None:
            before = self.system.run(["nft", "-s", "list", "table", "inet", TABLE]).out
        after = "" if restriction is None else ruleset(restriction)
        deletion = DELETE.format(table=TABLE)
        return [
            Change(
                "kernel, nftables, table inet " + TABLE,
                _one_element_a_line(before),
                after[after.find("table inet {0} {{".format(TABLE)) :] if after else "",
                (Run(("nft", "-f", "-"), after or deletion),),
                (Run(("nft", "-f", "-"), deletion + before),),
            )
        ]

    def _list(self):
        """The table as nft's JSON, or None when there is none."""
        command = ["nft", "-j", "list", "table", "inet", TABLE]
        listing = self.system.run(command, check=False)
        if listing.rc == 0:
            return json.loads(listing.out)
        if "No such file or directory" in listing.err:
            return None
        raise CommandError(command, listing.rc, listing.err)

    # --- the boot -----------------------------------------------------------------------------------------

    def _at_boot(self):
        """How the table comes back after a boot and after a flush by nftables.service.

        :returns: (str path of the host's nftables configuration that must include our file, or None;
            bool whether a unit of ours loads it)
        """
        if self.persistence not in METHODS:
            raise UserError(
                "submission_firewall_persistence is '{0}': with nftables choose one of {1}.".format(
                    self.persistence, ", ".join(METHODS)
                )
            )
        services = self._services()
        service = services.get(SERVICE, {})
        enabled = service.get("UnitFileState") == "enabled"
        found = re.search(r"-f (/[^ ;]+)", _argv(service.get("ExecStart", "")))
        config = found.group(1) if found and self.system.exists(found.group(1)) else None
        if self.persistence == "unit":
            return None, True
        if self.persistence == "nftables" and not (enabled and config):
            raise UserError(
                "submission_firewall_persistence is 'nftables', but {0} is not enabled on this host, or loads no "
                "file: enable it, or leave it at 'auto'.".format(SERVICE)
            )
        if not (enabled or service.get("ActiveState") == "active"):
            config = None
        # firewalld and nftables.service stop each other, so which of both a boot ends with is not sure.
        rival = services.get("firewalld.service", {}).get("UnitFileState") == "enabled"
        return config, not (config and enabled) or (rival and self.persistence == "auto")

    def _services(self):
        """Properties of the units that load or empty nftables: dict of str unit -> dict of str -> str."""
        command = ["systemctl", "show", "-p", "Id,UnitFileState,ActiveState,ExecStart,ExecStop"]
        answer = self.system.run(command + [SERVICE, "firewalld.service"], check=False).out
        units = {}
        for block in answer.split("\n\n"):
            properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            units[properties.get("Id", "")] = properties
        return units

    @staticmethod
    def _flushes(services):
        """Whether stopping nftables.service empties the ruleset; None: not known."""
        stop = services.get(SERVICE, {}).get("ExecStop", "")
        if not stop:
            return False
        return True if "flush ruleset" in _argv(stop) else None

    def _config_changes(self, wanted):
        """Changes that put our include line into one configuration and take it out of all others."""
        changes = []
        for path in sorted(set(KNOWN_CONFIGS) | ({wanted} if wanted else set())):
            text = self.system.read(path)
            if text is None:
                continue
            changes += file_change(self.system, path, with_include(text) if path == wanted else without_include(text))
        return changes

    def _drop_in_changes(self, nft):
        """Changes that keep our table when nftables.service stops (``nft``: its path), or let it go (None)."""
        text = None
        if nft and self._flushes(self._services()):
            text = DROP_IN_TEXT.format(nft=nft, file=RULES_FILE)
        return unit_file_changes(self.system, drop_in_of(SERVICE), text)


def with_include(text):
    """Text of the host's configuration with our include line, once, at its end."""
    text = without_include(text)
    if text and not text.endswith("\n"):
        return text + "\n" + INCLUDE_AFTER_OPEN_LINE + "\n"
    return text + INCLUDE + "\n"


def without_include(text):
    """Text of the host's configuration without our line; every other byte as it is."""
    if text.endswith("\n" + INCLUDE_AFTER_OPEN_LINE + "\n"):
        text = text[: -len("\n" + INCLUDE_AFTER_OPEN_LINE + "\n")]
    lines = text.split("\n")
    return "\n".join(line for line in lines if line not in (INCLUDE, INCLUDE_AFTER_OPEN_LINE))


def _one_element_a_line(listing, most=None):
    """A listing of nft with the elements of address sets one a line, as in our own text.

    :param int most: how many elements to show before the rest is only counted; None: all
    """

    def rewrite(found):
        words = [word.strip() for word in found.group(1).split(",")]
        shown = words[:most]
        if len(shown) < len(words):
            shown.append("and {0} more".format(len(words) - len(shown)))
        return "\t\telements = {{\n\t\t\t{0}\n\t\t}}".format(",\n\t\t\t".join(shown))

    return re.sub(r"\t\telements = \{([^}]*[.:][^}]*)\}", rewrite, listing)


def _argv(property_text):
    """The command line in a unit's Exec property as systemctl shows it."""
    found = re.search(r"argv\[\]=(.*?) ; ignore_errors", property_text)
    return found.group(1) if found else property_text
