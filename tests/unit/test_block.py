"""Who may not send: whose list is whose, what is written into master.cf and the tables, and that it comes out again."""

import json
import os
import re
import time

import killing
import pytest
from fake_journal import PASSWD, FakeJournal, entry
from fake_system import FakeSystem
from harden_mail.block import control, sessions
from harden_mail.block.lists import Naming, as_blocked, fold, union
from harden_mail.block.postfix import ACCOUNTS, ADDRESSES, REALMS, TABLES
from harden_mail.errors import NotApplicable, UserError
from harden_mail.paths import BLOCK_NOTEBOOK
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Wanted
from harden_mail.pop.postfix import PostfixPart as PopPart
from harden_mail.postfix.master_cf import parse_services, with_early_options, with_option, without_options
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


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


def test_each_service_that_takes_auth_looks_the_account_up_first(host):
    result = run(host, accounts=["Info@example.com", "b@example.com"])
    table = "check_sasl_access,texthash:/etc/postfix/harden-mail-blocked-accounts"
    for name in ("smtp", "smtps"):
        assert host.options(name)["smtpd_sender_restrictions"] == table
    assert host.options("submission")["smtpd_sender_restrictions"] == table + ",$mua_sender_restrictions"
    # Its own list ends in a refusal, and POP-before-SMTP would copy what is in it.
    assert host.options("2525")["smtpd_data_restrictions"] == table + ",reject_unauth_pipelining"
    assert host.options("2525")["smtpd_sender_restrictions"] == "permit_sasl_authenticated,reject"
    assert host.options("127.0.0.1:10025") == {"smtpd_sasl_auth_enable": "no"}
    lines = host.read(DIR + "/" + ACCOUNTS).splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [["b@example.com", "REJECT"], ["info@example.com", "REJECT"]]
    assert host.running == host.named()
    assert result["steps"] == ["/etc/postfix/" + ACCOUNTS, "/etc/postfix/master.cf", "running servers"]
    assert (result["blocked"], result["newly_blocked"]) == (["b@example.com", "info@example.com"],) * 2
    assert not run(host, accounts=["b@example.com", "INFO@EXAMPLE.COM"])["changed"]


def test_addresses_are_refused_where_people_submit_and_not_on_port_25(host):
    result = run(host, addresses=["203.0.113.5", "203.0.113.4/31", "2001:db8::/32"])
    clients = "check_client_access,cidr:/etc/postfix/harden-mail-blocked-addresses"
    assert host.options("smtps")["smtpd_sender_restrictions"] == clients
    assert "smtpd_sender_restrictions" not in host.options("smtp")
    lines = host.read(DIR + "/" + ADDRESSES).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["203.0.113.4/31", "2001:db8::/32"]
    assert any("Port 25" in finding for finding in result["findings"])
    result = run(host, accounts=["a@b"], addresses=["203.0.113.5"])
    assert host.options("smtps")["smtpd_sender_restrictions"].count("check_") == 2
    assert host.options("smtp")["smtpd_sender_restrictions"].count("check_") == 1


def test_behind_postscreen_addresses_are_not_refused_either(host):
    host.write(DIR + "/master.cf", "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n")
    run(host, accounts=["a@b"], addresses=["203.0.113.5"])
    assert host.options("smtpd")["smtpd_sender_restrictions"].count("check_") == 1


def test_reasons_own_their_lists_and_the_union_is_enforced(host):
    run(host, accounts=["a@x", "b@x"])
    result = run(host, reason="incident", accounts=["b@x", "c@x"])
    assert (result["blocked"], result["newly_blocked"]) == (["a@x", "b@x", "c@x"], ["c@x"])
    result = run(host, state="absent")
    assert (result["blocked"], result["lifted"]) == (["b@x", "c@x"], ["a@x"])
    # The same for another reason: only the notebook is news.
    result = run(host, accounts=["c@x"])
    assert result["changed"] and result["steps"] == [BLOCK_NOTEBOOK]
    assert not run(host, accounts=["c@x"])["changed"]
    run(host, reason="incident", accounts=[])
    assert run(host, state="absent")["lifted"] == ["c@x"]
    assert host.read(DIR + "/master.cf") == MASTER == host.running["master"]
    assert host.listdir(DIR) == ["main.cf", "master.cf"] and not host.exists("/var/lib/harden-mail")


