"""Two commits side by side: whether a change of the code changes anything that users or hosts see.

    lab.py run -- compare.py OLD NEW      two work trees of this repository

Each hardens a neglected VPS of its own with every role: check, run, second run. Compared are what was printed, the
report, the documentation, and all files, rules and units of the hosts. Then NEW runs on what OLD has hardened: only
programs built of the project's own sources may change, and nothing the second time. Prints the differences; exits
with 1 when there are any.
"""

import difflib
import json
import os
import pathlib
import re
import subprocess
import sys

import yaml

sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from hosts.lab import Lab, boot, side_by_side  # noqa: E402

NAMES = ("old", "new")

# Zip archives of our own sources.
PROGRAM = re.compile(r"/usr/local/lib/harden-mail/\S+\Z")

# What differs from run to run.
MOVING = (
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: [+-]\d{4})?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "DIGEST"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:s|seconds|minutes|MiB|guesses)\b"), "AMOUNT"),
    (re.compile(r"\b[\d,]+ guesses\b"), "AMOUNT"),
    (re.compile(r"\brun[-_]?id\"?: \"?[\w.:-]+"), "RUN"),
    (re.compile(r"\$6\$\S+"), "HASH"),
    (re.compile(r"(?m)^(files /etc/ssl/\S+: )[\w+/=]{4,}$"), r"\1BASE64"),
    (re.compile(r"\bthe program, \d+ bytes"), "the program"),
    # The notebook of the audit: seconds for each account.
    (re.compile(r"(?<=, )\d+\.\d+(?=, )"), "SECONDS"),
)


def main():
    trees = [pathlib.Path(path).resolve() for path in sys.argv[1:]]
    if len(trees) != len(NAMES):
        raise SystemExit(__doc__)
    lab = Lab.current()
    boot(lab, ["{0}=deb12".format(name) for name in NAMES])
    hosts = [lab.host(name) for name in NAMES]
    side_by_side(lambda host: host.make_sick(), hosts)
    found = compare("documentation", *[documentation(tree) for tree in trees])
    for steps in (("check", ["--check", "--diff"]), ("run", ["--diff"]), ("second run", [])):
        said = [play(lab, tree, host, *steps[1]) for tree, host in zip(trees, hosts)]
        found += compare("what `harden-mail.yml` prints: " + steps[0], *[one for one, _ in said])
        found += compare("report: " + steps[0], *[one for _, one in said])
    states = [host.snapshot() for host in hosts]
    found += compare("hosts", *[plain_state(state, host) for state, host in zip(states, hosts)])
    # The new code on what the old code has made.
    play(lab, trees[1], hosts[0])
    after = hosts[0].snapshot()
    before, after = (
        {name: text for name, text in state["files"].items() if not PROGRAM.match(name)} for state in (states[0], after)
    )
    other = [name for name in sorted(set(before) | set(after)) if before.get(name) != after.get(name)]
    found += compare("files of OLD, other than programs, that NEW has changed", "", "\n".join(other))
    said, _ = play(lab, trees[1], hosts[0])
    changed = re.search(r"changed=(\d+)", said)
    found += compare("second run of NEW after OLD", "0", changed.group(1) if changed else said)
    print("{0} differences".format(found))
    return 1 if found else 0


def documentation(tree):
    """What ansible-doc says of all modules and roles of a tree."""
    modules = sorted(path.stem for path in (tree / "library").glob("*.py"))
    roles = sorted(path.name for path in (tree / "roles").iterdir())
    said = ""
    for command in (["ansible-doc", "-t", "module", *modules], ["ansible-doc", "-t", "role", *roles]):
        said += output(command, tree)
    return said.replace(str(tree), "TREE")


def play(lab, tree, host, *arguments):
    """Run the playbook of a tree on a host: (what it printed, its report), without what differs from run to run."""
    inventory = lab.path("inventory-" + host.name)
    document = {"all": {"hosts": {"vps": host.connection()}, "vars": declared(lab)}}
    pathlib.Path(inventory).write_text(yaml.safe_dump(document), encoding="utf-8")
    path = pathlib.Path(lab.path("report-{0}.json".format(host.name)))
    said = output(
        ["ansible-playbook", "-i", inventory, "harden-mail.yml", *arguments], tree, HARDEN_MAIL_REPORT=str(path)
    )
    report = json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=1, sort_keys=True)
    return plain(said, host, tree), plain(report, host, tree)


def declared(lab):
    """Every role, with what makes its work short."""
    sources = [lab.client(name).address(family) for name in ("allowed", "controller") for family in (4, 6)]
    return {
        "submission_firewall_sources": sources,
        "submission_firewall_no_auth_on_25": True,
        "pop_before_smtp_enabled": True,
        "password_audit_budget_seconds": 20,
        "password_audit_budget_guesses_per_account": 100,
        "password_audit_action": ["block_submission"],
        "password_audit_max_load": 1000,
        "queue_alert_ways": [{"type": "sendmail", "to": ["admin@example.org"]}],
    }


def output(command, tree, **environment):
    """What a program of this virtual environment prints in a tree, both streams."""
    program = pathlib.Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [str(program), *command[1:]],
        cwd=str(tree),
        env=dict(os.environ, NO_COLOR="1", COLUMNS="200", **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return "{0}\nexit status: {1}\n".format(done.stdout.decode("utf-8", "replace"), done.returncode)


def plain(text, host, tree):
    """Text without what differs between hosts, trees and runs."""
    for one, name in ((str(tree), "TREE"), (host.address(4), "ADDRESS"), (host.address(6), "ADDRESS6")):
        text = text.replace(one, name)
    text = re.sub(r"\b(?:inventory|report)-(?:old|new)\b", "LAB", text)
    text = re.sub(r"\b(?:old|new)\.example\.com\b|\b(?<=host )(?:old|new)\b", "HOST", text)
    for pattern, name in MOVING:
        text = pattern.sub(name, text)
    return text


def plain_state(state, host):
    """A snapshot as text, a line an entry; of our programs only that they are there."""
    lines = []
    for section, entries in sorted(state.items()):
        for name, text in sorted(entries.items()):
            shown = "a program" if PROGRAM.match(name) else str(text)
            lines += ["{0} {1}: {2}".format(section, name, line) for line in shown.splitlines() or [""]]
    return plain("\n".join(lines), host, "/no-tree")


def compare(what, before, after):
    """Print how two texts differ; returns 1 when they do."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "old", "new", lineterm="", n=1))
    print("{0}: {1}".format(what, "{0} lines differ".format(len(lines)) if lines else "the same"), flush=True)
    for line in lines[:200]:
        print("    " + line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
