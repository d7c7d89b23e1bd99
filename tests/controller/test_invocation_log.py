"""No module of ours has its arguments written to the host's log: they name accounts, findings and secrets."""

import ast
import io
import json
import sys

import pytest
from ansible.module_utils import basic
from ansible.plugins.action import ActionBase
from harden_mail_controller.checked import CheckedAction, ModuleAction
from project import ROOT
from real_roles import ANSWERS, RealRoles

MODULES = sorted((ROOT / "library").glob("*.py"))
# Module: why its invocation may be logged.
LOGGED = {"mail_host_facts": "it takes no arguments"}
SECRET = "canary-in-an-argument"


def made_with(path):
    """Keywords of the one call of AnsibleModule in a module: {name: node}."""
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "AnsibleModule"
    ]
    assert len(calls) == 1
    return {keyword.arg: keyword.value for keyword in calls[0].keywords}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_invocation_is_logged(path):
    keywords = made_with(path)
    if path.stem in LOGGED:
        assert ast.literal_eval(keywords["argument_spec"]) == {}
    else:
        assert ast.literal_eval(keywords["no_log"]) is True


def test_what_the_controller_says_of_the_log_is_that_nothing_is_logged(monkeypatch):
    def told(_self, _name, module_args, *_):
        module_args["_ansible_no_log"] = False

    monkeypatch.setattr(ActionBase, "_update_module_args", told)
    arguments = {}
    CheckedAction._update_module_args(object.__new__(ModuleAction), "submission_block", arguments, {})
    assert arguments["_ansible_no_log"] is True


@pytest.mark.parametrize("arguments", [[], ["-vvv", "--check"]])
def test_no_module_of_a_real_run_logs_and_results_are_seen(tmp_path, arguments):
    roles = RealRoles(tmp_path)
    run = roles.project.play("harden-mail.yml", *arguments)
    asked = {name: roles.asked(name) for name in ANSWERS}
    assert [name for name, options in asked.items() if options is None or options["logs"]] == [], run.out
    # Not what a task's no_log would be.
    assert "censored" not in run.out


@pytest.mark.parametrize("no_log", [True, False])
def test_results_stay_readable_where_the_invocation_is_not_logged(monkeypatch, capsys, no_log):
    """What ``no_log`` of AnsibleModule does in this ansible-core; that of a task would hide the result."""
    logged = []
    monkeypatch.setattr(basic.AnsibleModule, "_log_to_syslog", lambda _self, text: logged.append(text))
    monkeypatch.setattr(basic, "has_journal", False, raising=False)
    given = {
        "ANSIBLE_MODULE_ARGS": {
            "accounts": [SECRET],
            # This counts, whatever the module says of itself.
            "_ansible_no_log": no_log,
            "_ansible_remote_tmp": "/tmp",
            "_ansible_keep_remote_files": False,
        }
    }
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(given).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    module = basic.AnsibleModule(
        argument_spec={"accounts": {"type": "list", "elements": "str"}}, no_log=no_log, supports_check_mode=True
    )
    with pytest.raises(SystemExit):
        module.exit_json(changed=False, findings=[SECRET])
    assert SECRET in json.loads(capsys.readouterr().out)["findings"]
    assert (SECRET in " ".join(logged)) is not no_log
