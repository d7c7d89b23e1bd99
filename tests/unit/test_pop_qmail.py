import pytest
from fake_system import FakeSystem
from harden_mail.changes import make
from harden_mail.errors import UserError
from harden_mail.paths import POP_GATE
from harden_mail.pop import qmail
from harden_mail.pop.meaning import BOTH
from harden_mail.pop.plan import Wanted
from harden_mail.pop.qmail import QmailPart, Script
from hypothesis import given
from hypothesis import strategies as st

WANTED = Wanted(BOTH, 20, 128, ())

# As the guides for qmail with vpopmail have it.
SUBMISSION = """\
#!/bin/sh
# qmail-smtpd on 587
QMAILDUID=`id -u vpopmail`
NOFILESGID=`id -g vpopmail`
MAXSMTPD=`cat /var/qmail/control/concurrencyincoming`
exec /usr/local/bin/softlimit -m 64000000 \\
    /usr/local/bin/tcpserver -v -R -l "$LOCAL" -x /etc/tcp.smtp.cdb -c "$MAXSMTPD" \\
    -u "$QMAILDUID" -g "$NOFILESGID" 0 587 \\
    /var/qmail/bin/qmail-smtpd mail.example.com /home/vpopmail/bin/vchkpw /usr/bin/true 2>&1
"""
INBOUND = SUBMISSION.replace("587", "smtp")
SMTPD = "/var/qmail/bin/qmail-smtpd"
PATH = "/service/qmail-submission/run"


class Host:
    def __init__(self, tmp_path, edit=False, **scripts):
        self.system = FakeSystem(tmp_path, {"svc": ""})
        self.system.write("/var/qmail/bin/qmail-smtpd", "")
        self.system.write("/etc/passwd", "qmaild:x:64011:65534::/var/qmail:/usr/sbin/nologin\n")
        for name, text in scripts.items():
            self.system.write("/service/{0}/run".format(name.replace("_", "-")), text, 0o755)
        self.part = QmailPart(self.system, {"edit_run_scripts": edit})

    def settle(self, wanted, former):
        changes = self.part.changes(wanted, former)
        make(self.system, changes, perform)
        perform(self.system, self.part.activation())
        assert self.part.changes(wanted, dict(former)) == []
        return [change.what for change in changes]


def perform(system, steps):
    for step in steps:
        if hasattr(step, "argv"):
            system.run(list(step.argv), stdin=step.stdin)
        else:
            system.write(step.path, step.text, step.mode)


def test_a_script_that_does_not_ask_is_a_finding_with_the_line(tmp_path):
    host = Host(tmp_path, qmail_submission=SUBMISSION, qmail_smtpd=INBOUND)
    assert host.part.changes(WANTED, {}) == []
    (finding,) = host.part.findings(WANTED)
    assert finding.startswith(PATH + " takes mail by 587 or 465 without asking")
    assert (
        "the line is:  {0} /var/qmail/bin/qmail-smtpd mail.example.com /home/vpopmail/bin/vchkpw /usr/bin/true 2>&1  "
        "and have it begin anew (svc -t /service/qmail-submission)".format(POP_GATE)
    ) in finding
    assert host.part.evidence() == ["{0}: does not ask {1}".format(PATH, POP_GATE)]


def test_a_script_that_asks_is_none(tmp_path):
    host = Host(
        tmp_path, qmail_submission=SUBMISSION.replace("/var/qmail/bin/qmail-s", POP_GATE + " /var/qmail/bin/qmail-s")
    )
    assert host.part.findings(WANTED) == []
    assert host.part.evidence() == ["{0}: asks {1}".format(PATH, POP_GATE)]


def test_edited_when_declared_and_given_back(tmp_path):
    host = Host(tmp_path, True, qmail_submission=SUBMISSION, qmail_smtpd=INBOUND)
    former = {}
    assert host.settle(WANTED, former) == [PATH]
    assert host.system.read(PATH) == SUBMISSION.replace("/var/qmail/bin/qmail-s", POP_GATE + " /var/qmail/bin/qmail-s")
    assert host.system.calls[-1][0] == "svc -t /service/qmail-submission"
    assert host.part.findings(WANTED) == []
    assert host.settle(WANTED, former) == []
    assert host.settle(None, former) == [PATH]
    assert host.system.read(PATH) == SUBMISSION
    assert host.system.read("/service/qmail-smtpd/run") == INBOUND


@pytest.mark.parametrize("wanted", [WANTED, None])
def test_a_run_that_was_killed_before_tcpserver_began_anew_is_completed(tmp_path, wanted):
    host = Host(tmp_path, True, qmail_submission=SUBMISSION, qmail_smtpd=INBOUND)
    former = {}
    host.settle(WANTED, former)
    if wanted is None:
        make(host.system, host.part.changes(None, former), perform)
    del host.system.calls[:]
    again = QmailPart(host.system, {"edit_run_scripts": True})
    assert again.changes(wanted, former) == []
    assert [step.argv for step in again.activation()] == [("svc", "-t", "/service/qmail-submission")]


