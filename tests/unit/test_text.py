import json
import sys
import time
import unicodedata

import pytest
from harden_mail.text import LONGEST_FOLDED, folded, printable
from hypothesis import example, given
from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(), max_size=400)

# What steers a terminal or hides: none of it may be in anything printable.
STEERS = set(
    list(range(0x20))
    + list(range(0x7F, 0xA0))
    + [0xAD, 0x34F, 0x61C, 0x180E, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029, 0x3164, 0xFEFF]
    + list(range(0x202A, 0x202F))
    + list(range(0x2060, 0x2070))
    + list(range(0xD800, 0xE000))
    + list(range(0xE0000, 0xE0080))
)


@pytest.mark.parametrize(
    "text, shown",
    [
        (None, None),
        ("", ""),
        ("Re: account 12", "Re: account 12"),
        ("お知らせ　重要", "お知らせ　重要"),
        ("Größe — 54 €", "Größe — 54 €"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\r\nX-Evil: 1\tb", "a\\x0d\\x0aX-Evil: 1\\x09b"),
        ("\x07bell\x00nul\x7fdel\x9bcsi", "\\x07bell\\x00nul\\x7fdel\\x9bcsi"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("\u2066isolate\u2069", "\\u2066isolate\\u2069"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("free\u200bmoney\ufeff", "free\\u200bmoney\\ufeff"),
        ("\u3164", "\\u3164"),
        ("\u2800", "\\u2800"),
        ("half a pair \ud83d", "half a pair \\ud83d"),
        ("private \ue000, not yet assigned \U0010ffff", "private \\ue000, not yet assigned \\U0010ffff"),
        ("tag \U000e0041", "tag \\U000e0041"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


def test_printable_is_cut_to_the_limit():
    assert printable("a" * 300) == "a" * 300
    assert printable("a" * 301) == "a" * 299 + "…"
    assert printable("abcdef", limit=4) == "abc…"


def test_an_escape_is_not_cut_in_half():
    assert printable("abc\x1b", limit=7) == "abc\\x1b"
    assert printable("abcd\x1b", limit=7) == "abcd…"


@given(ANY_TEXT, st.integers(1, 50))
@example("\x1b" * 50, 1)
def test_anything_printable_is_harmless(text, limit):
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert not STEERS & set(map(ord, shown))
    assert json.loads(json.dumps(shown, ensure_ascii=False).encode("utf-8").decode("utf-8")) == shown


def test_every_character_that_steers_is_escaped():
    for code in STEERS:
        assert printable(chr(code)).startswith("\\"), hex(code)


@pytest.mark.parametrize(
    "one, other",
    [
        ("ＡＢＣ　１２３", "abc 123"),
        ("ｱｲｳｶﾞ", "アイウガ"),
        ("㈱障害", "(株)障害"),
        ("Straße", "STRASSE"),
        ("か\u3099", "が"),
        ("v\u200bi\u00ada\u2060g\ufeffra", "viagra"),
        ("v\x00iagra", "Viagra"),
        ("  a \t\n b\u3000c ", "A B C"),
        ("10〜20", "10～20"),
        ("5−3", "5－3"),
        ("❤\ufe0f", "❤"),
        ("Ⅷ①", "viii1"),
    ],
)
def test_what_is_the_same_when_folded(one, other):
    assert folded(one) == folded(other)


def test_what_is_folded_has_a_known_form():
    assert folded("  Ｒｅ：　お知らせ\t㈱  ") == "re: お知らせ (株)"


def test_different_words_stay_different():
    assert folded("はは") != folded("ぱぱ")
    assert folded("ハハ") != folded("はは")


@given(ANY_TEXT)
@example("\u0345\u0300\u1fb3")
@example("a" * LONGEST_FOLDED + "b")
@example("\ufdfa" * LONGEST_FOLDED)
@example("x" * (LONGEST_FOLDED - 1) + " y")
def test_folding_twice_changes_nothing(text):
    once = folded(text)
    assert folded(once) == once
    assert "  " not in once and once == once.strip()


def test_folding_any_character_twice_changes_nothing():
    for code in range(sys.maxunicode + 1):
        # Those without a meaning, most of all, are folded alike.
        if code < 0x3000 or unicodedata.category(chr(code)) not in ("Cn", "Co"):
            once = folded("a" + chr(code))
            assert folded(once) == once, hex(code)


@pytest.mark.parametrize(
    "text",
    ["a" * 1000000, "\u0315\u0300" * 500000, "\ufdfa" * 1000000, "\x1b" * 1000000, "障" * 1000000, " \u200b" * 500000],
)
def test_a_megabyte_takes_no_time(text):
    start = time.process_time()
    folded(text)
    printable(text)
    assert time.process_time() - start < 0.5


def test_invisible_characters_are_named_as_unicode_has_them():
    """Whatever this Python's Unicode calls a format character is not seen in a folded text's letters."""
    hidden = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) == "Cf" and unicodedata.bidirectional(chr(code)) in ("BN", "LRE", "RLO")
    ]
    assert len(hidden) > 20
    # Musical and Egyptian formatting is seen as a symbol with its text.
    visible = set(map(chr, range(0x13430, 0x13460)))
    assert [hex(ord(character)) for character in hidden if character not in visible and folded(character)] == []
