import itertools
import os
import time
import tracemalloc

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.logs import guard as guard_module
from harden_mail.logs import pop_cutoffs
from harden_mail.logs.cutoffs import as_utc, preview
from harden_mail.logs.events import Left, Login
from harden_mail.logs.guard import GUARD_ARGUMENTS, guard
from harden_mail.logs.logins import events
from harden_mail.logs.pop_cutoffs import LONGEST_SESSION, RENEWED_EVERY, Window
from harden_mail.logs.reader import Logs
from harden_mail.system import System
from hypothesis import given
from hypothesis import strategies as st

NOON = 1795521600  # 2026-11-24T12:00:00Z
DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "logs")


def sent(minute, account="bob", address="203.0.113.5", service="postfix/submission/smtpd"):
    return Login(None if minute is None else NOON + 60 * minute, "smtp", account, address, True, service)


def reads(minute, account="bob", address="203.0.113.5", session=None, kind="imap", accepted=True):
    return Login(NOON + 60 * minute, kind, account, address, accepted, "dovecot/imap-login", session)


def left(minute, session="s"):
    return Left(NOON + 60 * minute, session)


def named(found, **options):
    """{(account, address): (refused, proven, dual_stack)}"""
    window = Window(**dict({"minutes": 20}, **options))
    cutoffs = preview(window.unproven(iter(found), NOON), lambda login: True)
    window.explain(cutoffs)
    return {
        (cutoff["account"], cutoff["address"]): (cutoff["logins"], cutoff["proven"], cutoff["dual_stack"])
        for cutoff in cutoffs
    }


BOB = ("bob", "203.0.113.5")


def test_who_never_reads_mail_is_named():
    assert named([sent(0), sent(1)]) == {BOB: (2, 0, 0)}


def test_who_reads_before_sending_is_not():
    assert named([reads(0), sent(0), sent(19)]) == {}


@pytest.mark.parametrize("minute, refused", [(19.9, False), (20, True), (30, True)])
def test_the_window(minute, refused):
    assert bool(named([reads(0), sent(minute)])) is refused


def test_the_window_is_renewed_by_each_log_in():
    assert named([reads(0), reads(15), sent(30)]) == {}


def test_reading_afterwards_does_not_help():
    assert named([sent(0), reads(1), sent(2)]) == {BOB: (1, 1, 0)}


def test_a_failed_log_in_is_none():
    assert named([reads(0, accepted=False), sent(1)]) == {BOB: (1, 0, 0)}


def test_the_address_counts_not_the_account():
    assert named([reads(0, "alice"), sent(1)]) == {}
    assert named([reads(0, address="203.0.113.6"), sent(1)]) == {BOB: (1, 0, 0)}


def test_pop3_counts_too():
    assert named([reads(0, kind="pop3"), sent(1)]) == {}


def test_what_lies_before_the_period_only_lends_log_ins():
    assert named([sent(-20, "eve"), reads(-5, accepted=False), reads(-5), sent(-1, "eve"), sent(1)]) == {}


def test_a_log_in_that_names_no_account_counts():
    assert named([reads(0, account=None), sent(1)]) == {}
    assert named([sent(1, account=None)]) == {(None, "203.0.113.5"): (1, 0, 0)}


def test_a_line_without_a_time_is_of_that_before_it():
    assert named([reads(0), sent(None)]) == {}
    assert named([reads(0), sent(25, "eve", "192.0.2.9"), sent(None)]) == {
        ("eve", "192.0.2.9"): (1, 0, 0),
        BOB: (1, 0, 0),
    }


# --- IPv6 --------------------------------------------------------------------------------------------------


def test_ipv6_by_network_when_told():
    lines = [reads(0, address="2001:db8::1"), sent(1, address="2001:db8::2")]
    assert named(lines) == {("bob", "2001:db8::2"): (1, 0, 0)}
    assert named(lines, ipv6_prefix=64) == {}
    assert named([reads(0, address="2001:db8:0:1::1"), lines[1]], ipv6_prefix=64) == {("bob", "2001:db8::2"): (1, 0, 0)}
    assert named([reads(0), sent(1, address="203.0.113.6")], ipv6_prefix=64) == {("bob", "203.0.113.6"): (1, 0, 0)}


def test_who_reads_over_ipv6_and_sends_over_ipv4_is_marked():
    assert named([reads(0, "Bob", "2001:db8::1"), sent(1), sent(40)]) == {BOB: (2, 0, 1)}
    assert named([reads(0), sent(1, address="2001:db8::1")]) == {("bob", "2001:db8::1"): (1, 0, 1)}


