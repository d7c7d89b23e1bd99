"""After the audit: who is blocked and who is not; nothing secret anywhere; killed and resumed it says the same."""

import json
import threading
import time

import pytest
from audit_host import CANARY, CODE, DIRECTORY, PASSWORDS, USERS, command, control, play, put_code, read, send
from hosts.lab import Lab, side_by_side
from once import once

LAB = Lab.current()
CLIENT = LAB.client("allowed")
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)

GUESSED = ["argon", "blow", "empty", "info", "listed", "sum", "support", "taro.yamada", "webmaster"]
NOT_GUESSED = ["hanako", "plain", "stored", "twin"]

# What may show where: of the stored passwords and hashes, nothing anywhere but in the store itself and in our own list.
PLACES = "/root/.ansible /tmp /var/tmp /run /var/log /var/lib /etc/postfix /dev/shm"

# Sees each process there is, again and again, until /run/stop-looking is there.
SAMPLER = """
import glob, os, sys
seen = set()
while not os.path.exists("/run/stop-looking"):
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as handle:
                seen.add(handle.read())
        except OSError:
            pass
os.unlink("/run/stop-looking")
sys.stdout.buffer.write(b"\\n".join(seen).replace(b"\\0", b" "))
"""

# Runs a command with core dumps allowed, ends it by SIGABRT after some seconds, and says whether it left a core.
ABORTED = """
import os, resource, signal, subprocess, sys, time
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
os.chdir("/var/tmp")
pid = os.fork()
if not pid:
    os.execvp("sh", ["sh", "-c", "exec " + sys.argv[1] + " >/dev/null"])
time.sleep(2)
limits = open("/proc/%d/limits" % pid).read()
os.kill(pid, signal.SIGABRT)
status = os.waitpid(pid, 0)[1]
core = "Max core file size        0                    0"
print("aborted" if os.WTERMSIG(status) == signal.SIGABRT else status, os.WCOREDUMP(status), core in limits)
"""


@HOSTS
def test_who_was_guessed_may_read_but_not_send(host):
    for user in ("info", "sum", "listed"):
        assert read(CLIENT, host, user)
        for port in (587, 465, 25):
            assert send(CLIENT, host, user, port=port) == 554


@HOSTS
def test_who_was_not_guessed_or_is_excluded_may_send(host):
    for user in ("stored", "apart"):
        assert send(CLIENT, host, user) == 250


@once
@HOSTS
def test_owners_are_told(host):
    log = host.run("journalctl --no-pager -o cat -t postfix/discard -t postfix/local -t postfix/qmgr")
    for user in ("info", "sum", "listed"):
        assert "to=<{0}@example.com>".format(user) in log
    for user in NOT_GUESSED:
        assert "to=<{0}@example.com>".format(user) not in log


@HOSTS
def test_only_root_can_read_what_is_remembered(host):
    found = host.run("stat -c '%a %U %n' {0} {0}/key {0}/notebook.jsonl {0}/lists".format(DIRECTORY)).splitlines()
    assert [line.split()[:2] for line in found] == [["700", "root"], ["600", "root"], ["600", "root"], ["700", "root"]]


def secrets(host):
    """Texts that must not show: canaries, and what is stored of every account, without its scheme."""
    stored = [line.split(":")[1] for line in host.run("cat " + USERS + " /etc/shadow").splitlines() if ":" in line]
    hashes = {value.rpartition("}")[2] for value in stored if len(value) > 30 and CANARY not in value}
    assert len(hashes) > 8
    return {CANARY, *hashes}


