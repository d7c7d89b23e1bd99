"""controls.yml: complete, in both languages, and in step with the roles."""

import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTROLS = yaml.safe_load((ROOT / "controls.yml").read_text(encoding="utf-8"))["controls"]


def test_each_entry_is_complete_in_both_languages():
    for entry in CONTROLS:
        assert set(entry) == {"id", "role", "severity", "title", "why", "fix", "references"}, entry["id"]
        assert entry["severity"] in {"critical", "high", "medium", "low", "info"}
        for key in ("title", "why", "fix"):
            assert set(entry[key]) == {"en", "ja"}, entry["id"]
            assert all(text.strip() for text in entry[key].values())


def test_each_identifier_is_there_once():
    names = [entry["id"] for entry in CONTROLS]
    assert len(names) == len(set(names))


def test_each_role_is_there_and_names_the_control():
    for entry in CONTROLS:
        tasks = "".join(path.read_text() for path in (ROOT / "roles" / entry["role"] / "tasks").glob("*.yml"))
        assert "control: {0}\n".format(entry["id"]) in tasks
