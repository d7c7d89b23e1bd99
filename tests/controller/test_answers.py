"""Answers of managed hosts are held to what the modules may say, before anything is shown or decided."""

import ast
import json
import re
import signal
import sys
import time

import pytest
import yaml
from harden_mail_controller import checked
from harden_mail_controller.answer_fields import COMMON, FIELDS
from harden_mail_controller.answers import NotUnderstood, common, understood
from harden_mail_controller.deadline import TimeIsUp, deadline
from hypothesis import given
from hypothesis import strategies as st
from project import ROOT
from real_roles import ANSWERS, RealRoles

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))


def usual(module, **values):
    return dict({"changed": False, "evidence": [], "findings": []}, **dict(ANSWERS.get(module, {}), **values))


def documented(module):
    tree = ast.parse((ROOT / "library" / (module + ".py")).read_text())
    text = next(
        node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "RETURN"
    )
    return set(yaml.safe_load(text))


@pytest.mark.parametrize("module", MODULES)
def test_every_field_that_a_module_documents_is_known_and_no_other(module):
    known = {name.rstrip("?") for name in FIELDS[module]}
    # Of the controller's part.
    known -= {"probed"} if module == "submission_firewall" else set()
    assert known | {"probed"} >= documented(module) - {name.rstrip("?") for name in COMMON}
    assert known <= documented(module)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_goes_through_the_check(module):
    text = (ROOT / "action_plugins" / (module + ".py")).read_text()
    assert "import ModuleAction as ActionModule" in text or "class ActionModule(CheckedAction)" in text


@pytest.mark.parametrize("module", sorted(ANSWERS))
def test_what_a_module_says_is_taken_as_it_is(module):
    answer = usual(module, findings=["Somebody must act."], diff={"before": "a\n", "after": "\tb  c\n"})
    assert understood(module, answer) == answer


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"mail_host_facts"}))
def test_an_answer_that_says_nothing_is_not_understood(module):
    for answer in ({}, {"changed": False}, {"changed": True, "evidence": []}, [], None, "ok"):
        with pytest.raises(NotUnderstood):
            understood(module, answer)
    assert understood(module, {"changed": False, "not_applicable": "No mail."})["not_applicable"] == "No mail."


def test_what_only_ansible_would_act_upon_is_dropped():
    poison = {"skipped": True, "results": [], "unreachable": True, "ansible_stats": {"data": {}}, "_ansible_x": 1}
    facts = {"mail_host": ANSWERS["mail_host_facts"]["ansible_facts"]["mail_host"]}
    answer = usual("mail_host_facts", **poison)
    answer["ansible_facts"] = dict(facts, password_audit_lists=[{"path": "/root/.ssh/id_rsa"}])
    assert understood("mail_host_facts", answer) == usual("mail_host_facts")
    answer = usual("queue_alert", ansible_facts={"submission_firewall_enabled": False}, **poison)
    assert understood("queue_alert", answer) == usual("queue_alert")


def test_facts_of_the_wrong_type_are_not_understood():
    for path, value in (("mta", "postfix"), ("logs", {"files": [1], "journal": True}), ("accounts", {"store": "x"})):
        answer = json.loads(json.dumps(usual("mail_host_facts")))
        answer["ansible_facts"]["mail_host"][path] = value
        with pytest.raises(NotUnderstood, match="ansible_facts.mail_host." + path):
            understood("mail_host_facts", answer)


def test_a_failure_stays_one_and_says_what_it_can():
    answer = understood("queue_alert", {"failed": "no", "msg": 5, "findings": 5, "evidence": [ESCAPES]})
    assert answer["failed"] is True
    assert "not why" in answer["msg"]
    assert answer["evidence"][0].isprintable()
    said = understood("queue_alert", {"failed": True, "msg": "one\ntwo" + ESCAPES, "skipped": True})
    assert said["msg"].startswith("one\n    two\\x1b]0;")
    assert "skipped" not in said


def leaves(value):
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value


@given(st.sampled_from(MODULES), st.data())
def test_whatever_comes_is_understood_and_harmless_or_not_understood(module, data):
    names = sorted({name.rstrip("?") for name in [*COMMON, *FIELDS[module], "failed", "msg", "other"]})
    answer = usual(module, **data.draw(st.dictionaries(st.sampled_from(names), JSON)))
    try:
        result = understood(module, answer)
    except NotUnderstood as error:
        assert str(error).isprintable()
        return
    handed = ("ansible_facts", "guessed_accounts", "guessed")
    for text in leaves({name: value for name, value in result.items() if name not in handed}):
        assert not isinstance(text, str) or all(sign.isprintable() or sign in "\n\t" for sign in text)


