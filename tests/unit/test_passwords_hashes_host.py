"""Where hosts differ: what their libraries have, and what computes in their stead."""

import builtins
import ctypes
import hashlib
import types

import pytest
from harden_mail.passwords.hashes import base as schemes_base
from harden_mail.passwords.hashes import compute as schemes_compute
from harden_mail.passwords.hashes import libcrypt, md4, md5_state, openssl, optional_modules
from harden_mail.passwords.hashes.parse import Group, Unavailable, computer, matcher, parse
from hypothesis import given
from hypothesis import strategies as st

SALT = b"0123456789abcdef"

# RFC 1320, A.5.
MD4_OF = {
    b"": "31d6cfe0d16ae931b73c59d7e0c089c0",
    b"a": "bde52cb31de33e46245e05fbdbd6fb24",
    b"message digest": "d9130a8164549fe818874806e1c7014b",
    b"1234567890" * 8: "e33b4ddc9c38f2199c3e7b164fcc0536",
}


CDLL = ctypes.CDLL


def is_here(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


HERE = set(filter(is_here, ("libargon2.so.1", "libsodium.so.23", "libcrypto.so.3")))


class Libraries:
    """Stands for ``ctypes.CDLL``: only some of the libraries that are really here."""

    def __init__(self, *beginnings):
        self._beginnings = beginnings

    def __call__(self, name):
        if not str(name).startswith(self._beginnings):
            raise OSError("no " + str(name))
        return CDLL(name)


def only(monkeypatch, *beginnings):
    monkeypatch.setattr(ctypes, "CDLL", Libraries(*beginnings))
    monkeypatch.setattr(libcrypt, "_loaded", [])
    monkeypatch.setattr(openssl, "_loaded", {})
    monkeypatch.setattr(optional_modules, "hashpw", None)
    monkeypatch.setattr(optional_modules, "argon2_module", None)


class GlibcsOwnCrypt:
    """A libcrypt of before libxcrypt: no ``crypt_checksalt``, no bcrypt, and NULL where it can't."""

    def __init__(self, _name):
        self.asked = []

        def crypt_r(phrase, setting, _memory):
            self.asked.append(setting)
            return setting + b"$" + phrase if setting.startswith(b"$6$") else None

        self.crypt_r = crypt_r


class LibcryptWithoutMemory:
    """libxcrypt as it answers when it can't."""

    def __init__(self, _name):
        self.crypt_checksalt = lambda _setting: 0
        self.crypt_r = FailingCrypt()


class FailingCrypt:
    def __call__(self, phrase, setting, _memory):
        return setting + b"$fine" if phrase == b"fine" else b"*0"


def test_a_failure_of_libcrypt_is_no_candidate_that_was_tried(monkeypatch):
    only(monkeypatch)
    monkeypatch.setattr(ctypes, "CDLL", LibcryptWithoutMemory)
    group = Group(("CRYPT", b"$6$salt"))
    match, compute = matcher(group, [b"$6$salt$fine"]), computer(group)
    assert match([b"x" * 512, b"fine"]) == [(1, b"$6$salt$fine")]
    assert (compute(b"fine"), compute(b"x" * 512)) == (b"$6$salt$fine", b"*0")
    for words in ([b"fine", b"secret"], [b"x" * 511], [b"secret"], [b"secret", b"with\0"]):
        with pytest.raises(Unavailable, match="too little memory"):
            match(words)
    with pytest.raises(Unavailable, match="too little memory"):
        compute(b"secret")


@pytest.fixture
def glibcs_own(monkeypatch):
    only(monkeypatch)
    monkeypatch.setattr(ctypes, "CDLL", GlibcsOwnCrypt)


BCRYPT = "$2y$04$abcdefghijklmnopqrstuu" + "a" * 31
SHA512_CRYPT = "$6$salt$" + "a" * 86


def test_no_libcrypt_is_named(monkeypatch):
    only(monkeypatch, "no library at all")
    group = parse(SHA512_CRYPT, "CRYPT", "").group
    for make in (computer, lambda group: matcher(group, [])):
        with pytest.raises(Unavailable, match="libcrypt1"):
            make(group)


def test_what_an_old_libcrypt_does_not_know_is_named(glibcs_own):
    computer(parse(SHA512_CRYPT, "CRYPT", "").group)
    for stored, named in ((BCRYPT, "python3-bcrypt"), ("$y$j9T$salt$" + "a" * 43, r"\$y\$"), ("ab" + "c" * 11, "DES")):
        for make in (computer, lambda group: matcher(group, [])):
            with pytest.raises(Unavailable, match=named):
                make(parse(stored, "CRYPT", "").group)


def test_this_libcrypt_knows_what_it_says(monkeypatch):
    only(monkeypatch, "libcrypt")
    assert libcrypt.knows(b"$6$salt")
    assert not libcrypt.knows(b"$nothing$salt")
    assert not libcrypt.knows(b"*0")


def test_bcrypt_of_the_module_where_libcrypt_has_none(monkeypatch, glibcs_own):
    asked = []

    def hashpw(word, setting):
        asked.append(word)
        return setting + word[:31]

    monkeypatch.setattr(optional_modules, "hashpw", hashpw)
    group = parse(BCRYPT, "CRYPT", "").group
    digest = BCRYPT.encode()
    words = [b"a" * 30, b"a" * 31, b"b" * 100, b"a" * 31 + b"\0"]
    assert matcher(group, [digest])(words) == [(1, digest)]
    # Newer modules refuse what is longer than bcrypt looks at, and what has a NUL in it.
    assert asked == [b"a" * 30, b"a" * 31, b"b" * 72]
    with pytest.raises(Unavailable):
        computer(parse(BCRYPT.replace("$2y$", "$2x$"), "CRYPT", "").group)


ARGON2 = [("id", 19, 64, 3, 1, SALT, 32), ("i", 19, 64, 3, 1, SALT, 16), ("id", 16, 64, 1, 2, b"saltsalt", 32)]


@pytest.mark.parametrize("parameters", ARGON2)
def test_argon2_is_the_same_from_each_library(monkeypatch, parameters):
    found = {}
    module = optional_modules.argon2_module
    for name, libraries in (("libargon2", "libargon2"), ("libsodium", "libsodium"), ("module", "none")):
        only(monkeypatch, libraries)
        if name == "module":
            monkeypatch.setattr(optional_modules, "argon2_module", module)
        try:
            found[name] = optional_modules.argon2(*parameters)(b"secret")
        except Unavailable:
            continue
    if not found:
        pytest.skip("neither libargon2 nor libsodium nor the module argon2 is here")
    assert ("libargon2" in found) is ("libargon2.so.1" in HERE)
    assert ("libsodium" in found) is ("libsodium.so.23" in HERE and parameters is not ARGON2[2])
    assert len(set(found.values())) == 1
    assert len(found.popitem()[1]) == parameters[-1]


def test_argon2_of_the_module(monkeypatch):
    only(monkeypatch)
    called = []
    module = types.SimpleNamespace(
        Type=lambda number: ("D", "I", "ID")[number], hash_secret_raw=lambda *asked: called.append(asked) or b"digest"
    )
    monkeypatch.setattr(optional_modules, "argon2_module", module)
    assert optional_modules.argon2("id", 19, 64, 3, 2, SALT, 32)(b"secret") == b"digest"
    assert called == [(b"secret", SALT, 3, 64, 2, 32, "ID", 19)]


@pytest.mark.parametrize("library", sorted(HERE - {"libcrypto.so.3"}))
def test_argon2_that_fails_is_no_candidate_that_was_tried(monkeypatch, library):
    only(monkeypatch, library)
    # Neither library takes less than 8 KiB, which stands for a host that has not enough.
    compute = optional_modules.argon2("id", 19, 4, 3, 1, SALT, 32)
    with pytest.raises(Unavailable, match="Argon2 fails"):
        compute(b"secret")


def test_argon2_of_the_module_that_fails(monkeypatch):
    class Module:
        HashingError = KeyError
        Type = int

        @staticmethod
        def hash_secret_raw(*_asked):
            raise KeyError("Memory allocation error")

    only(monkeypatch)
    monkeypatch.setattr(optional_modules, "argon2_module", Module)
    with pytest.raises(Unavailable, match="64 MiB") as caught:
        optional_modules.argon2("id", 19, 65536, 3, 1, SALT, 32)(b"secret")
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "parameters",
    [ARGON2[2], ("d", 19, 64, 3, 1, SALT, 32), ("i", 19, 64, 2, 1, SALT, 32), ("id", 19, 64, 3, 1, SALT, 8)],
)
def test_libsodium_is_not_asked_for_what_it_can_not_do(monkeypatch, parameters):
    only(monkeypatch, "libsodium")
    with pytest.raises(Unavailable, match="python3-argon2"):
        optional_modules.argon2(*parameters)


