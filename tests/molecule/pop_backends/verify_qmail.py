"""The gate in tcpserver's chain: who may read what, what a failure of it lets in, and run scripts that lack it."""

import threading
import time

import pytest
from backends import (
    BOT,
    GATE,
    QMAIL,
    SCRIPT,
    USER,
    begins_anew,
    expected,
    nobody_has_read,
    read,
    run,
    sees,
    takes_mail,
    tidy_up,
)
from code_on_host import put_code
from once import once
from pop_clients import DATABASE, submit

TRY = "exec python3 -c \"import sqlite3; base = sqlite3.connect('{0}'); base.execute('{1}'); base.commit()\" 2>&1"


@pytest.fixture(scope="module", autouse=True)
def tidied_up():
    yield
    tidy_up(QMAIL)


def test_qmails_user_reads_the_database_and_nobody_else_does():
    reads, writes = TRY.format(DATABASE, "SELECT * FROM seen"), TRY.format(DATABASE, "DELETE FROM seen")
    QMAIL.run("runuser -u qmaild -- sh -c '{0}'".format(reads.replace("'", "'\\''")))
    for user, command in (("qmaild", writes), ("nobody", reads)):
        said = QMAIL.run("runuser -u {0} -- sh -c '{1}' || true".format(user, command.replace("'", "'\\''")))
        assert "OperationalError" in said, (user, said)


def test_the_run_script_asks_and_only_where_people_send():
    assert QMAIL.run("grep -c {0} {1}".format(GATE, SCRIPT)).strip() == "1"
    assert QMAIL.run("grep -c {0} /service/smtp/run || true".format(GATE)).strip() == "0"
    assert QMAIL.run("stat -L -c %a {0}".format(SCRIPT)).strip() == "700"


def test_the_host_itself_sends_as_before():
    code = (
        "import smtplib; s = smtplib.SMTP('127.0.0.1', 587); s.ehlo('me'); print(s.has_extn('auth')); "
        "s.mail('a@example.com'); print(s.rcpt('x@example.net')[0])"
    )
    said = QMAIL.run('exec python3 -c "$(cat)"', stdin=code.encode()).split()
    assert said == [str(has_auth()), "553"]


def has_auth():
    """Whether this qmail-smtpd knows AUTH at all, asked past the gate."""
    said = QMAIL.run(
        "printf 'EHLO me\\r\\nQUIT\\r\\n' | env PROTO=TCP TCPREMOTEIP=127.0.0.1 /var/qmail/bin/qmail-smtpd "
        "host /usr/local/bin/checkpassword /bin/true"
    )
    return "AUTH" in said


@once
@pytest.mark.parametrize("spoil", ["rm {0}", "printf '#!/bin/false\\n' >{0}", "chmod 600 {0}", "printf 'x y' >{0}"])
def test_a_gate_that_fails_lets_nobody_in_and_port_25_takes_mail(spoil):
    nobody_has_read(QMAIL)
    read(USER, QMAIL)
    QMAIL.run("cp -p {0} /root/gate; {1}".format(GATE, spoil.format(GATE)))
    try:
        for client in (USER, BOT):
            for auth in (True, False):
                with pytest.raises(OSError):  # of smtplib, too: cut off without a greeting
                    submit(client, QMAIL, auth=auth, timeout=3)
        assert takes_mail(QMAIL)
    finally:
        QMAIL.run("rm -f {0}; mv /root/gate {0}".format(GATE))
    sees(QMAIL, USER, 4, has_read=True)


@once
def test_a_locked_database_lets_nobody_in():
    nobody_has_read(QMAIL)
    read(USER, QMAIL)
    code = (
        "import sqlite3, time; base = sqlite3.connect({0!r}, isolation_level=None); base.execute('BEGIN EXCLUSIVE'); "
        "time.sleep(11)"
    ).format(DATABASE)
    locked = threading.Thread(target=QMAIL.run, args=('exec python3 -c "$(cat)"',), kwargs={"stdin": code.encode()})
    locked.start()
    time.sleep(1)
    # As long as the gate waits for it, and no longer.
    assert submit(USER, QMAIL, timeout=20) == expected(QMAIL, False, True)
    assert takes_mail(QMAIL)
    locked.join()
    sees(QMAIL, USER, 4, has_read=True)


@once
def test_a_run_script_that_does_not_ask_is_a_finding_with_the_line_that_mends_it():
    put_code(QMAIL)
    nobody_has_read(QMAIL)
    QMAIL.run("cp -p {0} /root/script; sed -i 's|{1} ||' {0}; svc -t /service/submission".format(SCRIPT, GATE))
    begins_anew(QMAIL)
    done = run(QMAIL, edit_run_scripts=False)
    (finding,) = done["findings"]
    assert finding.startswith(SCRIPT + " takes mail by 587 or 465 without asking whether the client has read mail.")
    assert "{0}: does not ask {1}".format(SCRIPT, GATE) in done["evidence"]
    # The control: it is as open as before.
    if has_auth():
        assert submit(BOT, QMAIL) == ("offered", 235, 250)
    # A person does what it says.
    line = finding.split("so that the line is:  ")[1].split("  and have it begin anew (")[0]
    command = finding.split("and have it begin anew (")[1].split(")")[0]
    old = line.replace(GATE + " ", "")
    QMAIL.run("grep -qF '{0}' {1} && sed -i 's|{0}|{2}|' {1} && {3}".format(old, SCRIPT, line, command))
    begins_anew(QMAIL)
    assert run(QMAIL, edit_run_scripts=False)["findings"] == []
    sees(QMAIL, BOT, 4, has_read=False)
    assert QMAIL.run("diff {0} /root/script; rm /root/script".format(SCRIPT)) == ""
