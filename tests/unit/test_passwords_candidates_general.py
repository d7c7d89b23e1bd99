"""Guesses for all accounts: lists of every kind, their order, and files that are odd or endless."""

import datetime
import hashlib
import itertools
import os
import tracemalloc

import pytest
from harden_mail.passwords.candidates import (
    KINDS,
    derived,
    fingerprint,
    for_all,
    general,
    general_batches,
    lists,
    walks,
)
from harden_mail.passwords.candidates.dates import AllDigits, birthdays, digit_patterns, era_years
from hypothesis import given, settings
from hypothesis import strategies as st

TODAY = datetime.date(2026, 11, 26)


@pytest.fixture
def lists_dir(tmp_path):
    directory = tmp_path / "lists"
    directory.mkdir()
    (directory / "common.txt").write_text(
        "#!comment: a source\n" + "".join("common{0}\n".format(letter) for letter in "abcdefgh")
    )
    (directory / "japanese.txt").write_text("satou\nshimizu\nyuuki\n")
    (directory / "english.txt").write_text("house\ngarden\n")
    (directory / "own-company.txt").write_text("kaizen\nmonozukuri\n")
    (directory / "CREDITS").write_text("nobody\n")
    return directory


def first(lists_dir, most, today=TODAY):
    return [word.decode() for word, _ in itertools.islice(general(lists_dir and str(lists_dir), today), most)]


def test_without_lists_there_is_what_is_made_here(tmp_path):
    for missing in (None, tmp_path / "none"):
        found = dict(itertools.islice(general(missing and str(missing), TODAY), 100000))
        assert {b"password", b"sakura", b"1qaz2wsx", b"asdfghjkl", b"000000", b"19750512", b"123123"} <= set(found)
        assert found[b"1qaz2wsx"] == "keyboard"
        assert found[b"19750512"] == "date"
        assert found[b"112233"] == "digits"
        assert found[b"sakura1"] == "japanese"


def test_every_list_and_rules_on_it(lists_dir):
    found = dict(itertools.islice(general(str(lists_dir), TODAY), 40000))
    for word, kind in (
        ("kaizen", "own-list"), ("Kaizen1", "own-list"), ("monozukuri2026", "own-list"), ("neziak", "own-list"),
        ("commona", "common"), ("commona123", "common"), ("Commona1", "common"), ("commonbcommonb", "common"),
        ("satou", "japanese"), ("sato", "japanese"), ("satoh", "japanese"), ("simizu1", "japanese"),
        ("yuki", "japanese"),
        ("house", "english"), ("garden1", "english"), ("h0use", "english"),
    ):  # fmt: skip
        assert found.get(word.encode()) == kind, word
    assert set(found.values()) <= set(KINDS)
    assert b"nobody" not in found
    assert b"#!comment: a source" not in found


def test_ones_own_short_list_and_the_head_of_the_common_one_come_first(lists_dir):
    assert {"kaizen", "monozukuri", "commona", "commonb"} <= set(first(lists_dir, 20))


def test_it_is_the_same_every_time_and_the_first_ones_are_none_twice(lists_dir):
    words = first(lists_dir, 60000)
    assert words == first(lists_dir, 60000)
    assert len(set(words)) == len(words)
    flat = [word for batch, _ in itertools.islice(general_batches(str(lists_dir), TODAY), 200) for word in batch]
    assert [word.decode() for word in flat] == words[: len(flat)]


def test_batches_are_small_at_first_and_never_large(lists_dir):
    sizes = [len(batch) for batch, _ in itertools.islice(general_batches(str(lists_dir), TODAY), 20000)]
    assert max(sizes[:50]) < 10
    assert 100 < max(sizes) <= for_all.LARGEST_BATCH


def test_a_stream_gives_a_third_more_each_time_and_no_word_that_a_form_leaves_alone():
    words = [b"abc%d" % number for number in range(30)] + [b"ABC"]
    stream = for_all._Stream("common", words, 0.1, (1, 1.0))
    takes = list(iter(stream.take, None))
    assert [len(take) for take in takes] == [1, 1, 1, 2, 2, 3, 4, 5, 7, 5]
    assert list(itertools.chain.from_iterable(takes)) == words
    stream = for_all._Stream("common", words, 0.1, (1, 1.0), form=bytes.upper, tail=b"!")
    changed = list(itertools.chain.from_iterable(iter(stream.take, None)))
    assert changed == [word.upper() + b"!" for word in words[:-1]]


def test_only_the_year_of_the_day_counts(lists_dir):
    words = first(lists_dir, 5000)
    assert words == first(lists_dir, 5000, datetime.date(2026, 1, 1))
    assert words != first(lists_dir, 5000, datetime.date(2027, 1, 1))


