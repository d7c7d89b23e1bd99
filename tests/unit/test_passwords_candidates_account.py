"""Guesses from one account: what is in them, their order, and odd names."""

import datetime
import itertools

import pytest
from harden_mail.passwords.candidates import KINDS, MOST_OWN, QUOTAS, derived, may_be_derived
from harden_mail.passwords.candidates.romaji import kunrei, romaji, short, with_h
from hypothesis import given, settings
from hypothesis import strategies as st

TODAY = datetime.date(2026, 11, 26)


def guesses(name, hints=(), most=None, today=TODAY):
    return [word.decode() for word, _ in itertools.islice(derived(name, hints, today), most)]


def test_the_likeliest_come_first():
    first = guesses("info@example.com", most=50)
    assert first[0] == "info"
    assert {"info1", "info123", "info1234", "Info", "example", "example1", "example123", "info@example.com"} <= set(
        first
    )
    assert "infoinfo" in guesses("info@example.com", most=300)


@pytest.mark.parametrize(
    "word",
    [
        "yamada2026", "yamada2019", "yamada@2025", "Yamada123!", "yamadar8", "yamadah30",
        "yamada1975", "yamada75", "adamay", "YAMADA", "y@m@d@", "Y@m@d@1", "yamada0000", "yamada4649", "yamada!",
        "yamada#", "yamada.", "taroyamada", "tyamada", "taroy", "yamadataro", "taro.yamada", "taro.yamada01",
        "sakura", "kensetsu1", "sakurakensetsu", "sakura-kensetsu", "sakura2024", "sk", "Sakura-kensetsu123",
        "taro.yamada@sakura-kensetsu.co.jp", "taro.yamada@sakura-kensetsu", "123yamada", "myyamada", "taro7",
    ],
)  # fmt: skip
def test_what_is_known_of_an_account_is_in_them(word):
    assert (word in guesses("taro.yamada@sakura-kensetsu.co.jp")) == (len(word) > 2)


@pytest.mark.parametrize("word", ["yamada0512", "yamada1231", "Yamada0512", "yamadas50", "yamada63", "sakura0831"])
def test_birthdays_behind_a_name(word):
    assert word in guesses("yamada@sakura.co.jp")


def test_whether_a_password_may_be_among_them_is_told_without_them():
    name, hints = "taro.yamada@sakura-kensetsu.co.jp", ("Midori",)
    for word, _ in itertools.islice(derived(name, hints, TODAY), 0, None, 10):
        assert may_be_derived(name, hints, word, TODAY)
    for other in (b"", b"123456", b"Xq7!kkw0", b"takahashi1"):
        assert not may_be_derived(name, hints, other, TODAY)


def test_hints():
    found = guesses(
        "k01@example.com", ("\u30e4\u30de\u30c0 \u3057\u3093\u3058", "Midori Trading Co., Ltd.", "\u5c71\u7530")
    )
    assert {"yamada", "shinji123", "shinjiyamada", "yamadashinji", "sinzi1", "midori2024", "Trading1"} <= set(found)
    assert not {"co", "ltd", "Ltd1"} & set(found)
    assert "yuki" in guesses("x", ("\u3086\u3046\u304d",))


def test_kinds_tell_what_a_guess_is_made_of():
    kinds = dict(derived("info@example.com", ("Midori",), TODAY))
    assert kinds[b"info"] == kinds[b"info123"] == kinds[b"ofni"] == kinds[b"info@example.com"] == "account"
    assert kinds[b"example1"] == kinds[b"infoexample"] == "domain"
    assert kinds[b"midori1"] == "name"
    assert set(kinds.values()) <= set(KINDS)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a@example.co.jp", "example"),
        ("a@mail.example.com", "example"),
        ("a@sub.example.or.jp", "example"),
        ("a@EXAMPLE.jp", "example"),
        ("a@localhost", "localhost"),
        ("a@com.jp", "com"),
    ],
)
def test_the_label_of_a_domain(name, label):
    assert label + "123" in guesses(name)


def test_they_are_bounded_and_enough_for_every_round():
    assert len(guesses("taro.yamada@sakura-kensetsu.co.jp", ("Yamada Taro",))) == MOST_OWN
    assert QUOTAS[-1][1] <= MOST_OWN
    assert all(own < limit for limit, own in QUOTAS)
    assert list(QUOTAS) == sorted(QUOTAS) and [limit for limit, _ in QUOTAS[:3]] == [100, 1000, 10000]


def test_only_the_year_of_the_day_counts():
    name = "info@example.com"
    assert guesses(name) == guesses(name, today=datetime.date(2026, 1, 1))
    assert guesses(name) != guesses(name, today=datetime.date(2027, 1, 1))
    assert "info2027" in guesses(name, most=400, today=datetime.date(2027, 1, 1))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20), st.lists(st.text(max_size=12), max_size=3))
def test_any_name(name, hints):
    words = [word for word, _ in derived(name, hints, TODAY)]
    assert len(words) == len(set(words))
    assert all(isinstance(word, bytes) and word for word in words)
    local = name.partition("@")[0]
    if local:
        assert words[0] == local.encode("utf-8", "surrogateescape")


def test_a_name_with_bytes_that_are_no_utf_8():
    name = b"caf\xe9@example.com".decode("utf-8", "surrogateescape")
    assert next(derived(name, (), TODAY))[0] == b"caf\xe9"


@pytest.mark.parametrize(
    ("kana", "latin"),
    [
        ("\u3084\u307e\u3060", "yamada"),
        ("\u30b5\u30af\u30e9", "sakura"),
        ("\u3057\u3087\u3046\u3058\u3085", "shouju"),
        ("\u3055\u3063\u307d\u308d", "sapporo"),
        ("\u307e\u3063\u3061\u3083", "matcha"),
        ("\u30d5\u30a1\u30df\u30ea\u30fc", "famiri"),
        ("\uff94\uff8f\uff80\uff9e", "yamada"),
        ("\u3084\u307e\u3060 \u305f\u308d\u3046", "yamada tarou"),
        ("\u5c71\u7530", None),
        ("", None),
        ("\u3063", None),
    ],
)
def test_kana(kana, latin):
    assert romaji(kana) == latin


def test_other_spellings():
    assert [short(b"satou"), short(b"yuuki"), short(b"oono")] == [b"sato", b"yuki", b"ono"]
    assert [with_h(b"satou"), with_h(b"yuki")] == [b"satoh", b"yuki"]
    assert [kunrei(b"shinji"), kunrei(b"chitsuru"), kunrei(b"fujisho")] == [b"sinzi", b"tituru", b"huzisyo"]