@given(st.dictionaries(st.sampled_from(["findings", "evidence", "changed", "not_applicable", "warnings"]), JSON))
def test_the_report_takes_what_is_right_or_says_so(answer):
    try:
        result = common(answer)
    except NotUnderstood:
        return
    assert isinstance(result.get("findings", []), list)
    assert isinstance(result.get("changed", False), bool)


def test_an_endless_answer_has_a_bound():
    nested = []
    for _ in range(100):
        nested = [nested]
    for value in (nested, [[0] * 1000] * 2000, ["x"] * 200000):
        with pytest.raises(NotUnderstood):
            understood("mail_password_audit", usual("mail_password_audit", summary=value))
    assert len(understood("queue_alert", usual("queue_alert", findings=["x" * 10**6]))["findings"][0]) == 1000


def test_warnings_and_errors_of_ansible_are_sentences():
    class Event:
        msg = "w" + ESCAPES

    class Summary:
        event = Event

    answer = checked.checked("queue_alert", usual("queue_alert", warnings=[Summary, "x"], deprecations=[Summary]))
    assert answer["warnings"][0].isprintable()
    assert answer["warnings"][1] == "x"
    assert "deprecations" not in answer
    assert checked.checked("queue_alert", {"exception": Summary}) == {
        "failed": True,
        "changed": False,
        "msg": "w\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e ",
    }


# --- the controller's own clock -------------------------------------------------------------------------------


def test_what_takes_too_long_is_ended():
    began = time.monotonic()
    with pytest.raises(TimeIsUp), deadline(0.2):
        try:
            time.sleep(30)
        except Exception:
            time.sleep(30)
    assert time.monotonic() - began < 5
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_an_earlier_timer_rings_as_it_would():
    rung = []
    former = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with deadline(30):
            time.sleep(0.4)
        assert rung == [1]
        signal.setitimer(signal.ITIMER_REAL, 30)
        with deadline(20):
            pass
        assert 25 < signal.getitimer(signal.ITIMER_REAL)[0] <= 30
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


# --- real runs ------------------------------------------------------------------------------------------------


@pytest.fixture
def roles(tmp_path):
    return RealRoles(tmp_path)


def control(text):
    return [sign for sign in text if not sign.isprintable() and sign not in "\n\t"]


def poisoned(module, **values):
    return usual(
        module,
        findings=["f" + ESCAPES],
        evidence=["e" + ESCAPES],
        warnings=["w" + ESCAPES],
        deprecations=[{"msg": "d" + ESCAPES, "version": "9"}],
        diff={"before": "b" + ESCAPES + "\n", "after": "a\n"},
        changed=True,
        msg="m" + ESCAPES,
        **values,
    )


CONTROLS = {
    "submission_firewall": "submission-restricted",
    "smtp25_without_auth": "no-auth-on-25",
    "pop_before_smtp": "pop-before-smtp",
    "queue_alert": "queue-watched",
    "mail_password_audit": "passwords-not-guessable",
}
# Each round: what modules answer (text, or fields), the outcome, and what the report says.
ROUNDS = [
    {
        "submission_firewall": (poisoned("submission_firewall"), "noncompliant", ""),
        "smtp25_without_auth": (poisoned("smtp25_without_auth", failed=True), "error", "m\\x1b]0;"),
        "pop_before_smtp": (json.dumps(usual("pop_before_smtp")) + "\njunk" + ESCAPES + "\n", "compliant", ""),
        "queue_alert": (usual("queue_alert", skipped=True, results=[], _ansible_x=1), "compliant", ""),
        "mail_password_audit": (usual("mail_password_audit", summary={ESCAPES: ESCAPES}), "compliant", ""),
    },
    {
        "smtp25_without_auth": ("no JSON at all" + ESCAPES, "error", ""),
        "pop_before_smtp": ({"skipped": True}, "error", "findings is missing"),
        "queue_alert": (usual("queue_alert", findings={"a": 1}), "error", "findings is a dictionary, not a list"),
        "mail_password_audit": (usual("mail_password_audit", knows_all=1), "error", "knows_all is 1, not true or"),
    },
    {
        "submission_firewall": (
            usual("submission_firewall", listening=["587; id"]),
            "error",
            "listening[0] is the text",
        ),
    },
    {
        "submission_firewall": ("{}", "error", "findings is missing"),
        "mail_password_audit": ({"exception": ESCAPES, "failed": True}, "error", ""),
    },
    {
        "smtp25_without_auth": ('{"findings": [], "changed": ' + "9" * 6000 + "}", "error", ""),
        "pop_before_smtp": (usual("pop_before_smtp", evidence=[["x"]]), "error", "evidence[0] is a list, not a text"),
        "queue_alert": (usual("queue_alert", changed="yes" + ESCAPES), "error", ""),
        "mail_password_audit": (usual("mail_password_audit", progress={"seconds": 0}), "error", "progress.accounts is"),
    },
]


