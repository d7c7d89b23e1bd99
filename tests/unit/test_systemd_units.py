"""When systemd has to be told to read its units, as `systemctl show` answers."""

import pytest
from fake_system import FakeSystem
from harden_mail.systemd_units import RELOAD, is_outdated, memory_changes

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
    first = RELOAD._replace(argv=("true",))
    changes = memory_changes(system, path, (first,))
    assert [change.do for change in changes] == ([(first, RELOAD)] if outdated else [])
    assert all(path in change.what for change in changes)


def test_without_systemd_nothing_is_outdated(tmp_path):
    assert not is_outdated(FakeSystem(tmp_path), UNIT)
