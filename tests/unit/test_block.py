"""Who may not send: whose list is whose, what is written into master.cf and the tables, and that it comes out again."""

import re

import killing
import pytest
from block_host import DIR, MASTER, SENT, Host, run, stamp
from fake_system import FakeSystem
from harden_mail.block.lists import Naming, as_blocked, fold, union
from harden_mail.block.postfix import ACCOUNTS, ADDRESSES, REALMS
from harden_mail.errors import NotApplicable, UserError
from harden_mail.paths import BLOCK_NOTEBOOK
from harden_mail.system import Completed
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


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