@pytest.mark.parametrize("answers", ROUNDS)
@pytest.mark.parametrize("arguments", [["playbooks/compliance.yml"], ["harden-mail.yml", "--diff", "-vv"]])
def test_a_bad_answer_costs_its_own_control_and_steers_nothing(roles, answers, arguments):
    for module, (answer, _, _) in answers.items():
        roles.answer(module, answer)
    run = roles.project.play(*arguments, "-e", "password_audit_action=report", ANSIBLE_NOCOLOR="1")
    assert control(run.out) == []
    controls = run.report["hosts"]["vps1"]["controls"]
    for module, (_, outcome, said) in answers.items():
        found = controls[CONTROLS[module]]
        assert found["outcome"] == outcome, (module, found, run.out)
        assert said in (found["message"] or "")


def test_an_answer_without_an_end_is_ended(roles):
    """It is gathered in memory by the connection, before anybody can look at its length."""
    path = roles.directory / "library" / "queue_alert.py"
    path.write_text(path.read_text().replace("print(", "while True: print('x' * (1 << 20))\nprint(", 1))
    run = roles.project.play("harden-mail.yml", "--tags", "queue_alert")
    assert run.outcome("vps1", "queue-watched") == "error"
    assert "longer than 16 MiB" in run.report["hosts"]["vps1"]["controls"]["queue-watched"]["message"]


def test_a_host_that_never_answers_is_left(roles):
    path = roles.directory / "library" / "queue_alert.py"
    path.write_text(path.read_text().replace("print(", "import time; time.sleep(600)\nprint(", 1))
    gate = roles.directory / "plugin_utils" / "harden_mail_controller" / "checked.py"
    gate.write_text(gate.read_text().replace("LONGEST = 2 * 3600", "LONGEST = 15"))
    began = time.monotonic()
    run = roles.project.play("harden-mail.yml", "--tags", "queue_alert")
    assert time.monotonic() - began < 300
    assert run.outcome("vps1", "queue-watched") == "error"
    message = run.report["hosts"]["vps1"]["controls"]["queue-watched"]["message"]
    assert "did not answer within 15 seconds" in message


SSH = """#!{python}
import os, sys, time
command = sys.argv[-1]
if {word!r} in command:
    time.sleep(600)
os.execv("/bin/sh", ["sh", "-c", command])
"""
COPIES = "#!/bin/sh\nexec sleep 600\n"


@pytest.mark.parametrize("word", ["mkdir", "rm -f -r", "copies"])
def test_a_host_that_hangs_beside_a_module_is_left(roles, word):
    """Over the making and taking away of a directory, and over the word lists that it takes."""
    place = roles.directory
    for name, text in (("ssh", SSH.format(python=sys.executable, word=word)), ("sftp", COPIES), ("scp", COPIES)):
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    (place / ".cache" / "wordlists").mkdir(parents=True)
    (place / ".cache" / "wordlists" / "common.txt").write_text("123456\n")
    roles.answer("mail_password_audit", usual("mail_password_audit", lists_wanted=True))
    gate = place / "plugin_utils" / "harden_mail_controller" / "checked.py"
    gate.write_text(
        gate.read_text().replace("LONGEST = 2 * 3600", "LONGEST = 15").replace("LEAVING = 60", "LEAVING = 5")
    )
    programs = {"ansible_{0}_executable".format(name): str(place / name) for name in ("ssh", "sftp", "scp")}
    roles.project.inventory(vps1=dict(programs, ansible_connection="ssh", ansible_host="127.0.0.1"))
    began = time.monotonic()
    run = roles.project.play("harden-mail.yml", "--tags", "password_audit")
    assert time.monotonic() - began < 300
    assert run.status == 2
    assert re.search("did not answer within (15|5) seconds", " ".join(run.out.split())), run.out


