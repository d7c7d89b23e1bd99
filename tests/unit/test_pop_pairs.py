"""Each pair of programs put on a host and taken away, through the engine; the programs are stand-ins."""

import json
import os
import pwd
import shutil

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.paths import POP_CONFIG, POP_DATABASE, POP_FOLLOWER_UNIT, POP_GATE, POP_TIMER
from harden_mail.pop import database, engine, follower_unit, pair, readers
from harden_mail.pop.meaning import BOTH
from harden_mail.pop.pairs import QmailCourier
from harden_mail.pop.plan import Wanted

WANTED = Wanted(BOTH, 20, 128, ())
OPTIONS = {"config_dirs": [], "pop_config_dir": "/etc/dovecot", "qmail_user": "root", "edit_run_scripts": True}
RUN = "#!/bin/sh\nexec tcpserver 0 587 /var/qmail/bin/qmail-smtpd host checkpassword true\n"
SCRIPT = "/service/submission/run"


class Host:
    """qmail with Courier, and a systemd that starts what it is told."""

    def __init__(self, tmp_path, monkeypatch):
        self.units, self.done, self.read = {}, [], {}
        self.system = FakeSystem(tmp_path, {
            "systemctl": self.systemctl, "useradd": self.useradd, "userdel": self.userdel, "svc": "",
            "pop-before-smtp": self.keep, "rm": self.rm, "journalctl": "",
        })  # fmt: skip
        for path, text in (
            ("/run/systemd/system/x", ""),
            ("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("/etc/group", "root:x:0:\n"),
            ("/usr/bin/journalctl", ""),
            ("/var/qmail/bin/qmail-smtpd", ""),
            (SCRIPT, RUN),
        ):
            self.system.write(path, text, 0o755)
        monkeypatch.setitem(engine.BACKENDS, QmailCourier.name, QmailCourier)
        monkeypatch.setattr(follower_unit, "build_program", lambda module: "follower\n")
        monkeypatch.setattr(pair, "build_program", lambda module: "program\n")
        monkeypatch.setattr(readers, "may_read", lambda path, uid: True)
        monkeypatch.setattr(pair.pwd, "getpwnam", lambda name: pwd.getpwuid(0))

    def systemctl(self, argv, _stdin):
        self.done.append(" ".join(argv[1:]))
        unit = argv[-1]
        state = self.units.setdefault(unit, {"ActiveState": "inactive", "UnitFileState": "", "MainPID": "0"})
        path = "/etc/systemd/system/" + unit
        if argv[1] == "show":
            # It reads one that it does not know yet.
            read = self.read.setdefault(unit, self.system.read(path))
            known = {
                "FragmentPath": path if read else "",
                "DropInPaths": "",
                "NeedDaemonReload": "yes" if read != self.system.read(path) else "no",
            }
            return "".join("{0}={1}\n".format(*item) for item in dict(known, **state).items())
        if argv[1] == "daemon-reload":
            self.read.clear()
        if argv[1] == "enable":
            state.update(UnitFileState="enabled")
        if "--now" in argv:
            on = argv[1] == "enable"
            state.update(ActiveState="active" if on else "inactive", UnitFileState="enabled" if on else "disabled")
        if argv[1] == "restart":
            line = next(
                one for one in self.system.read(follower_unit.UNIT).splitlines() if one.startswith("ExecStart=")
            )
            words = line[len("ExecStart=") :].strip('"').split('" "')
            state.update(ActiveState="active", MainPID="7")
            self.system.write("/proc/7/cmdline", "\0".join(words) + "\0")
        return ""

    def useradd(self, argv, _stdin):
        self.system.write("/etc/passwd", self.system.read("/etc/passwd") + argv[-1] + ":x:999:999::/:/x\n")
        return ""

    def userdel(self, argv, _stdin):
        lines = self.system.read("/etc/passwd").splitlines(True)
        self.system.write("/etc/passwd", "".join(one for one in lines if not one.startswith(argv[-1] + ":")))
        return ""

    def keep(self, _argv, _stdin):
        self.system.write(database.PATH, "")
        os.chmod(self.system.real(database.PATH), database.FILE_MODE)
        os.chmod(self.system.real(POP_DATABASE), database.DIRECTORY_MODE)
        return ""

    def rm(self, argv, _stdin):
        shutil.rmtree(self.system.real(argv[-1]))
        return ""

    def enforce(self, name, wanted, check=False):
        return engine.enforce(self.system, name, wanted, dict(OPTIONS), check)

    def tree(self):
        return {
            os.path.relpath(os.path.join(where, name), self.system.root): open(os.path.join(where, name)).read()
            for where, _names, names in os.walk(self.system.root)
            for name in names
            if "/proc" not in where and "/run/harden-mail" not in where
        }


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_qmail_with_courier_comes_and_goes(host):
    before = host.tree()
    foreseen = host.enforce("qmail_courier", WANTED, check=True)
    assert host.tree() == before
    made = host.enforce("qmail_courier", WANTED)
    assert (foreseen["steps"], foreseen["diff"]) == (made["steps"], made["diff"])
    assert made["findings"] == [] and made["changed"]
    assert (
        POP_GATE in host.system.read(SCRIPT) and host.system.exists(POP_GATE) and host.system.exists(follower_unit.UNIT)
    )
    config = json.loads(host.system.read(POP_CONFIG))
    assert (config["writer"], config["reader"], config["sessions"]) == (follower_unit.USER, "root", [])
    assert host.enforce("qmail_courier", WANTED)["changed"] is False
    assert host.enforce(None, None)["changed"]
    assert host.tree() == before
    assert host.enforce(None, None)["changed"] is False


def test_the_follower_begins_when_its_database_is_there_and_ends_before_it_goes(host):
    steps = host.enforce("qmail_courier", WANTED)["steps"]
    order = ["user " + follower_unit.USER, follower_unit.UNIT, database.PATH, POP_FOLLOWER_UNIT, POP_GATE, SCRIPT]
    assert [step for step in steps if step in order] == order
    steps = host.enforce(None, None)["steps"]
    order = [
        SCRIPT,
        POP_FOLLOWER_UNIT,
        POP_GATE,
        follower_unit.UNIT,
        POP_DATABASE,
        "user " + follower_unit.USER,
    ]
    assert [step for step in steps if step in order] == order


def test_systemd_reads_units_that_came_and_went(host):
    host.enforce("qmail_courier", WANTED)
    host.done.clear()
    host.enforce(None, None)
    assert host.done.count("daemon-reload") == 3


def test_a_kill_before_systemd_read_the_units_is_made_good(host):
    host.enforce("qmail_courier", WANTED)
    before = host.read[POP_TIMER]
    assert before
    wanted = WANTED._replace(minutes=1)
    assert pair.TIMER in host.enforce("qmail_courier", wanted)["steps"]
    # As if it had been killed right after the file: systemd goes by what it read before.
    host.read[POP_TIMER] = before
    host.done.clear()
    assert host.enforce("qmail_courier", wanted)["steps"] == ["systemd's memory of " + pair.TIMER]
    assert host.done.count("daemon-reload") == 1
    assert not host.enforce("qmail_courier", wanted)["changed"]


def test_a_kill_before_systemd_forgot_the_units_is_made_good(host):
    host.enforce("qmail_courier", WANTED)
    before = host.read[POP_TIMER]
    host.enforce(None, None)
    host.read[POP_TIMER] = before
    (change,) = QmailCourier(host.system, OPTIONS).support(None, {})
    assert change.what == "systemd's memory of " + pair.TIMER


def test_a_database_that_qmail_may_not_read_is_mended(host, monkeypatch):
    host.enforce("qmail_courier", WANTED)
    monkeypatch.setattr(readers, "may_read", lambda path, uid: path.endswith("sqlite"))
    with pytest.raises(UserError):  # this stand-in mends nothing
        host.enforce("qmail_courier", WANTED)
    assert host.enforce("qmail_courier", WANTED, check=True)["steps"] == [database.PATH]
