"""The role password_audit, run for real with modules that answer as told: what follows from what was guessed."""

import json
import pathlib
import shutil

import pytest
from project import ROOT, Project

# Stands in for the modules: notes what it was asked, and answers what it finds.
MODULE = """
import json, os, pathlib
from ansible.module_utils.basic import AnsibleModule, _load_params

options = {{name: {{"type": "raw"}} for name in _load_params() if not name.startswith("_ansible")}}
module = AnsibleModule(options, supports_check_mode=True)
place = pathlib.Path({place!r})
(place / "{name}.asked").write_text(json.dumps(dict(module.params, check=module.check_mode)))
answer = place / "{name}.answer"
module.exit_json(**(json.loads(answer.read_text()) if answer.exists() else {{"changed": False, "findings": []}}))
"""

PLAY = """
- hosts: all
  gather_facts: false
  roles:
    - password_audit
"""

FACTS = {
    "mail_host": {
        "mta": {"name": "postfix", "instances": [{"name": None, "config_dir": "/etc/postfix"}]},
        "accounts": [{"store": "dovecot-passwd-file", "path": "/etc/dovecot/users", "count": 3}],
        "logs": {"files": ["/var/log/mail.log"], "journal": True},
    }
}
NOT_APPLICABLE = {"not_applicable": "No store.", "changed": False}
GUESSED = [{"name": "info@example.com", "token": "abc", "kind": "common"}]
ANSWER = {
    "changed": False,
    "finished": True,
    "progress": {"accounts": 3, "guessed": 1, "everyone": None, "seconds": 3.0},
    "guessed_accounts": ["info@example.com"],
    "guessed": GUESSED,
    "knows_all": True,
    "kept_accounts": [],
    "findings": ["The password of info@example.com was guessed."],
    "evidence": [],
}


class Host:
    """A project with the real role, and one host."""

    def __init__(self, directory):
        self.project, self.directory = Project(directory), directory
        shutil.rmtree(directory / "roles" / "password_audit")
        shutil.copytree(ROOT / "roles" / "password_audit", directory / "roles" / "password_audit")
        for name in ("mail_password_audit", "submission_block", "mail_password_notice"):
            text = MODULE.format(place=str(directory), name=name)
            (directory / "library" / (name + ".py")).write_text(text)
        (directory / "play.yml").write_text(PLAY)
        (directory / "mail_password_audit.answer").write_text(json.dumps(ANSWER))
        blocked = {"changed": False, "blocked": [], "findings": []}
        (directory / "submission_block.answer").write_text(json.dumps(blocked))

    def answer(self, **changes):
        (self.directory / "mail_password_audit.answer").write_text(json.dumps(dict(ANSWER, **changes)))

    def play(self, *arguments, **variables):
        facts = variables.pop("facts", FACTS)
        self.project.inventory(vps1=dict(variables, ansible_facts=facts))
        return self.project.play("play.yml", *arguments, "-e", json.dumps({"ansible_facts": facts}))

    def asked(self, name):
        path = pathlib.Path(self.directory / (name + ".asked"))
        return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_by_default_it_only_reports(host):
    run = host.play()
    assert run.status == 0, run.out
    asked = host.asked("mail_password_audit")
    assert asked["stores"] == FACTS["mail_host"]["accounts"]
    assert (float(asked["budget_seconds"]), asked["name_guessed"]) == (60.0, False)
    assert (host.asked("submission_block")["state"], host.asked("submission_block")["accounts"]) == ("absent", [])
    assert host.asked("mail_password_notice") is None
    assert run.outcome("vps1", "passwords-not-guessable") == "noncompliant"


def test_accounts_are_blocked_and_told(host):
    run = host.play(
        password_audit_action=["notify", "block_submission"],
        password_audit_notify_language="ja",
        password_audit_stores=[{"store": "shadow"}],
    )
    assert run.status == 0, run.out
    assert host.asked("mail_password_audit")["stores"] == [{"store": "shadow"}]
    assert host.asked("mail_password_audit")["name_guessed"] is True
    block = host.asked("submission_block")
    assert (block["state"], block["reason"], block["accounts"]) == (
        "present",
        "password_audit",
        ["info@example.com"],
    )
    assert (block["backend"], block["config_dirs"]) == ("postfix", ["/etc/postfix"])
    notice = host.asked("mail_password_notice")
    assert (notice["accounts"], notice["language"], notice["blocked"]) == (GUESSED, "ja", True)


@pytest.mark.parametrize("answer", [{"not_applicable": "qmail can't.", "changed": False}, None])
def test_nobody_is_told_of_a_block_that_was_not_made(host, answer):
    (host.directory / "submission_block.answer").write_text(json.dumps(answer))
    if answer is None:
        (host.directory / "mail_password_audit.answer").write_text(json.dumps(dict(NOT_APPLICABLE, guessed=GUESSED)))
    assert host.play(password_audit_action=["notify", "block_submission"]).status == 0
    assert host.asked("mail_password_notice")["blocked"] is False


@pytest.mark.parametrize("action", ["notify", ["notify"]])
def test_one_action_alone(host, action):
    assert host.play(password_audit_action=action).status == 0
    assert host.asked("submission_block")["state"] == "absent"
    assert host.asked("mail_password_notice")["blocked"] is False


def test_when_nobody_is_guessed_any_more_the_list_is_empty(host):
    host.answer(guessed_accounts=[], guessed=[], findings=[])
    run = host.play(password_audit_action=["block_submission"])
    assert (host.asked("submission_block")["state"], host.asked("submission_block")["accounts"]) == ("present", [])
    assert run.outcome("vps1", "passwords-not-guessable") == "compliant"


def test_who_was_guessed_where_nobody_could_look_stays_blocked_and_nobody_else(host):
    host.answer(knows_all=False, kept_accounts=["bob@example.com", "info@example.com"])
    assert host.play(password_audit_action=["block_submission"]).status == 0
    assert host.asked("submission_block")["accounts"] == ["info@example.com", "bob@example.com"]


def test_blocks_stay_where_nothing_could_be_audited(host):
    (host.directory / "mail_password_audit.answer").write_text(json.dumps(NOT_APPLICABLE))
    run = host.play(password_audit_action=["block_submission"])
    assert run.status == 0, run.out
    assert host.asked("submission_block") is None


def test_absent_lifts_blocks_and_tells_nobody_even_without_a_mail_server(host):
    facts = json.loads(json.dumps(FACTS))
    facts["mail_host"]["mta"] = {"name": None, "instances": []}
    run = host.play(facts=facts, password_audit_state="absent", password_audit_action=["notify", "block_submission"])
    assert run.status == 0, run.out
    assert host.asked("mail_password_audit")["state"] == "absent"
    assert (host.asked("submission_block")["state"], host.asked("submission_block")["accounts"]) == ("absent", [])
    assert host.asked("mail_password_notice") is None


def test_check_mode_asks_the_same(host):
    assert host.play("--check", password_audit_action=["notify", "block_submission"]).status == 0
    for name in ("mail_password_audit", "submission_block", "mail_password_notice"):
        assert host.asked(name)["check"] is True


def test_an_action_that_is_none_is_refused(host):
    run = host.play(password_audit_action=["delete"])
    assert run.status == 2
    assert "password_audit_action" in run.out
    assert host.asked("mail_password_audit") is None
