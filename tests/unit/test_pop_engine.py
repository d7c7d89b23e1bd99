"""The engine with a server made of one file: order, undoing, and what a kill leaves."""

import ipaddress
import time
from datetime import datetime, timezone

import killing
import pytest
from fake_system import FakeSystem
from harden_mail.changes import Run, file_change
from harden_mail.errors import NotApplicable, UserError
from harden_mail.logs.events import Login
from harden_mail.paths import POP_NOTEBOOK
from harden_mail.pop import control, engine
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Backend, Wanted
from harden_mail.system import Completed

WANTED = Wanted(BOTH, 20, 128, (ipaddress.ip_network("127.0.0.0/8"),))


class OneFile(Backend):
    name = "onefile"

    def missing(self):
        return None

    def support(self, wanted, former):
        return file_change(self.system, "/support", None if wanted is None else "support\n")

    def changes(self, wanted, former):
        former.setdefault("was", self.system.read("/server.conf"))
        return file_change(
            self.system, "/server.conf", former["was"] if wanted is None else "wanted {0}\n".format(wanted.minutes)
        )

    def checks(self):
        return (Run(("check",), None),)

    def activation(self):
        return (Run(("reload",), None),)

    def proof(self):
        return (Run(("prove",), None),)

    def findings(self, wanted):
        return ["a finding"]


class OnlyEither(OneFile):
    name = "onlyeither"
    meanings = (EITHER,)

    def undeclared(self):
        return ["declare it"]


@pytest.fixture(autouse=True)
def backends(monkeypatch):
    monkeypatch.setattr(engine, "BACKENDS", {"onefile": OneFile, "onlyeither": OnlyEither})


class Host(FakeSystem):
    def __init__(self, root):
        super().__init__(root / "host", {"check": "", "reload": self.reload, "prove": ""})
        (root / "host").mkdir()
        # What the server has read: in a file, for what a killed process told it holds.
        self.loaded = root / "running"
        self.write("/server.conf", "former\n")
        self.reload()

    def reload(self, *_):
        self.loaded.write_text(self.read("/server.conf"))
        return ""

    @property
    def running(self):
        return self.loaded.read_text()


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def enforce(host, wanted=WANTED, check_mode=False, name="onefile"):
    return engine.enforce(host, name if wanted else None, wanted, {}, check_mode)


def said(host):
    lines = [line for line, _ in host.calls]
    host.calls.clear()
    return lines


def test_there_checked_run_and_back_again(host):
    assert enforce(host, check_mode=True)["changed"]
    assert said(host) == [] and host.read("/support") is None
    result = enforce(host)
    assert result["steps"] == ["/support", "/server.conf", "running servers"]
    assert result["findings"] == ["a finding"]
    assert said(host) == ["check", "reload", "prove"]
    assert host.running == "wanted 20\n"
    assert not enforce(host)["changed"] and said(host) == []
    assert enforce(host, None)["steps"] == ["/server.conf", "running servers", "/support"]
    assert (host.running, host.read("/support"), host.read(POP_NOTEBOOK)) == ("former\n", None, None)
    assert not host.exists("/var/lib/harden-mail")
    assert not enforce(host, None)["changed"]


@pytest.mark.parametrize("command", ["check", "reload", "prove"])
def test_what_fails_is_undone_and_the_server_runs_as_before(host, command):
    before = host.commands[command]
    host.commands[command] = Completed(1, "", "no")
    with pytest.raises(UserError, match=command):
        enforce(host)
    host.commands[command] = before
    assert (host.read("/server.conf"), host.running, host.read("/support")) == ("former\n", "former\n", None)
    assert host.read(POP_NOTEBOOK) is None
    enforce(host)
    assert host.running == "wanted 20\n"


@pytest.mark.parametrize("wanted", [WANTED, None], ids=["present", "absent"])
def test_a_killed_run_is_completed_by_the_next(host, wanted):
    def begin(_fatal):
        enforce(host, None if wanted else WANTED)
        return host

    for _, where in killing.everywhere(begin, lambda host: enforce(host, wanted), at_least=10):
        enforce(host, wanted)
        assert host.running == host.read("/server.conf") == ("wanted 20\n" if wanted else "former\n"), where
        assert not enforce(host, wanted)["changed"], where
        assert wanted or not host.exists("/var/lib/harden-mail"), where
    enforce(host, None)
    assert host.read("/server.conf") == "former\n"
    assert host.listdir("/") == ["run", "server.conf", "var"] and host.listdir("/var/lib") == []


def params(**more):
    options = {
        "state": "present",
        "meaning": None,
        "minutes": 20,
        "ipv6_prefix": 128,
        "exempt": ["127.0.0.0/8"],
        "backend": "onefile",
        "config_dirs": [],
        "pop_config_dir": None,
        "on_cutoff": "ignore",
        "accepted_cutoffs": [],
        "lookback_days": 14,
        "log_files": [],
        "log_journal": False,
    }
    return dict(options, **more)


