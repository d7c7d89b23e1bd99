"""Given back: a password is enough again. Then a kill before each step of the way there and back.

All that time somebody asks for relaying without a password.
"""

from code_on_host import put_code
from hosts import snapshot
from hosts.lab import Host, Lab, side_by_side
from pop_clients import REFUSED, pop, probing, receives, relays, run, submit, tidy_up

LAB = Lab.current()

# Steps from one kill to the next one. Of hosts that take the same steps, one is killed before each of them.
# A kill before each of so many changes: there are two hundred on the way. Unit tests are killed before every one.
STRIDE = {"deb12": 7, "deb13": 19, "nosqlite": 7}


def test_a_password_is_enough_again():
    for host in LAB.hosts():
        for family in (4, 6):
            assert submit(LAB.client("refused"), host, family) == ("offered", 235, 250)
            assert submit(LAB.client("refused"), host, family, auth=False)[2] == 454


def test_who_asks_for_relaying_would_see_an_open_relay():
    """The control of what follows: the same client is let through where it is in mynetworks, by every port."""

    def check(host):
        bot = LAB.client("refused")
        host.run(
            "cp -p /etc/postfix/main.cf /etc/postfix/main.cf.kept; "
            "postconf -e 'mynetworks = {0} [{1}]'; postfix reload 2>&1".format(bot.address(4), bot.address(6))
        )
        with probing(bot, host) as seen:
            codes = relays(bot, host)
        assert set(codes.values()) == {250}, codes
        host.run("mv /etc/postfix/main.cf.kept /etc/postfix/main.cf; postfix reload 2>&1")
        assert all(seen[target][250] for target in codes), seen
        codes = relays(bot, host)
        assert set(codes.values()) == {454}, codes

    side_by_side(check, LAB.hosts())


def kill_again_and_again(host):
    """Each run dies later than the one before it; what it leaves, the next one starts from."""
    put_code(host)
    before = Host.snapshot(host)
    with probing(LAB.client("refused"), host) as seen:
        go_there_and_back(host)
    for target, codes in seen.items():
        print("{0}: asked for relaying by IPv{1} port {2}: {3}".format(host.name, *target, dict(codes)))
        assert codes[0] < sum(codes.values()) / 2, "it was asked and answered"
        assert not [code for code in codes if 200 <= code < 400], codes
    assert len(seen) == 6
    tidy_up(host)
    host.run("rm -rf /tmp/code")
    assert not snapshot.differences(before, Host.snapshot(host), set())


def go_there_and_back(host):
    for options in ({"state": "present"}, {"state": "absent"}):
        fatal = 1
        while run(host, fatal=fatal, **options) is None:
            fatal += STRIDE[host.name]
            assert receives(LAB.client("refused"), host), (options, fatal)
            codes = relays(LAB.client("refused"), host)
            assert not [code for code in codes.values() if 200 <= code < 400], (options, fatal, codes)
            assert fatal < 300
        assert fatal > 30, options
        assert not run(host, **options)["changed"]
        if options["state"] == "present":
            assert submit(LAB.client("refused"), host) == REFUSED
            pop(LAB.client("allowed"), host)
            assert submit(LAB.client("allowed"), host) == ("offered", 235, 250)
        print("{0}: killed until change {1} on the way to {2}".format(host.name, fatal, options["state"]))


def test_what_was_killed_is_completed_and_given_back():
    side_by_side(kill_again_and_again, LAB.hosts())
