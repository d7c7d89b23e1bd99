import json
import pathlib
import re

import pytest
from harden_mail.passwords.hashes import parse as hashes
from harden_mail.passwords.hashes import schemes
from harden_mail.passwords.hashes.parse import Unreadable, computer, matcher, parse, speed_class
from hypothesis import example, given
from hypothesis import strategies as st

RECORDED = pathlib.Path(__file__).parent.parent / "data" / "passwords"
USER = "joe.user@example.com"


def recorded(name):
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


EVERY = recorded("hashes_dovecot_2.3.json") + recorded("hashes_dovecot_2.4.json") + recorded("hashes_tools.json")

# A whole string of each kind that is read, by the name that its hash gets.
ONE_OF_EACH = {}
for _program, _stored, _word, _fits, _scheme in EVERY:
    if _fits and _word == "secret":
        ONE_OF_EACH.setdefault(parse(_stored, _scheme or "PLAIN", USER).scheme, (_stored, _scheme or "PLAIN"))


def fits(stored, word, scheme="PLAIN", user=USER):
    try:
        found = parse(stored, scheme, user)
    except Unreadable:
        return False
    return computer(found.group)(word.encode()) == found.digest


def sha512_crypt(rounds):
    return "$6$rounds={0}$salt$".format(rounds) + "a" * 86


def bcrypt(cost):
    return "$2y${0}$".format(cost) + "a" * 53


def argon2(parameters):
    return "$argon2id$v=19$" + parameters + "$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"


@pytest.mark.parametrize("name", ["hashes_dovecot_2.3.json", "hashes_dovecot_2.4.json", "hashes_tools.json"])
def test_candidates_fit_where_the_program_says_so_and_nowhere_else(name):
    wrong = [
        (program, stored, word)
        for program, stored, word, does_fit, scheme in recorded(name)
        if fits(stored, word, scheme or "PLAIN") is not does_fit
    ]
    assert wrong == []


def test_every_scheme_of_dovecot_is_among_what_was_recorded():
    canonical = set(ONE_OF_EACH)
    names = {name for name, *_ in schemes._SCHEMES.items()}
    assert names - canonical <= {"CRYPT", "MD5", "LDAP-MD5"}
    assert {
        "MD5-CRYPT", "DES-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT", "YESCRYPT", "GOST-YESCRYPT", "SCRYPT",
        "SHA1-CRYPT", "SUN-MD5", "BSDI-CRYPT", "ARGON2I", "APR1", "PHPASS",
    } <= canonical  # fmt: skip


@pytest.mark.parametrize("scheme", sorted(set(ONE_OF_EACH) - {"ARGON2I", "ARGON2ID"}))
def test_a_matcher_finds_what_a_computer_does(scheme):
    found = parse(*ONE_OF_EACH[scheme], USER)
    compute = computer(found.group)
    words = [b"", b"secret", b"guess", b"secret\0", b"\xff\xfe", b"secret", b"x" * 600]
    expected = [(index, found.digest) for index, word in enumerate(words) if compute(word) == found.digest]
    assert [index for index, _digest in expected] in ([1, 5], [1, 3, 5])
    assert matcher(found.group, [found.digest])(words) == expected
    assert matcher(found.group, [b"no digest"])(words) == []


def test_a_candidate_with_a_nul_is_not_the_one_that_ends_there():
    for scheme in ("SHA512-CRYPT", "DES-CRYPT", "BLF-CRYPT"):
        found = parse(*ONE_OF_EACH[scheme], USER)
        assert computer(found.group)(b"secret\0") != found.digest
        assert matcher(found.group, [found.digest])([b"secret\0", b"secret"]) == [(1, found.digest)]


def test_a_matcher_tells_hashes_of_a_group_apart():
    words = [b"one", b"two", b"three", b"two"]
    digests = {word: parse("{SHA}" + sha1(word), "PLAIN", USER).digest for word in (b"two", b"three", b"other")}
    group = parse("{SHA}" + sha1(b"one"), "PLAIN", USER).group
    assert matcher(group, digests.values())(words) == [
        (1, digests[b"two"]),
        (2, digests[b"three"]),
        (3, digests[b"two"]),
    ]
    group = parse("one", "PLAIN", USER).group
    assert matcher(group, [b"three", b"one"])(words) == [(0, b"one"), (2, b"three")]


