"""The password schemes that Dovecot and its kin store, and how each is read.

Formats: Dovecot's documentation of password schemes and its ``password-scheme*.c``; RFC 5802 (SCRAM); the sources of
phpass, passlib (``$pbkdf2-...$``) and Django (``pbkdf2_...$``). ``read`` gives the group of a hash, which says what is
to be computed:

====================================================== ====================================================
``("PLAIN",)``                                         the candidate
``("PLAIN-TRUNC", length)``                            its beginning
``("HASH", function, before, after)``                  function(before + candidate + after)
``("MD4", charset)``                                   of the candidate; with a charset, of it in UTF-16
``("HMAC-MD5",)``                                      of nothing, by the candidate
``("PBKDF2", function, salt, rounds, length)``
``("SCRAM", function, salt, rounds)``                  the stored key
``("CRYPT", setting)``                                 the whole string
``("PHPASS", rounds, salt)``
``("APR1", salt)``
``("OTP", function, rounds, seed)``
``("ARGON2", type, version, KiB, passes, lanes, salt, length)``
====================================================== ====================================================
"""

import binascii
import contextlib
import re

from . import crypt_schemes as schemes_crypt
from . import md5_state
from .base import Group, Hash, Malformed, Unreadable

PLAIN = Group(("PLAIN",))

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}\Z")

# No hash is longer, and hardly any password.
_LONGEST = 4096

_HMAC_BLOCK = 64


def read_crypt(raw, _user):
    if raw.startswith(b"$argon2"):
        return read_argon2(raw, _user)
    if raw.startswith((b"$P$", b"$H$")):
        return _read_phpass(raw)
    if raw.startswith(b"$3$"):
        return _read_nt_crypt(raw)
    if raw.startswith(b"$pbkdf2"):
        return _read_pbkdf2_of_passlib(raw)
    if raw.startswith(b"$apr1$"):
        return _read_apr1(raw)
    scheme, weak, setting = schemes_crypt.read(raw)
    return Hash(scheme, Group(("CRYPT", setting)), raw, False, weak, False)


def read_plain(raw, _user):
    return Hash("PLAIN", PLAIN, raw, True, "plain", not raw)


def _read_plain_trunc(raw, user):
    match = re.match(rb"(\d{1,6})-(.*)\Z", raw, re.DOTALL)
    if not match:
        raise Malformed()
    length, text = int(match.group(1)), match.group(2)
    if length != len(text):
        return read_plain(text, user)._replace(scheme="PLAIN-TRUNC")
    # It may have been longer: whatever begins so gets in.
    return Hash("PLAIN-TRUNC", Group(("PLAIN-TRUNC", length)), text, True, "plain", not text)


def _unsalted(scheme, function):
    group = Group(("HASH", function, b"", b""))
    return lambda raw, _user: Hash(scheme, group, raw, False, "unsalted", False)


def _salted(scheme, function, size, weak):
    def read(raw, _user):
        if len(raw) <= size:
            raise Malformed()
        return Hash(scheme, Group(("HASH", function, b"", raw[size:])), raw[:size], False, weak, False)

    return read


def _read_md5(raw, user):
    if raw.startswith(b"$1$"):
        return read_crypt(raw, user)
    return _unsalted("PLAIN-MD5", "md5")(_decoded(raw, "hex", 16, guess=True), user)


def _read_md5_crypt(raw, user):
    if not raw.startswith(b"$1$"):
        raise Malformed()
    return read_crypt(raw, user)


def _read_digest_md5(raw, user):
    name, at, realm = (user or "").rpartition("@")
    if not at:
        name, realm = realm, ""
    before = _as_bytes("{0}:{1}:".format(name, realm))
    if before is None:
        raise Unreadable("not UTF-8")
    return Hash("DIGEST-MD5", Group(("HASH", "md5", before, b"")), raw, False, "md5", False)


def _read_md4(raw, _user):
    return Hash("PLAIN-MD4", Group(("MD4", None)), raw, False, "unsalted", False)


def _read_nt(raw, _user):
    return Hash("NTLM", Group(("MD4", "utf-8")), raw, False, "unsalted", False)


