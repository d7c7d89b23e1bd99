"""Before: everybody sends, so that a refusal afterwards means something; then lines of the log are forged."""

import pytest
from hostile import PASSWORDS, play, said, send
from hosts.lab import Lab

LAB = Lab.current()
HOSTS = pytest.mark.parametrize("host", LAB.hosts(), ids=lambda host: host.name)

# A user of the host says that 61 people have logged in, and why others have not.
FORGED = """
for i in $(seq 10 70); do
    logger -p mail.info -t postfix/submission/smtpd -i "4ABC$i: client=unknown[203.0.113.$i], sasl_method=PLAIN, \
sasl_username=forged$i@example.com"
done
for i in $(seq 12); do
    logger -p mail.info -t postfix/submission/smtpd \
        "warning: unknown[198.51.100.20]: SASL LOGIN authentication failed: Invalid authentication mechanism"
done
"""


@HOSTS
@pytest.mark.parametrize("user", PASSWORDS)
def test_everybody_sends(host, user):
    assert send(LAB.client("allowed"), host, user) == (235, 250)


@HOSTS
def test_who_guessed_a_password_sends(host):
    for family in (4, 6):
        assert send(LAB.client("refused"), host, "info@example.com", family=family) == (235, 250)


def test_forged_lines_stop_nothing_and_hide_nobody():
    """Of those who would be cut off, only the one is named who was there."""
    for host in LAB.hosts():
        host.run("runuser -u www-data -- sh -s", stdin=FORGED.encode())
    _done, report, _seconds = play(
        "playbooks/compliance.yml", "--tags", "submission_firewall", submission_firewall_accepted_cutoffs=[]
    )
    for host in LAB.hosts():
        text = said(report, host, "submission-restricted")
        # Two addresses of one account, and of 61 that were made up none.
        assert "would cut off 2 accounts" in text, text
        assert "info@example.com from 198.51.100.66" in text
        assert "hanako" not in text and "boss" not in text
