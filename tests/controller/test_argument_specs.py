"""What roles and modules say of themselves is what they are."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def options_of(role):
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {})


def every_role(function):
    return pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)(function)


def test_there_are_roles():
    assert ROLES


@every_role
def test_each_default_is_the_one_that_the_specification_names(role):
    specified = {name: option["default"] for name, option in options_of(role).items() if "default" in option}
    assert (load(role / "defaults" / "main.yml") or {}) == specified


@every_role
def test_each_variable_begins_with_the_name_of_its_role(role):
    names = [*options_of(role), *(load(role / "vars" / "main.yml") or {})]
    assert [name for name in names if not name.startswith(role.name + "_")] == []


@every_role
def test_each_option_is_described_in_a_sentence(role):
    specification = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    assert specification["short_description"]
    for name, option in options_of(role).items():
        text = option["description"]
        assert (text if isinstance(text, str) else text[-1]).rstrip().endswith("."), name


@every_role
def test_each_task_that_changes_something_names_a_control(role):
    """Tasks of a role's own modules; only a task of Ansible's (an assertion, a fact) may have none."""
    known = {entry["id"] for entry in load(ROOT / "controls.yml")["controls"] if entry["role"] == role.name}
    for path in (role / "tasks").glob("*.yml"):
        for task in load(path):
            own = [key for key in task if (ROOT / "library" / (key + ".py")).exists()]
            if own:
                assert task.get("vars", {}).get("control") in known, task["name"]


def test_the_example_inventory_parses_and_names_each_variable_that_is_there(tmp_path):
    text = (ROOT / "inventory.example").read_text(encoding="utf-8")
    options = {name for role in ROLES for name in options_of(role)}
    named = set(re.findall(r"^\s*(?:# )?(\w+_\w+):", text, re.MULTILINE))
    switches = {role.name + "_enabled" for role in ROLES}
    others = {name for name in named if name.startswith(("ansible_", "submission_firewall_sources_"))}
    assert named - others - switches <= options
    assert options <= named
    # As `cp inventory.example inventory` makes it.
    (tmp_path / "inventory").write_text(text, encoding="utf-8")
    program = pathlib.Path(sys.executable).with_name("ansible-inventory")
    said = subprocess.run([program, "-i", "inventory", "--list"], cwd=tmp_path, capture_output=True, check=True)
    assert len(json.loads(said.stdout)["_meta"]["hostvars"]) == 5