def test_a_long_list_is_read_in_passing(lists_dir, monkeypatch):
    monkeypatch.setattr(for_all, "_SHORT_LIST", 100)
    monkeypatch.setattr(for_all, "REMEMBERED", 0)
    peaks = []
    for lines in (1000, 20000):
        with (lists_dir / "own-long.txt").open("w") as handle:
            for number in range(lines):
                handle.write("w{0:06d}x\n".format(number))
        tracemalloc.start()
        found = 0
        for batch, kind in general_batches(str(lists_dir), TODAY):
            if kind == "own-list":
                found += sum(word[:1] == b"w" and word[-1:] == b"x" and len(word) == 8 for word in batch)
            if found == lines:
                break
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found == lines
    # Each word in a list of Python would weigh 50 bytes and more.
    assert peaks[1] < peaks[0] + 20 * 19000
    assert {"w000000x1", "W000000x"} <= set(first(lists_dir, 60000))


def test_common_words_with_digits_get_no_more_digits(lists_dir):
    (lists_dir / "common.txt").write_text("abc123\nletters\n")
    words = set(first(lists_dir, 30000))
    assert {"abc123", "letters1"} <= words
    assert "abc1231" not in words


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"word", b"word"),
        (b"word\r", b"word"),
        (b" two words ", b" two words "),
        (b"", None),
        (b"\r", None),
        (b"$HEX[70617373]", b"pass"),
        (b"$HEX[]", None),
        (b"$HEX[7]", b"$HEX[7]"),
        (b"$HEX[" + b"41" * 128 + b"]", b"A" * 128),
        (b"$HEX[" + b"41" * 129 + b"]", None),
        (b"#!comment: x", None),
        (b"\xef\xbb\xbfword", b"word"),
        (b"x" * 128, b"x" * 128),
        (b"x" * 129, None),
        (b"caf\xe9\x00", b"caf\xe9\x00"),
    ],
)
def test_lines(tmp_path, line, word):
    assert lists.word(line) == word
    path = tmp_path / "list.txt"
    path.write_bytes(line + b"\nlast")
    assert lists.words([str(path)], 10) == [word, b"last"][word is None :]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b"y" * 700, b"#!comment: z", b"", b"z\r"])), max_size=60
    ),
    st.integers(lists.SHORTEST_BLOCK, 3000),
)
def test_blocks_have_every_line_whatever_their_length(tmp_path_factory, some, length):
    path = str(tmp_path_factory.mktemp("lists") / "own.txt")
    text = b"\n".join(some)
    with open(path, "wb") as handle:
        handle.write(text)
    expected = [word for word in map(lists.word, text.split(b"\n")) if word is not None]
    found, where = [], 0
    while True:
        block, where = lists.block(path, where, length)
        if block is None:
            break
        found += block
    assert found == expected
    assert where == len(text)
    assert lists.words([path], 10**6) == list(dict.fromkeys(expected))


def test_a_line_without_end(tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes(b"first\n" + b"x" * 3000000 + b"\nlast\n")
    assert lists.words([str(path)], 10) == [b"first", b"last"]


def test_no_more_words_in_memory_than_said(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "MOST_WORDS_IN_MEMORY", 5)
    (tmp_path / "common.txt").write_text("aaaa\nbbbb\ncccc\n")
    (tmp_path / "english.txt").write_text("dddd\neeee\nffff\n")
    words = set(first(tmp_path, 20000))
    assert {"aaaa", "bbbb", "cccc", "dddd", "eeee"} <= words
    assert "ffff" not in words


def test_only_files_with_such_names_are_lists(tmp_path):
    for name in ("own.txt", "own-b.txt", "own-a.txt", "own-c.lst", "other.txt", ".own.txt"):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "own-dir.txt").mkdir()
    (tmp_path / "own-link.txt").symlink_to(tmp_path / "other.txt")
    names = [os.path.basename(path) for path in lists.files(str(tmp_path), "own")]
    assert names == ["own-a.txt", "own-b.txt", "own-link.txt", "own.txt"]
    assert lists.files(None, "own") == []


def test_fingerprint_tells_other_lists_rules_and_years(lists_dir, monkeypatch):
    before = fingerprint(str(lists_dir), TODAY)
    assert before == fingerprint(str(lists_dir), datetime.date(2026, 1, 1))
    assert len(before) == 32
    others = {fingerprint(None, TODAY), fingerprint(str(lists_dir), datetime.date(2027, 1, 1))}
    monkeypatch.setattr(lists, "RULES_VERSION", lists.RULES_VERSION + 1)
    others.add(fingerprint(str(lists_dir), TODAY))
    monkeypatch.undo()
    os.utime(str(lists_dir / "own-company.txt"), (1, 1))
    (lists_dir / "CREDITS").write_text("somebody\n")
    assert fingerprint(str(lists_dir), TODAY) == before
    (lists_dir / "own-company.txt").write_text("kaizen\nmonozukurI\n")
    others.add(fingerprint(str(lists_dir), TODAY))
    (lists_dir / "own-company.txt").rename(lists_dir / "own-other.txt")
    others.add(fingerprint(str(lists_dir), TODAY))
    assert before not in others
    assert len(others) == 5