def test_absent_without_a_reason_lifts_all(host):
    run(host, accounts=["a@x"])
    run(host, reason="incident", addresses=["203.0.113.5"])
    assert run(host, state="absent", reason=None, backend=None)["changed"]
    assert host.read(DIR + "/master.cf") == MASTER and not host.exists("/var/lib/harden-mail")
    assert not run(host, state="absent", reason=None)["changed"]


def test_check_mode_says_the_same_and_changes_nothing(host):
    for options in ({"accounts": ["a@x"]}, {"addresses": ["203.0.113.5"]}, {"accounts": []}):
        before, running = host.files(), host.running
        said = run(host, check_mode=True, **options)
        assert host.files() == before and host.running == running
        did = run(host, **options)
        assert (said["changed"], said["steps"], said["diff"]) == (True, did["steps"], did["diff"])


def test_ten_thousand_accounts_in_one_call(host):
    names = ["user{0}@example.com".format(number) for number in range(10000)]
    result = run(host, accounts=names)
    assert (result["blocked_total"], len(result["blocked"])) == (10000, 50)
    assert len(host.read(DIR + "/" + ACCOUNTS).splitlines()) == 10001
    assert not run(host, accounts=list(reversed(names)))["changed"]


@pytest.mark.parametrize("first", ["block", "other"])
@pytest.mark.parametrize("leaves", ["block", "other"])
def test_a_module_that_appends_options_comes_and_goes_in_any_order(host, first, leaves):
    """As pop_before_smtp and smtp25_without_auth do it: with_option, and a memory of before and after."""
    memory = {}
    keys = ["submission/inet", "smtps/inet", "2525/inet"]
    options = [[key, "smtpd_relay_restrictions=check_client_access,cidr:/x,reject"] for key in keys]
    options += [[key, "smtpd_client_restrictions=permit,reject"] for key in keys]

    def other(present):
        text = host.read(DIR + "/master.cf")
        base = without_options(text, memory.get("known"))
        after = base
        for key, option in options if present else ():
            after = with_option(after, [key], option)
        memory["known"] = {"before": base, "after": after, "options": options} if present else None
        changed = after != text
        host.write(DIR + "/master.cf", after)
        return changed

    def block(present):
        return run(host, accounts=["a@x"] if present else [])["changed"]

    moves = [block, other] if first == "block" else [other, block]
    for move in moves:
        assert move(True)
    for move in moves + moves:
        assert not move(True), "one undoes what the other does"
    assert host.options("smtps")["smtpd_relay_restrictions"].endswith("reject")
    assert ACCOUNTS in host.options("smtps")["smtpd_sender_restrictions"]
    for move in [block, other] if leaves == "block" else [other, block]:
        assert move(False)
        assert not move(False)
    # The other one doesn't remember that the last line had no newline, unless it was last to come and last to go.
    assert host.read(DIR + "/master.cf").rstrip("\n") == MASTER


def test_what_others_change_meanwhile_stays_and_lists_of_their_own_are_taken_up(host):
    run(host, accounts=["a@x"])
    text = host.read(DIR + "/master.cf")
    host.write(DIR + "/master.cf", text.replace("# a comment", "# another") + "\nlast unix - - n - - last\n")
    host.settings["smtpd_sender_restrictions"] = "reject_unknown_sender_domain, check_x"
    assert run(host, accounts=["a@x"])["changed"]
    assert host.options("smtp")["smtpd_sender_restrictions"].endswith(
        ACCOUNTS + ",reject_unknown_sender_domain,check_x"
    )
    run(host, state="absent")
    assert host.read(DIR + "/master.cf") == MASTER.replace("# a comment", "# another") + "\nlast unix - - n - - last\n"


def test_words_in_braces_are_not_torn(host):
    own = "check_policy_service { inet:127.0.0.1:9, timeout=10s }, permit"
    host.settings["smtpd_sender_restrictions"] = own
    run(host, accounts=["a@x"])
    value = host.options("smtp")["smtpd_sender_restrictions"]
    assert value == "check_sasl_access,texthash:/etc/postfix/{0}, {1}".format(ACCOUNTS, own)
    assert not run(host, accounts=["a@x"])["changed"]
    run(host, state="absent")
    assert host.read(DIR + "/master.cf") == MASTER


