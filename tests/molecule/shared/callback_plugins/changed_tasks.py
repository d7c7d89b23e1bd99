"""Notes which tasks a run of converge.yml reported as changed, so that check mode can be held to its word."""

import json
import os

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: changed_tasks
type: aggregate
short_description: notes the changed tasks of a scenario's converge.yml
description: Writes C(changed-check.json) or C(changed-run.json), host to list of tasks, into the lab's directory.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "changed_tasks"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.changed = {}
        self.noting = False

    def v2_playbook_on_start(self, playbook):
        self.noting = os.path.basename(playbook._file_name) == "converge.yml"

    def v2_runner_on_ok(self, result):
        tasks = self.changed.setdefault(result._host.get_name(), [])
        if result._result.get("changed"):
            tasks.append(result._task.get_name())

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.v2_runner_on_ok(result)

    def v2_playbook_on_stats(self, stats):
        if not self.noting:
            return
        kind = "check" if context.CLIARGS.get("check") else "run"
        path = os.path.join(os.environ["HARDEN_MAIL_LAB"], "changed-{0}.json".format(kind))
        with open(path, "w", encoding="utf-8") as handle:
            json.dump(self.changed, handle)
