"""Gathers what became of each control on each host, and writes it down as JSON; see docs/report.md."""

import datetime
import json
import os
import shutil
import sys
import tempfile
import textwrap
import uuid

import yaml
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.answers import NotUnderstood, common
from harden_mail_controller.copying import GENERAL, has_template
from harden_mail_controller.text import clean

DOCUMENTATION = """
name: harden_mail_report
type: notification
short_description: Report the outcome of every control on every mail host
version_added: "0.1.0"
description:
  - Derives from task results what became of each control of C(controls.yml), prints it at the end (a line a host, or
    a table in check mode), and writes it as JSON at the start of each play and at the end.
  - Takes from a result only what the report is made of; of a task with C(no_log), only whether it failed or changed.
requirements:
  - Enabled by C(callbacks_enabled = harden_mail_report) in ansible.cfg.
options:
  report:
    description: The file to write; by default C(reports/latest.json) in the project.
    type: path
    env:
      - name: HARDEN_MAIL_REPORT
    ini:
      - section: harden_mail_report
        key: report
"""

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCHEMA = 1
# Says to the action compliance_verdict, in the workers: "the id of this run, and the file it reports to".
RUN_VARIABLE = "HARDEN_MAIL_RUN"
WORST_FIRST = (
    "unreachable",
    "error",
    "noncompliant",
    "drift",
    "remediated",
    "compliant",
    "not-applicable",
)
# The control whose "not applicable" means that the host has no mail server, so that no other control applies.
DISCOVERY = "mail-host-known"
LIST_CAP = 50
COLOURS = {
    "unreachable": C.COLOR_UNREACHABLE,
    "error": C.COLOR_ERROR,
    "noncompliant": C.COLOR_ERROR,
    "drift": C.COLOR_CHANGED,
    "remediated": C.COLOR_CHANGED,
    "compliant": C.COLOR_OK,
    "not-applicable": C.COLOR_SKIP,
}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "harden_mail_report"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook):
        self._path = self.get_option("report") or os.path.join(PROJECT, "reports", "latest.json")
        self._report = Report(load_catalogue(), os.path.basename(playbook._file_name))
        os.environ[RUN_VARIABLE] = "{0} {1}".format(self._report.run, self._path)

    def v2_playbook_on_play_start(self, play):
        self._write(finished=False)

    def v2_runner_on_ok(self, result):
        self._take(self._report.add, result, failed=False)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        # Ignored or rescued: what the task was to see to has not been seen to.
        self._take(self._report.add, result, failed=True)

    def v2_runner_on_unreachable(self, result):
        self._take(self._report.add_unreachable, result)

    def _take(self, add, result, **keywords):
        try:
            add(result, **keywords)
        except Exception as error:
            # Ansible makes a warning of it and goes on; a report with a gap must not look like one without.
            self._report.defect = clean("{0}: {1}".format(type(error).__name__, error))
            raise

    def v2_playbook_on_stats(self, stats):
        document = self._write(finished=True)
        if document is None:
            return
        self._display.banner("MAIL HOSTS")
        lines = list(table(document) if document["check_mode"] else summary(document))
        for text, outcome in lines:
            self._display.display(text, color=COLOURS.get(outcome))
        if any(has_template(text) for text, _ in lines):
            self._display.display(GENERAL)

    def _write(self, finished):
        """Write the report unless it is empty, and return it as a dict (None: there is nothing to report)."""
        if not self._report.hosts and not self._report.defect:
            return None
        document = self._report.document(finished)
        try:
            write_json(self._path, document)
        except OSError as error:
            self._display.warning("The report can't be written to {0}: {1}.".format(self._path, error.strerror))
        return document