@pytest.mark.parametrize("text", sorted(MD4_OF))
def test_md4(text):
    assert md4.md4(text).hex() == md4.md4_function()(text).hex() == MD4_OF[text]


def test_md4_of_openssl_is_preferred(monkeypatch):
    only(monkeypatch, "libcrypto")
    monkeypatch.setattr(md4, "_of_hashlib", lambda: None)
    if "libcrypto.so.3" not in HERE:
        pytest.skip("no OpenSSL 3 here")
    assert md4.md4_function() is not md4.md4


@given(st.binary(max_size=300))
def test_md4_in_python_is_openssls(text):
    assert md4.md4(text) == md4.md4_function()(text)


def test_md4_without_openssl(monkeypatch):
    only(monkeypatch, "none")
    monkeypatch.setattr(md4, "_of_hashlib", lambda: None)
    assert md4.md4_function() is md4.md4


@given(st.binary(max_size=300))
def test_md5_from_a_state_is_hashlibs(text):
    start = bytes.fromhex("0123456789abcdeffedcba9876543210")
    assert md5_state.finished(start, 0, text) == hashlib.md5(text).digest()
    if len(text) > 64:
        middle = md5_state.compress(start, text[:64])
        assert md5_state.finished(middle, 64, text[64:]) == hashlib.md5(text).digest()


