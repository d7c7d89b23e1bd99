"""No module of ours has its arguments written to the host's log: they name accounts, findings and secrets."""

import ast
import io
import json
import sys

import pytest
from ansible.module_utils import basic
from project import ROOT

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


@pytest.mark.parametrize("no_log", [True, False])
def test_results_stay_readable_where_the_invocation_is_not_logged(monkeypatch, capsys, no_log):
    """What ``no_log`` of AnsibleModule does in this ansible-core; that of a task would hide the result."""
    logged = []
    monkeypatch.setattr(basic.AnsibleModule, "_log_to_syslog", lambda _self, text: logged.append(text))
    monkeypatch.setattr(basic, "has_journal", False, raising=False)
    given = {
        "ANSIBLE_MODULE_ARGS": {
            "accounts": [SECRET],
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