ROADS = [
    ({"accounts": []}, {"accounts": ["a@x"]}),
    ({"accounts": ["a@x"]}, {"accounts": ["a@x"], "addresses": ["203.0.113.5"]}),
    ({"accounts": ["a@x"], "addresses": ["203.0.113.5"]}, {"addresses": ["203.0.113.5"]}),
    ({"accounts": ["a@x"]}, {"accounts": []}),
]


@pytest.mark.parametrize(("start", "end"), ROADS)
def test_a_killed_run_is_completed_by_the_next(host, start, end):
    def begin(_fatal):
        run(host, **start)
        return host

    kills = killing.everywhere(begin, lambda host: run(host, **end), at_least=20)
    for number, (_, where) in enumerate(kills):
        if number % 2:
            # Whatever the next run is about, it completes what was begun.
            run(host, reason="incident", accounts=["z@x"])
            run(host, reason="incident", state="absent")
        run(host, **end)
        assert host.running == host.named(), where
        assert not run(host, **end)["changed"], where
        if not end.get("accounts") and not end.get("addresses"):
            assert host.read(DIR + "/master.cf") == MASTER, where
    run(host, state="absent")
    assert host.read(DIR + "/master.cf") == MASTER == host.running["master"], "nothing of a half-way change is left"
    assert host.listdir(DIR) == ["main.cf", "master.cf"] and not host.exists("/var/lib/harden-mail")


def test_no_command_line_names_who_is_blocked(host):
    """Every user of the host can read command lines while they run."""
    run(host, accounts=["weak@example.com", "-"])
    assert any(line.startswith("postmap") for line, _stdin in host.calls)
    assert not [line for line, _stdin in host.calls if "weak" in line]


@pytest.mark.parametrize("command", ["postconf -c /etc/postfix -M", "postfix -c /etc/postfix check", "postmap"])
def test_what_postfix_does_not_like_is_undone(host, command):
    run(host, accounts=["a@x"])
    before = host.files()
    kept = host.commands.get(command)
    host.commands[command] = Completed(1, "", "bad")
    with pytest.raises(UserError, match="bad"):
        run(host, accounts=["a@x"], addresses=["203.0.113.5"])
    assert host.files() == before and host.running == host.named()
    host.commands[command] = kept if kept is not None else ""
    assert not run(host, accounts=["a@x"])["changed"]


def reloads(host):
    return [line.split()[2] for line, _ in host.calls if line.endswith(" reload")]


def test_an_instance_that_is_no_longer_named_is_given_back_checked_and_reloaded(host):
    other = "/etc/postfix-b"
    host.write(other + "/master.cf", MASTER)
    run(host, accounts=["a@x"], config_dirs=[DIR, other])
    host.calls.clear()
    run(host, accounts=["a@x"], config_dirs=[DIR])
    assert host.read(other + "/master.cf") == MASTER and host.listdir(other) == ["master.cf"]
    lines = [line for line, _ in host.calls]
    assert other in reloads(host) and "postfix -c /etc/postfix-b check" in lines
    assert not [line for line in lines if line.startswith("postmap -c " + other)]


def test_an_instance_that_was_removed_keeps_nobody_from_blocking_or_lifting(host):
    other = "/etc/postfix-b"
    host.write(other + "/master.cf", MASTER)
    run(host, accounts=["a@x"], config_dirs=[DIR, other])
    run(host, reason="incident", accounts=["b@x"])
    FakeSystem.remove(host, other + "/master.cf")
    for line in ("postconf -c {0} -M", "postfix -c {0} check", "postfix -c {0} status"):
        host.commands[line.format(other)] = Completed(1, "", "no such instance")
    assert run(host, accounts=["a@x", "c@x"])["blocked"] == ["a@x", "b@x", "c@x"]
    run(host, state="absent", reason=None)
    assert host.read(DIR + "/master.cf") == MASTER
    assert not host.exists("/var/lib/harden-mail") and not host.exists(other + "/" + ACCOUNTS)


