"""The document of a run, gathered from results of tasks; docs/report.md describes it, schema.json checks it."""

import datetime
import uuid
from collections import namedtuple

from harden_mail_controller.answers import NotUnderstood, common
from harden_mail_controller.text import clean

from .outcomes import count, is_worse, worst

SCHEMA = 1

# The control whose "not applicable" means that the host has no mail server, so that no other control applies.
_DISCOVERY = "mail-host-known"

# Lines of a list.
_LIST_LIMIT = 50


# A task on a host.
#   host:       str, as in the inventory
#   name:       str
#   control:    str, the control that it names; None
#   role:       str, the role that it is of; None
#   check_mode: bool
Task = namedtuple("Task", "host name control role check_mode")


class Report:
    """What is known so far.

    :param dict catalogue: control id -> its entry in controls.yml
    :param str playbook: file name
    :param str ansible: the release that runs it

    :ivar str run: identifier of this run
    :ivar defect: a sentence (str): a result could not be taken in, so the report has a gap; None
    """

    def __init__(self, catalogue, playbook, ansible):
        self.run = uuid.uuid4().hex
        self.defect = None
        self._hosts = {}
        self._catalogue = catalogue
        self._playbook = playbook
        self._ansible = ansible
        self._started = _now()
        self._check_mode = False

    def __bool__(self):
        """Whether there is anything to report."""
        return bool(self._hosts or self.defect)

    def add(self, task, answer, failed):
        """Take in one task's result on one host; of tasks that belong to no control, only a role's failure.

        :param Task task: which task, on which host
        :param dict answer: the result as callbacks get it (of a no_log task it holds no more than its state)
        """
        controls = [task.control] if task.control else self._controls_of(task.role) if failed else []
        for name in controls:
            self._check_mode = self._check_mode or task.check_mode
            self._merge(task, name, _facts_of(answer, task.check_mode, failed))

    def add_unreachable(self, task, answer):
        """Take in that a host did not answer, where that matters to a control."""
        if task.control or self._controls_of(task.role):
            self._host(task.host)["unreachable"] = clean(answer.get("msg") or "no answer")

    def _controls_of(self, role):
        return [name for name, entry in self._catalogue.items() if entry["role"] == role]

    def _host(self, name):
        return self._hosts.setdefault(name, {"controls": {}, "unreachable": None})

    def _merge(self, task, name, facts):
        control = self._host(task.host)["controls"].setdefault(name, _empty_control())
        said = clean(task.name)
        if facts["outcome"] in ("drift", "remediated"):
            facts["message"] = said
        # The worst outcome stands; of equals, the first says why.
        if not control["tasks"] or is_worse(facts["outcome"], control["outcome"]):
            control.update(outcome=facts["outcome"], message=facts["message"])
        control["tasks"].append(said)
        for key in ("evidence", "findings", "warnings"):
            control[key] += facts[key]

    def document(self, finished):
        """The report as docs/report.md describes it.

        :param bool finished: this is all
        """
        hosts = {name: self._host_document(host) for name, host in sorted(self._hosts.items())}
        controls = [control["outcome"] for host in hosts.values() for control in host["controls"].values()]
        return {
            "schema": SCHEMA,
            "run": self.run,
            "playbook": self._playbook,
            "started": self._started,
            "generated": _now(),
            "finished": finished,
            "defect": self.defect,
            "ansible": self._ansible,
            "check_mode": self._check_mode,
            "hosts": hosts,
            "totals": {
                "hosts": count(host["outcome"] for host in hosts.values()),
                "controls": count(controls),
            },
        }

    def _host_document(self, host):
        controls = dict(host["controls"])
        if host["unreachable"] is not None:
            self._fill(controls, "unreachable", host["unreachable"])
        elif controls.get(_DISCOVERY, {}).get("outcome") == "not-applicable":
            self._fill(controls, "not-applicable", controls[_DISCOVERY]["message"])
        outcomes = [control["outcome"] for control in controls.values()]
        if host["unreachable"] is not None:
            outcomes.append("unreachable")
        return {
            "outcome": worst(outcomes),
            "controls": {name: _capped(control) for name, control in sorted(controls.items())},
        }

    def _fill(self, controls, outcome, message):
        """Give an outcome to each control that the run did not come to."""
        for name in self._catalogue:
            controls.setdefault(name, dict(_empty_control(), outcome=outcome, message=message))


def _empty_control():
    return {
        "outcome": "not-applicable",
        "message": None,
        "tasks": [],
        "evidence": [],
        "findings": [],
        "warnings": [],
    }


def _facts_of(answer, check_mode, failed):
    """What one task result says of its control: a dict like ``_empty_control()``, without the tasks.

    :param dict answer: the result as callbacks get it (of a no_log task it holds no more than its state)
    """
    items = answer.get("results") or []
    try:
        if not isinstance(items, list):
            raise NotUnderstood("results", "no list")
        answer, *items = [dict(item, **common(item)) for item in [answer, *items] if isinstance(item, dict)]
    except NotUnderstood as error:
        return dict(_empty_control(), outcome="error", message=str(error))
    facts = {key: [text for part in [answer, *items] for text in part.get(key, [])] for key in ("evidence", "findings")}
    facts["warnings"] = [text for part in [answer, *items] for text in _texts(part.get("warnings"))]
    facts["message"] = None
    if failed:
        facts["outcome"] = "error"
        facts["message"] = clean(answer.get("msg") or answer.get("censored") or "The task failed and did not say why.")
    elif facts["findings"]:
        facts["outcome"] = "noncompliant"
    elif answer.get("changed"):
        facts["outcome"] = "drift" if check_mode else "remediated"
    elif answer.get("not_applicable"):
        facts["outcome"] = "not-applicable"
        facts["message"] = answer["not_applicable"]
    else:
        facts["outcome"] = "compliant"
    return facts


def _texts(value):
    """Ansible's list of sentences as clean text; a lone sentence is a list of one."""
    if not value:
        return []
    return [clean(text) for text in (value if isinstance(value, (list, tuple)) else [value])]


def _capped(control):
    """The control with its lists cut to ``_LIST_LIMIT`` lines, the last of which says how many there are."""
    result = dict(control)
    for key in ("evidence", "findings", "warnings"):
        lines = control[key]
        if len(lines) > _LIST_LIMIT:
            result[key] = lines[: _LIST_LIMIT - 1] + ["… and {0} more".format(len(lines) - _LIST_LIMIT + 1)]
    return result


def _now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
