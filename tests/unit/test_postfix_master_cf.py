import socket

import pytest
from fake_system import FakeSystem
from harden_mail.postfix.instance import Instance
from harden_mail.postfix.master_cf import Service, host_of, key_of, parse_services, port_of, with_option, without_option
from hypothesis import given
from hypothesis import strategies as st

MASTER = """\
# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission

#  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=no -o smtpd_sasl_auth_enable=yes
# smtps   inet  n       -       y       -       -       smtpd
127.0.0.1:25 inet n     -       y       -       -       smtpd -v -osmtpd_sasl_auth_enable=no
[::1]:10025 inet n      -       y       -       -       smtpd
\t-o { smtpd_client_restrictions = check_x { a, b },
\treject } -o {x=y}
pickup    unix  n       -       y       60      1       pickup"""


def by_key(text):
    return {key_of(service): service for service in parse_services(text)}


def test_services():
    services = by_key(MASTER)
    assert list(services) == ["smtp/inet", "submission/inet", "127.0.0.1:25/inet", "[::1]:10025/inet", "pickup/unix"]
    assert services["smtp/inet"] == Service("smtp", "inet", "smtpd", {}, 2)
    assert services["submission/inet"].options == {
        "syslog_name": "postfix/submission",
        "smtpd_sasl_auth_enable": "yes",
    }
    assert services["submission/inet"].end == 7
    assert services["127.0.0.1:25/inet"].options == {"smtpd_sasl_auth_enable": "no"}
    assert services["[::1]:10025/inet"].options == {
        "smtpd_client_restrictions": "check_x { a, b }, reject",
        "x": "y",
    }


@pytest.mark.parametrize(
    "name, host, port",
    [
        ("smtp", "", 25),
        ("25", "", 25),
        ("192.0.2.1:smtp", "192.0.2.1", 25),
        ("[2001:db8::1]:25", "2001:db8::1", 25),
        ("submission", "", 587),
        ("465", "", 465),
        ("nonsense", "", None),
    ],
)
def test_names_of_services(name, host, port):
    service = Service(name, "inet", "smtpd", {}, 1)
    assert (host_of(service), port_of(service)) == (host, port)


def test_ports_are_known_without_etc_services(monkeypatch):
    def nothing(_name, _protocol):
        raise OSError("service/proto not found")

    monkeypatch.setattr(socket, "getservbyname", nothing)
    assert [port_of(Service(name, "inet", "smtpd", {}, 1)) for name in ("smtp", "smtps")] == [25, 465]


def test_one_option_is_one_line_more():
    text = with_option(MASTER, ["smtp/inet", "submission/inet"], "a=no")
    lines = MASTER.splitlines(True)
    assert text == "".join(lines[:2] + ["  -o a=no\n"] + lines[2:7] + ["  -o a=no\n"] + lines[7:])


def test_an_option_after_a_last_line_without_its_end():
    assert with_option(MASTER, ["pickup/unix"], "a=no").endswith("pickup\n  -o a=no\n")


@pytest.mark.parametrize(
    "text, left",
    [
        ("s inet n - y - - smtpd\n  -o a=no\n", "s inet n - y - - smtpd\n"),
        ("s inet n - y - - smtpd -o a=no -o b=c\n", "s inet n - y - - smtpd -o b=c\n"),
        ("s inet n - y - - smtpd -o a=no\n  -o a=no\n", "s inet n - y - - smtpd -o a=no\n"),
        ("s inet n - y - - smtpd -o a=none\n", None),
        ("s inet n - y - - smtpd -o ba=no\n", None),
        ("s inet n - y - - smtpd\n# -o a=no\n", None),
        ("t inet n - y - - smtpd\n  -o a=no\n", None),
        ("t inet n - y - - smtpd\n  -o a=no\ns inet n - y - - smtpd\n", None),
        ("", None),
    ],
)
def test_without_an_option(text, left):
    assert without_option(text, ["s/inet"], "a=no") == (text if left is None else left)


def test_what_was_put_in_can_be_taken_out():
    keys = ["smtp/inet", "127.0.0.1:25/inet"]
    assert without_option(with_option(MASTER, keys, "a=no"), keys, "a=no") == MASTER


@given(st.text(alphabet="s inet-y\n\t#{}o=a:25", max_size=200))
def test_any_text_is_read(text):
    keys = [key_of(service) for service in parse_services(text)]
    if text.endswith("\n") and len(set(keys)) == len(keys):
        changed = with_option(text, keys, "zz=no")
        assert all(service.options["zz"] == "no" for service in parse_services(changed))
        assert without_option(changed, keys, "zz=no") == text


def instance(tmp_path, master, commands=None):
    (tmp_path / "etc" / "postfix").mkdir(parents=True)
    (tmp_path / "etc" / "postfix" / "master.cf").write_text(master)
    return Instance(FakeSystem(tmp_path, commands), "/etc/postfix")


def test_servers_on_25(tmp_path):
    assert [key_of(s) for s in instance(tmp_path, MASTER).servers_on(25)] == ["smtp/inet", "127.0.0.1:25/inet"]


def test_servers_behind_postscreen(tmp_path):
    master = (
        "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\ndnsblog unix - - y - 0 dnsblog\n"
        "submission inet n - y - - smtpd\n"
    )
    assert [key_of(s) for s in instance(tmp_path, master).servers_on(25)] == ["smtpd/pass"]
    without = master.replace("postscreen", "smtpd")
    other = instance(tmp_path / "other", without)
    assert [key_of(s) for s in other.servers_on(25)] == ["smtp/inet"]


def test_values(tmp_path):
    found = instance(
        tmp_path,
        "smtp inet n - y - - smtpd\n25 inet n - y - - smtpd -o a=$b -o syslog_name=mx\n",
        {
            "postconf -c /etc/postfix -x a": "a = main\n",
            "postconf -c /etc/postfix -x syslog_name": "syslog_name = postfix\n",
            "postconf -c /etc/postfix -xP 25/inet/a": "25/inet/a = of b\n",
        },
    )
    smtp, other = found.services()
    assert (found.value(smtp, "a"), found.value(other, "a")) == ("main", "of b")
    assert (found.log_name(smtp), found.log_name(other)) == ("postfix/smtpd", "mx/smtpd")
    assert found.setting("unknown") == ""


def test_a_postconf_that_does_not_follow_names(tmp_path):
    commands = {"postconf -c /etc/postfix a": "a = yes\n"}
    assert instance(tmp_path, "", commands).setting("a") == "yes"
