"""When systemd has to be told to read its units, as `systemctl show` answers."""

import pytest
from fake_system import FakeSystem
from harden_mail.changes import Run, WriteFile, make, perform
from harden_mail.firewall.boot_unit import SANDBOX_OF_NFT, unit_changes
from harden_mail.systemd_units import RELOAD, is_outdated, unit_file_changes

UNIT = "/etc/systemd/system/x.timer"
DROP_IN = "/etc/systemd/system/host.service.d/x.conf"
OTHER = "/lib/systemd/system/host.service"


def shown(fragment, drop_ins, needed):
    return "FragmentPath={0}\nDropInPaths={1}\nNeedDaemonReload={2}\n".format(fragment, drop_ins, needed)


@pytest.mark.parametrize(
    ("path", "is_there", "answer", "outdated"),
    [
        (UNIT, True, shown(UNIT, "", "no"), False),
        (UNIT, True, shown(UNIT, "", "yes"), True),  # killed after it was written anew
        (UNIT, True, shown("", "", "no"), True),  # killed after it was written, known as one that is not there
        (UNIT, False, shown(UNIT, "", "yes"), True),  # killed after it was removed
        (UNIT, False, shown("", "", "no"), False),
        (DROP_IN, True, shown(OTHER, DROP_IN, "no"), False),
        (DROP_IN, True, shown(OTHER, "/run/other.conf " + DROP_IN, "yes"), True),
        (DROP_IN, True, shown(OTHER, "/run/other.conf", "yes"), True),
        (DROP_IN, False, shown(OTHER, DROP_IN, "yes"), True),
        (DROP_IN, False, shown(OTHER, "/run/other.conf", "yes"), False),  # another one's change is not ours to load
        (DROP_IN, False, "", False),  # no answer
        (DROP_IN, True, "", False),
    ],
)
def test_what_systemd_has_in_memory_is_compared_with_what_is_on_disk(tmp_path, path, is_there, answer, outdated):
    unit = "host.service" if path == DROP_IN else "x.timer"
    show = "systemctl show --property=FragmentPath,DropInPaths,NeedDaemonReload " + unit
    system = FakeSystem(tmp_path, {show: answer})
    if is_there:
        system.write(path, "[Unit]\n")
    assert is_outdated(system, path) == outdated
    then = RELOAD._replace(argv=("true",))
    changes = unit_file_changes(system, path, "[Unit]\n" if is_there else None, [then])
    assert [change.do for change in changes] == ([(RELOAD, then)] if outdated else [])
    assert all(path in change.what for change in changes)


def test_without_systemd_nothing_is_outdated(tmp_path):
    assert not is_outdated(FakeSystem(tmp_path), UNIT)


def test_systemd_is_told_of_what_comes_and_goes_also_when_it_is_undone(tmp_path):
    system = FakeSystem(tmp_path)
    then = RELOAD._replace(argv=("true",))
    (change,) = unit_file_changes(system, UNIT, "[Unit]\n", [then])
    assert change.do == (WriteFile(UNIT, "[Unit]\n", 0o644), RELOAD, then)
    assert change.undo == (WriteFile(UNIT, None, 0o644), RELOAD)
    system.write(DROP_IN, "[Service]\n")
    (change,) = unit_file_changes(system, DROP_IN, None)
    assert [type(step) for step in change.do] == [WriteFile, Run, Run]
    assert change.do[1].argv[-1] == "/etc/systemd/system/host.service.d" and change.do[2] == RELOAD
    assert change.undo == (WriteFile(DROP_IN, "[Service]\n", 0o644), RELOAD)


@pytest.mark.parametrize("directory_left", [False, True])
def test_a_kill_around_the_removal_of_a_drop_in_s_directory_is_made_good(tmp_path, directory_left):
    show = "systemctl show --property=FragmentPath,DropInPaths,NeedDaemonReload host.service"
    system = FakeSystem(tmp_path, {show: shown(OTHER, DROP_IN, "yes")})
    if directory_left:
        system.write(DROP_IN, "text")
        system.remove(DROP_IN)
    (change,) = unit_file_changes(system, DROP_IN, None)
    # rmdir says an error about a directory that is not there.
    assert any("rmdir" in " ".join(step.argv) for step in change.do) == directory_left


def test_a_kill_before_systemd_read_the_boot_unit_is_made_good(tmp_path):
    name, commands = "x.service", ["/bin/true"]
    path = "/etc/systemd/system/" + name
    system = FakeSystem(tmp_path, {"systemctl": ""})
    make(system, unit_changes(system, commands, name, SANDBOX_OF_NFT), lambda *what: perform(*what, "-", ()))
    system.write("/etc/systemd/system/sysinit.target.wants/" + name, "")
    assert unit_changes(system, commands, name, SANDBOX_OF_NFT) == []
    system.commands["systemctl show"] = shown(path, "", "yes")
    (change,) = unit_changes(system, commands, name, SANDBOX_OF_NFT)
    # What it does now is what it will do at boot.
    assert change.do == (RELOAD, Run(("systemctl", "restart", name), None))
