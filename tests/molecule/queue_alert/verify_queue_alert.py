"""The alert, seen by whom it is for: in the mailbox on another host, and by a webhook on the controller."""

import contextlib
import email
import email.policy
import http.server
import json
import os
import random
import subprocess
import sys
import threading
import time

import pytest
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

HOSTS = [host.name for host in Lab.current().hosts()]


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


@pytest.fixture(params=HOSTS)
def watched(request):
    made = Watched(request.param)
    with made.without_cron():
        made.reset()
        yield made
        made.reset()


class Webhook:
    """Takes what is posted, for the time of a ``with`` block.

    :ivar list posted: (path, headers, JSON)
    """

    def __init__(self, watched, status=200):
        self.posted, self.status = [], status
        self._port = 8000 + watched.host.number

    def __enter__(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posted.append((self.path, dict(self.headers), json.loads(body.decode("utf-8"))))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.HTTPServer((Lab.current().client("controller").address(4), self._port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def said(mail):
    """Count and limit of an alert's subject."""
    words = mail["subject"].split()
    return int(words[words.index("messages") - 1]), int(words[-1].rstrip(")"))


def test_cron_tells_the_admin_on_another_host_within_one_interval(watched):
    """The queue is clogged and its delivery stopped: the alert goes past it."""
    watched.fill(2000, "=?utf-8?b?44CQ5b2T6YG444CR?=")
    watched.host.run("postconf -e 'defer_transports = smtp, local'; postfix reload")
    try:
        watched.host.run("systemctl start cron")
        (mail,) = watched.wait_for_mails(1, 75)
        assert said(mail) == (2000, LIMIT)
        assert "ESMTPS" in mail["received"]
        assert mail["auto-submitted"] == "auto-generated"
        text = mail.get_content()
        for part in ("2000", "bulk@example.com", "example.net", "【当選】", watched.host.name + ".example.com"):
            assert part in text, part
        assert not mail.defects
        watched.host.run("test -s /var/lib/harden-mail-test.prom")
        assert "harden_mail_queue_messages 2000" in watched.host.run("cat /var/lib/harden-mail-test.prom")
    finally:
        watched.host.run("postconf -X defer_transports; postfix reload; systemctl stop cron")


def test_a_flapping_queue_is_told_once_and_its_end_once(watched):
    watched.fill(300)
    watched.run()
    assert watched.mails() == []
    watched.fill(1)
    for _ in range(3):
        watched.run()
        watched.take_away(20)
        watched.run()
        watched.fill(20)
    watched.host.run("postsuper -d ALL")
    watched.run()
    watched.run()
    mails = watched.wait_for_mails(2)
    assert mails[0]["subject"].startswith("Mail queue on")
    assert "All clear" in mails[1]["subject"]
    assert len(mails) == 2


def test_the_webhook_takes_it_when_the_relay_is_down_and_what_nobody_takes_is_kept(watched):
    watched.fill(301)
    with watched.relay_down():
        assert "queue-alert" not in watched.run(check=False)
        assert len(watched.state()["waiting"]) == 1, "kept, for no way has taken it"
        with Webhook(watched, 500):
            watched.run(check=False)
        assert len(watched.state()["waiting"]) == 1, "an error is no acceptance"
        with Webhook(watched) as hook:
            watched.run()
        ((path, headers, posted),) = hook.posted
        assert path == "/hooks/" + CANARIES[0]
        assert headers["X-Token"] == CANARIES[1]
        assert "301 messages" in posted["text"]
        watched.host.run("postsuper -d ALL")
        watched.run(check=False)
        assert [kept["kind"] for kept in watched.state()["waiting"]] == ["clear"]
    watched.run()
    (mail,) = watched.wait_for_mails(1)
    assert "All clear" in mail["subject"]


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


def test_a_drill_arrives_and_one_that_nobody_takes_fails_the_play(watched):
    Watched(watched.other.name).reset()
    play(drill=True)
    (mail,) = watched.wait_for_mails(1)
    assert "DRILL" in mail["subject"]
    assert watched.count() == 0
    with watched.relay_down():
        output = play(check=False, drill=True)
    assert "was accepted by no way" in output
    assert watched.host.run("test -e {0} && cat {0} || true".format(STATE)).count("drill") == 0
    watched.other.run("rm -f " + MAILBOX)
    watched.host.run("rm -f " + MAILBOX)


def test_a_timer_runs_it_where_that_is_wanted(watched):
    """systemd's timer, seen to run it; a failed run of it is forgotten when cron takes over."""
    watched.fill(301)
    try:
        play(scheduler="timer")
        assert watched.host.run("test -e {0} || echo gone".format(CRON)).strip() == "gone"
        (mail,) = watched.wait_for_mails(1, 90)
        assert said(mail) == (301, LIMIT)
        with watched.relay_down():
            watched.host.run("postsuper -d ALL")
            watched.wait_for(lambda: watched.unit("service") == "failed", 90)
            play()
            assert (watched.unit("timer"), watched.unit("service")) == ("inactive", "inactive"), "not failed"
    finally:
        play()
    assert watched.host.run("cat " + CRON).count(PROGRAM) == 1


def test_what_every_way_refuses_for_good_holds_up_nothing_and_is_kept(watched):
    """The relay refuses alarms by what is in them, at the end of the data; the webhook takes nothing."""
    checks = "/etc/postfix/alert_checks"
    watched.other.run(
        "echo '/^X-Harden-Mail:.*kind=alarm/ REJECT no' >{0}; postconf -e header_checks=regexp:{0}; "
        "postfix reload".format(checks)
    )
    try:
        watched.fill(301)
        with Webhook(watched, 400) as hook:
            watched.run(check=False)
            assert [kept["refusals"] for kept in watched.state()["waiting"]] == [1]
            assert len(hook.posted) == 2, "the whole text, and the short one"
            watched.host.run("postsuper -d ALL")
            for _ in range(5):
                watched.run(check=False)
        (mail,) = watched.wait_for_mails(1)
        assert "All clear" in mail["subject"], "that was not held up"
        (path,) = watched.host.run("ls {0}/refused-*".format(os.path.dirname(STATE))).split()
        assert "301 messages" in watched.host.run("cat " + path)
        assert watched.state()["waiting"] == []
        assert path in watched.host.run("journalctl --no-pager -t harden-mail-queue-alert -n 100")
    finally:
        watched.other.run("postconf -X header_checks; rm {0}; postfix reload".format(checks))
    watched.fill(302)
    watched.run()
    (_, mail) = watched.wait_for_mails(2)
    assert path in mail.get_content()


def test_a_full_disk_gives_an_alarm_no_second_name(watched):
    directory = os.path.dirname(STATE)
    watched.fill(301)
    watched.host.run("mkdir -p {0}; mount -t tmpfs -o size=16k tmpfs {0}".format(directory))
    try:
        watched.host.run("dd if=/dev/zero of={0}/ballast bs=1k 2>/dev/null || true".format(directory))
        with watched.relay_down():
            watched.run(check=False)
        watched.run()
        watched.run()
        assert len(watched.wait_for_mails(1)) == 1
        watched.host.run("rm {0}/ballast".format(directory))
        watched.run()
        assert len(watched.state()["alarm"]["over"]) == 1, "it is on disk again"
        watched.host.run("postsuper -d ALL")
        watched.run()
    finally:
        watched.host.run("umount " + directory)
    (alarm, clear) = watched.wait_for_mails(2)
    assert said(alarm) == (301, LIMIT)
    assert "All clear" in clear["subject"]
    assert alarm["message-id"].split(".")[2] == clear["message-id"].split(".")[2], "of one and the same alarm"


def test_secrets_are_in_one_private_file_only(watched):
    watched.fill(301)
    with watched.relay_down():
        watched.run(check=False)
        processes = watched.host.run(
            "env -i {0} & sleep 0.3; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; wait || true".format(
                PROGRAM
            )
        )
    assert watched.host.run("stat -c '%a %U' " + CONFIG).split() == ["600", "root"]
    journal = watched.host.run(
        "journalctl --no-pager -n 2000; cat /var/log/syslog /var/log/mail.log 2>/dev/null || true"
    )
    assert "no way" in journal or "webhook" in journal, "there was something to leak"
    for canary in CANARIES:
        assert canary not in processes
        assert canary not in journal
        found = watched.host.run(
            "grep -rlF {0} /etc /var /root /tmp /home /run /usr/local 2>/dev/null || true".format(canary)
        ).split()
        assert found == [CONFIG]


def test_kills_lose_no_alert_and_a_doubled_one_can_be_told(watched):
    """kill -9 after a random time, again and again, through an alarm and its end."""
    seen = {}
    for fill in (301, 0):
        if fill:
            watched.fill(fill)
        else:
            watched.host.run("postsuper -d ALL")
        for _ in range(12):
            watched.run("& p=$!; sleep {0:.3f}; kill -9 $p".format(random.uniform(0.01, 0.6)), check=False)
        watched.run()
        for mail in watched.wait_for_mails(len(seen) + 1):
            seen.setdefault(mail["message-id"], mail["subject"])
    print("told: {0} mails, {1} of them different".format(len(watched.mails()), len(seen)))
    subjects = sorted(seen.values())
    assert len(subjects) == 2, subjects
    assert subjects[0].startswith("All clear")
    assert "301 messages" in subjects[1]


def test_a_run_that_hangs_is_ended_by_the_next(watched):
    watched.host.run(
        "systemd-run --quiet --unit hanging bash -c 'exec 9>>/run/harden-mail/queue-alert.lock; flock 9; "
        'echo "$$$$ 0" >/run/harden-mail/queue-alert.lock; exec -a queue-alert sleep 600\''
    )
    time.sleep(0.5)
    watched.host.run(PROGRAM)
    watched.wait_for(lambda: "active" not in watched.host.run("systemctl is-active hanging; true").split(), 10)
