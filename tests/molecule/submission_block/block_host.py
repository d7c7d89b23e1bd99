"""Who sends on a host, and the work of the module on it, killed where one likes."""

import base64
import json
import os
import smtplib

from code_on_host import work

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

PASSWORDS = {"info": "info", "sales": "Password1"}

SENT = 250

# By which services people submit; 25 takes AUTH too.
PORTS = (587, 465, 25)


def log_in(session, user):
    """AUTH; the password is that of the account, however its name is written."""
    password = PASSWORDS[user.lower().partition("@")[0]]
    plain = base64.b64encode("\0{0}\0{1}".format(user, password).encode()).decode()
    session.ehlo("client.example.com")
    return session.docmd("AUTH", "PLAIN " + plain)[0]


def opened(client, host, user, port=587, family=4):
    """A session that has logged in (user None: that has only said EHLO)."""
    session = client.smtp(host.address(family), port, tls=port == 465)
    if user is None:
        session.ehlo("client.example.com")
    else:
        assert log_in(session, user) == 235, user
    return session


def hand_over(session, to="webmaster@example.com"):
    """Send a message by a session: the code that decides."""
    session.mail("info@example.com")
    code = session.rcpt(to)[0]
    if code == 250:
        code = session.docmd("DATA")[0]
        if code == 354:
            session.send("Subject: hello\r\n\r\nhello\r\n.\r\n")
            code = session.getreply()[0]
    session.rset()
    return code


def send(client, host, user, port=587, family=4):
    """Log in and send a message: the code that decides, 250 or 554."""
    with opened(client, host, user, port, family) as session:
        return hand_over(session)


def is_open(session):
    try:
        return session.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def run(host, fatal=0, **options):
    """The work of submission_block: its result (dict), or None when it was killed before its change ``fatal``."""
    result = work(host, "submission_block", fatal, **options)
    return None if "killed" in result else result


def tell(host, **options):
    """Run what mail_password_notice runs."""
    params = {
        "state": "present",
        "accounts": [],
        "to": "owner",
        "admins": {},
        "default_admin": None,
        "from": None,
        "host": None,
        "language": "ja",
        "charset": "utf-8",
        "url": "https://panel.example.com/",
        "blocked": True,
        "repeat_days": 30,
        "max_notices": 200,
        "max_per_domain": 50,
        "backend": None,
        "sendmail": "/usr/sbin/sendmail",
    }
    code = (
        "import json, sys; sys.path.insert(0, '/tmp/code/module_utils'); "
        "from harden_mail.passwords import notice; from harden_mail.system import System; "
        "print(json.dumps(notice.run(System(), json.load(sys.stdin), False)))"
    )
    return json.loads(host.run('python3 -c "{0}"'.format(code), stdin=json.dumps(dict(params, **options)).encode()))
