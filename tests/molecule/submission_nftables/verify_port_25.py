"""Port 25 takes mail from everyone, and passwords from nobody; 587 still takes them from the allowed client."""

from port_25 import FAMILIES, HOSTS, LAB, PLAIN, deliver, offers_auth, sessions


@HOSTS
@FAMILIES
def test_auth_is_not_offered(host, family):
    assert offers_auth(host, family) == {False}


@HOSTS
@FAMILIES
def test_auth_is_refused_when_tried_blindly_with_the_right_password(host, family):
    assert [session.docmd("AUTH", PLAIN)[0] for session in sessions(host, family)] == [503, 503]


@HOSTS
@FAMILIES
def test_mail_is_taken(host, family):
    assert deliver(host, family)


@HOSTS
@FAMILIES
def test_submission_still_takes_passwords(host, family):
    for port in (587, 465):
        assert LAB.client("allowed").log_in(host.address(family), "info@example.com", "info", port) == 235
