"""Before: everybody sends, from everywhere, so that a refusal afterwards means something."""

import pytest
from block_host import PORTS, SENT, send
from hosts.lab import Lab

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)


@HOSTS
@pytest.mark.parametrize("family", [4, 6])
def test_everybody_sends(host, family):
    for port in PORTS:
        for user in ("info@example.com", "INFO@Example.com", "info", "sales@example.com"):
            assert send(LAB.client("refused"), host, user, port, family) == SENT, (port, user)
