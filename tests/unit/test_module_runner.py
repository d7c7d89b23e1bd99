"""The way from arguments to a result."""

import pytest
from harden_mail.errors import NotApplicable, UserError
from harden_mail.module_runner import run_module


class Left(Exception):
    """The module has answered: (how, what)."""


class Module:
    params, check_mode = {}, False

    def __init__(self):
        self.warnings = []

    def warn(self, sentence):
        self.warnings.append(sentence)

    def exit_json(self, **answer):
        raise Left("exit", answer)

    def fail_json(self, **answer):
        raise Left("fail", answer)


def answer_to(raised):
    def work(_params, _check_mode):
        raise raised

    with pytest.raises(Left) as left:
        run_module(Module(), work)
    return left.value.args


def test_what_makes_no_sense_on_a_host_is_no_failure():
    assert answer_to(NotApplicable("No queue.")) == ("exit", {"changed": False, "not_applicable": "No queue."})


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (UserError("state is x."), "state is x."),
        (PermissionError(13, "Permission denied", "/var/spool"), "said: Permission denied (/var/spool)."),
        (KeyError("x"), "harden-mail has a defect: KeyError at test_module_runner.py:"),
    ],
)
def test_every_error_is_a_sentence(raised, sentence):
    how, answer = answer_to(raised)
    assert how == "fail"
    assert sentence in answer["msg"]


def test_warnings_are_handed_to_ansible():
    module = Module()
    with pytest.raises(Left) as left:
        run_module(module, lambda params, check_mode: {"changed": True, "warnings": ["mind"]})
    assert left.value.args == ("exit", {"changed": True})
    assert module.warnings == ["mind"]
