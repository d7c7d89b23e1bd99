"""The steps of a scenario that are not Ansible's: called by the playbooks beside this file, inside a lab.

What is noted in the lab by one step for a later one: ``snapshots`` {host: state}, ``changed-check`` and
``changed-run`` {host: [task]} (by callback_plugins/changed_tasks.py), ``reboot`` {client: [[phase,
address, port, tried, opened, last outcome]]}.
"""

import contextlib
import glob
import json
import os
import subprocess
import sys
import time

SHARED = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(SHARED)))
sys.path.insert(0, os.path.join(PROJECT, "tests"))

from hosts import snapshot  # noqa: E402
from hosts.lab import Host, Lab, boot, side_by_side  # noqa: E402

# Tried by a refused client all through a reboot.
RESTRICTED_PORTS = (587, 465)


def create(lab, names):
    """Boot the scenario's platforms, given as NAME or NAME=ROOT, and tell molecule how to reach them."""
    boot(lab, names)
    instances = [
        {
            "instance": host.name,
            "address": host.address(),
            "user": "root",
            "port": 22,
            "identity_file": lab.path("ssh", "key"),
        }
        for host in lab.hosts()
    ]
    with open(os.environ["MOLECULE_INSTANCE_CONFIG"], "w", encoding="utf-8") as handle:
        json.dump(instances, handle)


def sick(lab, _):
    """Make each host a neglected mail VPS."""
    side_by_side(Host.make_sick, lab.hosts())


def restart(lab, _):
    """Boot each host once more, so that the first snapshot is one of a booted host, as the last will be."""
    side_by_side(Host.reboot, lab.hosts())


def before(lab, _):
    """Take the first snapshot, then run the scenario's before_*.py: the controls that make a denial count."""
    lab.note("snapshots", _snapshots(lab))
    _pytest("before")


def unchanged(lab, _):
    """Check mode has changed nothing."""
    _compare(lab, "Check mode has changed the host")


def predicted(lab, _):
    """Check mode has announced exactly the tasks that the run reported as changed."""
    announced, made = lab.read("changed-check"), lab.read("changed-run")
    if announced is None or made is None:
        raise SystemExit("The changed tasks of check mode or of the run were not recorded.")
    for host in sorted(set(announced) | set(made)):
        said, did = announced.get(host, []), made.get(host, [])
        print("{0}: {1} changed: {2}".format(host, len(did), "; ".join(did) or "nothing"))
        if said != did:
            raise SystemExit("{0}: check mode announced {1}, the run changed {2}".format(host, said, did))


def verify(lab, _):
    """Run the scenario's verify_*.py, and after the reboot its rebooted_*.py as well."""
    _pytest("verify", needed=True)
    if lab.read("reboot"):
        _pytest("rebooted")


def reboot(lab, _):
    """Reboot all hosts, while clients try to get in; what they got is noted as "reboot"."""
    hosts = lab.hosts()
    targets = {
        "refused": [(host.address(f), port) for host in hosts for f in (4, 6) for port in RESTRICTED_PORTS],
        "allowed": [(host.address(f), 587) for host in hosts for f in (4, 6)],
    }
    noted = {name: [] for name in targets}
    for phase, move in (("shutdown", Host.shut_down), ("boot", Host.start)):
        with contextlib.ExitStack() as stack:
            # The allowed client only shows that there is something to get at; each of its visits costs an smtpd.
            tries = {
                name: stack.enter_context(lab.client(name).probing(some, 0.01 if name == "refused" else 0.1))
                for name, some in targets.items()
            }
            side_by_side(move, hosts)
            # Long enough for a last visit of each client to the booted host.
            time.sleep(1)
        for name, probes in tries.items():
            noted[name] += [[phase] + list(target) + list(probe) for target, probe in sorted(probes.items())]
    lab.note("reboot", noted)
    for name, lines in noted.items():
        for phase, address, port, tried, opened, last in lines:
            print(
                "{0}: {1} tried {2} port {3}: {4} times, {5} opened, at last {6}".format(
                    phase, name, address, port, tried, opened, last
                )
            )


def restored(lab, _):
    """``state: absent`` has given everything back but installed packages; then the scenario's absent_*.py."""
    _compare(lab, "`state: absent` has not given back what was there")
    _pytest("absent")


def destroy(lab, _):
    side_by_side(Host.remove, lab.hosts())


def _snapshots(lab):
    hosts = lab.hosts()
    return dict(zip([host.name for host in hosts], side_by_side(Host.snapshot, hosts)))


def _compare(lab, complaint):
    first, now = lab.read("snapshots"), _snapshots(lab)
    differ = False
    for name in sorted(first):
        ignored = set()
        packages = snapshot.new_packages(first[name], now[name])
        if packages:
            print("{0}: packages installed since, allowed to stay: {1}".format(name, ", ".join(packages)))
            ignored = set(lab.host(name).run("dpkg -L " + " ".join(packages)).splitlines())
        text = snapshot.differences(first[name], now[name], ignored)
        if text:
            differ = True
            print("{0}: {1}:\n{2}".format(name, complaint, text))
        else:
            print(
                "{0}: as at the first snapshot ({1} files, rules, units, queue)".format(name, len(now[name]["files"]))
            )
    if differ:
        raise SystemExit(1)


def _pytest(prefix, needed=False):
    scenario = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
    files = sorted(glob.glob("{0}/{1}_*.py".format(scenario, prefix)))
    if not files:
        if needed:
            raise SystemExit("{0} has no {1}_*.py: it would prove nothing.".format(scenario, prefix))
        return
    # Its output goes the way of ours, at once and in order.
    sys.stdout.flush()
    code = subprocess.call(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "--no-header",
            "--durations=5",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            PROJECT,
            "-c",
            os.path.join(PROJECT, "pyproject.toml"),
            "-o",
            "pythonpath={0}/tests {1}".format(PROJECT, SHARED),
        ]
        + files,
        cwd=PROJECT,
        stderr=subprocess.STDOUT,
    )
    if code:
        raise SystemExit("{0}_*.py: pytest exited with {1}".format(prefix, code))


if __name__ == "__main__":
    globals()[sys.argv[1]](Lab.current(), sys.argv[2:])
