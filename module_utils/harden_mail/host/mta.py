"""Which program moves this host's mail: Postfix, qmail, or none that is known here."""

import os
from typing import Any, Dict, Iterable, Optional, Tuple

from ..postfix.postconf import POSTFIX_DIR, postconf
from ..system import System
from .processes import Process, is_postfix_master, link
from .services import Services

QMAIL_DIR = "/var/qmail"

# Where daemontools (and its kin) look for the services they keep running.
SUPERVISED = ("/service", "/etc/service", "/var/service")


def nothing() -> Dict[str, Any]:
    """Facts ``mta`` of a host without any."""
    keys = ("name", "flavour", "version", "queue_dir", "config_dir", "service")
    return dict(dict.fromkeys(keys), instances=[])


def find_mta(
    system: System, processes: Iterable[Process], services: Services, panel: Dict[str, Any]
) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """Facts ``mta``."""
    candidates = []
    if system.which("postconf") and system.exists(POSTFIX_DIR + "/main.cf"):
        runs = any(is_postfix_master(process) for process in processes)
        candidates.append(("postfix", runs, POSTFIX_DIR + "/main.cf is there"))
    if system.exists(QMAIL_DIR + "/bin/qmail-send") and system.exists(QMAIL_DIR + "/control/me"):
        runs = any(process.name == "qmail-send" for process in processes)
        candidates.append(("qmail", runs, QMAIL_DIR + "/control/me and bin/qmail-send are there"))
    if not candidates:
        program = sendmail_program(system)
        return nothing(), {
            "name": "neither {0}/main.cf with postconf nor {1}/control/me with qmail-send; {2}".format(
                POSTFIX_DIR,
                QMAIL_DIR,
                "/usr/sbin/sendmail is " + program if program else "no /usr/sbin/sendmail",
            )
        }
    # Where one was replaced by the other, the files of both are there.
    owner = sendmail_program(system) or ""
    name, runs, why = max(
        candidates, key=lambda candidate: (candidate[1], candidate[0] in owner, services.enabled(candidate[0]))
    )
    facts, evidence = (_postfix if name == "postfix" else _qmail)(system, services, panel)
    evidence["name"] = "{0}, and it is {1}".format(why, "running" if runs else "not running")
    if len(candidates) > 1:
        evidence["name"] += "; the other one is set up too, but {0}".format(
            "this one owns /usr/sbin/sendmail" if name in owner else "was not preferred"
        )
    return facts, evidence


def sendmail_program(system: System) -> Optional[str]:
    """The program behind /usr/sbin/sendmail (absolute path, links followed), or None."""
    path = "/usr/sbin/sendmail"
    if not system.exists(path):
        return None
    for _step in range(8):
        target = link(system, path)
        if target is None:
            return path
        path = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return path


def _postfix(system: System, services: Services, panel: Dict[str, Any]) -> Tuple[Dict[str, Any], Dict[str, str]]:
    names = ("mail_version", "queue_directory", "daemon_directory", "multi_instance_directories")
    settings = postconf(system, POSTFIX_DIR, names)
    asked = "postconf -c {0} ".format(POSTFIX_DIR)
    if settings:
        evidence = {
            "version": asked + "mail_version",
            "queue_dir": asked + "queue_directory",
            "instances": asked + "multi_instance_directories",
        }
    else:
        evidence = {
            "version": "unknown: postconf gave no answer",
            "instances": "only the default one: postconf gave no answer",
        }
    instances = [{"name": None, "config_dir": POSTFIX_DIR, "queue_dir": settings.get("queue_directory")}]
    for directory in settings.get("multi_instance_directories", "").replace(",", " ").split():
        of_instance = postconf(system, directory, ("queue_directory", "multi_instance_name"))
        instances.append(
            {
                "name": of_instance.get("multi_instance_name") or None,
                "config_dir": directory,
                "queue_dir": of_instance.get("queue_directory"),
            }
        )
    facts = {
        "name": "postfix",
        "version": settings.get("mail_version"),
        "queue_dir": settings.get("queue_directory"),
        "config_dir": POSTFIX_DIR,
        "instances": instances,
    }
    evidence["config_dir"] = "main.cf is there"
    facts["flavour"], evidence["flavour"] = _postfix_flavour(system, panel, settings.get("daemon_directory"))
    facts["service"] = _service_of(services, "postfix", evidence)
    return facts, evidence


def _postfix_flavour(system: System, panel: Dict[str, Any], daemon_dir: Optional[str]) -> Tuple[str, str]:
    if panel["name"]:
        return "plesk", "the panel is Plesk"
    where = "daemon_directory is {0}".format(daemon_dir)
    if daemon_dir and system.exists("/etc/debian_version") and daemon_dir.startswith("/usr/lib/postfix"):
        return "debian", where + ", on Debian or its kin"
    if daemon_dir and system.is_dir("/var/lib/rpm") and daemon_dir.startswith(("/usr/libexec/postfix", "/usr/lib")):
        return "rpm", where + ", and /var/lib/rpm is there"
    return "plain", where + ", as of no distribution known here"


def _qmail(system: System, services: Services, panel: Dict[str, Any]) -> Tuple[Dict[str, Any], Dict[str, str]]:
    facts = dict(nothing(), name="qmail", queue_dir=QMAIL_DIR + "/queue", config_dir=QMAIL_DIR + "/control")
    evidence = {"queue_dir": "qmail's fixed place", "config_dir": "qmail's fixed place"}
    supervised = next(
        (
            directory + "/" + name
            for directory in SUPERVISED
            for name in ("qmail-send", "qmail")
            if system.exists(directory + "/" + name + "/run")
        ),
        None,
    )
    if panel["name"]:
        facts["flavour"], evidence["flavour"] = "plesk", "the panel is Plesk"
    elif supervised:
        facts["flavour"], evidence["flavour"] = "daemontools", supervised + "/run is there"
    else:
        facts["flavour"], evidence["flavour"] = "plain", "no panel, and no service directory of daemontools"
    if supervised:
        facts["service"], evidence["service"] = supervised, "daemontools keeps it running"
    else:
        facts["service"] = _service_of(services, "qmail", evidence)
    return facts, evidence


def _service_of(services: Services, name: str, evidence: Dict[str, str]) -> Optional[str]:
    service = services.get(name)
    if service is None:
        return None
    evidence["service"] = "known to {0}, {1} at boot".format(
        services.manager, "started" if service.enabled else "not started"
    )
    return service.name
