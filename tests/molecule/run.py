#!/usr/bin/env python3
"""Run molecule scenarios side by side, each in a lab of its own, and sum up.

    run.py                      the scenarios of every day
    run.py --all                every scenario there is
    run.py NAME ... [-- ARGS]   these; ARGS go to `molecule test` (--destroy=never)

"hosts" is no scenario, but the tests of the test hosts themselves. What a scenario says goes to
.cache/molecule/NAME.log, and to the terminal when it failed or is the only one.
"""

import argparse
import glob
import os
import signal
import subprocess
import sys
import time

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
LAB = os.path.join(PROJECT, "tests", "hosts", "lab.py")
LOGS = os.path.join(PROJECT, ".cache", "molecule")

# Scenarios that only `--all` runs: on roots whose archive may have holes (without them they are left out), or on code
# that others go through as well.
NOT_EVERY_DAY = {"submission_debian11", "submission_unit"}

# The test hosts' own tests; first, since nothing else can be believed when they fail.
HOSTS = "hosts"

HOSTS_ROOTS = {"deb12"}

# Two scenarios keep two processors busy without the timings in them suffering.
AT_ONCE = 2

# These wait for cron most of the time, so they run beside the two, from the beginning.
WAITING_MOSTLY = {"queue_alert"}


def main():
    arguments = sys.argv[1:]
    extra = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a directory under tests/molecule")
    parser.add_argument("--all", action="store_true", help="every scenario there is")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N", help="this many side by side")
    options = parser.parse_args(arguments[: len(arguments) - len(extra) - 1] if extra else arguments)
    there = scenarios()
    names = options.names or [name for name in there if options.all or name not in NOT_EVERY_DAY]
    unknown = set(names) - set(there)
    if unknown:
        raise SystemExit("No such scenario: {0}. There are: {1}".format(", ".join(unknown), ", ".join(there)))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    # Once, before the clock of the first scenarios starts to run.
    needed = set().union(*(roots_of(name) for name in names if name not in NOT_EVERY_DAY))
    if needed and not build(needed):
        return 1
    for name in [name for name in names if name in NOT_EVERY_DAY]:
        if not build(roots_of(name)):
            print("{0:<28} left out".format(name))
            names.remove(name)
    if len(names) == 1:
        return subprocess.call(command(names[0], extra), cwd=PROJECT, env=environment())
    return sum_up(run(names, options.at_once, extra))


def scenarios():
    return [HOSTS] + sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob(HERE + "/*/molecule.yml"))


def roots_of(name):
    """The roots (set of str) on which a scenario's platforms stand."""
    if name == HOSTS:
        return HOSTS_ROOTS
    with open(os.path.join(HERE, name, "molecule.yml"), encoding="utf-8") as handle:
        return {platform.get("root", platform["name"]) for platform in yaml.safe_load(handle)["platforms"]}


def build(roots):
    """Build what is not there yet; returns whether that worked."""
    return subprocess.call([sys.executable, LAB, "roots"] + sorted(roots)) == 0


def run(names, at_once, extra):
    """Run scenarios side by side; returns [(name, exit status, seconds)] in the order in which they ended."""
    os.makedirs(LOGS, exist_ok=True)
    waiting, running, done = list(names), {}, []
    try:
        while waiting or running:
            for name in startable(waiting, running, at_once):
                waiting.remove(name)
                with open(log_of(name), "w", encoding="utf-8") as log:
                    process = subprocess.Popen(
                        command(name, extra),
                        cwd=PROJECT,
                        env=environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                running[name] = (process, time.monotonic())
            time.sleep(0.5)
            for name, (process, started) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                done.append((name, process.returncode, time.monotonic() - started))
                if process.returncode:
                    with open(log_of(name), encoding="utf-8") as log:
                        print(log.read())
                print(
                    "{0:<28} {1:<7} {2:4.0f} s".format(name, "failed" if process.returncode else "passed", done[-1][2]),
                    flush=True,
                )
    finally:
        # Interrupted: each lab takes itself away, and is waited for.
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.wait()
    return done


def startable(waiting, running, at_once):
    """Names of those that can be started now."""
    free = at_once - len(set(running) - WAITING_MOSTLY)
    busy = [name for name in waiting if name not in WAITING_MOSTLY]
    return [name for name in waiting if name in WAITING_MOSTLY] + busy[: max(0, free)]


def sum_up(done):
    """Exit status: 0 when all have passed."""
    failed = sorted(name for name, code, _ in done if code)
    print(
        "{0} of {1} scenarios passed; what they said is in {2}".format(
            len(done) - len(failed), len(done), os.path.relpath(LOGS, PROJECT)
        )
    )
    for name in failed:
        print("failed: {0} ({1})".format(name, os.path.relpath(log_of(name), PROJECT)))
    return 1 if failed else 0


def command(name, extra):
    if name == HOSTS:
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/hosts"]
    return [sys.executable, LAB, "run", "--", "molecule", "test", "-s", name] + extra


def environment():
    """molecule and ansible-playbook are those beside this Python; no colours in a log."""
    plain = {} if sys.stdout.isatty() else {"NO_COLOR": "1"}
    return dict(os.environ, PATH="{0}:{1}".format(os.path.dirname(sys.executable), os.environ["PATH"]), **plain)


def log_of(name):
    return os.path.join(LOGS, name + ".log")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
