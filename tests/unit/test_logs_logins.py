import ipaddress
import os
import time

import pytest
from harden_mail.addresses import fold_address
from harden_mail.logs.logins import WANTED, logins
from harden_mail.logs.reader import Logs
from harden_mail.system import System
from hypothesis import given
from hypothesis import strategies as st

DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "logs")
FORGED = "eve>, method=PLAIN, rip=198.51.100.20, lip=1.2.3.4, user=<x"


def read(name, wanted=WANTED):
    return list(logins(Logs(System(DATA), ["/" + name], False, 0, wanted=wanted).lines()))


def one(text):
    found = list(logins([(5, text)]))
    assert len(found) == 1, found
    return found[0]


def short(login):
    return (login.kind, login.account, login.address.split(".")[-1], login.accepted, login.service)


@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_recorded_sessions(name):
    found = [short(login) for login in read(name + ".log") if "." in login.address]
    assert found[:6] == [
        ("smtp", "bob@example.com", "20", True, "postfix/smtpd"),
        ("smtp", "bob@example.com", "20", True, "postfix/submission/smtpd"),
        ("smtp", None, "20", True, "postfix/smtps/smtpd"),  # logged in, sent nothing
        ("pop3", "bob@example.com", "20", True, "dovecot/pop3-login"),
        ("imap", "bob@example.com", "20", True, "dovecot/imap-login"),
        ("imap", "bob@example.com", "20", False, "dovecot/imap-login"),
    ]
    attacker = [login for login in found[6:] if login[2] == "66"]
    assert len(attacker) == len(found) - 6
    assert [login for login in attacker if login[3]] == [("pop3", "admin", "66", True, "dovecot/pop3-login")]
    assert ("pop3", FORGED, "66", False, "dovecot/pop3-login") in attacker
    assert ("smtp", "nobody@example.com", "66", False, "postfix/submission/smtpd") in attacker
    assert ("smtp", None, "66", False, "postfix/smtps/smtpd") in attacker


def test_an_account_that_looks_like_a_log_line_was_recorded():
    assert (
        "smtp",
        "bob from unknown[198.51.100.20], sasl_method=PLAIN, sasl_username=alice",
        "66",
        False,
        "postfix/submission/smtpd",
    ) in [short(login) for login in read("debian13.log")]


@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_recorded_ipv6(name):
    sent = [login for login in read(name + ".log") if login.address == "2001:db8:1::20" and login.accepted]
    assert [login.service for login in sent] == [
        "postfix/smtpd",
        "postfix/submission/smtpd",
        "postfix/smtps/smtpd",
        "dovecot/pop3-login",
        "dovecot/imap-login",
    ]


@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_a_journal_says_what_the_file_says(name):
    from_file = [login[1:] for login in read(name + ".log")]
    assert len(from_file) > 10
    assert [login[1:] for login in read(name + "-journal.log")][: len(from_file)] == from_file


@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_folded_lines_count(name):
    found = read(name + "-traditional.log")
    assert [login.accepted for login in found] == [True, False, False, False]
    assert {login.address for login in found} == {"198.51.100.66"}


@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_dovecots_own_log(name):
    assert [short(login) for login in read(name + "-dovecot.log")] == [
        ("pop3", "bob@example.com", "66", True, "dovecot/pop3-login"),
        ("imap", "bob@example.com", "66", True, "dovecot/imap-login"),
        ("imap", "bob@example.com", "66", False, "dovecot/imap-login"),
    ]


def test_plesk_qmail():
    assert [short(login) for login in read("plesk-qmail.log")] == [
        ("smtp", "bob@example.com", "94", True, "smtp_auth"),
        ("smtp", "alice@example.com", "130", True, "smtp_auth"),
        ("smtp", "bob@example.com", "66", False, "smtp_auth"),
        ("smtp", "x - y logged in from a [192.0.2.1]", "66", False, "smtp_auth"),
    ]


def test_plesk_postfix():
    first, second = read("plesk-postfix.log")
    assert (first.account, first.address, first.accepted) == (None, "203.0.113.28", False)
    assert (second.account, second.address, second.accepted) == ("user@example.com", None, False)


def test_courier():
    assert [(login.kind, login.account, login.address, login.accepted) for login in read("courier.log")] == [
        ("imap", "user@example.com", "198.51.100.33", False),
        ("imap", None, "198.51.100.33", False),
        ("pop3", "x, ip=[192.0.2.1], port=[1", "198.51.100.33", False),
        ("imap", "bob@example.com", "192.0.2.100", True),
        ("pop3", "bob@example.com", "2001:db8::5", True),
    ]


def test_recorded_courier():
    assert [short(login) for login in read("debian12-courier.log")] == [
        ("pop3", "bob", "1", False, "pop3d"),
        ("pop3", "bob", "1", True, "pop3d"),
        ("imap", "bob", "2001:db8:0:1::1", True, "imapd"),
    ]


def test_vpopmail():
    assert [(login.kind, login.account, login.address, login.accepted) for login in read("vpopmail.log")] == [
        ("pop3", "bob@example.com", "192.0.2.100", True),
        ("imap", "bob@example.com", "2001:db8::5", True),
        ("smtp", "bob@example.com", "192.0.2.100", True),
        ("smtp", "bob@example.com", "198.51.100.66", False),
        ("smtp", "bob@example.com", "198.51.100.66", False),
        ("pop3", "login success a:192.0.2.1@", "198.51.100.66", False),
    ]
    assert {login.service for login in read("vpopmail.log")} == {
        "vchkpw-pop3", "vchkpw-imaps", "vchkpw-submission", "vchkpw-smtps", "vchkpw-smtp"
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(name for name in os.listdir(DATA) if name.endswith(".log")))
def test_nothing_is_lost_by_passing_over_other_lines(name):
    assert read(name) == read(name, wanted=())


