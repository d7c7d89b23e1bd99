"""What a test does with the mail queue of a host: look, change by our modules, deliver."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SHARED = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(SHARED)))
BIN = os.path.dirname(sys.executable)
ON_HOST = "/tmp/harden-mail-test"
QUARANTINE = "/var/lib/harden-mail/quarantine"
SIGKILL = 137

# All of the spool but sockets, and what the daemons themselves write.
LISTING = (
    "cd /var/spool/postfix && find . {0} -type f -not -path './pid/*' -not -path './etc/*' -not -path './lib/*' "
    "-printf '%p %i %m %U %G %s %T@\\n' 2>/dev/null | sort"
)
STATE = "postqueue -p | tail -n 20; tail -n 20 /var/log/mail.log"


def put_code(host, to=ON_HOST):
    """Copy what :func:`work` needs onto a host."""
    with tempfile.TemporaryDirectory() as directory:
        place = directory + to
        shutil.copytree(
            os.path.join(PROJECT, "module_utils"), place + "/module_utils", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(os.path.join(SHARED, "queue_mortal.py"), place)
        host.put(directory)


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
        + ["playbooks/queue.yml", "-e", json.dumps(variables)]
        + ["--check"] * check,
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg"), ANSIBLE_NOCOLOR="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )


def work(host, fatal=0, seconds=0, check=False, words="", **params):
    """The modules' work without Ansible, killed before its call number ``fatal`` or after ``seconds``.

    :returns: the result; of one that was killed, {"killed": before which call}
    """
    timeout = "timeout -s KILL {0} ".format(seconds) if seconds else ""
    command = "{0}python3 -B {1}/queue_mortal.py {2} {3}".format(timeout, ON_HOST, fatal, words)
    output, code = host.run(
        "bash -c '{0}; echo \" rc=$?\"'".format(command),
        stdin=json.dumps({"check": check, "params": params}).encode(),
        timeout=300,
    ).rsplit(" rc=", 1)
    if int(code) == SIGKILL:
        call = re.match("killed before (.*)", output)
        return {"killed": call.group(1) if call else "at some time"}
    assert int(code) == 0, output
    return json.loads(output)


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
