"""Every molecule scenario goes the whole way: it can add to the shared sequence, not take from it."""

import glob
import os

import pytest
import yaml
from project import ROOT

SCENARIOS = sorted(os.path.dirname(path) for path in glob.glob(os.path.join(ROOT, "tests/molecule/*/molecule.yml")))
SCENARIO = pytest.mark.parametrize("scenario", SCENARIOS, ids=os.path.basename)

SEQUENCE = [
    "create",
    "prepare",
    "side_effect ../shared/before.yml",
    "check",
    "side_effect ../shared/unchanged.yml",
    "converge",
    "side_effect ../shared/predicted.yml",
    "idempotence",
    "verify",
    "side_effect ../shared/reboot.yml",
    "verify",
    "side_effect ../shared/absent.yml",
    "side_effect ../shared/restored.yml",
    "destroy",
]


def read(path):
    with open(path, encoding="utf-8") as handle:
        return yaml.safe_load(handle)


def test_shared_sequence_is_whole():
    assert read(os.path.join(ROOT, ".config/molecule/config.yml"))["scenario"] == {"test_sequence": SEQUENCE}


@SCENARIO
def test_scenario_only_names_its_platforms(scenario):
    config = read(os.path.join(scenario, "molecule.yml"))
    assert list(config) == ["platforms"]
    assert config["platforms"]
    for platform in config["platforms"]:
        assert set(platform) <= {"name", "root"}


@SCENARIO
def test_scenario_does_something_and_looks_at_it(scenario):
    assert os.path.exists(os.path.join(scenario, "converge.yml"))
    assert glob.glob(os.path.join(scenario, "verify_*.py"))


def test_molecules_ansible_is_configured_as_the_projects():
    """Molecule writes an ansible.cfg of its own, so what users have must be said there once more."""
    ours = read(os.path.join(ROOT, ".config/molecule/config.yml"))["ansible"]["cfg"]
    with open(os.path.join(ROOT, "ansible.cfg"), encoding="utf-8") as handle:
        users = handle.read()
    for option in ("library", "module_utils", "roles_path", "lookup_plugins", "action_plugins", "callback_plugins"):
        directory = next(line for line in users.splitlines() if line.startswith(option + " ")).split("= ")[1]
        assert "${MOLECULE_PROJECT_DIRECTORY}/" + directory in ours["defaults"][option].split(":")
    assert "gathering = explicit" in users
    assert ours["defaults"]["gathering"] == "explicit"
    assert "pipelining = true" in users
    assert ours["ssh_connection"]["pipelining"] is True
