"""Journal and syslog of hosts on which passwords were guessed, accounts blocked, and people told."""

import pytest
from audit_host import CANARY, play
from hosts.lab import Lab
from invocation_log import check
from once import once
from verify_audit import GUESSED

LAB = Lab.current()


@pytest.fixture(scope="module")
def report():
    LAB.write_inventory()
    return play()


@once
@pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)
def test_the_log_names_nobody_whose_password_was_guessed(host, report):
    said, _ = report
    assert "submission_block" in said
    assert "mail_password_notice" in said
    accounts = ["{0}@example.com".format(user) for user in GUESSED]
    check(host, nowhere=[CANARY], not_of_ansible=[*accounts, "was guessed", "name_guessed", "mask_accounts"])
