"""What the plugins have in common that run on the controller.

A plugin puts this directory's parent on the path before it imports from here; what needs no Ansible is beside the
modules' logic, in ``module_utils/harden_mail``, and is imported as ``harden_mail``.
"""

import os
import sys

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_LOGIC = os.path.join(PROJECT, "module_utils")
if _LOGIC not in sys.path:
    sys.path.append(_LOGIC)