@pytest.mark.parametrize("leaves_master", [False, True])
@pytest.mark.parametrize("reason", [None, "password_audit"])
def test_absent_comes_to_its_end_where_postfix_was_removed(host, leaves_master, reason):
    run(host, accounts=["a@x"])
    run(host, reason="incident", accounts=["b@x"])
    host.commands = {}
    host.running = None
    host.which = lambda _name: None
    if not leaves_master:
        host.remove(DIR + "/master.cf")
        host.remove(DIR + "/main.cf")
    run(host, state="absent", reason=reason, backend=None)
    run(host, state="absent", reason="incident", backend=None)
    assert not host.exists("/var/lib/harden-mail") and not host.exists(DIR + "/" + ACCOUNTS)
    assert not leaves_master or host.read(DIR + "/master.cf") == MASTER


@pytest.mark.parametrize("names", [["-"], ["-", "a@x"]])
def test_an_account_whose_name_is_a_dash(host, names):
    assert run(host, accounts=names)["blocked"] == names
    assert [line.split()[0] for line in host.read(DIR + "/" + ACCOUNTS).splitlines()[1:]] == names


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reason": None, "accounts": ["a@x"]}, "reason is missing"),
        ({"reason": "Audit 1"}, "reason is 'Audit 1'"),
        ({"accounts": ["two words"]}, "accounts contains 'two words'"),
        ({"accounts": [""]}, "accounts contains ''"),
        ({"accounts": ["#a"]}, "accounts contains '#a'"),
        ({"accounts": ["a\nb REJECT"]}, "accounts contains"),
        # Unicode folds them to kate and sam.
        ({"accounts": ["\u212aate@x"]}, "which Postfix may take for another account"),
        ({"accounts": ["\u017fam@x"]}, "which Postfix may take for another account"),
        ({"addresses": ["203.0.113.5/24"]}, "addresses contains '203.0.113.5/24'"),
        ({"addresses": ["::/0"]}, "which is everybody"),
        ({"accounts": ["a@x"], "config_dirs": ["/etc/postfix-x"]}, "config_dirs names /etc/postfix-x"),
    ],
)
def test_wrong_options_are_one_sentence_and_change_nothing(host, options, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        run(host, **options)
    assert host.read(DIR + "/master.cf") == MASTER and not host.exists("/var/lib/harden-mail")


def test_names_are_folded_in_ascii_alone():
    assert as_blocked(["Kate@X", "J\xdcRGEN@x"], []).accounts == ("j\xdcrgen@x", "kate@x")
    assert fold("\u212aate@x") != "kate@x" and fold("KATE@x") == "kate@x"
    # What a former release has listed is not listed for others.
    assert union({"a": {"accounts": ["\u212aate@x", "bob@x"], "addresses": []}}).accounts == ("bob@x",)


def test_hosts_where_nobody_can_be_blocked(host):
    result = run(host, backend=None, accounts=["a@x"])
    assert result["not_applicable"] and not result["findings"]
    result = run(host, backend="qmail", accounts=["a@x"])
    assert result["not_applicable"] and "a@x" in result["findings"][0]
    assert not run(host, backend="qmail")["findings"]
    host.settings["mail_version"] = "2.6.6"
    with pytest.raises(NotApplicable, match=r"Postfix 2\.6\.6"):
        run(host, accounts=["a@x"])
    assert host.read(DIR + "/master.cf") == MASTER


def test_other_ways_to_send_are_findings(host):
    assert run(host, accounts=["a@x"])["findings"] == []
    host.dovecot["protocols"] = "imap submission lmtp"
    host.write("/var/lib/harden-mail/pop_before_smtp/former.json", '{"rule": "either 20 128"}')
    said = " ".join(run(host, accounts=["a@x", "taro"])["findings"])
    assert "POP-before-SMTP" in said and "Dovecot takes mail" in said
    host.settings["smtpd_sasl_auth_enable"] = "no"
    assert "No service" in " ".join(run(host, accounts=["a@x"])["findings"])


def test_a_service_that_does_not_look_into_the_tables_is_a_finding(host):
    host.commands["postconf -c /etc/postfix -P"] = (
        "submission/inet/smtpd_sender_restrictions = $mua_sender_restrictions\n"
        "2525/inet/smtpd_sender_restrictions = permit_sasl_authenticated,reject\n"
    )
    (finding,) = run(host, accounts=["a@x"])["findings"]
    assert "submission/inet takes AUTH" in finding and ACCOUNTS in finding
    # Of two services of one name, one gets the options.
    del host.commands["postconf -c /etc/postfix -P"]
    host.write(DIR + "/master.cf", MASTER + "\nsmtps inet n - y - - smtpd\n")
    (finding,) = run(host, accounts=["a@x"])["findings"]
    assert "smtps/inet takes AUTH" in finding
    host.write(DIR + "/master.cf", MASTER)
    assert run(host, check_mode=True, accounts=["a@x"])["findings"] == []


def test_names_are_masked_where_that_is_wanted(host):
    host.write("/var/log/mail.log", SENT.format(stamp(), 1, "198.51.100.7", "INFO@example.com"))
    options = {"accounts": ["info@example.com"], "addresses": ["203.0.113.5"], "mask_accounts": True}
    results = [run(host, check_mode=True, **options), run(host, **options)]
    results += [run(host, **options), run(host, backend="qmail", **options), run(host, state="absent", **options)]
    for result in results:
        result.pop("diff", None)
        assert "info@" not in repr(result).lower()
    assert results[1]["blocked"] == ["i***@example.com", "203.0.113.5/32"]
    assert "I***@example.com from 198.51.100.7" in " ".join(results[1]["evidence"])
    assert "i***@example.com" in results[3]["findings"][0]
    assert results[4]["lifted"] == ["203.0.113.5/32", "i***@example.com"]


@pytest.mark.parametrize(
    ("form", "realm", "account", "names"),
    [
        ("%Lu", "", "Info@Example.com", ["info@example.com"]),
        ("%Lu", "example.com", "info@example.com", ["info", "info@example.com"]),
        ("%Lu", "example.com", "info", ["info", "info@example.com"]),
        ("%Lu", "example.com", "info@example.net", ["info@example.net"]),
        ("%Ln", "", "info@example.com", ["info", "info@example.com"]),
        ("%n@%d", "", "info@example.com", ["info@example.com"]),
        ("%{user | lower}", "", "info@example.com", ["info@example.com"]),
        ("%{user | username | lower}", "", "info@example.com", ["info", "info@example.com"]),
        ("%{user | lower | username}", "", "info@example.com", ["info", "info@example.com"]),
        ("%{user | username}@%{user | domain}", "", "info@example.com", ["info@example.com"]),
    ],
)
def test_all_names_that_dovecot_makes_of_an_account_are_refused(host, form, realm, account, names):
    host.dovecot.update({"auth_username_format": form, "auth_default_realm": realm})
    run(host, accounts=[account])
    lines = host.read(DIR + "/" + ACCOUNTS).splitlines()[1:]
    assert [line.split()[0] for line in lines] == names


def test_under_cyrus_a_bare_name_is_refused_with_any_realm(host):
    host.settings["smtpd_sasl_type"] = "cyrus"
    run(host, accounts=["taro", "o.h+x/y", "a@x"])
    (one, other) = [line.split()[0] for line in host.read(DIR + "/" + REALMS).splitlines()[1:]]
    assert (one, other) == ("/^o\\.h\\+x\\/y@/", "/^taro@/")
    assert "check_sasl_access,regexp:/etc/postfix/" + REALMS in host.options("smtp")["smtpd_sender_restrictions"]
    run(host, accounts=["a@x"])
    assert REALMS not in host.options("smtp")["smtpd_sender_restrictions"] and not host.exists(DIR + "/" + REALMS)


@given(st.lists(st.text(max_size=12)), st.lists(st.text("ab.@", max_size=6)), st.booleans())
def test_a_table_has_one_line_for_each_name_whatever_it_is(names, realms, local_only):
    try:
        blocked = as_blocked(names, [])
    except UserError:
        return
    for name in Naming(realms, local_only).all_names(blocked.accounts):
        assert name.split() in ([name], []) and "\0" not in name and not name.startswith(("#", '"'))


SENT = "{0} vps postfix/submission/smtpd[{1}]: {1}AB: client=x[{2}], sasl_method=PLAIN, sasl_username={3}\n"


def stamp():
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 60))


