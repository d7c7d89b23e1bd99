"""Runs of the alert's program: killed, one at a time, and from the command line."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import killing
import pytest
from alert_run import CANARY, MINUTE, Host
from alert_servers import HttpServer, SmtpServer, make_sendmail
from harden_mail.alert import program, turn, ways
from harden_mail.alert.notice import message_id
from harden_mail.alert.store import STATE
from harden_mail.paths import ALERT_LOCK, ALERT_STATE


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


# --- killed -------------------------------------------------------------------------------------------------


def test_killed_anywhere_no_alert_is_lost_and_a_doubled_one_can_be_told(tmp_path, monkeypatch):
    doubled = 0
    for fatal in range(1, 100):
        host = Host(tmp_path / str(fatal), monkeypatch)
        record = tmp_path / "told"
        record.write_text("", encoding="ascii")

        def send(kept, way, settings, seconds, record=record):
            killing.about_to("send")
            with record.open("a", encoding="ascii") as handle:
                handle.write(message_id(kept) + " " + kept["kind"] + "\n")

        monkeypatch.setattr(ways, "send", send)
        died = False
        for total in (301, 0):
            died = killing.killed(lambda host=host, total=total: host.run(total), fatal) or died
            # The next run is a little later.
            host.now += MINUTE
            host.run(total)
        told = record.read_text(encoding="ascii").splitlines()
        assert [line.split()[1] for line in dict.fromkeys(told)] == ["alarm", "clear"], fatal
        doubled += len(told) > len(set(told))
        assert set(os.listdir(host.system.real(ALERT_STATE))) == {"state.json"}
        if not died:
            break
    assert not died
    assert doubled, "a kill between acceptance and its record was among them"


# --- one run at a time --------------------------------------------------------------------------------------


def hold_lock(host, name, since):
    """Start a process of this name that holds the lock and hangs."""
    path = host.system.real(ALERT_LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    code = (
        "import fcntl, os, sys, time\n"
        "handle = open(os.environ['LOCK'], 'a+')\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "handle.truncate(0)\n"
        "handle.write('%d %s' % (os.getpid(), sys.argv[2]))\n"
        "handle.flush()\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, name, str(since)], env={"LOCK": path}, stdout=subprocess.PIPE
    )
    holder.stdout.readline()
    return holder


@pytest.mark.parametrize(
    ("name", "age", "ends"), [("queue-alert", 20, True), ("queue-alert", 1, False), ("other", 20, False)]
)
def test_a_run_that_hangs_is_ended_and_one_that_works_is_not(host, name, age, ends):
    host.monkeypatch.setattr(turn, "LONGEST", 10)
    holder = hold_lock(host, name, int(time.monotonic()) - age)
    try:
        if ends:
            with turn.only_one(host.system):
                pass
            assert holder.wait(5) == -signal.SIGKILL
        else:
            with pytest.raises(turn.Busy), turn.only_one(host.system):
                pytest.fail("two at once")
            assert holder.poll() is None
    finally:
        holder.kill()
        holder.communicate()


def test_nobody_else_can_hold_the_lock(host):
    """Whoever can open its file can keep the alert from running."""
    path = host.system.real(ALERT_LOCK)
    umask = os.umask(0)
    try:
        for _ in ("made", "left by a former version"):
            with turn.only_one(host.system):
                assert os.stat(path).st_mode & 0o777 == 0o600
            assert os.stat(os.path.dirname(path)).st_mode & 0o022 == 0
            os.chmod(path, 0o644)
    finally:
        os.umask(umask)


@pytest.mark.parametrize("text", ["", "x", "1 x", "1", "999999999 0", "-1 0"])
def test_a_lock_that_says_nothing_useful_ends_nobody(host, text):
    path = host.system.real(ALERT_LOCK)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as handle:
        handle.write(text)
        handle.flush()
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(turn.Busy), turn.only_one(host.system):
            pytest.fail("two at once")


# --- the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def command(host, monkeypatch, tmp_path):
    """Calls the program with its own configuration file; gives its exit status."""
    monkeypatch.setattr(program, "System", lambda: host.system)
    # Of this process, they would be given up for all tests.
    monkeypatch.setattr(program.privileges, "drop", lambda settings: None)
    umask = os.umask(0o022)

    def call(*arguments, **settings):
        host.system.write("/config.json", json.dumps(settings))
        return program.main(["--config", "/config.json"] + list(arguments))

    yield call
    os.umask(umask)


def test_it_counts(host, command, capsys):
    host.queue.put("1")
    host.queue.put("2", "hold")
    assert command("--count") == 0
    counted = json.loads(capsys.readouterr().out)
    assert (counted["total"], counted["held"], counted["todo"]) == (1, 1, None)
    assert not host.system.exists(STATE)


def test_a_drill_goes_by_every_way_for_real(host, command, capsys, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(program, "System", lambda: host.system)
    monkeypatch.setattr(program.privileges, "drop", lambda settings: None)
    read = make_sendmail(tmp_path / "sendmail")
    with SmtpServer() as relay, HttpServer(500) as hook:
        two = [
            {"type": "smtp", "host": "localhost", "port": relay.port, "tls": "none", "to": ["a@example.net"]},
            {"type": "webhook", "url": hook.url + "/" + CANARY},
            {"type": "sendmail", "path": str(tmp_path / "sendmail"), "to": ["root"]},
        ]
        assert command("--drill", ways=two) == 0
        results = json.loads(capsys.readouterr().out)
        assert [result["accepted"] for result in results] == [True, False, True]
        assert "status 500" in results[1]["reason"]
        assert CANARY not in json.dumps(results)
        assert command("--drill", ways=two[1:2]) == 1
    assert b"DRILL" in relay.mails[0][2]
    assert "DRILL" in read()[1]
    assert not host.system.exists(STATE)
    assert command("--drill") == 1


def test_a_run_says_by_its_status_whether_all_is_said(host, command):
    host.queue.total = 301
    two = host.settings["ways"]
    assert command(ways=two) == 0
    host.down = {1, 2}
    host.queue.total = 0
    assert command(ways=two) == 1


@pytest.mark.parametrize("text", [None, "{", "[]", '{"ways": [{"type": "smtp", "password": "' + CANARY + '"}]}'])
def test_a_wrong_configuration_is_a_line_in_the_log(host, command, text, capsys):
    if text is None:
        assert program.main(["--config", "/gone"]) == 2
    else:
        host.system.write("/wrong", text)
        assert program.main(["--config", "/wrong"]) == 2
    assert len(host.logged) == 1
    assert CANARY not in host.logged[0] + capsys.readouterr().err


def test_a_defect_is_a_line_in_the_log_without_its_text(host, command, monkeypatch, capsys):
    def broken(*_):
        raise TypeError(CANARY)

    monkeypatch.setattr(program, "run", broken)
    assert command() == 3
    assert host.logged == [
        "a defect of harden-mail: TypeError at test_alert_program_runs.py:{0}; please report it".format(
            broken.__code__.co_firstlineno + 1
        )
    ]
    monkeypatch.setattr(program, "run", lambda *_: os.stat("/no/such/file"))
    assert command() == 2
    assert host.logged[1] == "the host's file system said: No such file or directory (/no/such/file)"
    assert CANARY not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("node", "full", "name"),
    [
        ("vps1.example.com", None, "vps1.example.com"),
        ("vps1", "vps1.example.com", "vps1.example.com"),
        ("vps1", "a b\n<c>\u3042", "a-b--c--"),
        ("vps1", "", "localhost"),
    ],
)
def test_the_hosts_name_fits_into_a_header(monkeypatch, node, full, name):
    def getfqdn(asked):
        assert full is not None, "no name server is needed"
        return full

    monkeypatch.setattr(program.os, "uname", lambda: type("Uname", (), {"nodename": node}))
    monkeypatch.setattr(program.socket, "getfqdn", getfqdn)
    assert program.host_name() == name