class Report:
    """What is known so far.

    :param dict catalogue: control id -> its entry in controls.yml
    :param str playbook: file name
    """

    def __init__(self, catalogue, playbook):
        self.run = uuid.uuid4().hex
        self.defect = None
        self.hosts = {}
        self._catalogue = catalogue
        self._playbook = playbook
        self._started = now()
        self._check_mode = False

    def add(self, result, failed):
        """Take in one task's result on one host; of tasks that belong to no control, only a role's failure."""
        task, answer = result._task, result._result
        control = control_of(task)
        controls = [control] if control else self._controls_of_role(task) if failed else []
        for name in controls:
            self._check_mode = self._check_mode or bool(task.check_mode)
            self._merge(result, name, facts_of(answer, bool(task.check_mode), failed))

    def add_unreachable(self, result):
        if control_of(result._task) or self._controls_of_role(result._task):
            host = self._host(result)
            host["unreachable"] = clean(result._result.get("msg") or "no answer")

    def _controls_of_role(self, task):
        role = task._role.get_name() if task._role else None
        return [name for name, entry in self._catalogue.items() if entry["role"] == role]

    def _host(self, result):
        return self.hosts.setdefault(result._host.get_name(), {"controls": {}, "unreachable": None})

    def _merge(self, result, name, facts):
        control = self._host(result)["controls"].setdefault(name, empty_control())
        task = clean(result._task.name or result._task.get_name())
        if facts["outcome"] in ("drift", "remediated"):
            facts["message"] = task
        # The worst outcome stands; of equals, the first says why.
        if not control["tasks"] or WORST_FIRST.index(facts["outcome"]) < WORST_FIRST.index(control["outcome"]):
            control.update(outcome=facts["outcome"], message=facts["message"])
        control["tasks"].append(task)
        for key in ("evidence", "findings", "warnings"):
            control[key] += facts[key]

    def document(self, finished):
        """The report as docs/report.md describes it."""
        hosts = {name: self._host_document(host) for name, host in sorted(self.hosts.items())}
        controls = [control["outcome"] for host in hosts.values() for control in host["controls"].values()]
        return {
            "schema": SCHEMA,
            "run": self.run,
            "playbook": self._playbook,
            "started": self._started,
            "generated": now(),
            "finished": finished,
            "defect": self.defect,
            "ansible": ansible_version,
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
        elif controls.get(DISCOVERY, {}).get("outcome") == "not-applicable":
            self._fill(controls, "not-applicable", controls[DISCOVERY]["message"])
        outcomes = [control["outcome"] for control in controls.values()]
        if host["unreachable"] is not None:
            outcomes.append("unreachable")
        return {
            "outcome": min(outcomes, key=WORST_FIRST.index),
            "controls": {name: capped(control) for name, control in sorted(controls.items())},
        }

    def _fill(self, controls, outcome, message):
        """Give an outcome to each control that the run did not come to."""
        for name in self._catalogue:
            controls.setdefault(name, dict(empty_control(), outcome=outcome, message=message))


def load_catalogue():
    """controls.yml as a dict: id -> entry."""
    path = os.path.join(PROJECT, "controls.yml")
    try:
        with open(path, encoding="utf-8") as handle:
            return {entry["id"]: entry for entry in yaml.safe_load(handle)["controls"]}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise AnsibleError("The catalogue of controls {0} can't be used: {1}".format(path, error)) from None


def control_of(task):
    """The control that a task names in its own variables or those of a block or role around it, or None."""
    return task.get_vars().get("control")


def empty_control():
    return {
        "outcome": "not-applicable",
        "message": None,
        "tasks": [],
        "evidence": [],
        "findings": [],
        "warnings": [],
    }


def facts_of(answer, check_mode, failed):
    """What one task result says of its control: a dict like ``empty_control()``, without the tasks.

    :param dict answer: the result as callbacks get it (of a no_log task it holds no more than its state)
    """
    items = answer.get("results") or []
    try:
        if not isinstance(items, list):
            raise NotUnderstood("results", "no list")
        answer, *items = [dict(item, **common(item)) for item in [answer, *items] if isinstance(item, dict)]
    except NotUnderstood as error:
        return dict(empty_control(), outcome="error", message=str(error))
    facts = {key: [text for part in [answer, *items] for text in part.get(key, [])] for key in ("evidence", "findings")}
    facts["warnings"] = [text for part in [answer, *items] for text in texts(part.get("warnings"))]
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


def texts(value):
    """Ansible's list of sentences as clean text; a lone sentence is a list of one."""
    if not value:
        return []
    return [clean(text) for text in (value if isinstance(value, (list, tuple)) else [value])]


def capped(control):
    """The control with its lists cut to ``LIST_CAP`` lines, the last of which says how many there are."""
    result = dict(control)
    for key in ("evidence", "findings", "warnings"):
        lines = control[key]
        if len(lines) > LIST_CAP:
            result[key] = lines[: LIST_CAP - 1] + ["… and {0} more".format(len(lines) - LIST_CAP + 1)]
    return result


def count(outcomes):
    """How often each outcome occurs, worst first; those that don't occur are left out."""
    outcomes = list(outcomes)
    return {outcome: outcomes.count(outcome) for outcome in WORST_FIRST if outcome in outcomes}


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_json(path, document):
    """Replace a file in one step. Readable by its owner only: it says where hosts are weak."""
    directory = os.path.dirname(os.path.abspath(path))
    os.makedirs(directory, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".report-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(document, handle, ensure_ascii=False, indent=2)
            handle.write("\n")
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# --- for the terminal -------------------------------------------------------------------------------------


def summary(document):
    """Lines for a run that changes things, one a host: yields (text, outcome)."""
    width = max((len(clean(name)) for name in document["hosts"]), default=0)
    for name, host in document["hosts"].items():
        yield "{0:{1}}  {2:14}  {3}".format(clean(name), width, host["outcome"], in_a_line(host)), host["outcome"]
    yield totals(document), None


def in_a_line(host):
    """What made a host's outcome: the controls that have it, and what the first says where a person is to act."""
    names = [name for name, control in host["controls"].items() if control["outcome"] == host["outcome"]]
    if not names or host["outcome"] in ("drift", "remediated", "compliant"):
        return ", ".join(names)
    says = reason(host["controls"][names[0]])
    return says if len(names) == len(host["controls"]) else "{0}: {1}".format(", ".join(names), says)


def table(document):
    """Lines for a run in check mode, one or more a control: yields (text, outcome)."""
    rows = [row for name, host in document["hosts"].items() for row in rows_of(clean(name), host["controls"])]
    widths = [max(len(row[column]) for row in [*rows, ("HOST", "CONTROL", "OUTCOME")]) for column in range(3)]
    room = max(30, shutil.get_terminal_size((120, 24)).columns - sum(widths) - 6)
    layout = "  ".join("{{{0}:{1}}}".format(column, width) for column, width in enumerate(widths))
    yield layout.format("HOST", "CONTROL", "OUTCOME") + "  WHY", None
    former = None
    for host, control, outcome, why in rows:
        lines = textwrap.wrap(why, room) or [""]
        yield (layout.format("" if host == former else host, control, outcome) + "  " + lines[0]).rstrip(), outcome
        for line in lines[1:]:
            yield layout.format("", "", "") + "  " + line, outcome
        former = host
    yield totals(document), None


def rows_of(host, controls):
    """(host, control, outcome, reason) for each control; one row where the same holds for all of them."""
    rows = [
        # Who would be cut off is a warning, and belongs beside the drift.
        (host, name, control["outcome"], " ".join(filter(None, [reason(control), *control["warnings"]])))
        for name, control in controls.items()
    ]
    if len(rows) > 1 and len({row[2:] for row in rows}) == 1:
        return [(host, "all {0}".format(len(rows)), *rows[0][2:])]
    return rows


def reason(control):
    """The first thing that a person should read about a control."""
    findings = control["findings"]
    if control["message"]:
        return control["message"]
    if findings:
        return findings[0] + (" (and {0} more)".format(len(findings) - 1) if len(findings) > 1 else "")
    return ""


def totals(document):
    number = len(document["hosts"])
    parts = ["{0} {1}".format(amount, outcome) for outcome, amount in document["totals"]["hosts"].items()]
    return "{0} host{1}: {2}".format(number, "" if number == 1 else "s", ", ".join(parts))
