"""Open sessions of those who may not send any more, and who of them has sent."""

import os
import time

import pytest
from block_host import SENT, Host, run, stamp
from fake_journal import PASSWD, FakeJournal, entry
from harden_mail.block import sessions
from harden_mail.block.postfix import ACCOUNTS


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_who_of_them_has_sent_is_told(host):
    lines = [SENT.format(stamp(), 1, "198.51.100.7", "INFO@example.com")]
    lines += [SENT.format(stamp(), 2, "198.51.100.8", "other@example.com")]
    host.write("/var/log/mail.log", "".join(lines))
    result = run(host, accounts=["info@example.com"], check_mode=True)
    assert [(one["account"], one["address"]) for one in result["senders"]] == [("INFO@example.com", "198.51.100.7")]
    assert any("INFO@example.com from 198.51.100.7" in line for line in result["evidence"])
    assert not any("cut off" in warning for warning in result["warnings"])


def test_sessions_on_25_end_wherever_the_account_has_sent_from(host, monkeypatch):
    lines = [SENT.format(stamp(), n, "198.51.100.{0}".format(n), "info@example.com") for n in range(1, 61)]
    host.write("/var/log/mail.log", "".join(lines))
    asked = []
    monkeypatch.setattr(sessions, "meant", lambda *given: asked.append(given) or [])
    assert len(run(host, accounts=["info@example.com"])["senders"]) == 50
    assert asked[0][3] == {"198.51.100.{0}".format(n) for n in range(1, 61)}


HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def process(host, pid, arguments, started, inode, local="0100007F:024B", remote="0A00000A:1234", user=101):
    """An smtpd that has a client; ``started``: seconds since the machine's boot."""
    directory = "/proc/{0}/".format(pid)
    host.write("/etc/passwd", PASSWD.format(101))
    host.write(directory + "status", "Name:\tsmtpd\nUid:\t{0}\t{0}\t{0}\t{0}\n".format(user))
    host.write(directory + "cmdline", "\0".join(["smtpd"] + arguments) + "\0")
    fields = ["S", "1"] + ["0"] * 17 + [str(int(started * 100))]
    host.write(directory + "stat", "{0} (smtpd) {1} 0\n".format(pid, " ".join(fields)))
    os.makedirs(host.real(directory + "fd"))
    os.symlink("socket:[{0}]".format(inode), host.real(directory + "fd/9"))
    text = host.read("/proc/net/tcp") or HEADER
    line = "   0: {0} {1} 01 00000000:00000000 00:00000000 00000000     0        0 {2} 1 0 20 4 30 10 -1\n"
    host.write("/proc/net/tcp", text + line.format(local, remote, inode))


OPTIONS = {"submission/inet": [ACCOUNTS], "smtp/inet": [ACCOUNTS]}


def test_a_session_is_stale_when_its_process_has_read_a_former_table(host, monkeypatch):
    monkeypatch.setattr(sessions.time, "time", lambda: 1000000.0)
    monkeypatch.setattr(sessions.time, "clock_gettime", lambda _clock: 5000.0)
    monkeypatch.setattr(sessions.os, "sysconf", lambda _name: 100)
    words = ["-n", "submission", "-t", "inet", "-u", "-o", "smtpd_sender_restrictions=texthash:/x/" + ACCOUNTS]
    process(host, 10, ["-n", "submission", "-t", "inet", "-u"], 4999, 100)
    process(host, 11, words, 4000, 101)
    process(host, 12, words, 4999, 102)
    process(host, 13, ["-n", "2525", "-t", "inet", "-u"], 10, 103)
    # www-data's, which has that name only.
    process(host, 14, ["-n", "submission", "-t", "inet", "-u"], 4999, 104, user=33)
    found = sessions.stale(host, OPTIONS, 1000000.0 - 500)
    assert [(one.pid, one.service, one.inode) for one in found] == [
        (10, "submission/inet", "100"),
        (11, "submission/inet", "101"),
    ]
    assert found[0].local == ("127.0.0.1", 587) and found[0].remote == ("10.0.0.10", 0x1234)
    (command,) = sessions.cuts(found)
    assert command[:3] == ["ss", "-K", "-tn"]
    assert command[3].startswith("( src 127.0.0.1:587 and dst 10.0.0.10:4660 ) or ( src")