def sha1(word):
    return hashes.computer(schemes.Group(("HASH", "sha1", b"", b"")))(word).hex()


@pytest.mark.parametrize(
    "first, second, equal",
    [
        ("$6$salt$" + "a" * 86, "$6$salt$" + "b" * 86, True),
        ("$6$salt$" + "a" * 86, "$6$rounds=5000$salt$" + "a" * 86, False),
        ("$2y$04$" + "a" * 53, "$2y$04$" + "a" * 22 + "b" * 31, True),
        ("$2y$04$" + "a" * 53, "$2y$05$" + "a" * 53, False),
        ("ab" + "c" * 11, "ab" + "d" * 11, True),
        ("ab" + "c" * 11, "ac" + "c" * 11, False),
        ("{SHA}" + "0" * 40, "{SHA1.hex}" + "1" * 40, True),
        ("{LDAP-MD5}" + "A" * 22 + "==", "{PLAIN-MD5}" + "1" * 32, True),
        ("{CRAM-MD5}" + "0" * 64, "{HMAC-MD5}" + "1" * 64, True),
        ("{PLAIN-TRUNC}3-abc", "{PLAIN-TRUNC}3-xyz", True),
        ("{PLAIN-TRUNC}3-abc", "{PLAIN-TRUNC}4-abcd", False),
        ("{PLAIN}one", "{CLEARTEXT}another", True),
    ],
)
def test_hashes_share_work_where_salt_and_cost_are_the_same(first, second, equal):
    groups = [parse(stored, "CRYPT", USER).group for stored in (first, second)]
    assert (groups[0] == groups[1]) is equal
    assert (hash(groups[0]) == hash(groups[1])) is equal


def test_digest_md5_depends_on_the_user():
    stored = ONE_OF_EACH["DIGEST-MD5"][0]
    assert fits(stored, "secret")
    assert not fits(stored, "secret", user="jane.user@example.com")
    assert parse(stored, "PLAIN", "a@example.com").group != parse(stored, "PLAIN", "b@example.com").group


@pytest.mark.parametrize(
    "scheme, weak",
    [
        ("PLAIN", "plain"), ("PLAIN-TRUNC", "plain"), ("DES-CRYPT", "des"), ("BSDI-CRYPT", "des"), ("MD5-CRYPT", "md5"),
        ("SMD5", "md5"), ("DIGEST-MD5", "md5"), ("PLAIN-MD5", "unsalted"), ("PLAIN-MD4", "unsalted"),
        ("NTLM", "unsalted"), ("SHA1", "unsalted"), ("SHA512", "unsalted"), ("CRAM-MD5", "unsalted"), ("SSHA", None),
        ("SHA512-CRYPT", None), ("BLF-CRYPT", None), ("YESCRYPT", None), ("PBKDF2", None), ("SCRAM-SHA-256", None),
        ("ARGON2ID", None),
    ],
)  # fmt: skip
def test_weak_schemes_are_named(scheme, weak):
    found = parse(*ONE_OF_EACH[scheme], USER)
    assert (found.weak, found.plain, found.empty) == (weak, weak == "plain", False)


@pytest.mark.parametrize(
    "scheme, speed",
    [("PLAIN", "plain"), ("PLAIN-TRUNC", "plain"), ("SSHA", "fast"), ("CRAM-MD5", "fast"), ("NTLM", "fast")]
    + [(scheme, "slow") for scheme in ("MD5-CRYPT", "DES-CRYPT", "PBKDF2", "SCRAM-SHA-1", "ARGON2ID", "OTP", "PHPASS")],
)
def test_speed(scheme, speed):
    assert speed_class(parse(*ONE_OF_EACH[scheme], USER).group) == speed


