"""What a host that was broken into can cost those beside it: the clock of the run, and what is to be read of others."""

import json
import random
import re
import sys
import time

import pytest
from ansible import errors
from ansible.plugins.callback import CallbackBase
from harden_mail.queue.arguments import QUEUE_ARGUMENTS
from harden_mail_controller import checked
from harden_mail_controller.answers import MOST_WARNINGS, NotUnderstood, cleaned, understood
from harden_mail_controller.differences import bounded
from real_roles import RealRoles
from test_answers import control, usual
from test_queue_playbook import LISTING, MESSAGE, changed

RUN = "20261125T063000Z-1f2e3d"
# Below what people at a terminal would take for a line of Ansible's own.
FORGED = "\nok: [vps2]\n\nPLAY RECAP *****\nvps2 : ok=99\n"


# --- the name that is in a command to copy --------------------------------------------------------------------


def test_a_run_has_the_name_that_the_module_gives_it():
    assert understood("mail_queue", changed(run=RUN))["run"] == RUN
    assert understood("mail_queue", changed(run=None))["run"] is None
    for name in ("x", RUN + " ansible_host=x", RUN + "\n", "x ansible_ssh_common_args=-oProxyCommand=id", "", 5):
        with pytest.raises(NotUnderstood, match=r"run is .*, not the name of a run"):
            understood("mail_queue", changed(run=name))
        listed = [dict(LISTING["quarantine"][0], run=name)]
        with pytest.raises(NotUnderstood, match=r"quarantine\[0\].run is"):
            understood("mail_queue_info", dict(LISTING, quarantine=listed))


# --- differences ----------------------------------------------------------------------------------------------


def dear(lines=60000):
    """Two texts that difflib compares for minutes."""
    order = random.Random(1)
    before = ["{0}\n".format(number % 150) for number in range(lines)]
    after = before[:]
    order.shuffle(before)
    order.shuffle(after)
    return {"before": "".join(before), "after": "".join(after)}


def test_a_dear_difference_is_not_shown(monkeypatch):
    began = time.monotonic()
    for made in (
        understood("queue_alert", usual("queue_alert", diff=dear()))["diff"],
        understood("queue_alert", usual("queue_alert", diff=[dear(), dear()]))["diff"],
        cleaned({"diff": dear()})["diff"],
        cleaned({"diff": {"before": {"x": "x" * 600000}, "after": {"x": "y" * 600000}}})["diff"],
        bounded({"prepared": "x" * 2000000}),
    ):
        assert list(made) == ["prepared"]
        assert "would take too long" in made["prepared"]
        CallbackBase()._get_diff(made)
    assert time.monotonic() - began < 30


def test_a_long_difference_of_an_honest_host_is_shown():
    before = "".join("accept 192.0.{0}.{1}\n".format(number // 256, number % 256) for number in range(10000))
    diff = {"before": before, "after": before.replace("192.0.2.", "198.51.100."), "before_header": "x"}
    assert understood("queue_alert", usual("queue_alert", diff=diff))["diff"] == diff
    assert understood("queue_alert", usual("queue_alert", diff=[diff]))["diff"] == [diff]
    peek = {"before": {"path": "/x", "state": "file"}, "after": {"path": "/x", "state": "absent"}}
    assert cleaned({"diff": peek})["diff"] == peek


@pytest.mark.parametrize(
    "diff",
    [{"before": [1], "after": 5}, {"src_larger": "x"}, {"before_header": {}}, "x", 5, [5, {"prepared": 5}], [], None],
)
def test_a_difference_of_wrong_types_shows_nothing_and_stops_no_callback(diff):
    made = cleaned({"diff": diff})["diff"]
    assert CallbackBase()._get_diff(made) == ""


def test_no_line_of_a_difference_passes_for_one_of_ansible():
    diff = {
        "prepared": FORGED,
        "before": "a",
        "after": "b",
        "before_header": "h" + FORGED,
        "after_header": "g" + FORGED,
    }
    for made in (understood("queue_alert", usual("queue_alert", diff=[diff]))["diff"], cleaned({"diff": diff})["diff"]):
        said = CallbackBase()._get_diff(made)
        assert "    ok: [vps2]" in said
        assert not re.search(r"^(ok|PLAY|vps2)", said, re.MULTILINE)


# --- how much, and how long -----------------------------------------------------------------------------------


def test_an_answer_of_line_ends_is_read_at_once():
    began = time.monotonic()
    for text in ("\n" * 3000000, " " * 3000000, "\n " * 1000000):
        assert checked.quietened(text + "x")[1] is None
    assert time.monotonic() - began < 20
    assert checked.quietened("x\n \t{}")[1] == {}


def test_what_ansible_prints_of_an_answer_has_an_end():
    many = ["w"] * 90000
    for answer in (usual("queue_alert", warnings=many), {"failed": True, "msg": "m", "warnings": many}):
        warnings = understood("queue_alert", answer)["warnings"]
        assert len(warnings) == MOST_WARNINGS
        assert warnings[-1] == "\u2026 and 89951 more warnings"
    assert len(cleaned({"warnings": many})["warnings"]) == MOST_WARNINGS
    long = dict.fromkeys(("msg", "module_stdout", "module_stderr"), "line\n" * 200000)
    said = understood("queue_alert", dict(long, failed=True))
    assert all(len(said[name].split("\n")) <= 200 and len(said[name]) < 25000 for name in long)


# --- who speaks -----------------------------------------------------------------------------------------------


def test_no_line_of_a_host_begins_where_those_of_ansible_do():
    for said in (understood("queue_alert", {"failed": True, "msg": "x" + FORGED}), cleaned({"msg": "x" + FORGED})):
        assert "    ok: [vps2]" in said["msg"]
        assert not re.search(r"^(ok|PLAY|vps2)", said["msg"], re.MULTILINE)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (errors.AnsibleError("e\x1b[2J" + FORGED), errors.AnsibleActionFail),
        (errors.AnsibleActionFail("e\x1b[2J" + FORGED), errors.AnsibleActionFail),
        (errors.AnsibleConnectionFailure("e\x1b[2J" + FORGED), errors.AnsibleConnectionFailure),
        (AttributeError("e\x1b[2J" + FORGED), errors.AnsibleActionFail),
        (RecursionError("e\x1b[2J" + FORGED), errors.AnsibleActionFail),
    ],
)
def test_what_ansible_raises_of_a_host_steers_nothing(raised, expected):
    with pytest.raises(expected) as caught, checked.quiet_errors():
        raise raised
    assert control(str(caught.value)) == []
    assert "\nok:" not in str(caught.value)
    assert "e\\x1b[2J" in str(caught.value)
    assert type(caught.value) is expected


