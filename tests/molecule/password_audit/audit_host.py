"""What the tests of the audit have in common: a host with accounts, who sends, and the play once more."""

import base64
import contextlib
import json
import os
import poplib
import subprocess
import sys

from hosts.lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
DIRECTORY = "/var/lib/harden-mail/password_audit"
CODE = "/root/audit-code"
USERS = "/etc/dovecot/users"
CANARY = "Xq7-canary-"

PASSWORDS = {
    "info": "info",
    "sum": "sum123",
    "stored": "Xq7-canary-stored-Vw3",
    "listed": "Xq7-canary-listed-Vw3",
    "apart": "apart123",
    "changed": "Xq7-canary-changed-Vw3",
}


def send(client, host, user, password=None, port=587):
    """Log in and try to send: the code that decides, 250 or 554."""
    text = "\0{0}@example.com\0{1}".format(user, password or PASSWORDS[user])
    with client.smtp(host.address(4), port, tls=port == 465) as session:
        session.ehlo("client.example.com")
        assert session.docmd("AUTH", "PLAIN " + base64.b64encode(text.encode()).decode())[0] == 235, user
        session.mail("{0}@example.com".format(user))
        return session.rcpt("webmaster@example.com")[0]


def read(client, host, user, password=None):
    """Log in by POP3: whether it is let in."""
    address = host.address(4)

    class Session(poplib.POP3):
        def _create_socket(self, timeout):
            connection = client.socket(4)
            connection.settimeout(30)
            connection.connect((address, 110))
            return connection

    session = Session(address)
    try:
        session.user(user + "@example.com")
        return session.pass_(password or PASSWORDS[user]).startswith(b"+OK")
    except poplib.error_proto:
        return False
    finally:
        with contextlib.suppress(poplib.error_proto, OSError):
            session.quit()
        session.close()
        # What Dovecot makes for who logs in would show in the snapshots.
        host.run("rm -rf /var/vmail/example.com")


def play(arguments=(), check=True, **environment):
    """Run the scenario's play once more, on all hosts, with the callback that users have; (what it said, report)."""
    lab = Lab.current()
    lab.write_inventory()
    report = lab.path("report.json")
    done = subprocess.run(
        [
            os.path.join(os.path.dirname(sys.executable), "ansible-playbook"),
            "-vvvv",
            "-i",
            lab.path("inventory.json"),
            os.path.join(HERE, "converge.yml"),
            *arguments,
        ],
        cwd=PROJECT,
        env=dict(
            os.environ,
            ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg"),
            HARDEN_MAIL_REPORT=report,
            MOLECULE_SCENARIO_DIRECTORY=HERE,
            NO_COLOR="1",
            **environment,
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert (done.returncode == 0) == check, done.stdout[-20000:]
    with open(report, encoding="utf-8") as handle:
        return done.stdout, handle.read()


def control(report, host):
    return json.loads(report)["hosts"][host.name]["controls"]["passwords-not-guessable"]


def put_code(host):
    """Bring the code of the controller's tree to the host, for audit_on_host.py."""
    parts = ["module_utils/harden_mail", "tests/molecule/password_audit/audit_on_host.py"]
    tar = subprocess.run(
        ["tar", "-C", PROJECT, "--exclude=__pycache__", "-c", *parts], check=True, stdout=subprocess.PIPE
    ).stdout
    host.run("rm -rf {0}; mkdir -p {0}; tar -C {0} -x".format(CODE), stdin=tar)


def command(**options):
    """A shell command that runs the audit on a host as the module does, and prints its result."""
    return "python3 {0}/tests/molecule/password_audit/audit_on_host.py '{1}'".format(CODE, json.dumps(options))