def _read_nt_crypt(raw):
    # crypt(3) makes two bytes of each one, whatever character it was a part of.
    raw = _decoded(raw[len(b"$3$$") :], "hex", 16)
    return Hash("NTLM", Group(("MD4", "latin-1")), raw, False, "unsalted", False)


def _read_cram_md5(raw, _user):
    # Stored are the states after the key's block, outer then inner. Finishing both with an empty text gives what
    # hashlib can compute from a candidate at full speed.
    outer, inner = raw[:16], raw[16:]
    digest = md5_state.finished(outer, _HMAC_BLOCK, md5_state.finished(inner, _HMAC_BLOCK, b""))
    return Hash("CRAM-MD5", Group(("HMAC-MD5",)), digest, False, "unsalted", False)


def _read_pbkdf2(raw, _user):
    if raw.startswith(b"$pbkdf2"):
        return _read_pbkdf2_of_passlib(raw)
    if raw.startswith(b"pbkdf2_"):
        return _read_pbkdf2_of_django(raw)
    match = re.match(rb"\$1\$([^$]*)\$(\d{1,12})\$([0-9A-Fa-f]{40})\Z", raw)
    if not match:
        raise Malformed()
    salt, rounds, digest = match.groups()
    return _pbkdf2("sha1", salt, rounds, bytes.fromhex(digest.decode()))


def _read_pbkdf2_of_passlib(raw):
    match = re.match(rb"\$pbkdf2(-sha256|-sha512)?\$(\d{1,12})\$([./0-9A-Za-z]*)\$([./0-9A-Za-z]+)\Z", raw)
    if not match:
        raise Malformed()
    function, rounds, salt, digest = match.groups()
    salt, digest = (_decoded(text.replace(b".", b"+"), "base64", None) for text in (salt, digest))
    return _pbkdf2((function or b"-sha1").decode()[1:], salt, rounds, digest)


def _read_pbkdf2_of_django(raw):
    match = re.match(rb"pbkdf2_(sha1|sha256|sha512)\$(\d{1,12})\$([^$]+)\$([A-Za-z0-9+/=]+)\Z", raw)
    if not match:
        raise Malformed()
    function, rounds, salt, digest = match.groups()
    return _pbkdf2(function.decode(), salt, rounds, _decoded(digest, "base64", None))


def _pbkdf2(function, salt, rounds, digest):
    rounds = int(rounds)
    if not rounds or not 16 <= len(digest) <= 64:
        raise Malformed()
    return Hash("PBKDF2", Group(("PBKDF2", function, salt, rounds, len(digest))), digest, False, None, False)


def _scram(scheme, function, size):
    def read(raw, _user):
        fields = raw.split(b",")
        if len(fields) != 4 or not re.match(rb"\d{1,12}\Z", fields[0]):
            raise Malformed()
        rounds = int(fields[0])
        if not rounds:
            raise Malformed()
        salt = _decoded(fields[1], "base64", None)
        stored_key = _decoded(fields[2], "base64", size)
        return Hash(scheme, Group(("SCRAM", function, salt, rounds)), stored_key, False, None, False)

    return read


def read_argon2(raw, _user):
    match = re.match(
        rb"\$argon2(id|i|d)\$(?:v=(\d{1,3})\$)?m=(\d{1,12}),t=(\d{1,12}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)\Z",
        raw,
    )
    if not match:
        raise Malformed()
    kind = match.group(1).decode()
    version, kib, passes, lanes = (int(number or 16) for number in match.groups()[1:5])
    salt, digest = (_decoded(text, "base64", None) for text in match.groups()[5:])
    if version not in (16, 19) or not passes or not lanes or lanes > 255 or kib < 8 * lanes:
        raise Malformed()
    if len(salt) < 8 or not 4 <= len(digest) <= 512:
        raise Malformed()
    group = Group(("ARGON2", kind, version, kib, passes, lanes, salt, len(digest)))
    return Hash("ARGON2" + kind.upper(), group, digest, False, None, False)


