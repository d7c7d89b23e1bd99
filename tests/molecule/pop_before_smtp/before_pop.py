"""Before: a guessed password is enough; nobody relays without one. (converge.yml has to accept that this ends.)"""

import pytest
from hosts.lab import Lab
from pop_clients import receives, submit

HOSTS = [host.name for host in Lab.current().hosts()]


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("family", [4, 6])
def test_a_guessed_password_is_enough(name, family):
    host, client = Lab.current().host(name), Lab.current().client("refused")
    for port in (587, 465):
        assert submit(client, host, family, port) == ("offered", 235, 250)
        assert submit(client, host, family, port, auth=False)[2] == 454
    assert receives(client, host, family)
