"""Dovecot's drop-in, and whom it makes way for."""

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.pop.dovecot import DovecotPart
from harden_mail.pop.meaning import BOTH
from harden_mail.pop.plan import Wanted

WANTED = Wanted(BOTH, 20, 128, ())
DROP_IN = "/etc/dovecot/conf.d/99-harden-mail-pop.conf"

# What `doveconf -h protocols` says: 2.3.19, 2.4.1.
PROTOCOLS = {"2.3": " imap pop3\n", "2.4": "imap = yes\npop3 = yes\n", "no POP": "imap lmtp\n"}


@pytest.fixture
def host(tmp_path):
    system = FakeSystem(
        tmp_path,
        {
            "doveconf -h protocols": PROTOCOLS["2.3"],
            "doveconf -h default_internal_user": "dovecot\n",
            "doveconf -h base_dir": "/run/dovecot\n",
            "doveconf -h service/pop3/executable": "pop3\n",
            "doveconf -h service/imap/executable": "imap\n",
        },
    )
    system.write("/etc/dovecot/dovecot.conf", "!include conf.d/*.conf\n!include_try local.conf\n")
    return system


def part(host):
    return DovecotPart(host, "/etc/dovecot")


@pytest.mark.parametrize("version", list(PROTOCOLS))
def test_the_script_runs_for_each_protocol_that_there_is(host, version):
    host.commands["doveconf -h protocols"] = PROTOCOLS[version]
    (change,) = part(host).changes(WANTED)
    assert change.what == DROP_IN
    assert ("service pop3 {\n  executable = pop3 harden-mail-pop\n}" in change.after) == (version != "no POP")
    assert "service imap {\n  executable = imap harden-mail-pop\n}" in change.after
    assert "user = dovecot" in change.after


def test_a_script_of_somebody_else_is_not_replaced(host):
    host.commands["doveconf -h service/imap/executable"] = "imap imap-postlogin\n"
    with pytest.raises(UserError, match="'executable = imap imap-postlogin'"):
        part(host).changes(WANTED)


def test_a_later_file_that_undoes_ours_is_said(host):
    host.write(DROP_IN, part(host).changes(WANTED)[0].after)
    host.commands["doveconf -h service/pop3/executable"] = "pop3 harden-mail-pop\n"
    host.commands["doveconf -h service/imap/executable"] = "imap theirs\n"
    with pytest.raises(UserError, match=r"set after .*99-harden-mail-pop\.conf was read"):
        part(host).changes(WANTED)


def test_it_goes_without_a_trace(host):
    host.write(DROP_IN, part(host).changes(WANTED)[0].after)
    (change,) = part(host).changes(None)
    assert change.do[0].text is None
    host.remove(DROP_IN)
    assert part(host).changes(None) == []


def test_one_that_does_not_run_is_not_reloaded(host):
    assert part(host).activation() == ()
    host.write("/run/dovecot/master.pid", "1\n")
    assert [step.argv for step in part(host).activation()] == [("doveadm", "reload")]


def test_a_dovecot_without_the_directory_is_said(host):
    host.write("/etc/dovecot/dovecot.conf", "protocols = imap\n")
    assert "doesn't include conf.d" in part(host).missing()