def _read_phpass(raw):
    match = re.match(rb"\$[PH]\$([./0-9A-Za-z])([./0-9A-Za-z]{8})([./0-9A-Za-z]{22})\Z", raw)
    if not match:
        raise Malformed()
    rounds = 1 << schemes_crypt.CHARACTERS.index(match.group(1))
    # 16 bytes, the lowest first, six bits a character, but three bytes at a time.
    text, digest = match.group(3), b""
    for begin in range(0, len(text), 4):
        piece = text[begin : begin + 4]
        number = sum(schemes_crypt.CHARACTERS.index(piece[n : n + 1]) << (6 * n) for n in range(len(piece)))
        size = len(piece) * 6 // 8
        if number >> (8 * size):
            raise Malformed()
        digest += number.to_bytes(size, "little")
    return Hash("PHPASS", Group(("PHPASS", rounds, match.group(2))), digest, False, "md5", False)


def _read_apr1(raw):
    match = re.match(rb"\$apr1\$([^$]{0,8})\$([./0-9A-Za-z]{22})\Z", raw)
    if not match:
        raise Malformed()
    return Hash("APR1", Group(("APR1", match.group(1))), match.group(2), False, "md5", False)


def _read_otp(raw, _user):
    """``sha1 1024 seed 0123456789abcdef``: the next one-time password would be one hash less."""
    match = re.match(rb"(md4|md5|sha1) (\d{1,12}) ([^ ]{1,64}) ([0-9a-fA-F]{16})\Z", raw)
    if not match:
        raise Malformed()
    function, rounds, seed, digest = match.groups()
    group = Group(("OTP", function.decode(), int(rounds), seed))
    return Hash("OTP", group, bytes.fromhex(digest.decode()), False, None, False)


# name: (encoding where no suffix says another, bytes that the decoded hash has, or None, how it is read)
_SCHEMES = {
    "PLAIN": (None, None, read_plain),
    "PLAIN-TRUNC": (None, None, _read_plain_trunc),
    "CRYPT": (None, None, read_crypt),
    "MD5": (None, None, _read_md5),
    "MD5-CRYPT": (None, None, _read_md5_crypt),
    "PLAIN-MD4": ("hex", 16, _read_md4),
    "PLAIN-MD5": ("hex", 16, _unsalted("PLAIN-MD5", "md5")),
    "LDAP-MD5": ("base64", 16, _unsalted("PLAIN-MD5", "md5")),
    "SMD5": ("base64", None, _salted("SMD5", "md5", 16, "md5")),
    "SHA1": ("base64", 20, _unsalted("SHA1", "sha1")),
    "SHA256": ("base64", 32, _unsalted("SHA256", "sha256")),
    "SHA512": ("base64", 64, _unsalted("SHA512", "sha512")),
    "SSHA": ("base64", None, _salted("SSHA", "sha1", 20, None)),
    "SSHA256": ("base64", None, _salted("SSHA256", "sha256", 32, None)),
    "SSHA512": ("base64", None, _salted("SSHA512", "sha512", 64, None)),
    "CRAM-MD5": ("hex", 32, _read_cram_md5),
    "DIGEST-MD5": ("hex", 16, _read_digest_md5),
    "SCRAM-SHA-1": (None, None, _scram("SCRAM-SHA-1", "sha1", 20)),
    "SCRAM-SHA-256": (None, None, _scram("SCRAM-SHA-256", "sha256", 32)),
    "PBKDF2": (None, None, _read_pbkdf2),
    "ARGON2ID": (None, None, read_argon2),
    "OTP": (None, None, _read_otp),
    "NTLM": ("hex", 16, _read_nt),
}

# Names that mean the same: Dovecot's, then those of courier-authlib and of administration panels.
_SAME = {
    "CLEAR": "PLAIN", "CLEARTEXT": "PLAIN", "SHA": "SHA1", "HMAC-MD5": "CRAM-MD5", "ARGON2I": "ARGON2ID",
    "ARGON2": "ARGON2ID", "DES-CRYPT": "CRYPT", "SHA256-CRYPT": "CRYPT", "SHA512-CRYPT": "CRYPT", "BLF-CRYPT": "CRYPT",
    "MD5RAW": "PLAIN-MD5", "MD5CRYPT": "MD5-CRYPT", "PLAINTEXT": "PLAIN", "NT": "NTLM", "BCRYPT": "CRYPT",
}  # fmt: skip

