"""Sources and ports: what is accepted, how it is folded, and the sentence for everything else."""

import ipaddress

import pytest
from harden_mail.errors import UserError
from harden_mail.firewall.sources import contains, parse_ports, parse_sources, restriction
from hypothesis import given
from hypothesis import strategies as st

ACCEPTED = [
    (["203.0.113.5"], ["203.0.113.5/32"]),
    (["203.0.113.0/24"], ["203.0.113.0/24"]),
    (["203.0.113.0/255.255.255.0"], ["203.0.113.0/24"]),
    (["203.0.113.4-203.0.113.7"], ["203.0.113.4/30"]),
    (["203.0.113.5 - 203.0.113.6"], ["203.0.113.5/32", "203.0.113.6/32"]),
    (["2001:db8::5"], ["2001:db8::5/128"]),
    (["2001:DB8:0::/48"], ["2001:db8::/48"]),
    (["2001:db8::-2001:db8::ffff"], ["2001:db8::/112"]),
    (["203.0.113.5  # the office"], ["203.0.113.5/32"]),
    (["# only a comment", "", "203.0.113.5"], ["203.0.113.5/32"]),
    (["203.0.113.5", "203.0.113.5"], ["203.0.113.5/32"]),
    (["203.0.113.5", "203.0.113.0/24"], ["203.0.113.0/24"]),
    (["203.0.112.0/24", "203.0.113.0/24"], ["203.0.112.0/23"]),
    (["10.0.0.0/8", "fd00::/8"], ["10.0.0.0/8", "fd00::/8"]),
    # A large country's, and all that is local.
    (["16.0.0.0/4", "2a00::/13", "fc00::/7"], ["16.0.0.0/4", "2a00::/13", "fc00::/7"]),
]

REFUSED = [
    ([], "empty list"),
    (["# nothing", "  "], "empty list"),
    (["203.0.113.5/24"], "write 203.0.113.0/24 for the network, or 203.0.113.5"),
    (["2001:db8::5/64"], "write 2001:db8::/64 for the network, or 2001:db8::5"),
    (["0.0.0.0/0"], "allow_any: true"),
    (["::/0"], "allow_any: true"),
    (["0.0.0.0/1", "128.0.0.0/1"], "every IPv4 address"),
    (["0.0.0.0-255.255.255.255"], "every IPv4 address"),
    (["0.0.0.0/1"], "covers, all in all, 50 % of 0.0.0.0/0 (the widest is 0.0.0.0/1)"),
    (["32.0.0.0/3"], "12.5 %"),
    (["8.0.0.0/5", "16.0.0.0/4", "32.0.0.0/5", "203.0.113.5"], "12.5 % of 0.0.0.0/0 (the widest is 16.0.0.0/4)"),
    (["::/1", "8000::/1"], "every IPv6 address"),
    (["::/1"], "covers every IPv6 address (::/1)"),
    (["2000::/3"], "covers every IPv6 address (2000::/3)"),
    (["2000::/4", "3000::/4"], "every IPv6 address"),
    (["3000::/4"], "50 % of 2000::/3"),
    (["2a00::/12"], "is no restriction any more"),
    (["2a00::/13", "2600::/13"], "say submission_firewall_allow_any: true"),
    (["203.0.113.0/33"], "'33' is not a prefix length; IPv4 takes /0 to /32"),
    (["203.0.113.0/-1"], "203.0.113.0/-1"),
    (["203.0.113.0/"], "'' is not a prefix length"),
    (["203.0.113.0/0.0.0.255"], "'0.0.0.255' is not a prefix length"),
    (["2001:db8::/129"], "/0 to /128"),
    (["203.0.113.9-203.0.113.5"], "runs backwards: write 203.0.113.5-203.0.113.9"),
    (["203.0.113.9-2001:db8::1"], "mixes IPv4 and IPv6"),
    (["203.0.113.9-"], "no IP address"),
    (["203.0.113.256"], "no IP address"),
    (["203.0.113"], "no IP address"),
    (["203.0.113.05"], "begins with 0"),
    (["mail.example.com"], "resolve_names: true"),
    (["office"], "resolve_names: true"),
    (["web-1.example.com"], "resolve_names: true"),
    (["203.0.113.5, 203.0.113.6"], "one source in each item"),
    (["203.0.113.5 203.0.113.6"], "one source in each item"),
    (["::ffff:203.0.113.5"], "write 203.0.113.5"),
    (["fe80::1%eth0"], "fe80::1%eth0"),
    (["224.0.0.1"], "multicast"),
    (["0.0.0.0"], "no host's address"),
    (["255.255.255.255"], "no host's address"),
    (["::"], "no host's address"),
    ([587], "587, which is not text"),
    ([None], "None, which is not text"),
    ([{"address": "203.0.113.5"}], "not text"),
    (["203.0.113.300 # bob's home"], "bob's home"),
    (["http://203.0.113.5"], "203.0.113.5"),
    (["203.0.113.5:587"], "no IP address"),
    (["203.0.113.*"], "no IP address"),
]


