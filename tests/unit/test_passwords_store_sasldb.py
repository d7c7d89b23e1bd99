"""sasldb2: files made by Debian's saslpasswd2 and db5.3_load, damaged ones, and gdbm's."""

import io
import os
import random
import shutil

import pytest
from fake_system import FakeSystem
from harden_mail.passwords.stores import aes, berkeley, registry, sasldb
from hypothesis import given
from hypothesis import strategies as st

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "passwords", "stores")


def recorded(name):
    with open(os.path.join(DATA, name), "rb") as handle:
        return handle.read()


def read(root, **options):
    opened = registry.open_store(FakeSystem(root), dict(options, store="sasldb"))
    return list(opened.accounts()), opened.problems


def test_what_saslpasswd2_wrote(tmp_path):
    os.makedirs(str(tmp_path / "etc/sasl2"))
    shutil.copy(os.path.join(DATA, "sasldb2"), str(tmp_path / "etc/sasl2/sasldb2"))
    found, told = read(tmp_path)
    assert sorted(tuple(account)[:7] for account in found) == [
        ("info@example.com", "{PLAIN}spring2024", "PLAIN", "sasldb", (), None, True),
        ("odd@example.net", "{PLAIN}p:a|ss\\word 日本", "PLAIN", "sasldb", (), None, True),
    ]
    assert not told


def test_many_accounts_long_values_and_another_byte_order(tmp_path):
    found, told = read("/", path=os.path.join(DATA, "sasldb2-big-endian"))
    passwords = {account.name: account.stored for account in found}
    # Mechanisms' own secrets are no passwords.
    assert len(found) == len(passwords) == 41 and not told
    assert all(passwords["user{0}@example.com".format(i)] == "{PLAIN}pw-" + str(i) for i in range(40))
    assert passwords["long@example.com"] == "{PLAIN}" + "".join(chr(97 + i % 26) for i in range(3000))


@pytest.mark.parametrize("name", ("sasldb2", "sasldb2-big-endian"))
def test_a_damaged_file_is_read_as_far_as_it_goes(name):
    whole = recorded(name)
    numbers = random.Random(5)
    for _ in range(300):
        spoiled = bytearray(whole[: numbers.randrange(len(whole))] if numbers.random() < 0.3 else whole)
        for _ in range(numbers.randrange(20)):
            if spoiled:
                spoiled[numbers.randrange(len(spoiled))] = numbers.randrange(256)
        try:
            for pair in berkeley.pairs(io.BytesIO(bytes(spoiled))):
                assert pair is None or all(isinstance(part, bytes) for part in pair)
        except berkeley.NoHashFile:
            pass


def test_pages_that_point_at_themselves_come_to_an_end():
    whole = bytearray(recorded("sasldb2-big-endian"))
    for start in range(0, len(whole), 512):
        if whole[start + 25] == 7:
            whole[start + 16 : start + 20] = (start // 512).to_bytes(4, "big")
    assert None in list(berkeley.pairs(io.BytesIO(bytes(whole))))


def test_an_item_that_begins_in_the_pages_head_is_none():
    whole = bytearray(recorded("sasldb2"))
    for page in range(1, len(whole) // 4096):
        start = page * 4096
        if whole[start + 25] in (2, 13) and whole[start + 20]:
            last = start + 26 + 2 * (whole[start + 20] - 1)
            whole[last : last + 2] = (2).to_bytes(2, "little")
            whole[start + 2] = 1
    assert None in list(berkeley.pairs(io.BytesIO(bytes(whole))))


def spoilt(page_size=None, magic=None, encrypted=None):
    whole = bytearray(recorded("sasldb2"))
    if page_size is not None:
        whole[20:24] = page_size.to_bytes(4, "little")
    if magic is not None:
        whole[12:16] = magic.to_bytes(4, "little")
    if encrypted is not None:
        whole[24] = encrypted
    return bytes(whole)


@pytest.mark.parametrize(
    "content, words",
    (
        (b"", "no Berkeley DB file"),
        (b"x" * 4096, "no Berkeley DB file"),
        (spoilt(magic=berkeley.BTREE_MAGIC), "of type btree"),
        (spoilt(page_size=0), "a damaged Berkeley DB file"),
        (spoilt(page_size=1000), "a damaged Berkeley DB file"),
        (spoilt(page_size=1 << 31), "a damaged Berkeley DB file"),
        (spoilt(encrypted=1), "an encrypted Berkeley DB file"),
    ),
)
def test_other_files_are_a_problem(tmp_path, content, words):
    (tmp_path / "db").write_bytes(content)
    found, told = read(tmp_path, path="/db")
    assert found == [] and len(told) == 1 and words in told[0] and told[0].startswith("/db: ")


def test_a_gdbm_file(tmp_path, monkeypatch):
    (tmp_path / "db").write_bytes(b"\xce\x9a\x57\x13" + b"\0" * 100)
    monkeypatch.setattr(sasldb, "gdbm", None)
    found, told = read(tmp_path, path="/db")
    assert found == [] and "python3-gdbm" in told[0]

    class Base(dict):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def firstkey(self):
            return min(self)

        def nextkey(self, key):
            return min((other for other in self if other > key), default=None)

    class Module:
        @staticmethod
        def open(path, flags):
            assert path == str(tmp_path / "db") and flags == "ru"
            return Base({b"info\0example.com\0userPassword": b"spring", b"root\0\0userPassword": b"x", b"a": b"b"})

    monkeypatch.setattr(sasldb, "gdbm", Module)
    found, told = read(tmp_path, path="/db")
    assert [account[:2] for account in found] == [("info@example.com", "{PLAIN}spring"), ("root", "{PLAIN}x")]
    assert told == []


# --- AES --------------------------------------------------------------------------------------------------------


def test_aes_as_its_standards_have_it():
    # NIST SP 800-38A, F.2.2
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    encrypted = bytes.fromhex(
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
        "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"
    )
    assert aes.decrypt_cbc(key, bytes(range(16)), encrypted) == bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    # FIPS 197, appendix C.1
    block = bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a")
    assert aes.decrypt_cbc(bytes(range(16)), bytes(16), block) == bytes.fromhex("00112233445566778899aabbccddeeff")


@given(st.binary(), st.binary(), st.binary())
def test_aes_takes_whole_blocks_only(key, initial, encrypted):
    if len(key) == len(initial) == 16 and len(encrypted) % 16 == 0:
        assert len(aes.decrypt_cbc(key, initial, encrypted)) == len(encrypted)
    else:
        with pytest.raises(ValueError):
            aes.decrypt_cbc(key, initial, encrypted)
