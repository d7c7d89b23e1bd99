"""Closing submission to N sources, beside what people do today: a loop of a firewall module over the sources.

Everything is an ansible-playbook run over SSH on the same host, so the cost of starting it is in every line; a
line's own floor, a playbook of one `ping`, is printed too.
"""

import json
import os
import re
import subprocess
import sys
import time

from hosts.lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))

FEW, MANY, RICH_RULES = 50, 10000, 20
PLAYBOOK = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")


def addresses(lab, count):
    """That many sources, none next to another; the controller and the allowed client are among them."""
    real = [lab.client(name).address(4) for name in ("allowed", "controller")]
    return real + ["10.{0}.{1}.1".format(n // 100, n % 100) for n in range(count - len(real))]


def play(lab, tasks, **variables):
    """Run one playbook of these tasks on the host; returns (seconds, its output)."""
    book = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    return timed(lab, write(lab, "bench.json", book), variables)


def timed(lab, playbook, variables):
    command = [PLAYBOOK, "-i", lab.path("inventory.json"), playbook]
    command += ["-e", "@" + write(lab, "variables.json", variables)]
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(PROJECT, "ansible.cfg")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(done.stdout)
    return seconds, done.stdout


def write(lab, name, value):
    with open(lab.path(name), "w", encoding="utf-8") as handle:
        json.dump(value, handle)
    return lab.path(name)


def ours(lab, backend, sources):
    """Our module with this backend, then the same once more, then `state: absent`: seconds of the first two."""
    options = {"backend": backend, "sources": "{{ sources }}", "on_cutoff": "ignore"}
    task = {"name": "ours", "submission_firewall": options}
    first, _ = play(lab, [task], sources=sources)
    again, output = play(lab, [task], sources=sources)
    assert "changed=0" in output, output
    play(lab, [{"name": "back", "submission_firewall": {"state": "absent"}}])
    return first, again


def loop(module, options, sources):
    return [{"name": "peer", module: options, "loop": "{{ sources }}"}]


def main(scale):
    lab = Lab.current()
    host = lab.hosts()[0]
    few, many, rich = (max(2, round(count * scale)) for count in (FEW, MANY, RICH_RULES))
    rows = []

    floor = min(play(lab, [{"name": "floor", "ansible.builtin.ping": {}}])[0] for _ in range(2))
    rows.append(("a playbook of one ping (the floor)", floor, None))

    rule = {"chain": "INPUT", "protocol": "tcp", "destination_port": "587", "source": "{{ item }}", "jump": "ACCEPT"}
    peer, _ = play(lab, loop("ansible.builtin.iptables", rule, addresses(lab, few)), sources=addresses(lab, few))
    host.run("iptables -F INPUT")
    rows.append(("{0} sources: loop of ansible.builtin.iptables".format(few), peer, None))
    for backend in ("iptables", "nftables"):
        for count in (few, many):
            first, again = ours(lab, backend, addresses(lab, count))
            compared = peer if count == few else None
            rows.append(("{0} sources: submission_firewall, {1}".format(count, backend), first, compared))
            rows.append(("{0} sources: the same again, nothing to do".format(count), again, compared))

    host.run(
        "systemctl -q unmask firewalld && systemctl -q enable --now firewalld && "
        "firewall-cmd -q --add-service=smtp-submission"
    )
    rich_rule = {
        "rich_rule": 'rule family="ipv4" source address="{{ item }}" port port="587" protocol="tcp" accept',
        "permanent": True,
        "immediate": True,
        "state": "enabled",
    }
    peer, _ = play(lab, loop("ansible.posix.firewalld", rich_rule, addresses(lab, rich)), sources=addresses(lab, rich))
    rows.append(("{0} sources: loop of ansible.posix.firewalld rich rules".format(rich), peer, None))
    host.run("rm -f /etc/firewalld/zones/public.xml* && firewall-cmd -q --reload")
    for count in (rich, many):
        first, again = ours(lab, "firewalld", addresses(lab, count))
        compared = peer if count == rich else None
        rows.append(("{0} sources: submission_firewall, firewalld".format(count), first, compared))
        rows.append(("{0} sources: the same again, nothing to do".format(count), again, compared))
    host.run("systemctl -q disable --now firewalld")

    everything = {
        "submission_firewall_sources": addresses(lab, few),
        "submission_firewall_on_cutoff": "ignore",
        "submission_firewall_no_auth_on_25": True,
        # What is left to be guessed would be the next run's.
        "password_audit_budget_guesses_per_account": 1000,
    }
    timed(lab, os.path.join(PROJECT, "harden-mail.yml"), everything)
    seconds, output = timed(lab, os.path.join(PROJECT, "harden-mail.yml"), everything)
    assert "changed=0" in output, output
    tasks = len(re.findall(r"^TASK \[", output, re.MULTILINE))
    rows.append(("whole harden-mail.yml, hardened host, {0} tasks".format(tasks), seconds, None))

    print("\n{0:<62} {1:>8}  {2}".format("", "seconds", "peer / ours"))
    for what, seconds, compared in rows:
        print("{0:<62} {1:>8.2f}  {2}".format(what, seconds, "{0:.1f}".format(compared / seconds) if compared else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
