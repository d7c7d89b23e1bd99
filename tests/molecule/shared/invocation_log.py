"""What a host's logs have of a run: no account, no finding, no secret, for logs are read by more people than reports.

A scenario's ``verify_*.py`` calls :func:`check` after its play has run.
"""

import json
import os
import re
import subprocess
import sys
import uuid

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LOGS = "journalctl --no-pager -o short; cat /var/log/syslog /var/log/messages /var/log/auth.log 2>/dev/null || true"


def check(host, nowhere, not_of_ansible):
    """Look through journal and syslog of a host.

    :param nowhere: texts that may be in no line (secrets)
    :param not_of_ansible: texts that may be in no line of Ansible's (accounts, findings); a mail server may name them
    """
    # The same log has what any other module was called with, so there is something to be found.
    mark = "/nowhere/" + uuid.uuid4().hex
    _stat(host, mark)
    lines = host.run(LOGS, timeout=300).splitlines()
    ours = [line for line in lines if "ansible-" in line or "Invoked with" in line]
    assert any(mark in line for line in ours), "the log is read, and has invocations"
    for module in _modules():
        # A process's name and number in the journal, a name and a colon in some files.
        name = re.compile(r"ansible-{0}[\[:]".format(module))
        assert [line for line in ours if name.search(line)] == [], module
    for text in not_of_ansible:
        assert [line for line in ours if text in line] == [], text
    for text in nowhere:
        assert [line for line in lines if text in line] == [], text


def _modules():
    names = os.listdir(os.path.join(PROJECT, "library"))
    return sorted(name[: -len(".py")] for name in names if name.endswith(".py"))


def _stat(host, path):
    subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible"), host.name, "-i", host.lab.path("inventory.json")]
        + ["-m", "ansible.builtin.stat", "-a", json.dumps({"path": path})],
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg")),
        stdin=subprocess.DEVNULL,
        check=True,
    )
