"""Before: whoever knows a password can send, so that a refusal afterwards means something."""

import pytest
from audit_host import PASSWORDS, read, send
from hosts.lab import Lab

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)


@HOSTS
@pytest.mark.parametrize("user", [user for user in PASSWORDS if user != "changed"])
def test_everybody_can_send_and_read(host, user):
    client = LAB.client("allowed")
    assert read(client, host, user)
    assert send(client, host, user) == 250
