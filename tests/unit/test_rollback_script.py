"""The way back is run as the shell script that it is, on a firewall made of two files."""

import os
import re
import shutil
import subprocess

import pytest
from fake_backend import CONFIG, KERNEL, TwoFiles
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.firewall import engine, rollback, rollback_script
from harden_mail.firewall.sources import restriction
from harden_mail.paths import FIREWALL_LOCK, ROLLBACK_MARKS

PROGRAMS = {
    "load": """
echo loading >>{root}/calls
[ ! -e {root}/broken ] || {{ echo "load said no" >&2; exit 1; }}
cat >{root}/kernel
if [ -e {root}/deadly ]; then rm {root}/deadly; kill -9 $(cat {root}/pid); fi
""",
    "systemctl": "echo systemctl $* >>{root}/calls",
    "logger": """shift 3; echo "$*" >>{root}/journal""",
}
FIRST = {CONFIG: "as the owner wrote it", KERNEL: "open\n"}
BACK = "the former state of the submission firewall is back"
NOT_BACK = "the former state of the submission firewall is NOT back"


class Host(FakeSystem):
    """A host on which the script can be run."""

    def __init__(self, root):
        super().__init__(root, {"load": self.load, "systemctl": "", "rmdir": self.rmdir})
        for path, text in FIRST.items():
            self.write(path, text)
        for name, text in PROGRAMS.items():
            self.write("/bin/" + name, "#!/bin/sh\n" + text.format(root=root), 0o755)

    def load(self, _argv, stdin):
        self.write(KERNEL, stdin)
        return ""

    def rmdir(self, argv, _stdin):
        self.remove_empty_dir(argv[-1])
        return ""

    def present(self, network, **options):
        return engine.enforce(self, "twofiles", "auto", restriction([network], [587])[0], **options)

    def take_back(self):
        """Run the script; returns its exit status."""
        script = re.sub(r"(?<![\w.$])/(etc|var|run|kernel)\b", self.root + r"/\1", self.read(rollback.SCRIPT))
        outside = re.findall(r"(?m)(?:^|[ >'\"])(/(?!bin/|dev/null)\S+)", script)
        assert all(path.startswith(self.root) for path in outside), outside
        command = "echo $$ >{0}/pid; PATH={0}/bin:$PATH; exec sh -s".format(self.root)
        return subprocess.run(["sh", "-c", command], input=script.encode(), check=False).returncode

    def state(self):
        return {path: self.read(path) for path in FIRST}

    def journal(self):
        return self.read("/journal") or ""


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "BACKENDS", {"twofiles": TwoFiles})
    return Host(tmp_path)


def assert_all_is_back(host):
    assert host.state() == FIRST
    assert host.journal().splitlines()[-1] == BACK
    for path in (rollback.SERVICE, rollback.TIMER, "/var/lib/harden-mail", ROLLBACK_MARKS):
        assert not host.exists(path), path
    assert "systemctl stop harden-mail-rollback.timer" in host.read("/calls")


def test_two_unconfirmed_changes_are_taken_back_to_the_first_state(host):
    host.present("203.0.113.0/24", confirm_within=60)
    host.present("203.0.112.0/23", confirm_within=60)
    assert host.take_back() == 0
    assert host.read("/calls").count("loading") == 2
    assert_all_is_back(host)


def test_after_a_boot_nobody_else_can_hold_its_lock(host):
    host.present("203.0.113.0/24", confirm_within=60)
    shutil.rmtree(host.real(os.path.dirname(FIREWALL_LOCK)))
    assert host.take_back() == 0
    assert host.mode(FIREWALL_LOCK) == 0o600 and host.mode(os.path.dirname(FIREWALL_LOCK)) == 0o755
    assert_all_is_back(host)


def test_a_step_that_fails_once_is_tried_again_and_the_truth_is_told(host):
    host.present("203.0.113.0/24", confirm_within=60)
    host.write("/broken", "")
    for _ in range(3):
        assert host.take_back() == 1
        assert BACK not in host.journal()
        assert host.journal().splitlines()[-1].startswith(NOT_BACK)
        assert "not taken back: kernel: load said no" in host.journal()
        assert host.state() == dict(FIRST, **{KERNEL: "closed but for 203.0.113.0/24\n"}), "the rest is back"
        assert all(host.exists(path) for path in (rollback.SCRIPT, rollback.SERVICE, rollback.TIMER))
    with pytest.raises(UserError, match="being taken back; what fails: kernel: load said no"):
        engine.confirm(host)
    finding = host.present("203.0.113.0/24", check_mode=True)["findings"][-1]
    assert "being taken back, and that fails (kernel: load said no)" in finding
    host.remove("/broken")
    assert host.take_back() == 0
    assert host.read("/calls").count("loading") == 4
    assert_all_is_back(host)


