"""Who may not send, beside others that change the same services: they come and go in any order."""

import pytest
from block_host import DIR, MASTER, Host, run
from harden_mail.block.postfix import ACCOUNTS
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Wanted
from harden_mail.pop.postfix import PostfixPart as PopPart
from harden_mail.postfix.master_cf import parse_services, with_early_options, with_option, without_options
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


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
