"""Each module's documentation against its code."""

import importlib.util
import pathlib
import sys

import ansible.module_utils
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "library").glob("*.py"))
# A specification's keys that the documentation repeats, and what each is when it is not said.
REPEATED = {"type": "str", "default": None, "required": False, "choices": None, "elements": None}


class Stopped(Exception):
    """Raised in place of the module's work."""


def every_module(function):
    return pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)(function)


@pytest.fixture
def load(monkeypatch):
    """Function that loads a module with our module_utils where Ansible puts them on a host."""
    monkeypatch.setattr(ansible.module_utils, "__path__", [*ansible.module_utils.__path__, str(ROOT / "module_utils")])

    def loader(path):
        spec = importlib.util.spec_from_file_location("documented_" + path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield loader
    for name in [name for name in sys.modules if name.startswith("ansible.module_utils.harden_mail")]:
        del sys.modules[name]


@pytest.fixture
def arguments_of(load, monkeypatch):
    """Function: what a module hands to AnsibleModule, as a dict."""

    def catcher(path):
        caught = {}

        def stop(*_arguments, **keywords):
            caught.update(keywords)
            raise Stopped

        module = load(path)
        monkeypatch.setattr(module, "AnsibleModule", stop)
        with pytest.raises(Stopped):
            module.main()
        return caught

    return catcher


def compared(option):
    found = {key: option.get(key, usual) for key, usual in REPEATED.items()}
    suboptions = option.get("options") or option.get("suboptions")
    if suboptions:
        found["options"] = {name: compared(suboption) for name, suboption in suboptions.items()}
    return found


def test_there_are_modules():
    assert MODULES


@every_module
def test_each_option_is_documented_as_it_is(path, load, arguments_of):
    documented = yaml.safe_load(load(path).DOCUMENTATION)
    specified = arguments_of(path)["argument_spec"]
    assert {name: compared(option) for name, option in documented.get("options", {}).items()} == {
        name: compared(option) for name, option in specified.items()
    }


@every_module
def test_check_mode_is_supported(path, arguments_of):
    assert arguments_of(path)["supports_check_mode"] is True


@every_module
def test_documentation_is_complete(path, load):
    module = load(path)
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert documentation["module"] == path.stem
    assert documentation["short_description"]
    assert documentation["attributes"]["check_mode"]["support"] == "full"
    for name, value in yaml.safe_load(module.RETURN).items():
        assert value["description"], name
        assert value["type"], name
        assert value["returned"], name


@every_module
def test_each_example_names_the_module_and_options_that_exist(path, load):
    module = load(path)
    options = yaml.safe_load(module.DOCUMENTATION).get("options", {})
    examples = yaml.safe_load(module.EXAMPLES)
    assert any(path.stem in task for task in examples)
    for task in examples:
        assert set(task.get(path.stem) or {}) <= set(options), task["name"]
