"""Fails where ``playbooks/queue.yml`` is asked for what can't be meant; runs on the controller only."""

import os
import sys

from ansible.plugins.action import ActionBase

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.given import refusal
from harden_mail_controller.queue_request import Request


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        try:
            sentence = refusal(self._loader) or Request(task_vars, self._task.check_mode).refusal()
        except ValueError as error:
            sentence = str(error)
        if sentence:
            result.update(failed=True, msg=sentence)
        return result
