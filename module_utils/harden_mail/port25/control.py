"""No AUTH on port 25: what the module smtp25_without_auth does."""

import ipaddress
import time
from typing import List

from ..changes import Change, Run, WriteFile, file_change
from ..enforce import Memory, Notebook, Plan, enforce
from ..errors import UserError
from ..logs.guard import guard
from ..paths import PORT25_LOCK, PORT25_NOTEBOOK
from ..postfix.instance import Instance
from ..postfix.master_cf import host_of, key_of, port_of, with_option, without_option
from ..postfix.postconf import POSTFIX_DIR
from ..smtp import ask
from ..system import System

SETTING = "smtpd_sasl_auth_enable"
OPTION = SETTING + "=no"

QMAIL_SMTPD = "/var/qmail/bin/qmail-smtpd"

# Until a reload must have shown its effect, in seconds: smtpd processes end when they are idle.
_RELOAD_TIMEOUT = 10.0

LOOPBACK = ("127.0.0.1", "::1")

OFFERED = (
    "AUTH is offered on port 25 ({0}): who has guessed a password sends from anywhere, past a closed submission port. "
    "Set submission_firewall_no_auth_on_25: true to have it mended."
)
OFFERED_BY_QMAIL = (
    "AUTH is offered on port 25 by qmail, which isn't mended here: take the password checker and what follows it off "
    "qmail-smtpd's command line for port 25 (its run script, or /etc/xinetd.d/smtp_psa under Plesk, which writes that "
    "file anew when mail settings change), and leave it on that for 587."
)
AMBIGUOUS = "Ports 25 and {0} both log as {1}: the accounts named may be of people who send on {0} and aren't touched."


def run(system, params, check_mode):
    """Do what the options say.

    :param System system: the host
    :param dict params: as in the module's argument_spec
    :param bool check_mode: change nothing
    :returns: dict, the module's result
    :raises UserError: somebody would be cut off; Postfix doesn't like its configuration; AUTH is still there
    """
    if check_mode:
        return _run(system, params, check_mode)
    with system.lock(PORT25_LOCK):
        return _run(system, params, check_mode)


def _run(system, params, check_mode):
    if params["state"] == "absent":
        return _give_back(system, check_mode)
    config_dirs = params["config_dirs"]
    if config_dirs is None:
        config_dirs = [POSTFIX_DIR] if system.exists(POSTFIX_DIR + "/main.cf") else []
    for config_dir in config_dirs:
        if not system.exists(config_dir + "/master.cf"):
            raise UserError(
                "config_dirs names {0}, which has no master.cf: give Postfix configuration directories, such as "
                "{1}.".format(config_dir, POSTFIX_DIR)
            )
    if config_dirs:
        return _take_away(system, [Instance(system, path) for path in config_dirs], params, check_mode)
    if system.exists(QMAIL_SMTPD):
        return _look_at_qmail()
    return {"changed": False, "not_applicable": "There is neither Postfix nor qmail on this host."}


# --- present ----------------------------------------------------------------------------------------------


def _take_away(system, instances, params, check_mode):
    result = {"changed": False, "findings": [], "evidence": []}
    # A kill between the change and the reload leaves a file that is right and a server that isn't.
    todo = [instance for instance in instances if _offering(instance) or _answers(instance, offering=True)]
    if not todo:
        result["evidence"] = [line for instance in instances for line in _evidence(instance)]
        if not any(instance.servers_on(25) for instance in instances):
            result["not_applicable"] = "No smtpd of Postfix answers on port 25."
        return result
    if not params["remediate"]:
        result["findings"] = [OFFERED.format(", ".join(place for instance in todo for place in _places(instance)))]
        return result

    for instance in todo:
        # What Postfix can't read already would fail after the change; check mode has to say so too.
        _have_checked(instance)
    result.update(_preview(system, todo, params))
    result["changed"] = True
    wanted = [(instance, with_option(instance.text, _offering(instance), OPTION)) for instance in todo]
    result["diff"] = _diff(wanted)
    if not check_mode:
        for instance, text in wanted:
            _give(instance, text, _remembering(_notebook(system).read(), instance, text), prove=True)
    result["evidence"] = [line for instance in instances for line in _evidence(Instance(system, instance.config_dir))]
    return result


