"""Addresses and networks, as people write them and as the kernel does."""

import ipaddress
import sys

import pytest
from harden_mail.addresses import is_loopback, is_within, joined, network_in, network_of, of_kernel, range_of
from harden_mail.errors import UserError


def net(text):
    return ipaddress.ip_network(text)


@pytest.mark.parametrize(
    ("one", "other", "within"),
    [
        ("192.0.2.0/25", "192.0.2.0/24", True),
        ("192.0.2.0/24", "192.0.2.0/24", True),
        ("192.0.2.0/24", "192.0.2.0/25", False),
        ("198.51.100.1/32", "192.0.2.0/24", False),
        # All of IPv4 as numbers lies within ::/96.
        ("192.0.2.0/24", "::/96", False),
        ("2001:db8::/64", "2001:db8::/32", True),
    ],
)
def test_a_network_within_another(one, other, within):
    assert is_within(net(one), net(other)) is within


def test_a_network_that_an_option_names():
    assert network_in("exempt", " 192.0.2.7 ", "take it out") == net("192.0.2.7/32")
    assert network_in("exempt", "192.0.2.0/24 # office", "take it out", "192.0.2.0/24") == net("192.0.2.0/24")
    for text in ("192.0.2.1/24", "office", ""):
        with pytest.raises(UserError, match="exempt contains '{0}': give an address".format(text)):
            network_in("exempt", text, "take it out")
    for text in ("0.0.0.0/0", "::/0"):
        with pytest.raises(UserError, match="exempt contains '{0}', which is everybody: take it out".format(text)):
            network_in("exempt", text, "take it out")


def test_loopback():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.0.0/16", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1", "mail.example.com", "")))


def test_the_network_of_an_owner():
    assert network_of("192.0.2.77") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"


def test_ranges_that_touch_or_overlap_are_joined():
    assert joined([(7, 9), (1, 3), (4, 5), (2, 4)]) == [(1, 5), (7, 9)]
    assert range_of(net("192.0.2.0/30")) == (0xC0000200, 0xC0000203)


@pytest.mark.skipif(sys.byteorder == "big", reason="recorded on a machine of the other byte order")
def test_an_address_as_the_kernel_writes_it():
    assert of_kernel("0100007F") == "127.0.0.1"
    assert of_kernel("B80D01200000000000000000" + "01000000") == "2001:db8::1"