_OF_PLAIN_TEXT = (read_plain, _read_plain_trunc)

# Schemes with strings of crypt(3), where some stores mark an account as locked.
_MAY_BE_LOCKED = (read_crypt, _read_md5, _read_md5_crypt)
_LOCKED = (b"", b"x", b"NP")

_PREFIX = re.compile(rb"\{([A-Za-z0-9._+-]{1,40})\}")


def read(stored, default_scheme, user):
    """The ``Hash`` of what a store has; see ``hashes.parse``."""
    text = _as_bytes(stored)
    if text is None:
        raise Unreadable("not UTF-8")
    if len(text) > _LONGEST:
        raise Unreadable("longer than any hash")
    if b"\0" in text:
        raise Unreadable("has a NUL in it")
    default = _find(default_scheme)
    if default is None:
        raise Unreadable("the store's scheme is unknown")
    is_plain = default[-1] in _OF_PLAIN_TEXT
    if not text and not is_plain:
        # As shadow(5) has it: no password is asked for. "{CRYPT}" alone is another matter: nothing ever fits.
        return Hash(default[0], PLAIN, b"", False, None, True)
    match = _PREFIX.match(text)
    found = _find(match.group(1).decode()) if match else None
    if found:
        return _read_as(found, text[match.end() :], user)
    if text.startswith(b"$"):
        # Dovecot itself sees only $1$ so; but nobody has the whole of such a string as a password.
        with contextlib.suppress(Malformed):
            return read_crypt(text, user)
    if default[-1] is read_crypt and re.match(rb"[0-9a-fA-F]{32}\Z", text):
        # No crypt(3) writes that, but PHP's md5() does, and old panels kept both.
        return _read_md5(text, user)
    if text.startswith(b"{") and not is_plain:
        raise Unreadable("unknown scheme")
    return _read_as(default, text, user)


def _find(name):
    """(canonical name, encoding, whether that was only guessed, size, reader) of a scheme's name, or None."""
    name, dot, suffix = name.upper().partition(".")
    name = _SAME.get(name, name)
    if name not in _SCHEMES:
        return None
    encoding, size, reader = _SCHEMES[name]
    if dot:
        encoding = {"B64": "base64", "BASE64": "base64", "HEX": "hex"}.get(suffix)
        if encoding is None:
            return None
    return name, encoding, not dot, size, reader


def _read_as(scheme, text, user):
    _name, encoding, guess, size, reader = scheme
    if reader in _MAY_BE_LOCKED and (text.startswith((b"!", b"*")) or text in _LOCKED):
        raise Unreadable(Unreadable.LOCKED)
    return reader(_decoded(text, encoding, size, guess) if encoding else text, user)


def _decoded(text, encoding, size, guess=False):
    """Bytes of base64 or hexadecimal text.

    :param size: how many there must be, or None
    :param bool guess: the encoding is only what is usual; as Dovecot, take the other one where the length is its
    """
    if guess and size:
        encoding = "hex" if len(text) == 2 * size else "base64"
    raw = _of_hex(text) if encoding == "hex" else _of_base64(text)
    if raw is None and guess and encoding == "hex":
        raw = _of_base64(text)
    if raw is None or size not in (None, len(raw)):
        raise Malformed()
    return raw


def _of_hex(text):
    return binascii.unhexlify(text) if re.match(rb"(?:[0-9A-Fa-f]{2})*\Z", text) else None


def _of_base64(text):
    """Also with blanks in it, as Dovecot takes it, and without the padding, as LDAP servers and passlib write it."""
    text = text.translate(None, b" \t\r\n")
    if not _BASE64.match(text):
        return None
    text = text.rstrip(b"=")
    if len(text) % 4 == 1:
        return None
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def _as_bytes(text):
    # An exception would have the text in it, so none must be left behind as another one's context.
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeError:
        return None
