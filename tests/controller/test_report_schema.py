"""Every document that a run can leave is as the schema says, and the schema knows each outcome."""

import json
import pathlib

import pytest
from harden_mail_report.document import Report, Task
from harden_mail_report.outcomes import WORST_FIRST
from hypothesis import given
from hypothesis import strategies as st

# With the linters, not with every ansible-core that the suite runs on.
jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads(
    (pathlib.Path(__file__).resolve().parents[2] / "plugin_utils" / "harden_mail_report" / "schema.json").read_text(
        encoding="utf-8"
    )
)
VALID = jsonschema.Draft202012Validator(SCHEMA)
CATALOGUE = {"mail-host-known": {"role": "mail_host"}, "one": {"role": "first"}}

lines = st.lists(st.text(), max_size=60)
answers = st.fixed_dictionaries(
    {},
    optional={
        "changed": st.booleans(),
        "msg": st.text(),
        "evidence": lines,
        "findings": lines,
        "warnings": lines | st.text(),
        "not_applicable": st.text(),
        "results": st.lists(st.just({"findings": ["x"]}) | st.integers(), max_size=2) | st.integers(),
    },
)
tasks = st.builds(
    Task,
    host=st.sampled_from(["vps1", "vps2"]),
    name=st.text(min_size=1),
    control=st.sampled_from([None, "mail-host-known", "one"]),
    role=st.sampled_from([None, "first"]),
    check_mode=st.booleans(),
)


def test_the_schema_is_one_and_knows_the_outcomes():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert tuple(SCHEMA["$defs"]["outcome"]["enum"]) == WORST_FIRST


@given(st.lists(st.tuples(tasks, answers, st.sampled_from(["ok", "failed", "unreachable"])), max_size=6), st.booleans())
def test_every_document_is_as_the_schema_says(results, finished):
    report = Report(CATALOGUE, "harden-mail.yml", "2.19.1")
    for task, answer, end in results:
        if end == "unreachable":
            report.add_unreachable(task, answer)
        else:
            report.add(task, answer, failed=end == "failed")
    document = report.document(finished)
    VALID.validate(json.loads(json.dumps(document)))
    assert bool(report) == bool(document["hosts"])


def test_another_document_is_refused():
    report = Report(CATALOGUE, "harden-mail.yml", "2.19.1")
    report.add(Task("vps1", "a task", "one", "first", False), {"findings": ["weak"]}, failed=False)
    for path, value in (
        (("hosts", "vps1", "outcome"), "fine"),
        (("hosts", "vps1", "controls", "one", "findings"), ["x" * 1001]),
        (("hosts", "vps1", "controls", "one", "password"), "x"),
        (("totals", "hosts"), {"fine": 1}),
        (("schema",), 2),
    ):
        document = report.document(True)
        VALID.validate(document)
        place = document
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        assert not VALID.is_valid(document), path