def test_who_of_them_has_sent_is_told(host):
    lines = [SENT.format(stamp(), 1, "198.51.100.7", "INFO@example.com")]
    lines += [SENT.format(stamp(), 2, "198.51.100.8", "other@example.com")]
    host.write("/var/log/mail.log", "".join(lines))
    result = run(host, accounts=["info@example.com"], check_mode=True)
    assert [(one["account"], one["address"]) for one in result["senders"]] == [("INFO@example.com", "198.51.100.7")]
    assert any("INFO@example.com from 198.51.100.7" in line for line in result["evidence"])
    assert not any("cut off" in warning for warning in result["warnings"])


def test_sessions_on_25_end_wherever_the_account_has_sent_from(host, monkeypatch):
    lines = [SENT.format(stamp(), n, "198.51.100.{0}".format(n), "info@example.com") for n in range(1, 61)]
    host.write("/var/log/mail.log", "".join(lines))
    asked = []
    monkeypatch.setattr(sessions, "meant", lambda *given: asked.append(given) or [])
    assert len(run(host, accounts=["info@example.com"])["senders"]) == 50
    assert asked[0][3] == {"198.51.100.{0}".format(n) for n in range(1, 61)}


# --- open sessions ------------------------------------------------------------------------------------------

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def process(host, pid, arguments, started, inode, local="0100007F:024B", remote="0A00000A:1234", user=101):
    """An smtpd that has a client; ``started``: seconds since the machine's boot."""
    directory = "/proc/{0}/".format(pid)
    host.write("/etc/passwd", PASSWD.format(101))
    host.write(directory + "status", "Name:\tsmtpd\nUid:\t{0}\t{0}\t{0}\t{0}\n".format(user))
    host.write(directory + "cmdline", "\0".join(["smtpd"] + arguments) + "\0")
    fields = ["S", "1"] + ["0"] * 17 + [str(int(started * 100))]
    host.write(directory + "stat", "{0} (smtpd) {1} 0\n".format(pid, " ".join(fields)))
    os.makedirs(host.real(directory + "fd"))
    os.symlink("socket:[{0}]".format(inode), host.real(directory + "fd/9"))
    text = host.read("/proc/net/tcp") or HEADER
    line = "   0: {0} {1} 01 00000000:00000000 00:00000000 00000000     0        0 {2} 1 0 20 4 30 10 -1\n"
    host.write("/proc/net/tcp", text + line.format(local, remote, inode))


