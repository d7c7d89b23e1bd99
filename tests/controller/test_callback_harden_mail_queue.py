"""The tables of mail queues: their columns, whatever is in the cells, and what they say of a host."""

import importlib.util
import pathlib
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem + "_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load(ROOT / "callback_plugins" / "harden_mail_queue.py")

COLUMNS = 120
RUN = "20261125T063000Z-1f2e3d"


def message(**values):
    usual = {
        "id": "4XyZ123abc",
        "instance": None,
        "state": "deferred",
        "sender": "info@example.com",
        "recipients": [{"address": "a@example.net", "done": False}],
        "recipients_total": 1,
        "subject": "Hello",
        "size": 2048,
        "arrival": 0,
    }
    return dict(usual, **values)


def done(**values):
    usual = {
        "trouble": None,
        "check": False,
        "state": "quarantined",
        "matched": 0,
        "moved": 0,
        "states": {},
        "run": None,
        "resumed": 0,
        "evidence": [],
        "messages": [],
        "passed_over": [],
        "passed_over_total": 0,
    }
    return dict(usual, **values)


def seen(**values):
    usual = {
        "trouble": None,
        "check": False,
        "mta": "postfix",
        "total": 0,
        "matched": 0,
        "states": {},
        "bytes": 0,
        "oldest": None,
        "top_senders": [],
        "top_recipient_domains": [],
        "top_subjects": [],
        "top_origins": [],
        "top_clients": [],
        "ages": {},
        "errors": dict.fromkeys(tables.COUNTED, 0),
        "messages": [],
        "unreadable": [],
        "unreadable_total": 0,
        "quarantine": [],
    }
    return dict(usual, **values)


def text_of(answer):
    return "\n".join(tables.lines_of("vps1", answer, COLUMNS))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("abc", 3),
        ("お支払い", 8),
        ("ﾊﾝｶｸ", 4),
        ("Ａ", 2),
        ("が", 2),
        ("か\u3099", 2),  # a letter and a mark that combines with it
        ("e\u0301", 1),
        ("😀", 2),
        ("", 0),
    ],
)
def test_width_is_what_a_terminal_gives(text, columns):
    assert tables.width(text) == columns


@given(st.text(), st.integers(min_value=1, max_value=30))
def test_a_text_is_cut_to_its_columns_and_says_so(text, columns):
    cut = tables.cut(text, columns)
    assert tables.width(cut) <= columns
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


@given(st.text())
def test_what_is_shown_is_one_line_that_steers_nothing(text):
    assert tables.clean(text).isprintable()


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=1))
def test_columns_stand_under_each_other_whatever_is_in_them(rows):
    heading = ("A" * tables.WIDEST, "B", "C")
    for line, row in zip(tables.table([heading, *rows], 10000)[1:], rows):
        subject = tables.clean(row[2]).rstrip()
        assert not subject or tables.width(line) - tables.width(subject) >= 2 + tables.WIDEST + 2
        assert line.isprintable()


def test_a_japanese_subject_does_not_push_its_neighbours_away():
    rows = [("a", "お支払いの確認", "x"), ("b", "Payment", "x")]
    assert tables.table(rows, COLUMNS) == ["  a  お支払いの確認  x", "  b  Payment         x"]


def test_a_row_is_cut_at_the_edge_and_a_command_is_not():
    answer = done(matched=1, moved=1, run=RUN, messages=[message(subject="お" * 90)])
    for line in tables.lines_of("a-host-with-a-long-name.example.com", answer, 60):
        assert tables.width(line) <= 60 or line.endswith(RUN) or line.startswith("a-host")


def test_the_table_of_messages():
    several = message(
        subject="【重要】お支払い", sender="", recipients_total=300, instance="postfix-out", state="local+remote"
    )
    lines = tables.newest([message(), several, message(subject=None, recipients=[], recipients_total=0)], 5000, COLUMNS)
    assert lines[:2] == ["", "  THE NEWEST 3 OF 5,000"]
    assert "<>" in lines[4]
    assert "postfix-out 4XyZ123abc" in lines[4]
    assert "  【重要】お支払い  " in lines[4]
    assert lines[4].endswith("  a@example.net +299")


