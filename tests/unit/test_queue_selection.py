"""The grammar of selections: what it takes, what it refuses and how, and what matches."""

import fnmatch
import re
import time

import pytest
from harden_mail.errors import UserError
from harden_mail.queue.message import Message, Recipient
from harden_mail.queue.selection import compile_selection
from hypothesis import given
from hypothesis import strategies as st

NOW = 1700000000
STATES = ("maildrop", "incoming", "active", "deferred", "hold")


def message(**values):
    usual = {
        "id": "4F1C2A",
        "instance": None,
        "states": ("deferred",),
        "sender": "Bob@Example.com",
        "recipients": [Recipient("a@one.example", True), Recipient("B@Two.example", False)],
        "subject": "【当選】 Ｗｉｎｎｅｒ [SPAM] ｱｲﾄﾞﾙ",
        "size": 2048,
        "arrival": NOW - 2 * 3600,
        "sasl_user": None,
        "client": None,
        "uid": None,
        "script": None,
    }
    return Message(**dict(usual, **values))


def select(wanted, everything=False):
    return compile_selection(wanted, everything, STATES, NOW)


@pytest.mark.parametrize(
    "wanted",
    [
        {"sender": "bob@example.com"},
        {"sender": "*@EXAMPLE.com"},
        {"sender": ["no@such.example", "b?b@*"]},
        {"sender": "re:^bob@"},
        {"recipient": "a@one.example"},
        {"recipient": "*@two.example"},
        {"subject": "*当選*"},
        {"subject": "*winner*"},
        {"subject": "*ＷＩＮＮＥＲ*"},
        {"subject": "*アイドル"},
        {"subject": "*[spam]*"},
        {"subject": "re:winner.*spam"},
        {"age": ">1h"},
        {"age": "<=2h"},
        {"age": ">=2h"},
        {"age": "1h..3h"},
        {"age": ["<1m", "1..3h"]},
        {"size": ">2047"},
        {"size": ">=2k"},
        {"size": "1k..1M"},
        {"state": "deferred"},
        {"state": ["hold", "deferred"]},
        {"id": ["4F1C2A", "000000"]},
        {"sender": "bob@*", "subject": "*当選*", "age": ">1m"},
        {"sender": "*", "not": {"recipient": "*@three.example"}},
        {"sender": "*", "not": [{"sender": "x@*"}, {"sender": "bob@*", "size": ">1M"}]},
    ],
)
def test_what_is_meant_matches(wanted):
    assert select(wanted)(message())


@pytest.mark.parametrize(
    "wanted",
    [
        {"sender": "bob"},
        {"sender": "ob@example.com"},
        {"sender": "<>"},
        {"recipient": "*@three.example"},
        {"subject": "当選"},
        {"subject": "*落選*"},
        {"age": "<2h"},
        {"age": ">2h"},
        {"age": ">1d"},
        {"size": "<2k"},
        {"size": ">2k"},
        {"state": "active"},
        {"id": "4f1c2a"},
        {"sender": "bob@*", "subject": "*落選*"},
        {"sender": "*", "not": {"recipient": "*@two.example"}},
        {"sender": "*", "not": [{"sender": "x@*"}, {"sender": "bob@*"}]},
        {"origin": {"uid": 33}},
        {"origin": {"client": "0.0.0.0/0"}},
        {"origin": {"sasl_user": "*"}},
    ],
)
def test_what_is_not_meant_does_not(wanted):
    assert not select(wanted)(message())


@pytest.mark.parametrize(
    ("origin", "values"),
    [
        ({"sasl_user": "info@*"}, {"sasl_user": "Info@example.com"}),
        ({"uid": 33}, {"uid": 33}),
        ({"uid": ["33", 34]}, {"uid": 34}),
        ({"script": "33:*form*.php"}, {"uid": 33, "script": "33:contact_form.php"}),
        ({"client": "203.0.113.5"}, {"client": "203.0.113.5"}),
        ({"client": ["2001:db8::/32", "203.0.113.0/24"]}, {"client": "203.0.113.9"}),
        ({"client": "2001:db8::/32"}, {"client": "2001:db8::1"}),
    ],
)
def test_origins(origin, values):
    assert select({"origin": origin})(message(**values))
    assert not select({"origin": origin})(message())
    assert not select({"sender": "*", "not": {"origin": origin}})(message(**values))


def test_the_null_sender_has_a_pattern_of_its_own():
    assert select({"sender": "<>"})(message(sender=""))
    assert select({"sender": "*"})(message(sender=""))
    assert not select({"sender": "?*@*"})(message(sender=""))


def test_a_message_without_a_subject_matches_no_subject():
    assert not select({"subject": "*"})(message(subject=None))
    assert select({"subject": "*"})(message(subject=""))


def test_all_is_everything():
    assert select(None, everything=True)(message())
    assert select({}, everything=True)(message())


