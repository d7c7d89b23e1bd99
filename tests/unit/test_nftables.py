"""The nftables backend on tables that nft 1.0.6 and 1.1.3 listed, and on hosts with and without nftables.service."""

import copy
import json
import pathlib

import pytest
from fake_system import FakeSystem
from harden_mail.changes import Run, WriteFile
from harden_mail.errors import UserError
from harden_mail.firewall.nftables import backend as nftables
from harden_mail.firewall.nftables import table as nft_table
from harden_mail.firewall.sources import restriction
from harden_mail.paths import NFTABLES_UNIT
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st

DATA = pathlib.Path(__file__).parents[1] / "data" / "nftables"
RECORDED = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DATA.glob("*.json"))}

# What was loaded when the tables were recorded.
WANTED = restriction(
    [
        "203.0.113.0/24",
        "203.0.113.77",
        "198.51.100.7",
        "10.0.0.4-10.0.0.9",
        "2001:db8::/48",
        "2001:db8:5::1",
    ],
    [587, 465],
)[0]

SERVICE = """\
ExecStart={{ path=/usr/sbin/nft ; argv[]=/usr/sbin/nft -f /etc/nftables.conf ; ignore_errors=no }}
ExecStop={{ path=/usr/sbin/nft ; argv[]=/usr/sbin/nft flush ruleset ; ignore_errors=no }}
Id=nftables.service
ActiveState={0}
UnitFileState={1}

Id=firewalld.service
ActiveState=inactive
UnitFileState=disabled
"""
CONFIG = "/etc/nftables.conf"
DROP_IN = "/etc/systemd/system/nftables.service.d/harden-mail.conf"
SHIPPED = "#!/usr/sbin/nft -f\nflush ruleset\n"


def host(root, listing=None, active="inactive", enabled="disabled"):
    """A host with nft; ``listing``: our table as it is in its kernel."""
    answer = Completed(1, "", "Error: No such file or directory")
    if listing is not None:
        answer = json.dumps(listing)
    commands = {
        "nft -j list tables": '{"nftables": []}',
        "nft -j list table inet": answer,
        "nft -s list table inet": "table inet harden_mail_submission {\n}\n",
        "systemctl show": SERVICE.format(active, enabled),
    }
    made = FakeSystem(root, commands)
    made.write(CONFIG, SHIPPED)
    return made


def settle(system, changes):
    """Do what the changes say to files; their commands are not run."""
    for change in changes:
        for step in change.do:
            if isinstance(step, WriteFile):
                if step.text is None:
                    system.remove(step.path)
                else:
                    system.write(step.path, step.text, step.mode)
            elif step.argv[:2] == ("systemctl", "enable"):
                system.write("/etc/systemd/system/sysinit.target.wants/" + step.argv[2], "")
            elif step.argv[:2] == ("systemctl", "disable"):
                system.remove("/etc/systemd/system/sysinit.target.wants/" + step.argv[-1])


def test_both_versions_are_recorded():
    assert set(RECORDED) == {"deb12", "deb13"}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_listed_table_is_what_was_loaded(name):
    assert nft_table.read_table(RECORDED[name]) == nft_table.wanted_table(WANTED)


def bodies(listing, kind):
    return [item[kind] for item in listing["nftables"] if kind in item]


def add_element(listing):
    next(body for body in bodies(listing, "set") if body["name"] == "allowed4")["elem"].append("192.0.2.66")


def add_passing_element(listing):
    """One with a timeout goes away by itself, but until then it lets somebody in."""
    added = {"elem": {"val": "192.0.2.66", "timeout": 60}}
    next(body for body in bodies(listing, "set") if body["name"] == "allowed4")["elem"].append(added)


def drop_rule(listing):
    listing["nftables"].remove(next(item for item in listing["nftables"] if "rule" in item))


def accept_all(listing):
    first = next(at for at, item in enumerate(listing["nftables"]) if "rule" in item)
    listing["nftables"].insert(first, {"rule": {"chain": "input", "expr": [{"accept": None}]}})


def later_hook(listing):
    next(body for body in bodies(listing, "chain") if body["name"] == "input")["prio"] = 10


def sleeping_table(listing):
    bodies(listing, "table")[0]["flags"] = ["dormant"]


def foreign_chain(listing):
    listing["nftables"].append({"chain": {"name": "mine"}})


