"""The controller's part of mail_host_facts: what the host answers is checked."""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.checked import ModuleAction as ActionModule

__all__ = ["ActionModule"]