OPTIONS = {"submission/inet": [ACCOUNTS], "smtp/inet": [ACCOUNTS]}


def test_a_session_is_stale_when_its_process_has_read_a_former_table(host, monkeypatch):
    monkeypatch.setattr(sessions.time, "time", lambda: 1000000.0)
    monkeypatch.setattr(sessions.time, "clock_gettime", lambda _clock: 5000.0)
    monkeypatch.setattr(sessions.os, "sysconf", lambda _name: 100)
    words = ["-n", "submission", "-t", "inet", "-u", "-o", "smtpd_sender_restrictions=texthash:/x/" + ACCOUNTS]
    process(host, 10, ["-n", "submission", "-t", "inet", "-u"], 4999, 100)
    process(host, 11, words, 4000, 101)
    process(host, 12, words, 4999, 102)
    process(host, 13, ["-n", "2525", "-t", "inet", "-u"], 10, 103)
    # www-data's, which has that name only.
    process(host, 14, ["-n", "submission", "-t", "inet", "-u"], 4999, 104, user=33)
    found = sessions.stale(host, OPTIONS, 1000000.0 - 500)
    assert [(one.pid, one.service, one.inode) for one in found] == [
        (10, "submission/inet", "100"),
        (11, "submission/inet", "101"),
    ]
    assert found[0].local == ("127.0.0.1", 587) and found[0].remote == ("10.0.0.10", 0x1234)
    (command,) = sessions.cuts(found)
    assert command[:3] == ["ss", "-K", "-tn"]
    assert command[3].startswith("( src 127.0.0.1:587 and dst 10.0.0.10:4660 ) or ( src")