def test_lines_that_are_none():
    assert list(logins([(5, ""), (5, ": "), (5, "postfix/smtpd[7]"), (5, "a b: c")])) == []


def test_attempts_are_counted_within_a_bound():
    text = (
        "dovecot: imap-login: Disconnected: Inactivity (auth failed, 3 attempts in 180 secs): user=<bob>, "
        "method=PLAIN, rip=192.0.2.1, lip=192.0.2.9, session=<x>"
    )
    assert len(list(logins([(5, text)]))) == 3
    assert len(list(logins([(5, text.replace("3 attempts", "999999999 attempts"))]))) == 1000
    folded = "dovecot: message repeated 999999999 times: [ {0}]".format(text.partition(": ")[2])
    assert len(list(logins([(5, folded)]))) == 1000


def test_accounts_are_fit_to_be_shown():
    hostile = "a\x1b[2J\udcff\u202eb"
    login = one(
        "postfix/smtpd[7]: warning: x[192.0.2.1]: SASL PLAIN authentication failed: no, sasl_username=" + hostile
    )
    assert login.account == "a?[2J??b"
    assert (
        len(one("postfix/smtpd[7]: A1: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=" + "b" * 999).account)
        == 255
    )


@pytest.mark.parametrize(
    "text, folded",
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("nonsense", None),
    ],
)
def test_fold_address(text, folded):
    assert fold_address(text) == folded


@given(
    st.lists(st.one_of(st.integers(0, 300).map(str), st.sampled_from(["", "01", "1 ", "x"])), max_size=5).map(".".join)
)
def test_an_ipv4_address_is_what_the_library_says(text):
    try:
        expected = str(ipaddress.IPv4Address(text))
    except ValueError:
        expected = None
    assert fold_address(text) == expected


PIECES = st.sampled_from(
    "postfix/smtpd[7]: |dovecot: imap-login: |imapd: |smtp_auth: |SMTP user |FAILED: | - | logged in from |A1: client=|"
    "x[192.0.2.1]|, sasl_method=PLAIN|, sasl_username=|warning: |: SASL PLAIN authentication failed|Login: user=<|"
    ">, method=, rip=|, lip=|"
    "Disconnected (auth failed, 2 attempts|LOGIN|, user=|, ip=[192.0.2.1]|, port=[|disconnect from | auth=1| ehlo=1|"
    "message repeated 2 times: [ |]|: |vpopmail: |vchkpw-pop3: |(PLAIN) login success "
    "|password fail |:192.0.2.1|:2001:db8::1|plesk_saslauthd: failed mail authentication attempt for user '".split("|")
)


@given(st.one_of(st.lists(PIECES, max_size=20).map("".join), st.text()))
def test_any_line_is_read_without_an_error(text):
    for login in logins([(None, text)]):
        assert login.kind in ("smtp", "pop3", "imap")
        assert login.account is None or login.account.isprintable()
        assert login.address is None or fold_address(login.address) == login.address


@given(st.one_of(st.text(), st.lists(PIECES, max_size=10).map("".join)))
def test_an_account_cannot_forge_an_address(name):
    lines = [
        "postfix/smtpd[7]: warning: x[192.0.2.66]: SASL PLAIN authentication failed: no, sasl_username=" + name,
        "dovecot: imap-login: Login aborted: x (auth failed, 1 attempts in 2 secs) (auth_failed): user=<" + name + ">, "
        "method=PLAIN, rip=192.0.2.66, lip=192.0.2.9, session=<x>",
        "imapd: LOGIN FAILED, user=" + name + ", ip=[::ffff:192.0.2.66]",
        "smtp_auth: FAILED: " + name + " - password incorrect  from unknown@ [192.0.2.66]",
        "vpopmail: vchkpw-pop3: password fail " + name + ":192.0.2.66",
        "vpopmail: vchkpw-smtp: vpopmail user not found " + name + ":192.0.2.66",
    ]
    for line in lines:
        for login in logins([(5, line)]):
            assert (login.address, login.accepted) == ("192.0.2.66", False)


@pytest.mark.parametrize(
    "attack",
    [
        ", sasl_username=",
        ", rip=1.1.1.1",
        " auth=1",
        ", ip=[1.1.1.1]",
        " - ",
        " from [",
        ": user=<",
        "<",
        ":1.1.1.1",
        "') ",
    ],
)
def test_a_long_line_is_read_in_no_time(attack):
    prefixes = [
        "postfix/smtpd[7]: A1: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=",
        "postfix/smtpd[7]: warning: x[192.0.2.1]: SASL PLAIN authentication failed: ",
        "postfix/smtpd[7]: disconnect from x[192.0.2.1]",
        "dovecot: imap-login: Disconnected: x (auth failed, 1 attempts",
        "dovecot: imap-login: Login: user=<",
        "imapd: LOGIN, user=",
        "smtp_auth: SMTP user ",
        "smtp_auth: FAILED: ",
        "vpopmail: vchkpw-pop3: (PLAIN) login success ",
        "vpopmail: vchkpw-pop3: password fail (pass: '",
    ]
    start = time.process_time()
    for prefix in prefixes:
        list(logins([(5, prefix + attack * (60000 // len(attack)) + "\x00")]))
    assert time.process_time() - start < 2
