#!/usr/bin/env python3
"""Runs the benches, each in a lab of its own if it wants test hosts, and prints their tables.

    run.py [--scale FRACTION] [NAME ...]

FRACTION (default 1) makes every bench smaller by it, to see that it still runs; the numbers then mean nothing.
"""

import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))

# name of the bench (a file bench_NAME.py): the test hosts that it wants, as lab.py takes them; none: it needs no lab
BENCHES = {
    "submission_firewall": ["vps=deb12"],
    "mail_queue_postfix": ["vps=deb12"],
    "queue_count": ["vps=deb12"],
    "mail_queue_qmail": ["vps=deb12"],
    "pop_before_smtp": ["vps=deb12"],
    "password_hashes": [],
    "password_quality": [],
    "password_audit": [],
}

# Where benches import from.
IMPORTED = ("tests", "tests/molecule/shared", "module_utils", ".cache/bench-passlib")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, metavar="FRACTION")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    if not 0 < options.scale <= 1:
        parser.error("--scale is {0}: give a fraction above 0, up to 1".format(options.scale))
    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error("no such bench: {0}; there are: {1}".format(", ".join(unknown), ", ".join(BENCHES)))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(os.path.join(PROJECT, path) for path in IMPORTED))
    failed = []
    for name in options.names or BENCHES:
        command = [sys.executable, os.path.join(HERE, "bench_{0}.py".format(name)), str(options.scale)]
        if BENCHES[name]:
            lab = [sys.executable, os.path.join(PROJECT, "tests", "hosts", "lab.py"), "run", "--sick"]
            for host in BENCHES[name]:
                lab += ["--host", host]
            command = lab + ["--"] + command
        if subprocess.call(command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL):
            failed.append(name)
    if failed:
        print("benches that failed: {0}".format(", ".join(failed)))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
