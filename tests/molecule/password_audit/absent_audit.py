"""After `state: absent`: nobody is blocked, and nothing is remembered."""

import pytest
from audit_host import DIRECTORY, send
from hosts.lab import Lab

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)


@HOSTS
def test_everybody_can_send_again(host):
    assert send(LAB.client("allowed"), host, "info") == 250


@HOSTS
def test_nothing_is_remembered(host):
    assert host.run("ls -d {0} 2>/dev/null || echo gone".format(DIRECTORY)) == "gone\n"
