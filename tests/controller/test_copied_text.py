"""Text that others wrote, copied from our output into variables: it is never run as a template on the controller."""

import json
import pathlib

import pytest
import yaml
from harden_mail.text import printable
from harden_mail_controller import given
from project import ROOT
from real_roles import ANSWERS, RealRoles
from test_queue_playbook import LISTING, NO_MAIL, PLAYBOOK, Fleet, changed

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19
    trust_as_template = None

KINDS = ("text", "header")
FORMS = ("json", "key=value", "file")
# What a role can be given that is no number, no truth and none of a few words.
FREE = ("str", "list", "dict", "path", "raw")
# Nobody copies these from our output; templates in them name secrets of a vault, or hosts.
OWN = {
    "password_audit_budget_seconds",
    "password_audit_lists",
    "password_audit_notify_url",
    "password_audit_packages",
    "pop_before_smtp_backend",
    "queue_alert_clear_below",
    "queue_alert_limit",
    "queue_alert_ping_url",
    "queue_alert_quiet_hours",
    "queue_alert_ways",
}


def copied_variables():
    """Every variable of the roles that :mod:`given` takes for one that people copy text into."""
    return [name for name, _ in variables() if given.is_copied(name)]


def variables():
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        yield from yaml.safe_load(path.read_text())["argument_specs"]["main"].get("options", {}).items()


class Traps:
    """Templates that leave a file behind where they are run."""

    def __init__(self, directory):
        self._directory = directory / "traps"
        self._directory.mkdir()

    def path(self, name):
        return str(self._directory / name)

    def text(self, name):
        return "{{ lookup('pipe', 'touch " + self.path(name) + "') }}"

    def header(self, name):
        """The same without a brace: a header says which signs are instead of them."""
        header = "#jinja2:variable_start_string:'[[',variable_end_string:']]'\n"
        return header + "[[ lookup('pipe', 'touch " + self.path(name) + "') ]]"

    def sprung(self):
        return sorted(path.name for path in self._directory.iterdir())


def extra(directory, form, values):
    """Arguments of ansible-playbook for some extra variables."""
    if form == "json":
        return ["-e", json.dumps(values)]
    if form == "file":
        path = directory / "extra.yml"
        path.write_text(yaml.safe_dump(values))
        return ["-e", "@{0}".format(path)]
    texts = {name: one if isinstance(one, str) else json.dumps(one) for name, one in values.items()}
    quoted = {name: text.replace("\\", "\\\\").replace('"', '\\"') for name, text in texts.items()}
    return [word for name, text in quoted.items() for word in ("-e", '{0}="{1}"'.format(name, text))]


@pytest.fixture
def traps(tmp_path):
    return Traps(tmp_path)


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    made.hosts(vps1=changed())
    return made


@pytest.fixture
def roles(tmp_path):
    return RealRoles(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trap_springs_where_text_is_templated(fleet, traps, kind):
    (fleet.directory / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{stub: {answer: {}}, when: queue_select != 'x'}]\n"
    )
    fleet.project.play(
        "play.yml", *extra(fleet.directory, "json", {"queue_select": getattr(traps, kind)("queue_select")})
    )
    assert traps.sprung() == ["queue_select"]


@pytest.mark.parametrize("check", [[], ["--check"]])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("action", ["list", "hold"])
def test_what_is_selected_arrives_as_it_was_copied(fleet, traps, form, check, action):
    select = {
        "subject": ["{{name}}, you won", traps.text("subject"), traps.header("header")],
        "not": {"sender": traps.text("sender")},
        "recipient": traps.header("recipient"),
    }
    values = {"queue_action": action, "queue_select": select}
    fleet.answers("vps1", LISTING if action == "list" else changed())
    run = fleet.project.play(PLAYBOOK, *check, *extra(fleet.directory, form, values))
    assert traps.sprung() == []
    assert run.status == 0, run.out
    assert fleet.asked("vps1")["select"] == select


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given_as", ["variable", "text"])
def test_a_run_arrives_as_it_was_copied(fleet, traps, form, given_as):
    values = {"queue_action": "restore", "queue_run": traps.text("queue_run"), "queue_limit": traps.text("queue_limit")}
    if given_as == "text":
        values["queue_select"] = traps.text("queue_select")
    run = fleet.project.play(PLAYBOOK, *extra(fleet.directory, form, values))
    assert traps.sprung() == []
    if given_as == "variable":
        assert fleet.asked("vps1")["run"] == values["queue_run"]
    else:
        assert "queue_select is {{ lookup(" in run.out
        assert fleet.asked("vps1") is None