def test_another_account_over_the_other_family_is_not():
    assert named([reads(0, "alice", "2001:db8::1"), sent(1)]) == {BOB: (1, 0, 0)}
    assert named([reads(0, None, "2001:db8::1"), sent(1, None)]) == {(None, "203.0.113.5"): (1, 0, 0)}


def test_another_address_of_the_same_family_is_not():
    assert named([reads(0, address="203.0.113.6"), sent(1)]) == {BOB: (1, 0, 0)}


# --- sessions ----------------------------------------------------------------------------------------------


def test_an_open_session_counts():
    assert named([reads(0, session="s"), sent(600)]) == {}
    assert named([reads(0, session="s"), sent(600)], sessions_renew=False) == {BOB: (1, 0, 0)}


def test_a_session_that_ended_counts_from_the_last_look():
    last = 600 - RENEWED_EVERY // 60 + 20
    assert named([reads(0, session="s"), left(600), sent(last - 1)]) == {}
    assert named([reads(0, session="s"), left(600), sent(last)]) == {BOB: (1, 0, 0)}


def test_an_end_takes_nothing_from_a_later_log_in():
    assert named([reads(0, session="s"), reads(599), left(600), sent(618)]) == {}


def test_a_short_session_counts_from_its_log_in():
    assert named([reads(0, session="s"), left(1), sent(19)]) == {}
    assert named([reads(0, session="s"), left(1), sent(20)]) == {BOB: (1, 0, 0)}


def test_another_session_goes_on():
    assert named([reads(0, session="s"), reads(1, session="t"), left(2), sent(600)]) == {}
    assert named([reads(0, session="s"), reads(1, session="t"), left(2), left(3, "t"), sent(600)]) == {BOB: (1, 0, 0)}


def test_sessions_end_when_dovecot_begins():
    assert named([reads(0, session="s"), reads(0, session="t"), left(100, None), sent(600)]) == {BOB: (1, 0, 0)}


def test_a_session_whose_end_is_nowhere_ends_after_a_day():
    day = LONGEST_SESSION // 60
    assert named([reads(0, session="s"), sent(day)]) == {}
    assert named([reads(0, session="s"), sent(day + 1)]) == {BOB: (1, 0, 0)}


def test_an_end_without_a_beginning_and_a_session_twice():
    assert named([left(0), reads(1, session="s"), reads(2, session="s"), left(3), left(4), sent(600)]) == {
        BOB: (1, 0, 0)
    }


def test_an_open_session_over_the_other_family():
    assert named([reads(0, address="2001:db8::1", session="s"), sent(600)]) == {BOB: (1, 0, 1)}


# --- a second look at it, without any bookkeeping ----------------------------------------------------------

ACCOUNTS = st.sampled_from(["bob", "eve"])
ADDRESSES = st.sampled_from(["203.0.113.5", "203.0.113.6", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"])
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 15), st.sampled_from(["smtp", "imap", "fails", "left", "restart"]), ACCOUNTS, ADDRESSES
    ).map(lambda one: (*one, "{2} {3}".format(*one))),
    max_size=30,
)


TOLD = {
    "smtp": lambda clock, account, address, session: sent(clock, account, address),
    "imap": reads,
    "fails": lambda clock, account, address, session: reads(clock, account, address, accepted=False),
    "left": lambda clock, account, address, session: left(clock, session),
    "restart": lambda clock, account, address, session: left(clock, None),
}


def judged_slowly(story, prefix):
    found, past, clock = {}, [], 0
    for delay, what, account, address, session in story:
        clock += 60 * delay
        if what == "smtp":
            ways = [_read_from(past, clock, same) for same in (_same_place(address, prefix), _other(account, address))]
            if not ways[0]:
                refused, dual = found.get((account, address), (0, 0))
                found[account, address] = (refused + 1, dual + ways[1])
        past.append((clock, what, account, address, session))
    return found


def _place(address, prefix):
    return ":".join(address.split("::")[0].split(":") + ["0", "0"])[:12] if ":" in address and prefix == 64 else address


def _same_place(address, prefix):
    return lambda account, other: _place(other, prefix) == _place(address, prefix)


def _other(account, address):
    return lambda other, there: other == account and (":" in there) != (":" in address)


def _read_from(past, now, is_meant):
    opened = {}
    seen = []
    for clock, what, account, address, session in past:
        if what == "imap" and is_meant(account, address):
            seen.append(clock)
            opened.setdefault(session, clock)
        if what in ("left", "restart"):
            for ended in [session] if what == "left" else list(opened):
                if ended in opened:
                    seen.append(max(opened.pop(ended), clock - RENEWED_EVERY))
    return bool(opened) or any(now - clock < 20 * 60 for clock in seen)


