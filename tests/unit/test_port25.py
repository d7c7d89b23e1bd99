import json
import os
import socket
import threading

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.logs.guard import GUARD_ARGUMENTS
from harden_mail.paths import PORT25_LOCK, PORT25_NOTEBOOK
from harden_mail.port25 import control
from harden_mail.port25.control import run
from harden_mail.smtp import Answer, ask
from harden_mail.system import Completed

MASTER = """\
# mine
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
"""
MENDED = MASTER.replace("  -       smtpd\nsub", "  -       smtpd\n  -o smtpd_sasl_auth_enable=no\nsub")
POSTSCREEN = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\nsubmission inet n - y - - smtpd\n"

SENT = "2026-11-24T11:00:00Z vps {0}[1]: A1: client=x[203.0.113.5], sasl_method=PLAIN, sasl_username=bob\n"


class Host(FakeSystem):
    """A Postfix whose server takes up master.cf when it is reloaded.

    :ivar int crash_at: the step (a write, removal, or command that does something) before which the process is killed
    """

    def __init__(self, root, master=MASTER, auth="yes"):
        commands = {
            "postconf -c /etc/postfix -x smtpd_sasl_auth_enable": "smtpd_sasl_auth_enable = " + auth,
            "postconf -c /etc/postfix -x syslog_name": "syslog_name = postfix",
            "postconf -c /etc/postfix -x inet_interfaces": "inet_interfaces = all",
            "postconf -c /etc/postfix -M": "",
            "postfix -c /etc/postfix check": "",
            "postfix -c /etc/postfix status": "",
            "postfix -c /etc/postfix reload": self.reload,
        }
        super().__init__(root, commands)
        self.auth, self.steps, self.crash_at, self.asked = auth, 0, None, []
        directory = root / "etc" / "postfix"
        directory.mkdir(parents=True)
        (directory / "main.cf").write_text("")
        (directory / "master.cf").write_text(master)
        self.serving = master

    def reload(self, _argv, _stdin):
        self.serving = self.read("/etc/postfix/master.cf")
        return ""

    def step(self):
        if self.steps == self.crash_at:
            raise KeyboardInterrupt
        self.steps += 1

    def run(self, argv, *options, **named):
        if argv[0] == "postfix":
            self.step()
        return super().run(argv, *options, **named)

    def write(self, *what):
        self.step()
        super().write(*what)

    def remove(self, path):
        self.step()
        super().remove(path)

    def ask(self, address, port, try_auth=False):
        """What the running server answers, instead of control.ask."""
        self.asked.append(address)
        offered = self.auth == "yes" and "smtpd_sasl_auth_enable=no" not in self.serving
        return Answer(offered, offered if try_auth else None, "port {0} of {1}".format(port, address))

    def log(self, *lines):
        os.makedirs(self.real("/var/log"))
        with open(self.real("/var/log/mail.log"), "w") as handle:
            handle.write("".join(lines))


@pytest.fixture
def make_host(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "_RELOAD_TIMEOUT", 0.0)

    def make(*options, **named):
        host = Host(tmp_path, *options, **named)
        monkeypatch.setattr(control, "ask", host.ask)
        return host

    return make


def params(**given_options):
    found = {name: option["default"] for name, option in GUARD_ARGUMENTS.items()}
    found.update(state="present", remediate=True, config_dirs=["/etc/postfix"], log_journal=False)
    return dict(found, **given_options)


def master(host):
    return host.read("/etc/postfix/master.cf")


