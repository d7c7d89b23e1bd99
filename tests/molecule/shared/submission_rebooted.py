"""The refused client tried all through the reboot, a few milliseconds apart, and never got in."""

import pytest
from hosts.lab import Lab

PROBES = Lab.current().read("reboot")


NAMES = "{0}-{1}-{2}".format


@pytest.mark.parametrize("probe", PROBES["refused"], ids=lambda probe: NAMES(*probe))
def test_refused_client_never_got_in(probe):
    _phase, _address, _port, tried, opened, _last = probe
    assert tried > 20, "too few tries to say anything"
    assert opened == 0


@pytest.mark.parametrize("probe", PROBES["allowed"], ids=lambda probe: NAMES(*probe))
def test_allowed_client_got_in_again(probe):
    phase, *_, opened, last = probe
    if phase == "boot":
        assert opened > 0
        assert last == "open"
