"""Plesk can't be had for tests: this is a stand-in written after its documents."""

import itertools

import pytest
from fake_system import FakeSystem
from harden_mail.changes import make
from harden_mail.errors import UserError
from harden_mail.paths import POP_STATE
from harden_mail.pop import engine, plesk
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Wanted
from harden_mail.pop.plesk import Plesk
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st

SHADOW_PASSWORD = "p\"a\\s#s'"
WANTED = Wanted(EITHER, 20, 128, ())
TURNED_ON = {"relay": "auth", "poplock_time": "20"}


class StandIn:
    """Plesk's table psa.misc and its command for mail settings."""

    def __init__(self, tmp_path, misc, old=False):
        self.misc, self.told, self.old = dict(misc), [], old
        root = tmp_path / "usr/local/psa"
        (root / "bin").mkdir(parents=True, exist_ok=True)
        (root / "bin/mailserver").write_text("")
        (tmp_path / "etc/psa").mkdir(parents=True, exist_ok=True)
        (tmp_path / "etc/psa/psa.conf").write_text("PRODUCT_ROOT_D /usr/local/psa\n")
        (tmp_path / "etc/psa/.psa.shadow").write_text(SHADOW_PASSWORD + "\n")
        commands = {"mailserver": self.mailserver, "mysql": self.ask}
        if not old:
            commands = {"plesk bin mailserver": self.mailserver, "plesk db": self.ask}
        self.system = FakeSystem(tmp_path, commands)
        self.backend = Plesk(self.system, {})

    def ask(self, argv, _stdin):
        return "".join("{0}\t{1}\n".format(*row) for row in self.misc.items())

    def mailserver(self, argv, _stdin):
        words = list(argv[argv.index("--set-relay") + 1 :])
        self.told.append(" ".join(words))
        self.misc["relay"] = words.pop(0)
        options = dict(zip(words[::2], words[1::2]))
        if "-auth-type" in options:
            assert self.misc["relay"] == "auth"
            for kind in ("pop", "smtp"):
                on = options["-auth-type"] in (kind, "both")
                self.misc["disable_{0}_auth".format(kind)] = "" if on else "true"
        if "-lock-time" in options:
            assert options["-auth-type"] != "smtp"
            self.misc["poplock_time"] = options["-lock-time"]
        return ""

    def settle(self, wanted, former):
        """As the engine does it: plan, make, and look again."""
        changes = self.backend.changes(wanted, former)
        make(self.system, changes, perform)
        assert self.backend.changes(wanted, dict(former)) == []
        return changes


def perform(system, steps):
    for step in steps:
        system.run(list(step.argv), stdin=step.stdin)


@pytest.mark.parametrize("old", [False, True])
def test_pop_comes_beside_smtp_auth(tmp_path, old):
    host = StandIn(tmp_path, {"relay": "auth", "disable_pop_auth": "true", "poplock_time": "30"}, old)
    former = {}
    (change,) = host.settle(WANTED, former)
    assert host.told == ["auth -auth-type both -lock-time 20"]
    assert former == {"relay": "auth", "pop": False, "smtp": True, "minutes": "30"}
    assert change.before == "relay: auth\nPOP3 authorization: off\nSMTP authorization: on\n"
    assert change.after == ("relay: auth\nPOP3 authorization: on\nSMTP authorization: on\nlock time: 20 minutes\n")
    assert host.settle(WANTED, former) == []


def test_check_mode_and_a_host_that_is_right_run_nothing(tmp_path):
    host = StandIn(tmp_path, TURNED_ON)
    former = {}
    assert host.backend.changes(WANTED, former) == [] and former == {}
    host.backend.changes(WANTED._replace(minutes=30), former)
    assert host.told == []
    assert former == {"relay": "auth", "pop": True, "smtp": True, "minutes": "20"}


def test_the_first_settings_are_remembered_not_those_of_a_later_run(tmp_path):
    host = StandIn(tmp_path, {"relay": "closed"})
    former = {}
    host.settle(WANTED, former)
    host.settle(WANTED._replace(minutes=30), former)
    assert former["relay"] == "closed"


FLAGS = ["", "0", "1", "true", None]
SETTINGS = [
    dict({"relay": relay}, **{name: value for name, value in zip(NAMES, values) if value is not None})
    for NAMES in [("disable_pop_auth", "disable_smtp_auth", "poplock_time")]
    for relay, *values in itertools.product(["auth", "open", "closed"], FLAGS, FLAGS, ["30", None])
]


def off(misc, kind):
    return misc.get("disable_{0}_auth".format(kind), "") not in ("", "0")


@pytest.mark.parametrize("misc", SETTINGS, ids=str)
def test_every_former_setting_is_given_back(tmp_path, misc):
    host = StandIn(tmp_path, misc)
    former = {}
    if misc["relay"] == "auth" and off(misc, "pop") and off(misc, "smtp"):
        with pytest.raises(UserError) as caught:
            host.backend.changes(WANTED, former)
        assert str(caught.value) == plesk.NEITHER and host.told == []
        return
    host.settle(WANTED, former)
    assert host.misc["relay"] == "auth" and not off(host.misc, "pop") and not off(host.misc, "smtp")
    host.settle(None, former)
    assert host.misc["relay"] == misc["relay"]
    if not (off(misc, "pop") and off(misc, "smtp")):
        assert [off(host.misc, kind) for kind in ("pop", "smtp")] == [off(misc, kind) for kind in ("pop", "smtp")]
        assert host.misc["poplock_time"] == misc.get("poplock_time", "20")
    assert host.backend.changes(None, former) == []