def test_whose_session_it_is_decides():
    def made(pid, service="submission/inet", remote="192.0.2.1"):
        return sessions.Session(pid, service, str(pid), ("192.0.2.9", 587), (remote, 1))

    all_of_them = [
        made(1),
        made(2),
        made(3),
        made(4, remote="203.0.113.5"),
        made(5, "smtp/inet"),
        made(6, "smtp/inet", "198.51.100.7"),
        made(7, "smtp/inet"),
        made(8, "smtp/inet", "198.51.100.7"),
    ]
    whose = {1: "bad@x", 2: "good@x", 4: "good@x", 7: "bad@x", 8: "good@x"}
    found = sessions.meant(all_of_them, {"bad@x"}, ["203.0.113.0/24"], {"198.51.100.7"}, whose, {"smtp/inet"})
    assert [one.pid for one in found] == [1, 3, 4, 6, 7]


def test_the_journal_says_whose_session_it_is_until_the_next_begins(host):
    host.write("/etc/passwd", PASSWD.format(101))
    now, name = int(time.time()), "postfix/submission/smtpd"

    def sent(pid, account, uid=101, seconds=-9):
        message = "1A2B: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username={0}".format(account)
        return entry(now + seconds, uid, name, message, pid)

    host.commands["journalctl"] = FakeJournal([
        sent(1, "Bad@x"), sent(2, "bad@x"), sent(11, "c@x"),
        entry(now - 8, 101, name, "connect from x[192.0.2.1]", 2),
        # Of www-data, to save the session of a blocked account; and of nobody knows whom.
        sent(1, "innocent@x", 33, -5), sent(3, "innocent@x", 33, -5), sent(4, "innocent@x", None, -5),
    ])  # fmt: skip
    found = [sessions.Session(pid, "submission/inet", "1", ("192.0.2.9", 587), ("192.0.2.1", 1)) for pid in range(1, 5)]
    assert sessions.owners(host, {"log_files": [], "log_journal": True}, found) == {1: "bad@x"}


@pytest.mark.parametrize("journal", [True, False])
def test_a_line_that_anybody_may_have_written_saves_no_session(host, journal):
    host.write("/etc/passwd", PASSWD.format(101))
    host.write("/var/log/mail.log", SENT.format(stamp(), 1, "192.0.2.1", "innocent@x"))
    host.commands["journalctl"] = FakeJournal([])
    found = [sessions.Session(1, "submission/inet", "1", ("192.0.2.9", 587), ("192.0.2.1", 1))]
    assert sessions.owners(host, {"log_files": [], "log_journal": journal}, found) == {}


def test_sessions_are_ended_when_somebody_is_newly_blocked_and_told_when_they_can_not_be(host, monkeypatch):
    monkeypatch.setattr(sessions, "CUT_TIMEOUT", 0.0)
    process(host, 10, ["-n", "submission", "-t", "inet", "-u"], 1, 100)
    result = run(host, accounts=["a@x"])
    assert [line for line, _ in host.calls if line.startswith("ss -K")]
    assert result["sessions_ended"] == 0 and "10.0.0.10 port 4660" in result["findings"][0]
    host.commands["ss"] = lambda *_: host.write("/proc/net/tcp", HEADER) or ""
    host.calls.clear()
    result = run(host, accounts=["a@x", "b@x"])
    assert result["sessions_ended"] == 1 and result["findings"] == []
    host.calls.clear()
    # Who is lifted needs nobody to go.
    process(host, 11, ["-n", "submission", "-t", "inet", "-u"], 1, 101)
    run(host, accounts=["a@x"])
    assert not [line for line, _ in host.calls if line.startswith("ss")]