def test_a_change_says_how_to_undo_it():
    said = text_of(done(matched=5000, moved=4990, states={"active": 10, "deferred": 4990}, run=RUN))
    assert "vps1: 4,990 of 5,000 selected messages were quarantined (4,990 deferred, 10 active)" in said
    assert "--limit vps1 -e queue_action=restore -e queue_run=" + RUN in said


def test_a_prediction_says_so():
    said = text_of(done(check=True, matched=1, moved=1, states={"hold": 1}, state="released", resumed=1))
    assert "vps1: 1 of 1 selected message would be released (1 hold)" in said
    assert "What was interrupted before would first be completed (1 run)" in said


def test_what_else_was_done_to_the_host_is_said():
    assert "  qmail-send was stopped for 2 seconds" in text_of(done(evidence=["qmail-send was stopped for 2 seconds"]))


def test_what_was_left_is_named_with_its_reason():
    passed_over = [{"id": "4X{0}".format(number), "reason": "being delivered"} for number in range(50)]
    lines = text_of(done(matched=60, moved=0, passed_over=passed_over, passed_over_total=60)).splitlines()
    assert lines[1] == "  Left as they were: 60; run it again to take them"
    assert lines[2] == "    4X0: being delivered"
    assert len(lines) == 2 + tables.LIST_LIMIT


def test_nothing_selected_is_said():
    assert text_of(done()) == "vps1: no message is selected"


def test_what_could_not_be_read_is_said():
    said = text_of(seen(unreadable=[{"path": "/q/x", "reason": "cut short"}], unreadable_total=1))
    assert "NOT READABLE, AND NOT TOUCHED: 1 file\n  /q/x: cut short" in said


def test_what_was_counted_is_shown_with_its_error():
    answer = seen(top_subjects=[{"value": "お支払い\x1b", "count": 4990}], ages={"10m": 0, "1h": 4990, "older": 2})
    answer["errors"]["top_subjects"] = 3
    lines = text_of(answer).splitlines()
    assert "  SUBJECTS (counts are too low by 3 at most)" in lines
    assert "      4,990  お支払い\\x1b" in lines
    assert lines[-3:] == ["  AGES", "      4,990  under 1h", "          2  older"]


def test_what_a_host_says_without_an_end_is_no_endless_table():
    run = {"run": RUN, "created": 0, "selection": "x", "messages": 1, "unfinished": False}
    states = {"state {0}".format(number): 1 for number in range(1000)}
    lines = tables.lines_of("vps1", seen(quarantine=[run] * 5000, states=states, ages=states), COLUMNS)
    assert len(lines) < 200
    assert "  IN QUARANTINE, THE NEWEST 100 OF 5,000" in lines
    assert max(map(len, lines)) < 1000
    assert len(tables.lines_of("vps1", done(matched=1, moved=1, evidence=["x"] * 5000), COLUMNS)) < 200


def test_quarantine_is_listed():
    run = {"run": RUN, "created": 0, "selection": "subject: *", "messages": 5000, "unfinished": True}
    assert RUN + "  5,000     subject: * (interrupted)" in text_of(seen(quarantine=[run]))


def test_a_task_with_no_log_shows_nothing():
    assert "nothing is shown" in text_of({"trouble": None, "check": False, "censored": "hidden"})


def test_a_hosts_words_steer_no_terminal():
    assert "\x1b" not in text_of({"trouble": "failed", "check": False, "msg": "red \x1b[31m"})
    for line in tables.lines_of(
        "vps1", seen(messages=[message(subject="\x1b[31m\u202e", id="\x07")], matched=1), COLUMNS
    ):
        assert line.isprintable()


