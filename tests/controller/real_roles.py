"""A project with the real roles, whose modules answer as told and note what they were asked."""

import json
import shutil

from project import ROOT, Project

# Has no specification of arguments, and answers any text, so that one stands in for every module of any host.
MODULE = """
import json, os, pathlib
from ansible.module_utils.basic import AnsibleModule, _load_params

options = {{name: {{"type": "raw"}} for name in _load_params() if not name.startswith("_ansible")}}
module = AnsibleModule(options, supports_check_mode=True)
place = pathlib.Path({place!r})
(place / "{name}.asked").write_text(json.dumps(dict(module.params, check=module.check_mode, logs=not module.no_log)))
print((place / "{name}.answer").read_text(), flush=True)
os._exit(0)
"""

FACTS = {
    "mta": {
        "name": "postfix",
        "version": "3.7.11",
        "instances": [{"name": None, "config_dir": "/etc/postfix", "queue_dir": "/var/spool/postfix"}],
    },
    "pop": {"name": "dovecot", "version": "2.3.19", "config_dir": "/etc/dovecot"},
    "firewall": {"backend": "nftables", "running": True},
    "panel": {"name": None},
    "accounts": [{"store": "dovecot-passwd-file", "path": "/etc/dovecot/users", "count": 3}],
    "logs": {"files": ["/var/log/mail.log"], "journal": True},
}
ANSWERS = {
    "mail_host_facts": {"ansible_facts": {"mail_host": FACTS}},
    "submission_firewall": {"steps": [], "pending": False},
    "smtp25_without_auth": {},
    "pop_before_smtp": {"steps": []},
    "queue_alert": {},
    "mail_password_audit": {
        "accounts": [],
        "accounts_total": 3,
        "guessed_accounts": ["info@example.com"],
        "guessed": [{"name": "info@example.com", "token": "3413057ff1b53ceb", "kind": "common"}],
        "kept_accounts": [],
        "knows_all": True,
        "summary": {},
        "finished": True,
        "progress": {"accounts": 3, "guessed": 1, "everyone": None, "seconds": 3.0},
    },
    "submission_block": {"steps": [], "blocked": ["info@example.com"], "blocked_total": 1},
    "mail_password_notice": {"told": ["info@example.com"], "told_total": 1, "notices": 1, "notices_left": 0},
}


class RealRoles:
    """Lives in ``directory`` (a pathlib.Path); one host, vps1, with every role on.

    :ivar Project project: plays
    """

    def __init__(self, directory):
        self.project, self.directory = Project(directory), directory
        shutil.rmtree(directory / "roles")
        shutil.copytree(ROOT / "roles", directory / "roles")
        for name, values in ANSWERS.items():
            (directory / "library" / (name + ".py")).write_text(MODULE.format(place=str(directory), name=name))
            self.answer(name, dict({"changed": False, "evidence": [], "findings": []}, **values))
        self.project.inventory(vps1={"password_audit_action": ["notify", "block_submission"]})

    def answer(self, name, answer):
        text = answer if isinstance(answer, str) else json.dumps(answer)
        (self.directory / (name + ".answer")).write_text(text)

    def asked(self, name):
        """The options that a module was given, or None: it was not run."""
        path = self.directory / (name + ".asked")
        return json.loads(path.read_text()) if path.exists() else None