@given(EVENTS, st.sampled_from([64, 128]))
def test_any_story_is_judged_as_by_looking_back_each_time(story, prefix):
    clock, told = 0, []
    for delay, what, account, address, session in story:
        clock += delay
        told.append(TOLD[what](clock, account, address, session))
    found = {pair: (refused, dual) for pair, (refused, _, dual) in named(told, ipv6_prefix=prefix).items()}
    assert found == judged_slowly(story, prefix)


# --- much ---------------------------------------------------------------------------------------------------


def test_a_month_of_log_ins_fits(monkeypatch):
    monkeypatch.setattr(pop_cutoffs, "_REMEMBERED_LIMIT", 1000)
    window = Window(20)

    def story():
        for number in range(20000):
            address = "10.{0}.{1}.{2}".format(number >> 16, number >> 8 & 255, number & 255)
            yield reads(number / 600, "user{0}".format(number), address, session=str(number))
            yield sent(number / 600, "user{0}".format(number), address)

    list(itertools.islice(window.unproven(story(), NOON), 1000))  # what lru_cache and the interpreter take once
    tracemalloc.start()
    assert sum(1 for login in window.unproven(story(), NOON) if login.kind == "smtp") == 0
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6000000


def test_what_was_forgotten_counts_as_no_log_in(monkeypatch):
    monkeypatch.setattr(pop_cutoffs, "_REMEMBERED_LIMIT", 2)
    crowd = [reads(0, "user", "192.0.2.{0}".format(number), str(number)) for number in range(9)]
    assert named([reads(0, session="s"), *crowd, sent(1)]) == {BOB: (1, 0, 0)}


# --- lines ---------------------------------------------------------------------------------------------------


def read_events(name):
    logs = Logs(System(DATA), ["/" + name], False, 0)
    return list(events(logs.lines()))


@pytest.mark.parametrize(
    "name", ["debian12", "debian13", "debian12-dovecot", "debian13-dovecot", "debian13-journal", "debian12-courier"]
)
def test_recorded_sessions_end(name):
    found = read_events(name + ".log")
    begun = [event.session for event in found if isinstance(event, Login) and event.kind != "smtp" and event.accepted]
    assert begun and all(begun)
    assert [event.session for event in found if isinstance(event, Left) and event.session] == begun


@pytest.mark.parametrize("name", ["debian12", "debian13", "debian12-dovecot", "debian13-dovecot"])
def test_the_recorded_beginning_of_dovecot(name):
    assert Left(read_events(name + ".log")[0].time, None) in read_events(name + ".log")[:1]


def test_passing_over_other_lines_loses_nothing():
    for name in sorted(name for name in os.listdir(DATA) if name.endswith(".log")):
        logs = Logs(System(DATA), ["/" + name], False, 0, wanted=guard_module.WANTED + Window.wanted)
        assert list(events(logs.lines())) == read_events(name)


PIECES = st.sampled_from(
    "dovecot: |imap(bob)<7><abc>: |Info: |Disconnected|Logged out|master: Dovecot v2| starting up|imapd: |LOGOUT|"
    ", user=|DISCONNECTED, user=x|, ip=[192.0.2.1]|, port=[7]|LOGIN, user=bob|imap-login: Login: user=<|"
    ">, method=, rip=::1|, lip=|, session=<abc>|<|>|)".split("|")
)


@given(st.one_of(st.lists(PIECES, max_size=20).map("".join), st.text()))
def test_any_line_is_read_without_an_error(text):
    for event in events([(None, text)]):
        assert isinstance(event, (Login, Left))
        assert event.session is None or event.session.isprintable()


