"""Does what ``playbooks/queue.yml`` is asked to do: its variables are read here, raw, and never templated.

Text in them was copied from a listing, where spammers wrote it: ``{{ lookup('pipe', ...) }}`` in a subject would run
on the controller.
"""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.checked import CheckedAction
from harden_mail_controller.queue_request import Request


class ActionModule(CheckedAction):
    """Calls the module mail_queue_info or mail_queue; ``refuse_queue_request`` comes before."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        asked = Request(task_vars, self._task.check_mode)
        module, options = asked.call()
        result.update(
            self._execute_module(module_name=module, module_args=dict(self._task.args, **options), task_vars=task_vars)
        )
        result["quarantines"] = asked.action == "quarantine"
        return result
