"""What an audit takes: time, memory, and that a kill costs only what was not yet saved."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.passwords import audit, notebook
from harden_mail.passwords.guessing import run as guessing
from harden_mail.passwords.hashes.base import Unreadable
from harden_mail.passwords.stores import registry
from passwords_host import (
    PARAMETERS,
    USERS,
    Broken,
    audit_account,
    of,
    run,
    ssha,
    use_few_guesses,
    use_odd_stores,
    users,
)


@pytest.fixture(autouse=True)
def few_guesses(monkeypatch):
    use_few_guesses(monkeypatch)


@pytest.fixture
def system(tmp_path):
    return FakeSystem(tmp_path)


@pytest.fixture
def odd_stores(monkeypatch):
    use_odd_stores(monkeypatch)


def test_what_was_found_is_kept_when_a_process_is_killed(system, monkeypatch):
    users(system, bob=ssha("bob123"))
    real = guessing.Guessing.run

    def run_and_fail(self, between):
        real(self, between)
        raise UserError("A process that tried passwords was killed")

    monkeypatch.setattr(guessing.Guessing, "run", run_and_fail)
    with pytest.raises(UserError):
        run(system)
    monkeypatch.undo()
    assert "account" in system.read(notebook.NOTEBOOK)


# A whole audit in a process of its own, slow enough to be killed in the middle.
SLOW = """
import json, os, sys, time
sys.path[:0] = sys.argv[1:3]
from harden_mail.passwords import audit
from harden_mail.passwords.guessing import jobs, worker
from harden_mail.passwords.guessing import run as guessing
from harden_mail.system import System

real = worker.matcher
def matcher(group, digests):
    match = real(group, digests)
    def slowly(words):
        time.sleep(0.0002 * len(words))
        return match(words)
    return slowly
worker.matcher = matcher
guessing._WAVE, guessing._ALONE, worker._BLOCK, jobs.PIECE = 0.02, 0.0, 20, 0.005
audit._SAVE_EVERY, audit._SAVE_SHARE = 0, 0
audit.QUOTAS = ((100, 10), (600, 40))
audit.general_batches = lambda *_: iter([([b"%d-" % number for number in range(900)], "digits")])
audit.derived = lambda name, *_: iter([(b"a%d" % number, "account") for number in range(60)])
result = audit.run(System(sys.argv[3]), json.loads(sys.argv[4]), False)
for name in ("progress", "guessed"):
    result.pop(name)
