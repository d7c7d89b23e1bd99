"""Who is told of a guessed password, what the mail says, and that nobody is told twice."""

import email
import email.policy
import json
import os

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.passwords import notice
from harden_mail.passwords.notice import KINDS, NOTEBOOK, WORDS
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st

SENDMAIL = "/usr/sbin/sendmail"


def postfix(destination="", mailboxes="", aliases="", origin="example.com"):
    """Answers of Postfix: which domains it delivers."""
    return {
        "postconf": Completed(1, "", "fatal: usage"),
        "postconf -xh mydestination virtual_mailbox_domains virtual_alias_domains": "\n".join(
            (destination, mailboxes, aliases, "")
        ),
        "postconf -xh myorigin": origin + "\n",
    }


@pytest.fixture
def host(tmp_path):
    system = FakeSystem(tmp_path, {"sendmail": "", **postfix("example.com, localhost")})
    system.write(SENDMAIL, "")
    return system


@pytest.fixture
def clock(monkeypatch):
    now = [1800000000.0]
    monkeypatch.setattr(notice.time, "time", lambda: now[0])
    return now


def params(*accounts, **more):
    options = {
        "state": "present",
        "accounts": [
            account if isinstance(account, dict) else {"name": account, "token": "", "kind": None}
            for account in accounts
        ],
        "to": "owner",
        "admins": {},
        "default_admin": None,
        "from": None,
        "host": "mail.example.com",
        "language": "en",
        "charset": "utf-8",
        "url": None,
        "blocked": False,
        "repeat_days": 30,
        "max_notices": 200,
        "max_per_domain": 100000,
        "backend": None,
        "sendmail": SENDMAIL,
    }
    return dict(options, **more)


def run(system, *accounts, check_mode=False, **more):
    return notice.run(system, params(*accounts, **more), check_mode)


def mails(host):
    """(command line, message) of each mail that sendmail got since the last call."""
    got = [(line, email.message_from_string(text, policy=email.policy.default)) for line, text in host.calls if text]
    host.calls.clear()
    return got


def test_the_owner_is_told_once(host, clock):
    result = run(host, {"name": "info@example.com", "token": "t1", "kind": "account"}, url="https://panel.example.com/")
    assert (result["changed"], result["told"], result["findings"]) == (True, ["info@example.com"], [])
    ((line, mail),) = mails(host)
    # Not to whom: every user of the host can read command lines.
    assert line == "sendmail -i -t -f root@mail.example.com"
    assert (mail["To"], mail["From"]) == ("info@example.com", "root@mail.example.com")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"] == "Please change the password of info@example.com"
    text = mail.get_content()
    assert "is easily guessed: it is made of the account's name." in text
    assert "https://panel.example.com/" in text and "can read mail, but not send" not in text
    assert host.real(NOTEBOOK) and "info" not in host.read(NOTEBOOK)
    clock[0] += 29 * 86400
    result = run(host, {"name": "INFO@example.com", "token": "t1", "kind": None})
    assert not result["changed"] and mails(host) == []


@pytest.mark.parametrize("to", ["owner", "admin"])
def test_again_after_some_weeks_with_another_message_id_however_the_password_changes(host, clock, to):
    first = {"name": "a@example.com", "token": "t1", "kind": None}
    options = {"to": to, "default_admin": "boss@example.com"}
    run(host, first, **options)
    for day in range(1, 30):
        clock[0] += 86400
        assert run(host, dict(first, token="t{0}".format(day)), **options)["notices"] == 0
    clock[0] += 86400
    run(host, first, **options)
    ids = [mail["Message-ID"] for _line, mail in mails(host)]
    assert len(ids) == len(set(ids)) == 2


# --- whose mail is delivered here --------------------------------------------------------------------------------


def told(host, *names, **more):
    return run(host, *names, **more)["told"]


