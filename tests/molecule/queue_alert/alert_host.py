"""What the tests of the alert have in common: a host that has it, and who is told."""

import contextlib
import email
import email.policy
import json
import os
import subprocess
import sys
import time

from hosts.lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PROGRAM = "/usr/local/lib/harden-mail/queue-alert"
STATE = "/var/lib/harden-mail/queue_alert/state.json"
SPARE = "/run/harden-mail/queue-alert.state.json"
CONFIG = "/etc/harden-mail/queue-alert.json"
CRON = "/etc/cron.d/harden-mail-queue-alert"
MAILBOX = "/var/mail/admin"
CANARIES = ("canary-in-the-path", "canary-in-a-header")
LIMIT = 300


class Watched:
    """A host with the alert, and who is told: the other host's admin."""

    def __init__(self, name):
        self.host = Lab.current().host(name)
        self.other = next(host for host in Lab.current().hosts() if host.name != name)

    def fill(self, number, subject="spam", sender="bulk@example.com"):
        """Submit messages that stay in the queue."""
        self.host.run(
            "smtp-source -c -l 600 -m {0} -s 20 -f {1} -t x@example.net -S '{2}' 127.0.0.1:25".format(
                number, sender, subject
            ),
            timeout=120,
        )
        self.wait_for(lambda: self.count("maildrop incoming active") == 0)

    def count(self, queues="maildrop incoming active deferred"):
        return int(self.host.run("cd /var/spool/postfix && find {0} -type f | wc -l".format(queues)))

    def take_away(self, number):
        self.host.run(
            "cd /var/spool/postfix && find deferred -type f -printf '%f\\n' | head -n {0} | "
            "postsuper -d - 2>/dev/null".format(number)
        )

    def run(self, arguments="", check=True):
        """One run of the program, as cron does it: with nothing in its environment."""
        return self.host.run("env -i {0} {1}".format(PROGRAM, arguments), check=check)

    def state(self):
        return json.loads(self.host.run("cat " + STATE))

    def mails(self):
        """Mails in the mailbox on the other host, oldest first."""
        text = self.other.run("cat {0} 2>/dev/null || true".format(MAILBOX))
        parts = ("\n" + text).split("\nFrom ")[1:]
        return [
            email.message_from_string(
                part.partition("\n")[2].replace("\n>From ", "\nFrom "), policy=email.policy.default
            )
            for part in parts
        ]

    def wait_for_mails(self, number, seconds=10):
        self.wait_for(lambda: len(self.mails()) >= number, seconds)
        return self.mails()

    @staticmethod
    def wait_for(what, seconds=60):
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, "that took longer than {0} seconds".format(seconds)
            time.sleep(0.3)

    def unit(self, kind):
        """ActiveState of the alert's timer or service."""
        name = "harden-mail-queue-alert." + kind
        return self.host.run("systemctl show --property=ActiveState --value " + name).strip()

    def reset(self):
        kept = os.path.dirname(STATE) + "/refused-*"
        self.host.run("postsuper -d ALL 2>/dev/null; rm -f {0} {1} {2}".format(STATE, SPARE, kept))
        self.other.run("rm -f " + MAILBOX)

    @contextlib.contextmanager
    def without_cron(self):
        self.host.run("systemctl stop cron")
        try:
            yield
        finally:
            self.host.run("systemctl start cron")

    @contextlib.contextmanager
    def relay_down(self):
        self.other.run("systemctl stop postfix")
        try:
            yield
        finally:
            self.other.run("systemctl start postfix")


def said(mail):
    """Count and limit of an alert's subject."""
    words = mail["subject"].split()
    return int(words[words.index("messages") - 1]), int(words[-1].rstrip(")"))


def play(check=True, **variables):
    """Run the scenario's play once more, on both hosts; what it said."""
    lab = Lab.current()
    lab.write_inventory()
    done = subprocess.run(
        [
            os.path.join(os.path.dirname(sys.executable), "ansible-playbook"),
            "-vvvv",
            "-i",
            lab.path("inventory.json"),
            os.path.join(HERE, "converge.yml"),
            "-e",
            json.dumps(dict(variables, lab_sources=[lab.client("controller").address(4)])),
        ],
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg"), NO_COLOR="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert (done.returncode == 0) == check, done.stdout
    for canary in CANARIES:
        assert canary not in done.stdout
    return done.stdout
