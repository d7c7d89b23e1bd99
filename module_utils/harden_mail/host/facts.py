"""All that is known of a host, with the evidence."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .. import smtp
from ..system import System
from .accounts import find_accounts
from .firewall import find_firewall
from .listeners import find_listeners
from .logs import find_logs
from .mta import find_mta, sendmail_program
from .panel import find_panel
from .pop import find_pop
from .processes import find_processes
from .services import find_services


def gather(
    system: System, probe: Callable[[Sequence[Tuple[int, Sequence[str]]]], List[smtp.Offer]] = smtp.probe
) -> Dict[str, Any]:
    """Look at the host.

    :param system: the host
    :param probe: asks SMTP servers what they offer; see :func:`smtp.probe`
    :returns: the value of ``ansible_facts.mail_host``
    """
    processes = find_processes(system)
    services = find_services(system)
    facts: Dict[str, Any] = {}
    evidence: Dict[str, str] = {}

    def put(name: str, found: Tuple[Any, Dict[str, str]]) -> None:
        facts[name], how = found
        for path, text in how.items():
            evidence[".".join(part for part in (name, path) if part)] = text

    put("panel", find_panel(system))
    put("mta", find_mta(system, processes, services, facts["panel"]))
    put("pop", find_pop(system, processes))
    put("firewall", find_firewall(system, services, facts["panel"]))
    put("accounts", find_accounts(system, facts["mta"], facts["pop"], facts["panel"]))
    put("logs", find_logs(system, facts["mta"], facts["panel"]))
    put("cron", services.find_cron(system))
    put("service_manager", (services.manager, {"": services.evidence}))
    put("listeners", find_listeners(system, processes, facts["mta"], probe))
    facts["evidence"] = evidence
    return facts


def why_not_applicable(system: System, facts: Dict[str, Any]) -> Optional[str]:
    """A sentence on why there is nothing to harden here, or None when there is a mail server."""
    if facts["mta"]["name"]:
        return None
    program = sendmail_program(system)
    instead = "{0} sends its mail".format(program) if program else "nothing sends mail"
    return "This host has no mail server that is known here (Postfix or qmail); {0}.".format(instead)
