"""The module's work from options to result: bad options, nothing declared, the cut-off guard."""

import pytest
from fake_backend import CONFIG, KERNEL, TwoFiles
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.firewall import engine, submission
from harden_mail.system import Completed

OPTIONS = {
    "state": "present",
    "sources": ["203.0.113.0/24", "203.0.113.5"],
    "allow_any": False,
    "ports": [587, 465],
    "backend": "twofiles",
    "host_backend": None,
    "persistence": "auto",
    "confirm_within": 0,
    "on_cutoff": "fail",
    "accepted_cutoffs": [],
    "lookback_days": 14,
    "config_dirs": [],
    "log_files": [],
    "log_journal": False,
}


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "BACKENDS", {"twofiles": TwoFiles})
    host = FakeSystem(tmp_path, {"load": lambda _argv, stdin: host.write(KERNEL, stdin) or ""})
    host.commands["ss"] = ""
    host.write(CONFIG, "as the owner wrote it")
    host.write(KERNEL, "open\n")
    return host


@pytest.fixture
def guarded(monkeypatch):
    """What the guard was asked; its answer can be changed."""
    asked = []

    def guard(_system, _params, is_refused, what):
        asked.append((is_refused, what))
        return {"cutoffs": [], "cutoffs_total": 0, "covered_since": None, "warnings": []}

    monkeypatch.setattr(submission, "guard", guard)
    return asked


def run(host, check_mode=False, **options):
    return submission.run(host, dict(OPTIONS, **options), check_mode)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sources": []}, "sources is an empty list"),
        ({"sources": ["203.0.113.5/24"]}, "write 203.0.113.0/24 for the network"),
        ({"sources": ["0.0.0.0/0"]}, "allow_any: true"),
        ({"sources": [True]}, "True, which is not text"),
        ({"ports": []}, "ports is an empty list"),
        ({"ports": [25]}, "ports contains 25"),
        ({"ports": [70000]}, "ports contains 70000"),
        ({"ports": [25], "sources": None}, "ports contains 25"),
        ({"confirm_within": -1}, "confirm_within is -1"),
        ({"confirm_within": 86400}, "from 1 to 3600"),
        ({"backend": "pf"}, "backend is 'pf': choose one of"),
    ],
)
def test_bad_options_are_a_sentence_before_anything_is_touched(host, guarded, options, sentence):
    with pytest.raises(UserError) as refusal:
        run(host, **options)
    assert sentence in str(refusal.value)
    assert host.calls == []
    assert host.read(KERNEL) == "open\n"
    assert host.read(CONFIG) == "as the owner wrote it"


def test_nothing_declared_is_a_finding_and_touches_nothing(host, guarded):
    result = run(host, sources=None)
    assert not result["changed"]
    assert "declare submission_firewall_sources" in result["findings"][0]
    assert host.read(KERNEL) == "open\n"


def test_what_was_declared_is_said(host, guarded):
    result = run(host)
    assert result["changed"]
    assert result["sources"]["declared"] == 2
    assert result["sources"]["folded"] == ["203.0.113.5 is covered by 203.0.113.0/24"]
    assert result["evidence"] == [
        "IPv4, TCP 465, 587: open to 1 network",
        "IPv6, TCP 465, 587: closed: no source declared",
    ]


# As ss of iproute2 6.1 says it.
LISTENERS = """\
LISTEN 0      9      0.0.0.0:587 0.0.0.0:* inet-sockopt: ( is_icsk mc_loop{0} mc_all)
LISTEN 0      3            *:465       *:* inet-sockopt: ( is_icsk mc_loop)
"""


def test_a_listener_that_tproxy_can_lead_other_ports_to_is_a_finding(host, guarded):
    host.commands["ss -HtlnO --inet-sockopt ( sport = :465 or sport = :587 )"] = LISTENERS.format("")
    assert run(host)["findings"] == []
    host.commands["ss -HtlnO --inet-sockopt ( sport = :465 or sport = :587 )"] = LISTENERS.format(" transparent")
    (finding,) = run(host)["findings"]
    assert finding.startswith("What listens on port 587 is transparent")


@pytest.mark.parametrize(
    "answer",
    [Completed(255, "", "ss: unrecognized option '--inet-sockopt'"), "LISTEN 0      9      0.0.0.0:587 0.0.0.0:*\n"],
)
def test_where_nobody_says_how_it_listens_it_is_said_that_nobody_looked(host, guarded, answer):
    host.commands["ss"] = answer
    result = run(host)
    assert result["findings"] == []
    assert result["evidence"][-1].startswith("not looked at: whether what listens takes connections")


def test_the_guard_is_asked_only_when_something_is_about_to_change(host, guarded):
    run(host)
    run(host)
    assert len(guarded) == 1
    is_refused, what = guarded[0]
    assert what == "Closing 465 and 587 to all but the declared sources"

    class Login:
        address = "203.0.113.77"
        service = "postfix/submission/smtpd"

    assert not is_refused(Login)
    Login.address = "192.0.2.66"
    assert is_refused(Login)


MASTER = """\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
smtps inet n - y - - smtpd
"""


@pytest.mark.parametrize(
    ("master", "refused"),
    [
        # 465 logs like 25: who used which can't be told, so both are named.
        (MASTER, {"postfix/smtpd": True, "postfix/submission/smtpd": True, "smtp_auth": True}),
        (
            MASTER + "  -o syslog_name=postfix/smtps\n",
            {"postfix/smtpd": False, "postfix/submission/smtpd": True, "smtp_auth": True},
        ),
    ],
)
def test_who_logs_in_on_another_port_is_not_cut_off(host, guarded, master, refused):
    host.write("/etc/postfix/master.cf", master)
    host.commands["postconf -c /etc/postfix"] = "syslog_name = postfix\n"
    run(host, config_dirs=["/etc/postfix"])
    is_refused, _what = guarded[0]

    class Login:
        address = "192.0.2.66"

    for Login.service, expected in refused.items():
        assert is_refused(Login) is expected, Login.service


def test_check_mode_asks_the_guard_too_and_changes_nothing(host, guarded):
    result = run(host, check_mode=True)
    assert result["changed"]
    assert len(guarded) == 1
    assert host.read(KERNEL) == "open\n"


def test_when_the_guard_says_stop_nothing_changes(host, monkeypatch):
    def guard(*_arguments):
        raise UserError("bob would be cut off.")

    monkeypatch.setattr(submission, "guard", guard)
    with pytest.raises(UserError, match="bob"):
        run(host)
    assert host.read(KERNEL) == "open\n"


def test_absent_needs_no_other_option(host, guarded):
    run(host)
    assert run(host, state="absent", sources=None, backend=None)["changed"]
    assert host.read(CONFIG) == "as the owner wrote it"
    assert not run(host, state="absent", sources=None, backend=None)["changed"]
