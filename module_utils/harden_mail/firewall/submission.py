"""What the module submission_firewall does: its options in, its result out."""

from ..controller import controller_address, listening_ports
from ..errors import UserError
from ..logs.guard import guard
from ..postfix.instance import Instance
from ..postfix.master_cf import port_of
from ..trusted_proxies import postfix_findings
from . import engine, transparent
from .choice import choose
from .sources import contains, parse_ports, restriction

NOTHING_DECLARED = (
    "Submission is open to the whole world, because nobody said who may submit mail: declare "
    "submission_firewall_sources (addresses, networks or ranges of your offices and VPNs)."
)

# So many folded sources are named; the total is always said.
FOLDED_SHOWN = 20


def run(system, params, check_mode):
    """Do what the options say.

    :param System system: the host
    :param dict params: as in the module's argument_spec
    :param bool check_mode: change nothing
    :returns: dict, the module's result
    :raises UserError: a wrong option, a host that can't, somebody who would be cut off
    """
    if params["confirm_within"] < 0 or params["confirm_within"] > 3600:
        raise UserError(
            "submission_firewall_confirm_within is {0}: give the seconds until an unconfirmed change undoes itself, "
            "from 1 to 3600, or 0 for never.".format(params["confirm_within"])
        )
    if params["state"] == "confirmed":
        return engine.confirm(system, check_mode)
    if params["state"] == "absent":
        return engine.enforce(system, "", "", None, check_mode)
    if params["sources"] is None:
        parse_ports(params["ports"])
        return {"changed": False, "findings": [NOTHING_DECLARED]}
    wanted, sources = restriction(params["sources"], params["ports"], params["allow_any"])
    choice = choose(
        system, engine.BACKENDS, params["backend"], params["persistence"], params.get("host_backend"), wanted
    )
    return _restrict(system, params, check_mode, wanted, sources, choice)


def _restrict(system, params, check_mode, wanted, sources, choice):
    def prospective(check):
        return engine.enforce(system, choice.backend, choice.persistence, wanted, check, params["confirm_within"])

    preview = {}
    result = prospective(True)
    if result["changed"]:
        ports = " and ".join(str(port) for port in wanted.ports)
        untouched = _untouched(system, params["config_dirs"], wanted.ports)
        preview = guard(
            system,
            params,
            lambda login: login.service not in untouched and not contains(wanted, login.address),
            "Closing {0} to all but the declared sources".format(ports),
        )
        if not check_mode:
            result = prospective(False)
    findings = result.get("findings", []) + preview.get("findings", [])
    findings += postfix_findings(system, params["config_dirs"])
    transparent_listeners, unseen = transparent.look(system, wanted.ports)
    result.update(preview, findings=findings + transparent_listeners)
    result["sources"] = {
        "declared": sources.declared,
        "networks4": len(wanted.networks4),
        "networks6": len(wanted.networks6),
        "folded": sources.folded[:FOLDED_SHOWN],
        "folded_total": len(sources.folded),
    }
    result["evidence"] = _families(wanted) + choice.evidence + result["evidence"] + unseen
    address = controller_address(system)
    result["controller"] = {"address": address, "allowed": contains(wanted, address) if address else None}
    result["listening"] = [port for port in wanted.ports if port in listening_ports(system)]
    return result


def _untouched(system, config_dirs, ports):
    """Names, in the log, of Postfix's services that answer on none of the ports: whoever uses port 25 goes on.

    :returns: set of str; a name that a service on one of the ports has too is not in it
    """
    inside, outside = set(), set()
    for config_dir in config_dirs:
        instance = Instance(system, config_dir)
        for port in {port_of(service) for service in instance.services() if service.kind == "inet"} - {None}:
            names = {instance.log_name(service) for service in instance.servers_on(port)}
            (inside if port in ports else outside).update(names)
    return outside - inside


def _families(wanted):
    lines = []
    for family in (4, 6):
        count = len(wanted.networks(family))
        ports = ", ".join(str(port) for port in wanted.ports)
        who = (
            "open to {0} network{1}".format(count, "" if count == 1 else "s") if count else "closed: no source declared"
        )
        lines.append("IPv{0}, TCP {1}: {2}".format(family, ports, who))
    return lines