@pytest.mark.parametrize(
    "stored", ["!", "!!", "*", "x", "NP", "*LK*", "!$6$salt$" + "a" * 86, "*0", "{CRYPT}!", "{CRYPT}"]
)
@pytest.mark.parametrize("scheme", ["CRYPT", "sha512-crypt", "MD5-CRYPT", "MD5"])
def test_locked(stored, scheme):
    with pytest.raises(Unreadable) as caught:
        parse(stored, scheme, USER)
    assert (caught.value.reason, caught.value.locked) == (Unreadable.LOCKED, True)


@pytest.mark.parametrize("stored", ["!", "x", "*secret*"])
def test_what_means_locked_elsewhere_may_be_a_password(stored):
    assert parse(stored, "PLAIN", USER).digest == stored.encode()


@pytest.mark.parametrize(
    "stored, scheme",
    [
        ("", "CRYPT"), ("", "SSHA"), ("", "PLAIN"), ("{PLAIN}", "CRYPT"), ("{PLAIN-TRUNC}0-", "CRYPT"),
        ("{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "CRYPT"), ("{PLAIN-MD5}d41d8cd98f00b204e9800998ecf8427e", "CRYPT"),
        ("31d6cfe0d16ae931b73c59d7e0c089c0", "NTLM"),
    ],
)  # fmt: skip
def test_empty(stored, scheme):
    assert parse(stored, scheme, USER).empty


@pytest.mark.parametrize(
    "stored, scheme, expected",
    [
        (sha512_crypt(1000), "PLAIN", "SHA512-CRYPT"),
        (bcrypt("04"), "SHA1", "BLF-CRYPT"),
        ("$6$salt$short", "PLAIN", "PLAIN"),
        ("$ecret$", "PLAIN", "PLAIN"),
        ("{curly}", "PLAIN", "PLAIN"),
        ("{SHA.rot13}0123", "CLEARTEXT", "PLAIN"),
        ("a" * 13, "PLAIN", "PLAIN"),
        ("a" * 13, "CRYPT", "DES-CRYPT"),
        ("0" * 32, "CRYPT", "PLAIN-MD5"),
        ("0" * 32, "PLAIN", "PLAIN"),
        ("0" * 40, "sha1.hex", "SHA1"),
        ("{sha512-crypt.B64}JDEkd215cmdSdVYka0ltRjYuOU1BRlFOSGUyM2txNXZJLw==", "PLAIN", "MD5-CRYPT"),
    ],
)
def test_scheme_of_what_names_none_or_another(stored, scheme, expected):
    assert parse(stored, scheme, USER).scheme == expected


def test_argon2_without_a_version_is_the_first():
    stored = "$argon2id$m=64,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43
    assert parse(stored, "CRYPT", USER).group == ("ARGON2", "id", 16, 64, 1, 1, b"saltsalt", 32)
    assert parse(stored.replace("m=", "v=16$m="), "CRYPT", USER).group[2] == 16


@pytest.mark.parametrize(
    "stored",
    [
        "{SHA}", "{SHA}A", "{SHA}====", "{SHA}" + "A" * 28, "{SSHA}" + "A" * 26, "{SHA.hex}" + "0" * 39, "{SHA.hex}zz",
        "{PBKDF2}$1$salt$0$" + "0" * 40, "{PBKDF2}$2$salt$1$" + "0" * 40, "{SCRAM-SHA-1}4096,a,b",
        "{SCRAM-SHA-1}x,a,b,c", "{SCRAM-SHA-1}0,c2FsdA==,NA/OqmF4hhrsrB9KR7po+dliTGM=,x",
        "{BLF-CRYPT}$2y$03$" + "a" * 53,
        "{PLAIN-TRUNC}secret", "{MD5-CRYPT}secret", "{OTP}sha1 1 seed", "{ARGON2ID}$argon2id$secret",
        argon2("m=7,t=1,p=1"), argon2("m=64,t=0,p=1"), argon2("m=64,t=1,p=0"), "$6$salt$" + "a" * 85, "$1$s$", "$9$x$y",
        "$y$$salt$" + "a" * 43, "$y$jz$salt$" + "a" * 43, "$y$jzz$salt$" + "a" * 43, "_short", "password", "$argon2",
        "$P$B", "$P$B" + "a" * 30, "$3$$xyz", "$apr1$salt$short", "$pbkdf2-sha512$1$$", "{RPA}00", "{}x", "{",
        "secret\0more", "x" * 5000, "\ud800", "$7$C...../....salt$" + "a" * 43, "$7$C6.........salt$" + "a" * 43,
    ],
)  # fmt: skip
def test_what_is_malformed_is_unreadable_and_not_shown(stored):
    with pytest.raises(Unreadable) as caught:
        parse(stored, "CRYPT", USER)
    assert not caught.value.locked
    assert_tells_nothing(caught.value, stored)


@pytest.mark.parametrize("scheme", ["", "ROT13", "SHA.rot13", "PLAIN.", "ß"])
def test_unknown_scheme_of_the_store(scheme):
    with pytest.raises(Unreadable, match="store's scheme"):
        parse("secret", scheme, USER)


REASONS = (
    "locked|malformed hash|not UTF-8|longer than any hash|has a NUL in it|the store's scheme is unknown|unknown scheme"
    r"|not a hash of crypt\(3\), or of an unknown kind"
)


def assert_tells_nothing(error, stored):
    assert re.match(r"(?:{0})\Z".format(REASONS), error.reason), "tells {0!r} of {1!r}".format(error.reason, stored)
    assert (str(error), error.args, error.__context__) == (error.reason, (error.reason,), None)


PIECES = st.sampled_from(
    [stored for stored, _scheme in ONE_OF_EACH.values()]
    + [
        "{",
        "}",
        "$",
        ",",
        "=",
        "\0",
        "rounds=",
        "999999999",
        ".b64",
        ".hex",
        "$6$",
        "$y$",
        "$7$",
        "$argon2id$",
        "{SHA}",
    ]
)
STORED = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=4).map("".join),
    st.tuples(PIECES, st.integers(0, 120), st.integers(0, 120), st.text(max_size=3)).map(
        lambda parts: parts[0][: parts[1]] + parts[3] + parts[0][parts[2] :]
    ),
)
SCHEMES = st.one_of(st.sampled_from(sorted(schemes._SCHEMES)), st.sampled_from(["CRYPT", "PLAIN"]), st.text(max_size=6))