result["evidence"] = [line for line in result["evidence"] if "Without" not in line]
print(json.dumps(result, sort_keys=True))
"""


def test_killed_anywhere_and_run_again_it_ends_as_if_unbroken(tmp_path):
    here = os.path.dirname(os.path.abspath(__file__))
    paths = [os.path.join(os.path.dirname(os.path.dirname(here)), "module_utils"), here]
    words = ["a5", "x-x", "899-", "30-", "a38", "400-", "x-y", "0-"]

    def start(root):
        arguments = [*paths, str(root), json.dumps(dict(PARAMETERS, cores=2))]
        return subprocess.Popen(
            [sys.executable, "-c", SLOW, *arguments], stdout=subprocess.PIPE, universal_newlines=True
        )

    for name in ("unbroken", "killed"):
        (tmp_path / name).mkdir()
        accounts = {"u{0}".format(n): ssha(word, b"%d" % n) for n, word in enumerate(words)}
        users(FakeSystem(tmp_path / name), same=ssha("5-", b"0"), **accounts)
    expected = start(tmp_path / "unbroken").communicate()[0]
    assert len(json.loads(expected)["guessed_accounts"]) == 7
    choice, kills = random.Random(7), 0
    for _ in range(6):
        process = start(tmp_path / "killed")
        deadline = time.monotonic() + choice.uniform(0.25, 0.6)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        # Ends when none of its processes is left.
        process.communicate()
    assert kills >= 1
    assert start(tmp_path / "killed").communicate()[0] == expected


# --- what others make dear --------------------------------------------------------------------------------

DEAR = "{OTP}sha1 999999999 seed 0123456789abcdef"


def test_a_hash_that_takes_too_long_is_said_and_holds_nobody_up(system):
    users(system, bob=ssha("bob123"), evil=DEAR, huge="$argon2id$v=19$m=8388608,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43)
    began = time.monotonic()
    result = run(system)
    assert time.monotonic() - began < 20
    assert (result["guessed_accounts"], result["finished"]) == (["bob@example.com"], True)
    told = " ".join(text for text in result["findings"] if text.startswith("Not tried"))
    assert "one guess would take more than 3 seconds. evil@example.com." in told
    assert "one guess would take 8,192 MiB of memory, and" in told
    assert result["summary"]["tried"] == 1


def test_who_was_guessed_stays_so_when_his_hash_is_found_too_dear(system, monkeypatch):
    users(system, bob=ssha("bob123"))
    run(system)

    def check(_group):
        raise Unreadable("one guess would take more than 3 seconds")

    monkeypatch.setattr(audit.cost, "check", check)
    result = run(system)
    assert result["guessed_accounts"] == ["bob@example.com"]


def test_reading_takes_no_more_than_half_of_the_budget_off_guessing(system, odd_stores, monkeypatch):
    class Slow(Broken):
        def accounts(self):
            time.sleep(0.3)
            yield audit_account("bob", ssha("bob123"))

    monkeypatch.setitem(registry.STORES, "broken", Slow)
    result = run(system, stores=[{"store": "broken"}], budget_seconds=0.2)
    assert result["guessed_accounts"] == ["bob"]
    assert result["progress"]["reading"] >= 0.3
    given = []
    monkeypatch.setattr(guessing.Guessing, "run", lambda self, _between: given.append(self.limits.seconds) or False)
    for budget, least, most in ((0.2, 0.1, 0.1), (0.4, 0.2, 0.2), (60, 50, 59.7)):
        result = run(system, stores=[{"store": "broken"}], budget_seconds=budget)
        assert least <= given.pop() <= most
        said = [text for text in result["findings"] if "the guessing had no more than" in text]
        assert len(said) == (budget < 0.6)
    monkeypatch.undo()
    monkeypatch.setitem(registry.STORES, "broken", Slow)
    assert run(system, stores=[{"store": "broken"}], budget_seconds=30)["guessed_accounts"] == ["bob"]
    # Without any time, nothing but what is known is asked for.
    assert run(system, stores=[{"store": "broken"}], budget_seconds=0)["findings"][1:] == []


def test_no_seconds_of_an_account_are_no_limit(system):
    users(system, fine=ssha("x-x"))
    assert of(run(system, budget_seconds_per_account=0), "fine")["not_guessed_in"] == 1537


# An audit of many rows in a process of its own: bytes of Python's objects for each, at most at once.
MEMORY = """
import json, sys, tracemalloc
sys.path[:0] = sys.argv[1:3]
from harden_mail.passwords import audit
from harden_mail.system import System

for number in range(2):
    tracemalloc.start()
    result = audit.run(System(sys.argv[3]), json.loads(sys.argv[4]), False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(result["accounts"]) == 20
    print(most)
"""


@pytest.mark.parametrize("stored", ["ab{0:011d}", "$6$salt{0:06d}${0:086d}", "{{PLAIN}}x{0:015d}"])
def test_an_account_takes_less_than_a_kibibyte_beside_its_row(tmp_path, stored):
    system, rows = FakeSystem(tmp_path), 10000
    text = "".join("user{0}@example.com:{1}\n".format(n, stored.format(n)) for n in range(rows))
    system.write(USERS, text)
    here = os.path.dirname(os.path.abspath(__file__))
    paths = [os.path.join(os.path.dirname(os.path.dirname(here)), "module_utils"), here]
    options = json.dumps(dict(PARAMETERS, budget_seconds=0))
    out = subprocess.check_output([sys.executable, "-c", MEMORY, *paths, str(tmp_path), options])
    for most in map(int, out.split()):
        assert (most - len(text)) / rows < 1024
