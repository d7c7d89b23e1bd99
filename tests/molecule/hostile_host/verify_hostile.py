"""After: what attackers left is believed by nobody; who is weak is blocked, and nobody else; nothing is given away."""

import threading

import pytest
from hostile import CLAIMED, WEAK, controls, play, said, send
from hosts.lab import Lab
from invocation_log import check
from once import once
from pop_clients import forget, pop, tidy_up

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
USER, BOT = LAB.client("allowed"), LAB.client("refused")
AUDITED = "passwords-not-guessable"
BLOCKED = "/etc/postfix/harden-mail-blocked-*"

SECRETS = ("canary-password-of-the-relay", "canary-in-the-path", "canary-in-a-header", "correct-horse-7-battery")

# The most memory that a process of Python has had, in KiB, until /run/stop-looking is there.
SAMPLER = """
import glob, os, re, time
most = 0
while not os.path.exists("/run/stop-looking"):
    for path in glob.glob("/proc/[0-9]*/status"):
        try:
            with open(path) as handle:
                text = handle.read()
        except OSError:
            continue
        found = re.search(r"^VmHWM:\\s+([0-9]+)", text, re.MULTILINE)
        if found and text.startswith("Name:\\tpython"):
            most = max(most, int(found.group(1)))
    time.sleep(0.05)
os.unlink("/run/stop-looking")
print(most)
"""

# A weak account comes; what told of other accounts before turns into something that can't be read.
TURNED = """
cp -a /etc/dovecot/users /root/users.kept
echo "late@example.com:$(doveadm pw -s SHA512-CRYPT -r 5000 -p late)" >>/etc/dovecot/users
for path in /home/a.example/passwd /home/mallory/etc/example.com/shadow; do
    mv $path $path.kept
    runuser -u $(stat -c %U $path.kept) -- mkfifo $path
done
"""
TURNED_BACK = """
mv /root/users.kept /etc/dovecot/users
for path in /home/a.example/passwd /home/mallory/etc/example.com/shadow; do mv $path.kept $path; done
"""


@pytest.fixture(autouse=True, scope="module")
def tidied_up():
    yield
    for host in LAB.hosts():
        tidy_up(host)


@pytest.fixture(scope="module")
def blocked():
    """{host's name: text of its files that say who is blocked}"""
    return {host.name: host.run("cat " + BLOCKED) for host in LAB.hosts()}


@HOSTS
def test_the_refused_client_is_refused(host):
    for family in (4, 6):
        for port in (587, 465):
            assert BOT.connect(host.address(family), port).outcome == "refused"


@HOSTS
def test_who_is_weak_is_blocked_and_nobody_else_is(host, blocked):
    forget(host)
    pop(USER, host, 4, "hanako@example.com", "correct-horse-7-battery")
    assert send(USER, host, "hanako@example.com") == (235, 250)
    assert send(USER, host, "info@example.com") == (235, 554)
    assert send(USER, host, "boss@a.example") == (235, 554)
    names = blocked[host.name].replace("\\", "")
    assert [name for name in WEAK if name not in names] == []
    assert [name for name in CLAIMED if name in names] == []


@once
@HOSTS
def test_only_who_is_weak_is_written_to(host):
    log = host.run("cat /var/log/mail.log")
    assert "to=<boss@a.example>" in log
    assert [name for name in CLAIMED if "to=<{0}".format(name) in log] == []


@once
def test_compliance_says_what_is_and_ends_in_time():
    done, report, seconds = play("playbooks/compliance.yml")
    assert done.returncode == 2, done.stdout
    assert seconds < 150
    assert report["defect"] is None
    for host in LAB.hosts():
        # Nobody is cut off any more, so that the forged lines matter to nothing; it is the XCLIENT host.
        outcomes = {name: control["outcome"] for name, control in controls(report, host).items()}
        assert outcomes == {
            "mail-host-known": "compliant",
            "no-auth-on-25": "compliant",
            "pop-before-smtp": "noncompliant",
            "submission-restricted": "noncompliant",
            "queue-watched": "noncompliant",
            AUDITED: "noncompliant",
        }, done.stdout
        audit = said(report, host, AUDITED)
        # Masked; what could not be read is said, and by which file.
        assert [name for name in WEAK + CLAIMED if name in audit + done.stdout] == []
        for path in ("/home/b.example/passwd", "/home/c.example/passwd", "/home/d.example/passwd", "endless", "silent"):
            assert path in audit, (path, audit)
        assert "http://" in said(report, host, "queue-watched"), "a password over an open line"
        everything = said(report, host)
        for setting in ("login_trusted_networks", "smtpd_authorized_xclient_hosts"):
            assert setting in everything, setting


@once
def test_what_can_no_longer_be_read_stops_nobody_else_from_being_blocked():
    most = {}

    def sample(host):
        most[host.name] = int(host.run("python3 -", stdin=SAMPLER.encode(), timeout=300))

    threads = [threading.Thread(target=sample, args=[host]) for host in LAB.hosts()]
    try:
        for host in LAB.hosts():
            host.run(TURNED)
        for thread in threads:
            thread.start()
        done, _report, seconds = play("harden-mail.yml", "--tags", "password_audit")
        assert done.returncode == 0, done.stdout
        assert seconds < 150
        for host in LAB.hosts():
            forget(host)
            pop(USER, host)
            assert send(USER, host, "late@example.com", "late") == (235, 554)
            assert send(USER, host, "hanako@example.com") == (235, 250)
            # She can't log in at all while her file is no file: blocked she stays.
            assert "boss@a" in host.run("cat " + BLOCKED).replace("\\", "")
    finally:
        for host in LAB.hosts():
            host.run(TURNED_BACK + "touch /run/stop-looking")
        for thread in threads:
            thread.join()
    assert max(most.values()) < 400 << 10, "KiB"


@once
@HOSTS
def test_the_logs_have_no_secret_and_no_finding(host):
    check(host, nowhere=SECRETS, not_of_ansible=[*WEAK, *CLAIMED, "was guessed", "name_guessed", "'token'", "'kind'"])
