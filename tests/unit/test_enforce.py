"""The order in which every feature changes a host: noted, made, proved, looked at again, unmarked."""

import pytest
from fake_system import FakeSystem
from harden_mail.changes import Change, Run, file_change
from harden_mail.enforce import Notebook, Plan, enforce
from harden_mail.errors import UserError

NOTEBOOK = "/var/lib/harden-mail/feature/former.json"


class Feature:
    """Wants one file to say "wanted", and remembers what it said."""

    def __init__(self, root):
        self.system = FakeSystem(root, {"reload": ""})
        self.system.write("/etc/file", "former\n")
        self.notebook = Notebook(self.system, NOTEBOOK, ("/etc/harden-mail",))
        self.seen = []

    def plan(self, memory):
        self.seen.append(memory)
        former = memory.get("former", self.system.read("/etc/file"))
        done = {"former": former}
        changes = file_change(self.system, "/etc/file", "wanted\n")
        if not changes and not memory.get("unfinished"):
            return Plan([], done, done)
        reload = Change("", "", "", (Run(("reload",), None),), ())
        return Plan([*changes, reload], dict(done, unfinished=True), done)

    def enforce(self, check_mode=False, **hooks):
        return enforce(self.notebook, self.plan, check_mode, **hooks)

    def text(self):
        return self.system.read("/etc/file")


@pytest.fixture
def feature(tmp_path):
    return Feature(tmp_path)


def test_what_is_foreseen_is_made_and_only_once(feature):
    foreseen = feature.enforce(True)
    assert feature.text() == "former\n" and not feature.system.exists("/var")
    made = feature.enforce()
    assert (
        made
        == foreseen
        == {
            "changed": True,
            "steps": ["/etc/file"],
            "diff": {"before": "# /etc/file\nformer\n", "after": "# /etc/file\nwanted\n"},
        }
    )
    assert feature.notebook.read() == {"former": "former\n"}
    assert feature.system.mode(NOTEBOOK) == 0o600
    assert feature.system.mode("/var/lib/harden-mail/feature") == 0o700
    assert not feature.enforce()["changed"]


def test_what_others_change_back_is_complained_about(feature):
    feature.system.commands["reload"] = lambda *_what: feature.system.write("/etc/file", "theirs\n") or ""
    with pytest.raises(UserError) as caught:
        feature.enforce()
    assert str(caught.value) == (
        "The changes were made, but reading them back shows a difference in /etc/file: something else on this host "
        "changes it. Look at it with --check --diff."
    )


def test_what_fails_and_what_is_not_proved_is_undone_with_the_notebook(feature):
    def proof():
        assert feature.text() == "wanted\n"
        raise UserError("It does not work.")

    with pytest.raises(UserError, match=r"^It does not work\.$"):
        feature.enforce(proof=proof)
    assert feature.text() == "former\n" and not feature.system.exists("/var/lib/harden-mail")


def test_the_mark_stays_until_the_end_and_is_not_looked_at_again(feature):
    def finish():
        marked.append(feature.notebook.read())

    marked = []
    feature.enforce(finish=finish)
    assert marked == [{"former": "former\n", "unfinished": True}]
    assert [bool(memory.get("unfinished")) for memory in feature.seen] == [False, False]
    assert feature.notebook.read() == {"former": "former\n"}
    feature.enforce(finish=finish)
    assert len(marked) == 1, "nothing was made, so there is nothing to finish"


def test_what_could_not_be_finished_is_done_again(feature):
    def finish():
        raise UserError("no")

    with pytest.raises(UserError):
        feature.enforce(finish=finish)
    assert feature.text() == "wanted\n"
    feature.system.calls.clear()
    feature.enforce()
    assert feature.system.calls == [("reload", None)] and "unfinished" not in feature.notebook.read()


@pytest.mark.parametrize("news", [True, False])
def test_a_change_of_the_notebook_alone_is_told_where_it_is_news(feature, news):
    feature.system.write("/etc/file", "wanted\n")
    made = feature.enforce(notes_are_news=news)
    assert feature.notebook.read() == {"former": "wanted\n"}
    assert made["steps"] == ([NOTEBOOK] if news else []) and made["changed"] is news


def test_what_comes_first_and_what_arms_know_all_changes(feature):
    def first(changes):
        told.append(("first", [change.what for change in changes]))
        return [Change("before", "", "", (), ())]

    told = []
    made = feature.enforce(first=first, arm=lambda changes: told.append(("arm", [change.what for change in changes])))
    every = [NOTEBOOK, "/etc/file", "", NOTEBOOK]
    assert told == [("first", every), ("arm", ["before", *every])]
    assert made["steps"] == ["before", "/etc/file"]


def test_directories_of_ours_go_with_the_last_file(feature):
    feature.enforce()
    feature.system.write("/etc/harden-mail/x", "")
    gone = Plan(file_change(feature.system, "/etc/harden-mail/x", None), feature.notebook.read(), {})
    again = Plan([], {}, {})
    enforce(feature.notebook, lambda memory: gone if memory else again, False)
    assert not feature.system.exists("/var/lib/harden-mail") and not feature.system.exists("/etc/harden-mail")