def test_both_is_taken_where_the_server_can_do_it(host):
    assert control.run(host, params(), False)["changed"]
    assert engine.load(host)["rule"].startswith("both 20")


def test_either_is_never_taken_undeclared(host):
    result = control.run(host, params(backend="onlyeither"), False)
    assert result == {"changed": False, "findings": ["declare it"], "evidence": []}
    assert host.read("/server.conf") == "former\n"
    assert control.run(host, params(backend="onlyeither", meaning="either"), False)["changed"]
    with pytest.raises(UserError, match="which onlyeither can't do: give either"):
        control.run(host, params(backend="onlyeither", meaning="both"), False)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"minutes": 0}, "minutes is 0"),
        ({"minutes": 1441}, "minutes is 1441"),
        ({"exempt": ["webmail"]}, "exempt contains 'webmail'"),
        ({"exempt": ["203.0.113.5/24"]}, "exempt contains '203.0.113.5/24'"),
        ({"exempt": ["0.0.0.0/0"]}, "which is everybody"),
        ({"backend": "exim"}, "backend is 'exim'"),
    ],
)
def test_wrong_options_are_one_sentence_and_change_nothing(host, wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        control.run(host, params(**wrong), False)
    assert host.read("/server.conf") == "former\n"


def test_a_host_without_a_known_server_is_no_failure(host):
    with pytest.raises(NotApplicable):
        control.run(host, params(backend=None), False)


def test_who_would_be_cut_off_stops_a_new_rule_but_not_the_mending_of_one(host, monkeypatch):
    asked = []

    def guard(system, options, is_refused, what, window):
        asked.append(what)
        return {"cutoffs": [], "cutoffs_total": 0, "covered_since": None, "warnings": []}

    monkeypatch.setattr(control, "guard", guard)
    control.run(host, params(), False)
    host.write("/server.conf", "somebody's\n")
    assert control.run(host, params(), False)["changed"]
    assert len(asked) == 1
    control.run(host, params(minutes=5), False)
    control.run(host, params(meaning="either"), False)
    assert len(asked) == 2


def test_port_25_and_exempt_networks_are_not_asked_for(host, monkeypatch):
    refused = []

    def guard(system, options, is_refused, what, window):
        for address in ("127.0.0.1", "203.0.113.5"):
            for service in ("postfix/smtpd", "postfix/submission/smtpd", "vchkpw-smtp", "vchkpw-smtps"):
                if is_refused(Login(None, "smtp", "bob", address, True, service)):
                    refused.append((address, service))
        return {}

    monkeypatch.setattr(control, "guard", guard)
    control.run(host, params(), True)
    assert refused == [("203.0.113.5", "postfix/submission/smtpd"), ("203.0.113.5", "vchkpw-smtps")]


def log_line(minutes_ago, text):
    then = datetime.fromtimestamp(time.time() - minutes_ago * 60, timezone.utc)
    return "{0} host {1}\n".format(then.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00"), text)


def send(minutes_ago, address="198.51.100.7", service="postfix/submission/smtpd"):
    text = "{0}[7]: 4ABCDEF: client=x[{1}], sasl_method=PLAIN, sasl_username=bob@example.com"
    return log_line(minutes_ago, text.format(service, address))


def read(minutes_ago, address="198.51.100.7"):
    came = "dovecot: pop3-login: Login: user=<bob@example.com>, method=PLAIN, rip={0}, lip=::1, mpid=3, session=<a>"
    left = "dovecot: pop3(bob@example.com)<3><a>: Disconnected: Logged out top=0/0, retr=0/0, del=0/0, size=0"
    return log_line(minutes_ago, came.format(address)) + log_line(minutes_ago, left)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (read(70) + send(60), 0),
        (read(90) + send(60), 1),
        (read(70, "198.51.100.8") + send(60), 1),
        (send(60, "127.0.0.1"), 0),
        (send(60, service="postfix/smtpd"), 0),
    ],
    ids=["read first", "read long ago", "read elsewhere", "exempt", "port 25"],
)
def test_those_who_send_without_reading_are_named_before_anything_changes(host, lines, named):
    host.write("/var/log/mail.log", lines)
    options = params(on_cutoff="fail", log_files=["/var/log/mail.log"])
    if not named:
        assert control.run(host, options, False)["cutoffs"] == []
        return
    with pytest.raises(UserError, match=r"would cut off 1 account and address: bob@example\.com from 198\.51\.100\.7"):
        control.run(host, options, False)
    assert host.read("/server.conf") == "former\n"
    assert control.run(host, dict(options, on_cutoff="warn"), False)["cutoffs_total"] == 1
