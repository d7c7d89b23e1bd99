"""Who may tell a mail server the address of a client: whatever goes by addresses then goes by what those say.

Asked of the servers themselves, as they would run now: ``postconf`` and ``doveconf``.
"""

import ipaddress
import re
from typing import Collection, Iterable, List

from .addresses import Network, is_loopback, is_within
from .errors import CommandError
from .postfix.instance import Instance
from .postfix.master_cf import Service, host_of, key_of, parse_services, port_of
from .system import System
from .text import printable

# Longest value that is shown.
_SHOWN = 200

XCLIENT = (
    "{service} has smtpd_authorized_xclient_hosts = {value}: who connects from there says which address it comes from "
    "and which user is logged in (XCLIENT), and so sends without a password, from any address. Say -o "
    "smtpd_authorized_xclient_hosts= on that service."
)
XFORWARD = (
    "{service} has smtpd_authorized_xforward_hosts = {value}: who connects from there has any address written into the "
    "log (XFORWARD), by which one looks for who sent what. Say -o smtpd_authorized_xforward_hosts= on that service."
)
PROXY = (
    "{service} has {name} = {value}: whoever connects to it past the proxy says which address it comes from and "
    "counts as that. Take it out, or have nobody but the proxy reach that port."
)
NOT_ASKED = "{0} can't be asked who may tell it the address of a client: {1}"

TRUSTED = (
    "Dovecot has {name} = {value}: who connects from there{local} says which address it comes from{how}, and that "
    "address may send. Take it out of Dovecot's configuration; webmail hosts that send by this host go into "
    "pop_before_smtp_exempt instead."
)
_LOCAL = ", which is every user and web application of this host,"
_HOW = {"login_trusted_networks": " (ID, XCLIENT)", "haproxy_trusted_networks": " (PROXY)"}


def postfix_findings(system: System, config_dirs: Iterable[str]) -> List[str]:
    """Findings on the services of Postfix that people submit mail by: sentences.

    Those are smtpd on 587 and 465, or where AUTH is taken; not on loopback, where filters hand mail back.

    :param config_dirs: of each instance
    """
    findings: List[str] = []
    for config_dir in config_dirs:
        try:
            listed = system.run(["postconf", "-c", config_dir, "-M"]).out
        except CommandError as error:
            findings.append(NOT_ASKED.format("Postfix of {0}".format(config_dir), error))
            continue
        instance = Instance(system, config_dir)
        services = parse_services(listed)
        submits = [service for service in services if _submits(instance, service)]
        for service in submits:
            findings += _of_smtpd(instance, service)
        if any(service.kind == "pass" for service in submits):
            for service in services:
                if service.command == "postscreen":
                    findings += _of_a_proxy(instance, service, "postscreen_upstream_proxy_protocol")
    return findings


def _submits(instance: Instance, service: Service) -> bool:
    if service.command != "smtpd" or service.kind not in ("inet", "pass"):
        return False
    if service.kind == "inet" and is_loopback(host_of(service)):
        return False
    takes_auth = instance.value(service, "smtpd_sasl_auth_enable").lower() == "yes"
    return takes_auth or (service.kind == "inet" and port_of(service) in (587, 465))


def _of_smtpd(instance: Instance, service: Service) -> List[str]:
    findings = []
    for name, text in (
        ("smtpd_authorized_xclient_hosts", XCLIENT),
        ("smtpd_authorized_xforward_hosts", XFORWARD),
    ):
        value = instance.value(service, name)
        # What begins with "!" is nobody.
        if any(not word.startswith("!") for word in value.replace(",", " ").split()):
            findings.append(text.format(service=_named(instance, service), value=printable(value, _SHOWN)))
    return findings + _of_a_proxy(instance, service, "smtpd_upstream_proxy_protocol")


def _of_a_proxy(instance: Instance, service: Service, name: str) -> List[str]:
    value = instance.value(service, name)
    if not value:
        return []
    return [PROXY.format(service=_named(instance, service), name=name, value=printable(value, _SHOWN))]


def _named(instance: Instance, service: Service) -> str:
    return "{0}: service {1}".format(instance.path, key_of(service))


def dovecot_findings(system: System, exempt: Collection[Network]) -> List[str]:
    """Findings on Dovecot where a log-in lets an address send: sentences.

    :param exempt: those that send without a log-in anyway
    """
    try:
        said = system.run(["doveconf", "-n"]).out
    except CommandError as error:
        return [NOT_ASKED.format("Dovecot", error)]
    findings = []
    for name, how in sorted(_HOW.items(), reverse=True):
        if name == "haproxy_trusted_networks" and not re.search(r"(?m)^\s*haproxy\s*=\s*yes\s*$", said):
            continue
        words = [word for word in _values(said, name) if not _is_harmless(word, exempt)]
        if words:
            is_local = any(is_loopback(word) for word in words)
            value = printable(" ".join(words), _SHOWN)
            findings.append(TRUSTED.format(name=name, value=value, how=how, local=_LOCAL if is_local else ""))
    return findings


def _values(said: str, name: str) -> List[str]:
    """Words of a setting wherever it stands, in filters too; 2.4 may write a list as a block."""
    words: List[str] = []
    for value in re.findall(r"(?m)^\s*{0}\s*=[ \t]*(.*)$".format(name), said):
        words += value.replace(",", " ").split()
    for block in re.findall(r"(?m)^\s*{0}\s*\{{([^}}]*)\}}".format(name), said):
        words += [line.partition("=")[0].strip() for line in block.splitlines() if "= yes" in line]
    return [word.strip('"') for word in dict.fromkeys(words) if word.strip('"')]


def _is_harmless(word: str, exempt: Collection[Network]) -> bool:
    """Whether only hosts that need no log-in could say so; on this host, that is also everybody who is on it."""
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError:
        return False
    return not network.is_loopback and any(is_within(network, other) for other in exempt)
