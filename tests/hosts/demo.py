"""`make demo`, inside a lab: a neglected mail VPS, seen from two other hosts before and after the real playbook."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import yaml

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path[0] = str(PROJECT / "tests")

from hosts.clients import NoTls  # noqa: E402
from hosts.lab import Lab, boot  # noqa: E402

ACCOUNT, PASSWORD = "info@example.com", "info"
ACCOUNTS = "/etc/dovecot/users"
SPAM = 320
LETTER = "Subject: =?utf-8?b?44CQ5b2T6YG444CR?= You have won\r\n\r\nReally.\r\n"
HOOK_PORT = 8025
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def main():
    lab = Lab.current()
    started = time.monotonic()
    say("Booting a mail VPS in a throw-away container")
    boot(lab, ["vps=deb12"])
    vps = lab.host("vps")
    vps.make_sick()
    print("{0:.0f} s: it runs Postfix and Dovecot, as its owner left them.".format(time.monotonic() - started))

    say("Before: who can submit mail, and who can guess a password?")
    look(lab, vps, mails=SPAM)
    inventory = lab.path("inventory")
    declared = {
        "submission_firewall_sources": [lab.client("allowed").address(family) + " # office" for family in (4, 6)]
        + [lab.client("controller").address(4) + " # this machine"],
        "submission_firewall_no_auth_on_25": True,
        # Two minutes are the default; these accounts need less.
        "password_audit_budget_seconds": 10,
        "queue_alert_ways": [
            {
                "type": "webhook",
                "shape": "slack",
                "url": "http://{0}:{1}/".format(lab.client("controller").address(4), HOOK_PORT),
            }
        ],
    }
    write_inventory(inventory, vps, declared)

    say("Is it in order? (changes nothing)")
    play(inventory, "playbooks/compliance.yml")

    say("Harden it. The log knows someone whom that would cut off, so it stops there:")
    play(inventory, "harden-mail.yml")

    attacker = "{0} from {1}".format(ACCOUNT, lab.client("refused").address(4))
    say("That is the attacker: accept the loss, and harden it")
    declared["submission_firewall_accepted_cutoffs"] = [attacker]
    write_inventory(inventory, vps, declared)
    status = play(inventory, "harden-mail.yml")

    say("After:")
    look(lab, vps)

    say("Its queue is full of what the attacker sent; within five minutes cron does this:")
    hear_an_alert(lab, vps)

    say("Passwords that can be guessed are still what they are. Their owners get new ones:")
    give_new_passwords(vps)

    say("Is it in order now?")
    status = play(inventory, "playbooks/compliance.yml") or status
    print("\nThat took {0:.0f} s. `make shell` opens such a host to look around.".format(time.monotonic() - started))
    return status


def say(text):
    print("\n{0}=== {1}{2}".format(BOLD, text, PLAIN), flush=True)


def look(lab, vps, mails=1):
    """Try the host's ports from both clients, in both families, and a guessed password to send so many mails with."""
    print("{0:24} {1:16} {2}".format("from", "to", "answer"))
    for name in ("allowed", "refused"):
        client = lab.client(name)
        for family in (4, 6):
            for port in (587, 465):
                seen = client.connect(vps.address(family), port, tls=port == 465)
                answer = seen.banner or "none ({0})".format(seen.outcome)
                print("{0:24} {1:16} {2}".format(client.address(family), "port {0}".format(port), answer), flush=True)
    client = lab.client("refused")
    print("{0:24} {1:16} {2}".format(client.address(4), "as " + ACCOUNT, send(client, vps, mails)), flush=True)


def send(client, vps, mails):
    """Guess the password and send mails, as spammers do; returns what came of it."""
    try:
        with client.smtp(vps.address(4), 587) as session:
            session.starttls(context=NoTls())
            session.login(ACCOUNT, PASSWORD)
            for number in range(mails):
                session.sendmail("winner@spam.example", ["user{0}@example.org".format(number)], LETTER)
            return "guessed the password, sent {0} mails".format(mails)
    except OSError as error:
        return "no way to try a password ({0})".format(error)


def hear_an_alert(lab, vps):
    """Run the alert once, as cron does, and show what the webhook is told."""

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.said = json.loads(self.rfile.read(int(self.headers["Content-Length"])).decode())["text"]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer((lab.client("controller").address(4), HOOK_PORT), Hook) as server:
        server.said = "nothing was said"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print("$ /usr/local/lib/harden-mail/queue-alert")
        vps.run("env -i /usr/local/lib/harden-mail/queue-alert")
        server.shutdown()
        print(server.said, flush=True)


def give_new_passwords(vps):
    """Give each account a password that nobody guesses, as its owner would."""
    accounts = vps.run("cut -d: -f1 {0}".format(ACCOUNTS)).split()
    vps.run(
        "umask 077; : >{0}.new; for name in {1}; do "
        'echo "$name:$(doveadm pw -s SHA512-CRYPT -p $(openssl rand -base64 18))" >>{0}.new; done; '
        "cat {0}.new >{0}; rm {0}.new".format(ACCOUNTS, " ".join(accounts))
    )
    print("new passwords for " + ", ".join(accounts))


def write_inventory(path, vps, variables):
    """An inventory as a user writes it, shown without what only this lab needs to reach the host."""
    print(yaml.safe_dump({"all": {"hosts": {"vps": None}, "vars": variables}}, sort_keys=False).rstrip())
    document = {"all": {"hosts": {"vps": vps.connection()}, "vars": variables}}
    pathlib.Path(path).write_text(yaml.safe_dump(document), encoding="utf-8")


def play(inventory, *arguments):
    """Run ansible-playbook on this lab's controller, over SSH; returns its exit status."""
    print("$ ansible-playbook {0}".format(" ".join(arguments)), flush=True)
    program = pathlib.Path(sys.executable).with_name("ansible-playbook")
    environment = dict(os.environ)
    if sys.stdout.isatty():
        environment["ANSIBLE_FORCE_COLOR"] = "1"
    command = [program, "-i", inventory, *arguments]
    status = subprocess.run(command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    print("exit status: {0}".format(status))
    return status


if __name__ == "__main__":
    sys.exit(main())
