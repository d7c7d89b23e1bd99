"""Guesses a second at each kind of stored password: ours, beside crypt(3) called by C, passlib and john.

All try the same words at one hash, with as many processes (john: threads) as there are processors; none is the right
one. Ours and the floor take turns, and the best of the rounds counts; seconds are those of the processors, so that what
else a machine does counts little. john is Debian's: `john --test`, "only one salt".
passlib is its maintained fork (libpass); its bcrypt and Argon2 are those of the modules of these names.
"""

import importlib
import itertools
import math
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from harden_mail.passwords.hashes.parse import computer, matcher, parse

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
PASSLIB = PROJECT / ".cache" / "bench-passlib"

SECONDS = 0.4
ROUNDS = 8
WORDS = 20000
PROCESSORS = os.cpu_count()
# So long one batch takes: rarely enough a look at the clock.
BATCH_SECONDS = 0.05

# what is stored (the hash itself does not matter), passlib's name and options, john's format
STORED = (
    ("a" * 13, "des_crypt", {}, "descrypt"),
    ("$1$saltsalt$" + "a" * 22, "md5_crypt", {}, "md5crypt"),
    ("$5$saltsaltsaltsalt$" + "a" * 43, "sha256_crypt", {"rounds": 5000}, "sha256crypt"),
    ("$6$saltsaltsaltsalt$" + "a" * 86, "sha512_crypt", {"rounds": 5000}, "sha512crypt"),
    ("$2y$05$" + "a" * 53, "bcrypt", {"rounds": 5}, "bcrypt"),
    ("$y$j9T$saltsaltsaltsalt$" + "a" * 43, None, {}, None),
    ("$sha1$20000$saltsalt$" + "a" * 28, "sha1_crypt", {"rounds": 20000}, None),
    ("$P$Bsaltsalt" + "a" * 21 + ".", "phpass", {"rounds": 13}, None),
    ("$apr1$saltsalt$" + "a" * 22, "apr_md5_crypt", {}, None),
    ("{PBKDF2}$1$saltsaltsaltsalt$5000$" + "0" * 40, "pbkdf2_sha1", {"rounds": 5000}, None),
    ("{SCRAM-SHA-256}4096,c2FsdHNhbHQ=," + "A" * 43 + "=," + "A" * 43 + "=", None, {}, None),
    (
        "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
        "argon2",
        {"rounds": 3, "memory_cost": 65536, "parallelism": 1},
        None,
    ),
    ("{SSHA}" + "A" * 32, "ldap_salted_sha1", {}, None),
    ("{SSHA512}" + "A" * 96, "ldap_salted_sha512", {}, None),
    ("{SMD5}" + "A" * 27 + "=", "ldap_salted_md5", {}, None),
    ("{SHA}" + "A" * 27 + "=", "ldap_sha1", {}, None),
    ("{PLAIN-MD5}" + "0" * 32, "hex_md5", {}, None),
    ("{NTLM}" + "0" * 32, "nthash", {}, None),
    ("{CRAM-MD5}" + "0" * 64, None, {}, None),
    ("{DIGEST-MD5}" + "0" * 32, None, {}, None),
    ("{PLAIN}password", None, {}, None),
)


def main(scale):
    seconds = SECONDS * scale
    with tempfile.TemporaryDirectory() as directory:
        floor = compiled(directory)
        words = made_up_words(WORDS)
        words_file = pathlib.Path(directory) / "words"
        words_file.write_bytes(b"".join(word + b"\n" for word in words))
        print("\nguesses a second of {0} processors, best of {1} x {2:g} s".format(PROCESSORS, ROUNDS, seconds))
        print(
            "{0:<14} {1:>11} {2:>11} {3:>8} {4:>11} {5:>8} {6:>11} {7:>8}".format(
                "", "ours", "crypt(3), C", "of it", "passlib", "of it", "john", "of it"
            )
        )
        get_passlib()
        for stored, passlib_name, options, john_format in STORED:
            found = parse(stored, "CRYPT", "info@example.com")
            batch = batch_size(computer(found.group), words)
            ours, lowest = [], []
            for _round in range(ROUNDS):
                ours.append(in_processes(our_worker, found.group, words, batch, seconds))
                if floor and found.group[0] == "CRYPT":
                    lowest.append(run_floor(floor, found.group[1], seconds, batch, words_file))
            best = max(ours)
            line = "{0:<14} {1:>11}".format(found.scheme, number(best))
            peers = (
                max(lowest) if lowest else None,
                passlib_speed(passlib_name, options, words, batch, seconds),
                john_speed(john_format, seconds),
            )
            for speed in peers:
                line += " {0:>11} {1:>8}".format(number(speed), "{0:.3g}".format(best / speed) if speed else "-")
            print(line, flush=True)


