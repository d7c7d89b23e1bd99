"""What a test does with the mail queue of a host: look, change by our modules, deliver."""

import json
import os
import re
import subprocess
import sys
import time

import code_on_host

SHARED = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(SHARED)))
BIN = os.path.dirname(sys.executable)
QUARANTINE = "/var/lib/harden-mail/quarantine"

# All of the spool but sockets, and what the daemons themselves write.
LISTING = (
    "cd /var/spool/postfix && find . {0} -type f -not -path './pid/*' -not -path './etc/*' -not -path './lib/*' "
    "-printf '%p %i %m %U %G %s %T@\\n' 2>/dev/null | sort"
)
STATE = "postqueue -p | tail -n 20; tail -n 20 /var/log/mail.log"


# --- our modules --------------------------------------------------------------------------------------------


def module(host, name, check=False, **params):
    """Run a module over SSH as users do; returns its result (dict), ``failed`` (bool) included."""
    command = [os.path.join(BIN, "ansible"), host.name, "-i", host.lab.path("inventory.json"), "-m", name]
    done = subprocess.run(
        command + ["-a", json.dumps(params), "-o"] + ["--check"] * check,
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg"), ANSIBLE_NOCOLOR="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    found = re.search(r"^\S+ \| (\S+) => ({.*})$", done.stdout, re.MULTILINE)
    assert found and "Traceback" not in done.stdout, done.stdout
    return dict(json.loads(found.group(2)), failed=found.group(1) == "FAILED!")


def playbook(host, check=False, **variables):
    """Run playbooks/queue.yml on a host; returns CompletedProcess."""
    return subprocess.run(
        [os.path.join(BIN, "ansible-playbook"), "-i", host.lab.path("inventory.json"), "--limit", host.name]
        + ["playbooks/queue.yml", "-e", json.dumps(variables, sort_keys=True)]
        + ["--check"] * check,
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg"), ANSIBLE_NOCOLOR="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )


def work(host, **options):
    """The work of mail_queue, or without ``state`` of mail_queue_info; see code_on_host.work."""
    return code_on_host.work(host, "mail_queue" if "state" in options else "mail_queue_info", **options)


# --- the queue ----------------------------------------------------------------------------------------------


def listing(host, quarantine=QUARANTINE):
    """Every file of queue and quarantine with inode, mode, owner, size and time, as text."""
    return host.run(LISTING.format(quarantine))


def postqueue(host):
    """What ``postqueue -j`` says: list of dicts."""
    return [json.loads(line) for line in host.run("postqueue -j").splitlines()]


def count(host, queues):
    """How many messages are in some queues, named with blanks in between, in the order in which mail goes."""
    return int(host.run("cd /var/spool/postfix && find {0} -type f | wc -l".format(queues)))


def wait_until_still(host, seconds=120):
    """Wait until nothing is on its way.

    :raises AssertionError: something still is
    """
    deadline = time.monotonic() + seconds
    while count(host, "maildrop incoming active"):
        assert time.monotonic() < deadline, host.run(STATE)
        time.sleep(0.3)


def forget_failures(host):
    """Have the queue manager try a sink again that was down."""
    host.run("postqueue -f")


def deliver(host, seconds=120):
    """Have everything that isn't held delivered, now; wait for it.

    :raises AssertionError: something is left
    """
    deadline = time.monotonic() + seconds
    while count(host, "maildrop deferred incoming active"):
        # What is deferred meanwhile (a message that was being delivered while it was asked for) is tried once more.
        host.run("postqueue -f")
        wait_until_still(host, seconds)
        assert time.monotonic() < deadline, host.run(STATE)


def clean(host, quarantine=QUARANTINE):
    """Leave queue and quarantine as a test found them: empty."""
    host.run(
        "postsuper -d ALL 2>&1; rm -rf {0} /var/spool/postfix/harden-mail*; "
        "rmdir /var/lib/harden-mail 2>/dev/null; true".format(quarantine)
    )