@pytest.mark.parametrize("name", sorted(RECORDED))
@pytest.mark.parametrize(
    "meddle", [add_element, add_passing_element, drop_rule, accept_all, later_hook, sleeping_table, foreign_chain]
)
def test_any_change_by_hand_is_seen(tmp_path, name, meddle):
    listing = copy.deepcopy(RECORDED[name])
    meddle(listing)
    changes = nftables.Nftables(host(tmp_path, listing)).changes(WANTED, {})
    kernel = [change for change in changes if change.what.startswith("kernel")]
    assert len(kernel) == 1
    assert kernel[0].do == (Run(("nft", "-f", "-"), nft_table.ruleset(WANTED)),)


@pytest.mark.parametrize(
    ("active", "enabled", "by_unit", "includes"),
    [
        ("inactive", "disabled", True, False),
        ("active", "enabled", False, True),
        # Loaded by hand, so not there after a boot: both.
        ("active", "disabled", True, True),
    ],
)
def test_it_outlives_a_boot_by_the_hosts_own_means_or_by_a_unit(tmp_path, active, enabled, by_unit, includes):
    system = host(tmp_path, RECORDED["deb12"], active, enabled)
    settle(system, nftables.Nftables(system).changes(WANTED, {}))
    assert system.exists("/etc/systemd/system/" + NFTABLES_UNIT) is by_unit
    assert (nftables.INCLUDE in system.read(CONFIG)) is includes
    # Stopping the service must not take our table along.
    assert system.exists(DROP_IN) is includes
    assert nftables.Nftables(system).changes(WANTED, {}) == []


def test_absent_gives_back_every_file(tmp_path):
    system = host(tmp_path, RECORDED["deb12"], "active", "enabled")
    system.write(CONFIG, SHIPPED + "# no line end")
    settle(system, nftables.Nftables(system).changes(WANTED, {}))
    settle(system, nftables.Nftables(system).changes(None, {}))
    assert system.read(CONFIG) == SHIPPED + "# no line end"
    assert not system.exists(nftables.RULES_FILE)
    assert not system.exists(DROP_IN)


def test_who_may_connect_is_for_root_alone_also_in_a_file_that_was_open_to_others(tmp_path):
    system = host(tmp_path, RECORDED["deb12"])
    settle(system, nftables.Nftables(system).changes(WANTED, {}))
    assert system.mode(nftables.RULES_FILE) == 0o600
    (tmp_path / nftables.RULES_FILE[1:]).chmod(0o644)
    (change,) = nftables.Nftables(system).changes(WANTED, {})
    assert change.what == "mode of /etc/harden-mail/submission.nft"
    assert (change.before, change.after) == ("0644\n", "0600\n")
    assert change.do == (Run(("chmod", "0600", nftables.RULES_FILE), None),)
    assert nftables.Nftables(system).changes(None, {})[-1].what == nftables.RULES_FILE, "what goes needs no mode"


def test_the_unit_may_do_nothing_but_load_the_table(tmp_path):
    system = host(tmp_path, RECORDED["deb12"])
    changes = nftables.Nftables(system).changes(WANTED, {})
    settle(system, changes)
    unit = system.read("/etc/systemd/system/" + NFTABLES_UNIT).splitlines()
    assert {"NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=CAP_NET_ADMIN"} <= set(unit)
    assert changes[-1].do[-1] == Run(("systemctl", "restart", NFTABLES_UNIT), None), "seen to work before a boot"


def test_a_family_without_a_source_is_closed():
    text = nft_table.ruleset(restriction(["203.0.113.5"], [587])[0])
    allowed6 = text[text.index("set allowed6") : text.index("chain input")]
    assert "elements" not in allowed6
    assert "203.0.113.5" in text


@pytest.mark.parametrize(
    ("persistence", "sentence"),
    [("plesk", "choose one of auto, nftables, unit"), ("nftables", "nftables.service is not enabled")],
)
def test_a_wrong_persistence_is_a_sentence(tmp_path, persistence, sentence):
    with pytest.raises(UserError, match=sentence):
        nftables.Nftables(host(tmp_path), persistence).changes(WANTED, {})


def test_what_is_missing_is_said(tmp_path):
    assert nftables.Nftables(FakeSystem(tmp_path)).missing() == "nft is not installed"


@given(st.text(alphabet="ab #/\n", max_size=60))
def test_including_and_taking_out_gives_the_same_bytes(text):
    with_ours = nftables.with_include(text)
    assert nftables.INCLUDE in with_ours
    assert nftables.with_include(with_ours) == with_ours
    assert nftables.without_include(with_ours) == text
