"""Have I Been Pwned's files: search by halves, and files that are none."""

import hashlib
import os

import pytest
from harden_mail.errors import UserError
from harden_mail.passwords.candidates import hibp
from hypothesis import given, settings
from hypothesis import strategies as st


def sha1(word):
    return hashlib.sha1(word).hexdigest().upper()


def made(tmp_path, lines, end="\n"):
    path = tmp_path / "pwned.txt"
    path.write_bytes("".join(line + end for line in lines).encode())
    return str(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_counts_of_passwords_that_are_in_it_and_0_for_others(tmp_path, end):
    words = [b"word%d" % number for number in range(100)]
    path = made(tmp_path, sorted("{0}:{1}".format(sha1(word), len(word) * 7) for word in words), end)
    with hibp.PwnedFile(path) as pwned:
        assert pwned.kind == "sha1"
        for word in words:
            assert pwned.count_of_password(word) == len(word) * 7
            assert pwned.count(hashlib.sha1(word).digest()) == len(word) * 7
            assert pwned.count_of_password(word + b"x") == 0
    assert hibp.is_pwned(path, b"word1") == 35


def test_ntlm(tmp_path):
    # NTLM of "password" and of "test", as published in many places.
    lines = ["0CB6948805F797BF2A82807973B89537:7", "8846F7EAEE8FB117AD06BDD830B7586C:12"]
    with hibp.PwnedFile(made(tmp_path, lines)) as pwned:
        assert pwned.kind == "ntlm"
        assert pwned.count_of_password(b"password") == 12
        assert pwned.count_of_password(b"test") == 7
        assert pwned.count(bytes.fromhex("8846f7eaee8fb117ad06bdd830b7586c")) == 12
        assert pwned.count_of_password(b"Password") == 0
        with pytest.raises(ValueError, match="20 bytes"):
            pwned.count(bytes(20))


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.binary(min_size=20, max_size=20), st.integers(0, 10**15 - 1), min_size=1, max_size=60),
    st.binary(min_size=20, max_size=20),
    st.booleans(),
)
def test_any_sorted_file(tmp_path_factory, entries, other, last_line_ends):
    text = "\n".join(sorted("{0}:{1}".format(digest.hex().upper(), count) for digest, count in entries.items()))
    path = tmp_path_factory.mktemp("hibp") / "pwned.txt"
    path.write_text(text + "\n" * last_line_ends)
    with hibp.PwnedFile(str(path)) as pwned:
        for digest, count in entries.items():
            assert pwned.count(digest) == count
        assert pwned.count(other) == entries.get(other, 0)


def test_few_reads(tmp_path):
    path = made(tmp_path, sorted("{0}:1".format(sha1(b"%d" % number)) for number in range(20000)))
    with hibp.PwnedFile(path) as pwned:
        reads = []
        handle = pwned._handle

        class Counting:
            def read(self, size):
                reads.append(size)
                return handle.read(size)

            seek = handle.seek

        pwned._handle = Counting()
        assert pwned.count_of_password(b"777") == 1
        pwned._handle = handle
    # 20,000 lines are 2 ** 14.3, and a line has 43 bytes, 2 ** 5.4.
    assert len(reads) < 21
    assert sum(reads) < 4096


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"PK\x03\x04 zipped", b"password:12\n", b"5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8\n", b"x" * 5000],
)
def test_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "pwned.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="something else than HASH:COUNT near byte 0"):
        hibp.PwnedFile(str(path))


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        hibp.PwnedFile(str(tmp_path / "none"))
    with pytest.raises(UserError, match="cannot be read: it is no plain file"):
        hibp.PwnedFile(str(tmp_path))
    with pytest.raises(UserError, match="cannot be read: no path has a NUL"):
        hibp.PwnedFile("/a\0b")


def test_a_fifo_is_no_file_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(str(tmp_path / "fifo"))
    with pytest.raises(UserError, match="cannot be read: it is no plain file"):
        hibp.PwnedFile(str(tmp_path / "fifo"))


def test_spoiled_in_the_middle_or_not_sorted(tmp_path):
    good = sorted("{0}:3".format(sha1(b"%d" % number)) for number in range(1000))
    with hibp.PwnedFile(made(tmp_path, good[:500] + ["secret line"] * 9 + good[500:])) as pwned:
        with pytest.raises(UserError, match="something else") as caught:
            for number in range(1000):
                pwned.count_of_password(b"%d" % number)
        assert "secret" not in str(caught.value)
    # What precedes the hash is further away than any line is long.
    path = made(tmp_path, [good[0], "x" * 200 + good[1]])
    with hibp.PwnedFile(path) as pwned, pytest.raises(UserError, match="something else"):
        pwned.count(bytes.fromhex(good[1][:40]))
    with hibp.PwnedFile(made(tmp_path, good[:1] + good[:0:-1])) as pwned, pytest.raises(UserError, match="not sorted"):
        for number in range(1000):
            pwned.count_of_password(b"%d" % number)
    with hibp.PwnedFile(made(tmp_path, good[:400] + ["AB" * 16 + ":1"] * 200)) as pwned, pytest.raises(UserError):
        pwned.count(bytes([0xFF]) * 20)