def test_fingerprint_of_a_file_that_is_too_long_to_be_read(lists_dir, monkeypatch):
    monkeypatch.setattr(lists, "HASHED_BYTES", 1000)
    monkeypatch.setattr(lists, "END_BYTES", 10)
    path = lists_dir / "own-long.txt"
    path.write_bytes(b"x" * 500 + b"a" + b"x" * 500)
    os.utime(str(path), (1, 1))
    before = fingerprint(str(lists_dir), TODAY)
    assert fingerprint(str(lists_dir), TODAY) == before
    others = set()
    for place in (0, 1000):
        text = bytearray(b"x" * 500 + b"a" + b"x" * 500)
        text[place] = 0x7A
        path.write_bytes(bytes(text))
        os.utime(str(path), (1, 1))
        others.add(fingerprint(str(lists_dir), TODAY))
    path.write_bytes(b"x" * 500 + b"b" + b"x" * 500)
    os.utime(str(path), (2, 2))
    others.add(fingerprint(str(lists_dir), TODAY))
    assert before not in others
    assert len(others) == 3


@pytest.mark.parametrize(
    "walk",
    [
        "qwerty", "asdfghjkl", "zxcvbnm", "1qaz2wsx", "zaq12wsx", "1qazxsw2", "!QAZ2wsx", "1qaz@WSX", '1qaz"WSX',
        "1q2w3e4r", "q1w2e3r4", "123qwe", "qweasdzxc", "1234qwer", "asdf1234", "poiuytrewq", "mnbvcxz", "asdfasdf",
        "147258369", "159357", "7ujm8ik,", "1qaz1qaz", "qwe123", "qwertyuiop@[", "asdfghjkl;:]", "zxcvbnm,./\\",
        "1234567890-^", "zxcvbnm,./", "Qwerty", "qweqwe", "0p;/", "p@[", "1qaz!QAZ",
        "qwertyuiop[]", "qazwsxedc",
    ],
)  # fmt: skip
def test_keyboard_walks(walk):
    assert (walk.encode() in walks.walks()) == (len(walk) > 3)


def test_walks_are_some_thousand_each_once():
    found = walks.walks()
    assert len(found) == len(set(found))
    assert 1000 < len(found) < 10000
    assert {b"qwerty", b"1qaz2wsx", b"asdfghjk"} <= set(found[:60])


def test_birthdays():
    shares = list(birthdays(2026))
    words = {word for _, days in shares if days.year in (1975, 1989, 2020) for word in days[:]}
    assert {b"19750512", b"750512", b"12051975", b"120575", b"s500512", b"S500512", b"h010108", b"r020229"} <= words
    assert b"h320512" not in words
    assert 0.9 < sum(share for share, _ in shares) < 1.1
    assert era_years(2019) == [("r", "reiwa", 1), ("h", "heisei", 31)]
    assert era_years(1989) == [("h", "heisei", 1), ("s", "showa", 64)]
    assert era_years(1988) == [("s", "showa", 63)]
    assert era_years(1920) == []


def test_digits():
    patterns = digit_patterns()
    assert {b"000000", b"123456", b"654321", b"112233", b"123123", b"123321", b"121212", b"11112222"} <= set(patterns)
    assert len(patterns) == len(set(patterns))
    assert AllDigits(4)[8:10] == [b"0008", b"0009"]
    assert AllDigits(8, b"090")[:1] == [b"09000000000"]
    assert AllDigits(3)[998:5000] == [b"998", b"999"]
    assert len(AllDigits(3)) == 1000


# Of RULES_VERSION: SHA-256 of the first guesses of each kind.
GUESSES = (2, "1231b795f09913c7b841165bf6d65c8caf5de2abee285b3da478be124a5163f8")


def test_other_guesses_have_another_version(lists_dir):
    """An audit counts as complete for the guesses it was made with, so whoever changes them raises RULES_VERSION."""
    summary = hashlib.sha256()
    own = itertools.islice(derived("taro.yamada@sakura-kensetsu.co.jp", ("Midori",), TODAY), 2000)
    for word, kind in itertools.chain(itertools.islice(general(str(lists_dir), TODAY), 20000), own):
        summary.update(word + b"\n" + kind.encode() + b"\n")
    assert (lists.RULES_VERSION, summary.hexdigest()) == GUESSES, (
        "guesses changed: raise RULES_VERSION, and note it here"
    )
