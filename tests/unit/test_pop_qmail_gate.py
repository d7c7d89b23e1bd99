import ipaddress
import os
import sqlite3
import subprocess
import sys
import time

import pytest
from harden_mail.pop import database, qmail, qmail_gate
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Wanted
from hypothesis import given
from hypothesis import strategies as st

SMTPD = ["/var/qmail/bin/qmail-smtpd", "mail.example.com", "/bin/checkpassword", "/bin/true"]
LOCAL = tuple(ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128", "203.0.113.0/24", "2001:db8:f::/48"))


class Host:
    def __init__(self, tmp_path, monkeypatch, meaning=BOTH, prefix6=128):
        self.path = str(tmp_path / "seen.sqlite")
        self.prefix6 = prefix6
        with sqlite3.connect(self.path) as base:
            base.execute(database.SCHEMA)
        base.close()
        monkeypatch.setattr(database, "PATH", self.path)
        self.wanted = Wanted(meaning, 20, prefix6, LOCAL)
        monkeypatch.setattr(qmail_gate, "SETTINGS", qmail.settings(self.wanted))

    def read(self, address, ago=0):
        base = sqlite3.connect(self.path)
        with base:
            base.execute(database.write("?", 20, self.prefix6, now="?"), (address, int(time.time()) - ago))
        base.close()

    def gate(self, address, **environ):
        told = dict({"TCPREMOTEIP": address, "PATH": "/bin"}, **environ)
        words, variables = qmail_gate.main(list(SMTPD), dict(told))
        changed = {
            name: variables.get(name) for name in set(told) | set(variables) if told.get(name) != variables.get(name)
        }
        return len(words) == len(SMTPD), changed


@pytest.fixture
def both(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def either(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch, EITHER)


AUTH_OFFERED, NO_AUTH = (True, {}), (False, {})
RELAYS = (True, {"RELAYCLIENT": ""})


def test_a_log_in_of_tomorrow_is_none(both):
    both.read("192.0.2.1", ago=-86400)
    assert both.gate("192.0.2.1") == NO_AUTH


def test_both_asks_for_a_log_in_before_auth(both):
    assert both.gate("192.0.2.1") == NO_AUTH
    both.read("192.0.2.1")
    assert both.gate("192.0.2.1") == AUTH_OFFERED
    assert both.gate("192.0.2.2") == NO_AUTH


def test_either_relays_after_a_log_in_and_leaves_auth_to_all(either):
    assert either.gate("192.0.2.1") == AUTH_OFFERED
    either.read("192.0.2.1")
    assert either.gate("192.0.2.1") == RELAYS


def test_for_an_exempt_client_a_log_in_is_no_password(either):
    for address in ("203.0.113.5", "2001:db8:f::5"):
        assert either.gate(address) == AUTH_OFFERED
        either.read(address)
        assert either.gate(address) == AUTH_OFFERED


def test_a_log_in_expires(both):
    both.read("192.0.2.1", 1200)
    both.read("192.0.2.2", 1100)
    assert both.gate("192.0.2.1") == NO_AUTH
    assert both.gate("192.0.2.2") == AUTH_OFFERED


@pytest.mark.parametrize("name", qmail_gate.AUTH)
def test_variables_that_turn_auth_on_go(both, name):
    assert both.gate("192.0.2.1", **{name: "1"}) == (False, {name: None})
    both.read("192.0.2.1")
    assert both.gate("192.0.2.1", **{name: "1"}) == AUTH_OFFERED


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "203.0.113.5", "::ffff:203.0.113.5", "2001:db8:f:1::5"])
def test_who_is_exempt(both, address):
    assert both.gate(address) == AUTH_OFFERED


@pytest.mark.parametrize("address", ["203.0.112.5", "2001:db8:e::5", "::ffff:0:203.0.113.5"])
def test_who_is_not(both, address):
    assert both.gate(address) == NO_AUTH


@pytest.mark.parametrize("meaning", [BOTH, EITHER])
def test_whom_tcprules_lets_relay_is_left_alone(tmp_path, monkeypatch, meaning):
    assert Host(tmp_path, monkeypatch, meaning).gate("192.0.2.1", RELAYCLIENT="@x") == AUTH_OFFERED