@pytest.mark.parametrize("check", [[], ["--check"]])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["queue_action", "queue_confirm", "queue_all"])
def test_what_cannot_be_meant_is_refused_unread(fleet, traps, form, check, name):
    values = dict({"queue_action": "delete", name: traps.text(name)}, queue_select={"subject": "x"})
    run = fleet.project.play(PLAYBOOK, "-vvv", *check, *extra(fleet.directory, form, values))
    assert traps.sprung() == []
    assert run.status == 2
    assert "{0} is {{{{ lookup(".format(name) in run.out
    assert fleet.asked("vps1") is None


def test_a_host_without_mail_templates_nothing(fleet, traps):
    fleet.answers("vps1", NO_MAIL)
    values = {"queue_action": "quarantine", "queue_select": {"subject": traps.text("subject")}}
    assert fleet.project.play(PLAYBOOK, *extra(fleet.directory, "json", values)).status == 0
    assert traps.sprung() == []


def test_a_directory_of_the_quarantine_is_refused(fleet, traps):
    values = {"mail_queue_quarantine_dir": traps.text("dir")}
    run = fleet.project.play(PLAYBOOK, *extra(fleet.directory, "json", values))
    assert traps.sprung() == []
    assert run.status == 2
    assert "mail_queue_quarantine_dir is given by -e and holds {{" in " ".join(run.out.split())


# --- harden-mail.yml and compliance.yml ----------------------------------------------------------------------


