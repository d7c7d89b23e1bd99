"""Turns the report of this run into the play's exit status; runs on the controller only.

0 (ok): in order. 2 (failed): a control is not as it ought to be. 4 (unreachable): a host could not be looked at, in
whole or in part, or there is no report. Ansible has no other way to end with 4 than a host that is "unreachable".
"""

import os
import sys

from ansible.plugins.action import ActionBase

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugin_utils"))
from harden_mail_controller.text import clean
from harden_mail_report.files import read_json
from harden_mail_report.outcomes import IN_ORDER, NOT_LOOKED_AT


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        result.update(verdict(os.environ.get("HARDEN_MAIL_RUN")))
        return result


def verdict(announced):
    """The result for Ansible.

    :param str announced: what the callback harden_mail_report says of this run, "ID PATH"; None when it is not enabled
    """
    if not announced:
        return unknown(
            "Nothing can be said of any host: the callback harden_mail_report is not enabled. "
            "Run this from the project's directory, where ansible.cfg enables it."
        )
    run, path = announced.split(" ", 1)
    report = read_json(path)
    if report.get("run") != run:
        return unknown(
            "Nothing can be said of any host: this run left no report in {0}. Either the inventory, the limit and the "
            "tags left nothing to look at, or the file could not be written (a warning above then says why).".format(
                path
            )
        )
    if report["defect"]:
        return unknown("The report has a gap, by a defect of harden-mail; please report it: " + report["defect"])
    not_looked_at = hosts_with(report, NOT_LOOKED_AT)
    if not_looked_at:
        return unknown("Could not be looked at, or not wholly: {0}.".format(listed(not_looked_at)))
    outcomes = {host["outcome"] for host in report["hosts"].values()}
    not_in_order = hosts_with(report, outcomes.difference(IN_ORDER))
    if not_in_order:
        return {"failed": True, "msg": "Not in order: {0}.".format(listed(not_in_order))}
    return {"msg": "In order: {0}.".format(listed(hosts_with(report, IN_ORDER)))}


def unknown(sentence):
    return {"unreachable": True, "msg": sentence}


def hosts_with(report, outcomes):
    return [name for name, host in report["hosts"].items() if host["outcome"] in outcomes]


def listed(names):
    """The first ten names and how many there are besides."""
    rest = len(names) - 10
    return ", ".join(clean(name) for name in names[:10]) + (" and {0} more".format(rest) if rest > 0 else "")
