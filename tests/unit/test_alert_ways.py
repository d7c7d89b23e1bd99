"""Each way out, to a server that really listens."""

import email
import email.policy
import json
import os
import signal
import socket
import time

import pytest
from alert_servers import GONE, SILENT, HttpServer, SmtpServer, form, make_certificate, make_sendmail, passwords
from harden_mail.alert import ways
from harden_mail.alert.conditions import Excess
from harden_mail.alert.notice import message_id, notice
from harden_mail.alert.settings import check

CANARY = "canary5ecret"
EVIL = "<!channel> [code]```[toall] [free](http://evil.example) *x* & \u3042"
SUMMARY = {
    "top_origins": [{"value": "account bob", "count": 9}],
    "top_clients": [],
    "top_senders": [],
    "top_recipient_domains": [],
    "top_subjects": [{"value": EVIL, "count": 9}],
}
KEPT = notice(
    "alarm",
    "vps1.example.com",
    "en",
    1700000060,
    1,
    1700000000,
    total=2000,
    held=0,
    todo=None,
    limit=300,
    peak=2000,
    over=[Excess("total", 2000, 300)],
    summary=SUMMARY,
    read=None,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture(scope="module")
def other_certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "other.example.com")


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(ways.syslog, "syslog", lambda level, text: lines.append(text))
    return lines


def send(way, seconds=10, **settings):
    checked = check(dict(settings, ways=[way]))
    ways.send(KEPT, checked["ways"][0], checked, seconds)


def refused(way, **more):
    """The sentence by which a way fails; it and all that belongs to it have no secret in them."""
    return str(refusal(way, **more))


def refusal(way, **more):
    with pytest.raises(ways.WayError) as caught:
        send(way, **more)
    assert CANARY not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "\n" not in str(caught.value)
    return caught.value


def smtp(server, **more):
    return dict({"type": "smtp", "host": "localhost", "port": server.port, "to": ["admin@example.org"]}, **more)


def with_login(server, certificate, **more):
    return smtp(server, user="alert", password=CANARY, ca_file=certificate[0], **more)


# --- smtp ---------------------------------------------------------------------------------------------------


def test_a_relay_gets_the_mail_by_tls_after_the_password(certificate):
    with SmtpServer(certificate) as server:
        send(with_login(server, certificate, **{"from": "alert@example.com"}))
    ((sender, recipients, data),) = server.mails
    assert (sender, recipients) == ("<alert@example.com>", ["<admin@example.org>"])
    message = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert message["message-id"] == message_id(KEPT)
    assert "2000" in message.get_content()
    assert EVIL.split(maxsplit=1)[0] in message.get_content()
    assert passwords(server) == [("alert", CANARY, True)]
    assert ("ehlo vps1.example.com", True) in server.heard


def test_a_password_is_not_sent_to_a_relay_that_has_no_tls(certificate):
    with SmtpServer(None) as server:
        assert "STARTTLS" in refused(with_login(server, certificate))
    assert passwords(server) == []
    assert server.mails == []


@pytest.mark.parametrize("verify", [True, False])
def test_a_certificate_for_another_name_is_refused_unless_it_is_not_to_be_looked_at(other_certificate, verify):
    with SmtpServer(other_certificate) as server:
        way = with_login(server, other_certificate, verify=verify)
        if verify:
            assert "its certificate is not valid" in refused(way)
            assert (passwords(server), server.mails) == ([], [])
        else:
            send(way)
            assert len(server.mails) == 1


def test_a_certificate_that_nobody_has_signed_is_refused(certificate):
    with SmtpServer(certificate) as server:
        reason = refused(smtp(server, user="alert", password=CANARY))
    assert "certificate" in reason or "CERTIFICATE" in reason
    assert passwords(server) == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"AUTH": "535 wrong: " + CANARY}, "answered 535 (SMTPAuthenticationError)"),
        ({"RCPT": "550 " + CANARY}, "refused every recipient (550)"),
        ({"MAIL": "451 " + CANARY}, "answered 451 (SMTPSenderRefused)"),
        ({".": "451 " + CANARY}, "answered 451 (SMTPDataError)"),
        ({"DATA": GONE}, "SMTPServerDisconnected"),
        ({"EHLO": "502 what", "HELO": "502 what"}, "answered 502 (SMTPHeloError)"),
        ({"STARTTLS": "454 not now"}, "answered 454 (SMTPResponseException)"),
    ],
)
def test_a_relay_that_refuses_is_a_sentence_without_its_words(certificate, answers, said):
    with SmtpServer(certificate, answers) as server:
        assert said in refused(with_login(server, certificate))
    assert server.mails == []


