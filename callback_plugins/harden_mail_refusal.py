"""Ends a run before it begins where text of others in ``-e`` would be run; needs not be enabled."""

import os
import sys

from ansible.plugins.callback import CallbackBase

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.given import refusal

DOCUMENTATION = """
name: harden_mail_refusal
type: notification
short_description: Refuse templates in what people copy from the output of harden-mail
version_added: "0.1.0"
description:
  - Ends C(ansible-playbook) with status 2 before the first task where an extra variable into which people copy text
    from harden-mail's output holds a template, or goes on as another variable.
  - The tasks of the playbooks that refuse the same are left out by C(--start-at-task) and C(--skip-tags always), and
    come too late for variables of the connection.
requirements:
  - Nothing. It is loaded from a project's directory.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "harden_mail_refusal"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_start(self, playbook):
        sentence = refusal(playbook._loader)
        if sentence:
            self._display.error(sentence, wrap_text=False)
            # Of an error in a callback, Ansible makes a warning.
            raise SystemExit(2)