@pytest.mark.parametrize(
    ("wanted", "everything", "sentence"),
    [
        (None, False, "select is empty, which does not mean everything: give at least one key, or all: true."),
        ({"sender": None}, False, "select.sender has no value: give one, or leave it out."),
        ({"state": "deferred", "not": {"sender": None}}, False, "select.not.sender has no value"),
        ({"state": "deferred", "origin": {"uid": None}}, False, "select.origin.uid has no value"),
        ({"state": "deferred", "not": None}, False, "select.not has no value"),
        ({"sender": "x"}, True, "all is true and select has sender"),
        ({"sendr": "x"}, False, "select has 'sendr', which is no key (did you mean sender?); there are sender, "),
        ({"origin": {"user": "x"}}, False, "select.origin has 'user', which is no key"),
        ({"origin": {}}, False, "select.origin is empty"),
        ({"origin": "x"}, False, "select.origin is 'x': give a dictionary."),
        ("x", False, "select is 'x': give a dictionary."),
        ({"not": {}}, False, "select.not is empty"),
        ({"not": []}, False, "select.not is an empty list"),
        ({"not": ["x"]}, False, "select.not is 'x': give a dictionary."),
        ({"sender": []}, False, "select.sender is an empty list"),
        ({"sender": ""}, False, "select.sender is empty text"),
        ({"sender": True}, False, "select.sender is True: give text"),
        ({"sender": {"a": 1}}, False, "select.sender is {'a': 1}: give text"),
        ({"subject": "re:("}, False, "select.subject is 're:(', which is no regular expression: "),
        ({"subject": "re:(?au)x"}, False, "select.subject is 're:(?au)x', which is no regular expression: "),
        ({"subject": "re: "}, False, "select.subject is 're: ', which any text matches: "),
        ({"sender": "@example.com"}, False, "select.sender is '@example.com', which is no address: give a whole one"),
        ({"sender": "x@y", "not": {"sender": "example.com"}}, False, "select.not.sender is 'example.com', which is no"),
        ({"recipient": "<bob@example.com>"}, False, "select.recipient is '<bob@example.com>', which is no address"),
        ({"age": ">" + "9" * 400 + "s"}, False, "select.age is '>99999999"),
        ({"origin": {"uid": "\u00b2"}}, False, "select.origin.uid is '\u00b2': give a user's number."),
        ({"x" * 1000: 1}, False, "select has 'xxxxxxxx"),
        ({"age": "2h"}, False, "select.age is '2h': write it like '>2h' or '2h..1d'; the units are s, m, h, d, w."),
        ({"age": ">2y"}, False, "select.age is '>2y': write it like"),
        ({"age": "1d..2h"}, False, "select.age is '1d..2h': the first of the two is the greater one."),
        ({"size": 100}, False, "select.size is '100': write it like '>10k' or '1k..2M'"),
        ({"state": "defered"}, False, "select.state is 'defered': this queue knows maildrop, incoming"),
        ({"origin": {"client": "x"}}, False, "select.origin.client is 'x': give an IP address"),
        ({"origin": {"uid": "root"}}, False, "select.origin.uid is 'root': give a user's number."),
    ],
)
def test_what_makes_no_sense_is_a_sentence(wanted, everything, sentence):
    with pytest.raises(UserError, match="^" + re.escape(sentence)) as raised:
        select(wanted, everything)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["sender", "subject", "age", "size", "not", "origin", "id", "uid", "x"]), inner
        )
    ),
    max_leaves=8,
)


@given(ANYTHING, st.booleans())
def test_whatever_is_written_is_a_selection_or_a_sentence(wanted, everything):
    try:
        compile_selection(wanted, everything, STATES, NOW)(message())
    except UserError as error:
        assert str(error)


LETTERS = "ab*?[].\n"


@given(st.text(LETTERS, max_size=12), st.text("ab[].\n", max_size=20))
def test_a_glob_is_what_fnmatch_says_without_brackets(pattern, text):
    if not pattern.strip() or pattern.startswith("re:"):
        return
    expected = fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
    assert select({"origin": {"sasl_user": pattern}})(message(sasl_user=text)) == expected


@pytest.mark.parametrize(
    ("pattern", "subject", "is_meant"),
    [
        ("＊＊重要＊＊*", "**重要** お知らせ", True),
        ("＊＊重要＊＊*", "これも重要です", False),
        ("本当？*", "本当?!", True),
        ("本当？*", "本当に", False),
        ("＊＊重要＊＊", "＊＊重要＊＊", True),
        ("* won *", "You won money", True),
        ("* won *", "wonderful you won", False),
        ("*か\u3099*", "が", True),
    ],
)
def test_signs_of_full_width_in_a_subject_are_no_wildcards_and_blanks_count(pattern, subject, is_meant):
    assert select({"subject": pattern})(message(subject=subject)) == is_meant


def test_long_addresses_are_told_apart_to_their_end():
    assert not select({"sender": "a" * 2000 + "@x"})(message(sender="a" * 2000 + "@y"))


def test_a_regular_expression_sees_the_beginning_of_a_text():
    long = message(subject="won" + "a" * 1000 + "lost")
    assert select({"subject": "re:won"})(long)
    assert not select({"subject": "re:lost"})(long)
    assert select({"subject": "*lost"})(long)


def test_a_client_address_may_name_its_interface():
    assert select({"origin": {"client": "fe80::/10"}})(message(client="fe80::1%eth0"))
    assert not select({"origin": {"client": "fe80::/10"}})(message(client="unknown"))


def test_a_glob_is_linear():
    hostile = select({"origin": {"sasl_user": "a*" * 300 + "b"}})
    began = time.process_time()
    assert not hostile(message(sasl_user="a" * 100000))
    assert time.process_time() - began < 1


def test_what_was_selected_is_said_in_a_line_that_steers_no_terminal():
    text = select({"subject": "*\x1b[2J当選*", "not": {"sender": ["a@b", "c@d"]}, "origin": {"uid": 33}}).text
    assert text == "subject: *\\x1b[2J当選*; origin.uid: 33; not (sender: a@b | c@d)"
    assert select(None, everything=True).text == "all"


def test_a_selection_asks_only_for_what_it_needs():
    class Stingy(Message):
        __slots__ = ()

        @property
        def recipients(self):
            raise AssertionError("nobody wants to know")

        subject = recipients

    stingy = Stingy(sender="bob@example.com", states=("deferred",))
    assert select({"sender": "bob@*", "state": "deferred"})(stingy)
    assert not select({"sender": "x@*", "recipient": "*", "subject": "*"})(stingy)
