import os
import shlex

import pytest
from fake_system import FakeSystem
from harden_mail.changes import file_change, make
from harden_mail.errors import UserError
from harden_mail.paths import POP_FOLLOWER, POP_FOLLOWER_UNIT
from harden_mail.pop import follower_unit
from harden_mail.pop.follower_unit import COURIER_UNITS, UNIT, USER, FollowerPart
from harden_mail.pop.meaning import BOTH
from harden_mail.pop.plan import Wanted
from hypothesis import given
from hypothesis import strategies as st

WANTED = Wanted(BOTH, 20, 128, ())


class Host:
    """A host with systemd, useradd and a log."""

    def __init__(self, tmp_path, monkeypatch, **options):
        self.states = {"ActiveState": "inactive", "UnitFileState": "", "MainPID": "0"}
        self.told = []
        self.system = FakeSystem(
            tmp_path, {"systemctl": self.systemctl, "useradd": self.useradd, "userdel": self.userdel}
        )
        for path, text in (
            ("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("/etc/group", "root:x:0:\nsystemd-journal:x:101:\n"),
            ("/usr/sbin/nologin", ""),
            ("/usr/bin/journalctl", ""),
            ("/var/log/mail.log", ""),
        ):
            self.system.write(path, text, 0o755 if "bin/" in path else 0o640)
        monkeypatch.setattr(follower_unit, "build_program", lambda module: "the program\n")
        self.part = FollowerPart(self.system, options)

    def systemctl(self, argv, _stdin):
        words = list(argv[1:])
        if words[0] == "show":
            return "".join("{0}={1}\n".format(*item) for item in self.states.items())
        self.told.append(" ".join(words[:-1]) if words[-1] == POP_FOLLOWER_UNIT else " ".join(words))
        if words[0] == "enable":
            self.states["UnitFileState"] = "enabled"
        if words[0] == "disable":
            self.states.update(UnitFileState="disabled", ActiveState="inactive", MainPID="0")
        if words[0] == "restart":
            # ExecStart as systemd reads it, for words without its own escapes.
            line = next(line for line in self.system.read(UNIT).splitlines() if line.startswith("ExecStart="))
            argv = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line[len("ExecStart=") :])]
            self.states.update(ActiveState="active", MainPID="77")
            self.system.write("/proc/77/cmdline", "\0".join(["/usr/bin/python3", "-I"] + argv) + "\0")
        return ""

    def useradd(self, argv, _stdin):
        self.system.write("/etc/passwd", self.system.read("/etc/passwd") + argv[-1] + ":x:999:999::/:/x\n")
        return ""

    def userdel(self, argv, _stdin):
        lines = self.system.read("/etc/passwd").splitlines(True)
        self.system.write("/etc/passwd", "".join(line for line in lines if not line.startswith(argv[-1] + ":")))
        return ""

    def changes(self, wanted):
        return self.part.user(wanted) + self.programs(wanted) + self.part.running(wanted)

    def programs(self, wanted):
        return [change for file in self.part.files(wanted) for change in file_change(self.system, *file)]

    def settle(self, wanted):
        changes = self.changes(wanted)
        if wanted is None:
            changes = self.part.running(None) + self.programs(None) + self.part.user(None)
        make(self.system, changes, perform)
        assert self.changes(wanted) == []
        return [change.what for change in changes]


def perform(system, steps):
    for step in steps:
        if hasattr(step, "argv"):
            system.run(list(step.argv), stdin=step.stdin)
        elif step.text is None:
            system.remove(step.path)
        else:
            system.write(step.path, step.text, step.mode)


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_it_comes_and_goes(host):
    before = host.system.read("/etc/passwd")
    assert host.settle(WANTED) == ["user " + USER, POP_FOLLOWER, UNIT, POP_FOLLOWER_UNIT]
    assert host.told == ["daemon-reload", "enable", "restart"]
    assert host.settle(WANTED) == []
    assert host.settle(None) == [POP_FOLLOWER_UNIT, POP_FOLLOWER, UNIT, "user " + USER]
    assert host.told[3:] == ["disable --now"]
    assert host.system.read("/etc/passwd") == before
    assert not host.system.exists(UNIT) and not host.system.exists(POP_FOLLOWER)


def test_one_that_failed_is_forgotten(host):
    host.settle(WANTED)
    host.states.update(ActiveState="failed", UnitFileState="disabled")
    host.told.clear()
    perform(host.system, host.part.running(None)[0].do)
    assert host.told == ["reset-failed"]


def test_other_options_restart_it(host):
    host.settle(WANTED)
    host.told.clear()
    assert host.settle(WANTED._replace(minutes=30)) == [UNIT, POP_FOLLOWER_UNIT]
    assert host.told == ["daemon-reload", "enable", "restart"]
    host.part.patterns = [r"in (?P<address>\S+)"]
    assert host.settle(WANTED._replace(minutes=30)) == [UNIT, POP_FOLLOWER_UNIT]


