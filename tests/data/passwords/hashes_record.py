#!/usr/bin/env python3
"""Records hashes as other programs make and verify them, for tests/unit/test_passwords_hashes.py.

    hashes_record.py NAME ROOT >hashes_NAME.json     # NAME: dovecot, or tools; ROOT: a directory that is a host, or /

``dovecot`` is `doveadm pw` of the root. ``tools`` are `openssl passwd`, `htpasswd`, Perl's crypt (the host's libcrypt)
and passlib, whichever there are. The words are made up, so it does not matter that they are in the process list.

One vector a line: [program, stored, word, whether the program says that they fit, scheme where stored names none].
The user is always ``USER``.
"""

import base64
import json
import subprocess
import sys

try:
    import passlib.hash
except ImportError:
    passlib = None

USER = "joe.user@example.com"

# Short, longer than DES's eight characters, longer than bcrypt's 72 and a block of MD5, and not ASCII.
WORDS = ("secret", "a", "correct horse battery staple", "Passw0rd{$1$}:x,y", "パスワード", "été2024", "long" * 25)
WRONG = "Secret"

ROUNDS = {"SHA512-CRYPT": "1000", "SHA256-CRYPT": "1000", "BLF-CRYPT": "4", "PBKDF2": "100", "SCRAM-SHA-1": "4096"}

# How doveadm pw writes no hash itself, but takes it: what administrators and panels write.
# {0} is "secret"'s SHA-1, hexadecimal; {1} the same in base64.
SHA1_HEX = "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4"
MD5_HEX = "5ebe2294ecd0e0f08eab7690d2a6ee69"
BY_HAND = (
    "{PLAIN-TRUNC}6-secret",
    "{PLAIN-TRUNC}4-secr",
    "{PLAIN-TRUNC}9-secret",
    "{PLAIN-TRUNC}secret",
    "{sha}" + SHA1_HEX,
    "{SHA1.HEX}" + SHA1_HEX.upper(),
    "{SHA.b64}" + SHA1_HEX,
    "{sha.Base64}" + base64.b64encode(bytes.fromhex(SHA1_HEX)).decode(),
    "{SHA.hex}" + base64.b64encode(bytes.fromhex(SHA1_HEX)).decode(),
    "{PLAIN.b64}" + base64.b64encode(b"secret").decode(),
    "{PLAIN.hex}" + b"secret".hex(),
    "{MD5}" + MD5_HEX,
    "{MD5}" + base64.b64encode(bytes.fromhex(MD5_HEX)).decode(),
    "{PLAIN-MD5}" + base64.b64encode(bytes.fromhex(MD5_HEX)).decode(),
    "{LDAP-MD5}" + MD5_HEX,
    "{LDAP-MD5.hex}" + MD5_HEX,
    "{MD5-CRYPT}" + MD5_HEX,
    "{CRYPT}" + MD5_HEX,
    "{PLAIN}",
    "{CLEARTEXT}secret ",
    "{BLF-CRYPT}$2y$04$",
    "{SSHA}" + SHA1_HEX,
    "{SHA256}" + SHA1_HEX,
)


def run(*command):
    """(exit status, first line of its output)"""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
    )
    return done.returncode, (done.stdout.decode().splitlines() or [""])[0]


def dovecot(root):
    def doveadm(*arguments):
        return run("chroot", root, "doveadm", *arguments)

    program = "doveadm " + run("chroot", root, "dovecot", "--version")[1].split()[0]
    schemes = doveadm("pw", "-l")[1].split()

    def vector(stored, word):
        return [program, stored, word, doveadm("pw", "-t", stored, "-p", word, "-u", USER)[0] == 0, None]

    for scheme in sorted(schemes):
        costs = ["-r", ROUNDS[scheme]] if scheme in ROUNDS else []
        slow = scheme.startswith("ARGON2")
        for word in WORDS[: 2 if slow else None]:
            for suffix in ("", ".b64", ".hex", ".base64") if word == WORDS[0] and not slow else ("",):
                stored = doveadm("pw", "-s", scheme + suffix, "-p", word, "-u", USER, *costs)[1]
                yield vector(stored, word)
        yield vector(stored, WRONG)
    for stored in BY_HAND:
        for word in ("secret", "secret and more", "secr", ""):
            yield vector(stored, word)