def test_whose_session_it_is_decides():
    def made(pid, service="submission/inet", remote="192.0.2.1"):
        return sessions.Session(pid, service, str(pid), ("192.0.2.9", 587), (remote, 1))

    all_of_them = [
        made(1),
        made(2),
        made(3),
        made(4, remote="203.0.113.5"),
        made(5, "smtp/inet"),
        made(6, "smtp/inet", "198.51.100.7"),
        made(7, "smtp/inet"),
        made(8, "smtp/inet", "198.51.100.7"),
    ]
    whose = {1: "bad@x", 2: "good@x", 4: "good@x", 7: "bad@x", 8: "good@x"}
    found = sessions.meant(all_of_them, {"bad@x"}, ["203.0.113.0/24"], {"198.51.100.7"}, whose, {"smtp/inet"})
    assert [one.pid for one in found] == [1, 3, 4, 6, 7]


def test_the_journal_says_whose_session_it_is_until_the_next_begins(host):
    host.write("/etc/passwd", PASSWD.format(101))
    now, name = int(time.time()), "postfix/submission/smtpd"

    def sent(pid, account, uid=101, seconds=-9):
        message = "1A2B: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username={0}".format(account)
        return entry(now + seconds, uid, name, message, pid)

    host.commands["journalctl"] = FakeJournal([
        sent(1, "Bad@x"), sent(2, "bad@x"), sent(11, "c@x"),
        entry(now - 8, 101, name, "connect from x[192.0.2.1]", 2),
        # Of www-data, to save the session of a blocked account; and of nobody knows whom.
        sent(1, "innocent@x", 33, -5), sent(3, "innocent@x", 33, -5), sent(4, "innocent@x", None, -5),
    ])  # fmt: skip
    found = [sessions.Session(pid, "submission/inet", "1", ("192.0.2.9", 587), ("192.0.2.1", 1)) for pid in range(1, 5)]
    assert sessions.owners(host, {"log_files": [], "log_journal": True}, found) == {1: "bad@x"}


@pytest.mark.parametrize("journal", [True, False])
def test_a_line_that_anybody_may_have_written_saves_no_session(host, journal):
    host.write("/etc/passwd", PASSWD.format(101))
    host.write("/var/log/mail.log", SENT.format(stamp(), 1, "192.0.2.1", "innocent@x"))
    host.commands["journalctl"] = FakeJournal([])
    found = [sessions.Session(1, "submission/inet", "1", ("192.0.2.9", 587), ("192.0.2.1", 1))]
    assert sessions.owners(host, {"log_files": [], "log_journal": journal}, found) == {}


def test_sessions_are_ended_when_somebody_is_newly_blocked_and_told_when_they_can_not_be(host, monkeypatch):
    monkeypatch.setattr(sessions, "PATIENCE", 0.0)
    process(host, 10, ["-n", "submission", "-t", "inet", "-u"], 1, 100)
    result = run(host, accounts=["a@x"])
    assert [line for line, _ in host.calls if line.startswith("ss -K")]
    assert result["sessions_ended"] == 0 and "10.0.0.10 port 4660" in result["findings"][0]
    host.commands["ss"] = lambda *_: host.write("/proc/net/tcp", HEADER) or ""
    host.calls.clear()
    result = run(host, accounts=["a@x", "b@x"])
    assert result["sessions_ended"] == 1 and result["findings"] == []
    host.calls.clear()
    # Who is lifted needs nobody to go.
    process(host, 11, ["-n", "submission", "-t", "inet", "-u"], 1, 101)
    run(host, accounts=["a@x"])
    assert not [line for line, _ in host.calls if line.startswith("ss")]


# --- master.cf ----------------------------------------------------------------------------------------------