@given(STORED, SCHEMES, st.text(max_size=10))
@example("\udcff", "PLAIN", "\udcff")
@example("{DIGEST-MD5}" + "0" * 32, "PLAIN", "\ud800")
def test_whatever_is_stored_is_read_or_unreadable(stored, scheme, user):
    try:
        found = parse(stored, scheme, user)
    except Unreadable as error:
        assert_tells_nothing(error, stored)
        return
    hash(found.group)
    hash(found.digest)
    assert isinstance(found.digest, bytes)
    assert found.weak in (None, "plain", "unsalted", "des", "md5")
    for shown in (repr(found), str(found), "{0}".format(found), repr(found.group), str(found.group), repr([found])):
        assert len(shown) < 40


@given(
    STORED.filter(lambda stored: "rounds" not in stored),
    st.sampled_from(["CRYPT", "PLAIN", "SSHA"]),
    st.binary(max_size=20),
)
def test_whatever_is_read_can_be_computed(stored, scheme, candidate):
    try:
        found = parse(stored, scheme, USER)
    except Unreadable:
        return
    if speed_class(found.group) == "slow":
        return
    computed = computer(found.group)(candidate)
    assert matcher(found.group, [computed])([candidate]) == [(0, computed)]
    if found.plain:
        assert matcher(found.group, [found.digest])([found.digest]) == [(0, found.digest)]


@pytest.mark.parametrize("scheme", sorted(ONE_OF_EACH))
def test_nothing_shows_what_it_holds(scheme):
    found = parse(*ONE_OF_EACH[scheme], USER)
    assert repr(found) == str(found) == "Hash({0})".format(found.scheme)
    assert repr(found.group) == str(found.group) == "Group({0})".format(found.group[0])