def number(speed):
    return "-" if not speed else "{0:,.0f}".format(speed) if speed >= 100 else "{0:.1f}".format(speed)


def made_up_words(count):
    """Words of six to ten letters, all different."""
    return [
        "".join(letters).encode() + b"%d" % number
        for number, letters in zip(range(count), itertools.cycle(itertools.product("abcdeghi", repeat=5)))
    ]


def batch_size(compute, words):
    began = time.perf_counter()
    for count in itertools.count(1):
        compute(words[count % len(words)])
        spent = time.perf_counter() - began
        if spent > BATCH_SECONDS:
            return min(count, len(words))
    return None


def in_processes(worker, *arguments):
    """The sum of what ``worker(*arguments)`` gives in a process for each processor, all at the same time."""
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(PROCESSORS), context.Queue()

    def work():
        start.wait()
        results.put(worker(*arguments))

    processes = [context.Process(target=work) for _ in range(PROCESSORS)]
    for process in processes:
        process.start()
    total = math.fsum(results.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    return total


def our_worker(group, words, batch, seconds):
    match = matcher(group, [b"no digest"])
    return repeated(match, words, batch, seconds)


def repeated(match, words, batch, seconds):
    """Words a second of processor time that a callable takes, which is given lists of ``batch`` of them."""
    batches = [words[begin : begin + batch] for begin in range(0, len(words), batch)]
    done, began = 0, time.process_time()
    for some in itertools.cycle(batches):
        match(some)
        done += len(some)
        spent = time.process_time() - began
        if spent >= seconds:
            return done / spent
    return None


def compiled(directory):
    """Path of the floor's program, or None (and a line that says why)."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        print("no C compiler here: the floor is left out")
        return None
    program = os.path.join(directory, "floor")
    subprocess.run([compiler, "-O2", "-o", program, str(HERE / "password_hashes_floor.c"), "-ldl"], check=True)
    return program


def run_floor(program, setting, seconds, batch, words_file):
    with open(words_file, "rb") as words:
        command = [program, "libcrypt.so.1", setting, str(seconds), str(PROCESSORS), str(batch)]
        done = subprocess.run(command, stdin=words, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def get_passlib():
    """Install passlib's fork where only this bench sees it; without a package index its column stays empty."""
    if not PASSLIB.is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(PASSLIB)]
        done = subprocess.run(command + ["libpass", "bcrypt", "argon2-cffi"], check=False, stderr=subprocess.DEVNULL)
        if done.returncode:
            shutil.rmtree(str(PASSLIB), ignore_errors=True)
        importlib.invalidate_caches()


def passlib_speed(name, options, words, batch, seconds):
    if name is None:
        return None
    try:
        handler = getattr(importlib.import_module("passlib.hash"), name)
    except ImportError:
        return None
    handler = handler.using(**options) if options else handler
    stored = handler.hash("no word is this")

    def match(some):
        for word in some:
            if handler.verify(word, stored):
                raise AssertionError("passlib says that a wrong word fits")

    return in_processes(repeated, match, words, batch, seconds)


def john_speed(form, seconds):
    john = shutil.which("john") or shutil.which("john", path="/usr/sbin")
    if not john or form is None:
        return None
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [john, "--test={0}".format(max(1, round(seconds * ROUNDS))), "--format=" + form],
            env=dict(os.environ, HOME=home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            check=False,
        )
    # "virtual" is a second of processor time, of whichever thread.
    lines = re.findall(r"^(?:Raw|Only one salt):.* ([\d.]+)([KM]?) c/s virtual", done.stdout, re.MULTILINE)
    if not lines:
        return None
    value, unit = lines[-1]
    return float(value) * {"": 1, "K": 1000, "M": 1000000}[unit] * PROCESSORS


if __name__ == "__main__":
    main(float(sys.argv[1]))