@pytest.mark.parametrize("playbook", ["harden-mail.yml", "playbooks/compliance.yml"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_template_in_what_people_copy_is_refused_before_the_first_role(roles, traps, playbook, form, kind):
    values = {name: [getattr(traps, kind)(name)] for name in copied_variables()}
    run = roles.project.play(playbook, *extra(roles.directory, form, values))
    assert traps.sprung() == []
    assert run.status != 0
    assert roles.asked("mail_host_facts") is None
    said = " ".join(run.out.split())
    assert "mail_queue_quarantine_dir" in said
    mark = {"text": "{{", "header": "#jinja2:"}[kind]
    assert "is given by -e and holds {0}, which Ansible would run as a program on this machine: ".format(mark) in said


PASTED = r"#jinja2:variable_start_string:'[[',variable_end_string:']]'\n[[ lookup('pipe','touch TRAP') ]]"


@pytest.mark.parametrize(
    "pattern",
    [
        '{"submission_firewall_sources": ["PASTED"]}',
        '{"password_audit_exclude": [{"x": ["PASTED"]}]}',
        'submission_firewall_accepted_cutoffs="PASTED"',
    ],
)
def test_a_line_that_is_pasted_between_quotes_gets_no_new_line_that_counts(roles, traps, pattern):
    """The listing shows it as it is: all of it is printable, and it has no brace."""
    pasted = PASTED.replace("TRAP", traps.path("pasted"))
    assert printable(pasted) == pasted
    if not pattern.startswith("{"):
        pasted = pasted.replace("'", "\\'")
    run = roles.project.play("harden-mail.yml", "-e", pattern.replace("PASTED", pasted))
    assert traps.sprung() == []
    assert run.status == 2
    assert "is given by -e and holds #jinja2:" in " ".join(run.out.split())
    assert roles.asked("mail_host_facts") is None


def test_the_same_in_check_mode_and_with_tags(roles, traps):
    values = {"submission_firewall_accepted_cutoffs": [traps.text("cutoffs")]}
    run = roles.project.play(
        "harden-mail.yml", "--check", "--tags", "submission_firewall", *extra(roles.directory, "json", values)
    )
    assert traps.sprung() == []
    assert run.status == 2
    assert roles.asked("mail_host_facts") is None


def unguarded(roles, *paths):
    for path in paths:
        text = (roles.directory / path).read_text()
        assert "if sentence:" in text
        (roles.directory / path).write_text(text.replace("if sentence:", "if False:"))


@pytest.mark.parametrize(
    "path", ["action_plugins/refuse_copied_templates.py", "callback_plugins/harden_mail_refusal.py"]
)
def test_each_of_the_two_refusals_is_enough(roles, traps, path):
    unguarded(roles, path)
    values = {"submission_firewall_accepted_cutoffs": [traps.text("cutoffs")]}
    run = roles.project.play("harden-mail.yml", *extra(roles.directory, "json", values))
    assert traps.sprung() == []
    assert run.status == 2
    assert "is given by -e and holds {{" in " ".join(run.out.split())


@pytest.mark.parametrize("arguments", [["--skip-tags", "always"], ["--start-at-task", "Try likely passwords"]])
def test_leaving_out_the_task_that_refuses_is_no_way_around(roles, traps, arguments):
    values = {"password_audit_exclude": [traps.text("exclude")], "password_audit_stores": []}
    run = roles.project.play("harden-mail.yml", *arguments, *extra(roles.directory, "json", values))
    assert traps.sprung() == []
    assert run.status == 2
    assert roles.asked("mail_password_audit") is None
    unguarded(roles, "callback_plugins/harden_mail_refusal.py")
    roles.project.play("harden-mail.yml", *arguments, *extra(roles.directory, "json", values))
    assert traps.sprung() == ["exclude"] or roles.asked("mail_password_audit") is None


# Ansible parts `-e key=value` at blanks: whoever wrote the value sets variables, those of the connection among them.
GOES_ON = "x ansible_connection=ssh ansible_host=127.0.0.1 ansible_ssh_common_args=-oProxyCommand=touch${IFS}TRAP"


@pytest.mark.parametrize("playbook", ["harden-mail.yml", PLAYBOOK])
@pytest.mark.parametrize("name", ["queue_run", "queue_select", "queue_confirm", "password_audit_exclude"])
def test_a_value_that_goes_on_as_other_variables_is_refused(roles, traps, playbook, name):
    text = GOES_ON.replace("TRAP", traps.path("goes_on"))
    run = roles.project.play(playbook, "-e", "{0}={1}".format(name, text))
    assert traps.sprung() == []
    assert run.status == 2
    assert "-e gives {0}, and behind it in the same argument ansible_connection=ssh".format(name) in run.out
    unguarded(roles, "callback_plugins/harden_mail_refusal.py")
    templated = "{0}=x ansible_host={1}".format(
        name, traps.text("host").replace(" ", "").replace("touch", "touch${IFS}")
    )
    assert roles.project.play(playbook, "-e", templated).status != 0 or traps.sprung()


@pytest.mark.parametrize(
    "option",
    [
        "queue_action=restore queue_run=x",
        "queue_run='x y=z'",
        '{"queue_run": "x", "ansible_host": "x"}',
        "password_audit_enabled=true password_audit_exclude=x",
        "queue_action=hold queue_all=true",
        "queue_run='x",
    ],
)
def test_what_stands_before_it_or_is_quoted_is_nobody_elses(option):
    assert given._more_than_one(option) is None


# As Ansible loads it from -e.
TEMPLATE = trust_as_template("{{ x }}") if trust_as_template else "{{ x }}"
# As the documentation shows it, with a subject pasted in: the quote ends the text, and the rest of it is read as well.
IN_QUOTES = '{"queue_select": {"subject": "SUBJECT"}}'
SETS = 'x"}, "ansible_connection": "ssh", "ansible_ssh_common_args": "-oProxyCommand=touch${IFS}TRAP", "z": {"y": "'


@pytest.mark.parametrize("playbook", ["harden-mail.yml", PLAYBOOK])
def test_a_quote_in_what_is_copied_sets_no_other_variables(roles, traps, playbook):
    option = IN_QUOTES.replace("SUBJECT", SETS.replace("TRAP", traps.path("quote")))
    run = roles.project.play(playbook, "-e", option)
    assert traps.sprung() == []
    assert run.status == 2
    assert "-e gives queue_select, and behind it in the same argument ansible_connection: " in run.out


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (IN_QUOTES.replace("SUBJECT", 'x", "subject": "*'), "-e gives subject twice"),
        (IN_QUOTES.replace("SUBJECT", 'x"}, "queue_select": {"subject": "*'), "-e gives queue_select twice"),
        ("{queue_select: {subject: x, subject: '*'}}", "-e gives subject twice"),
        ("{queue_select: {not: [{sender: a, sender: b}]}}", "-e gives sender twice"),
        ("{queue_select: {subject: !unsafe x}, queue_action: delete}", "behind it in the same argument queue_action"),
        ('{"password_audit_exclude": ["x"], "a": [""]}', "-e gives password_audit_exclude, and behind it"),
        (
            '{"password_audit_exclude": ["x"], "password_audit_cores": "{{ x }}"}',
            "in the same argument password_audit_",
        ),
        ('{"password_audit_exclude": ["x"], "password_audit_cores": 2}', None),
        ('{"queue_action": "delete", "queue_confirm": 2, "queue_select": {"subject": "x"}}', None),
        ('{"password_audit_enabled": true, "password_audit_exclude": ["x", {"a": 1}]}', None),
        ("{queue_select: &a {not: *a}}", None),
        ('{"queue_select": ', None),
        ("queue_select=x", None),
    ],
)
def test_what_json_gives_is_one_value_at_the_end(option, said):
    sentence = given._more_than_meant(option, {"password_audit_cores": TEMPLATE} if "{{" in option else {})
    assert sentence is None if said is None else said in sentence


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_refusal_the_traps_would_spring(roles, traps, kind):
    unguarded(roles, "action_plugins/refuse_copied_templates.py", "callback_plugins/harden_mail_refusal.py")
    values = {"submission_firewall_accepted_cutoffs": [getattr(traps, kind)("cutoffs")]}
    roles.project.play("harden-mail.yml", *extra(roles.directory, "json", values))
    assert traps.sprung() == ["cutoffs"]


