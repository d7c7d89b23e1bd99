"""What is written into master.cf and the tables, and that it comes out again."""

import ipaddress
import re
import sqlite3

import pytest
from fake_system import FakeSystem
from harden_mail.changes import WriteFile
from harden_mail.pop import database, postfix
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Wanted
from harden_mail.pop.postfix import PostfixPart

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
WANTED = Wanted(BOTH, 20, 128, LOOPBACK)
DIR = "/etc/postfix"

MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o smtpd_client_restrictions=$mua_client_restrictions
  # a comment
  -o syslog_name=postfix/submission
smtps     inet  n       -       y       -       -       smtpd
  -o smtpd_tls_wrappermode=yes
2525      inet  n       -       y       -       -       smtpd
  -o smtpd_discard_ehlo_keywords=chunking
127.0.0.1:10025 inet n  -       n       -       -       smtpd
2526      inet  n       -       y       -       -       smtpd -o smtpd_sasl_auth_enable=no
proxymap  unix  -       -       n       -       -       proxymap"""

SETTINGS = {
    "smtpd_sasl_auth_enable": "yes",
    "mua_client_restrictions": "permit_sasl_authenticated, reject",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
    "mynetworks": "127.0.0.0/8 [::1]/128",
}


def setting(argv, _stdin):
    name = argv[-1]
    return "{0} = {1}\n".format(name, SETTINGS.get(name, ""))


@pytest.fixture
def part(tmp_path):
    system = FakeSystem(tmp_path, {"postconf -c /etc/postfix": setting, "postconf -c /etc/postfix -m": "hash sqlite\n"})
    system.write(DIR + "/master.cf", MASTER)
    return PostfixPart(system, [DIR], lambda: "dovecot")


def settle(part, wanted, former):
    """Make the changes, and see that nothing is left; returns master.cf."""
    for make in (part.tables, part.changes):
        changes = make(wanted, former)
        for change in changes:
            for step in change.do:
                assert isinstance(step, WriteFile)
                if step.text is None:
                    part.system.remove(step.path)
                else:
                    part.system.write(step.path, step.text, step.mode)
        assert make(wanted, former) == []
    return part.system.read(DIR + "/master.cf")


def options_of(text, name):
    return {service.name: service.options for service in postfix.Instance.services(type("Text", (), {"text": text}))}[
        name
    ]


def test_only_services_that_people_submit_by_are_changed(part):
    text = settle(part, WANTED, {})
    for name in ("submission", "smtps", "2525"):
        assert options_of(text, name)["smtpd_relay_restrictions"].endswith("permit_sasl_authenticated,reject"), name
    for name in ("smtp", "127.0.0.1:10025", "2526"):
        assert options_of(text, name) == options_of(MASTER, name), name


def test_auth_is_taken_off_all_and_given_back_by_the_tables(part):
    options = options_of(settle(part, WANTED, {}), "2525")
    assert options["smtpd_discard_ehlo_keywords"] == "chunking,auth,silent-discard"
    maps = options["smtpd_discard_ehlo_keyword_address_maps"].split(",")
    assert [kind.split(":")[0] for kind in maps] == ["cidr", "sqlite"]


def test_in_either_a_list_that_refuses_all_others_lets_log_ins_through(part):
    options = options_of(settle(part, WANTED._replace(meaning=EITHER), {}), "submission")
    assert options["smtpd_client_restrictions"].startswith("permit_sasl_authenticated,check_client_access,cidr:")
    assert options["smtpd_client_restrictions"].endswith("harden-mail-pop-relay.cf,reject")
    assert "smtpd_discard_ehlo_keywords" not in options
    assert options["smtpd_relay_restrictions"].index("permit_sasl") < options["smtpd_relay_restrictions"].index(
        "sqlite"
    )


def test_everything_comes_out_again_byte_for_byte(part):
    former = {}
    settle(part, WANTED, former)
    settle(part, WANTED._replace(meaning=EITHER, minutes=5), former)
    assert settle(part, None, former) == MASTER
    assert part.system.listdir(DIR) == ["master.cf"]


def test_what_others_change_meanwhile_stays(part):
    former = {}
    text = settle(part, WANTED, former)
    part.system.write(DIR + "/master.cf", text.replace("# a comment", "# another") + "\nlast unix - - n - - last\n")
    assert "# another" in settle(part, WANTED, former)
    given_back = settle(part, None, former)
    assert given_back == MASTER.replace("# a comment", "# another") + "\nlast unix - - n - - last\n"


def ask(part, name, address, rows):
    """What Postfix gets from a table: it puts the address in for %s, quoted, and a percent sign for two."""
    text = part.system.read("{0}/harden-mail-pop-{1}".format(DIR, name))
    query = re.search(r"^query = (.*)$", text, re.MULTILINE).group(1)
    query = re.sub("%[%s]", lambda m: "%" if m.group() == "%%" else address.replace("'", "''"), query)
    base = sqlite3.connect(":memory:")
    base.execute(database.SCHEMA)
    base.executemany("INSERT INTO seen VALUES (?, {0} + ?)".format(database.NOW), rows)
    found = base.execute(query).fetchall()
    return found[0][0].split()[0] if found else None


ROWS = [("192.0.2.1", 60), ("192.0.2.2", 0), ("2001:db8::5", 60)]


@pytest.mark.parametrize(
    ("address", "both", "either"),
    [
        ("192.0.2.1", "DUNNO", "OK"),
        ("192.0.2.2", "REJECT", "DUNNO"),
        ("192.0.2.3", "REJECT", "DUNNO"),
        ("2001:db8::5", "DUNNO", "OK"),
        # Its beginning is the address of another one: the answer to the whole address ends the trying.
        ("2001:db8::5:1", "REJECT", "DUNNO"),
        ("unknown", None, None),
        ("mail.example.com", None, None),
        ("com", None, None),
    ],
)
def test_a_table_answers_every_whole_address_and_no_name(part, address, both, either):
    former = {}
    settle(part, WANTED, former)
    assert ask(part, "relay.cf", address, ROWS) == both
    assert ask(part, "ehlo.cf", address, ROWS) == ("silent-discard" if both == "DUNNO" else None)
    settle(part, WANTED._replace(meaning=EITHER), former)
    assert ask(part, "relay.cf", address, ROWS) == either


@pytest.mark.parametrize("meaning", [BOTH, EITHER])
def test_exempt_networks_are_as_before(part, meaning):
    webmail = ipaddress.ip_network("203.0.113.10/32")
    settle(part, WANTED._replace(meaning=meaning, exempt=(*LOOPBACK, webmail)), {})
    lines = part.system.read(DIR + "/harden-mail-pop-exempt.cidr").splitlines()[1:]
    assert lines[-1] == "203.0.113.10/32 permit_mynetworks, permit_sasl_authenticated, reject"
    assert len(lines) == 3


def test_a_postfix_without_any_table_that_asks_for_the_expiry_is_refused_with_the_remedy(part):
    part.system.commands["postconf -c /etc/postfix -m"] = "hash\nsqlite-like\ntexthash\n"
    assert "postfix-sqlite" in part.missing()


@pytest.fixture
def without_sqlite(part):
    part.system.commands["postconf -c /etc/postfix -m"] = "hash socketmap\n"
    return part


def test_a_postfix_without_sqlite_tables_asks_a_program(without_sqlite):
    part = without_sqlite
    assert part.missing() is None
    text = settle(part, WANTED._replace(prefix6=64), {})
    options = options_of(text, "submission")
    assert ",check_client_access,socketmap:unix:private/harden-mail-pop:relay," in options["smtpd_relay_restrictions"]
    assert options["smtpd_discard_ehlo_keyword_address_maps"].endswith(",socketmap:unix:private/harden-mail-pop:ehlo")
    assert text.splitlines()[-1] == (
        "harden-mail-pop unix - n n - 0 spawn user=dovecot argv=/usr/local/lib/harden-mail/pop-lookup "
        "--meaning both --minutes 20 --prefix6 64 --ehlo silent-discard"
    )
    assert part.system.listdir(DIR) == [
        "harden-mail-pop-exempt-ehlo.cidr",
        "harden-mail-pop-exempt.cidr",
        "master.cf",
    ]
    for name in ("smtp", "127.0.0.1:10025", "2526"):
        assert options_of(text, name) == options_of(MASTER, name), name
    assert part.reread() == []


def test_the_program_comes_and_goes_with_its_service(without_sqlite):
    (change,) = without_sqlite.program(WANTED)
    (step,) = change.do
    assert (change.what, step.mode) == ("/usr/local/lib/harden-mail/pop-lookup", 0o755)
    assert len(change.after) < 100
    without_sqlite.system.write(step.path, step.text, step.mode)
    assert without_sqlite.program(WANTED) == []
    assert without_sqlite.program(None)[0].do[0].text is None


def test_what_hides_extensions_from_all_goes_on_hiding_them(without_sqlite, monkeypatch):
    monkeypatch.setitem(SETTINGS, "smtpd_discard_ehlo_keywords", "chunking, dsn")
    assert settle(without_sqlite, WANTED, {}).endswith(" --ehlo chunking,dsn\n")


def test_its_service_comes_out_again(without_sqlite):
    part, former = without_sqlite, {}
    settle(part, WANTED, former)
    text = settle(part, WANTED._replace(meaning=EITHER), former)
    assert text.count("harden-mail-pop unix") == 1
    part.system.write(DIR + "/master.cf", text.replace("# a comment", "# another") + "last unix - - n - - last\n")
    assert settle(part, None, former) == MASTER.replace("# a comment", "# another") + "\nlast unix - - n - - last\n"
    former = {}
    part.system.write(DIR + "/master.cf", MASTER)
    settle(part, WANTED, former)
    assert settle(part, None, former) == MASTER


def test_sqlite_tables_that_come_later_are_used(without_sqlite):
    part, former = without_sqlite, {}
    settle(part, WANTED, former)
    later = PostfixPart(part.system, [DIR], lambda: "dovecot")
    later.system.commands["postconf -c /etc/postfix -m"] = "sqlite socketmap\n"
    text = settle(later, WANTED, former)
    assert "socketmap" not in text
    assert "spawn" not in text
    assert later.reread() == [["postfix", "-c", DIR, "reload"]]
    assert settle(later, None, former) == MASTER


@pytest.mark.parametrize("is_running", [True, False])
def test_where_postfix_runs_its_program_has_to_answer(without_sqlite, monkeypatch, is_running):
    monkeypatch.setitem(SETTINGS, "queue_directory", "/var/spool/postfix")
    monkeypatch.setattr(postfix, "ask", lambda address, port: None)
    if is_running:
        without_sqlite.system.commands["postfix -c /etc/postfix status"] = ""
    expected = [("/var/spool/postfix/private/harden-mail-pop", "relay")] if is_running else []
    assert without_sqlite.answering() == expected


@pytest.mark.parametrize(
    ("mynetworks", "wide"),
    [
        ("127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128", False),
        ("127.0.0.1, 192.0.2.1", False),
        ("127.0.0.0/8 192.0.2.0/24", True),
        ("[2001:db8::]/64", True),
        ("hash:/etc/postfix/networks !192.0.2.1", False),
    ],
)
def test_mynetworks_wider_than_the_host_is_a_finding(part, monkeypatch, mynetworks, wide):
    monkeypatch.setitem(SETTINGS, "mynetworks", mynetworks)
    assert any("mynetworks" in finding for finding in part.findings(WANTED)) == wide


def test_auth_on_port_25_is_a_finding_where_it_goes_around_the_rule(part):
    assert any("Port 25" in finding for finding in part.findings(WANTED))
    assert not any("Port 25" in finding for finding in part.findings(WANTED._replace(meaning=EITHER)))
