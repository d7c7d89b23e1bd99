"""The engine: prediction, verification, undo, resumption after a kill, rollback; on a firewall made of two files."""

import killing
import pytest
from fake_backend import CONFIG, KERNEL, TwoFiles
from fake_system import FakeSystem
from harden_mail.changes import file_change
from harden_mail.errors import UserError
from harden_mail.firewall import engine, rollback
from harden_mail.firewall.plan import Backend
from harden_mail.firewall.sources import restriction
from harden_mail.paths import FIREWALL_NOTEBOOK, ROLLBACK


class OtherFirewall(Backend):
    """One file."""

    name = "other"

    def missing(self):
        return None

    def changes(self, restriction, _former):
        return file_change(self.system, "/etc/other.conf", restriction and "closed\n")


class Host(FakeSystem):
    """:ivar int steps: how many there were that change something"""

    def __init__(self, root, broken=False):
        super().__init__(root, {"load": self.load, "systemctl": "", "rmdir": self.rmdir})
        self.steps, self.broken = 0, broken

    def load(self, _argv, stdin):
        if self.broken:
            raise UserError("load said no.")
        self.steps += 1
        FakeSystem.write(self, KERNEL, stdin)
        return ""

    def rmdir(self, argv, _stdin):
        self.steps += 1
        self.remove_empty_dir(argv[-1])
        return ""

    def write(self, path, text, mode=0o644):
        self.steps += 1
        super().write(path, text, mode)

    def remove(self, path):
        self.steps += 1
        super().remove(path)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "BACKENDS", {backend.name: backend for backend in (TwoFiles, OtherFirewall)})
    host = FakeSystem(tmp_path)
    host.write(CONFIG, "as the owner wrote it")
    host.write(KERNEL, "open\n")
    return tmp_path


def state(root):
    """Everything on the host but the lock."""
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else None
        for path in root.rglob("*")
        if "run" not in path.relative_to(root).parts
    }


WANTED = restriction(["203.0.113.0/24"], [587])[0]


def present(host, **options):
    return engine.enforce(host, "twofiles", "auto", WANTED, **options)


def absent(host, **options):
    return engine.enforce(host, None, "auto", None, **options)


def test_check_mode_predicts_and_changes_nothing(root):
    before = state(root)
    predicted = present(Host(root), check_mode=True)
    assert state(root) == before
    made = present(Host(root))
    assert made == predicted
    assert made["changed"]
    assert made["steps"] == [CONFIG, "kernel"]
    assert made["diff"]["before"] == "# /etc/firewall.conf\nas the owner wrote it\n# kernel\nopen\n"


def test_second_run_changes_nothing(root):
    present(Host(root))
    after = state(root)
    host = Host(root)
    assert not present(host)["changed"]
    assert host.steps == 0
    assert state(root) == after


def test_absent_gives_everything_back(root):
    before = state(root)
    present(Host(root))
    assert absent(Host(root), check_mode=True)["changed"]
    assert absent(Host(root))["changed"]
    assert {path: text for path, text in state(root).items() if not path.startswith("var")} == before
    assert not absent(Host(root))["changed"]


def test_a_failing_step_undoes_what_was_done(root):
    before = state(root)
    with pytest.raises(UserError, match="said no"):
        present(Host(root, broken=True))
    after = state(root)
    assert after["etc/firewall.conf"] == before["etc/firewall.conf"]


def test_a_host_that_does_not_take_the_change_is_a_failure(root):
    host = Host(root)
    host.commands["load"] = ""
    with pytest.raises(UserError, match="reading them back shows a difference in kernel"):
        present(host)


@pytest.mark.parametrize("options", [{}, {"confirm_within": 60}])
def test_killed_anywhere_the_next_run_completes(root, options):
    wanted = "closed but for 203.0.113.0/24\n"
    for host, where in killing.everywhere(lambda _: Host(root), lambda host: present(host, **options), at_least=15):
        present(host, **options)
        assert (root / "kernel").read_text() == (root / "etc/firewall.conf").read_text() == wanted, where
        absent(Host(root))
        assert (root / "etc/firewall.conf").read_text() == "as the owner wrote it", where
        assert (root / "kernel").read_text() == "open\n", where
        assert not FakeSystem(root).exists("/var/lib/harden-mail"), where


def test_killed_anywhere_while_it_goes_the_next_run_completes(root):
    def begin(_fatal):
        host = Host(root)
        present(host, confirm_within=60)
        return host

    before = state(root)
    for _, where in killing.everywhere(begin, absent, at_least=15):
        absent(Host(root))
        assert {path: text for path, text in state(root).items() if path in before} == before, where
        assert not FakeSystem(root).exists("/var/lib/harden-mail"), where
        assert not rollback.is_armed(FakeSystem(root)), where


def test_an_unconfirmed_change_waits_and_is_confirmed(root):
    host = Host(root)
    assert present(host, confirm_within=60)["pending"]
    assert ("systemctl restart harden-mail-rollback.timer", None) in host.calls
    assert "OnActiveSec=60" in host.read(rollback.TIMER)
    assert present(Host(root), confirm_within=60)["pending"], "still waiting; nothing else to do"
    confirmed = engine.confirm(Host(root))
    assert confirmed["changed"]
    assert not confirmed["pending"]
    assert not host.exists(rollback.TIMER)
    assert not host.exists(ROLLBACK)
    with pytest.raises(UserError, match="nothing to confirm"):
        engine.confirm(Host(root))


def test_a_run_without_confirmation_ends_the_wait(root):
    present(Host(root), confirm_within=60)
    assert present(Host(root), check_mode=True)["steps"] == ["unit harden-mail-rollback.timer"]
    assert present(Host(root))["changed"]
    assert not rollback.is_armed(Host(root))


def test_another_backend_takes_over_and_the_old_one_goes_also_after_a_kill(root):
    def begin(_fatal):
        host = Host(root)
        present(host)
        return host

    def take_over(host):
        engine.enforce(host, "other", "auto", WANTED)

    for host, where in killing.everywhere(begin, take_over, at_least=15):
        closed = host.exists("/etc/other.conf"), "closed" in host.read(KERNEL)
        assert any(closed), "never open in between, as at " + where
        take_over(host)
        assert host.read(KERNEL) == "open\n", where
        assert host.read(CONFIG) == "as the owner wrote it", where
        assert '"twofiles"' not in host.read(FIREWALL_NOTEBOOK), where
        absent(host)
        assert not host.exists("/etc/other.conf"), where
