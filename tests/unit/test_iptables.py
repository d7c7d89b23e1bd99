"""The iptables backend, on recorded iptables-save outputs and a host played from memory."""

import ipaddress
import json
import pathlib

import pytest
from fake_iptables import FakeIptables
from harden_mail.errors import UserError
from harden_mail.firewall.iptables import accepts
from harden_mail.firewall.iptables.backend import CHAIN, Iptables
from harden_mail.firewall.iptables.rules_file import parse
from harden_mail.firewall.plan import Restriction
from hypothesis import given
from hypothesis import strategies as st

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "iptables"
UFW4 = (DATA / "debian13-ufw-fail2ban.v4").read_text()
UFW6 = (DATA / "debian13-ufw-fail2ban.v6").read_text()
DOCKER = (DATA / "debian12-docker.v4").read_text()
PLESK = (DATA / "written-plesk.v4").read_text()
RULES_V4 = (DATA / "debian12-netfilter-persistent.rules.v4").read_text()

JUMP = "-p tcp -m multiport --dports 465,587 -j " + CHAIN
UNIT = "/etc/systemd/system/harden-mail-submission-iptables.service"


def restriction(*networks, ports=(465, 587)):
    parsed = [ipaddress.ip_network(network) for network in networks]
    return Restriction(
        tuple(ports),
        tuple(network for network in parsed if network.version == 4),
        tuple(network for network in parsed if network.version == 6),
    )


OFFICE = restriction("198.51.100.20/32", "2001:db8:1::20/128")
MANY = restriction(*["10.0.{0}.0/24".format(number) for number in range(150)])


def enforce(host, wanted, former=None, persistence="auto"):
    """Plan, change, and ask again: nothing may be left."""
    former = {} if former is None else former
    backend = Iptables(host, persistence)
    assert backend.missing() is None
    changes = backend.changes(wanted, former)
    host.make(changes)
    assert Iptables(host, persistence).changes(wanted, json.loads(json.dumps(former))) == []
    return changes


def files(host):
    """Everything on the host's disk."""
    root = pathlib.Path(host.root)
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


# --- the kernel's rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("saved", ["", UFW4, DOCKER, PLESK], ids=["empty", "ufw", "docker", "plesk"])
def test_our_chain_comes_first_and_nobody_elses_rule_changes(tmp_path, saved):
    host = FakeIptables(tmp_path, saved, "")
    before = parse(host.dump(4)).get("filter")
    enforce(host, OFFICE)
    assert host.rules(4, "INPUT")[0] == JUMP
    assert host.rules(4, CHAIN) == [
        "-i lo -j RETURN",
        "-s 198.51.100.20/32 -j RETURN",
        "-p tcp -j REJECT --reject-with tcp-reset",
    ]
    for chain, rules in before.rules.items() if before else ():
        assert [rule for rule in host.rules(4, chain) if CHAIN not in rule] == rules


@pytest.mark.parametrize("saved", ["", UFW4, DOCKER, PLESK], ids=["empty", "ufw", "docker", "plesk"])
def test_absent_gives_back_what_was_there(tmp_path, saved):
    host = FakeIptables(tmp_path, saved, UFW6)
    before, disk = (host.dump(4), host.dump(6)), files(host)
    former = {}
    enforce(host, OFFICE, former)
    enforce(host, MANY, former)
    enforce(host, None, former)
    assert (host.dump(4), host.dump(6)) == before
    assert files(host) == disk
    assert host.sets == {}


def test_undo_gives_back_what_was_there(tmp_path):
    saved = UFW4.replace("-A INPUT -j ufw-before-input\n", "-A INPUT -j ufw-before-input\n-A INPUT {0}\n".format(JUMP))
    saved = saved.replace("-A f2b", "-A {0} -s 192.0.2.9/32 -j RETURN\n-A f2b".format(CHAIN))
    saved = saved.replace(":f2b-postfix-sasl", ":{0} - [0:0]\n:f2b-postfix-sasl".format(CHAIN))
    host = FakeIptables(tmp_path, saved, "")
    host.write("/etc/iptables/rules.v4", RULES_V4)
    before, disk = (parse(host.dump(4)), host.dump(6)), files(host)
    for wanted in (OFFICE, MANY, None):
        changes = Iptables(host).changes(wanted, {})
        host.make(changes)
        assert parse(host.dump(4)) != before[0]
        host.take_back(changes)
        # A way back that a kill or a boot cut short is gone again from its beginning.
        host.take_back(changes)
        assert (parse(host.dump(4)), host.dump(6)) == before
        assert files(host) == disk
        assert host.sets == {}