def test_strangers_are_not_told_and_that_is_said(host, clock):
    names = ["victim{0}@stranger{0}.example".format(number) for number in range(300)]
    result = run(host, *names, "info@example.com")
    assert result["told"] == ["info@example.com"] and [mail["To"] for _line, mail in mails(host)] == result["told"]
    (sentence,) = result["findings"]
    assert sentence.startswith(
        "300 owners were not told, since this host does not deliver mail to these addresses (of "
    )
    assert "and 295 more); with to: admin" in sentence
    # The admin is told, who named the address.
    assert len(told(host, *names, to="admin", default_admin="boss@elsewhere.example")) == 50


@pytest.mark.parametrize(
    "name",
    [
        "victim%stranger.example@example.com", "stranger.example!victim", "stranger.example!victim@example.com",
        "a@stranger.example@example.com", "@stranger.example", "a@", "a@sub.example.com", "a@example.com.", "/dev/x",
        "-f@example.com", "victim@-",
    ],
)  # fmt: skip
def test_no_name_makes_another_address_of_a_domain_of_the_host(host, clock, name):
    assert told(host, name) == [] and mails(host) == []


def test_a_bare_name_is_of_the_domain_that_postfix_appends(host, clock):
    assert told(host, "taro") == ["taro"]
    host.commands.update(postfix("example.com", origin="relay.example"))
    result = run(host, "jiro")
    # Nor does the finding name it.
    assert result["told"] == [] and "(of no domain)" in result["findings"][0] and "jiro" not in repr(result)
    host.write("/etc/mailname", "Example.com\n")
    host.commands.update(postfix("example.com", origin="/etc/mailname"))
    assert told(host, "jiro") == ["jiro"]


def test_domains_in_postfixs_tables_and_files_count(host, clock):
    asked = []

    def postmap(argv, stdin):
        asked.append((argv[1:], stdin))
        return Completed(0, "hosted.example\tOK\n", "")

    host.write("/etc/postfix/domains", "listed.example\n")
    host.commands.update(postfix("$myhostname", "/etc/postfix/domains, mysql:/etc/postfix/d.cf"), postmap=postmap)
    names = ["a@Hosted.example", "b@listed.example", "c@other.example"]
    assert told(host, *names) == names[:2]
    assert asked == [(["-q", "-", "mysql:/etc/postfix/d.cf"], "hosted.example\nlisted.example\nother.example\n")]


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        (dict.fromkeys(postfix(), Completed(1, "", "fatal")), "Postfix does not say which domains it delivers"),
        (
            dict(postfix("mysql:/x"), postmap=Completed(1, "", "postmap: fatal: query error")),
            "mysql:/x gives no answer",
        ),
        (postfix("!example.com, example.com"), "leaves some domains out again (!example.com)"),
    ],
)
def test_where_it_is_not_known_no_owner_is_told(host, clock, commands, why):
    host.commands.update(commands)
    result = run(host, "a@example.com")
    assert result["told"] == [] and not any("sendmail" in line for line, _text in host.calls)
    (sentence,) = result["findings"]
    assert (
        sentence.startswith("1 owner was not told, since it is not known whether this host delivers")
        and why in sentence
    )


def test_a_file_of_domains_must_be_roots(host, clock):
    host.write("/etc/postfix/domains", "example.com\n", 0o666)
    os.chmod(host.real("/etc/postfix/domains"), 0o666)
    host.commands.update(postfix("/etc/postfix/domains"))
    result = run(host, "a@example.com")
    assert result["told"] == [] and "can be written by others than root" in result["findings"][0]


def test_qmails_domains_count_unless_it_only_passes_them_on(host, clock):
    for name, text in (
        ("me", "mail.example.com\n"),
        ("locals", "Local.example\n# comment\n"),
        ("virtualdomains", "hosted.example:hosted.example\nelse.example:\nu@one.example:u\n.sub.example:x\n"),
        ("rcpthosts", "hosted.example\nrelayed.example\n"),
        ("defaulthost", "local.example\n"),
    ):
        host.write("/var/qmail/control/" + name, text)
    names = ["a@local.example", "b@hosted.example", "taro"]
    others = ["c@else.example", "u@one.example", "d@a.sub.example", "e@relayed.example", "f@mail.example.com"]
    assert told(host, *(names + others), backend="qmail") == names
    assert told(host, "g@local.example", backend="exim") == []
    # Without locals, it is the host's own name.
    host.remove("/var/qmail/control/locals")
    assert told(host, "f@mail.example.com", backend="qmail") == ["f@mail.example.com"]