@pytest.mark.parametrize("text", ["{{ lookup('pipe', 'touch TRAP') }}", PASTED])
def test_text_that_is_marked_unsafe_is_handed_on_as_it_is(roles, traps, text):
    text = text.replace("TRAP", traps.path("cutoffs"))
    path = roles.directory / "extra.yml"
    path.write_text("submission_firewall_accepted_cutoffs: [!unsafe '{0}']\n".format(text.replace("'", "''")))
    run = roles.project.play("harden-mail.yml", "-e", "@{0}".format(path))
    assert run.status == 0, run.out
    assert traps.sprung() == []
    assert roles.asked("submission_firewall")["accepted_cutoffs"] == [text]


def test_templates_of_the_inventory_stay_what_they_are(roles):
    roles.project.inventory(vps1={"vault_x": "bob@example.com", "password_audit_exclude": ["{{ vault_x }}"]})
    run = roles.project.play("harden-mail.yml")
    assert run.status == 0, run.out
    assert roles.asked("mail_password_audit")["exclude"] == ["bob@example.com"]


def test_templates_that_nobody_copies_are_evaluated(roles):
    values = {"queue_alert_ways": [{"type": "sendmail", "to": ["{{ vault_x }}"]}], "vault_x": "bob@example.com"}
    assert roles.project.play("harden-mail.yml", *extra(roles.directory, "json", values)).status == 0
    assert roles.asked("queue_alert")["ways"] == [{"type": "sendmail", "to": ["bob@example.com"]}]


def test_each_variable_is_copied_into_or_known_not_to_be():
    free = {name for name, option in variables() if option.get("type", "str") in FREE and "choices" not in option}
    assert free - set(copied_variables()) - OWN == set()
    assert not OWN.intersection(copied_variables())
    assert given.is_copied("submission_firewall_sources_office")


def test_a_name_in_a_dictionary_is_no_template(roles, traps):
    """ansible-core 2.16 does not say that it takes no name for a template, so that it is refused there."""
    for text in (traps.text("name"), traps.header("name")):
        values = {"password_audit_notify_admins": {text: "a@example.com"}}
        run = roles.project.play("harden-mail.yml", *extra(roles.directory, "json", values))
        assert traps.sprung() == []
        assert (
            run.status == 2 or roles.asked("mail_password_notice")["admins"] == values["password_audit_notify_admins"]
        )


# --- what a managed host says --------------------------------------------------------------------------------


def poisoned(value, trap):
    """The same, with a trap in place of each text."""
    if isinstance(value, dict):
        return {key: poisoned(one, trap) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, trap) for one in value]
    return trap if isinstance(value, str) else value


@pytest.mark.parametrize("arguments", [["harden-mail.yml"], ["harden-mail.yml", "-vvv"], ["playbooks/compliance.yml"]])
@pytest.mark.parametrize("keep_names", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_a_host_says_is_templated(roles, traps, arguments, keep_names, kind):
    trap = getattr(traps, kind)("host")
    for name, values in ANSWERS.items():
        answer = poisoned(values, trap)
        if keep_names and name == "mail_host_facts":
            answer["ansible_facts"]["mail_host"]["mta"]["name"] = "postfix"
            answer["ansible_facts"]["mail_host"]["pop"]["name"] = trap
        roles.answer(name, dict(answer, changed=True, evidence=[trap], findings=[trap], msg=trap, warnings=[trap]))
    roles.project.inventory(
        vps1={"password_audit_action": ["notify", "block_submission"], "pop_before_smtp_enabled": True}
    )
    roles.project.play(*arguments)
    assert traps.sprung() == []
    assert roles.asked("submission_firewall") is not None
    assert roles.asked("submission_block") is not None
    assert roles.asked("mail_password_notice")["accounts"][0]["name"] == trap


def test_no_playbook_names_what_only_plugins_may_read():
    """A mere `when` that mentions a variable templates it."""
    text = "\n".join(
        line for line in pathlib.Path(ROOT / PLAYBOOK).read_text().splitlines() if not line.lstrip().startswith("#")
    )
    for name in ("queue_select", "queue_run", "queue_confirm", "queue_action", "queue_all", "queue_limit"):
        assert name not in text