def _offering(instance):
    """Keys of the services on port 25 that are configured to offer AUTH."""
    return [
        key_of(service)
        for service in instance.servers_on(25)
        if service.command == "smtpd" and instance.value(service, SETTING).lower() != "no"
    ]


def _places(instance):
    return [
        "{0} in {1}".format(key_of(service), instance.path)
        for service in instance.servers_on(25)
        if key_of(service) in _offering(instance)
    ] or ["{0} as it runs, unlike {1}".format("Postfix", instance.path)]


def _preview(system, instances, params):
    on_25, elsewhere = set(), {}
    for instance in instances:
        here = {key_of(service) for service in instance.servers_on(25)}
        on_25.update(instance.log_name(service) for service in instance.servers_on(25))
        for service in instance.services():
            if service.kind == "inet" and service.command == "smtpd" and key_of(service) not in here:
                elsewhere[instance.log_name(service)] = port_of(service)
    # Of two ports that log alike, people of the other are named too: better than to leave out those of this one.
    warnings = [AMBIGUOUS.format(elsewhere[name], name) for name in sorted(on_25 & set(elsewhere))]
    try:
        found = guard(system, params, lambda login: login.service in on_25, "Taking AUTH off port 25")
    except UserError as error:
        if hasattr(error, "result"):
            error.result["warnings"] = warnings + error.result["warnings"]
        raise
    found["warnings"] = warnings + found["warnings"]
    return found


def _evidence(instance):
    lines = []
    for service in instance.servers_on(25):
        source = "master.cf" if SETTING in service.options else "main.cf"
        lines.append(
            "{0}/{1}: {2} has {3} = {4}".format(
                instance.config_dir, source, key_of(service), SETTING, instance.value(service, SETTING)
            )
        )
    answers = _answers(instance)
    for answer in answers:
        lines.append("EHLO to {0}: AUTH {1}".format(answer.where, "is offered" if answer.offered else "is not offered"))
    silent = len(_addresses(instance)) - len(answers)
    if silent:
        lines.append("{0}: {1} of its services on port 25 did not answer".format(instance.path, silent))
    return lines


def _diff(wanted):
    return {
        "before": "".join("# {0}\n{1}".format(instance.path, instance.text) for instance, _text in wanted),
        "after": "".join("# {0}\n{1}".format(instance.path, text) for instance, text in wanted),
    }


# --- the change --------------------------------------------------------------------------------------------


def _give(instance: Instance, text: str, memory: Memory, prove: bool) -> None:
    """Give an instance this master.cf and let the running Postfix take it up; what fails is taken back.

    :param memory: what the notebook is to have from then on
    :param prove: ask the server whether AUTH is gone
    """
    system, is_proved = instance.system, False
    answered = prove and bool(_answers(instance))

    def plan(_memory: Memory) -> Plan:
        changes = file_change(system, instance.path, text) + _taking_up(instance, text, is_running)
        return Plan(changes, memory, memory)

    def proof() -> None:
        nonlocal is_proved
        if answered and is_running:
            _prove(Instance(system, instance.config_dir))
        is_proved = True

    try:
        is_running = system.run(["postfix", "-c", instance.config_dir, "status"], check=False).rc == 0
        enforce(_notebook(system), plan, False, proof=proof)
    except UserError as error:
        if is_proved:
            raise
        raise UserError(
            "{0}. {1} is as it was; Postfix says more in the mail log.".format(str(error).rstrip("."), instance.path)
        ) from None


def _taking_up(instance: Instance, text: str, is_running: bool) -> List[Change]:
    """Changes that have Postfix look at its master.cf and, if it runs, go by it; undone, it goes by the former one."""
    postfix = ("postfix", "-c", instance.config_dir)
    looked_at = (Run(("postconf", "-c", instance.config_dir, "-M"), None), Run((*postfix, "check"), None))
    changes = [Change("", "", "", looked_at, ())]
    if is_running:
        reload = Run((*postfix, "reload"), None)
        # It is undone before the change of the file is.
        back = (WriteFile(instance.path, instance.text, 0o644), reload) if text != instance.text else ()
        changes.append(Change("", "", "", (reload,), back))
    return changes