def test_no_domain_gets_more_than_its_part_of_a_run(host, clock):
    host.commands.update(postfix("example.com, example.net"))
    names = ["user{0}@example.com".format(number) for number in range(10)]
    result = run(host, *names, "a@example.net", max_per_domain=4)
    assert result["told"] == names[:4] + ["a@example.net"] and result["notices_left"] == 6
    assert "6 more notices are due, beyond max_notices or max_per_domain" in result["findings"][0]
    assert told(host, *names, "a@example.net", max_per_domain=4) == names[4:8]


def test_what_was_killed_is_sent_again_with_the_same_message_id(host, clock, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(notice, "_note", die)
        with pytest.raises(Killed):
            run(host, "a@example.com", "b@example.com")
    clock[0] += 60
    run(host, "a@example.com", "b@example.com")
    got = mails(host)
    assert [mail["To"] for _line, mail in got] == ["a@example.com", "a@example.com", "b@example.com"]
    assert got[0][1]["Message-ID"] == got[1][1]["Message-ID"] != got[2][1]["Message-ID"]


def test_an_admin_gets_one_mail_for_all_accounts(host, clock):
    accounts = ["a@example.com", "b@Example.com", "c@example.net", "d@example.org"]
    options = {"to": "admin", "admins": {"example.com": "boss@example.com"}, "blocked": True}
    result = run(host, *accounts, **options)
    assert (result["notices"], result["told"]) == (1, accounts[:2])
    assert "2 accounts have nobody" in result["findings"][0] and "example.net, example.org" in result["findings"][0]
    ((_line, mail),) = mails(host)
    assert mail["To"] == "boss@example.com" and mail["Subject"].endswith(": 2")
    assert "  a@example.com\n  b@Example.com\n" in mail.get_content()
    assert "These accounts can read mail, but not send" in mail.get_content()
    result = run(host, *accounts, default_admin="all@example.com", **options)
    assert result["told"] == accounts[2:] and result["findings"] == []


def test_check_mode_says_whom_and_sends_nothing(host, clock):
    said = run(host, "a@example.com", check_mode=True)
    assert mails(host) == [] and not host.exists(NOTEBOOK) and not host.exists("/var/lib/harden-mail")
    did = run(host, "a@example.com")
    assert [(one["changed"], one["told"]) for one in (said, did)] == [(True, ["a@example.com"])] * 2
    assert not run(host, "a@example.com", check_mode=True)["changed"]


def test_ten_thousand_are_told_in_portions(host, clock):
    names = ["user{0}@example.com".format(number) for number in range(10000)]
    result = run(host, *names, max_notices=60)
    assert (result["notices"], result["notices_left"], len(result["told"])) == (60, 9940, 50)
    assert "9940 more notices" in result["findings"][0]
    assert {mail["To"] for _line, mail in mails(host)} == set(names[:60])
    run(host, *names, max_notices=60)
    assert {mail["To"] for _line, mail in mails(host)} == set(names[60:120])


def test_what_sendmail_refuses_is_a_finding_and_tried_again(host, clock):
    accepted = host.commands["sendmail"]
    host.commands["sendmail"] = lambda _argv, text: Completed(75 if "\nTo: a@example.com\n" in text else 0, "", "full")
    result = run(host, "a@example.com", "b@example.com")
    assert result["told"] == ["b@example.com"] and "a@example.com: sendmail exited with 75" in result["findings"][0]
    host.commands["sendmail"] = accepted
    assert run(host, "a@example.com", "b@example.com")["told"] == ["a@example.com"]


@pytest.mark.parametrize("local", ["a" * 240, "!#$%&'*+-/=?^_`{|}~.", "=?utf-8?q?x?=", "-oQ/tmp", ".a..b."])
def test_an_address_stands_in_the_header_as_it_is(host, clock, local):
    """There, sendmail reads it: quoted or decoded it would be another one."""
    address = local + "@example.com"
    run(host, "a@example.com", to="admin", default_admin=address)
    ((_line, text),) = [call for call in host.calls if call[1]]
    # One that is too long for a line begins in the next one.
    assert [value.strip() for value in email.message_from_string(text).get_all("To")] == [address]


def test_odd_names_are_a_finding_and_stop_nobody_else(host, clock):
    result = run(host, "two words", "-oQ/tmp@x", "jörg@example.com", "b\n@x", "b@example.com", "taro")
    assert result["told"] == ["b@example.com", "taro"]
    assert "3 accounts have nobody" in result["findings"][0]
    assert {line for line, _mail in mails(host)} == {"sendmail -i -t -f root@mail.example.com"}


def test_forgotten_without_a_trace(host, clock):
    run(host, "a@example.com")
    assert run(host, state="absent", check_mode=True)["changed"] and host.exists(NOTEBOOK)
    assert run(host, state="absent")["changed"]
    assert not host.exists("/var/lib/harden-mail")
    assert not run(host, state="absent")["changed"]


def test_those_of_long_ago_are_forgotten(host, clock):
    run(host, "a@example.com")
    clock[0] += 401 * 86400
    run(host, "b@example.com")
    assert len(json.loads(host.read(NOTEBOOK))) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"from": "two words"}, "from contains 'two words'"),
        ({"to": "admin", "admins": {"x": "a b"}}, "admins.x contains 'a b'"),
        ({"default_admin": "a\nb"}, "default_admin contains"),
        ({"url": "panel"}, "url is 'panel'"),
        ({"host": "a b"}, "host is 'a b'"),
        ({"repeat_days": 0}, "repeat_days is 0"),
        ({"max_notices": 0}, "max_notices is 0"),
        ({"max_per_domain": 0}, "max_per_domain is 0"),
        ({"sendmail": "/nowhere"}, "sendmail is /nowhere"),
    ],
)
def test_wrong_options_are_one_sentence(host, clock, options, sentence):
    with pytest.raises(UserError) as caught:
        run(host, "a@example.com", **options)
    assert sentence in str(caught.value) and mails(host) == []


