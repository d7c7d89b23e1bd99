"""Fails where an extra variable holds a template that was copied from our output; runs on the controller only."""

import os
import sys

from ansible.plugins.action import ActionBase

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.given import refusal


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        sentence = refusal(self._loader)
        if sentence:
            result.update(failed=True, msg=sentence)
        return result
