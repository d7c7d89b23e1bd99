"""The report's arithmetic: outcomes, their order, caps, what is written and how."""

import importlib.util
import json
import os
import pathlib
import types

import pytest
from harden_mail_controller.text import clean
from harden_mail_report.document import Report
from harden_mail_report.files import write_json
from harden_mail_report.terminal import table
from hypothesis import given
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem + "_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


report = load(ROOT / "callback_plugins" / "harden_mail_report.py")
verdict = load(ROOT / "action_plugins" / "compliance_verdict.py")

CATALOGUE = {
    "mail-host-known": {"role": "mail_host"},
    "one": {"role": "first"},
    "two": {"role": "first"},
}


class Task:
    def __init__(self, control, role=None, check_mode=False):
        self.name = "task of {0}".format(control)
        self.check_mode = check_mode
        self._control = control
        self._role = role and types.SimpleNamespace(get_name=lambda: role)

    def get_vars(self):
        return {"control": self._control} if self._control else {}


def result(answer, control="one", host="vps1", **keywords):
    named = types.SimpleNamespace(get_name=lambda: host)
    return types.SimpleNamespace(_host=named, _task=Task(control, **keywords), _result=answer)


def of(*results, failed=()):
    """The report's document after these results; those in ``failed`` have failed."""
    found = Report(CATALOGUE, "play.yml", "2.19")
    for one in results:
        found.add(report._task_of(one), one._result, failed=False)
    for one in failed:
        found.add(report._task_of(one), one._result, failed=True)
    return found.document(finished=True)


def outcome(document, control="one"):
    return document["hosts"]["vps1"]["controls"][control]["outcome"]


@pytest.mark.parametrize(
    ("answer", "check_mode", "expected"),
    [
        ({}, False, "compliant"),
        ({"changed": True}, False, "remediated"),
        ({"changed": True}, True, "drift"),
        ({"changed": True, "findings": ["open"]}, False, "noncompliant"),
        ({"findings": []}, True, "compliant"),
        ({"not_applicable": "no listener"}, False, "not-applicable"),
        ({"results": [{"findings": ["open"]}, {}]}, False, "noncompliant"),
        ({"results": ["a package manager's text"]}, False, "compliant"),
    ],
)
def test_outcome_of_one_task(answer, check_mode, expected):
    assert outcome(of(result(answer, check_mode=check_mode))) == expected


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"findings": 5}, "findings is 5, not a list"),
        ({"findings": {"a": 1}}, "findings is a dictionary, not a list"),
        ({"findings": [["x"]]}, "findings[0] is a list, not a text"),
        ({"evidence": [None]}, "evidence[0] is null, not a text"),
        ({"changed": "no"}, "changed is the text 'no', not true or false"),
        ({"changed": 0}, "changed is 0, not true or false"),
        ({"not_applicable": True}, "not_applicable is True, not a text"),
        ({"results": 5}, "results is no list"),
        ({"results": [{"findings": 10**6000}]}, "findings is a number of 19932 bits, not a list"),
        ({"changed": "\x1b[2J\u202e"}, "changed is the text '\\x1b[2J\\u202e', not true or false"),
    ],
)
def test_an_answer_of_the_wrong_type_is_an_error_of_that_host_alone(answer, said):
    document = of(result(answer, host="bad"), result({}, host="good"))
    assert document["defect"] is None
    assert document["hosts"]["good"]["outcome"] == "compliant"
    assert document["hosts"]["bad"]["outcome"] == "error"
    assert said in document["hosts"]["bad"]["controls"]["one"]["message"]


def test_a_failure_is_an_error_and_its_message_is_kept():
    document = of(failed=[result({"msg": "no iptables"})])
    assert document["hosts"]["vps1"]["controls"]["one"]["message"] == "no iptables"
    assert document["hosts"]["vps1"]["outcome"] == "error"


@given(st.permutations([{}, {"changed": True}, {"findings": ["open"]}, {"not_applicable": "x"}]))
def test_the_worst_of_a_controls_tasks_stands_whatever_comes_first(answers):
    assert outcome(of(*[result(answer) for answer in answers])) == "noncompliant"


def test_of_two_tasks_one_not_applicable_the_other_counts():
    assert outcome(of(result({"not_applicable": "x"}), result({}))) == "compliant"
    document = of(result({}), result({"not_applicable": "x"}))
    assert outcome(document) == "compliant"
    assert document["hosts"]["vps1"]["controls"]["one"]["message"] is None


def test_a_role_that_fails_without_naming_a_control_fails_all_of_its_own():
    document = of(failed=[result({"msg": "bad argument"}, control=None, role="first")])
    assert outcome(document, "one") == outcome(document, "two") == "error"
    assert "mail-host-known" not in document["hosts"]["vps1"]["controls"]


def test_tasks_of_no_control_are_none_of_its_business():
    assert of(result({"changed": True}, control=None, role="first"))["hosts"] == {}
    assert of(failed=[result({"msg": "x"}, control=None)])["hosts"] == {}


def test_totals_count_hosts_and_controls():
    document = of(result({}), result({"changed": True}, control="two"), result({}, host="vps2"))
    assert document["totals"] == {
        "hosts": {"remediated": 1, "compliant": 1},
        "controls": {"remediated": 1, "compliant": 2},
    }


def test_lists_are_capped_and_say_so():
    findings = ["finding {0}".format(number) for number in range(60)]
    found = of(result({"findings": findings}))["hosts"]["vps1"]["controls"]["one"]["findings"]
    assert len(found) == 50
    assert found[-1] == "… and 11 more"


@given(st.text())
def test_clean_text_is_one_printable_line_that_can_be_encoded(text):
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert len(cleaned) <= 1000
    cleaned.encode("utf-8")


def test_clean_keeps_words_of_any_language():
    assert clean("587番ポート　が開いています\udc80") == "587番ポート が開いています\\udc80"


def test_a_report_that_cannot_be_written_leaves_the_former_one(tmp_path):
    path = tmp_path / "latest.json"
    write_json(str(path), {"schema": 1})
    with pytest.raises(TypeError):
        write_json(str(path), {"schema": object()})
    assert json.loads(path.read_text()) == {"schema": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["latest.json"]


def test_the_table_says_once_what_holds_for_all_controls_and_wraps_the_rest():
    document = of(result({}), result({}, control="two"), result({"findings": ["word " * 60]}, host="vps2"))
    lines = [text for text, _ in table(document)]
    assert lines[1].split() == ["vps1", "all", "2", "compliant"]
    assert len([line for line in lines if "word" in line]) > 1
    assert lines[-1] == "2 hosts: 1 noncompliant, 1 compliant"


def test_a_result_that_cannot_be_taken_in_is_a_gap_and_no_compliance(tmp_path, monkeypatch):
    path = tmp_path / "latest.json"
    monkeypatch.setenv(report._RUN_VARIABLE, "")
    callback = report.CallbackModule()
    monkeypatch.setattr(callback, "get_option", lambda name: str(path))
    callback.v2_playbook_on_start(types.SimpleNamespace(_file_name="compliance.yml"))
    callback.v2_runner_on_ok(result({}))
    with monkeypatch.context() as broken, pytest.raises(TypeError):
        broken.setattr("harden_mail_report.document._facts_of", None)
        callback.v2_runner_on_ok(result({"evidence": ["x"]}))
    callback.v2_playbook_on_play_start(None)
    assert "not callable" in json.loads(path.read_text())["defect"]
    answer = verdict.verdict(os.environ[report._RUN_VARIABLE])
    assert answer["unreachable"] is True
    assert "gap" in answer["msg"]
