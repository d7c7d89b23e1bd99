"""playbooks/queue.yml, run for real with modules that answer as told: what it refuses, asks for, and shows."""

import json
import runpy

import pytest
import yaml
from harden_mail.queue.selection import KEYS, ORIGIN_KEYS
from project import ROOT, Project, unreachable

PLAYBOOK = "playbooks/queue.yml"
SELECT = {"subject": "*お支払い*"}
RUN = "20261125T063000Z-1f2e3d"

# Stands in for both modules: notes what it was asked in the quarantine directory, which each host has for itself, and
# answers what it finds there.
MODULE = """
import json, pathlib
from ansible.module_utils.basic import AnsibleModule

options = {name: {"type": "raw"} for name in ("state", "select", "all", "run", "expect", "limit_listed")}
module = AnsibleModule(dict(options, quarantine_dir={"type": "path"}), supports_check_mode=True)
place = pathlib.Path(module.params["quarantine_dir"])
(place / "asked.json").write_text(json.dumps(dict(module.params, check=module.check_mode)))
answer = json.loads((place / "answer.json").read_text())
(module.fail_json if answer.pop("failed", False) else module.exit_json)(**answer)
"""

ROLE = """
- name: Have the timer
  stub:
    answer: {changed: true}
"""

MESSAGE = {
    "id": "4XyZ123abc",
    "instance": None,
    "state": "deferred",
    "sender": "info@example.com",
    "recipients": [{"address": "somebody@example.net", "done": False}],
    "recipients_total": 3,
    "subject": "【重要】お支払いの確認",
    "size": 2048,
    "arrival": 1795588200,
    "origin": {"sasl_user": "info@example.com", "client": "192.0.2.66", "uid": None, "script": None},
}

LISTING = {
    "changed": False,
    "mta": "postfix",
    "total": 5204,
    "matched": 1,
    "states": {"deferred": 1},
    "bytes": 2048,
    "oldest": 1795588200,
    "top_senders": [{"value": "info@example.com", "count": 1}],
    "top_recipient_domains": [],
    "top_subjects": [],
    "top_origins": [],
    "top_clients": [],
    "ages": {"10m": 0, "1h": 1},
    "errors": {
        "top_senders": 0,
        "top_recipient_domains": 0,
        "top_subjects": 0,
        "top_origins": 0,
        "top_clients": 0,
    },
    "messages": [MESSAGE],
    "unreadable": [],
    "unreadable_total": 0,
    "quarantine": [{"run": RUN, "created": 1795588200, "selection": "subject: *", "messages": 3, "unfinished": False}],
}

NO_MAIL = {"changed": False, "not_applicable": "This host has no mail queue that is known here."}


def changed(**values):
    answer = {
        "changed": True,
        "state": "quarantined",
        "matched": 1,
        "moved": 1,
        "states": {"deferred": 1},
        "run": RUN,
        "resumed": 0,
        "evidence": [],
        "messages": [MESSAGE],
        "passed_over": [],
        "passed_over_total": 0,
    }
    return dict(answer, **values)


class Fleet:
    """A project whose hosts answer what they are given."""

    def __init__(self, directory):
        self.project = Project(directory)
        self.directory = directory
        for name in ("mail_queue", "mail_queue_info"):
            (directory / "library" / (name + ".py")).write_text(MODULE)
        tasks = directory / "roles" / "mail_queue" / "tasks"
        tasks.mkdir(parents=True)
        (tasks / "main.yml").write_text(ROLE)

    def hosts(self, **answers):
        """One host a keyword, its value what the module answers there; None for one that can't be reached."""
        variables = {}
        for name, answer in answers.items():
            place = self.directory / "hosts" / name
            place.mkdir(parents=True)
            (place / "answer.json").write_text(json.dumps(answer))
            variables[name] = dict({} if answer else unreachable(), mail_queue_quarantine_dir=str(place))
        self.project.inventory(**variables)

    def answers(self, host, answer):
        (self.directory / "hosts" / host / "answer.json").write_text(json.dumps(answer))

    def play(self, *arguments, **extra):
        # queue_select has to be the last of them.
        return self.project.play(PLAYBOOK, *arguments, "-e", json.dumps(extra, sort_keys=True))

    def asked(self, host):
        """The options that the module was given on a host, or None: it was not run there."""
        path = self.directory / "hosts" / host / "asked.json"
        return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


