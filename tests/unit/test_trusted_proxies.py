"""Who may tell a mail server the address of a client, as Postfix 3.7 and Dovecot 2.3 and 2.4 say it."""

import ipaddress

import pytest
from fake_system import FakeSystem
from harden_mail import trusted_proxies
from harden_mail.system import Completed

DIR = "/etc/postfix"

# As `postconf -M` of Postfix 3.7 prints it, an entry a line.
MASTER = (
    "smtp       inet  n       -       y       -       -       smtpd\n"
    "pickup     unix  n       -       y       60      1       pickup\n"
    "submission inet  n       -       y       -       -       smtpd -o smtpd_sasl_auth_enable=yes{0}\n"
    "465        inet  n       -       y       -       -       smtpd\n"
    "127.0.0.1:10025 inet  n  -       y       -       -       smtpd -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n"
)


class Host:
    def __init__(self, tmp_path, options="", main=None, master=MASTER):
        self.main = dict({"smtpd_sasl_auth_enable": "no"}, **(main or {}))
        self.system = FakeSystem(
            tmp_path,
            {"postconf -c " + DIR + " -M": master.format(options), "postconf": self.postconf},
        )

    def postconf(self, argv, _stdin):
        name = argv[-1]
        return "{0} = {1}\n".format(name, self.main.get(name, ""))

    def findings(self):
        return trusted_proxies.postfix_findings(self.system, [DIR])


def test_a_usual_host_has_none(tmp_path):
    assert Host(tmp_path).findings() == []
    options = " -o smtpd_authorized_xclient_hosts= -o smtpd_authorized_xforward_hosts=!192.0.2.1"
    assert Host(tmp_path, options).findings() == []


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("smtpd_authorized_xclient_hosts=192.0.2.7", ("192.0.2.7", "XCLIENT", "without a password")),
        ("smtpd_authorized_xclient_hosts=127.0.0.0/8", ("127.0.0.0/8", "XCLIENT")),
        ("smtpd_authorized_xclient_hosts=!10.0.0.1,10.0.0.0/8", ("XCLIENT",)),
        ("smtpd_authorized_xforward_hosts=192.0.2.7", ("192.0.2.7", "XFORWARD", "log")),
        ("smtpd_upstream_proxy_protocol=haproxy", ("haproxy", "smtpd_upstream_proxy_protocol")),
    ],
)
def test_who_is_believed_on_a_submission_service_is_a_finding(tmp_path, option, parts):
    (finding,) = Host(tmp_path, " -o " + option).findings()
    for part in (*parts, "/etc/postfix/master.cf: service submission/inet"):
        assert part in finding


def test_what_main_cf_says_is_said_of_each_service(tmp_path):
    found = Host(tmp_path, main={"smtpd_authorized_xclient_hosts": "192.0.2.7"}).findings()
    assert [finding.split(" has ")[0].split("service ")[1] for finding in found] == ["submission/inet", "465/inet"]


def test_port_25_with_auth_counts_and_behind_a_postscreen_what_that_believes(tmp_path):
    main = {"smtpd_sasl_auth_enable": "yes", "postscreen_upstream_proxy_protocol": "haproxy"}
    master = (
        "smtp  inet  n  -  y  -  1  postscreen\n"
        "smtpd pass  -  -  y  -  -  smtpd -o smtpd_authorized_xclient_hosts=192.0.2.7\n"
    )
    found = Host(tmp_path, main=main, master=master).findings()
    assert ["service smtpd/pass" in found[0], "service smtp/inet has postscreen_upstream" in found[1]] == [True, True]


def test_a_postfix_that_says_nothing_is_no_postfix_in_order(tmp_path):
    system = FakeSystem(tmp_path, {"postconf": Completed(1, "", "fatal: open /etc/postfix/main.cf")})
    (finding,) = trusted_proxies.postfix_findings(system, [DIR])
    assert "can't be asked" in finding


# As `doveconf -n` says it.
OF_2_3 = (
    "# 2.3.19.1\nlogin_trusted_networks = {0}\nprotocols = imap pop3\nservice imap-login {{\n  client_limit = 1\n}}\n"
)
OF_2_4 = "dovecot_config_version = 2.4.1\nlogin_trusted_networks = {0}\nprotocols {{\n  imap = yes\n}}\n"
IN_A_FILTER = "protocol imap {{\n  login_trusted_networks = {0}\n}}\n"
AS_A_BLOCK = "login_trusted_networks {{\n  {0} = yes\n}}\n"
EXEMPT = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128", "203.0.113.0/24")]


def dovecot(tmp_path, said):
    return trusted_proxies.dovecot_findings(FakeSystem(tmp_path, {"doveconf -n": said}), EXEMPT)


@pytest.mark.parametrize("form", [OF_2_3, OF_2_4, IN_A_FILTER, AS_A_BLOCK])
@pytest.mark.parametrize("value", ["127.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0", "::1", "nonsense"])
def test_whom_dovecot_believes_is_a_finding(tmp_path, form, value):
    (finding,) = dovecot(tmp_path, form.format(value))
    assert "login_trusted_networks = " + value in finding
    assert "pop_before_smtp_exempt" in finding
    assert ("web application of this host" in finding) == (value in ("127.0.0.0/8", "::1"))


@pytest.mark.parametrize("form", [OF_2_3, OF_2_4, IN_A_FILTER, AS_A_BLOCK])
def test_a_host_that_sends_without_a_log_in_anyway_is_none(tmp_path, form):
    assert dovecot(tmp_path, form.format("203.0.113.7")) == []
    assert dovecot(tmp_path, form.format("")) == []
    assert len(dovecot(tmp_path, form.format("203.0.0.0/16"))) == 1


def test_a_proxy_is_believed_where_there_is_a_port_for_it(tmp_path):
    networks = "haproxy_trusted_networks = 192.0.2.1\n"
    assert dovecot(tmp_path, networks) == []
    (finding,) = dovecot(
        tmp_path, networks + "service imap-login {\n  inet_listener imap {\n    haproxy = yes\n  }\n}\n"
    )
    assert "haproxy_trusted_networks = 192.0.2.1" in finding


def test_a_dovecot_that_says_nothing_is_no_dovecot_in_order(tmp_path):
    system = FakeSystem(tmp_path, {"doveconf": Completed(89, "", "doveconf: Fatal: Error in configuration file")})
    (finding,) = trusted_proxies.dovecot_findings(system, EXEMPT)
    assert "can't be asked" in finding