def test_files_that_say_who_may_connect_are_for_root_alone(tmp_path):
    host = FakeIptables(tmp_path)
    enforce(host, MANY)
    paths = ["/etc/harden-mail/submission." + name for name in ("rules4", "rules6", "ipset")]
    assert [host.mode(path) for path in paths] == [0o600] * 3
    for path in paths:
        (tmp_path / path[1:]).chmod(0o640)
    host.commands["chmod 0600"] = lambda argv, stdin: (tmp_path / argv[2][1:]).chmod(0o600) or ""
    assert [change.what for change in enforce(host, MANY)] == ["mode of " + path for path in (paths[2], *paths[:2])]
    assert [host.mode(path) for path in paths] == [0o600] * 3


def test_a_family_without_sources_is_closed_but_for_loopback(tmp_path):
    host = FakeIptables(tmp_path)
    enforce(host, restriction("198.51.100.20/32"))
    assert host.rules(6, "INPUT") == [JUMP]
    assert host.rules(6, CHAIN) == ["-i lo -j RETURN", "-p tcp -j REJECT --reject-with tcp-reset"]


def test_everybody_is_written_as_iptables_save_writes_it(tmp_path):
    host = FakeIptables(tmp_path)
    enforce(host, restriction("0.0.0.0/0", "::ffff:1.2.3.4/128", "2001:db8::/33"))
    assert host.rules(4, CHAIN)[1] == "-j RETURN"
    assert host.rules(6, CHAIN)[1:3] == ["-s ::ffff:1.2.3.4/128 -j RETURN", "-s 2001:db8::/33 -j RETURN"]


@pytest.mark.parametrize(
    "ports, jumps",
    [
        ((587,), ["-p tcp -m tcp --dport 587 -j " + CHAIN]),
        (
            tuple(range(2000, 2016)),
            [
                "-p tcp -m multiport --dports {0} -j {1}".format(",".join(map(str, range(2000, 2015))), CHAIN),
                "-p tcp -m tcp --dport 2015 -j " + CHAIN,
            ],
        ),
    ],
)
def test_a_rule_names_as_many_ports_as_it_can(tmp_path, ports, jumps):
    host = FakeIptables(tmp_path, UFW4)
    enforce(host, restriction("198.51.100.20/32", ports=ports))
    assert host.rules(4, "INPUT")[: len(jumps)] == jumps


def test_all_of_a_family_is_one_transaction(tmp_path):
    host = FakeIptables(tmp_path, UFW4, UFW6)
    enforce(host, OFFICE)
    enforce(host, restriction("198.51.100.21/32", ports=(587,)))
    assert len(host.loads) == 4


# --- drift ------------------------------------------------------------------------------------------------

BAN = "-p tcp -m multiport --dports 25,465,587 -j f2b-postfix-sasl"


