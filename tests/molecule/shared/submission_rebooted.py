"""The refused client tried all through the reboot, a few milliseconds apart, and never got in."""

import pytest
from hosts.lab import Lab

PROBES = Lab.current().read("reboot")


@pytest.mark.parametrize("probe", PROBES["refused"], ids=lambda probe: "{0}-{1}".format(*probe))
def test_refused_client_never_got_in(probe):
    _address, _port, tried, opened, _last = probe
    assert tried > 50, "too few tries to say anything"
    assert opened == 0


@pytest.mark.parametrize("probe", PROBES["allowed"], ids=lambda probe: "{0}-{1}".format(*probe))
def test_allowed_client_got_in_again(probe):
    *_, opened, last = probe
    assert opened > 0
    assert last == "open"
