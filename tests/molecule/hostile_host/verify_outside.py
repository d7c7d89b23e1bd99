"""What the client outside tries, and gets nowhere: packets that a rule may overlook, other spellings of a name."""

import json
import os

import pytest
from hostile import HERE, send
from hosts.lab import Lab, side_by_side
from once import once
from pop_clients import forget, pop, tidy_up

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
USER, BOT = LAB.client("allowed"), LAB.client("refused")
SPELLINGS = [
    "INFO@example.com",
    "info@EXAMPLE.com",
    "info@example.com.",
    " info@example.com",
    "info+x@example.com",
    "\u0131nfo@example.com",
    "hanako@example.com*info@example.com",
]


@HOSTS
def test_no_packet_opens_a_port(host):
    number = "02:00:00:00:00:{0:02x}".format
    command = ["python3", os.path.join(HERE, "from_outside.py"), host.address(4), host.address(6), number(host.number)]
    done = BOT.run(" ".join([*command, BOT.address(6), number(int(BOT.address(4).split(".")[-1]))]))
    ways = json.loads(done.stdout)
    for way, answers in ways.items():
        assert answers["587"] in ("RST", "refused", "nothing"), (way, answers)
    # The control: what Linux itself does not drop has reached port 25.
    reached = {way for way, answers in ways.items() if answers["25"] in ("SYN-ACK", "open")}
    assert {"plain", "atomic fragment", "link-local", "mapped"} <= reached


@once
def test_a_blocked_account_has_no_other_name():
    def check(host):
        forget(host)
        pop(USER, host)
        codes = side_by_side(lambda name: send(USER, host, name, "info"), ["info@example.com", *SPELLINGS])
        assert codes[0] == (235, 554)
        assert not [code for code in codes if code[1] == 250], codes
        tidy_up(host)

    side_by_side(check, LAB.hosts())
