"""Which firewall a host uses: what `nft list chains` and `iptables-save` print on Debian 12 and 13."""

import itertools

import pytest
from fake_system import FakeSystem
from harden_mail.firewall.iptables.backend import CHAIN
from harden_mail.firewall.nftables.table import TABLE
from harden_mail.host.firewall import find_firewall, has_rules, nft_tables
from harden_mail.host.services import NAMES, find_services
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st

NO_PANEL = {"name": None, "version": None, "root": None}


def table(name, *chains, **options):
    """A table as `nft list chains` prints it; chains on a hook, and those that are only jumped to."""
    lines = ["table {0} {{".format(name)]
    for chain in chains:
        lines += ["\tchain {0} {{".format(chain), "\t\ttype filter hook input priority filter; policy accept;", "\t}"]
    for chain in options.get("plain", ()):
        lines += ["\tchain {0} {{".format(chain), "\t}"]
    return "\n".join(lines + ["}"]) + "\n"


OURS = table("inet " + TABLE, "input")
FAIL2BAN = table("inet f2b-table", "f2b-chain")
FIREWALLD = table("inet firewalld", "filter_INPUT")
IPTABLES_NFT = "# Warning: table ip filter is managed by iptables-nft, do not touch!\n" + table("ip filter", "INPUT")
DEBIANS = table("inet filter", "input", "forward", "output")


def saved(*rules, **options):
    return "*filter\n:INPUT {0} [0:0]\n:FORWARD ACCEPT [0:0]\n{1}COMMIT\n".format(
        options.get("policy", "ACCEPT"), "".join(rule + "\n" for rule in rules)
    )


OUR_RULES = (
    "-A INPUT -p tcp -m multiport --dports 465,587 -j {0}".format(CHAIN),
    "-A {0} -s 203.0.113.0/24 -j RETURN".format(CHAIN),
    "-A {0} -j DROP".format(CHAIN),
)
BANS = ("-A INPUT -p tcp -m tcp --dport 25 -j f2b-postfix", "-A f2b-postfix -j RETURN")
RULE = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"


def host(path, nft="", rules="", rules6="", variant="nf_tables", active=(), enabled=(), without=(), legacy=None):
    """A systemd host with this in its kernel.

    :param without: programs that are not installed
    :param legacy: what iptables-legacy-save prints
    """
    (path / "run/systemd/system").mkdir(parents=True)
    states = []
    for name in NAMES:
        there = name in active or name in enabled
        states.append(
            "LoadState={0}\nActiveState={1}\nUnitFileState={2}\n".format(
                "loaded" if there else "not-found",
                "active" if name in active else "inactive",
                "enabled" if name in enabled else "disabled",
            )
        )
    commands = {
        "systemctl show": "\n".join(states),
        "nft list chains": nft,
        "nft --version": "nftables v1.0.6 (Lester Gooch #5)\n",
        "iptables -V": "iptables v1.8.9 ({0})\n".format(variant),
        "iptables-save": rules,
        "ip6tables-save": rules6,
    }
    if legacy is not None:
        (path / "proc/net").mkdir(parents=True)
        (path / "proc/net/ip_tables_names").write_text("filter\n", encoding="ascii")
        commands["iptables-legacy-save"] = legacy
    for program in without:
        commands = {line: text for line, text in commands.items() if line.split()[0] != program}
    return FakeSystem(path, commands)


def found(system):
    return find_firewall(system, find_services(system), NO_PANEL)[0]


