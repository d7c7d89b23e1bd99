"""A host whose Postfix's accounts are blocked, for the tests of that."""

import json
import time

from fake_system import FakeSystem
from harden_mail.block import control
from harden_mail.block.postfix import TABLES
from harden_mail.postfix.master_cf import parse_services
from harden_mail.system import Completed

DIR = "/etc/postfix"
RUNNING = "/running.json"

MASTER = """\
# Postfix master process configuration file
smtp      inet  n       -       y       -       -       smtpd
#submission inet n       -       y       -       -       smtpd -o smtpd_sender_restrictions=x
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  # a comment
  -o smtpd_sender_restrictions=$mua_sender_restrictions
  -o smtpd_tls_security_level=encrypt
smtps     inet  n       -       y       -       -       smtpd -o smtpd_tls_wrappermode=yes
2525      inet  n       -       y       -       -       smtpd
  -o smtpd_sender_restrictions=permit_sasl_authenticated,reject
  -o smtpd_data_restrictions=reject_unauth_pipelining
127.0.0.1:10025 inet n  -       n       -       -       smtpd
  -o smtpd_sasl_auth_enable=no
pickup    unix  n       -       y       60      1       pickup"""

SETTINGS = {
    "smtpd_sasl_auth_enable": "yes",
    "mail_version": "3.7.11",
    "smtpd_sasl_type": "dovecot",
}


class Host(FakeSystem):
    """A host whose Postfix reads master.cf and the tables when it is told to."""

    def __init__(self, root):
        super().__init__(root)
        self.settings = dict(SETTINGS)
        self.dovecot = {"auth_username_format": "%Lu", "auth_default_realm": "", "protocols": "imap pop3"}
        self.commands = {
            "postconf": self.postconf,
            "postfix": "",
            "postfix -c /etc/postfix reload": self.reload,
            "postmap": self.postmap,
            "doveconf -h": lambda argv, _: (
                self.dovecot[argv[-1]] + "\n" if argv[-1] in self.dovecot else Completed(89, "", "unknown")
            ),
            "ss": "",
        }
        self.commands["postconf -c /etc/postfix -m"] = "texthash sqlite"
        self.write(DIR + "/main.cf", "")
        self.write(DIR + "/master.cf", MASTER)

    def postconf(self, argv, _stdin):
        return "{0} = {1}\n".format(argv[-1], self.settings.get(argv[-1], ""))

    def postmap(self, argv, stdin):
        kind, _colon, path = argv[-1].partition(":")
        assert kind == "texthash" and argv[-2] == "-"
        lines = [line.split() for line in (self.read(path) or "").splitlines() if not line.startswith("#")]
        found = [key for key in stdin.splitlines() if [key] in [line[:1] for line in lines]]
        return "".join(key + "\tREJECT\n" for key in found) if found else Completed(1, "", "not found")

    def reload(self, *_):
        self.running = self.named()
        return ""

    # In a file, for what a killed process told it holds.
    @property
    def running(self):
        return json.loads(self.read(RUNNING) or "null")

    @running.setter
    def running(self, configuration):
        with open(self.real(RUNNING), "w") as handle:
            json.dump(configuration, handle)

    def named(self):
        """master.cf and the tables that it names."""
        text = self.read(DIR + "/master.cf")
        tables = {name: self.read(DIR + "/" + name) for name in TABLES if name in text}
        return dict(tables, master=text)

    def remove(self, path):
        assert not self.running or path not in self.running["master"], "Postfix still looks into it"
        super().remove(path)

    def files(self):
        return {name: self.read(DIR + "/" + name) for name in self.listdir(DIR)}

    def options(self, name):
        return {service.name: service.options for service in parse_services(self.read(DIR + "/master.cf"))}[name]


def run(host, check_mode=False, **options):
    params = {
        "state": "present",
        "reason": "password_audit",
        "accounts": [],
        "addresses": [],
        "backend": "postfix",
        "config_dirs": None,
        "lookback_days": 14,
        "log_files": [],
        "log_journal": False,
        "mask_accounts": False,
    }
    return control.run(host, dict(params, **options), check_mode)


SENT = "{0} vps postfix/submission/smtpd[{1}]: {1}AB: client=x[{2}], sasl_method=PLAIN, sasl_username={3}\n"


def stamp():
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 60))
