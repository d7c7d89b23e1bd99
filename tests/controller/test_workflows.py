"""What runs elsewhere in this project's name is fixed: somebody else's tag can be moved, a commit can't."""

import re

import yaml
from project import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def actions(workflow):
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]


def test_every_action_is_named_by_its_commit():
    used = [action for workflow in WORKFLOWS for action in actions(workflow)]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []


def test_a_workflow_may_read_only():
    for workflow in WORKFLOWS:
        assert yaml.safe_load(workflow.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}
