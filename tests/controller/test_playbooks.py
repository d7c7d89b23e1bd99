"""The playbooks, run for real on hosts of this machine: outcomes, exit status, what they print."""

import pytest
from project import ROLES, Project, unreachable

DRIFT = {"submission_firewall_answer": {"changed": True}}
FINDING = {"submission_firewall_answer": {"findings": ["Nobody said who may submit mail."]}}
BROKEN = {"submission_firewall_answer": {"failed": True, "msg": "iptables-restore is not there."}}
UNKNOWN = {"mail_host_answer": {"failed": True, "msg": "postconf said nothing."}}
NO_MAIL = {
    "mail_host_answer": {
        "ansible_facts": {"mail_host": {"mta": {"name": None}}},
        "not_applicable": "This host has no mail server.",
    }
}
BAD_ARGUMENT = {"submission_firewall_number": "many"}

COMPLIANCE = "playbooks/compliance.yml"
SUBMISSION = "submission-restricted"
# Of the roles that stand in.
ALL = set(ROLES.values())


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        ({"good": {}}, 0),
        ({"good": {}, "web": NO_MAIL}, 0),
        ({"good": {}, "drifted": DRIFT}, 2),
        ({"good": {}, "found": FINDING}, 2),
        ({"good": {}, "broken": BROKEN}, 4),
        ({"broken": BROKEN}, 4),
        ({"broken": BROKEN, "unknown": UNKNOWN, "drifted": DRIFT}, 4),
        ({"bad": BAD_ARGUMENT}, 4),
        ({"gone": unreachable()}, 4),
        ({"good": {}, "gone": unreachable()}, 4),
        ({"drifted": DRIFT, "gone": unreachable()}, 4),
    ],
)
def test_compliance_says_the_state_of_the_fleet_by_its_exit_status(project, hosts, status):
    project.inventory(**hosts)
    run = project.play(COMPLIANCE)
    assert run.status == status, run.out
    assert run.report["finished"] is True
    assert set(run.report["hosts"]) == set(hosts)


def test_compliance_judges_only_the_hosts_of_the_limit(project):
    project.inventory(good={}, drifted=DRIFT)
    assert project.play(COMPLIANCE, "--limit", "good").status == 0
    assert project.play(COMPLIANCE, "--limit", "drifted").status == 2


def test_compliance_says_a_verdict_when_the_first_host_of_the_limit_is_unreachable(project):
    project.inventory(a_gone=unreachable(), drifted=DRIFT)
    run = project.play(COMPLIANCE, "--limit", "a_gone,drifted")
    assert run.status == 4
    assert "Could not be looked at, or not wholly: a_gone." in run.out


def test_compliance_is_not_in_order_when_the_limit_leaves_no_host(project):
    project.inventory(good={})
    run = project.play(COMPLIANCE, "--limit", "nobody")
    assert run.status != 0
    assert run.report is None


def test_compliance_is_not_in_order_without_an_inventory(project):
    run = project.play(COMPLIANCE)
    assert run.status == 4
    assert "left no report" in run.out


def test_compliance_does_not_take_the_report_of_another_run_for_its_own(project):
    project.inventory(good={})
    assert project.play(COMPLIANCE).status == 0
    assert project.play(COMPLIANCE, "--skip-tags", "always,submission_firewall").status == 0
    project.inventory()
    run = project.play(COMPLIANCE)
    assert run.status == 4
    assert "left no report" in run.out


def test_compliance_needs_the_callback(project):
    project.inventory(good={})
    run = project.play(COMPLIANCE, ANSIBLE_CALLBACKS_ENABLED="minimal")
    assert run.status == 4
    assert "harden_mail_report is not enabled" in run.out


def test_compliance_says_when_the_report_cannot_be_written(project):
    project.inventory(good={})
    project.report.parent.write_text("a file where the directory should be")
    run = project.play(COMPLIANCE)
    assert run.status == 4
    assert "can't be written" in run.out


@pytest.mark.parametrize("arguments", [(), ("-e", "ansible_check_mode=false"), ("--check",)])
def test_compliance_is_in_check_mode_whatever_is_passed(project, arguments):
    project.inventory(drifted=DRIFT)
    run = project.play(COMPLIANCE, *arguments)
    assert run.report["check_mode"] is True
    assert run.outcome("drifted", SUBMISSION) == "drift"
    assert "HOST CONTROL OUTCOME" in " ".join(run.out.split())


def test_harden_mail_remediates_and_goes_on_after_a_role_that_fails(project):
    project.inventory(good={}, changed=DRIFT, broken=BROKEN, unknown=UNKNOWN, web=NO_MAIL, gone=unreachable())
    run = project.play("harden-mail.yml")
    assert run.status == 4  # of Ansible itself: a host was unreachable
    outcomes = {host: run.outcome(host) for host in run.report["hosts"]}
    assert outcomes == {
        "good": "compliant",
        "changed": "remediated",
        "broken": "error",
        "unknown": "error",
        "web": "not-applicable",
        "gone": "unreachable",
    }
    assert run.outcome("broken", "mail-host-known") == "compliant"
    assert "broken   error           submission-restricted: iptables-restore is not there." in run.out


def test_harden_mail_fails_on_a_host_where_a_role_failed(project):
    project.inventory(good={}, broken=BROKEN)
    run = project.play("harden-mail.yml")
    assert run.status == 2
    assert "Could not be done, see above: Do the work of submission_firewall" in run.out