def _have_checked(instance):
    """:raises UserError: Postfix can't read this master.cf"""
    instance.system.run(["postconf", "-c", instance.config_dir, "-M"])


def _prove(instance):
    """:raises UserError: AUTH is still offered or taken on port 25, or nothing answers any more"""
    end = time.monotonic() + _RELOAD_TIMEOUT
    while True:
        answers = _answers(instance, try_auth=True)
        open_still = [answer for answer in answers if answer.offered or answer.taken]
        if answers and not open_still:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    if not answers:
        raise UserError("After the change nothing answers on port 25.")
    raise UserError(
        "After the change {0} still {1} AUTH.".format(
            open_still[0].where, "offers" if open_still[0].offered else "takes"
        )
    )


def _answers(instance, offering=False, try_auth=False):
    """What the servers on port 25 answer: list of :class:`Answer`; empty when none does.

    :param bool offering: only those that offer AUTH
    """
    answers = []
    for addresses in _addresses(instance):
        for address in addresses:
            answer = ask(address, 25, try_auth)
            if answer is not None:
                answers.append(answer)
                break
    return [answer for answer in answers if answer.offered or not offering]


def _addresses(instance):
    """For each service on port 25, addresses to try one after the other: list of list of str."""
    tried = []
    for service in instance.services():
        if service.kind != "inet" or port_of(service) != 25 or service.command not in ("smtpd", "postscreen"):
            continue
        host = host_of(service)
        interfaces = [host] if host else instance.setting("inet_interfaces").replace(",", " ").split()
        addresses = [interface for interface in interfaces if _is_address(interface)]
        tried.append(addresses or list(LOOPBACK))
    return tried


def _is_address(text):
    try:
        return not ipaddress.ip_address(text.strip("[]")).is_unspecified
    except ValueError:
        return False


# --- the former state --------------------------------------------------------------------------------------


def _notebook(system: System) -> Notebook:
    """dict: config_dir -> {"before": str, "after": str, the master.cf without and with our option, "services": list of
    str}"""
    return Notebook(system, PORT25_NOTEBOOK)


def _remembering(former, instance, text):
    """``former`` with what is needed to give back the master.cf of an instance that is about to get ``text``."""
    if text == instance.text:
        return former
    ours = former.get(instance.config_dir, {}).get("services", [])
    remembered = {
        # What an earlier run put there isn't the host's own.
        "before": without_option(instance.text, ours, OPTION),
        "after": text,
        "services": sorted(set(ours) | set(_offering(instance))),
    }
    return dict(former, **{instance.config_dir: remembered})


def _give_back(system, check_mode):
    notebook = _notebook(system)
    former = notebook.read()
    wanted = []
    for config_dir, remembered in sorted(former.items()):
        if system.exists(config_dir + "/master.cf"):
            instance = Instance(system, config_dir)
            if instance.text == remembered["after"]:
                text = remembered["before"]
            elif instance.text == remembered["before"]:
                text = instance.text  # a run that was killed here has given it back
            else:
                text = without_option(instance.text, remembered["services"], OPTION)
            wanted.append((instance, text))
    result = {"changed": bool(former), "diff": _diff(wanted), "evidence": [], "findings": []}
    if not check_mode:
        for instance, text in wanted:
            _give(instance, text, former, prove=False)
        enforce(notebook, lambda _memory: Plan([], {}, {}), False)
    return result


# --- qmail -------------------------------------------------------------------------------------------------


def _look_at_qmail():
    answer = next(filter(None, (ask(address, 25) for address in LOOPBACK)), None)
    if answer is None:
        return {"changed": False, "not_applicable": "Nothing answers on port 25 of this host's loopback."}
    evidence = ["EHLO to {0}: AUTH {1}".format(answer.where, "is offered" if answer.offered else "is not offered")]
    return {"changed": False, "evidence": evidence, "findings": [OFFERED_BY_QMAIL] if answer.offered else []}
