"""What the tests of this scenario have in common: who sends, and the playbooks as users run them."""

import base64
import json
import os
import subprocess
import sys
import time

import yaml
from hosts.lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))

PASSWORDS = {
    "info@example.com": "info",
    "hanako@example.com": "correct-horse-7-battery",
    "boss@a.example": "boss",
}

# Accounts of the host whose passwords are weak: the mail hosts' own, a customer's, the web application's.
WEAK = [
    "info@example.com",
    "support@example.com",
    "webmaster@example.com",
    "taro.yamada@example.com",
    "boss@a.example",
    "web@example.com",
]

# Of whom attackers claim that they have weak passwords.
CLAIMED = ["hanako@example.com", "ceo@bigcorp.example", "ceo@b.example", "shelly@b.example", "shelly"]


def send(client, host, user, password=None, port=587, family=4):
    """Log in and hand a recipient over: (code to AUTH, code to RCPT); AUTH's is None where it is not offered."""
    text = "\0{0}\0{1}".format(user, PASSWORDS[user] if password is None else password)
    with client.smtp(host.address(family), port, tls=port == 465) as session:
        session.ehlo("client.example.com")
        if not session.has_extn("auth"):
            return None, None
        code = session.docmd("AUTH", "PLAIN " + base64.b64encode(text.encode()).decode())[0]
        if code != 235:
            return code, None
        session.mail(user)
        return code, session.rcpt("webmaster@example.com")[0]


def play(playbook, *arguments, inventory=None, **variables):
    """Run a playbook of the project on all hosts, as a user does.

    :returns: (CompletedProcess, report (dict), seconds)
    """
    lab = Lab.current()
    lab.write_inventory()
    report = lab.path("report.json")
    if os.path.exists(report):
        os.unlink(report)
    with open(os.path.join(HERE, "vars", "settings.yml"), encoding="utf-8") as handle:
        settings = yaml.safe_load(handle)
    sources = [lab.client(name).address(family) for name in SOURCES for family in (4, 6)]
    with open(lab.path("settings.json"), "w", encoding="utf-8") as handle:
        json.dump({"all": {"vars": dict(settings, lab_sources=sources, **variables)}}, handle)
    began = time.monotonic()
    done = subprocess.run(
        [
            os.path.join(os.path.dirname(sys.executable), "ansible-playbook"),
            "-i",
            inventory or lab.path("inventory.json"),
            "-i",
            lab.path("settings.json"),
            os.path.join(PROJECT, playbook),
            *arguments,
        ],
        cwd=PROJECT,
        env=dict(
            os.environ,
            ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg"),
            HARDEN_MAIL_REPORT=report,
            MOLECULE_SCENARIO_DIRECTORY=HERE,
            NO_COLOR="1",
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=300,
        check=False,
    )
    seconds = time.monotonic() - began
    print("{0}: {1:.0f} s, exit status {2}".format(playbook, seconds, done.returncode))
    try:
        with open(report, encoding="utf-8") as handle:
            return done, json.load(handle), seconds
    except FileNotFoundError:
        return done, None, seconds


SOURCES = ("controller", "allowed")


def controls(report, host):
    """{id: control} of a host in a report."""
    return report["hosts"][host.name]["controls"]


def said(report, host, *names):
    """All findings and evidence of some controls (default: all) as one text."""
    chosen = controls(report, host)
    return "\n".join(
        line for name in names or chosen for part in ("findings", "evidence", "warnings") for line in chosen[name][part]
    )