def test_what_is_no_error_stays_what_it_is():
    with pytest.raises(errors.AnsibleActionSkip), checked.quiet_errors():
        raise errors.AnsibleActionSkip("x")


# --- real runs ------------------------------------------------------------------------------------------------

SSH = """#!{python}
import os, sys
command = sys.argv[-1]
if "dd of=" in command:
    sys.stdin.buffer.read()
    sys.stderr.write({said!r})
    sys.exit(1)
os.execv("/bin/sh", ["sh", "-c", command])
"""


@pytest.fixture
def roles(tmp_path):
    return RealRoles(tmp_path)


def at_the_beginning(out):
    """Lines that a host forged, where Ansible's own begin; of vps2 there is none."""
    return [line for line in out.splitlines() if line.startswith(("ok: [vps2]", "vps2 :"))]


def test_a_transfer_that_fails_says_why_and_steers_nothing(roles):
    place = roles.directory
    (place / "ssh").write_text(SSH.format(python=sys.executable, said="x\x1b]0;owned\x07\x1b[2J" + FORGED))
    (place / "false").write_text("#!/bin/sh\nexit 1\n")
    for name in ("ssh", "false"):
        (place / name).chmod(0o755)
    roles.answer("mail_password_audit", usual("mail_password_audit", lists_wanted=True))
    programs = {"ansible_{0}_executable".format(name): str(place / "false") for name in ("sftp", "scp")}
    ssh = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_ssh_executable": str(place / "ssh")}
    roles.project.inventory(vps1=dict(programs, **ssh))
    run = roles.project.play("harden-mail.yml", "--tags", "password_audit", ANSIBLE_NOCOLOR="1")
    assert run.outcome("vps1", "passwords-not-guessable") == "error"
    assert "x\\x1b]0;owned" in run.report["hosts"]["vps1"]["controls"]["passwords-not-guessable"]["message"]
    assert control(run.out) == []
    assert at_the_beginning(run.out) == []


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps({"failed": True, "msg": "x" + FORGED}),
        json.dumps(usual("queue_alert")) + "\njunk" + FORGED,
        "no JSON" + FORGED,
        json.dumps({"failed": True, "exception": "x" + FORGED}),
        '{"findings": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"findings": [], "stdout": 5}',
        '{"findings": [], "ansible_facts": [1]}',
    ],
)
def test_a_host_forges_no_line_of_another(roles, answer):
    roles.answer("queue_alert", answer)
    run = roles.project.play("harden-mail.yml", "--tags", "queue_alert", ANSIBLE_NOCOLOR="1")
    assert at_the_beginning(run.out) == []
    assert run.out.count("PLAY RECAP") - run.out.count("    PLAY RECAP") - run.out.count(" PLAY RECAP ***** vps2") == 1
    assert "Traceback" not in run.out
    assert "has no attribute" not in run.out or "was not understood" in run.out


def test_without_a_word_as_many_are_listed_as_the_module_lists():
    assert QUEUE_ARGUMENTS["limit_listed"]["default"] == checked.LIST_LIMIT


def test_no_more_messages_are_listed_than_were_asked_for(roles):
    for name in ("mail_queue_info", "mail_queue"):
        (roles.directory / "library" / (name + ".py")).write_text(
            (roles.directory / "library" / "queue_alert.py").read_text().replace("queue_alert", name)
        )
    roles.answer("mail_queue_info", dict(LISTING, messages=[MESSAGE] * 3000))
    for limit, listed in (([], 20), (["-e", "queue_limit=30"], 30), (["-e", "queue_limit=x"], checked.LIST_LIMIT)):
        run = roles.project.play("playbooks/queue.yml", *limit)
        assert run.out.count(MESSAGE["id"]) == listed
