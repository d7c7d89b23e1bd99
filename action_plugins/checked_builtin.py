"""Does what a task of ansible.builtin would do, with our bounds on what the host answers to it.

    checked_builtin:
      module: ansible.builtin.file
      options: {path: /etc/x, state: absent}

Not for ``template``, which hands its work to another plugin: use ``copy`` with ``lookup('ansible.builtin.template')``.
"""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.checked import BoundedAction, CleanedAction


class ActionModule(BoundedAction):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        task = self._task.copy()
        task.action, task.args = self._task.args["module"], dict(self._task.args["options"])
        plugins = self._shared_loader_obj.action_loader
        plugin = plugins.get(
            task.action if plugins.has_plugin(task.action) else "ansible.builtin.normal", class_only=True
        )
        action = type("CleanedBuiltin", (CleanedAction, plugin), {})(
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return action.run(task_vars=task_vars)
