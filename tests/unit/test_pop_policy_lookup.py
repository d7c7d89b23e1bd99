"""The program that answers a Postfix without sqlite tables: in this process, and as it lies on a host."""

import io
import os
import socket
import sqlite3
import subprocess
import threading
import time

import pytest
from harden_mail.archive import build_program
from harden_mail.pop import database, policy_lookup, program
from harden_mail.pop.meaning import BOTH, EITHER
from hypothesis import given
from hypothesis import strategies as st


class Base:
    def __init__(self, path):
        self.path = str(path)
        self.do(database.SCHEMA)

    def do(self, statement, parameters=()):
        base = sqlite3.connect(self.path)
        with base:
            base.execute(statement, parameters)
        base.close()

    def read(self, address, prefix6=128, ago=0):
        self.do(database.write("?", 20, prefix6, now="?"), (address, int(time.time()) - ago))


@pytest.fixture
def base(tmp_path):
    return Base(tmp_path / "seen.sqlite")


def netstring(text):
    return b"%d:%s," % (len(text), text)


def ask(base, request, meaning=BOTH, prefix6=128):
    """The answer (str) to one request (str)."""
    tables = {"relay": policy_lookup.relay_answers(meaning), "ehlo": ("chunking,dsn", None)}
    return policy_lookup.answer_to(request, tables, database.look_up("x", "?", 20, prefix6), base.path)


@pytest.mark.parametrize(
    ("address", "both", "either", "ehlo"),
    [
        ("192.0.2.1", "OK DUNNO", "OK OK", "OK chunking,dsn"),
        ("192.0.2.2", "OK REJECT", "OK DUNNO", "NOTFOUND "),  # expired
        ("192.0.2.3", "OK REJECT", "OK DUNNO", "NOTFOUND "),
        ("192.0.2.4", "OK REJECT", "OK DUNNO", "NOTFOUND "),  # of tomorrow
        ("2001:db8::5", "OK DUNNO", "OK OK", "OK chunking,dsn"),
        ("2001:db8::6", "OK REJECT", "OK DUNNO", "NOTFOUND "),
        # Names prove nothing, and the rest is no address.
        ("unknown", "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
        ("mail.example.com", "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
        ("192.0.2", "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
        ("", "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
        ("192.0.2.1\0", "NOTFOUND ", "NOTFOUND ", "NOTFOUND "),
    ],
)
def test_what_is_answered_about_whom(base, address, both, either, ehlo):
    base.read("192.0.2.1")
    base.read("192.0.2.2", ago=20 * 60)
    base.read("192.0.2.4", ago=-86400)
    base.read("2001:db8::5")
    answer = ask(base, "relay " + address)
    assert answer == both or answer.startswith(both + " ")
    assert ask(base, "relay " + address, EITHER) == either
    assert ask(base, "ehlo " + address) == ehlo


def test_a_network_counts_where_that_is_asked(base):
    base.read("2001:db8::5", prefix6=64)
    assert ask(base, "relay 2001:db8::6", prefix6=64) == "OK DUNNO"
    assert ask(base, "relay 2001:db8:0:1::5", prefix6=64).startswith("OK REJECT")
    assert ask(base, "relay 2001:db8::5").startswith("OK REJECT")


def test_another_table_is_an_error(base):
    base.read("192.0.2.1")
    assert ask(base, "other 192.0.2.1").startswith("PERM ")


@pytest.mark.parametrize("spoil", ["missing", "noise", "empty"])
@pytest.mark.parametrize("meaning", [BOTH, EITHER])
def test_a_database_that_does_not_answer_is_no_answer(base, spoil, meaning):
    base.read("192.0.2.1")
    os.remove(base.path)
    if spoil != "missing":
        with open(base.path, "wb") as handle:
            handle.write(os.urandom(20000) if spoil == "noise" else b"")
    for table in ("relay", "ehlo"):
        assert ask(base, table + " 192.0.2.1", meaning).startswith("TEMP ")
    assert os.path.exists(base.path) == (spoil != "missing")


@given(st.lists(st.binary(max_size=policy_lookup.LONGEST), max_size=5))
def test_netstrings_are_read_one_after_the_other(texts):
    file = io.BytesIO(b"".join(map(netstring, texts)))
    assert [policy_lookup.read_netstring(file) for _ in texts] == texts
    assert policy_lookup.read_netstring(file) is None


@given(st.binary(min_size=1, max_size=40))
def test_anything_else_is_an_error(noise):
    file = io.BytesIO(noise)
    try:
        text = policy_lookup.read_netstring(file)
    except ValueError:
        return
    digits = noise.partition(b":")[0]
    assert noise.startswith(digits + b":" + text + b",")
    assert int(digits) == len(text)


@pytest.mark.parametrize("noise", [b"5:abc", b"3:abcd", b"5000:", b":,", b"99999999999", b"x"])
def test_what_is_no_netstring(noise):
    with pytest.raises(ValueError, match="no netstring"):
        policy_lookup.read_netstring(io.BytesIO(noise))


@pytest.fixture
def installed(base, tmp_path, monkeypatch):
    """The program as it lies on a host, but for its database's place."""
    path = tmp_path / "pop-lookup"
    text = build_program(policy_lookup)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o755)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from harden_mail.pop import database, policy_lookup; "
        "database.PATH = sys.argv.pop(1); sys.exit(policy_lookup.main())"
    )
    options = ["--meaning", "both", "--minutes", "20", "--prefix6", "128", "--ehlo", "silent-discard"]
    return [text[2:].split(" ")[0], "-I", "-c", code, str(path), base.path, *options]


def test_the_installed_program_serves_a_socket_until_it_is_closed(base, installed):
    base.read("192.0.2.1")
    ours, its = socket.socketpair()
    with ours, its, subprocess.Popen(installed, stdin=its, stdout=its, stderr=its) as running:
        its.close()
        ours.sendall(netstring(b"relay 192.0.2.1") + netstring(b"ehlo 192.0.2.1") + netstring(b"ehlo 192.0.2.2"))
        ours.shutdown(socket.SHUT_WR)
        assert ours.makefile("rb").read() == b"8:OK DUNNO,17:OK silent-discard,9:NOTFOUND ,"
        assert running.wait() == 0


@pytest.mark.parametrize(("answers", "expected"), [([b"8:OK DUNNO,"], True), ([b"", b"11:TEMP reason,"], False)])
def test_the_proof_is_that_the_table_answers(tmp_path, monkeypatch, answers, expected):
    path = str(tmp_path / "socket")
    monkeypatch.setattr(program, "ANSWER_TIMEOUT", 30 if expected else 0.3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(5)

        def serve():
            for answer in answers:
                asking, _address = listening.accept()
                with asking:
                    assert asking.recv(100) == b"15:relay 192.0.2.1,"
                    asking.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        assert program.looks_up(path, "relay") == expected


def test_the_proof_fails_where_nothing_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "ANSWER_TIMEOUT", 0.05)
    path = str(tmp_path / "socket")
    monkeypatch.setattr(program.sys, "argv", ["x", "--answers", path, "relay"])
    assert path in program.main()