POISON = {
    "changed": False,
    "failed": False,
    "msg": "m" + ESCAPES,
    "warnings": ["w" + ESCAPES],
    "deprecations": [{"msg": "d" + ESCAPES, "version": "9"}],
    "stdout": "o" + ESCAPES,
    "stderr": "e" + ESCAPES,
    "diff": {"before": "b" + ESCAPES, "after": {"k" + ESCAPES: "v" + ESCAPES}},
    "stat": {"exists": False},
    "ansible_facts": {"pkg_mgr": "apt", "ansible_pkg_mgr": "apt", "x": "own"},
    "x" + ESCAPES: ESCAPES,
}
BUILTINS = """
- hosts: all
  gather_facts: false
  vars: {x: mine}
  tasks:
    - checked_builtin: {module: ansible.builtin.copy, options: {content: "{{ lookup('template', 'x.j2') }}", dest: /x}}
      ignore_errors: true
    - checked_builtin: {module: ansible.builtin.systemd_service, options: {name: x, state: started}}
      ignore_errors: true
      register: said
    - ansible.builtin.debug: {var: said}
    - checked_builtin: {module: ansible.builtin.package, options: {name: x}}
      ignore_errors: true
    - ansible.builtin.debug: {msg: "x is {{ x }}, {{ ansible_facts }}"}
"""


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("beside", ["", "junk" + ESCAPES])
def test_what_a_host_answers_to_ansible_itself_steers_nothing(roles, failed, beside):
    place = roles.directory
    (place / "answer").write_text(beside + "\n" + json.dumps(dict(POISON, failed=failed)) + "\n" + beside)
    (place / "python").write_text("#!/bin/sh\ncat {0}/answer; cat {0}/answer >&2\n".format(place))
    (place / "python").chmod(0o755)
    (place / "x.j2").write_text("{{ x }}\n")
    (place / "builtins.yml").write_text(BUILTINS)
    roles.project.inventory(vps1={"ansible_python_interpreter": str(place / "python")})
    run = roles.project.play("builtins.yml", "--diff", "-vv", ANSIBLE_NOCOLOR="1")
    assert control(run.out) == []
    assert "m\\x1b]0;owned" in run.out
    assert "x is mine, {}" in run.out


def test_what_ansible_itself_does_is_what_it_does_elsewhere(roles):
    place = roles.directory
    (place / "x.j2").write_text("{{ x }}\n\n")
    (place / "builtins.yml").write_text(
        BUILTINS.replace("/x}}", str(place / "made") + "}}").split(
            "    - checked_builtin: {module: ansible.builtin.sys"
        )[0]
    )
    for arguments, changed in ((["--check"], 1), ([], 1), ([], 0), (["--check"], 0)):
        run = roles.project.play("builtins.yml", "--diff", *arguments)
        assert run.status == 0, run.out
        assert "changed={0} ".format(changed) in run.out
    assert (place / "made").read_text() == "mine\n\n"


ON_THE_CONTROLLER = {
    "assert",
    "debug",
    "fail",
    "import_playbook",
    "import_role",
    "import_tasks",
    "include_role",
    "set_fact",
}


def test_no_task_asks_a_host_past_the_check():
    """``meta`` asks nobody either, but to reset a connection."""
    for path in [*ROOT.glob("*.yml"), *ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]:
        named = set(re.findall(r"^\s*(?:- )?ansible\.(?:builtin|legacy)\.(\w+):", path.read_text(), re.MULTILINE))
        assert named - ON_THE_CONTROLLER - {"meta"} == set(), path


def test_a_host_gives_itself_no_variables(roles):
    secret = roles.directory / "secret.txt"
    secret.write_text("of the controller\n")
    own = {
        "password_audit_lists": [{"path": str(secret)}],
        "submission_firewall_source_files": [str(secret)],
        "submission_firewall_enabled": False,
    }
    for name in ANSWERS:
        answer = usual(name)
        answer["ansible_facts"] = dict(answer.get("ansible_facts", {}), **own)
        roles.answer(name, answer)
    run = roles.project.play("harden-mail.yml")
    assert run.status == 0, run.out
    assert roles.asked("submission_firewall").get("sources") is None
    assert roles.asked("mail_password_audit")["lists"] == []


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")), JSON)
def test_what_a_module_prints_is_the_same_answer_but_steers_nothing(junk, value):
    for name in ("warnings", "guessed"):
        output, said = checked.quietened(json.dumps({name: value}) + "\n" + junk)
        assert checked._STEERS.search(output) is None
        found, _ = json.JSONDecoder().raw_decode(output)
        assert said == found or json.dumps(said) == json.dumps(found)
        if name == "guessed":
            assert json.dumps(found) == json.dumps({name: value})
        else:
            texts = [text for text in leaves(found) if isinstance(text, str)]
            assert all(sign.isprintable() or sign in "\n\t" for text in texts for sign in text)
