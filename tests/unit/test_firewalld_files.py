"""firewalld's files and listings: what is ours in them, and that everything else stays."""

import pytest
from fake_system import FakeSystem
from harden_mail.changes import Run
from harden_mail.errors import UserError
from harden_mail.firewall.firewalld import connections, files, names, policy, ports, rules, stand_in
from harden_mail.firewall.firewalld.daemon import Daemon
from harden_mail.firewall.sources import restriction
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st

WANTED = restriction(["203.0.113.0/24", "198.51.100.7", "2001:db8::/48"], [587, 465])[0]

# As firewalld 1.3.3 writes a zone, with things in it that are none of our business.
ZONE = """\
<?xml version="1.0" encoding="utf-8"?>
<zone target="DROP">
  <short>Public</short>
  <description>R&amp;D &gt; all</description>
  <service name="ssh"/>
  <service name="smtp-submission"/>
  <port port="587" protocol="tcp"/>
  <port port="500-600" protocol="tcp"/>
  <rule family="ipv4">
    <source address="192.0.2.66"/>
    <drop/>
  </rule>
  <forward/>
</zone>
"""


def test_a_zone_is_read():
    zone = files.read_zone(ZONE, "public.xml")
    assert zone.services == ["ssh", "smtp-submission"]
    assert zone.ports == ["587/tcp", "500-600/tcp"]
    assert zone.rules == [], "a rule of others is not ours"


@pytest.mark.parametrize("text", ["", "<zone", "nothing of the kind"])
def test_a_zone_that_is_no_xml_is_a_sentence(text):
    with pytest.raises(UserError, match=r"^/etc/firewalld/zones/public\.xml is no XML"):
        files.read_zone(text, "/etc/firewalld/zones/public.xml")


def test_a_zone_is_narrowed_and_given_back_byte_for_byte():
    before = files.read_zone(ZONE, "public.xml")
    accepts = [rules.accept_rule(family, 587) for family in (4, 6)]
    after = before._replace(services=["ssh"], ports=["500-600/tcp"], rules=accepts)
    narrowed = files.write_zone(ZONE, before, after)
    assert files.read_zone(narrowed, "public.xml") == after
    for kept in ("R&amp;D &gt; all", '<source address="192.0.2.66"/>', "<forward/>", 'target="DROP"'):
        assert kept in narrowed
    widened = files.write_zone(narrowed, after, before)
    assert files.same_zone(widened, ZONE)


@pytest.mark.parametrize(
    ("word", "inside"),
    [
        ("587/tcp", {587}),
        ("465/tcp", {465}),
        ("587/udp", set()),
        ("586-587/tcp", set()),
        ("587-587/tcp", {587}),
        ("25/tcp", set()),
        ("x/tcp", set()),
        ("", set()),
    ],
)
def test_only_a_port_that_is_wholly_ours_is_taken_out(word, inside):
    assert ports.ports_within(word, (465, 587)) == inside


def test_everybody_is_two_halves_because_an_ipset_holds_no_prefix_of_zero():
    networks = restriction(["0.0.0.0/0"], [587], allow_any=True)[0].networks4
    assert [str(half) for half in files.split_any(networks)] == ["0.0.0.0/1", "128.0.0.0/1"]
    assert files.read_networks(["128.0.0.0/1", "0.0.0.0/1"]) == [(0, 2**32 - 1)]


@pytest.mark.parametrize("path", sorted(files.own_files(WANTED)))
def test_our_files_mean_the_same_whoever_writes_them(path):
    text = files.own_files(WANTED)[path]
    ours = files.read_own(text)
    assert files.read_own(text.replace('"True"', '"yes"').replace("  ", "\t")) == ours
    assert files.read_own(text.replace("203.0.113.0/24", "203.0.113.0/25").replace("587", "588")) != ours or (
        "203.0.113" not in text and "587" not in text
    )
    assert files.read_own("not XML") is None


def test_the_policy_refuses_both_families_on_every_port():
    text = files.own_files(WANTED)[names.POLICY_PATH]
    assert text.count('invert="True"') == text.count('<reject type="tcp-reset"/>') == 4
    closed = files.own_files(restriction(["203.0.113.5"], [587])[0])
    assert "<entry>" not in closed[names.IPSET_PATHS[6]]


def test_our_files_are_for_root_alone_also_when_they_were_open_to_others(tmp_path):
    host = FakeSystem(tmp_path, {"systemctl": "", "nft": Completed(1, "", "")})
    for path, text in files.own_files(WANTED).items():
        host.write(path, text, 0o640)
    host.write(stand_in.FILE, "former", 0o644)
    changes = policy.policy_changes(Daemon(host), WANTED) + stand_in.stand_in_changes(host, WANTED)
    tightened = [change.do[0].argv for change in changes if change.what.startswith("mode of ")]
    paths = sorted(names.IPSET_PATHS.values()) + [names.POLICY_PATH, stand_in.FILE]
    assert tightened == [("chmod", "0600", path) for path in paths]
    new = next(change for change in changes if change.what == stand_in.FILE)
    assert new.do[0].mode == 0o600


def test_whose_open_connections_are_cut():
    listing = """\
0      0        198.51.100.1:587      198.51.100.7:40000
0      0        198.51.100.1:587      192.0.2.66:40000
0      0      [2001:db8:1::1]:465   [2001:db8:ffff::1]:40000
0      0   [::ffff:198.51.100.1]:587 [::ffff:192.0.2.67]:40000
0      0           127.0.0.1:587         127.0.0.1:40000
0      0        198.51.100.1:587      198.51.100.1:40000
"""
    own = "2: eth0    inet 198.51.100.1/24 brd 198.51.100.255 scope global eth0\n"
    assert connections.refused_peers(listing, own, WANTED) == ["192.0.2.66", "192.0.2.67", "2001:db8:ffff::1"]


def test_ports_that_nat_sends_elsewhere():
    ruleset = """\
		tcp dport 587 dnat to 172.17.0.2:25
		tcp dport { 25, 400-500 } dnat to 172.17.0.3
		tcp dport 993 accept
		tcp dport 994 dnat to 172.17.0.4
"""
    assert connections.published_ports(ruleset, (465, 587)) == [465, 587]
    assert connections.published_ports(ruleset.replace("587", "588"), (587,)) == []


entries = st.lists(st.integers(0, 200).map("10.0.0.{0}".format), unique=True, max_size=80)


@given(entries, entries)
def test_entries_become_the_wanted_ones_in_few_calls(old, new):
    steps = policy.replace_entries("some-set", old, new)
    assert len(steps) <= 2
    there = set(old)
    for step in steps:
        assert isinstance(step, Run)
        words = step.argv[3:] if step.stdin is None else [step.argv[3] + line for line in step.stdin.splitlines()]
        named = {word[word.rindex("10.0.0.") :] for word in words}
        there = there | named if "--add" in words[0] else there - named
    assert there == set(new)


@given(st.text(max_size=40))
def test_no_word_for_a_port_breaks_it(word):
    ports.covers(word, 587)
    ports.ports_within(word, (587,))