def test_a_relay_that_takes_the_subjects_for_spam_gets_the_alert_without_them(certificate):
    def spam(data):
        text = email.message_from_bytes(data, policy=email.policy.SMTP).get_content()
        return "554 spam" if "evil.example" in text else "250 queued"

    with SmtpServer(certificate, {".": spam}) as server:
        send(with_login(server, certificate))
    ((_, _, data),) = server.mails
    message = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert message["message-id"] == message_id(KEPT)
    assert "2000" in message.get_content()
    assert "account bob" not in message.get_content()


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({".": "554 " + CANARY}, (True, True)),
        ({".": "451 later"}, (False, False)),
        ({"RCPT": "550 no"}, (False, False)),
        ({"MAIL": "550 no"}, (False, False)),
        ({"DATA": GONE}, (False, False)),
    ],
)
def test_only_what_is_refused_for_its_content_is_refused_for_good(certificate, answers, kind):
    with SmtpServer(certificate, answers) as server:
        error = refusal(with_login(server, certificate))
    assert (error.answered, error.for_good) == kind


def test_the_null_sender_is_in_the_envelope_and_somebody_in_the_header(certificate, tmp_path):
    with SmtpServer(certificate) as server:
        send(with_login(server, certificate, **{"from": "<>"}))
    ((sender, _, data),) = server.mails
    assert sender == "<>"
    assert email.message_from_bytes(data)["From"] == "root@vps1.example.com"
    read = make_sendmail(tmp_path / "sendmail")
    send({"type": "sendmail", "path": str(tmp_path / "sendmail"), "to": ["root"], "from": "<>"})
    arguments, text = read()
    assert arguments.splitlines() == ["-i", "-f", "", "--", "root"]
    assert email.message_from_string(text)["From"] == "root@vps1.example.com"


def test_one_recipient_of_two_is_enough_and_the_other_is_logged(certificate, logged):
    with SmtpServer(certificate, {"RCPT": lambda line: "550 no" if "gone" in line else "250 ok"}) as server:
        send(with_login(server, certificate, to=["gone@example.org", "admin@example.org"]))
    assert len(server.mails) == 1
    assert "refused 1 of 2 recipients" in logged[0]


@pytest.mark.parametrize("word", ["EHLO", "RCPT"])
def test_a_relay_that_says_nothing_is_given_up(certificate, word):
    with SmtpServer(certificate, {word: SILENT}) as server:
        begin = time.monotonic()
        reason = refused(with_login(server, certificate, timeout=1))
    assert time.monotonic() - begin < 5
    assert "answer" in reason or "Disconnected" in reason


@pytest.mark.parametrize("word", ["EHLO", "RCPT"])
def test_a_relay_that_does_not_stop_talking_is_given_up(certificate, word):
    with SmtpServer(certificate, {word: "\r\n".join(["250-" + "x" * 500] * 5000)}) as server:
        reason = refused(with_login(server, certificate))
    assert reason.endswith("its answers are longer than 1,048,576 bytes")


def test_what_is_said_to_quit_changes_nothing(certificate):
    with SmtpServer(certificate, {"QUIT": GONE}) as server:
        send(with_login(server, certificate))
    with SmtpServer(certificate, {"QUIT": SILENT}) as server:
        begin = time.monotonic()
        send(with_login(server, certificate), seconds=1)
    assert time.monotonic() - begin < 5
    assert len(server.mails) == 1, "it is accepted, and must not be sent by the next way, too"


