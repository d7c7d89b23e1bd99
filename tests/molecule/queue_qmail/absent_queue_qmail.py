"""What people do with the playbook on a qmail host."""

import queue_actions
from verify_queue_qmail import HOSTS, QUARANTINE, SELECT_SPAM, SPAM, WANTED, in_queue, inject, quiet, wait_for  # noqa: F401


@HOSTS
def test_the_playbook_does_what_it_says(host, quiet):  # noqa: F811
    inject(host, 0, 10, WANTED, "alice")
    inject(host, 100, 20, SPAM, "alice")
    wait_for(lambda: in_queue(host) == (30, 0))
    queue_actions.use_playbook(host, SELECT_SPAM, 30, 20, QUARANTINE)
    assert in_queue(host) == (0, 0)
    host.run("rm -rf " + QUARANTINE)
