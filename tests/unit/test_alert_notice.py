"""The text of a notice and the mail made of it."""

import email
import email.policy
import re

import pytest
from harden_mail.alert.conditions import Excess
from harden_mail.alert.notice import WORDS, mail, message_id, notice
from hypothesis import given
from hypothesis import strategies as st

SINCE = 1700000000
SUMMARY = {
    "top_origins": [{"value": "sasl bob@example.com", "count": 1900}],
    "top_clients": [{"value": "198.51.100.66", "count": 1850}],
    "top_senders": [{"value": "bob@example.com", "count": 1800}],
    "top_recipient_domains": [{"value": "example.org", "count": 900}],
    "top_subjects": [{"value": "【当選】おめでとうございます", "count": 1700}],
}


def made(kind="alarm", language="en", **more):
    facts = dict(
        {
            "total": 2000,
            "held": 0,
            "todo": None,
            "limit": 300,
            "peak": 2500,
            "over": [Excess("total", 2000, 300)] if kind in ("alarm", "repeat") else [],
            "summary": SUMMARY if kind in ("alarm", "repeat") else None,
            "read": None,
        },
        **more,
    )
    if kind == "drill":
        facts = {}
    return notice(kind, "vps1.example.com", language, SINCE + 60, 1, SINCE, **facts)


def parsed(kept, charset="utf-8"):
    return email.message_from_bytes(
        mail(kept, "root@vps1.example.com", ["admin@example.org"], charset), policy=email.policy.SMTP
    )


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("en", "uid 1000 (says script 33:innocent-site.php)"),
        ("ja", "uid 1000 (自称スクリプト: 33:innocent-site.php)"),
    ],
)
def test_a_users_word_on_its_script_never_hides_the_user(language, shown):
    origins = [{"value": "uid 1000 (says script 33:innocent-site.php)", "count": 9}]
    assert "      9  " + shown in made(language=language, summary=dict(SUMMARY, top_origins=origins))["text"]


def test_both_languages_have_the_same_words():
    assert set(WORDS["en"]) == set(WORDS["ja"])
    for name, text in WORDS["en"].items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", WORDS["ja"][name])), name


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("kind", ["alarm", "repeat", "clear", "drill"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp"])
def test_a_mail_is_clean_and_says_what_it_was_given(kind, language, charset):
    kept = made(kind, language)
    raw = mail(kept, "root@vps1.example.com", ["admin@example.org", "b@example.org"], charset)
    assert all(byte < 128 for byte in bytearray(raw))
    assert raw.endswith(b"\r\n")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    message = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert not message.defects
    assert message["subject"] == kept["subject"]
    assert message["auto-submitted"] == "auto-generated"
    assert message["to"] == "admin@example.org, b@example.org"
    assert message["message-id"] == message_id(kept)
    assert message.get_content_charset() == charset
    assert message.get_content().replace("\r\n", "\n") == kept["text"]


def test_a_subject_without_other_letters_is_readable_as_it_is():
    raw = mail(made(), "root@vps1.example.com", ["admin@example.org"], "utf-8")
    assert b"\r\nSubject: Mail queue on vps1.example.com: 2000 messages (limit 300)\r\n" in raw


def test_an_alarm_names_numbers_origins_and_what_to_do_next():
    text = made()["text"]
    for part in (
        "2000",
        "300",
        "sasl bob@example.com",
        "198.51.100.66",
        "example.org",
        "【当選】",
        "1700",
        "queue_action=list --limit vps1.example.com\n",
    ):
        assert part in text
    assert "queue_action=quarantine" in made("repeat", "ja")["text"]


def test_the_commands_name_the_host_as_the_inventory_does():
    text = made(target="web 1; id")["text"]
    assert text.count("--limit 'web 1; id'\n") == 2
    assert "Host: vps1.example.com" in text


def test_addresses_that_are_the_origins_are_not_listed_twice():
    origins = [{"value": "client 198.51.100.66", "count": 9}]
    assert made(summary=dict(SUMMARY, top_origins=origins))["text"].count("198.51.100.66") == 1


@pytest.mark.parametrize(("language", "part"), [("en", "waited for 66 minutes"), ("ja", "66分間")])
@pytest.mark.parametrize("kind", ["alarm", "repeat"])
def test_a_subject_says_what_it_is_about_where_it_is_not_the_number(kind, language, part):
    other = made(kind, language, total=5, over=[Excess("oldest", 66, 60), Excess("todo", 9, 5)])
    assert part in other["subject"]
    assert "300" not in other["subject"]
    assert "\n" not in other["subject"]
    both = made(kind, language, over=[Excess("total", 2000, 300), Excess("oldest", 66, 60)])
    assert both["subject"] == made(kind, language)["subject"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_notice_names_those_that_were_set_aside(language):
    kept = made("clear", language, aside=["subject {0} (/var/x{0})".format(number) for number in range(7)])
    for text in (kept["text"], kept["brief"]):
        assert "(7)" in text or "(7件)" in text
        assert "subject 6 (/var/x6)" in text
        assert "subject 1 " not in text, "they are counted; five are named"
    assert "/var/x" not in made("clear", language)["text"]


def test_one_notice_has_one_key_and_two_have_two():
    assert made() == made()
    keys = {made(kind)["key"] for kind in ("alarm", "repeat", "clear")}
    assert len(keys) == 3


def test_letters_that_an_old_phone_lacks_become_question_marks():
    kept = made(summary=dict(SUMMARY, top_subjects=[{"value": "한국 😀 当選", "count": 5}]))
    assert "?? ? 当選" in parsed(kept, "iso-2022-jp").get_content()


def test_letters_that_an_old_phone_has_in_another_form_are_given_so():
    kept = made(summary=dict(SUMMARY, top_subjects=[{"value": "\uff76\uff9e\uff77 \u2460 \u3231 \uff5e", "count": 5}]))
    assert "ガキ 1 (株) ~" in parsed(kept, "iso-2022-jp").get_content()


@given(st.text(max_size=200))
def test_nothing_of_the_queue_gets_into_a_header(text):
    evil = [{"value": text, "count": 1}]
    plain = parsed(made())
    message = parsed(made(summary=dict.fromkeys(SUMMARY, evil)))
    assert message.items() == plain.items()