def test_nobody_there_and_no_such_certificates_are_sentences(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    way = {"type": "smtp", "host": "localhost", "port": port, "to": ["a@example.org"], "timeout": 2}
    assert refused(way) == "smtp to localhost:{0}: Connection refused".format(port)
    gone = str(tmp_path / "gone.pem")
    assert refused(dict(way, ca_file=gone)).endswith("ca_file {0}: No such file or directory".format(gone))


# --- webhook ------------------------------------------------------------------------------------------------


def hook(server, shape="slack", **more):
    return dict({"type": "webhook", "url": server.url + "/" + CANARY, "shape": shape}, **more)


def posted(shape, **more):
    with HttpServer() as server:
        send(hook(server, shape, **more))
    ((method, path, headers, body),) = server.posted
    assert (method, path) == ("POST", "/hook/" + CANARY)
    return headers, body


def test_slack_reads_no_mention_or_link_of_a_spammer():
    headers, body = posted("slack")
    text = json.loads(body)["text"]
    assert headers["Content-Type"] == "application/json"
    assert "2000 messages" in text
    assert "<" not in text
    assert "&lt;!channel&gt;" in text
    assert text.count("```") == 2


def test_mattermost_gets_one_code_block():
    text = json.loads(posted("mattermost")[1])["text"]
    assert text.count("```") == 2
    assert "<!channel>" in text.split("```")[1]


def test_teams_gets_a_card_in_which_only_the_first_line_may_be_markdown():
    card = json.loads(posted("teams")[1])["attachments"][0]["content"]
    assert card["type"] == "AdaptiveCard"
    assert [one["type"] for one in card["body"][:2]] == ["TextBlock", "RichTextBlock"]
    assert {one["type"] for one in card["body"][1:]} == {"RichTextBlock"}
    assert card["body"][0]["text"] == KEPT["subject"]
    assert any(EVIL in one["inlines"][0]["text"] for one in card["body"][1:])


def test_chatwork_gets_a_form_with_one_code_block():
    headers, body = posted("chatwork", headers={"X-ChatWorkToken": CANARY})
    assert headers["X-Chatworktoken" if "X-Chatworktoken" in headers else "X-ChatWorkToken"] == CANARY
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    text = form(body)["body"]
    assert text.endswith("[/code]")
    assert text.count("[/code]") == 1
    assert "[toall]" in text.split("[code]", 1)[1]


def test_a_template_is_filled_at_any_depth():
    template = {"a": ["$subject", {"b": "$count of $limit $$5 $unknown"}], "n": 5, "id": "$message_id", "t": "$text"}
    filled = json.loads(posted("json", template=template)[1])
    assert filled["a"] == [KEPT["subject"], {"b": "2000 of 300 $5 $unknown"}]
    assert (filled["n"], filled["id"]) == (5, message_id(KEPT))
    assert EVIL in filled["t"]


def test_what_is_posted_twice_can_be_told_by_its_key():
    keys = [posted(shape, template={"t": "$text"})[0]["Idempotency-Key"] for shape in ("slack", "slack", "json")]
    assert set(keys) == {'"' + message_id(KEPT).strip("<>") + '"'}
    assert json.loads(posted("json", template={"k": "$key"})[1]) == {"k": KEPT["key"]}


@pytest.mark.parametrize(
    ("status", "kind", "times"),
    [
        (400, (True, True), 2),
        (413, (True, True), 2),
        (403, (True, False), 2),
        (404, (True, False), 2),
        (429, (False, False), 1),
        (408, (False, False), 1),
        (500, (False, False), 1),
        (302, (False, False), 1),
    ],
)
def test_a_service_that_refuses_is_there_and_gets_the_short_text(status, kind, times):
    with HttpServer(status) as server:
        error = refusal(hook(server))
    assert (error.answered, error.for_good) == kind
    assert len(server.posted) == times
    assert "answered with status {0}".format(status) in str(error)
    assert [EVIL.rsplit(maxsplit=1)[-1] in body for _, _, _, body in server.posted] == [True, False][:times]


def test_a_service_that_takes_the_subjects_for_an_attack_gets_the_alert_without_them():
    with HttpServer(lambda body: 403 if "evil.example" in body else 200) as server:
        send(hook(server))
    assert "2000 messages" in json.loads(server.posted[1][3])["text"]


@pytest.mark.parametrize("shape", ["slack", "mattermost", "teams", "chatwork"])
def test_the_longest_alert_is_not_too_long_for_a_service(shape):
    """Slack takes 40,000 characters, Mattermost 16,383, Teams 28 KB, Chatwork 65,535 bytes."""
    lists = {name: [{"value": "\u3042" * 120, "count": 9} for _ in range(5)] for name in SUMMARY}
    over = [Excess(name, 10**9, 10**9) for name in ("total", "oldest", "growth", "origin", "todo")]
    facts = {"total": 10**9, "held": 10**9, "todo": 10**9, "limit": 10**9, "peak": 10**9, "read": 10**5}
    longest = notice("alarm", "v" * 64, "ja", 1700000060, 1, 1700000000, over=over, summary=lists, **facts)
    with HttpServer() as server:
        checked = check({"ways": [hook(server, shape)]})
        ways.send(longest, checked["ways"][0], checked, 10)
    body = server.posted[0][3]
    text = form(body)["body"] if shape == "chatwork" else json.loads(body).get("text", body)
    assert len(text) < {"slack": 40000, "mattermost": 16383, "teams": 28000, "chatwork": 65535}[shape]
    assert len(text.encode("utf-8")) < {"teams": 28000}.get(shape, 65535)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_no_acceptance_and_is_not_followed(status):
    with HttpServer() as target, HttpServer(status, location=target.url) as server:
        assert "answered with status {0}".format(status) in refused(hook(server, headers={"X-Token": CANARY}))
    assert target.posted == []


@pytest.mark.parametrize(
    ("status", "said"), [(500, "status 500"), (404, "status 404"), (0, "BadStatusLine"), (None, "took longer than")]
)
def test_what_is_no_good_answer_is_a_sentence(status, said):
    with HttpServer(status) as server:
        begin = time.monotonic()
        assert said in refused(hook(server, headers={"X-Token": CANARY}), seconds=1)
    assert time.monotonic() - begin < 5


def test_a_webhook_is_asked_for_its_certificate(certificate, other_certificate):
    with HttpServer(certificate=certificate) as server:
        send(hook(server, ca_file=certificate[0]))
        assert "ertificate" in refused(hook(server)) or "CERTIFICATE" in refused(hook(server))
    assert len(server.posted) == 1
    with HttpServer(certificate=other_certificate) as server:
        assert "its certificate is not valid" in refused(hook(server, ca_file=other_certificate[0]))
    assert server.posted == []


# --- sendmail, ping, log, deadline --------------------------------------------------------------------------


def test_sendmail_gets_it_with_the_recipients_as_arguments(tmp_path):
    read = make_sendmail(tmp_path / "sendmail")
    send({"type": "sendmail", "path": str(tmp_path / "sendmail"), "to": ["root", "b@example.org"]})
    arguments, text = read()
    assert arguments.split() == ["-i", "-f", "root@vps1.example.com", "--", "root", "b@example.org"]
    assert email.message_from_string(text)["Message-ID"] == message_id(KEPT)


def test_a_sendmail_that_fails_hangs_or_is_not_there_is_a_sentence(tmp_path):
    make_sendmail(tmp_path / "sendmail", 75)
    way = {"type": "sendmail", "path": str(tmp_path / "sendmail"), "to": ["root"], "timeout": 1}
    assert refused(way) == "sendmail to root: exited with 75"
    # Python 3.6 names the file, too.
    assert refused(dict(way, path=str(tmp_path / "gone"))).startswith("sendmail to root: No such file or directory")
    (tmp_path / "sendmail").write_text("#!/bin/sh\nexec sleep 30\n", encoding="ascii")
    assert refused(way) == "sendmail to root: gave no answer in time"


def test_no_proxy_of_the_environment_is_asked_for_cron_has_none(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with HttpServer() as server:
        send(hook(server))
        ways.ping(server.url)
    assert len(server.posted) == 2


def test_a_ping_says_only_how_it_failed():
    with HttpServer() as server:
        ways.ping(server.url)
    assert server.posted[0][:2] == ("GET", "/hook")
    with HttpServer(500) as server, pytest.raises(ways.WayError, match=r"^ping_url: answered with status 500$"):
        ways.ping(server.url + "/" + CANARY)


def test_a_line_of_the_log_is_one_line_whatever_it_says(logged):
    ways.log("a\nb\x00c\udc80")
    assert logged == ["a\\x0ab\\x00c\\udc80"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_deadline_at_the_very_last_moment_is_a_sentence_or_nothing(monkeypatch, moment):
    """The signal comes while the timer is just being stopped."""
    original, calls = ways.signal.setitimer, []

    def setitimer(*arguments):
        calls.append(arguments)
        if len(calls) == 2 and moment == "before":
            os.kill(os.getpid(), signal.SIGALRM)
        result = original(*arguments)
        if len(calls) == 2 and moment == "after":
            os.kill(os.getpid(), signal.SIGALRM)
        return result

    monkeypatch.setattr(ways.signal, "setitimer", setitimer)
    former = signal.getsignal(signal.SIGALRM)
    with ways.deadline(30):
        pass
    assert signal.getsignal(signal.SIGALRM) == former


def test_a_deadline_is_not_taken_for_an_error_of_the_system():
    with pytest.raises(ways.WayError, match="took longer than"), ways.deadline(0.1):
        try:
            time.sleep(5)
        except OSError:
            pytest.fail("a library would try its next address")