def test_an_early_option_is_stronger_than_what_is_there_and_before_what_is_appended():
    text = "a inet n - y - - smtpd\n  -o x=1\n  -o y=2\nb inet n - y - -\n  smtpd\n  -o z=3\n"
    assert with_early_options(text, [["a/inet", "x=9"], ["b/inet", "w=1"]]) == (
        "a inet n - y - - smtpd\n  -o x=1\n  -o x=9\n  -o y=2\nb inet n - y - -\n  smtpd\n  -o z=3\n  -o w=1\n"
    )
    assert with_early_options("a inet n - y - - smtpd", [["a/inet", "x=9"]]) == "a inet n - y - - smtpd\n  -o x=9\n"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("smtpd\n  -ox=1\n", "smtpd\n  -ox=1\n  -o x=9\n"),
        ("smtpd\n  -o { x =\n  1, { a } }\n  -o y=2\n", "smtpd\n  -o { x =\n  1, { a } }\n  -o x=9\n  -o y=2\n"),
        ("smtpd\n  -vox=1\n", "smtpd\n  -vox=1\n  -o x=9\n"),
        ("smtpd -vo\n  y=1\n  -o z=2\n", "smtpd -vo\n  y=1\n  -o x=9\n  -o z=2\n"),
        ("smtpd\n  -o { x\n  = 1 }\n", "smtpd\n  -o { x\n  = 1 }\n  -o x=9\n"),
        ("smtpd -o {\n  # no }\n  y = 1 }\n  -o z=2\n", "smtpd -o {\n  # no }\n  y = 1 }\n  -o x=9\n  -o z=2\n"),
        ("smtpd -o\n  y=1\n  -o z=2\n", "smtpd -o\n  y=1\n  -o x=9\n  -o z=2\n"),
        ("smtpd\n  -o\n  x=1\n  -o z=2\n", "smtpd\n  -o\n  x=1\n  -o x=9\n  -o z=2\n"),
    ],
)
def test_an_early_option_holds_and_tears_nothing_however_options_are_written(text, after):
    head = "a inet n - y - - "
    assert with_early_options(head + text, [["a/inet", "x=9"]]) == head + after


WORDS = st.sampled_from(
    ["  -o x=1", "  -o x=2 -o y=1", "  # no", "# -o x=3", "  -o { x = 4 }", "  -o syslog_name=x="]
    + ["  -ox=5", "  -o { x =\n  6, { z }\n  }", "  -o\n  x=7", "  -o y=1 -o\n# -o x=8\n  z=1"]
)
ENTRY = st.tuples(st.sampled_from(["a", "b", "25"]), st.lists(WORDS, max_size=4))


@given(st.lists(ENTRY, min_size=1, max_size=4, unique_by=lambda entry: entry[0]), st.booleans())
def test_an_early_option_holds_and_comes_out_again(entries, newline):
    lines = []
    for name, words in entries:
        lines += [name + " inet n - y - - smtpd"] + words
    text = "\n".join(lines) + ("\n" if newline else "")
    options = [[name + "/inet", "x=ours"] for name, _words in entries]
    after = with_early_options(text, options)
    assert all(service.options["x"] == "ours" for service in parse_services(after))
    known = {"before": text, "after": after, "options": options}
    assert without_options(after, known) == text
    # Whatever others have changed since.
    known["after"] = ""
    assert without_options(after, known) == text


# --- beside POP-before-SMTP itself --------------------------------------------------------------------------


@pytest.mark.parametrize("meaning", [BOTH, EITHER])
@pytest.mark.parametrize("first", ["block", "pop"])
@pytest.mark.parametrize("leaves", ["block", "pop"])
def test_pop_before_smtp_itself_comes_and_goes_in_any_order(host, meaning, first, leaves):
    """It copies lists that end in a refusal of everybody else, and so must not find our words in them."""
    former = {}
    wanted = Wanted(meaning, 20, 128, ())
    master = MASTER + "\n"
    host.write(DIR + "/master.cf", master)

    def pop(present):
        changed = False
        for change in PopPart(host, [DIR], lambda: "dovecot").changes(wanted if present else None, former):
            for step in change.do:
                host.write(step.path, step.text)
                changed = True
        if not present:
            former.clear()
        return changed

    def block(present):
        return run(host, accounts=["a@x"] if present else [])["changed"]

    moves = [block, pop] if first == "block" else [pop, block]
    for move in moves:
        assert move(True)
    for move in moves + moves:
        assert not move(True), "one undoes what the other does"
    values = [value for name in ("smtps", "2525") for value in host.options(name).values()]
    assert sum(ACCOUNTS in value for value in values) == 2
    for move in [block, pop] if leaves == "block" else [pop, block]:
        assert move(False)
        if move is block:
            assert ACCOUNTS not in host.read(DIR + "/master.cf")
    assert host.read(DIR + "/master.cf") == master
