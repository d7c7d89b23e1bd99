"""The alert, when somebody has taken STARTTLS away, laid links in its way, or the disk and the kernel say no."""

import subprocess
import time

import pytest
from hosts.lab import Lab, side_by_side
from once import once
from sinks import StrippedRelay
from webhook import Webhook

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
PROGRAM = "/usr/local/lib/harden-mail/queue-alert"
METRICS = "/var/cache/metrics/queue.prom"
STATE = "/var/lib/harden-mail/queue_alert /run/harden-mail/queue-alert.state.json"

# A sample of what may fail at which of its calls. nsenter and env, by which strace reaches the host, make none of them.
FAULTS = (
    "write:error=ENOSPC:when=1+",
    "fsync:error=EIO:when=1",
    "rename:error=ENOSPC:when=1",
    "rename:signal=KILL:when=1",
    "connect:error=ENETUNREACH:when=1+",
    "sendto:signal=KILL:when=2",
)

SUBJECT = "Subject: many\\033[2J <!channel> @everyone [/code] ```"


@pytest.fixture(autouse=True, scope="module")
def clogged():
    def clog(host):
        host.run(
            "systemctl stop cron; for i in 1 2 3 4 5; do "
            "printf '{0}\\n\\nx\\n' | sendmail -f s@example.com v@clog.example; done".format(SUBJECT)
        )
        end = time.monotonic() + 20
        while int(host.run("cd /var/spool/postfix; find deferred -type f | wc -l")) < 5:
            assert time.monotonic() < end, host.run("postqueue -p; tail -n 20 /var/log/mail.log")
            time.sleep(0.2)

    side_by_side(clog, LAB.hosts())
    yield
    for host in LAB.hosts():
        host.run("postsuper -d ALL 2>/dev/null; rm -rf {0}; systemctl start cron".format(STATE))


def run(host, fault=None):
    """One run, as cron does it; (output, seconds)."""
    began = time.monotonic()
    strace = []
    if fault:
        strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=" + fault.split(":")[0],
            "-e",
            "inject=" + fault,
        ]
    done = subprocess.run(
        strace + host._enter() + ["env", "-i", PROGRAM],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=60,
        check=False,
    )
    return done.stdout, time.monotonic() - began


@HOSTS
def test_it_is_told_no_password_is_and_nothing_is_written_through_a_link(host):
    host.run("rm -rf " + STATE)
    with StrippedRelay(host) as relay, Webhook(host) as hook:
        said, seconds = run(host)
    assert len(hook.posted) == 1, said
    (_path, _headers, posted), heard = hook.posted[0], b"".join(relay.heard)
    assert b"EHLO" in heard.upper() and b"AUTH" not in heard.upper()
    assert "\x1b" not in str(posted) and "5 messages" in posted["text"]
    assert seconds < 20
    assert host.run("cat /etc/stand-in; stat -c '%a %U' /etc/stand-in").split("\n")[:2] == [
        "root:stands in for a file of passwords",
        "600 root",
    ]


@once
def test_whatever_fails_somebody_is_told_and_can_tell_a_double():
    def check(host):
        for fault in FAULTS:
            host.run("rm -rf " + STATE)
            with Webhook(host) as hook:
                first, _ = run(host, fault)
                second, _ = run(host)
            keys = {headers["Idempotency-Key"] for _, headers, _ in hook.posted}
            assert len(keys) == 1, (fault, keys, first, second)

    side_by_side(check, LAB.hosts())


@once
@HOSTS
def test_an_alert_that_cannot_count_is_told(host):
    host.run("rm -rf " + STATE)
    directory = "/var/spool/postfix/deferred"
    with Webhook(host):
        run(host)
    host.run("mv {0} {0}.away; : >{0}".format(directory))
    try:
        with Webhook(host) as hook:
            for _ in range(4):
                said, _ = run(host)
    finally:
        host.run("rm {0}; mv {0}.away {0}".format(directory))
    texts = [posted["text"] for _, _, posted in hook.posted]
    assert len(texts) == 1 and "All clear" not in texts[0], (texts, said)
