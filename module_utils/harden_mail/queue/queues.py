"""Which queue a module works on."""

from ..errors import NotApplicable, UserError
from ..host.mta import find_mta
from ..host.panel import find_panel
from ..host.processes import find_processes
from ..host.services import find_services
from .postfix.backend import PostfixQueue
from .qmail.backend import QmailQueue

QUEUES = {queue.name: queue for queue in (PostfixQueue, QmailQueue)}


def open_queue(system, params):
    """The queue that ``mta``, ``config_dir`` and ``queue_dir`` name; what is left out is found on the host.

    :param dict params: a module's parameters of these names
    :returns: Queue
    :raises NotApplicable: ``mta`` is ``auto``, and the host has none
    :raises UserError: there is none where it was said to be
    """
    services = find_services(system)
    facts, evidence = find_mta(system, find_processes(system), services, find_panel(system)[0])
    name = params["mta"] if params["mta"] != "auto" else facts["name"]
    if name is None and (params["config_dir"] or params["queue_dir"]):
        raise UserError(
            "mta is auto, but this host has no mail server that is known here ({0}): give postfix or qmail, whose "
            "queue is meant.".format(evidence["name"])
        )
    if name is None:
        raise NotApplicable("This host has no mail queue that is known here: {0}.".format(evidence["name"]))
    # Where a host has both, facts are of the one that is used.
    return QUEUES[name].open(system, facts if facts["name"] == name else None, services.manager, params)
