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
    pairs = [("subject", "{{ a }}"), ("subject", "plain"), ("subject", "{{ a }}"), ("sender", "{% b %}@example.com")]
    lines = copying.ways(pairs)
    assert lines[1:] == [
        '    -e \'{"queue_select": {"subject": "?? a ??"}}\'',
        "    in a file: subject: !unsafe '{{ a }}'",
        '    -e \'{"queue_select": {"sender": "?% b %?@example.com"}}\'',
        "    in a file: sender: !unsafe '{% b %}@example.com'",
    ]
    assert len(copying.ways([("subject", "{{" + str(number)) for number in range(9)])) == 7


def test_nothing_is_printed_where_no_text_is_a_template():
    assert copying.ways([("subject", "{ name }"), ("sender", "")]) == []


@pytest.mark.parametrize("text", ["{{x", "{%x", "{#x"])
def test_a_text_that_was_cut_off_is_selected_by_its_beginning(text):
    assert '??x*"' in copying.on_command_line("subject", "{{x…")
    assert copying.has_template(text)
