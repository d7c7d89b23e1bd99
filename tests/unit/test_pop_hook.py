"""The script, run by a shell as Dovecot runs it."""

import os
import sqlite3
import subprocess

import pytest
from harden_mail.pop import database, hook
from harden_mail.system import System


class Host(System):
    """This machine, with or without the program sqlite3."""

    def __init__(self, programs):
        super().__init__()
        self.programs = programs

    def which(self, name):
        return super().which(name) if name in self.programs else None


PROGRAMS = [["python3"]] + ([["sqlite3", "python3"]] if System().which("sqlite3") else [])


@pytest.fixture(params=PROGRAMS, ids=lambda programs: programs[0])
def run(request, tmp_path, monkeypatch):
    path = str(tmp_path / "seen.sqlite")
    monkeypatch.setattr(hook, "URI", hook.URI.replace(database.PATH, path))

    def log_in(ip, prefix6=128):
        text = hook.script(Host(request.param), 20, prefix6)
        environment = dict(os.environ) if ip is None else dict(os.environ, IP=ip)
        done = subprocess.run(
            ["/bin/sh", "-c", text, "post-login", "echo", "let in"],
            env=environment,
            input=b"what the client says",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, b"let in\n"), done.stderr
        return done.stderr.decode()

    log_in.path = path
    return log_in


def test_a_shell_that_can_start_no_process_refuses_nobody(tmp_path):
    text = hook.script(System(), 20, 128)
    # As dash ends when fork fails: by its own error, in the middle.
    broken = text.replace("\n*) ", "\n*) : ${no:?cannot fork}; ", 1)
    assert broken != text
    done = subprocess.run(
        ["/bin/sh", "-c", broken, "post-login", "printf", "%s|", "let in", "two  words", "", "*"],
        env=dict(os.environ, IP="192.0.2.1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"let in|two  words||*|"), done.stderr
    assert b"cannot fork" in done.stderr


def make(path):
    base = sqlite3.connect(path, isolation_level=None)
    base.execute(database.SCHEMA)
    return base


@pytest.mark.parametrize(
    ("ip", "prefix6", "key"),
    [
        ("192.0.2.1", 128, "192.0.2.1"),
        ("::ffff:192.0.2.1", 128, "192.0.2.1"),
        ("2001:db8::5", 128, "2001:db8::5"),
        ("2001:db8::5", 64, "2001:db8:0:0/64"),
        ("192.0.2.1", 64, "192.0.2.1"),
    ],
)
def test_a_log_in_is_written(run, ip, prefix6, key):
    base = make(run.path)
    assert run(ip, prefix6) == ""
    assert base.execute("SELECT ip, expires > {0} + 1190 FROM seen".format(database.NOW)).fetchall() == [(key, 1)]


@pytest.mark.parametrize("ip", [None, "", "fe80::1%eth0", "'); DROP TABLE seen; --", "$(touch x)", "mail.example.com"])
def test_what_is_no_address_is_not_written_and_let_in(run, ip):
    base = make(run.path)
    assert run(ip) == ""
    assert base.execute("SELECT * FROM seen").fetchall() == []


def test_a_missing_database_refuses_nobody_and_is_not_made(run):
    assert "unable to open" in run("192.0.2.1")
    assert not os.path.exists(run.path)


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_a_spoiled_database_refuses_nobody(run, content):
    with open(run.path, "wb") as handle:
        handle.write(content)
    assert run("192.0.2.1") != ""


def test_a_locked_database_refuses_nobody(run, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    base = make(run.path)
    base.execute("BEGIN EXCLUSIVE")
    assert "locked" in run("192.0.2.1")