@pytest.mark.parametrize(("entries", "networks"), ACCEPTED)
def test_accepted(entries, networks):
    sources = parse_sources(entries)
    assert [str(network) for network in sources.networks4 + sources.networks6] == networks


@pytest.mark.parametrize(("entries", "sentence"), REFUSED)
def test_refused_with_a_sentence(entries, sentence):
    with pytest.raises(UserError) as refusal:
        parse_sources(entries)
    message = str(refusal.value)
    assert sentence in message
    assert message.startswith("submission_firewall_sources ")
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("ports", "sentence"),
    [
        ([], "empty list"),
        ([25], "lose inbound mail"),
        ([587, 25], "lose inbound mail"),
        ([0], "from 1 to 65535"),
        ([65536], "from 1 to 65535"),
        ([-1], "from 1 to 65535"),
        ([True], "submission_firewall_ports contains True: a TCP port is a whole number"),
        ([587, False], "contains False"),
        ([587.5], "submission_firewall_ports contains 587.5: a TCP port is a whole number"),
        ([587.0], "contains 587.0"),
        ([float("inf")], "contains inf"),
        (["587.5"], "contains '587.5'"),
        (["587,465"], "contains '587,465'"),
        (["submission"], "contains 'submission'"),
        (["25"], "lose inbound mail"),
        ([None], "contains None"),
        ([[587]], "contains [587]"),
        (["٥٨٧"], "contains '٥٨٧'"),
        (list(range(1000, 1016)), "no more than 15"),
    ],
)
def test_refused_ports(ports, sentence):
    with pytest.raises(UserError) as refusal:
        parse_ports(ports)
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith("submission_firewall_ports ")


def test_ports_are_sorted_and_unique():
    assert parse_ports(["587", 465, 587]) == (465, 587)
    assert parse_ports([587, 465, 587]) == (465, 587)


def test_everyone_only_when_asked():
    assert str(parse_sources(["0.0.0.0/0"], allow_any=True).networks4[0]) == "0.0.0.0/0"
    assert str(parse_sources(["2000::/3"], allow_any=True).networks6[0]) == "2000::/3"


def test_what_was_folded_is_said():
    sources = parse_sources(["203.0.113.5", "203.0.113.0/24", "203.0.113.5"])
    assert sources.declared == 3
    assert sources.folded == ["203.0.113.5 is covered by 203.0.113.0/24", "203.0.113.5 is listed twice"]


def test_ten_thousand_sources():
    sources = parse_sources(["10.{0}.{1}.1".format(n // 100, n % 100) for n in range(10000)])
    assert len(sources.networks4) == 10000
    assert not sources.folded


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("203.0.112.255", False),
        ("::ffff:203.0.113.7", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("2001:db8::1", False),
        ("198.51.100.1", True),
        ("9.255.255.255", False),
    ],
)
def test_contains(address, inside):
    wanted, _sources = restriction(["203.0.113.0/24", "198.51.100.1", "10.0.0.0/8"], [587])
    assert contains(wanted, address) is inside


addresses = st.ip_addresses(v=4).filter(lambda a: not (a.is_multicast or int(a) in (0, 2**32 - 1)))


@given(st.lists(addresses, min_size=1, max_size=30), addresses)
def test_contains_agrees_with_a_plain_search(declared, probe):
    wanted, _sources = restriction([str(address) for address in declared], [587])
    assert contains(wanted, str(probe)) is (probe in declared or probe.is_loopback)


@given(st.one_of(st.text(), st.integers(), st.none(), st.from_regex(r"[0-9a-f:./\-%# ]{1,40}")))
def test_anything_else_is_a_sentence(entry):
    try:
        sources = parse_sources([entry])
    except UserError as refusal:
        assert str(refusal)
    else:
        assert all(isinstance(network, ipaddress.IPv4Network) for network in sources.networks4)
        assert all(isinstance(network, ipaddress.IPv6Network) for network in sources.networks6)
