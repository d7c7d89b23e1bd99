import base64
import email.header
import json
import os
import quopri
import time

import pytest
from harden_mail.queue.headers import subject_of
from harden_mail.queue.subject import LONGEST, decode_subject
from harden_mail.text import printable
from hypothesis import given
from hypothesis import strategies as st

RECORDED = os.path.join(os.path.dirname(__file__), "..", "data", "qmail-queue", "expected.json")


def b_word(charset, text, codec=None):
    data = text if isinstance(text, bytes) else text.encode(codec or charset)
    return b"=?" + charset.encode() + b"?B?" + base64.b64encode(data) + b"?="


def q_word(charset, text, codec=None):
    data = text if isinstance(text, bytes) else text.encode(codec or charset)
    return b"=?" + charset.encode() + b"?Q?" + quopri.encodestring(data, header=True).replace(b"=\n", b"") + b"?="


NOTICE = "【重要】ご注文のお知らせ"
MAIL = "メールアドレス確認 No.123"


@pytest.mark.parametrize(
    "charset, codec, text",
    [
        ("UTF-8", "utf-8", "【重要】お支払いのご確認 😀"),
        ("utf-8*ja", "utf-8", NOTICE),
        ("ISO-2022-JP", "iso2022_jp", NOTICE),
        ("iso-2022-jp", "iso2022_jp", MAIL),
        ("ISO-2022-JP-1", "iso2022_jp_1", "丂丄" + NOTICE),
        ("ISO-2022-JP-2", "iso2022_jp_2", "한글 " + NOTICE),
        ("ISO-2022-JP-3", "iso2022_jp_3", "俠客 " + NOTICE),
        ("ISO-2022-JP-MS", "iso2022_jp", MAIL),
        ("CP50221", "iso2022_jp_ext", "ｱｲｳ半角"),
        ("Shift_JIS", "shift_jis", NOTICE),
        ("x-sjis", "cp932", "①②㈱髙橋様﨑～"),
        ("Windows-31J", "cp932", "ｶﾀｶﾅ㍻"),
        ("EUC-JP", "euc_jp", NOTICE),
        ("x-euc-jp", "euc_jp", "ｱｲｳ丂" + MAIL),
        ("gb2312", "gb18030", "關於发票问题 朱镕基"),
        ("GB18030", "gb18030", "㐀增值税发票"),
        ("GBK", "gbk", "您好"),
        ("Big5", "big5", "您的訂單已確認"),
        ("big5", "big5hkscs", "佢哋嘅嘢"),
        ("hz-gb-2312", "hz", "您好"),
        ("ks_c_5601-1987", "cp949", "주문 확인 똠방각하"),
        ("ISO-2022-KR", "iso2022_kr", "주문 확인"),
        ("iso-8859-1", "cp1252", "Größe – “50 €”"),
        ("ISO-8859-2", "iso8859-2", "Zażółć gęślą jaźń"),
        ("ISO-8859-15", "iso8859-15", "10 €"),
        ("windows-1251", "cp1251", "Счёт на оплату"),
        ("KOI8-R", "koi8-r", "Срочно"),
        ("TIS-620", "cp874", "สวัสดี"),
        ("us-ascii*en", "ascii", "order account"),
        ("utf-7", "utf-7", NOTICE),
    ],
)
@pytest.mark.parametrize("word", [b_word, q_word])
def test_character_sets(word, charset, codec, text):
    assert decode_subject(b" " + word(charset, text, codec)) == text


# JIS X 0208 has no ① and ㈱, Windows has: NEC's row 13 and rows 89 to 92; the bytes are as Outlook sends them.
@pytest.mark.parametrize(
    "raw, text",
    [
        (b"=?ISO-2022-JP?B?GyRCLSEtaj5jMzIbKEI1NDYbKEkxMjMbKEI=?=", "①㈱障害546ｱｲｳ"),
        (b_word("ISO-2022-JP", b"\x1b$B|b6b\x1b(B"), "髙金"),
        (b_word("cp50222", b"a\x0e\x31\x32\x0fb"), "aｱｲb"),
        (b_word("EUC-JP", b"\xad\xa1\xfc\xe2\x8e\xb1\x8f\xb0\xa1\xc6\xfcA"), "①髙ｱ丂日A"),
        (b_word("ISO-2022-JP", b"\x1b$B\x2d\x21\x1b$(D\x30\x21\x1b$A\x56\x50\x1b$(C\x47\x51\x1b(B"), "①丂中한"),
        (b_word("ISO-2022-JP", b"\x1b$B\x2d\x21\x1b$(O\x2e\x21\x1b(J~"), "①俱~"),
    ],
)
def test_windows_characters_in_japanese_sets(raw, text):
    assert decode_subject(raw) == text