@pytest.mark.parametrize(
    "written", ["2001:DB8:0:1:0:0:0:5", "2001:db8:0:1::5", "2001:0db8::1:0:0:0:5", "2001:db8:0:1::5%eth0"]
)
def test_any_way_of_writing_an_address(both, written):
    both.read("2001:db8:0:1::5")
    assert both.gate(written) == AUTH_OFFERED
    assert both.gate("2001:db8:0:1::6") == NO_AUTH


def test_ipv4_in_ipv6_form(both):
    both.read("192.0.2.1")
    assert both.gate("::ffff:192.0.2.1") == AUTH_OFFERED


def test_ipv6_by_network(tmp_path, monkeypatch):
    host = Host(tmp_path, monkeypatch, prefix6=64)
    host.read("2001:db8:0:1::5")
    assert host.gate("2001:db8:0:1::99") == AUTH_OFFERED
    assert host.gate("2001:db8:0:2::5") == NO_AUTH


@pytest.mark.parametrize("address", ["", "nonsense", "192.0.2", "192.0.2.1 ", "' OR 1=1 --", "1:2", "\0"])
@pytest.mark.parametrize("meaning, closed", [(BOTH, NO_AUTH), (EITHER, AUTH_OFFERED)])
def test_what_is_no_address_has_not_read(tmp_path, monkeypatch, address, meaning, closed):
    assert Host(tmp_path, monkeypatch, meaning).gate(address) == closed


def test_no_address_at_all(both):
    assert qmail_gate.main(list(SMTPD), {})[0] == SMTPD[:1]


def spoil(path):
    with open(path, "r+b") as handle:
        handle.write(b"x" * 4096)


def lock(path):
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("BEGIN EXCLUSIVE")
    return base


@pytest.mark.parametrize(
    "trouble", [os.unlink, spoil, lambda path: os.truncate(path, 0), lambda path: os.truncate(path, 2000), lock]
)
def test_a_database_that_cannot_be_asked_lets_nobody_in(tmp_path, monkeypatch, capsys, trouble):
    for meaning, closed in ((BOTH, NO_AUTH), (EITHER, AUTH_OFFERED)):
        directory = tmp_path / meaning
        directory.mkdir()
        host = Host(directory, monkeypatch, meaning)
        monkeypatch.setitem(qmail_gate.SETTINGS, "seconds", 0)
        host.read("192.0.2.1")
        held = trouble(host.path)
        assert host.gate("192.0.2.1") == closed
        out, errors = capsys.readouterr()
        assert out == "" and host.path in errors
        assert os.path.exists(host.path) is (trouble is not os.unlink)
        del held


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str) | st.text())
def test_an_address_is_what_the_library_says(text):
    try:
        address = ipaddress.ip_address(text.partition("%")[0] if ":" in text else text)
    except ValueError:
        assert qmail_gate.packed(text) is None
        return
    assert qmail_gate.packed(text) == (getattr(address, "ipv4_mapped", None) or address).packed


# --- as a program -----------------------------------------------------------------------------------------------


@pytest.fixture
def program(both, tmp_path):
    path = tmp_path / "pop-gate"
    path.write_text(qmail.gate_text(both.wanted, sys.executable))
    path.chmod(0o755)
    return path


def run(program, *words, **environ):
    return subprocess.run(
        [str(program), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, check=False,
        universal_newlines=True,
    )  # fmt: skip


def test_the_program(program, both):
    wrapped = program.parent / "smtpd"
    wrapped.write_text('#!/bin/sh\necho "$# ${SMTPAUTH-none}"\n')
    wrapped.chmod(0o755)
    words = [str(wrapped), "host", "check", "true"]
    environ = {"TCPREMOTEIP": "192.0.2.1", "SMTPAUTH": "1", "PATH": os.environ["PATH"]}
    done = run(program, *words, **environ)
    assert (done.stdout, done.stderr, done.returncode) == ("0 none\n", "", 0)
    both.read("192.0.2.1")
    assert run(program, *words, **environ).stdout == "3 1\n"
    os.unlink(both.path)
    done = run(program, *words, **environ)
    assert done.stdout == "0 none\n" and "unable to open" in done.stderr


def test_the_program_says_what_it_cannot_run(program):
    done = run(program, "/no/where", TCPREMOTEIP="192.0.2.1")
    assert (
        done.returncode == 1
        and done.stdout == ""
        and done.stderr == "pop-before-smtp: /no/where: No such file or directory\n"
    )
    assert run(program).stderr.startswith("usage")