@pytest.mark.parametrize("attack", [", ip=[1.1.1.1], port=[1]", ", session=<a>", ")<1><a>", "Dovecot v1 ", "<", " "])
def test_a_long_line_is_read_in_no_time(attack):
    prefixes = ["imapd: LOGOUT, user=", "dovecot: imap(", "imap(", "dovecot: master: Dovecot v", "imapd: LOGIN, user="]
    start = time.process_time()
    for prefix in prefixes:
        list(events([(5, prefix + attack * (60000 // len(attack)) + "\x00")]))
    assert time.process_time() - start < 2


# --- the guard ------------------------------------------------------------------------------------------------


def params(**given_options):
    found = {name: option["default"] for name, option in GUARD_ARGUMENTS.items()}
    return dict(found, log_journal=False, **given_options)


def host(tmp_path, monkeypatch, *lines):
    """A host whose log has these (minutes before noon, text)."""
    monkeypatch.setattr(guard_module.time, "time", lambda: NOON)
    path = tmp_path / "var" / "log" / "mail.log"
    path.parent.mkdir(parents=True)
    first = [(20 * 1440, "postfix/smtpd[1]: connect from x[192.0.2.1]")]
    path.write_text("".join("{0} vps {1}\n".format(as_utc(NOON - 60 * ago), text) for ago, text in first + list(lines)))
    os.utime(str(path), (NOON, NOON))
    return FakeSystem(tmp_path)


SMTP = "postfix/submission/smtpd[7]: A1: client=x[{0}], sasl_method=PLAIN, sasl_username=bob"
POP = "dovecot: pop3-login: Login: user=<bob>, method=PLAIN, rip={0}, lip=192.0.2.9, mpid=7, session=<abc>"
IPV4, IPV6 = "203.0.113.5", "2001:db8::1"


def ask(system, window=None, is_refused=lambda login: True, **options):
    return guard(system, params(**options), is_refused, "Asking for a POP or IMAP log-in", window or Window(20))


def test_guard_fails_on_who_does_not_read(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch, (90, POP.format(IPV4)), (89, "dovecot: pop3(bob)<7><abc>: Disconnected: x"),
                  (80, SMTP.format(IPV4)), (10, SMTP.format(IPV4).replace("[7]", "[8]")))  # fmt: skip
    with pytest.raises(UserError) as caught:
        ask(system)
    assert str(caught.value) == (
        "Asking for a POP or IMAP log-in would cut off 1 account and address: bob from 203.0.113.5 (once, last at "
        "2026-11-24T11:50:00Z). Have them read mail from where they send, or exempt the network they send from, or "
        "name in accepted_cutoffs those who are meant to be refused (an account, an address, a network, or 'ACCOUNT "
        "from ADDRESS'); on_cutoff: warn goes ahead."
    )
    assert caught.value.result["cutoffs"] == [
        {
            "account": "bob",
            "address": "203.0.113.5",
            "logins": 1,
            "first": "2026-11-24T11:50:00Z",
            "last": "2026-11-24T11:50:00Z",
            "failures": 0,
            "account_failures": 0,
            "likely_attacker": False,
            "accepted": False,
            "in_journal": False,
            "uid": None,
            "proven": 1,
            "dual_stack": 0,
        }
    ]
    assert caught.value.result["warnings"] == []


def test_guard_passes_who_reads(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch, (90, POP.format(IPV4)), (80, SMTP.format(IPV4)))
    assert ask(system)["cutoffs_total"] == 0


def test_guard_reads_the_window_before_the_period(tmp_path, monkeypatch):
    days = 14 * 1440
    pop = (days + 10, POP.format(IPV4))
    system = host(tmp_path, monkeypatch, pop, (days + 5, SMTP.format(IPV6)), (days - 5, SMTP.format(IPV4)))
    found = ask(system)
    assert (found["cutoffs_total"], found["covered_since"]) == (0, "2026-11-10T12:00:00Z")


def test_guard_says_what_dual_stack_is(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch, (90, POP.format(IPV6)), (80, SMTP.format(IPV4)))
    note = pop_cutoffs._DUAL_STACK.format(1, "bob", IPV4, "")
    assert ask(system, on_cutoff="warn")["warnings"] == [
        note,
        "Asking for a POP or IMAP log-in would cut off 1 account and address: bob from 203.0.113.5 (once, last at "
        "2026-11-24T10:40:00Z).",
    ]
    with pytest.raises(UserError) as caught:
        ask(system)
    assert note in str(caught.value)


def test_guard_says_that_no_log_in_was_logged(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch, (80, SMTP.format(IPV4)))
    assert pop_cutoffs._NO_LOGIN in ask(system, on_cutoff="warn")["warnings"]
    assert ask(host(tmp_path / "silent", monkeypatch))["warnings"] == []


def test_guard_leaves_out_whom_it_does_not_concern(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch, (80, SMTP.format(IPV4)))
    assert ask(system, is_refused=lambda login: login.address != IPV4)["cutoffs"] == []


def test_guard_counts_an_open_session(tmp_path, monkeypatch):
    system = host(tmp_path, monkeypatch, (600, POP.format(IPV4).replace("pop3", "imap")), (80, SMTP.format(IPV4)))
    assert ask(system)["cutoffs"] == []
    assert ask(system, Window(20, sessions_renew=False), on_cutoff="warn")["cutoffs_total"] == 1
