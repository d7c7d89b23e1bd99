"""How text with a template is to be copied: what is printed selects that text, and nothing of it is a template."""

import json
import shlex

import pytest
import yaml
from harden_mail.queue.message import Message
from harden_mail.queue.selection import compile_selection
from harden_mail_controller import copying
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text("{}%# 'a\"\\お") | st.lists(st.sampled_from(["#jinja2:", "#", "j", "\\n", "[[", "{"])).map("".join)


@given(TEXTS.filter(copying.has_template))
def test_what_is_printed_selects_the_text_and_is_no_template(text):
    words = shlex.split(copying.on_command_line("subject", text))
    select = json.loads(words[1])["queue_select"]
    assert not copying.has_template(select["subject"])
    assert len(words) == 2
    if text == text.strip():
        selection = compile_selection(select, False, (), 0)
        assert selection(Message(id="1", states=(), sender="", recipients=[], subject=text, size=1, arrival=0))


@given(TEXTS)
def test_what_is_printed_for_a_file_is_the_text(text):
    written = copying.in_file(text)
    assert written.startswith("!unsafe ")
    assert yaml.safe_load(written[len("!unsafe ") :]) == text


def test_each_text_is_printed_once_and_no_more_than_three():
    pairs = [("subject", "{{ name }}"), ("subject", "plain"), ("subject", "{{ name }}")]
    pairs.append(("sender", "{% b %}@example.com"))
    lines = copying.ways(pairs)
    assert lines[1:] == [
        '    -e \'{"queue_select": {"subject": "?? name ??"}}\'',
        "    in a file: subject: !unsafe '{{ name }}'",
        '    -e \'{"queue_select": {"sender": "?% b %?@example.com"}}\'',
        "    in a file: sender: !unsafe '{% b %}@example.com'",
    ]
    many = copying.ways([("subject", "{{subject" + str(number)) for number in range(9)])
    assert len(many) == 8 and many[-1] == "    and 6 more"


def test_a_text_with_a_quote_has_its_command():
    pairs = [
        ("subject", "x'; touch /tmp/x; '"),
        ("subject", "plain"),
        ("sender", '"abcd"}, "b": {"c'),
        ("subject", "{{ it's yours }}"),
    ]
    lines = copying.ways(pairs)
    assert lines[0] == "  " + copying.GENERAL and len(lines) == 6
    assert lines[3] == "  " + copying.QUOTED
    for line, (key, text) in zip(lines[4:], (pairs[0], pairs[2])):
        words = shlex.split(line)
        assert words[0] == "-e" and len(words) == 2
        assert json.loads(words[1]) == {"queue_select": {key: text.replace("{", "?").replace("}", "?")}}
    many = copying.ways([("subject", "it's " + str(number) + "abc") for number in range(9)])
    assert len(many) == 5 and many[-1] == "    and 6 more"


UNRELATED = ["your invoice", "re: your invoice", "five5", "Hello", "ご請求書"]


@pytest.mark.parametrize(
    "text",
    ["re: {{a}}|", "re: {{name}} your account (suspended)", "re:{{x}}*a+b", "{{first}}*", "*{{ sale }}*",
     "*|{{FNAME}}|*", "*****SPAM***** {{offer}}", "{{*}}", "re: {{}}|", "{%*%}"],
)  # fmt: skip
def test_what_spammers_put_into_a_text_selects_no_other_mail(text):
    """Each pattern that is printed, on the command line and for a file, means that text and none of others."""
    lines = copying.ways([("subject", text)])[1:]
    patterns = []
    for line in lines:
        if line.startswith("    -e "):
            patterns.append(json.loads(shlex.split(line)[1])["queue_select"]["subject"])
        elif line.startswith("    in a file: "):
            patterns.append(yaml.safe_load(line.split("!unsafe ", 1)[1]))
    assert len(patterns) == 2 or lines == ["    subject {0}: by its id, since no pattern means this one alone".format(
        copying.in_file(text))]  # fmt: skip
    for pattern in patterns:
        selection = compile_selection({"subject": pattern}, False, (), 0)
        meant = [
            subject
            for subject in [*UNRELATED, text]
            if selection(Message(id="1", states=(), sender="", recipients=[], subject=subject, size=1, arrival=0))
        ]
        assert meant == [text]


def test_nothing_is_printed_where_no_text_is_a_template():
    assert copying.ways([("subject", "{ name }"), ("sender", "")]) == []


@pytest.mark.parametrize("text", ["{{x", "{%x", "{#x"])
def test_a_text_that_was_cut_off_is_selected_by_its_beginning(text):
    assert '??x*"' in copying.on_command_line("subject", "{{x…")
    assert copying.has_template(text)
