"""What is computed from a candidate, for each kind of group that ``schemes`` knows."""

import hashlib
import hmac
import itertools
import struct

from . import libcrypt, md4, openssl, optional_modules
from . import md5_crypt as schemes_md5_crypt
from .base import Unavailable, hash_function

# Characters; of no other scheme is it so short.
_DES_SETTING = 2


def computer(group):
    """See ``hashes.computer``."""
    return _MAKERS[group[0]](*group[1:])


def matcher(group, digests):
    """See ``hashes.matcher``."""
    compute_all = _all_at_once(group)

    def match(words):
        computed = compute_all(words)
        if digests.isdisjoint(computed):
            return []
        return [(index, digest) for index, digest in enumerate(computed) if digest in digests]

    return match


def _all_at_once(group):
    """As ``computer``, but from a list of candidates to a list of digests; without a call of Python for each."""
    if group[0] == "PLAIN":
        return list
    if group[0] == "HASH":
        _kind, name, before, after = group
        function = hash_function(name)
        if before or after:
            return lambda words: [function(before + word + after).digest() for word in words]
        return lambda words: [function(word).digest() for word in words]
    if group[0] == "CRYPT" and _quickest_crypt(group[1]):
        return _crypt_all_at_once(group[1])
    compute = computer(group)
    return lambda words: list(map(compute, words))


def _crypt_all_at_once(setting):
    crypt, memory = _quickest_crypt(setting)
    compute = _crypt(setting)
    settings, memories = itertools.repeat(setting), itertools.repeat(memory)

    def compute_all(words):
        # One look for all of them: of the cheapest scheme, a look at each would cost a hundredth.
        if b"\0" in b"".join(words):
            return list(map(compute, words))
        answers = list(map(crypt, words, settings, memories))
        libcrypt.check(words, answers)
        return answers

    return compute_all


def _plain():
    return bytes


def _plain_trunc(length):
    return lambda word: word[:length]


def _hash(name, before, after):
    function = hash_function(name)
    if before:
        return lambda word: function(before + word + after).digest()
    if after:
        return lambda word: function(word + after).digest()
    return lambda word: function(word).digest()


def _md4(charset):
    function = md4.md4_function()
    if charset is None:
        return function

    def compute(word):
        return function(word.decode(charset, "replace").encode("utf-16-le"))

    return compute


def _hmac_md5():
    md5 = hash_function("md5")
    inner, outer = (bytes(byte ^ mask for byte in range(256)) for mask in (0x36, 0x5C))

    def compute(word):
        key = word if len(word) <= 64 else md5(word).digest()
        key = key.ljust(64, b"\0")
        return md5(key.translate(outer) + md5(key.translate(inner)).digest()).digest()

    return compute


def _key_derivation(name, salt):
    try:
        hashlib.pbkdf2_hmac(name, b"", salt, 1)
    except ValueError:
        derive = None
    else:
        derive = hashlib.pbkdf2_hmac
    if derive is None:
        raise Unavailable("OpenSSL on this host refuses PBKDF2 with so short a salt")
    return derive


def _pbkdf2(name, salt, rounds, length):
    derive = _key_derivation(name, salt)
    return lambda word: derive(name, word, salt, rounds, length)


def _scram(name, salt, rounds):
    derive, function = _key_derivation(name, salt), hash_function(name)

    def compute(word):
        client_key = hmac.new(derive(name, word, salt, rounds), b"Client Key", function).digest()
        return function(client_key).digest()

    return compute


def _crypt(setting):
    quickest = _quickest_crypt(setting)
    if quickest is None:
        return _crypt_without_libcrypt(setting)
    crypt, memory = quickest

    def compute(word):
        # C's strings end at a NUL: it would be another candidate that is tried.
        if b"\0" in word:
            return None
        answer = crypt(word, setting, memory)
        libcrypt.check((word,), (answer,))
        return answer

    return compute


def _quickest_crypt(setting):
    """(function as ``libcrypt.crypt_r``, its memory), or None: libcrypt does not know this setting."""
    found = openssl.des_crypt() if len(setting) == _DES_SETTING else None
    if found is None and libcrypt.knows(setting):
        found = libcrypt.crypt_r(), libcrypt.working_memory()
    return found


def _crypt_without_libcrypt(setting):
    if setting.startswith(b"$2"):
        return optional_modules.bcrypt(setting)
    name = setting.split(b"$")[1].decode() if setting.startswith(b"$") else "DES"
    raise Unavailable("this host's libcrypt does not know ${0}$ hashes: a newer libxcrypt does".format(name))


def _phpass(rounds, salt):
    md5 = hash_function("md5")

    def compute(word):
        digest = md5(salt + word).digest()
        for _round in range(rounds):
            digest = md5(digest + word).digest()
        return digest

    return compute


def _apr1(salt):
    return schemes_md5_crypt.computer(b"$apr1$", salt)


def _otp(name, rounds, seed):
    """RFC 2289: of each hash 64 bits, its halves (or, of SHA-1, its five words) laid over each other."""
    function = hash_function(name) if name != "md4" else None
    md4_of = md4.md4_function()

    def fold(text):
        if name == "sha1":
            a, b, c, d, e = struct.unpack(">5L", function(text).digest())
            return struct.pack("<2L", a ^ c ^ e, b ^ d)
        a, b = struct.unpack("<2Q", function(text).digest() if function else md4_of(text))
        return struct.pack("<Q", a ^ b)

    def compute(word):
        state = seed.lower() + word
        for _round in range(rounds + 1):
            state = fold(state)
        return state

    return compute


_MAKERS = {
    "APR1": _apr1,
    "OTP": _otp,
    "PLAIN": _plain,
    "PLAIN-TRUNC": _plain_trunc,
    "HASH": _hash,
    "MD4": _md4,
    "HMAC-MD5": _hmac_md5,
    "PBKDF2": _pbkdf2,
    "SCRAM": _scram,
    "CRYPT": _crypt,
    "PHPASS": _phpass,
    "ARGON2": optional_modules.argon2,
}