@pytest.mark.parametrize(
    "raw, text",
    [
        (b"", ""),
        (b"   ", ""),
        (b" plain text \r", "plain text"),
        (b" a\r\n b\n\tc", "a b c"),
        (b" tab\tin it", "tab in it"),
        (b"\r\n =?UTF-8?B?44GT?=\r\n =?UTF-8?B?44KT?=\r", "こん"),
        (b"Re: =?UTF-8?B?44GT?= \n =?UTF-8?Q?_x?= tail", "Re: こ x tail"),
        (b"=?utf-8?B?44GT?= =?iso-8859-1?Q?=E9?=  =?UTF-8?b?44KT?=", "こéん"),
        (b"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
        (b"[list] Re:=?utf-8?B?44GT?=(1)", "[list] Re:こ(1)"),
        # RFC 2047, 8
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=\n    =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?utf-8?Q??=", ""),
        (b"=?utf-8?Q??= =?utf-8?Q?a?=", "a"),
        # Not words
        (b"a =? b ?= c", "a =? b ?= c"),
        (b"=?utf-8?X?44GT?=", "=?utf-8?X?44GT?="),
        (b"why=?", "why=?"),
    ],
)
def test_words_and_folding(raw, text):
    assert decode_subject(raw) == text


@pytest.mark.parametrize(
    "raw, text",
    [
        # Split within a character, against RFC 2047, 5
        (b"=?UTF-8?B?44GT4w==?=\n =?UTF-8?B?gpM=?=", "こん"),
        (b"=?UTF-8?Q?=E3=81=93=E3?= =?utf-8?B?gpM=?=", "こん"),
        (b"=?Shift_JIS?B?grGC?= =?Shift_JIS?B?8YLJ?=", "こんに"),
        (b"=?ISO-2022-JP?B?GyRCPmMz?= =?ISO-2022-JP?B?MhsoQg==?=", "障害"),
        # Ends forgotten or cut off
        (b"=?UTF-8?B?44GT44KT", "こん"),
        (b"=?UTF-8?B?44GT44KT reminder", "こん reminder"),
        (b"=?UTF-8?B?44GT44K", "こ\ufffd"),
        (b"=?UTF-8?Q?a=E3=81=93 b", "aこ b"),
        (b"=?UTF-8?B?44GT =?UTF-8?B?44KT?=", "こん"),
        (b"=?UTF-8?B?", ""),
        # Base64
        (b"=?UTF-8?B?44GT44KT44Gr4?= reminder", "こんに reminder"),
        (b"=?UTF-8?B?YQ?=", "a"),
        (b"=?UTF-8?B?YQ==YQ==YWI=?=", "aaab"),
        (b"=?UTF-8?B?44GT*44KT!?=", "こん"),
        (b"=?UTF-8?B?44GT\n 44KT?=", "こん"),
        (b"=?UTF-8?B?====?=x", "x"),
        # Quoted-printable
        (b"=?utf-8?Q?caf=C3=A9 au lait?=", "café au lait"),
        (b"=?utf-8?Q?what? =C3=A9?=", "what? é"),
        (b"=?utf-8?Q?=XX=4?=", "=XX=4"),
        # Labels
        (b"=?x-nonesuch?B?b3JkZXI=?=", "order"),
        (b"=?x-nonesuch?B?44GT44KT?=", "こん"),
        (b"=?us-ascii?B?44GT44KT?=", "こん"),
        (b"=?Shift_JIS?B?4p2E77iP?=", "❄\ufe0f"),
        (b"=?ISO-2022-JP?B?44GT44KT?=", "こん"),
        (b"=?utf-8?B?/w==?=", "\ufffd"),
        (b"=?unicode_escape?B?XHUwMDQx?= =?idna?Q?xn--a?= =?rot13?Q?a?=", "\\u0041xn--aa"),
    ],
)
def test_broken_words(raw, text):
    assert decode_subject(raw) == text


@pytest.mark.parametrize(
    "raw, text",
    [
        ("確認サーバー930".encode(), "確認サーバー930"),
        ("確認サーバー".encode()[:-1], "確認サーバ\ufffd"),
        ("ご注文資料726".encode("cp932"), "ご注文資料726"),
        ("アイテム".encode("cp932"), "アイテム"),
        ("①髙橋様へ".encode("cp932"), "①髙橋様へ"),
        ("重要更新827".encode("euc_jp"), "重要更新827"),
        ("ご注文のお知らせ".encode("euc_jp"), "ご注文のお知らせ"),
        ("重要更新827".encode("iso2022_jp"), "重要更新827"),
        (b"\x1b$B=EMW-!\x1b(B827", "重要①827"),
        (b"\x1b$B=EMW", "重要"),
        ("您好，您的发票".encode("gb18030"), "您好，您的发票"),
        ("Größe für señor, naïve été".encode("latin-1"), "Größe für señor, naïve été"),
        ("It’s “free”".encode("cp1252"), "It’s “free”"),
        (b"Re: \xe3\x81\x93 =?UTF-8?B?44KT?=", "Re: こ ん"),
        (b"\xff\xfe\x81", None),
    ],
)
def test_raw_bytes(raw, text):
    decoded = decode_subject(raw)
    assert isinstance(decoded, str)
    if text is not None:
        assert decoded == text


def test_only_the_first_16_kib_count():
    assert decode_subject(b"a" * (LONGEST + 1)) == "a" * LONGEST
    assert decode_subject(b"a" * LONGEST + b"\xe9") == "a" * LONGEST


@pytest.mark.parametrize(
    "pattern",
    [
        b"=?x?q?",
        b"=?",
        b"=?utf-8?B?AAAA ",
        b"=?utf-8?B?44GT?= ",
        b"?=",
        b"\r",
        b"\n ",
        b"\x1b$B",
        b"\x1b$B-!",
        b"\xe9a",
        b"\xa4\xa2",
        b"\x82\xa0",
        b"\x8f\xa1",
        b"=?gb2312?q?=81=30",
        b"=?hz?q?~{",
        b"=?utf-7?q?+A",
        b"A=",
        b"=?iso-2022-kr?q?\x1b$)C\x0e\x0f",
    ],
)
def test_hostile_values_take_no_time(pattern):
    for raw in (pattern * 60000, pattern * 60000 + b"\x80", b"=?iso-2022-jp?q?\x1b$B" + pattern * 60000):
        start = time.process_time()
        text = decode_subject(raw)
        assert time.process_time() - start < 0.3
        printable(text).encode("utf-8")


@given(st.binary(max_size=300))
def test_never_raises_on_bytes(raw):
    printable(decode_subject(raw)).encode("utf-8")


CHARSETS = ["utf-8", "ISO-2022-JP", "shift_jis", "euc-jp", "gb2312", "big5", "iso-8859-1", "x", "utf-16", "utf-7", "hz"]
PIECES = st.one_of(
    st.binary(max_size=20),
    st.builds(b_word, st.sampled_from(CHARSETS), st.binary(max_size=20)),
    st.builds(q_word, st.sampled_from(CHARSETS), st.binary(max_size=20)),
    st.sampled_from([b" ", b"\r\n ", b"?=", b"=?", b"=?utf-8?B?", b"\x1b$B", b"\x1b(B", b"\x0e", b"="]),
)


@given(st.lists(PIECES, max_size=8))
def test_never_raises_on_words(pieces):
    printable(decode_subject(b"".join(pieces))).encode("utf-8")


JAPANESE = st.text("お知らせ重要確認ご注文メール障害テスト、。ー ABCabc012", min_size=1, max_size=40).map(str.strip)


@given(JAPANESE, st.sampled_from(["utf-8", "iso-2022-jp", "shift_jis", "euc-jp"]))
def test_reads_what_email_header_writes(text, charset):
    raw = email.header.Header(text, charset=charset, header_name="Subject").encode().encode("ascii", "surrogateescape")
    assert decode_subject(raw) == text


@given(JAPANESE, st.sampled_from(["utf-8", "iso-2022-jp", "shift_jis", "euc-jp"]))
def test_agrees_with_email_header_on_good_words(text, charset):
    raw = b"Re: " + b_word(charset, text) + b"\n " + q_word(charset, text) + b" end"
    by_library = str(email.header.make_header(email.header.decode_header(raw.decode("ascii").replace("\n", ""))))
    assert decode_subject(raw) == by_library


@given(JAPANESE, st.integers(1, 30), st.sampled_from(["utf-8", "shift_jis", "euc-jp", "iso-2022-jp", "gb18030"]))
def test_splits_anywhere_are_healed(text, length, charset):
    data = text.encode(charset)
    words = [b_word(charset, data[start : start + length]) for start in range(0, len(data), length)]
    assert decode_subject(b"\r\n ".join(words)) == text


def test_subjects_recorded_from_a_real_queue():
    with open(RECORDED, encoding="utf-8") as handle:
        messages = json.load(handle)["messages"]
    checked = 0
    for message in messages:
        if "subject_raw_b64" not in message:
            continue
        raw = subject_of(base64.b64decode(message["subject_raw_b64"]))
        subject = None if raw is None else decode_subject(raw)
        if message["subject_known"]:
            assert subject == message["subject"], message["kind"]
            checked += 1
        else:
            printable(subject).encode("utf-8")
    assert checked > 30
