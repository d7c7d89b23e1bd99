"""What ``playbooks/queue.yml`` is asked to do: its variables, read raw, and what can't be meant by them."""

import re

from ansible.module_utils.common.validation import check_type_dict
from ansible.module_utils.parsing.convert_bool import boolean

from .given import raw
from .text import clean

STATES = {
    "quarantine": "quarantined",
    "restore": "restored",
    "hold": "held",
    "release": "released",
    "delete": "deleted",
}
NUMBER = re.compile(r"[0-9]+\Z")
LIST_LIMIT = 20


class Request:
    """The playbook's variables.

    :param dict task_vars: as an action plugin gets them
    :param bool check_mode: whether nothing is to be changed
    :raises ValueError: with a sentence: a value of the wrong type
    """

    def __init__(self, task_vars, check_mode):
        self._check_mode = check_mode
        self._host = raw(task_vars, "inventory_hostname")
        self._hosts = raw(task_vars, "ansible_play_hosts_all", [])
        self.action = raw(task_vars, "queue_action", "list")
        self._run = raw(task_vars, "queue_run")
        self._confirm = raw(task_vars, "queue_confirm")
        self._limit = raw(task_vars, "queue_limit", LIST_LIMIT)
        self._select = selection(raw(task_vars, "queue_select", {}))
        self._all = truth(raw(task_vars, "queue_all", False))

    def refusal(self):
        """A sentence on what can't be meant, or None."""
        action, confirm = clean(self.action), clean(self._confirm)
        if self.action != "list" and self.action not in STATES:
            return "queue_action is {0}: give list, {1}.".format(action, ", ".join(STATES))
        if self.action != "list" and not (self._select or self._all or self._run):
            return (
                "queue_action is {0}, but nothing says which messages are meant: give queue_select, as "
                '-e \'{{"queue_select": {{"subject": "*お支払い*"}}}}\'{1}, or queue_all=true for each and every '
                "one.".format(action, ", or queue_run" if self.action == "restore" else "")
            )
        if self._run is not None and self.action != "restore":
            return "queue_run is {0}, but queue_action is {1}: what is in quarantine can only be restored.".format(
                clean(self._run), action
            )
        if self.action == "delete" and not self._check_mode and self._confirm is None:
            return (
                "queue_action is delete, which nothing undoes: give in queue_confirm the number of messages that "
                "--check shows{0}; quarantine can be undone.".format(
                    ", or the name of the host, " + clean(self._host) if len(self._hosts) == 1 else ""
                )
            )
        if self._confirm is not None and self._expected() is None and self._hosts != [self._confirm]:
            return (
                "queue_confirm is {0}, but this is about {1}: give the number of messages that match on each, or the "
                "name of the only host.".format(
                    confirm,
                    "{0} hosts".format(len(self._hosts)) if len(self._hosts) > 1 else clean(self._host),
                )
            )
        return None

    def _expected(self):
        """How many messages must match, or None."""
        return int(self._confirm) if NUMBER.match(str(self._confirm)) else None

    def call(self):
        """(module, its options)"""
        options = {"select": self._select, "limit_listed": self._limit}
        if self.action == "list":
            return "mail_queue_info", options
        options.update(state=STATES[self.action], all=self._all)
        if self._run is not None:
            options["run"] = self._run
        if self._expected() is not None:
            options["expect"] = self._expected()
        return "mail_queue", options


def selection(value):
    """``queue_select`` as a dict; on the command line it may be JSON in a text."""
    try:
        return check_type_dict(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise ValueError(
            'queue_select is {0}: give a dictionary, as -e \'{{"queue_select": {{"subject": "*お支払い*"}}}}\'.'.format(
                clean(value)
            )
        ) from None


def truth(value):
    try:
        return boolean(value)
    except TypeError:
        raise ValueError("queue_all is {0}: give true or false.".format(clean(value))) from None