def test_the_total_adds_up_by_state():
    answers = [
        done(matched=3, moved=2, passed_over_total=1),
        done(matched=1, moved=1),
        {"trouble": None, "check": False, "not_applicable": "no queue"},
        {"trouble": "failed", "check": False, "msg": "x"},
    ]
    assert tables.total(answers) == (
        "4 hosts (1 without a queue, 1 failed): 4 selected, 3 quarantined, 1 left as they were"
    )


def test_the_total_of_hosts_where_nothing_was_done():
    assert tables.total([{"trouble": "unreachable", "check": False, "msg": "x"}]) == "1 host (1 unreachable)"


def test_the_total_of_lists():
    assert tables.total([seen(total=5, matched=2), seen(total=1, matched=1)]) == (
        "2 hosts: 6 messages in 2 queues, 3 selected"
    )


# --- answers of a host that lies -----------------------------------------------------------------------------

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r"


def told(**values):
    """A change as a module returns it, through the check."""
    answer = dict(done(run=RUN, matched=1, moved=1, states={"deferred": 1}, messages=[message()]), **values)
    return dict(tables.checked(answer, None), check=False)


def test_nothing_of_an_answer_steers_the_terminal():
    answer = told(
        run=RUN,
        states={"deferred" + ESCAPES: 1},
        evidence=[ESCAPES],
        passed_over=[{"id": ESCAPES + "vps1: all clean", "reason": ESCAPES}],
        passed_over_total=1,
        messages=[message(id=ESCAPES, state=ESCAPES, subject=ESCAPES, sender=ESCAPES)],
    )
    shown = [*tables.lines_of("vps1", answer, COLUMNS), tables.total([answer])]
    assert len(shown) > 8
    assert all(line.isprintable() for line in shown)


def test_the_command_to_copy_is_one_command():
    lines = tables.lines_of("vps1; id", told(run=RUN), COLUMNS)
    command = lines[lines.index("  To have them back:") + 1]
    assert shlex.split(command) == [
        "ansible-playbook",
        "playbooks/queue.yml",
        "--limit",
        "vps1; id",
        "-e",
        "queue_action=restore",
        "-e",
        "queue_run=" + RUN,
    ]
    assert "To have them back" not in text_of(told(run="x ansible_host=evil.example"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"matched": "1"}, "matched is the text '1', not a number from 0 on"),
        ({"matched": 10**6000}, "matched is a number of 19932 bits, not"),
        ({"matched": float("nan")}, "matched is nan, not"),
        ({"matched": True}, "matched is True, not"),
        ({"matched": -1}, "matched is -1, not"),
        ({"states": ["deferred"]}, "states is a list, not a dictionary"),
        ({"messages": [{"id": "x"}]}, "messages[0].instance is missing."),
        ({"evidence": "x"}, "evidence is the text 'x', not a list"),
        ({"state": None}, "state is null, not a state of mail_queue"),
        ({"state": "held, 9 hosts: in order"}, "not a state of mail_queue"),
    ],
)
def test_a_bad_host_costs_its_own_row(values, said):
    bad, good = told(**values), told()
    lines = tables.lines_of("bad", bad, COLUMNS)
    assert lines[0].startswith("bad: not understood: The host's answer was not understood, so nothing of it counts: ")
    assert said in lines[0]
    assert tables.total([bad, good]) == "2 hosts (1 not understood): 1 selected, 1 quarantined"


def test_a_time_that_no_calendar_has_costs_a_cell():
    assert "  ?  " in "\n".join(tables.lines_of("vps1", told(messages=[message(arrival=-(2**62))]), COLUMNS))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.sampled_from([done(), seen()]), st.data())
def test_whatever_a_host_says_the_table_is_printed(usual, data):
    keys = sorted(set(usual) - {"trouble", "check"})
    changes = data.draw(st.dictionaries(st.sampled_from(keys), JSON, min_size=1))
    answer = dict(tables.checked(dict(usual, **changes), None), check=False)
    lines = [*tables.lines_of("vps1", answer, COLUMNS), tables.total([answer])]
    assert all(line.isprintable() for line in lines)
    assert list(tables.selectable(answer)) is not None