def test_another_program_restarts_it(host, monkeypatch):
    host.settle(WANTED)
    monkeypatch.setattr(follower_unit, "build_program", lambda module: "another program\n")
    assert host.settle(WANTED) == [POP_FOLLOWER, UNIT, POP_FOLLOWER_UNIT]


def test_a_run_that_was_killed_before_the_restart_is_completed(host):
    host.settle(WANTED)
    changes = host.changes(WANTED._replace(minutes=30))
    for change in changes[:-1]:
        perform(host.system, change.do)
    assert host.settle(WANTED._replace(minutes=30)) == [POP_FOLLOWER_UNIT]


@pytest.mark.parametrize("state", [{"ActiveState": "failed"}, {"UnitFileState": "disabled"}, {"MainPID": "78"}])
def test_one_that_does_not_run_as_it_should_is_started(host, state):
    host.settle(WANTED)
    host.states.update(state)
    assert host.settle(WANTED) == [POP_FOLLOWER_UNIT]


def test_the_unit(host):
    text = host.part._unit(["a b", '%$"\\'])
    assert 'ExecStart="a b" "%%$$\\"\\\\"\n' in text
    assert "User={0}\n".format(USER) in text and "CapabilityBoundingSet=\n" in text
    assert "SupplementaryGroups=systemd-journal\n" in text


def test_courier_is_what_is_followed_unless_told(host, tmp_path, monkeypatch):
    assert tuple(host.part.units) == COURIER_UNITS and host.part.logs == []
    (tmp_path / "x").mkdir()
    told = Host(tmp_path / "x", monkeypatch, follower_units=["popper.service"], follower_patterns=["(?P<address>x)"])
    assert "--unit=popper.service" in told.part._argv(WANTED, "")
    assert "--pattern=(?P<address>x)" in told.part._argv(WANTED, "")


def test_a_log_file_must_be_readable_by_a_group(tmp_path, monkeypatch):
    host = Host(tmp_path, monkeypatch, follower_files=["/var/log/mail.log"])
    monkeypatch.setattr(follower_unit.os, "stat", stat_with(0o640, os.getgid() or 4))
    assert host.part.missing() is None and host.part.units == []
    group = follower_unit.grp.getgrgid(os.getgid() or 4).gr_name
    assert "SupplementaryGroups={0}\n".format(group) in host.part._unit([])
    assert host.part.findings(None) == [follower_unit.FORGED.format("/var/log/mail.log")]
    monkeypatch.setattr(follower_unit.os, "stat", stat_with(0o600, 4))
    assert "no group but root's may read it" in host.part.missing()
    monkeypatch.setattr(follower_unit.os, "stat", stat_with(0o640, 0))
    assert "no group but root's may read it" in host.part.missing()
    monkeypatch.setattr(follower_unit.os, "stat", stat_with(0o644, 0))
    assert host.part.missing() is None
    assert "SupplementaryGroups=\n" in host.part._unit([])


def stat_with(mode, group):
    return lambda path: os.stat_result((mode, 0, 0, 1, 0, group, 0, 0, 0, 0))


def test_a_host_without_a_journal(host):
    os.unlink(host.system.real("/usr/bin/journalctl"))
    assert "there is no journal" in host.part.missing()


@pytest.mark.parametrize(
    "options, said",
    [
        ({"follower_units": ["a b.service"]}, "follower_units contains 'a b.service'"),
        ({"follower_units": ["/x"]}, "follower_units contains '/x'"),
        ({"follower_files": ["mail.log"]}, "follower_files contains 'mail.log'"),
        ({"follower_files": ["/a\nb"]}, "follower_files contains"),
        ({"follower_patterns": ["("]}, "is no regular expression"),
        ({"follower_patterns": ["(?P<address>\n)"]}, "can't be printed"),
    ],
)
def test_wrong_options(tmp_path, monkeypatch, options, said):
    with pytest.raises(UserError) as caught:
        Host(tmp_path, monkeypatch, **options).part.missing()
    assert said in str(caught.value)


def unquoted(text):
    """What systemd makes of a quoted word (systemd.service(5)): escapes, then specifiers, then variables."""
    assert text[0] == text[-1] == '"'
    found, position, inner = "", 0, text[1:-1]
    while position < len(inner):
        pair = inner[position : position + 2]
        assert pair[0] not in '"%$\\' or pair in ("%%", "$$", '\\"', "\\\\"), pair
        found += pair[1] if pair[0] in "%$\\" else pair[0]
        position += 2 if pair[0] in "%$\\" else 1
    return found


@given(st.text('\\"%$ax é'))
def test_any_word_is_taken_literally(word):
    assert unquoted(follower_unit._quoted(word)) == word