@once
@pytest.mark.parametrize("pipelining", ["True", "False"])
def test_no_secret_shows_while_the_audit_runs(pipelining):
    hosts = LAB.hosts()
    for host in hosts:
        # So that there is everything to be guessed, and nothing of former tests to be found.
        host.run(
            "rm -rf {0} {1} /root/.ansible; journalctl --rotate -q; journalctl --vacuum-time=1s -q".format(
                DIRECTORY, CODE
            )
        )
    sampled = {}

    def sample(host):
        sampled[host.name] = host.run("python3 -", stdin=SAMPLER.encode(), timeout=300)

    threads = [threading.Thread(target=sample, args=[host]) for host in hosts]
    for thread in threads:
        thread.start()
    try:
        # Temporary files, if there are any, are kept, so that it can be seen what was there.
        keep = {} if pipelining == "True" else {"ANSIBLE_KEEP_REMOTE_FILES": "1"}
        said, report = play(ANSIBLE_PIPELINING=pipelining, **keep)
    finally:
        for host in hosts:
            host.run("touch /run/stop-looking")
        for thread in threads:
            thread.join()
    for host in hosts:
        assert "python3" in sampled[host.name]
        assert ("AnsiballZ_mail_password_audit" in host.run("find /root/.ansible -type f")) is (pipelining == "False")
        where = {
            "output": said,
            "report": report,
            "processes": sampled[host.name],
            "journal": host.run("journalctl --no-pager -o export"),
        }
        assert "mail_password_audit" in where["output"]
        # Not even its invocation; verify_invocation_log.py looks for that of others.
        assert "ansible-mail_password_audit" not in where["journal"]
        for secret in secrets(host):
            for name, text in where.items():
                assert secret not in text, name
            # The list of one's own, which has the word, is a file for root alone; its archive is packed.
            found = host.run(
                "grep -rlF --exclude-dir=lists -- '{0}' {1} 2>/dev/null || true".format(secret, PLACES)
            ).split()
            assert found == [], found
        host.run("rm -rf /root/.ansible")
        finding = " ".join(control(report, host)["findings"])
        for user in GUESSED:
            assert " {0}@example.com ".format(user) in " " + finding, user
        for user in NOT_GUESSED:
            assert user + "@example.com" not in finding
        assert "shelly" in finding
        assert "odd@example.com" in finding
        assert "{0}: no colon in line".format(USERS) in finding


@once
@HOSTS
def test_there_is_no_core(host):
    put_code(host)
    # Any other program leaves one, where this machine lets programs leave cores.
    unprotected = host.run("python3 - 'sleep 60'; rm -f /var/tmp/core*", stdin=ABORTED.encode()).split()
    assert (unprotected[0], unprotected[2]) == ("aborted", "False")
    protected = command(state="present", budget_seconds=30).replace("'", "'\\''")
    said = host.run("python3 - '{0}'".format(protected), stdin=ABORTED.encode()).split()
    assert said == ["aborted", "False", "True"]
    assert host.run("ls /var/tmp | grep core || true") == ""


def results(text):
    found = json.loads(text.splitlines()[-1])
    return found["finished"], found["accounts"], found["summary"]


@once
def test_killed_and_run_again_it_says_the_same_as_unbroken():
    def killed_and_unbroken(host):
        put_code(host)
        told = {}
        options = {"budget_guesses_per_account": 1200, "exclude": ["argon@*"]}
        for name in ("unbroken", "killed"):
            host.run("rm -rf {0}".format(DIRECTORY))
            for seconds in (1.0, 1.3) if name == "killed" else ():
                host.run("timeout -s KILL {0} {1}; test $? = 137".format(seconds, command(**options)))
            told[name] = results(host.run(command(**options), timeout=120))
        assert told["killed"] == told["unbroken"]
        assert told["unbroken"][0] is True
        assert host.run("pgrep -f audit_on_[h]ost || true") == ""
        # All is known: nothing is tried again.
        began = time.monotonic()
        assert results(host.run(command(**options))) == told["unbroken"]
        assert time.monotonic() - began < 5
        host.run("rm -rf {0} {1}".format(DIRECTORY, CODE))

    side_by_side(killed_and_unbroken, LAB.hosts())


@once
def test_another_password_lifts_the_block_and_a_bad_one_brings_it_back():
    hosts = LAB.hosts()
    kept = {host.name: host.run("grep ^info@ " + USERS).strip() for host in hosts}
    for host in hosts:
        changed = host.run("doveadm pw -s SSHA256 -p '{0}'".format(PASSWORDS["changed"])).strip()
        host.run("sed -i 's|^info@.*|info@example.com:{0}|' {1}".format(changed, USERS))
    play()
    for host in hosts:
        assert send(CLIENT, host, "info", PASSWORDS["changed"]) == 250
        assert send(CLIENT, host, "sum") == 554
        host.run("sed -i 's|^info@.*|{0}|' {1}".format(kept[host.name].replace("$", "\\$"), USERS))
    said, _ = play(["--check"])
    assert said.count("info@example.com") >= len(hosts)
    for host in hosts:
        assert send(CLIENT, host, "info") == 250
    play()
    for host in hosts:
        assert send(CLIENT, host, "info") == 554
