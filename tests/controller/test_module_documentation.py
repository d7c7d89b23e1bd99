"""Each module's documentation against its code."""

import importlib.util
import pathlib
import runpy
import sys
import types

import ansible.module_utils
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "library").glob("*.py"))
# Of a result, what Ansible takes for its own: a task with a true `skipped` has not run.
ANSIBLES_OWN = {"skipped", "failed", "results", "unreachable", "warnings", "deprecations", "exception", "invocation"}
# A specification's keys that the documentation repeats, and what each is when it is not said.
REPEATED = {"type": "str", "default": None, "required": False, "choices": None, "elements": None, "aliases": None}


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


def options_of(module):
    """The options that a module documents, with those of the fragments it names."""
    documentation = yaml.safe_load(module.DOCUMENTATION)
    options = documentation.get("options", {})
    for name in documentation.get("extends_documentation_fragment", []):
        fragment = runpy.run_path(str(ROOT / "doc_fragments" / (name + ".py")))["ModuleDocFragment"]
        options = dict(options, **yaml.safe_load(fragment.DOCUMENTATION)["options"])
    return options


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
    documented = options_of(load(path))
    specified = arguments_of(path)["argument_spec"]
    for name in set(documented) & set(specified):
        # A dict of which Ansible knows no suboptions is the business of the code that reads it.
        if not specified[name].get("options"):
            documented[name].pop("suboptions", None)
    assert {name: compared(option) for name, option in documented.items()} == {
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
    assert not ANSIBLES_OWN & set(yaml.safe_load(module.RETURN))
    for name, value in yaml.safe_load(module.RETURN).items():
        assert value["description"], name
        assert value["type"], name
        assert value["returned"], name


@every_module
def test_each_example_names_the_module_and_options_that_exist(path, load):
    module = load(path)
    options = options_of(module)
    examples = yaml.safe_load(module.EXAMPLES)
    assert any(path.stem in task for task in examples)
    for task in examples:
        assert set(task.get(path.stem) or {}) <= set(options), task["name"]


@pytest.mark.parametrize("name", ["mend", "remediate"])
def test_a_former_name_of_an_option_works_and_is_said(load, monkeypatch, name):
    module, warned, params = load(ROOT / "library" / "smtp25_without_auth.py"), [], {}

    def made(argument_spec, **_keywords):
        validated = ArgumentSpecValidator(argument_spec).validate({name: False})
        assert validated.error_messages == []
        params.update(validated.validated_parameters)
        return types.SimpleNamespace(params=params, warn=warned.append)

    monkeypatch.setattr(module, "AnsibleModule", made)
    monkeypatch.setattr(module, "run_module", lambda *_: None)
    module.main()
    assert params["remediate"] is False
    assert len(warned) == (name == "mend")
