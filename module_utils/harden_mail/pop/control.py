"""What the module ``pop_before_smtp`` does: its options made a rule, the look at who would be cut off, the change."""

import ipaddress

from ..addresses import network_in
from ..errors import NotApplicable, UserError
from ..logs.guard import guard
from ..logs.pop_cutoffs import Window
from . import engine
from .meaning import BOTH, MOST_MINUTES
from .plan import Wanted

LOOPBACK = ("127.0.0.0/8", "::1/128")

NOT_KNOWN = "There is neither Postfix with Dovecot nor another mail server on this host that this knows of."


def run(system, params, check_mode):
    """Do what the options say.

    :param System system: the host
    :param dict params: as in the module's argument_spec
    :param bool check_mode: change nothing
    :returns: dict, the module's result
    :raises UserError: a wrong option; somebody would be cut off; the host can't be brought there
    """
    options = dict(params, pop_config_dir=params["pop_config_dir"] or "/etc/dovecot")
    if params["state"] == "absent":
        return engine.enforce(system, None, None, options, check_mode)
    name = params["backend"]
    if name is None:
        raise NotApplicable(NOT_KNOWN)
    backend = engine.known(name)
    meaning = params["meaning"] or (BOTH if BOTH in backend.meanings else None)
    if meaning is None:
        return {"changed": False, "findings": backend(system, options).undeclared(), "evidence": []}
    if meaning not in backend.meanings:
        raise UserError(
            "meaning is {0}, which {1} can't do: give {2}.".format(meaning, name, " or ".join(backend.meanings))
        )
    wanted = as_wanted(meaning, params)
    preview = {}
    # A rule that is there already cuts nobody off when it is mended.
    if meaning == BOTH and engine.load(system).get("rule") != engine.as_text(wanted):
        preview = guard(
            system,
            params,
            lambda login: not _is_exempt(login.address, wanted.exempt) and not _on_25(login.service),
            "Asking for a log-in by POP or IMAP in the {0} minutes before".format(wanted.minutes),
            Window(wanted.minutes, wanted.prefix6),
        )
    result = engine.enforce(system, name, wanted, options, check_mode)
    findings = result.get("findings", []) + preview.get("findings", [])
    return dict(result, **dict(preview, findings=findings))


def as_wanted(meaning, params):
    """The rule that the options describe.

    :raises UserError: an option that can't be meant
    """
    minutes, prefix6 = params["minutes"], params["ipv6_prefix"]
    if not 1 <= minutes <= MOST_MINUTES:
        raise UserError(
            "minutes is {0}: give how long a log-in counts, from 1 to {1} minutes.".format(minutes, MOST_MINUTES)
        )
    return Wanted(meaning, minutes, prefix6, tuple(_networks(params["exempt"])))


def _networks(entries):
    """Networks, folded and ascending, IPv4 first."""
    networks = [_network(str(entry)) for entry in entries]
    for version in (4, 6):
        yield from ipaddress.collapse_addresses(n for n in networks if n.version == version)


def _network(text):
    return network_in("exempt", text, "take it out, or state: absent", text.partition("#")[0].strip())


def _is_exempt(address, exempt):
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in exempt)


def _on_25(service):
    """Whether a log-in came by port 25, which is not touched, as far as its name in the log says."""
    return service in ("postfix/smtpd", "vchkpw-smtp")