def tree(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_mends_only_port_25_and_then_has_nothing_to_do(make_host, tmp_path):
    host = make_host()
    before = tree(tmp_path)
    predicted = run(host, params(), True)
    assert tree(tmp_path) == before and host.serving == MASTER
    result = run(host, params(), False)
    assert predicted["changed"] and result["changed"]
    assert predicted["diff"] == result["diff"]
    assert result["diff"]["after"] == "# /etc/postfix/master.cf\n" + MENDED
    assert master(host) == MENDED == host.serving
    assert result["evidence"] == [
        "/etc/postfix/master.cf: smtp/inet has smtpd_sasl_auth_enable = no",
        "EHLO to port 25 of 127.0.0.1: AUTH is not offered",
    ]
    again = run(host, params(), False)
    assert not again["changed"] and not again["findings"] and "diff" not in again


def test_checks_before_it_reloads(make_host):
    host = make_host()
    run(host, params(), False)
    done = [line for line, _stdin in host.calls if line.startswith("postfix")]
    assert done == ["postfix -c /etc/postfix " + word for word in ("status", "check", "reload")]


def test_behind_postscreen(make_host):
    host = make_host(POSTSCREEN)
    run(host, params(), False)
    assert master(host) == POSTSCREEN.replace("\nsub", "\n  -o smtpd_sasl_auth_enable=no\nsub")


def test_where_no_auth_is_offered_nothing_changes(make_host):
    host = make_host(auth="no")
    assert run(host, params(), False) == {
        "changed": False,
        "findings": [],
        "evidence": [
            "/etc/postfix/main.cf: smtp/inet has smtpd_sasl_auth_enable = no",
            "EHLO to port 25 of 127.0.0.1: AUTH is not offered",
        ],
    }


def test_only_reports_when_it_may_not_remediate(make_host, tmp_path):
    host = make_host()
    before = tree(tmp_path)
    result = run(host, params(remediate=False), False)
    assert not result["changed"]
    assert "submission_firewall_no_auth_on_25: true" in result["findings"][0]
    assert "smtp/inet in /etc/postfix/master.cf" in result["findings"][0]
    assert set(tree(tmp_path)) - set(before) <= {tmp_path / PORT25_LOCK.lstrip("/")}


def test_a_server_that_was_not_reloaded_is(make_host):
    host = make_host(MENDED)
    host.serving = MASTER
    assert run(host, params(remediate=False), False)["findings"]
    assert run(host, params(), True)["changed"]
    assert run(host, params(), False)["changed"]
    assert host.serving == MENDED and not run(host, params(), False)["changed"]


def test_a_postfix_that_is_stopped_is_not_started(make_host, monkeypatch):
    host = make_host()
    monkeypatch.setattr(control, "ask", lambda *what: None)
    host.commands["postfix -c /etc/postfix status"] = Completed(1, "", "not running")
    result = run(host, params(), False)
    assert result["changed"] and master(host) == MENDED
    assert result["evidence"][-1] == "/etc/postfix/master.cf: 1 of its services on port 25 did not answer"
    assert "postfix -c /etc/postfix reload" not in [line for line, _stdin in host.calls]


# --- who would be cut off ----------------------------------------------------------------------------------


def test_who_uses_25_stops_it(make_host, monkeypatch):
    monkeypatch.setattr("harden_mail.logs.guard.time.time", lambda: 1795521600)
    host = make_host()
    host.log(SENT.format("postfix/smtpd"), SENT.format("postfix/submission/smtpd").replace("=bob", "=alice"))
    for check_mode in (True, False):
        with pytest.raises(UserError) as caught:
            run(host, params(), check_mode)
        assert str(caught.value).startswith(
            "Taking AUTH off port 25 would cut off 1 account and address: bob from 203."
        )
        assert caught.value.result["cutoffs_total"] == 1
    assert master(host) == MASTER
    result = run(host, params(accepted_cutoffs=["bob"]), False)
    assert result["changed"] and result["cutoffs_total"] == 1


def test_services_that_log_alike(make_host, monkeypatch):
    monkeypatch.setattr("harden_mail.logs.guard.time.time", lambda: 1795521600)
    host = make_host(MASTER.replace("  -o syslog_name=postfix/submission\n", ""))
    host.log(SENT.format("postfix/smtpd"))
    with pytest.raises(UserError) as caught:
        run(host, params(), False)
    assert caught.value.result["warnings"][0].startswith("Ports 25 and 587 both log as postfix/smtpd: ")


# --- what fails is taken back ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "reload"])
def test_what_postfix_refuses_is_taken_back(make_host, command):
    host = make_host()
    host.commands["postfix -c /etc/postfix " + command] = Completed(1, "", "fatal: no")
    with pytest.raises(UserError) as caught:
        run(host, params(), False)
    assert str(caught.value).endswith(
        "fatal: no. /etc/postfix/master.cf is as it was; Postfix says more in the mail log."
    )
    assert master(host) == MASTER and not host.exists(PORT25_NOTEBOOK)


def test_what_postfix_has_not_looked_at_is_not_reloaded(make_host):
    host = make_host()
    host.commands["postfix -c /etc/postfix check"] = Completed(1, "", "fatal: no")
    with pytest.raises(UserError):
        run(host, params(), False)
    assert "postfix -c /etc/postfix reload" not in [line for line, _stdin in host.calls]


def test_what_others_change_at_the_same_time_is_complained_about(make_host, monkeypatch):
    host = make_host()
    monkeypatch.setattr(control, "_prove", lambda _instance: FakeSystem.write(host, "/etc/postfix/master.cf", MASTER))
    with pytest.raises(UserError, match=r"shows a difference in /etc/postfix/master\.cf: something") as caught:
        run(host, params(), False)
    assert "is as it was" not in str(caught.value)


def test_auth_that_is_still_there_is_an_error(make_host, monkeypatch):
    host = make_host()
    monkeypatch.setattr(control, "ask", lambda *what: Answer(False, True, "port 25 of 127.0.0.1"))
    with pytest.raises(UserError) as caught:
        run(host, params(), False)
    assert "still takes AUTH" in str(caught.value)
    assert master(host) == MASTER == host.serving


def test_a_master_cf_that_postfix_can_not_read_is_said_in_check_mode_too(make_host):
    host = make_host()
    host.commands["postconf -c /etc/postfix -M"] = Completed(1, "", "bad field count")
    for check_mode in (True, False):
        with pytest.raises(UserError):
            run(host, params(), check_mode)
    assert master(host) == MASTER


# --- absent ------------------------------------------------------------------------------------------------


def test_absent_gives_back_what_was(make_host, tmp_path):
    host = make_host()
    before = tree(tmp_path)
    run(host, params(), False)
    assert run(host, params(state="absent"), True)["changed"]
    result = run(host, params(state="absent"), False)
    assert result["changed"] and result["diff"]["after"] == "# /etc/postfix/master.cf\n" + MASTER
    after = tree(tmp_path)
    after.pop(tmp_path / PORT25_LOCK.lstrip("/"))
    assert after == before and host.serving == MASTER
    assert not host.exists("/var/lib/harden-mail")
    assert not run(host, params(state="absent"), False)["changed"]


def test_absent_leaves_what_others_have_changed(make_host):
    host = make_host()
    run(host, params(), False)
    host.write("/etc/postfix/master.cf", MENDED + "new unix - - y - - new\n")
    run(host, params(state="absent"), False)
    assert master(host) == MASTER + "new unix - - y - - new\n"


def test_absent_after_others_changed_it_and_it_was_mended_again(make_host):
    host = make_host()
    run(host, params(), False)
    second = "192.0.2.1:25 inet n - y - - smtpd\n"
    host.write("/etc/postfix/master.cf", MENDED + second)
    run(host, params(), False)
    assert master(host) == MENDED + second + "  -o smtpd_sasl_auth_enable=no\n"
    run(host, params(state="absent"), False)
    assert master(host) == MASTER + second


def test_absent_where_nothing_was_done(make_host):
    host = make_host()
    assert run(host, params(state="absent"), False)["changed"] is False


def test_former_state_is_private(make_host):
    host = make_host()
    run(host, params(), False)
    assert os.stat(host.real(PORT25_NOTEBOOK)).st_mode & 0o777 == 0o600
    assert json.loads(host.read(PORT25_NOTEBOOK))["/etc/postfix"]["before"] == MASTER


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("crash_at", range(8))
def test_a_run_that_was_killed_is_completed_by_the_next(make_host, state, crash_at):
    host = make_host()
    if state == "absent":
        run(host, params(), False)
    host.steps, host.crash_at = 0, crash_at
    try:
        run(host, params(state=state), False)
    except KeyboardInterrupt:
        pass
    else:
        assert crash_at >= 4, "a run has more steps than that"
    host.crash_at = None
    run(host, params(state=state), False)
    assert master(host) == host.serving == (MENDED if state == "present" else MASTER)
    assert run(host, params(state=state), False)["changed"] is False
    run(host, params(state="absent"), False)
    assert master(host) == host.serving == MASTER and not host.exists(PORT25_NOTEBOOK)


# --- other hosts -------------------------------------------------------------------------------------------


def test_a_wrong_directory(make_host):
    with pytest.raises(UserError) as caught:
        run(make_host(), params(config_dirs=["/etc/postfxi"]), False)
    assert str(caught.value).startswith("config_dirs names /etc/postfxi, which has no master.cf")


def test_no_mail_server(tmp_path):
    for config_dirs in (None, []):
        result = run(FakeSystem(tmp_path), params(config_dirs=config_dirs), True)
        assert "neither Postfix nor qmail" in result["not_applicable"]


def test_the_directory_is_found(make_host):
    assert run(make_host(), params(config_dirs=None), True)["changed"]


def test_nothing_on_25(make_host, monkeypatch):
    host = make_host("submission inet n - y - - smtpd\n")
    assert "No smtpd" in run(host, params(), False)["not_applicable"]


@pytest.mark.parametrize("offered, findings", [(True, 1), (False, 0)])
def test_qmail_is_only_looked_at(tmp_path, monkeypatch, offered, findings):
    (tmp_path / "var/qmail/bin").mkdir(parents=True)
    (tmp_path / "var/qmail/bin/qmail-smtpd").write_text("")
    monkeypatch.setattr(control, "ask", lambda address, port: Answer(offered, None, "port 25 of 127.0.0.1"))
    result = run(FakeSystem(tmp_path), params(config_dirs=[]), False)
    assert not result["changed"] and len(result["findings"]) == findings
    assert all("qmail-smtpd's command line" in finding for finding in result["findings"])
    monkeypatch.setattr(control, "ask", lambda address, port: None)
    assert "Nothing answers" in run(FakeSystem(tmp_path), params(config_dirs=[]), False)["not_applicable"]


@pytest.mark.parametrize(
    "name, interfaces, asked",
    [
        ("smtp", "all", ["127.0.0.1"]),
        ("smtp", "192.0.2.1, 2001:db8::1", ["192.0.2.1"]),
        ("smtp", "$myhostname", ["127.0.0.1"]),
        ("192.0.2.7:smtp", "all", ["192.0.2.7"]),
        ("[2001:db8::7]:25", "all", ["2001:db8::7"]),
        ("0.0.0.0:25", "all", ["127.0.0.1"]),
    ],
)
def test_asks_where_it_listens(make_host, name, interfaces, asked):
    host = make_host("{0} inet n - y - - smtpd\n".format(name), auth="no")
    host.commands["postconf -c /etc/postfix -x inet_interfaces"] = "inet_interfaces = " + interfaces
    run(host, params(), False)
    assert set(host.asked) == set(asked)


# --- a real conversation -----------------------------------------------------------------------------------


def serve(answers):
    """An SMTP server for one session; its port. ``answers``: word of the client -> answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)

    def talk():
        connection, _peer = listener.accept()
        with connection, connection.makefile("rwb", buffering=0) as stream:
            stream.write(b"220 hello\r\n")
            for line in stream:
                word = line.split()[0].decode().upper()
                stream.write(answers.get(word, "500 no").replace("\n", "\r\n").encode() + b"\r\n")
                if word == "QUIT":
                    break
        listener.close()

    threading.Thread(target=talk, daemon=True).start()
    return listener.getsockname()[1]


@pytest.mark.parametrize(
    "ehlo, auth, offered, taken",
    [
        ("250-me\n250 AUTH PLAIN LOGIN", "334 ", True, True),
        ("250-me\n250 AUTH=LOGIN", "334 ", True, True),
        ("250-me\n250 SIZE", "334 ", False, True),
        ("250-me\n250 SIZE", "535 no", False, True),
        ("250-me\n250 SIZE", "503 5.5.1 Error: authentication not enabled", False, False),
        ("250-me\n250-STARTTLS\n250 SIZE", "530 Must issue a STARTTLS command first", False, False),
    ],
)
def test_ask(ehlo, auth, offered, taken):
    answers = {"EHLO": ehlo, "AUTH": auth, "*": "501 aborted", "QUIT": "221 bye", "STARTTLS": "454 not now"}
    port = serve(answers)
    assert ask("127.0.0.1", port, try_auth=True) == Answer(offered, taken, "port {0} of 127.0.0.1".format(port))
    assert ask("127.0.0.1", serve(answers), try_auth=False).taken is None


def test_nobody_answers():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert ask("127.0.0.1", closed.getsockname()[1]) is None