def test_what_comes_after_a_step_that_failed_is_done_again(host):
    """A reload, say: what it loaded was not all back."""
    host.present("203.0.113.0/24", confirm_within=60)
    script = host.read(rollback.SCRIPT)
    reload = "step 99 x /dev/null systemctl reload firewall\n"
    host.write(rollback.SCRIPT, script.replace(rollback_script.END, reload + rollback_script.END))
    host.write("/broken", "")
    assert host.take_back() == 1
    host.remove("/broken")
    assert host.take_back() == 0
    assert host.read("/calls").count("systemctl reload firewall") == 2
    assert_all_is_back(host)


def test_nothing_is_removed_before_all_else_is_back(host):
    host.remove(CONFIG)
    host.present("203.0.113.0/24", confirm_within=60)
    host.write("/broken", "")
    assert host.take_back() == 1
    assert host.exists(CONFIG)
    host.remove("/broken")
    assert host.take_back() == 0
    assert not host.exists(CONFIG)


def test_a_kill_in_the_middle_is_made_good_by_the_next_try(host):
    host.present("203.0.113.0/24", confirm_within=60)
    host.write("/deadly", "")
    assert host.take_back() == -9
    assert rollback.is_armed(host)
    with pytest.raises(UserError, match="it is under way"):
        engine.confirm(host)
    assert host.take_back() == 0
    assert host.read("/calls").count("loading") == 2, "nobody knows whether it was done, so it is done again"
    assert_all_is_back(host)


def test_what_a_boot_loads_again_is_taken_back_again(host):
    host.present("203.0.113.0/24", confirm_within=60)
    script = host.read(rollback.SCRIPT)
    # Something after the kernel's rules can't be brought back, and a boot comes in between.
    host.write(
        rollback.SCRIPT, script.replace(rollback_script.END, "step 99 x /dev/null false\n" + rollback_script.END)
    )
    assert host.take_back() == 1
    assert host.take_back() == 1
    assert host.read("/calls").count("loading") == 1, "once a boot is enough"
    host.write(KERNEL, "closed but for 203.0.113.0/24\n")
    for name in host.listdir(ROLLBACK_MARKS):
        host.remove(ROLLBACK_MARKS + "/" + name)
    assert host.take_back() == 1
    assert host.state() == FIRST


def test_a_new_change_on_top_of_a_way_back_that_fails_leads_to_the_first_state(host):
    host.present("203.0.113.0/24", confirm_within=60)
    host.write("/broken", "")
    assert host.take_back() == 1
    host.remove("/broken")
    host.present("203.0.112.0/23", confirm_within=60)
    assert rollback.trouble(host) is None
    stop = ("systemctl stop harden-mail-rollback.service", None)
    assert stop in host.calls, "or it would be tried again before its time"
    assert host.take_back() == 0
    assert_all_is_back(host)


def test_a_run_without_confirmation_ends_a_way_back_that_fails(host):
    host.present("203.0.113.0/24", confirm_within=60)
    host.write("/broken", "")
    assert host.take_back() == 1
    result = host.present("203.0.113.0/24")
    assert result["findings"] == []
    assert not result["pending"]
    assert "203.0.113.0" in host.read(KERNEL) and "203.0.113.0" in host.read(CONFIG)
    assert not host.present("203.0.113.0/24")["changed"]


def test_what_a_kill_in_the_last_lines_leaves_goes_with_the_next_run(host):
    host.present("203.0.113.0/24", confirm_within=60)
    host.remove(rollback.SCRIPT)
    assert host.present("203.0.113.0/24", confirm_within=60)["steps"] == ["unit harden-mail-rollback.timer"]
    assert not host.exists(rollback.TIMER)
    assert not host.present("203.0.113.0/24", confirm_within=60)["changed"]


def test_a_script_of_another_make_is_not_added_to(host):
    host.present("203.0.113.0/24", confirm_within=60)
    host.write(rollback.SCRIPT, "#!/bin/sh\nput /a /b 644\n")
    with pytest.raises(UserError, match="another version of harden-mail"):
        host.present("203.0.112.0/23", confirm_within=60)