def test_services_that_we_have_not_changed_are_left_running(tmp_path):
    host = Host(tmp_path, qmail_submission=SUBMISSION)
    host.settle(WANTED, {})
    assert host.part.activation() == ()


def test_what_others_changed_meanwhile_stays(tmp_path):
    host = Host(tmp_path, True, qmail_submission=SUBMISSION)
    former = {}
    host.settle(WANTED, former)
    host.system.write(PATH, host.system.read(PATH).replace("64000000", "99000000"))
    host.settle(None, former)
    assert host.system.read(PATH) == SUBMISSION.replace("64000000", "99000000")


def test_a_program_that_is_still_called_does_not_go(tmp_path):
    host = Host(
        tmp_path, qmail_submission=SUBMISSION.replace("/var/qmail/bin/qmail-s", POP_GATE + " /var/qmail/bin/qmail-s")
    )
    with pytest.raises(UserError) as caught:
        host.part.changes(None, {})
    assert str(caught.value).startswith(
        "{0} calls {1}, which was written into it by somebody else".format(PATH, POP_GATE)
    )


def test_nor_one_that_is_called_on_port_25(tmp_path):
    host = Host(tmp_path, True, qmail_submission=SUBMISSION, qmail_smtpd=INBOUND.replace(SMTPD, POP_GATE + " " + SMTPD))
    former = {}
    host.settle(WANTED, former)
    with pytest.raises(UserError, match=r"^/service/qmail-smtpd/run calls"):
        host.part.changes(None, former)


@pytest.mark.parametrize("word", ["465", "smtps", "submission", "587"])
def test_submission_ports(tmp_path, word):
    assert len(Host(tmp_path, one=SUBMISSION.replace(" 587", " " + word)).part.scripts()) == 1


@pytest.mark.parametrize(
    "text",
    [
        INBOUND,
        INBOUND + "# not 587\n",
        INBOUND.replace("64000000", "5870000"),
        SUBMISSION.replace("qmail-smtpd mail", "qmail-pop3d mail"),
        "#!/bin/sh\nexec tcpserver 0 587 other # qmail-smtpd\n",
        "#!/bin/sh\nexec multilog t /var/log/qmail-smtpd-587\n",
    ],
)
def test_other_scripts(tmp_path, text):
    host = Host(tmp_path, one=text)
    assert host.part.scripts() == []
    assert host.part.findings(WANTED) == [qmail.NOTHING]


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\nSMTPD=/var/qmail/bin/qmail-smtpd\nexec tcpserver 0 587 $SMTPD a b c\n",
        '#!/bin/sh\nexec tcpserver 0 587 "qmail-smtpd" a b c\n',
        "#!/bin/sh\nif x; then exec tcpserver 0 587 qmail-smtpd a; fi\nexec tcpserver 0 465 qmail-smtpd b\n",
    ],
)
def test_a_script_that_is_not_clear_is_not_edited(tmp_path, text):
    host = Host(tmp_path, True, one=text)
    assert host.part.changes(WANTED, {}) == []
    assert "is not clear from here" in host.part.findings(WANTED)[0]


def test_a_script_with_two_names_is_one(tmp_path):
    host = Host(tmp_path, one=SUBMISSION)
    (tmp_path / "etc/service").mkdir(parents=True)
    (tmp_path / "etc/service/two").symlink_to(tmp_path / "service/one")
    assert len(host.part.scripts()) == 1


def test_the_program(tmp_path):
    host = Host(tmp_path)
    make(host.system, host.part.own(WANTED, {}), perform)
    assert host.part.own(WANTED, {}) == []
    assert len(host.part.own(WANTED._replace(prefix6=64), {})) == 1
    assert host.part.own(None, {})[0].after == ""
    assert host.part.missing() is None


def test_whom_qmail_smtpd_runs_as(tmp_path):
    host = Host(tmp_path)
    assert host.part.reader() == "qmaild"
    told = QmailPart(host.system, {"qmail_user": "vpopmail"})
    assert told.reader() == "vpopmail" and "there is no user vpopmail" in told.missing()


def test_a_host_without_qmail(tmp_path):
    assert QmailPart(FakeSystem(tmp_path), {}).missing() == "qmail is not there"


WORDS = st.sampled_from(
    ["qmail-smtpd", "/var/qmail/bin/qmail-smtpd", POP_GATE, "#", "587", '"', " ", "\n", "\\\n", "exec", "="]
)


@given(st.lists(WORDS, max_size=12).map(" ".join) | st.lists(WORDS, max_size=12).map("".join))
def test_any_script_is_read_and_only_our_word_is_put_in(text):
    script = Script("/service/x/run", text)
    changed = script.with_gate()
    if changed is not None:
        assert changed.replace(POP_GATE + " ", "", 1).replace(POP_GATE + " ", "") == text.replace(POP_GATE + " ", "")
        assert len(changed) == len(text) + len(POP_GATE) + 1
        assert Script("/service/x/run", changed).asks
        assert script.line() in changed