def in_fips_mode(name):
    """hashlib's function as it is in FIPS mode: refused, unless it is said that no secret depends on it."""
    real = getattr(hashlib, name)

    def function(text, usedforsecurity=True):
        if usedforsecurity:
            raise ValueError("disabled for fips")
        return real(text)

    return function


@given(
    st.binary(max_size=20).map(lambda word: word.replace(b"\0", b"")),
    st.from_regex(r"[./0-9A-Za-z]{2}", fullmatch=True),
)
def test_des_of_openssl_is_libcrypts(word, salt):
    if openssl.des_crypt() is None:
        pytest.skip("no DES_fcrypt here")
    crypt, memory = openssl.des_crypt()
    expected = libcrypt.crypt_r()(word, salt.encode(), libcrypt.working_memory())
    assert crypt(word, salt.encode(), memory) == expected
    assert computer(Group(("CRYPT", salt.encode())))(word) == expected


def test_des_of_openssl_is_preferred_and_libcrypt_serves_without(monkeypatch):
    group = Group(("CRYPT", b"ab"))
    only(monkeypatch, "libcrypt.")
    assert openssl.des_crypt() is None
    assert computer(group)(b"secret") == b"abNANd1rDfiNc"
    only(monkeypatch, "libcrypto.")
    if "libcrypto.so.3" in HERE:
        assert matcher(group, [b"abNANd1rDfiNc"])([b"guess", b"secret"]) == [(1, b"abNANd1rDfiNc")]


def test_md5_in_fips_mode(monkeypatch):
    expected = hashlib.md5(b"secret").digest()
    monkeypatch.setattr(hashlib, "md5", in_fips_mode("md5"))
    assert schemes_base.hash_function("md5")(b"secret").digest() == expected


def test_md5_that_is_refused_is_named(monkeypatch):
    def refused(_text):
        raise ValueError("disabled for fips")

    monkeypatch.setattr(hashlib, "md5", refused)
    found = parse("{PLAIN-MD5}" + "0" * 32, "PLAIN", "")
    assert not found.empty
    for make in (computer, lambda group: matcher(group, [])):
        with pytest.raises(Unavailable, match="refuses md5"):
            make(found.group)


def test_pbkdf2_that_is_refused_is_named(monkeypatch):
    def refused(*_asked):
        raise ValueError("invalid salt length")

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", refused)
    for group in (Group(("PBKDF2", "sha1", b"s", 1, 20)), Group(("SCRAM", "sha1", b"s", 1))):
        with pytest.raises(Unavailable, match="PBKDF2"):
            computer(group)


def test_the_module_crypt_is_not_needed(monkeypatch):
    real = builtins.__import__

    def without_crypt(name, *rest):
        assert name not in ("crypt", "passlib"), "imports " + name
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_crypt)
    monkeypatch.setattr(libcrypt, "_loaded", [])
    assert schemes_compute.computer(Group(("CRYPT", b"ab")))(b"secret")