# keywords of host(): backend, variant, running, persistence
CASES = {
    "nothing": ({}, "nftables", None, False, "unit"),
    "nothing, no nft": ({"without": ["nft"]}, "iptables", "nft", False, "unit"),
    "nothing at all": ({"without": ["nft", "iptables"]}, None, None, False, None),
    "firewalld": ({"nft": FIREWALLD, "active": ["firewalld"]}, "firewalld", None, True, "firewalld"),
    "firewalld beside the rest": (
        {"nft": FIREWALLD + DEBIANS, "rules": saved(RULE), "active": ["firewalld"], "enabled": ["nftables"]},
        "firewalld", None, True, "firewalld",
    ),
    "firewalld stopped, enabled": ({"enabled": ["firewalld"], "rules": saved(RULE)}, "iptables", "nft", True, "unit"),
    "what firewalld left": ({"nft": FIREWALLD}, "nftables", None, False, "unit"),
    "ruleset": ({"nft": DEBIANS}, "nftables", None, True, "unit"),
    "ruleset, service": ({"nft": DEBIANS, "enabled": ["nftables"]}, "nftables", None, True, "nftables"),
    "service, nothing loaded": ({"enabled": ["nftables"]}, "nftables", None, False, "nftables"),
    "service, iptables' rules": (
        {"enabled": ["nftables"], "nft": IPTABLES_NFT, "rules": saved(RULE)}, "nftables", None, False, "nftables",
    ),
    "service flushed and disabled": ({"active": ["nftables"], "rules": saved(RULE)}, "iptables", "nft", True, "unit"),
    "ruleset and iptables": ({"nft": IPTABLES_NFT + DEBIANS, "rules": saved(RULE)}, "nftables", None, True, "unit"),
    "table without a hook": (
        {"nft": table("inet mine", plain=["a"]), "rules": saved(RULE)}, "iptables", "nft", True, "unit",
    ),
    "a comment is no chain": (
        {"rules": saved('-A INPUT -p tcp -m comment --comment "f2b- HARDEN-MAIL-X" -j ACCEPT')},
        "iptables", "nft", True, "unit",
    ),
    "iptables-nft": ({"nft": IPTABLES_NFT, "rules": saved(RULE)}, "iptables", "nft", True, "unit"),
    "iptables-nft flushed": ({"nft": IPTABLES_NFT, "rules": saved()}, "nftables", None, False, "unit"),
    "iptables-legacy": ({"rules": saved(RULE), "variant": "legacy"}, "iptables", "legacy", True, "unit"),
    "iptables of 2009": ({"rules": saved(RULE), "variant": ""}, "iptables", "legacy", True, "unit"),
    "legacy rules, nft by default": ({"legacy": saved(RULE)}, "iptables", "legacy", True, "unit"),
    "legacy tables without rules": ({"legacy": saved()}, "nftables", None, False, "unit"),
    "only IPv6": ({"rules6": saved(RULE)}, "iptables", "nft", True, "unit"),
    "only a policy": ({"rules": saved(policy="DROP")}, "iptables", "nft", True, "unit"),
    "netfilter-persistent, empty": (
        {"enabled": ["netfilter-persistent"], "rules": saved()}, "iptables", "nft", False, "netfilter-persistent",
    ),
    "netfilter-persistent": (
        {"enabled": ["netfilter-persistent"], "rules": saved(RULE)}, "iptables", "nft", True, "netfilter-persistent",
    ),
    "iptables-services": (
        {"enabled": ["iptables"], "rules": saved(RULE)}, "iptables", "nft", True, "iptables-services",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_backend(name, tmp_path):
    options, backend, variant, running, persistence = CASES[name]
    facts = found(host(tmp_path, **options))
    assert (facts["backend"], facts["variant"], facts["running"], facts["persistence"]) == (
        backend,
        variant,
        running,
        persistence,
    )


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("added", ("ours in nftables", "ours in iptables", "bans in nftables", "bans in iptables"))
def test_answer_stays_whatever_we_or_fail2ban_add(name, added, tmp_path):
    options, backend = dict(CASES[name][0]), CASES[name][1]
    if "nftables" in added:
        options["nft"] = options.get("nft", "") + (OURS if "ours" in added else FAIL2BAN)
    else:
        rules = OUR_RULES if "ours" in added else BANS
        if "ip filter" not in options.get("nft", ""):
            options["nft"] = options.get("nft", "") + IPTABLES_NFT
        for key in ("rules", "rules6"):
            options[key] = (options.get(key) or saved()).replace("COMMIT\n", "\n".join(rules) + "\nCOMMIT\n")
    (tmp_path / "before").mkdir()
    before = found(host(tmp_path / "before", **CASES[name][0]))
    (tmp_path / "after").mkdir()
    after = found(host(tmp_path / "after", **options))
    assert after["backend"] == backend
    assert after == before


def test_plesks_firewall_persists_by_its_own_script(tmp_path):
    system = host(tmp_path, rules=saved(RULE), enabled=["netfilter-persistent"])
    script = "/opt/psa/var/modules/firewall/firewall-active.sh"
    panel = {"name": "plesk", "version": "18.0.57", "root": "/opt/psa"}
    services = find_services(system)
    assert find_firewall(system, services, panel)[0]["persistence"] == "netfilter-persistent"
    system.write(script, "#!/bin/sh\n")
    facts, evidence = find_firewall(system, services, panel)
    assert (facts["persistence"], facts["persistent_path"]) == ("plesk", script)
    assert script in evidence["persistence"]


def test_nothing_brings_rules_back_without_systemd(tmp_path):
    system = FakeSystem(tmp_path, {"iptables -V": "iptables v1.4.7\n", "iptables-save": saved(RULE)})
    assert found(system)["persistence"] is None


def test_commands_that_fail_leave_values_unknown(tmp_path):
    failing = {line: Completed(1, "", "boom") for line in ("nft list chains", "nft --version", "systemctl show")}
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    facts = found(FakeSystem(tmp_path, failing))
    assert (facts["backend"], facts["version"], facts["running"]) == ("nftables", None, False)


@pytest.mark.parametrize(
    "version, code", (("1.3.3", "VERSION = '1.3.3'\n"), ("2.3.1", '# comment\nVERSION = "2.3.1"\nDATADIR = "/x"\n'))
)
def test_firewalld_version_without_asking_it(version, code, tmp_path):
    system = host(tmp_path, active=["firewalld"])
    system.write("/usr/lib/python3/dist-packages/firewall/config/__init__.py", code)
    assert found(system)["version"] == version
    assert not any(line.startswith("firewall-cmd") for line, _stdin in system.calls)


FAMILIES = st.sampled_from(("ip", "ip6", "inet", "bridge", "arp"))
NAMES_OF_TABLES = st.sampled_from(("filter", "nat", "mine", "f2b-table", "firewalld", TABLE))
CHAINS = st.lists(st.sampled_from(("INPUT", "FORWARD", "input", "mine")), unique=True, max_size=3)


@given(st.lists(st.tuples(FAMILIES, NAMES_OF_TABLES, CHAINS, CHAINS), max_size=5, unique_by=lambda entry: entry[:2]))
def test_nft_tables_sorts_every_table_once(entries):
    text = "".join(table(family + " " + name, *hooked, plain=plain) for family, name, hooked, plain in entries)
    native, of_iptables = nft_tables(text)
    assert not set(native) & set(of_iptables)
    for family, name, hooked, _plain in entries:
        label = family + " " + name
        known = label in native or label in of_iptables
        assert known == bool(hooked and name in ("filter", "nat", "mine"))
        if label in of_iptables:
            assert set(hooked) <= {"INPUT", "FORWARD"} and family in ("ip", "ip6")


@given(st.text())
def test_any_text_is_read(text):
    nft_tables("".join(itertools.chain("table inet x {\n", text)))
    assert has_rules(text) in (True, False)
