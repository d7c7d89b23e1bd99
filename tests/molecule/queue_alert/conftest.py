"""A host with the alert, for the tests of this scenario."""

import pytest
from alert_host import Watched
from hosts.lab import Lab


@pytest.fixture(params=[host.name for host in Lab.current().hosts()])
def watched(request):
    made = Watched(request.param)
    with made.without_cron():
        made.reset()
        yield made
        made.reset()
