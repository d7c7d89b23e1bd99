"""Which backend is taken where nobody declares one, and what becomes of a persistence meant for another."""

import json

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.firewall import choice, engine
from harden_mail.firewall.firewalld.backend import Firewalld
from harden_mail.firewall.firewalld.names import POLICY_PATH
from harden_mail.firewall.iptables.backend import Iptables
from harden_mail.firewall.nftables.backend import RULES_FILE, Nftables
from harden_mail.firewall.sources import restriction
from harden_mail.system import Completed

WANTED = restriction(["203.0.113.0/24", "2001:db8::/48"], [587, 465])[0]
WITH_NFT = {"nft -j list tables": '{"nftables": []}', "nft -c -f -": "", "systemctl": ""}
REFUSES = dict(WITH_NFT, **{"nft -c -f -": Completed(1, "", "/dev/stdin:3:1-9: Error: Operation not permitted\nmore")})


def choose(tmp_path, commands, declared="auto", persistence="auto", host_backend=None):
    system = FakeSystem(tmp_path, commands)
    return choice.choose(system, engine.BACKENDS, declared, persistence, host_backend, WANTED), system


@pytest.mark.parametrize("host_backend", [None, "iptables", "nftables", "firewalld"])
def test_the_table_is_taken_wherever_the_kernel_takes_it(tmp_path, host_backend):
    taken, system = choose(tmp_path, WITH_NFT, host_backend=host_backend)
    assert (taken.backend, taken.persistence) == ("nftables", "auto")
    tried = dict(system.calls)["nft -c -f -"]
    assert "tcp dport @ports jump submission" in tried
    assert "587" in tried
    others = host_backend in ("iptables", "firewalld")
    assert ("rules stay in {0}".format(host_backend) in taken.evidence[0]) is others


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        ({}, "nft is not installed"),
        (REFUSES, "nft -c refuses the table: /dev/stdin:3:1-9: Error: Operation not permitted"),
        ({"nft -j list tables": Completed(1, "", "JSON support not compiled-in"), "systemctl": ""}, "JSON support"),
        ({"nft -j list tables": "{}"}, "there is no systemd"),
    ],
)
def test_elsewhere_it_is_what_the_host_has_and_the_evidence_says_why(tmp_path, commands, why):
    taken, _system = choose(tmp_path, commands, host_backend="iptables")
    assert taken.backend == "iptables"
    assert why in taken.evidence[0]


@pytest.mark.parametrize("host_backend", [None, "nftables"])
def test_a_host_with_nothing_to_take_is_a_sentence(tmp_path, host_backend):
    with pytest.raises(UserError, match=r"backend: auto finds no firewall .*nft -c refuses the table.*choose one of"):
        choose(tmp_path, REFUSES, host_backend=host_backend)


@pytest.mark.parametrize("declared", ["iptables", "firewalld", "nftables"])
def test_what_was_declared_is_honoured_and_nothing_is_tried(tmp_path, declared):
    taken, system = choose(tmp_path, WITH_NFT, declared, persistence="plesk", host_backend="iptables")
    assert taken == (declared, "plesk", [])
    assert system.calls == []


@pytest.mark.parametrize(
    ("commands", "persistence", "kept"),
    [
        (WITH_NFT, "unit", True),
        (WITH_NFT, "nftables", True),
        (WITH_NFT, "plesk", False),
        (WITH_NFT, "netfilter-persistent", False),
        (WITH_NFT, "iptables-services", False),
        ({}, "netfilter-persistent", True),
        ({}, "nftables", False),
    ],
)
def test_a_persistence_that_is_no_means_of_the_backend_counts_as_auto_and_is_said(
    tmp_path, commands, persistence, kept
):
    taken, _system = choose(tmp_path, commands, persistence=persistence, host_backend="iptables")
    assert taken.persistence == (persistence if kept else "auto")
    assert any("'{0}' is no means of".format(persistence) in line for line in taken.evidence) is not kept


def test_rules_that_nobody_remembers_leave_traces(tmp_path):
    saved = "*filter\n:INPUT ACCEPT [0:0]\n{0}COMMIT\n"
    ours = ":HARDEN-MAIL-SUBMISSION - [0:0]\n"
    nothing = {
        "nft list table inet harden_mail_submission": Completed(1, "", "No such file or directory"),
        "iptables-save": saved.format(""),
        "ip6tables-save": saved.format(""),
    }
    host = FakeSystem(tmp_path, nothing)
    host.write("/proc/net/if_inet6", "0" * 32)
    backends = [Nftables(host), Iptables(host), Firewalld(host)]
    assert [backend.traces() for backend in backends] == [False, False, False]
    host.commands["ip6tables-save"] = saved.format(ours)
    assert Iptables(host).traces()
    host.commands = {}
    assert not Iptables(host).traces()
    host.write("/etc/iptables/rules.v4", saved.format(ours))
    host.write(POLICY_PATH, "<policy/>")
    host.write(RULES_FILE, "")
    assert all(backend.traces() for backend in backends)


ZONE = {"target": "default", "protocols": [], "ports": [], "rules_str": [], "services": []}


@pytest.mark.parametrize(
    ("zone", "told"), [({}, True), ({"ports": [("587", "tcp")]}, False), ({"target": "ACCEPT"}, False)]
)
def test_a_zone_that_keeps_allowed_sources_out_is_a_finding_beside_the_table(tmp_path, zone, told):
    state = {"active_zones": ["public"], "default_zone": "public", "zones": {"public": dict(ZONE, **zone)}}
    commands = {"systemctl show": "ActiveState=active\nUnitFileState=enabled\n", "python3 - read": json.dumps(state)}
    host = FakeSystem(tmp_path, commands)
    assert Firewalld(host).beside(WANTED) == [], "no firewalld there"
    host.write("/usr/bin/firewall-cmd", "#!/usr/bin/python3 -sP\n", 0o755)
    findings = Firewalld(host).beside(WANTED)
    assert ["Zone public of firewalld does not open 465 or 587" in sentence for sentence in findings] == [True] * told
