"""Before: port 25 offers AUTH, so that its absence afterwards means something."""

from port_25 import FAMILIES, HOSTS, deliver, offers_auth


@HOSTS
@FAMILIES
def test_auth_is_offered(host, family):
    assert offers_auth(host, family) == {True}


@HOSTS
@FAMILIES
def test_mail_is_taken(host, family):
    assert deliver(host, family)