@pytest.mark.parametrize(
    ("hosts", "extra", "sentence"),
    [
        (1, {"queue_action": "purge"}, "queue_action is purge: give list, quarantine, restore, hold, release, delete."),
        (2, {"queue_action": "quarantine"}, "queue_action is quarantine, but nothing says which messages are meant"),
        (1, {"queue_action": "hold", "queue_select": {}}, "nothing says which messages are meant: give queue_select"),
        (1, {"queue_action": "hold", "queue_select": ""}, "nothing says which messages are meant"),
        (1, {"queue_action": "hold", "queue_all": "no"}, "nothing says which messages are meant"),
        (1, {"queue_action": "restore"}, "or queue_run, or queue_all=true"),
        (1, {"queue_action": "quarantine", "queue_run": RUN}, "can only be restored"),
        (1, {"queue_action": "hold", "queue_run": RUN, "queue_all": True}, "can only be restored"),
        (
            1,
            {"queue_action": "delete", "queue_select": SELECT},
            "number of messages that --check shows, or the name of the host, vps1;",
        ),
        (2, {"queue_action": "delete", "queue_select": SELECT}, "number of messages that --check shows; quarantine"),
        (
            1,
            {"queue_action": "delete", "queue_select": SELECT, "queue_confirm": "vps2"},
            "queue_confirm is vps2, but this is about vps1: give",
        ),
        (
            2,
            {"queue_action": "delete", "queue_select": SELECT, "queue_confirm": "vps1"},
            "queue_confirm is vps1, but this is about 2 hosts: give",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(fleet, hosts, extra, sentence):
    fleet.hosts(**{"vps{0}".format(number): changed() for number in range(1, hosts + 1)})
    run = fleet.play(**extra)
    assert run.status == 2, run.out
    assert sentence in " ".join(run.out.split())
    assert [fleet.asked("vps1"), fleet.asked("vps2")] == [None, None]
    assert "MAIL QUEUES" not in run.out
    assert run.out.count("fatal:") == 1


@pytest.mark.parametrize(
    ("action", "state"),
    [("quarantine", "quarantined"), ("restore", "restored"), ("hold", "held"), ("release", "released")],
)
def test_an_action_asks_for_its_state(fleet, action, state):
    fleet.hosts(vps1=changed(state=state), vps2=changed(state=state))
    run = fleet.play(queue_action=action, queue_select=SELECT, queue_limit=5)
    assert run.status == 0, run.out
    for host in ("vps1", "vps2"):
        asked = fleet.asked(host)
        assert (asked["state"], asked["select"], asked["all"]) == (state, SELECT, False)
        assert (asked["expect"], asked["run"], int(asked["limit_listed"])) == (None, None, 5)
    assert "1 of 1 selected message was {0}".format(state) in run.out
    assert ("Have the timer" in run.out) is (action == "quarantine")


def test_all_and_a_run_are_handed_on(fleet):
    fleet.hosts(vps1=changed(state="restored"))
    assert fleet.play(queue_action="restore", queue_run=RUN).status == 0
    assert fleet.asked("vps1")["run"] == RUN
    assert fleet.play("-e", "queue_action=hold", "-e", "queue_all=true").status == 0
    assert fleet.asked("vps1")["all"] in (True, "true")


def test_the_selection_may_come_as_text(fleet):
    fleet.hosts(vps1=changed())
    assert (
        fleet.project.play(
            PLAYBOOK, "-e", "queue_action=hold", "-e", "queue_select='{}'".format(json.dumps(SELECT))
        ).status
        == 0
    )
    asked = fleet.asked("vps1")["select"]
    assert (json.loads(asked) if isinstance(asked, str) else asked) == SELECT


@pytest.mark.parametrize(("confirm", "expect"), [("4990", 4990), (4990, 4990), ("vps1", None)])
def test_delete_is_confirmed_by_a_number_or_the_only_hosts_name(fleet, confirm, expect):
    fleet.hosts(vps1=changed(state="deleted", run=None))
    run = fleet.play(queue_action="delete", queue_select=SELECT, queue_confirm=confirm)
    assert run.status == 0, run.out
    asked = fleet.asked("vps1")
    assert asked["state"] == "deleted"
    assert (asked["expect"] and int(asked["expect"])) == expect


def test_check_mode_predicts_a_deletion_without_confirmation(fleet):
    fleet.hosts(vps1=changed(state="deleted", run=None))
    run = fleet.play("--check", queue_action="delete", queue_select=SELECT)
    assert run.status == 0, run.out
    assert fleet.asked("vps1")["check"] is True
    assert "1 of 1 selected message would be deleted" in run.out


def test_a_host_without_mail_is_left_alone_and_gets_no_timer(fleet):
    fleet.hosts(web=NO_MAIL)
    run = fleet.play(queue_action="quarantine", queue_select=SELECT)
    assert run.status == 0, run.out
    assert "Have the timer" not in run.out
    assert "web: left alone. This host has no mail queue that is known here." in run.out


def test_a_fleet_is_summed_up(fleet):
    broken = {"failed": True, "msg": "select.age is soon: give an age."}
    fleet.hosts(
        vps1=changed(matched=5000, moved=4990, passed_over_total=10), vps2=changed(), web=NO_MAIL, bad=broken, gone=None
    )
    run = fleet.play(queue_action="quarantine", queue_select=SELECT)
    assert "bad: failed: select.age is soon: give an age." in run.out
    assert "gone: unreachable: " in run.out
    assert (
        "5 hosts (1 without a queue, 1 failed, 1 unreachable): 5,001 selected, 4,991 quarantined, 10 left as they were"
        in run.out
    )


def test_a_list_shows_the_queue(fleet):
    fleet.hosts(vps1=LISTING)
    run = fleet.play()
    assert run.status == 0, run.out
    assert fleet.asked("vps1")["select"] == {}
    assert "vps1: 5,204 messages in the queue of Postfix, 1 selected (1 deferred), 2 KiB, the oldest from " in run.out
    assert "【重要】お支払いの確認" in run.out
    assert RUN + "  3" in run.out
    assert "1 host: 5,204 messages in 1 queue, 1 selected" in run.out


def test_other_playbooks_show_no_queues(fleet):
    fleet.hosts(vps1=changed())
    (fleet.directory / "other.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.debug: {msg: hello}}]\n"
    )
    run = fleet.project.play("other.yml")
    assert run.status == 0, run.out
    assert "MAIL QUEUES" not in run.out


def test_each_key_of_a_selection_is_documented():
    fragment = runpy.run_path(str(ROOT / "doc_fragments" / "mail_queue.py"))["ModuleDocFragment"]
    keys = yaml.safe_load(fragment.DOCUMENTATION)["options"]["select"]["suboptions"]
    assert set(keys) == set(KEYS)
    assert set(keys["origin"]["suboptions"]) == set(ORIGIN_KEYS)
