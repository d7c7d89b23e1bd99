"""Hands the results of tasks to the report, and shows and writes what became of it; see docs/report.md."""

import os
import sys

import yaml
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.copying import GENERAL, has_template
from harden_mail_controller.text import clean
from harden_mail_report.document import Report, Task
from harden_mail_report.files import write_json
from harden_mail_report.terminal import summary, table

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

_PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Says to the action compliance_verdict, in the workers: "the id of this run, and the file it reports to".
_RUN_VARIABLE = "HARDEN_MAIL_RUN"
_COLOURS = {
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
        self._path = self.get_option("report") or os.path.join(_PROJECT, "reports", "latest.json")
        self._report = Report(_catalogue(), os.path.basename(playbook._file_name), ansible_version)
        os.environ[_RUN_VARIABLE] = "{0} {1}".format(self._report.run, self._path)

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
            add(_task_of(result), result._result, **keywords)
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
            self._display.display(text, color=_COLOURS.get(outcome))
        if any(has_template(text) for text, _ in lines):
            self._display.display(GENERAL)

    def _write(self, finished):
        """Write the report unless it is empty, and return it as a dict (None: there is nothing to report)."""
        if not self._report:
            return None
        document = self._report.document(finished)
        try:
            write_json(self._path, document)
        except OSError as error:
            self._display.warning("The report can't be written to {0}: {1}.".format(self._path, error.strerror))
        return document


def _catalogue():
    """controls.yml as a dict: id -> entry."""
    path = os.path.join(_PROJECT, "controls.yml")
    try:
        with open(path, encoding="utf-8") as handle:
            return {entry["id"]: entry for entry in yaml.safe_load(handle)["controls"]}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise AnsibleError("The catalogue of controls {0} can't be used: {1}".format(path, error)) from None


def _task_of(result):
    """A result's :class:`Task`; its control is named in the task's variables or those of a block or role around it."""
    task = result._task
    return Task(
        result._host.get_name(),
        task.name or task.get_name(),
        task.get_vars().get("control"),
        task._role.get_name() if task._role else None,
        bool(task.check_mode),
    )
