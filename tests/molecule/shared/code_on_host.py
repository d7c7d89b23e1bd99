"""Our code on a test host, and the work of a module there without Ansible."""

import json
import os
import re
import subprocess

SHARED = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(SHARED)))
CODE = "/tmp/code"
SIGKILL = 137

# What is put there, by the directory that it is from.
PARTS = [
    (PROJECT, ["module_utils"]),
    (os.path.join(PROJECT, "tests"), ["killing.py"]),
    (SHARED, ["killed.py", "queue_odds.py"]),
]


def put_code(host, at=CODE):
    """Bring the code of the controller's tree to a host, for :func:`work`."""
    remove_code(host, at)
    command = ["tar", "--exclude=__pycache__", "-c"]
    for directory, names in PARTS:
        command += ["-C", directory, *names]
    tar = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    host.run("mkdir -p {0} && tar -C {0} -x --no-same-owner".format(at), stdin=tar)


def remove_code(host, at=CODE):
    """Take it away, and the directory when nothing else is in it."""
    paths = " ".join(at + "/" + name for _, names in PARTS for name in names)
    host.run("rm -rf {0}; rmdir {1} 2>/dev/null; true".format(paths, at))


def work(host, module, fatal=0, seconds=0, check=False, odds=(), **params):
    """A module's work, killed before its change number ``fatal`` of the host or after ``seconds``; see killed.py.

    :param odds: names of functions of queue_odds.py
    :returns: the result (dict); of one that was killed, {"killed": before what}
    """
    timeout = "timeout -s KILL {0} ".format(seconds) if seconds else ""
    command = "{0}python3 -B {1}/killed.py {2} {3}".format(timeout, CODE, module, fatal)
    output, code = host.run(
        "bash -c '{0} 2>&1; echo \" rc=$?\"'".format(command),
        stdin=json.dumps({"check": check, "odds": list(odds), "params": params}).encode(),
        timeout=300,
    ).rsplit(" rc=", 1)
    if int(code) == SIGKILL:
        what = re.search("killed before (.*)", output)
        return {"killed": what.group(1) if what else "at some time"}
    assert int(code) == 0, output
    return json.loads(output.strip().splitlines()[-1])