@pytest.mark.parametrize(
    "chain, rule",
    [
        (CHAIN, "-s 203.0.113.7/32 -j RETURN"),
        ("INPUT", "-p tcp -m tcp --dport 587 -j ACCEPT"),
        ("INPUT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        ("INPUT", "-s 203.0.113.7/32 -j ACCEPT"),
        ("INPUT", "-p tcp -m multiport --dports 25,400:600 -j ACCEPT"),
        ("INPUT", "-p tcp -m tcp ! --dport 22 -j ACCEPT"),
        ("INPUT", "! -i lo -j ACCEPT"),
        ("INPUT", "-p tcp -m tcp --dport submission -j ACCEPT"),
        ("INPUT", "-j RETURN"),
        ("INPUT", "-g f2b-postfix-sasl"),
        ("INPUT", "-j ufw-before-input"),
        ("INPUT", "-j NFQUEUE --queue-num 0"),
        ("INPUT", "-j SOMETHING-NEW"),
        ("INPUT", JUMP),
        ("FORWARD", '-m comment --comment "by \\"hand\\"" -j ' + CHAIN),
    ],
)
def test_drift_is_mended(tmp_path, chain, rule):
    host = FakeIptables(tmp_path, UFW4, UFW6)
    enforce(host, OFFICE)
    host.rules(4, chain).insert(0, rule)
    changes = enforce(host, OFFICE)
    assert [change.what for change in changes] == ["kernel, iptables, filter"]
    assert rule in changes[0].before
    assert changes[0].before != changes[0].after
    assert host.rules(4, "INPUT").count(JUMP) == 1


@pytest.mark.parametrize(
    "rule",
    [
        BAN,
        "-i lo -j ACCEPT",
        "-p udp -j ACCEPT",
        "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
        "! -p tcp -j ACCEPT",
        "-p tcp -m tcp --dport 22 -j ACCEPT",
        "-p tcp -m multiport --dports 25,80:100 -j ACCEPT",
        "-s 203.0.113.7/32 -j DROP",
        '-m limit --limit 3/min -j LOG --log-prefix "say -j ACCEPT "',
        "-p tcp -m tcp --dport 587",
        "-p tcp -j ufw-logging-deny",
    ],
)
def test_a_rule_before_ours_that_can_not_accept_is_left_in_its_place(tmp_path, rule):
    host = FakeIptables(tmp_path, UFW4, UFW6)
    enforce(host, OFFICE)
    host.rules(4, "INPUT").insert(0, rule)
    assert Iptables(host).changes(OFFICE, {}) == []


def test_a_lost_jump_is_put_back_and_a_lost_chain_made_again(tmp_path):
    host = FakeIptables(tmp_path, UFW4, UFW6)
    enforce(host, OFFICE)
    host.rules(4, "INPUT").remove(JUMP)
    del host.tables[6]["filter"]
    assert len(enforce(host, OFFICE)) == 2


def test_the_order_of_options_is_no_drift(tmp_path):
    host = FakeIptables(tmp_path, DOCKER)
    enforce(host, OFFICE)
    rules = host.rules(4, "DOCKER-USER")
    rules[0] = "-p tcp -m conntrack --ctstate DNAT --ctdir ORIGINAL --ctorigdstport 465 -j " + CHAIN
    assert Iptables(host).changes(OFFICE, {}) == []


@given(st.text())
def test_judging_a_rule_never_fails(rule):
    table = parse("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")["filter"]
    table.rules["INPUT"] = [rule.replace("\n", " ")]
    accepts.first_accepting(table, "INPUT", 1, (587,), CHAIN)


def test_chains_that_lead_in_a_circle_are_followed_once():
    table = parse("*filter\n:INPUT ACCEPT\n:a - [0:0]\n-A INPUT -j a\n-A a -j a\nCOMMIT\n")["filter"]
    assert accepts.first_accepting(table, "INPUT", 1, (587,), CHAIN) == "-j a"


# --- Docker and NAT ---------------------------------------------------------------------------------------


def test_docker_user_leads_into_our_chain_first(tmp_path):
    host = FakeIptables(tmp_path, DOCKER)
    enforce(host, OFFICE)
    jump = "-p tcp -m conntrack --ctstate DNAT --ctorigdstport {0} --ctdir ORIGINAL -j " + CHAIN
    assert host.rules(4, "DOCKER-USER") == [jump.format(465), jump.format(587), "-j RETURN"]
    assert Iptables(host).findings(OFFICE) == []
    unit = host.read(UNIT)
    assert "-N DOCKER-USER" in unit


@pytest.mark.parametrize("rule", ["-s 203.0.113.0/24 -j RETURN", "-p tcp -m tcp --dport 2525 -j ACCEPT"])
def test_what_lets_in_before_ours_in_docker_user_is_drift(tmp_path, rule):
    host = FakeIptables(tmp_path, DOCKER)
    enforce(host, OFFICE)
    host.rules(4, "DOCKER-USER").insert(0, rule)
    assert len(enforce(host, OFFICE)) == 1


@pytest.mark.parametrize(
    "old, new",
    [
        ("-A FORWARD -j DOCKER-USER\n", ""),
        ("-A FORWARD -j DOCKER-USER\n", "-A FORWARD -p tcp -j ACCEPT\n-A FORWARD -j DOCKER-USER\n"),
    ],
)
def test_a_published_port_that_goes_around_is_a_finding(tmp_path, old, new):
    host = FakeIptables(tmp_path, DOCKER.replace(old, new))
    sentences = Iptables(host).findings(OFFICE)
    assert len(sentences) == 1
    assert "172.17.0.2:2525" in sentences[0]
    assert Iptables(host).findings(restriction("198.51.100.20/32", ports=(465,))) == []


@pytest.mark.parametrize(
    "rule, count",
    [
        ("-p tcp -m tcp --dport 587 -j REDIRECT --to-ports 10587", 1),
        ("-p tcp -m tcp --dport 2525 -j REDIRECT --to-ports 587", 0),
        ("-p tcp -m tcp --dport 587 -j REDIRECT --to-ports 465", 0),
        ("-p tcp -m multiport --dports 25,587 -j DNAT --to-destination 192.0.2.1", 1),
        ("-d 198.51.100.11/32 -j DNAT --to-destination 192.0.2.1", 0),
        ("-p tcp -m tcp --dport 587 -j ACCEPT", 0),
        ("-p tcp -m tcp --dport 587 -j REDIRECT", 0),
    ],
)
def test_nat_rules_that_lead_past_us(tmp_path, rule, count):
    host = FakeIptables(tmp_path, "*nat\n-A PREROUTING {0}\nCOMMIT\n".format(rule))
    assert len(Iptables(host).findings(OFFICE)) == count


def test_nat_of_what_the_host_itself_sends_is_no_finding(tmp_path):
    rule = "-A OUTPUT -p tcp -m tcp --dport 587 -j DNAT --to-destination 192.0.2.1"
    assert Iptables(FakeIptables(tmp_path, "*nat\n{0}\nCOMMIT\n".format(rule))).findings(OFFICE) == []


# --- sets -------------------------------------------------------------------------------------------------


def test_a_long_list_becomes_a_set_and_leaves_it_again(tmp_path):
    host = FakeIptables(tmp_path, UFW4)
    enforce(host, MANY)
    assert sorted(host.sets) == ["harden-mail-submission4"]
    assert len(host.sets["harden-mail-submission4"]) == 150
    assert host.rules(4, CHAIN)[1] == "-m set --match-set harden-mail-submission4 src -j RETURN"
    assert "add harden-mail-submission4-new 10.0.7.0/24\n" in host.read("/etc/harden-mail/submission.ipset")
    enforce(host, OFFICE)
    assert host.sets == {}
    assert not host.exists("/etc/harden-mail/submission.ipset")


def test_a_changed_set_is_drift(tmp_path):
    host = FakeIptables(tmp_path)
    enforce(host, MANY)
    host.sets["harden-mail-submission4"][0] = "203.0.113.0/24"
    changes = enforce(host, MANY)
    assert [change.what for change in changes] == ["kernel, ipset harden-mail-submission4"]
    assert "10.0.0.0/24" in host.sets["harden-mail-submission4"]


def test_a_long_list_is_plain_rules_where_there_are_no_sets(tmp_path):
    host = FakeIptables(tmp_path, with_sets=False)
    enforce(host, MANY)
    assert len(host.rules(4, CHAIN)) == 152


def test_a_set_is_there_before_anything_names_it(tmp_path):
    host = FakeIptables(tmp_path, UFW4, enabled=["netfilter-persistent"])
    host.write("/etc/iptables/rules.v4", RULES_V4)
    order = [change.what for change in enforce(host, MANY)]
    assert order.index("kernel, ipset harden-mail-submission4") < order.index("kernel, iptables, filter")
    assert order.index("/etc/harden-mail/submission.ipset") < order.index(UNIT) < order.index("/etc/iptables/rules.v4")
    order = [change.what for change in enforce(host, OFFICE)]
    assert order.index("kernel, iptables, filter") < order.index("kernel, ipset harden-mail-submission4")
    assert order.index("/etc/iptables/rules.v4") < order.index("/etc/harden-mail/submission.ipset")


# --- after a reboot ---------------------------------------------------------------------------------------


def test_a_file_that_would_replace_our_rules_holds_them(tmp_path):
    host = FakeIptables(tmp_path, enabled=["netfilter-persistent"])
    host.write("/etc/iptables/rules.v4", RULES_V4)
    host.write("/etc/iptables/rules.v6", RULES_V4)
    former = {}
    enforce(host, OFFICE, former)
    assert parse(host.read("/etc/iptables/rules.v4"))["filter"].rules["INPUT"][0] == JUMP
    assert not host.exists(UNIT)
    # What "netfilter-persistent save" makes of it is as good as what we wrote.
    host.write("/etc/iptables/rules.v4", host.dump(4))
    assert Iptables(host).changes(OFFICE, former) == []
    host.write("/etc/iptables/rules.v4", RULES_V4)
    enforce(host, OFFICE, former)
    enforce(host, None, former)
    assert host.read("/etc/iptables/rules.v4") == RULES_V4


@pytest.mark.parametrize("text", [None, "", "*nat\nCOMMIT\n"])
def test_a_file_that_takes_nothing_away_stays_as_it_is(tmp_path, text):
    host = FakeIptables(tmp_path, enabled=["netfilter-persistent"])
    if text is not None:
        host.write("/etc/iptables/rules.v4", text)
    enforce(host, OFFICE)
    assert host.read("/etc/iptables/rules.v4") == text
    unit = host.read(UNIT)
    assert "iptables-restore --noflush /etc/harden-mail/submission.rules4" in unit
    assert parse(host.read("/etc/harden-mail/submission.rules4"))["filter"].rules[CHAIN] == host.rules(4, CHAIN)


def test_a_file_that_is_loaded_beside_what_is_there_stays_as_it_is(tmp_path):
    host = FakeIptables(tmp_path, enabled=["netfilter-persistent"])
    host.write("/etc/iptables/rules.v4", RULES_V4)
    host.write("/etc/default/netfilter-persistent", "# x\nIPTABLES_RESTORE_NOFLUSH=yes\n")
    enforce(host, OFFICE)
    assert host.read("/etc/iptables/rules.v4") == RULES_V4
    assert host.exists(UNIT)


def test_a_file_whose_service_is_off_holds_our_rules_and_the_unit_loads_them(tmp_path):
    host = FakeIptables(tmp_path)
    host.write("/etc/iptables/rules.v4", RULES_V4)
    enforce(host, OFFICE)
    assert CHAIN in host.read("/etc/iptables/rules.v4")
    assert "submission.rules4" in host.read(UNIT)


def test_iptables_services_empties_all_tables_so_that_its_file_always_holds_ours(tmp_path):
    host = FakeIptables(tmp_path, enabled=["iptables", "ip6tables"])
    host.write("/etc/sysconfig/iptables", "*nat\nCOMMIT\n")
    host.write("/etc/sysconfig/ip6tables", RULES_V4)
    former = {}
    enforce(host, OFFICE, former)
    assert CHAIN in host.read("/etc/sysconfig/iptables")
    assert not host.exists(UNIT)
    enforce(host, None, former)
    assert host.read("/etc/sysconfig/iptables") == "*nat\nCOMMIT\n"


def test_a_method_asked_for_by_name_makes_its_files_and_takes_them_away(tmp_path):
    host = FakeIptables(tmp_path, enabled=["netfilter-persistent"])
    before = files(host)
    former = {}
    enforce(host, OFFICE, former, "netfilter-persistent")
    assert CHAIN in host.read("/etc/iptables/rules.v6")
    assert not host.exists(UNIT)
    enforce(host, None, former, "netfilter-persistent")
    assert files(host) == before


def test_the_unit_asked_for_by_name_leaves_the_files_of_the_host(tmp_path):
    host = FakeIptables(tmp_path, enabled=["netfilter-persistent"])
    host.write("/etc/iptables/rules.v4", RULES_V4)
    enforce(host, OFFICE)
    enforce(host, OFFICE, persistence="unit")
    assert host.read("/etc/iptables/rules.v4") == RULES_V4
    assert host.exists(UNIT)


def test_the_lock_option_does_not_stand_before_a_file_name(tmp_path):
    host = FakeIptables(tmp_path)
    for program in ("iptables", "ip6tables"):
        host.commands[program + "-restore --help"] = "[ --wait=<seconds>"
        host.commands[program + "-restore -w --noflush"] = host.commands[program + "-restore --noflush"]
    enforce(host, OFFICE)
    assert "iptables-restore -w --noflush /etc/harden-mail" in host.read(UNIT)


@pytest.mark.parametrize("persistence", ["auto", "plesk"])
def test_plesks_firewall_loads_ours_after_its_own(tmp_path, persistence):
    host = FakeIptables(tmp_path, PLESK)
    if persistence == "auto":
        host.write("/opt/psa/var/modules/firewall/firewall-active.sh", "")
    drop_in = "/etc/systemd/system/psa-firewall.service.d/harden-mail-submission.conf"
    former = {}
    enforce(host, OFFICE, former, persistence)
    assert "ExecStartPost=" in host.read(drop_in)
    enforce(host, None, former, persistence)
    assert not host.exists(drop_in)


# --- what can't be done -----------------------------------------------------------------------------------


def test_a_kernel_without_ipv6_is_left_to_ipv4(tmp_path):
    host = FakeIptables(tmp_path)
    host.remove("/proc/net/if_inet6")
    del host.commands["ip6tables"]
    enforce(host, OFFICE)
    assert host.tables[6] == {}
    assert not host.exists("/etc/harden-mail/submission.rules6")


def test_ipv6_without_ip6tables_is_said(tmp_path):
    host = FakeIptables(tmp_path)
    for key in [key for key in host.commands if key.startswith("ip6tables")]:
        del host.commands[key]
    assert "ip6tables" in Iptables(host).missing()


@pytest.mark.parametrize(
    "persistence, words", [("nftables", "choose one of"), ("netfilter-persistent", "not enabled"), ("no", "'no'")]
)
def test_a_persistence_that_is_not_there_is_said(tmp_path, persistence, words):
    assert words in Iptables(FakeIptables(tmp_path), persistence).missing()


def test_a_host_where_nothing_loads_rules_at_boot_is_told_so(tmp_path):
    host = FakeIptables(tmp_path)
    for key in [key for key in host.commands if key.startswith("systemctl")]:
        del host.commands[key]
    host.write("/etc/iptables/rules.v4", RULES_V4)
    host.write("/etc/iptables/rules.v6", RULES_V4)
    assert "nothing loads iptables rules" in Iptables(host).missing()
    host.write("/etc/rcS.d/S08netfilter-persistent", "")
    enforce(host, OFFICE)


def test_a_table_that_iptables_can_not_read_is_not_touched(tmp_path):
    host = FakeIptables(tmp_path)
    host.commands["iptables-save"] = "# Table `filter' is incompatible, use 'nft' tool.\n"
    with pytest.raises(UserError, match="backend: nftables"):
        Iptables(host).changes(OFFICE, {})


def test_evidence_is_in_the_hosts_own_words_and_short(tmp_path):
    host = FakeIptables(tmp_path, with_sets=False)
    enforce(host, MANY)
    lines = Iptables(host).evidence()
    assert lines[0] == "iptables: -A INPUT " + JUMP
    assert "iptables: -A {0} -p tcp -j REJECT --reject-with tcp-reset".format(CHAIN) in lines
    assert "iptables: ... 152 rules in all, the last:" in lines
    assert lines[-1].startswith("at boot: /etc/harden-mail/submission.rules4")
    assert len(lines) < 25
