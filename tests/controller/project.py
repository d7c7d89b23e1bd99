"""A project of its own with the real playbooks and plugins, and stand-ins for the roles that answer as told."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REAL = (
    "ansible.cfg",
    "action_plugins",
    "callback_plugins",
    "controls.yml",
    "harden-mail.yml",
    "module_utils",
    "playbooks",
    "plugin_utils",
)

MODULE = """
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"answer": {"type": "dict"}}, supports_check_mode=True)
answer = module.params["answer"]
for text in answer.pop("warnings", []):
    module.warn(text)
(module.fail_json if answer.pop("failed", False) else module.exit_json)(**answer)
"""

# Of one task each; what it answers is a variable of the host, or this.
ANSWERS = {
    "mail_host": {"ansible_facts": {"mail_host": {"mta": {"name": "postfix"}}}},
    "submission_firewall": {},
    "pop_before_smtp": {},
    "queue_alert": {},
    "password_audit": {},
}
ROLES = {
    "mail_host": "mail-host-known",
    "submission_firewall": "submission-restricted",
    "pop_before_smtp": "pop-before-smtp",
    "queue_alert": "queue-watched",
    "password_audit": "passwords-not-guessable",
}

TASK = """
- name: Do the work of {role}
  stub:
    answer: "{{{{ {role}_answer | default({answer}) }}}}"
  no_log: "{{{{ {role}_no_log | default(false) }}}}"
  vars:
    control: {control}
"""

SPEC = """
argument_specs:
  main:
    options:
      {role}_number:
        type: int
"""


def copy(source, target):
    # No symbolic links: Ansible follows them, and would then take the real roles for the stand-ins.
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


class Run:
    """How a run of ansible-playbook went.

    :ivar int status: exit status
    :ivar str out: what it printed
    :ivar dict report: the report it left, or None
    """

    def __init__(self, status, out, report):
        self.status, self.out, self.report = status, out, report

    def outcome(self, host, control=None):
        found = self.report["hosts"][host]
        return found["controls"][control]["outcome"] if control else found["outcome"]


class Project:
    """Lives in ``directory`` (a pathlib.Path)."""

    def __init__(self, directory):
        self.directory = directory
        for name in REAL:
            copy(ROOT / name, directory / name)
        (directory / "library").mkdir()
        (directory / "library" / "stub.py").write_text(MODULE)
        for role, control in ROLES.items():
            for name, text in (("tasks/main.yml", TASK), ("meta/argument_specs.yml", SPEC)):
                path = directory / "roles" / role / name
                path.parent.mkdir(parents=True)
                path.write_text(text.format(role=role, control=control, answer=ANSWERS[role]))
        self.report = directory / "reports" / "latest.json"

    def inventory(self, **hosts):
        """One host a keyword, its value a dict of variables."""
        usual = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "pop_before_smtp_enabled": True,
        }
        document = {"all": {"hosts": {name: dict(usual, **variables) for name, variables in hosts.items()}}}
        (self.directory / "inventory").write_text(json.dumps(document))

    def play(self, playbook, *arguments, **environment):
        """Run ansible-playbook as a user does, in the project's directory."""
        program = pathlib.Path(sys.executable).with_name("ansible-playbook")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HARDEN_MAIL_"))}
        done = subprocess.run(
            [program, playbook, *arguments],
            cwd=self.directory,
            env=dict({**clean, "COLUMNS": "160", "ANSIBLE_LOCAL_TEMP": str(self.directory / "tmp")}, **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        report = json.loads(self.report.read_text()) if self.report.exists() else None
        return Run(done.returncode, done.stdout, report)


def unreachable():
    """Variables of a host whose SSH port refuses: on loopback, a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": port}
