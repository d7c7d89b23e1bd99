"""Lifted: everybody sends. Then what is hard: open sessions, POP-before-SMTP beside it, a kill before each step."""

import email
import email.policy
import time

import pytest
from block_host import PORTS, SENT, hand_over, is_open, opened, run, send, tell
from code_on_host import put_code
from hosts import snapshot
from hosts.lab import Host, Lab, side_by_side
from pop_clients import pop, tidy_up
from pop_clients import run as run_pop

LAB = Lab.current()
INFO, SALES = "info@example.com", "sales@example.com"
# A kill before each of so many changes; unit tests are killed before every one.
STRIDE = 5


@pytest.fixture(scope="module", autouse=True)
def code():
    side_by_side(put_code, LAB.hosts())
    yield
    for host in LAB.hosts():
        host.run("rm -rf /tmp/code")


def together(check):
    """Do a check on all hosts, each of which is afterwards as it was before."""

    def whole(host):
        before = host.snapshot()
        check(host)
        tidy_up(host)
        assert not snapshot.differences(before, Host.snapshot(host), set()), host.name

    side_by_side(whole, LAB.hosts())


def test_everybody_sends_again():
    for host in LAB.hosts():
        for port in PORTS:
            for family in (4, 6):
                assert send(LAB.client("refused"), host, INFO, port, family) == SENT, port


def test_open_sessions_end_and_those_of_others_stay():
    bot, user = LAB.client("refused"), LAB.client("allowed")

    def check(host):
        its = [opened(bot, host, INFO, port, family) for port in (587, 465) for family in (4, 6)]
        sent = opened(bot, host, INFO, 25)
        idle = opened(bot, host, INFO, 25)
        others = opened(user, host, SALES)
        unknown = opened(user, host, SALES)
        server = opened(LAB.client("controller"), host, None, 25)
        for session in (its[0], sent, others, server):
            assert hand_over(session) == SENT
        result = run(host, accounts=[INFO])
        # Of the one that has sent nothing yet, nobody knows whose it is; mail programs connect anew.
        assert [is_open(session) for session in [*its, sent, idle, unknown]] == [False] * 7
        assert [hand_over(session) for session in (others, server)] == [SENT, SENT]
        assert result["sessions_ended"] == 7 and result["findings"] == [], result
        assert any(INFO in line and bot.address() in line for line in result["evidence"]), result
        # The services go on at once.
        for port in PORTS:
            assert send(user, host, SALES, port) == SENT
            assert send(user, host, INFO, port) == 554
        known = opened(user, host, SALES)
        assert run(host, state="absent")["sessions_ended"] == 0
        assert is_open(known)
        assert send(user, host, INFO) == SENT

    together(check)


def test_pop_before_smtp_comes_and_goes_beside_it_in_any_order():
    user = LAB.client("allowed")

    def block(host, state):
        return run(host, state=state, accounts=[INFO] if state == "present" else [])

    def pop_before_smtp(host, state):
        return run_pop(host, state=state)

    def check(host):
        for first, second in ((block, pop_before_smtp), (pop_before_smtp, block)):
            first(host, "present")
            second(host, "present")
            master = host.run("cat /etc/postfix/master.cf")
            for again in (first, second):
                again(host, "present")
            assert host.run("cat /etc/postfix/master.cf") == master
            assert not block(host, "present")["changed"]
            pop(user, host)
            assert send(user, host, INFO) == send(user, host, INFO, 465) == 554
            assert send(user, host, SALES) == SENT
            first(host, "absent")
            pop(user, host)
            assert send(user, host, INFO) == (SENT if first is block else 554)
            second(host, "absent")
            assert send(user, host, INFO) == SENT

    together(check)


def test_ten_thousand_accounts_in_one_call():
    def check(host):
        began = time.monotonic()
        many = [INFO] + ["user{0}@example.com".format(number) for number in range(10000)]
        assert run(host, accounts=many)["blocked_total"] == 10001
        print("{0}: 10,001 accounts in {1:.1f} s".format(host.name, time.monotonic() - began))
        assert not run(host, accounts=many)["changed"]
        assert send(LAB.client("allowed"), host, INFO) == 554
        run(host, state="absent")

    together(check)


def test_under_cyrus_a_bare_name_has_any_realm():
    """There is no saslauthd here: what Postfix finds in the table."""

    def check(host):
        host.run("cp -p /etc/postfix/main.cf /tmp/main.cf; postconf -e smtpd_sasl_type=cyrus")
        run(host, accounts=["taro", "a.b+c/d"])
        for name in ("taro@example.com", "TARO@x", "a.b+c/d@x", "taro", "xtaro@x", "taroo@x", "aXb+c/d@x"):
            found = "postmap -q {0} regexp:/etc/postfix/harden-mail-blocked-realms >/dev/null && echo found || true"
            is_found = host.run(found.format(name)).strip() == "found"
            assert is_found == (name in ("taro@example.com", "TARO@x", "a.b+c/d@x")), name
        host.run("mv /tmp/main.cf /etc/postfix/main.cf")
        run(host, state="absent")

    together(check)


def test_a_notice_is_read_in_the_mailbox():
    def check(host):
        host.run("cp -p /etc/postfix/main.cf /tmp/main.cf; postconf -e 'local_transport = local'; postfix reload")
        try:
            done = tell(host, accounts=[{"name": INFO, "kind": "account"}], to="admin", default_admin="root@localhost")
            assert (done["told"], done["findings"]) == ([INFO], []), done
            assert not tell(host, accounts=[{"name": INFO}], to="admin", default_admin="root@localhost")["changed"]
            for _try in range(50):
                text = host.run("cat /var/mail/root 2>/dev/null || true")
                if text:
                    break
                time.sleep(0.2)
            mail = email.message_from_string(text.partition("\n")[2], policy=email.policy.default)
            assert mail["Subject"] == "【重要】推測されやすいパスワードのメールアカウント: 1件"
            assert mail["Auto-Submitted"] == "auto-generated" and mail["To"] == "root@localhost"
            body = mail.get_content()
            assert "  info@example.com (アカウント名から作られたもの)" in body and "https://panel.example.com/" in body
        finally:
            host.run("mv /tmp/main.cf /etc/postfix/main.cf; postfix reload; rm -f /var/mail/root")
            tell(host, state="absent")

    together(check)


def test_what_was_killed_is_completed_and_given_back():
    user = LAB.client("allowed")

    def check(host):
        for options in ({"accounts": [INFO], "addresses": ["203.0.113.5"]}, {"state": "absent"}):
            session = opened(LAB.client("refused"), host, INFO)
            fatal = 1
            # Each run dies a little later than the one before it, which has left what it starts from.
            while run(host, fatal=fatal, **options) is None:
                fatal += STRIDE
                assert fatal < 200
            print("{0}: killed until change {1}".format(host.name, fatal))
            assert fatal > 20
            assert not run(host, **options)["changed"]
            blocked = options.get("state") != "absent"
            assert is_open(session) != blocked
            for port in PORTS:
                assert send(user, host, INFO, port) == (554 if blocked else SENT)
                assert send(user, host, SALES, port) == SENT

    together(check)
