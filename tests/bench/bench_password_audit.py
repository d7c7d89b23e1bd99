"""The audit as a whole: a large store in plain text, and what a second audit of an unchanged host costs.

- 10,000 accounts in plain text (none is guessed, which is the most work) with a list of 1,000,000 words of one's own:
  the list alone, and with each account's own guesses; and with a tenth of the words, to see that memory is the same.
- 300 accounts with salted SHA512-CRYPT: how many guesses a second the whole audit makes, beside bare libcrypt times
  the processors; then the second audit, when every account had its guesses, and when one of them has a new password.

In memory (/dev/shm), so that no disk is measured. Seconds are of the wall clock, memory is the largest of any process.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from harden_mail.passwords.candidates import QUOTAS

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent

ACCOUNTS = 10000
WORDS = 1000000
SALTED = 300
GUESSES = 100
# An account's own guesses at most.
OWN = QUOTAS[-1][1]
ID = "a" * 64

# One audit in a process of its own, as the module runs it; prints seconds, MiB, and what came of it.
AUDIT = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from harden_mail.passwords import audit
from harden_mail.system import System

options = json.loads(sys.argv[3])
if options.pop("without_own"):
    audit.derived = lambda *_: iter(())
began = time.monotonic()
result = audit.run(System(sys.argv[2]), options, False)
seconds = time.monotonic() - began
memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
print(json.dumps([seconds, memory, result["accounts"][0]["not_guessed_in"], result["summary"]["guessed"]]))
"""

# Guesses a second of bare crypt_r, in all processes together.
FLOOR = """
import ctypes, multiprocessing, os, sys, time
def work(_):
    crypt = ctypes.CDLL("libcrypt.so.1").crypt_r
    crypt.restype = ctypes.c_char_p
    memory = ctypes.create_string_buffer(131232)
    count, end = 0, time.monotonic() + 2
    while time.monotonic() < end:
        for _ in range(50):
            crypt(b"x-%d" % count, b"$6$saltsalt$", memory)
            count += 1
    return count / 2
with multiprocessing.Pool(os.cpu_count()) as pool:
    print(sum(pool.map(work, range(os.cpu_count()), 1)))
"""

OPTIONS = {
    "state": "present",
    "stores": [{"store": "dovecot-passwd-file", "path": "/etc/dovecot/users"}],
    "exclude": [],
    "budget_seconds": 3600,
    "budget_seconds_per_account": None,
    "budget_guesses_per_account": None,
    "cores": 0,
    "max_load": 100000,
    "max_age_days": None,
    "mask_accounts": False,
    "name_guessed": True,
    "limit_listed": 1,
    "lists": [],
    "hibp_file": None,
    "lists_id": ID,
    "lists_archive": None,
    "spent_seconds": 0,
    "without_own": False,
}


class MailHost:
    """A host of files only."""

    def __init__(self, directory, words=0):
        self.root, self._choice = pathlib.Path(directory), random.Random(1)
        self.lists = self.root / "var/lib/harden-mail/password_audit/lists" / ID
        self.lists.mkdir(parents=True)
        self.users = self.root / "etc/dovecot/users"
        self.users.parent.mkdir(parents=True)
        with open(self.lists / "own-000.txt", "w", encoding="ascii") as handle:
            handle.writelines("w{0:x}-{1:x}\n".format(self._choice.getrandbits(30), n) for n in range(words))

    def fill(self, number, stored):
        """:param stored: callable, (number of the account, random.Random) -> what is stored"""
        with open(self.users, "w", encoding="ascii") as handle:
            for n in range(number):
                handle.write("user{0}@customer{1}.example.com:{2}\n".format(n, n // 20, stored(n, self._choice)))

    def audit(self, **options):
        """(seconds, MiB, guesses at an account)"""
        out = subprocess.run(
            [sys.executable, "-c", AUDIT, str(PROJECT / "module_utils"), str(self.root)]
            + [json.dumps(dict(OPTIONS, **options))],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        seconds, memory, guesses, guessed = json.loads(out)
        assert guessed == 0, "something was guessed"
        return seconds, memory, guesses


def main(scale):
    accounts, words, salted = (max(20, round(number * scale)) for number in (ACCOUNTS, WORDS, SALTED))
    plain(accounts, words)
    slow(salted)


def plain(accounts, words):
    print("\n{0:,} accounts in plain text, nothing guessed".format(accounts))
    print("{0:<48} {1:>9} {2:>9} {3:>9}".format("", "guesses", "seconds", "MiB"))
    for count, without_own in ((words // 10, True), (words, True), (words, False)):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            host = MailHost(directory, count)
            host.fill(accounts, lambda n, choice: "{{PLAIN}}x{0:x}-{1}".format(choice.getrandbits(60), n))
            # One's own list is tried before all other guesses that accounts share. The empty word is one, too.
            options = {"without_own": without_own, "budget_guesses_per_account": count + (1 if without_own else OWN)}
            name = "a list of {0:,} words{1}".format(count, "" if without_own else ", each account's own guesses")
            row(name, host.audit(**options))
            row("  the second audit", host.audit(**options))


def slow(accounts):
    floor = float(subprocess.run([sys.executable, "-c", FLOOR], check=True, stdout=subprocess.PIPE).stdout)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        host = MailHost(directory)
        # What the hash is does not matter.
        host.fill(accounts, lambda n, _: "{{SHA512-CRYPT}}$6$salt{0:04}${1}".format(n, "a" * 86))
        first = host.audit(budget_guesses_per_account=GUESSES)
        speed = accounts * first[2] / first[0]
        print("\n{0:,} accounts with SHA512-CRYPT, {1} guesses at each".format(accounts, GUESSES))
        print("{0:<48} {1:>9} {2:>9} {3:>9}".format("", "guesses", "seconds", "MiB"))
        row("the first audit", first)
        row("  the second audit", host.audit(budget_guesses_per_account=GUESSES))
        lines = host.users.read_text().splitlines()
        host.users.write_text("\n".join([lines[0].replace("$salt", "$tlas"), *lines[1:]]) + "\n")
        row("  with one new password", host.audit(budget_guesses_per_account=GUESSES))
    print(
        "{0:,.0f} guesses a second, all in all; bare libcrypt, {1} processors: {2:,.0f} ({3:.0%})".format(
            speed, os.cpu_count(), floor, speed / floor
        )
    )


def row(name, measured):
    seconds, memory, guesses = measured
    print("{0:<48} {1:>9,} {2:>9.2f} {3:>9.0f}".format(name, guesses, seconds, memory), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