def tools(_root):
    yield from openssl()
    yield from htpasswd()
    yield from perl()
    yield from by_passlib()


def openssl():
    program = "openssl " + run("openssl", "version")[1].split()[1]
    for word in WORDS:
        for option in ("-1", "-apr1", "-5", "-6"):
            yield [program, run("openssl", "passwd", option, word)[1], word, True, "CRYPT"]


def htpasswd():
    program = "htpasswd of Apache"
    for word in WORDS:
        for options in ("-m", "-s", "-B -C 4", "-2 -r 1000", "-5 -r 1000"):
            status, line = run("htpasswd", "-nb", *options.split(), "user", word)
            if not status:
                yield [program, line.partition(":")[2], word, True, "CRYPT"]


SETTINGS = (
    "$y$j75$0123456789ab", "$y$jB5$0123456789ab", "$gy$j75$0123456789ab", "$7$7/..../....saltsalt",
    "$sha1$100$saltsalt",
    "$md5$saltsalt", "$md5$saltsalt$", "$md5,rounds=100$saltsalt", "$md5,rounds=100$saltsalt$", "_/...salt", "ab",
    "$2a$04$abcdefghijklmnopqrstuu", "$2b$04$abcdefghijklmnopqrstuu", "$2y$04$abcdefghijklmnopqrstuu",
    "$2x$04$abcdefghijklmnopqrstuu", "$3$", "$1$", "$1$s", "$5$", "$6$rounds=1000$s", "$5$rounds=5000$salt",
)  # fmt: skip


def perl():
    for word in WORDS:
        for setting in SETTINGS:
            stored = run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", word, setting)[1]
            if stored and not stored.startswith("*"):
                yield ["crypt(3) of libxcrypt, called by Perl", stored, word, True, "CRYPT"]


PASSLIB = {
    "ldap_salted_md5": {}, "ldap_salted_sha1": {}, "ldap_salted_sha256": {}, "ldap_salted_sha512": {}, "ldap_md5": {},
    "ldap_sha1": {}, "ldap_plaintext": {}, "phpass": {"rounds": 7}, "pbkdf2_sha1": {"rounds": 10},
    "pbkdf2_sha256": {"rounds": 10}, "pbkdf2_sha512": {"rounds": 10}, "sha1_crypt": {"rounds": 10},
    "sun_md5_crypt": {},
    "bsdi_crypt": {"rounds": 101}, "des_crypt": {}, "apr_md5_crypt": {}, "md5_crypt": {},
    "sha256_crypt": {"rounds": 1000},
    "bcrypt": {"rounds": 4}, "argon2": {"rounds": 2, "memory_cost": 64, "parallelism": 2},
    "django_pbkdf2_sha256": {"rounds": 10}, "django_pbkdf2_sha1": {"rounds": 10},
}  # fmt: skip
OF_DJANGO = "{PBKDF2}"


def by_passlib():
    if passlib is None:
        return
    program = "passlib " + passlib.__version__
    for name, options in sorted(PASSLIB.items()):
        handler = getattr(passlib.hash, name).using(**options)
        for word in WORDS:
            try:
                stored = handler.hash(word)
            except ValueError:
                continue
            prefix = OF_DJANGO if name.startswith("django") else ""
            yield [program, prefix + stored, word, True, "PLAIN" if name == "ldap_plaintext" else "CRYPT"]
    for word in WORDS:
        yield [program, passlib.hash.nthash.hash(word), word, True, "NTLM"]


def main():
    vectors = {"dovecot": dovecot, "tools": tools}[sys.argv[1]](sys.argv[2])
    print("[\n" + ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors) + "\n]")


if __name__ == "__main__":
    main()