def test_a_change_that_fails_is_taken_back(tmp_path):
    host = StandIn(tmp_path, {"relay": "closed"})
    (change,) = host.backend.changes(WANTED, {})
    host.mailserver(list(change.do[0].argv), None)
    perform(host.system, change.undo)
    assert host.misc["relay"] == "closed"


def test_through_the_engine_and_what_is_remembered(tmp_path):
    host = StandIn(tmp_path, {"relay": "auth", "disable_pop_auth": "true", "poplock_time": "30"})
    before = dict(host.misc)
    foreseen = engine.enforce(host.system, "plesk", WANTED, {}, True)
    assert host.misc == before
    made = engine.enforce(host.system, "plesk", WANTED, {})
    assert made["changed"] and (foreseen["steps"], foreseen["diff"]) == (made["steps"], made["diff"])
    assert engine.enforce(host.system, "plesk", WANTED, {})["changed"] is False
    assert engine.enforce(host.system, "plesk", WANTED._replace(minutes=45), {})["changed"]
    assert engine.enforce(host.system, None, None, {})["changed"]
    assert [host.misc[name] for name in ("relay", "disable_pop_auth", "poplock_time")] == ["auth", "true", "30"]
    assert engine.enforce(host.system, None, None, {})["changed"] is False
    assert not host.system.exists(POP_STATE)


def test_what_was_never_changed_is_not_given_back(tmp_path):
    host = StandIn(tmp_path, TURNED_ON)
    assert host.backend.changes(None, {}) == []
    (tmp_path / "etc/psa/psa.conf").unlink()
    assert host.backend.changes(None, {"relay": "closed"}) == []  # Plesk is gone, and its settings with it


def test_either_is_never_taken_undeclared(tmp_path):
    assert Plesk.meanings == (EITHER,) and BOTH not in Plesk.meanings
    assert StandIn(tmp_path, TURNED_ON).backend.undeclared() == [plesk.NO_BOTH]
    assert "without a password" in plesk.NO_BOTH and "names no account" in plesk.NO_BOTH
    host = StandIn(tmp_path, {"relay": "open"})
    assert host.backend.undeclared() == [plesk.NO_BOTH, plesk.OPEN]
    host.system.commands["plesk db"] = Completed(1, "", "ERROR 2002: can't connect")
    assert host.backend.undeclared() == [plesk.NO_BOTH]


def test_the_database_of_old_releases_is_asked_without_the_password_in_sight(tmp_path):
    host = StandIn(tmp_path, TURNED_ON, old=True)
    assert host.backend.changes(WANTED, {}) == []
    ((line, stdin),) = host.system.calls
    assert SHADOW_PASSWORD not in line and 'p"' not in line
    assert stdin == '[client]\nuser=admin\npassword="p\\"a\\\\s#s\'"\n'


@pytest.mark.parametrize("answer", ["", "relay\t\n", "relay\tfalse\n", "nonsense"])
def test_an_answer_that_is_none_is_said(tmp_path, answer):
    host = StandIn(tmp_path, TURNED_ON)
    host.system.commands["plesk db"] = answer
    with pytest.raises(UserError) as caught:
        host.backend.changes(WANTED, {})
    assert "none of auth, open and closed" in str(caught.value)
    assert host.backend.missing() == str(caught.value)


def test_what_is_missing(tmp_path):
    host = StandIn(tmp_path, TURNED_ON)
    assert host.backend.missing() is None
    host.system.commands["plesk db"] = Completed(1, "", "ERROR 2002: can't connect")
    assert "can't connect" in host.backend.missing()
    (tmp_path / "etc/psa/psa.conf").unlink()
    assert host.backend.missing().startswith("There is no Plesk on this host")


def test_without_any_command_of_plesk(tmp_path):
    host = StandIn(tmp_path, TURNED_ON, old=True)
    (tmp_path / "usr/local/psa/bin/mailserver").unlink()
    assert "neither `plesk` nor /usr/local/psa/bin/mailserver" in host.backend.missing()


def test_a_database_that_refuses_says_no_password(tmp_path):
    host = StandIn(tmp_path, TURNED_ON, old=True)
    host.system.commands["mysql"] = Completed(1, "", "ERROR 1045 (28000): Access denied")
    with pytest.raises(UserError) as caught:
        host.backend.changes(WANTED, {})
    assert "Access denied" in str(caught.value) and SHADOW_PASSWORD not in str(caught.value)


def test_evidence(tmp_path):
    assert StandIn(tmp_path, TURNED_ON).backend.evidence() == [
        "psa.misc: relay: auth, POP3 authorization: on, SMTP authorization: on, lock time: 20 minutes"
    ]


@given(text=st.text())
def test_any_answer_is_read_or_refused(tmp_path_factory, text):
    host = StandIn(tmp_path_factory.getbasetemp() / "any", TURNED_ON)
    host.system.commands["plesk db"] = text
    try:
        settings = host.backend._settings()
    except UserError:
        return
    assert settings["relay"] in ("auth", "open", "closed")