def test_harden_mail_succeeds_where_a_person_must_act(project):
    project.inventory(found=FINDING)
    run = project.play("harden-mail.yml")
    assert run.status == 0
    assert "found  noncompliant    submission-restricted: Nobody said who may submit mail." in run.out


def test_a_role_can_be_switched_off(project):
    project.inventory(good={"submission_firewall_enabled": False}, other=DRIFT)
    run = project.play("harden-mail.yml")
    assert set(run.report["hosts"]["good"]["controls"]) == ALL - {SUBMISSION}
    assert run.outcome("other") == "remediated"


@pytest.mark.parametrize(
    ("variables", "applied"),
    [
        ({"pop_before_smtp_enabled": False}, False),
        ({"pop_before_smtp_enabled": False, "pop_before_smtp_state": "absent"}, True),
        ({}, True),
    ],
)
def test_pop_before_smtp_is_for_hosts_that_ask_for_it(project, variables, applied):
    project.inventory(host=variables)
    controls = project.play("harden-mail.yml").report["hosts"]["host"]["controls"]
    assert ("pop-before-smtp" in controls) == applied
    assert "queue-watched" in controls


def test_a_tag_chooses_roles_and_discovery_always_runs(project):
    project.inventory(good=DRIFT)
    run = project.play("harden-mail.yml", "--tags", "submission_firewall")
    assert set(run.report["hosts"]["good"]["controls"]) == {"mail-host-known", SUBMISSION}
    run = project.play("harden-mail.yml", "--skip-tags", "submission_firewall")
    assert set(run.report["hosts"]["good"]["controls"]) == ALL - {SUBMISSION}


def test_an_argument_of_the_wrong_type_is_an_error_of_all_the_roles_controls(project):
    project.inventory(bad=BAD_ARGUMENT)
    run = project.play(COMPLIANCE)
    assert run.outcome("bad", SUBMISSION) == "error"
    assert run.outcome("bad", "no-auth-on-25") == "error"
    assert run.outcome("bad", "mail-host-known") == "compliant"
    assert "submission_firewall_number" in run.report["hosts"]["bad"]["controls"][SUBMISSION]["message"]


def test_an_unreachable_host_has_every_control_unreachable(project):
    project.inventory(gone=unreachable())
    run = project.play(COMPLIANCE)
    controls = run.report["hosts"]["gone"]["controls"]
    assert set(controls) == ALL | {"no-auth-on-25"}
    assert {control["outcome"] for control in controls.values()} == {"unreachable"}


def test_a_host_without_mail_has_no_applicable_control(project):
    project.inventory(web=NO_MAIL)
    run = project.play(COMPLIANCE)
    control = run.report["hosts"]["web"]["controls"][SUBMISSION]
    assert (control["outcome"], control["message"]) == ("not-applicable", "This host has no mail server.")


def test_the_report_takes_no_more_from_a_result_than_it_is_made_of(project):
    answer = {"evidence": ["-A INPUT -j harden-mail"], "findings": [], "password": "hunter2-plain", "changed": True}
    project.inventory(
        open={"submission_firewall_answer": answer},
        hidden={
            "submission_firewall_answer": dict(answer, evidence=["hunter2-hidden"]),
            "submission_firewall_no_log": True,
        },
        failed={
            "submission_firewall_answer": {"failed": True, "msg": "hunter2-failed"},
            "submission_firewall_no_log": True,
        },
    )
    run = project.play("harden-mail.yml")
    assert "hunter2" not in project.report.read_text()
    assert run.report["hosts"]["open"]["controls"][SUBMISSION]["evidence"] == ["-A INPUT -j harden-mail"]
    assert run.outcome("hidden", SUBMISSION) == "remediated"
    assert run.outcome("failed", SUBMISSION) == "error"


def test_what_a_host_says_cannot_steer_the_terminal(project):
    project.inventory(odd={"submission_firewall_answer": {"findings": ["red \x1b[31m\nbell \x07 turned \u202e end"]}})
    run = project.play(COMPLIANCE)
    finding = run.report["hosts"]["odd"]["controls"][SUBMISSION]["findings"]
    assert finding == ["red \\x1b[31m bell \\x07 turned \\u202e end"]


def test_a_modules_warnings_are_in_the_report_and_the_table(project):
    project.inventory(drifted={"submission_firewall_answer": {"changed": True, "warnings": ["cuts off bob"]}})
    run = project.play(COMPLIANCE)
    assert run.report["hosts"]["drifted"]["controls"][SUBMISSION]["warnings"] == ["cuts off bob"]
    assert "Do the work of submission_firewall cuts off bob" in run.out


def test_the_report_goes_where_it_is_told(project):
    project.inventory(good={})
    elsewhere = project.directory / "elsewhere" / "fleet.json"
    run = project.play(COMPLIANCE, HARDEN_MAIL_REPORT=str(elsewhere))
    assert (run.status, run.report) == (0, None)
    assert elsewhere.stat().st_mode & 0o777 == 0o600


def test_other_playbooks_leave_the_report_alone(project):
    project.inventory(good={})
    (project.directory / "other.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.debug: {msg: hello}}]\n"
    )
    run = project.play("other.yml")
    assert (run.status, run.report) == (0, None)
    assert "MAIL HOSTS" not in run.out