def test_both_languages_say_the_same_things():
    assert set(WORDS["en"]) == set(WORDS["ja"]) >= set(KINDS)


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp"])
@pytest.mark.parametrize("to", ["owner", "admin"])
def test_a_japanese_mail_is_read_by_any_program(host, clock, charset, to):
    account = {"name": "info@example.com", "token": "", "kind": "japanese"}
    run(host, account, language="ja", charset=charset, to=to, default_admin="x@example.com", blocked=True)
    ((_line, text),) = [(line, text) for line, text in host.calls if text]
    assert all(len(line) <= 998 for line in text.splitlines()) and text.encode("ascii")
    ((_line, mail),) = mails(host)
    assert mail.get_content_charset() == charset and mail["Subject"].startswith("【重要】")
    body = mail.get_content()
    assert "日本語の単語や名前から作られたもの" in body and "?" not in body and "受信はできますが" in body


@given(st.text(max_size=20), st.sampled_from(["en", "ja"]), st.sampled_from(["utf-8", "iso-2022-jp"]))
def test_no_name_breaks_out_of_a_mail(name, language, charset):
    options = params(name, to="admin", default_admin="x@example.com", language=language, charset=charset)
    due, _adminless = notice.wanted_notices(options, {}, 0)
    text = notice.mail(options, due[0], "h", "root@h", 0, {})
    assert set(email.message_from_string(text).keys()) == {
        "From",
        "To",
        "Subject",
        "Message-ID",
        "X-Harden-Mail",
        "Date",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }
