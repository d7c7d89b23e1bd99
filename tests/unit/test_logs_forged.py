"""Lines that the mail server did not write: who is believed, who is named, who is forgotten."""

import os

import pytest
from fake_journal import PASSWD, FakeJournal, entry, recorded
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.logs import cutoffs as cutoffs_module
from harden_mail.logs import files as files_module
from harden_mail.logs import forged as forged_module
from harden_mail.logs import guard as guard_module
from harden_mail.logs import journal as journal_module
from harden_mail.logs import reader as reader_module
from harden_mail.logs.cutoffs import Accepted, as_utc
from harden_mail.logs.guard import GUARD_ARGUMENTS, guard
from harden_mail.logs.journal import family_of
from harden_mail.logs.pop_cutoffs import Window
from harden_mail.logs.reader import NEAR_SECONDS, Logs

NOON = 1795521600  # 2026-11-24T12:00:00Z
POSTFIX = 101
SENT = "{0}: client=unknown[{1}], sasl_method=PLAIN, sasl_username={2}"
FAILED = "warning: unknown[{0}]: SASL LOGIN authentication failed: Invalid authentication mechanism"
SUBMISSION = "postfix/submission/smtpd"

HANAKO = entry(NOON - 3600, POSTFIX, SUBMISSION, SENT.format("A1", "198.51.100.20", "hanako@example.com"), pid=878)


def forged(number, uid=33, program=SUBMISSION):
    """As forge.sh of the review has www-data's logger write it."""
    name = "!{0}@example.com".format(number)
    return entry(
        NOON - 1800, uid, program, SENT.format("4ABC", "203.0.113.{0}".format(number), name), pid=9000 + number
    )


FLOOD = [forged(number) for number in range(10, 71)]


def as_line(one, host="vps"):
    """The same in rsyslog's file."""
    return "{0} {1} {2}[{3}]: {4}\n".format(
        as_utc(int(one["__REALTIME_TIMESTAMP"]) // 1000000),
        host,
        one["SYSLOG_IDENTIFIER"],
        one["SYSLOG_PID"],
        one["MESSAGE"],
    )


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(guard_module.time, "time", lambda: NOON)

    def made(journal=None, lines=(), main_cf=""):
        for path, text in (
            ("etc/passwd", PASSWD.format(POSTFIX)),
            ("etc/postfix/main.cf", main_cf),
            ("var/log/mail.log", "".join(lines)),
        ):
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if text or path == "etc/passwd":
                target.write_text(text)
                os.utime(str(target), (NOON, NOON))
        return FakeSystem(tmp_path, {} if journal is None else {"journalctl": FakeJournal(journal)})

    return made


def ask(system, window=None, **options):
    found = {name: option["default"] for name, option in GUARD_ARGUMENTS.items()}
    return guard(system, dict(found, **options), lambda login: True, "Closing 587", window)


def names(cutoffs):
    return [cutoff["account"] for cutoff in cutoffs]


# --- the journal says who wrote a line ------------------------------------------------------------------------


def test_a_flood_of_forged_log_ins_stops_nothing_and_the_true_user_is_named(host):
    with pytest.raises(UserError) as caught:
        ask(host([HANAKO] + FLOOD, map(as_line, [HANAKO] + FLOOD)))
    result = caught.value.result
    assert str(caught.value).startswith("Closing 587 would cut off 1 account and address: hanako@example.com from")
    assert names(result["cutoffs"]) == ["hanako@example.com"] and result["cutoffs_total"] == 1
    assert result["cutoffs"][0]["in_journal"] and result["cutoffs"][0]["logins"] == 1
    assert result["forged_total"] == 61 and len(result["forged"]) == 50
    assert {one["uid"] for one in result["forged"]} == {33}
    assert result["findings"] == [
        "61 log lines of log-ins were forged and counted for nothing: uid 33 (www-data) wrote them into the journal as "
        "if the mail server had, for example of !10@example.com from 203.0.113.10; !11@example.com from 203.0.113.11; "
        "!12@example.com from 203.0.113.12; and 58 more. Find out what runs there as that user."
    ]
    assert result["findings"][0] in str(caught.value)


def test_lines_of_thousands_of_users_change_nothing_else_and_make_no_command_dear(host):
    """Of a range of ids that a user has for containers: journalctl takes minutes for so many matches."""
    many = [entry(NOON - 3600, 100000 + number, "x", "SASL LOGIN") for number in range(5000)]
    system = host([HANAKO] + FLOOD + many, map(as_line, [HANAKO] + FLOOD))
    with pytest.raises(UserError) as caught:
        ask(system)
    result = caught.value.result
    assert names(result["cutoffs"]) == ["hanako@example.com"] and result["cutoffs"][0]["logins"] == 1
    assert result["cutoffs"][0]["in_journal"] and result["forged_total"] == 61
    assert max(len(line.split()) for line, _stdin in system.calls) < 300


@pytest.mark.parametrize(
    "more",
    [
        {"_UID": "999"},  # of no user of this host
        {"_UID": "33", "_SYSTEMD_CGROUP": "/system.slice/docker-3f2a.scope"},
        {"_UID": "33", "_SYSTEMD_CGROUP": "/machine.slice/libpod-3f2a.scope"},
    ],
)
def test_a_mail_server_in_a_container_is_not_called_forged(host, more):
    bystander = entry(NOON - 3600, POSTFIX, "postfix/smtpd", "disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1")
    inside = dict(FLOOD[0], **more)
    with pytest.raises(UserError) as caught:
        ask(host([bystander, inside], [as_line(inside)]))
    assert names(caught.value.result["cutoffs"]) == ["!10@example.com"]
    assert caught.value.result["forged_total"] == 0


def test_an_entry_whose_words_are_bytes_is_read_too(host):
    bystander = entry(NOON - 3600, POSTFIX, SUBMISSION, "disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1")
    unsigned = {name: value for name, value in FLOOD[0].items() if name != "_UID"}
    unsigned["MESSAGE"] = list(unsigned["MESSAGE"].encode())
    with pytest.raises(UserError) as caught:
        ask(host([bystander, unsigned], [as_line(FLOOD[0])]))
    assert names(caught.value.result["cutoffs"]) == ["!10@example.com"]


@pytest.mark.parametrize(
    "path, text",
    [
        ("etc/rsyslog.d/more.conf", "$AddUnixListenSocket /mnt/nvme/postfix/dev/log\n"),
        ("etc/rsyslog.d/more.conf", 'input(type="imuxsock" Socket="/mnt/nvme/postfix/dev/log")\n'),
        ("mnt/nvme/postfix/dev/log", ""),
    ],
)
def test_a_socket_elsewhere_leads_past_the_journal_too(host, tmp_path, path, text):
    process = str(FLOOD[0]["SYSLOG_PID"])
    bystander = entry(NOON - 3600, POSTFIX, SUBMISSION, "disconnect from x[192.0.2.1] ehlo=1 auth=0/1", process)
    system = host([bystander], [as_line(FLOOD[0])], main_cf="queue_directory = /mnt/nvme/postfix\n")
    assert ask(system)["forged_total"] == 1
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    with pytest.raises(UserError) as caught:
        ask(system)
    assert names(caught.value.result["cutoffs"]) == ["!10@example.com"]


def test_a_central_log_has_lines_of_another_host_of_the_same_first_name(host):
    bystander = entry(NOON - 3600, POSTFIX, SUBMISSION, "disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1")
    line = as_line(FLOOD[0])
    assert ask(host([bystander], [line]))["forged_total"] == 1
    with pytest.raises(UserError):
        ask(host([bystander], [line.replace(" vps ", " vps.other.example ", 1)]))


def test_forged_log_ins_alone_stop_nothing(host):
    bystander = entry(NOON - 3600, POSTFIX, "postfix/smtpd", "disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1")
    result = ask(host([bystander] + FLOOD))
    assert result["cutoffs"] == [] and result["forged_total"] == 61 and len(result["findings"]) == 1


def test_forged_failures_make_nobody_an_attacker(host):
    failures = [entry(NOON - 4000, 33, SUBMISSION, FAILED.format("198.51.100.20"))] * 12
    early = entry(NOON - 5000, POSTFIX, "postfix/smtpd", "disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1")
    result = ask(host([early, HANAKO] + failures), on_cutoff="warn")
    assert not result["cutoffs"][0]["likely_attacker"] and result["cutoffs"][0]["failures"] == 0
    assert result["findings"][0].startswith("12 log lines of log-ins were forged") and result["forged_total"] == 0


def test_what_a_users_forward_file_starts_is_no_mail_server(host):
    """Its unit is Postfix's, as recorded on a host; its user id is not."""
    (said,) = [one for one in recorded("debian12-courier-journal.json") if one["MESSAGE"].startswith("FWD1: ")]
    assert said["_SYSTEMD_UNIT"].startswith("postfix@") and said["_UID"] == "1001"
    said = dict(said, __REALTIME_TIMESTAMP=str((NOON - 60) * 1000000))
    result = ask(host([HANAKO, said]), on_cutoff="warn")
    assert names(result["cutoffs"]) == ["hanako@example.com"] and names(result["forged"]) == ["fwd@example.com"]


def test_a_line_feed_in_what_somebody_writes_begins_no_line(host):
    """The journal's own protocol lets a program's name and message have any bytes."""
    true = "x\n2026-11-24T11:59:00+0000 vps postfix/smtpd[1]: " + SENT.format("A", "203.0.113.9", "!nl@example.com")
    result = ask(host([HANAKO, entry(NOON - 60, 33, true, "y"), entry(NOON - 60, 33, "z", true)]), on_cutoff="warn")
    assert names(result["cutoffs"]) == ["hanako@example.com"]


@pytest.mark.parametrize("release, owner", [("debian12", 101), ("debian13", 100)])
def test_a_recorded_host(host, release, owner):
    entries = recorded(release + "-journal.json")
    shift = NOON - 3600 - int(entries[0]["__REALTIME_TIMESTAMP"]) // 1000000
    for one in entries:
        one["__REALTIME_TIMESTAMP"] = str(int(one["__REALTIME_TIMESTAMP"]) + shift * 1000000)
    system = host(entries)
    with open(system.real("/etc/passwd"), "w") as handle:
        handle.write(PASSWD.format(owner))
    result = ask(system, on_cutoff="warn")
    assert {(one["account"], one["address"], one["in_journal"]) for one in result["cutoffs"]} == {
        (account, address, True)
        for account, addresses in (
            ("hanako@example.com", ("198.51.100.20", "2001:db8:1::20")),
            ("info@example.com", ("198.51.100.66", "2001:db8:1::66")),
        )
        for address in addresses
    }
    assert {(one["account"], one["address"], one["uid"]) for one in result["forged"]} == {
        ("!1@example.com", "203.0.113.10", 33),
        ("!1@example.com", "203.0.113.12", 33),
    }


def test_courier_writes_as_root():
    written = [
        one for one in recorded("debian12-courier-journal.json") if family_of(one["SYSLOG_IDENTIFIER"]) == "courier"
    ]
    assert {one["_UID"] for one in written} == {"0"} and len(written) > 5


def test_whom_postfix_runs_as_is_asked_of_its_configuration(host):
    one = dict(HANAKO, _UID="4711")
    system = host([one], main_cf="mail_owner = mailer\n")
    with open(system.real("/etc/passwd"), "a") as handle:
        handle.write("mailer:x:4711:4711::/:/bin/sh\n")
    assert ask(system, on_cutoff="warn")["cutoffs"][0]["in_journal"]


def test_a_forged_line_of_a_true_process_hides_no_true_log_in(host):
    early = dict(HANAKO, MESSAGE="disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1")
    early["__REALTIME_TIMESTAMP"] = str((NOON - 4000) * 1000000)
    lie = dict(HANAKO, _UID="33", __REALTIME_TIMESTAMP=str((NOON - 3700) * 1000000))
    assert names(ask(host([early, lie, HANAKO]), on_cutoff="warn")["cutoffs"]) == ["hanako@example.com"]


def test_what_a_user_wrote_before_it_was_true_is_true_and_not_accepted_as_that_users(host):
    lie = dict(HANAKO, _UID="33", SYSLOG_PID="5", __REALTIME_TIMESTAMP=str((NOON - 9000) * 1000000))
    with pytest.raises(UserError) as caught:
        ask(host([lie, HANAKO]), accepted_cutoffs=["uid 33"])
    (cutoff,) = caught.value.result["cutoffs"]
    assert cutoff["in_journal"] and cutoff["uid"] is None
    other = dict(lie, _UID="34", SYSLOG_PID="6")
    for entries, uid in (([lie, lie], 33), ([lie, other], None), ([other, lie], None), ([lie, other, lie], None)):
        assert [one["uid"] for one in ask(host(entries), on_cutoff="warn")["cutoffs"]] == [uid]


def test_only_what_is_forged_in_the_days_that_are_looked_at_is_told(host):
    begin = NOON - 14 * 86400
    early = entry(begin - 590, POSTFIX, "postfix/smtpd", "disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1")
    times = [str((begin + after) * 1000000) for after in (-300, 300)]
    lies = [dict(one, __REALTIME_TIMESTAMP=stamp) for one, stamp in zip(FLOOD, times)]
    found = ask(host([early] + lies), Window(10), on_cutoff="warn")
    assert names(found["forged"]) == ["!11@example.com"] and found["findings"][0].startswith(
        "1 log line of log-ins was"
    )


# --- where nobody knows, it stops as ever -----------------------------------------------------------------------


def test_where_the_journal_has_no_lines_of_the_program_nothing_is_forged(host):
    result = ask(host(FLOOD[:5]), on_cutoff="warn")
    assert result["forged_total"] == 0 and result["findings"] == []
    assert [(one["in_journal"], one["uid"]) for one in result["cutoffs"]] == [(False, 33)] * 5
    assert result["cutoff_groups"] == [
        {"accept": "uid 33", "accounts": 5, "addresses": 5, "logins": 5, "in_journal": False, "uid": 33}
    ]
    assert "(once, last at 2026-11-24T11:30:00Z, as only user id 33 wrote)" in result["warnings"][-1]
    assert "'uid 33' (5 accounts, 5 addresses)" in result["warnings"][-1]
    assert ask(host(FLOOD[:5]), accepted_cutoffs=["uid 33"])["cutoffs_total"] == 5


def test_lines_long_after_the_programs_last_are_not_known(host):
    early = dict(HANAKO, __REALTIME_TIMESTAMP=str((NOON - 1800 - NEAR_SECONDS) * 1000000))
    assert ask(host([early] + FLOOD[:1]), on_cutoff="warn")["forged_total"] == 0


def test_of_programs_whose_writer_is_not_known_nothing_is_forged(host):
    """vpopmail: no host of it was seen, so nobody knows as whom its lines come."""
    said = "vchkpw-submission: (PLAIN) login success bob@example.com:203.0.113.9"
    system = host([entry(NOON - 60, 0, "vpopmail", said), entry(NOON - 50, 89, "vpopmail", said)])
    os.makedirs(system.real("/home/vpopmail"))
    result = ask(system, on_cutoff="warn")
    assert result["forged_total"] == 0 and result["cutoffs"][0]["logins"] == 2


@pytest.mark.parametrize(
    "program, said",
    [
        ("vpopmail", "vchkpw-submission: (PLAIN) login success bob@example.com:203.0.113.9"),
        ("smtp_auth", "SMTP user bob@example.com : /var/qmail/mailnames/x logged in from unknown@ [203.0.113.9]"),
    ],
)
def test_lines_of_programs_that_are_not_there_are_forged(host, program, said):
    result = ask(host([entry(NOON - 60, 33, program, said)]))
    assert result["cutoffs"] == [] and [one["uid"] for one in result["forged"]] == [33]


def test_when_journald_left_lines_out_a_file_s_are_not_forged(host):
    """The text is journald's own, as seen on Debian 13."""
    bob = entry(NOON - 100, POSTFIX, SUBMISSION, SENT.format("A2", "198.51.100.21", "bob@example.com"))
    text = "Suppressed 120 messages from {0}"
    lost = {"MESSAGE_ID": "a596d6fe7bfa4994828e72309e95d61e", "SYSLOG_FACILITY": "3"}
    for unit, expected in (("postfix@-.service", 2), ("apache2.service", 1)):
        suppressed = entry(NOON - 60, 0, "systemd-journald", text.format(unit), **lost)
        assert ask(host([HANAKO, suppressed], [as_line(bob)]), on_cutoff="warn")["cutoffs_total"] == expected
    suppressed = entry(NOON - 1800, 0, "systemd-journald", text.format("postfix.service"), **lost)
    assert ask(host([HANAKO, suppressed], [as_line(bob)]), on_cutoff="warn")["cutoffs_total"] == 1


def test_a_line_whose_writer_the_journal_does_not_know_is_not_forged(host):
    """It stands in the file, and is taken for what it may be there."""
    unknown = entry(NOON - 60, None, SUBMISSION, SENT.format("A2", "198.51.100.21", "bob@example.com"))
    lines = [as_line(unknown)]
    result = ask(host([unknown], lines), on_cutoff="warn")
    assert names(result["cutoffs"]) == ["bob@example.com"] and result["forged_total"] == 0
    result = ask(host([HANAKO, unknown], lines), on_cutoff="warn")
    assert names(result["cutoffs"]) == ["hanako@example.com", "bob@example.com"] and result["forged_total"] == 0


# --- files ------------------------------------------------------------------------------------------------------


def test_a_line_in_a_file_alone_is_forged_where_the_journal_has_the_programs_own(host):
    result = ask(host([HANAKO], map(as_line, [HANAKO] + FLOOD)), on_cutoff="warn")
    assert names(result["cutoffs"]) == ["hanako@example.com"]
    assert result["forged_total"] == 61 and {one["uid"] for one in result["forged"]} == {None}
    assert result["findings"][0].startswith("Log-ins of 61 accounts and addresses stand in a log file alone, while ")


def test_a_file_s_copy_of_a_true_log_in_is_not_counted_again(host):
    again = "Nov 24 10:59:59 vps {0}[878]: message repeated 2 times: [ {1}]\n".format(SUBMISSION, HANAKO["MESSAGE"])
    result = ask(host([HANAKO], [as_line(HANAKO), again]), on_cutoff="warn")
    assert result["cutoffs"][0]["logins"] == 1 and result["forged_total"] == 0


@pytest.mark.parametrize("program, pid", (("x", 9), ("mx2/smtpd", 77)))
def test_who_repeats_what_a_server_wrote_to_a_file_alone_does_not_hide_it(host, program, pid):
    said = "disconnect from unknown[203.0.113.77] ehlo=1 auth=1 mail=0 quit=1 commands=3"
    own, true = entry(NOON - 4000, POSTFIX, "postfix/smtpd", "SASL"), entry(NOON - 1800, 0, "mx2/smtpd", said, pid=77)
    copied = entry(NOON - 1799, 33, program, said, pid=pid)
    with pytest.raises(UserError) as caught:
        ask(host([own, copied], [as_line(true), as_line(copied)]))
    (cutoff,) = caught.value.result["cutoffs"]
    assert cutoff["address"] == "203.0.113.77" and not cutoff["in_journal"]


def test_long_lines_of_others_are_not_kept():
    judge = reader_module._Judge(False, set(), [])
    for number in range(2000):
        judge.of(reader_module._OTHERS, NOON, "x[1]: SASL {0} {1}".format(number, "A" * 60000), 33)
    kept = [key for value in vars(judge).values() if isinstance(value, dict) for key in value]
    assert sum(map(len, map(str, kept))) < 100000
    assert judge.of(reader_module._FILE, NOON, "x[1]: SASL 5 " + "A" * 60000, b"vps") is None


def test_what_chrooted_postfix_may_have_written_past_the_journal_is_not_forged(host):
    one = entry(NOON - 60, 33, SUBMISSION, SENT.format("A9", "198.51.100.21", "bob@example.com"), pid=878)
    other = entry(NOON - 60, 33, SUBMISSION, SENT.format("A9", "198.51.100.22", "eve@example.com"), pid=879)
    system = host([HANAKO], map(as_line, [HANAKO, one, other]))
    socket = system.real("/var/spool/postfix/dev/log")
    os.makedirs(os.path.dirname(socket))
    assert ask(system, on_cutoff="warn")["cutoffs_total"] == 1
    with open(socket, "w"):
        pass
    result = ask(system, on_cutoff="warn")
    assert names(result["cutoffs"]) == ["hanako@example.com", "bob@example.com"]
    assert names(result["forged"]) == ["eve@example.com"]


def test_what_was_before_the_journal_stops_as_ever(host):
    early = entry(NOON - 7200, POSTFIX, SUBMISSION, SENT.format("A0", "198.51.100.21", "bob@example.com"))
    result = ask(host([HANAKO], map(as_line, [early, HANAKO])), on_cutoff="warn")
    assert [(one["account"], one["in_journal"]) for one in result["cutoffs"]] == [
        ("hanako@example.com", True),
        ("bob@example.com", False),
    ]


def test_another_hosts_lines_in_a_common_file_are_not_forged(host):
    one = entry(NOON - 60, POSTFIX, SUBMISSION, SENT.format("A2", "198.51.100.21", "bob@example.com"))
    result = ask(host([HANAKO], [as_line(one, host="other")]), on_cutoff="warn")
    assert result["cutoffs_total"] == 2 and result["forged_total"] == 0


def test_an_instance_that_writes_to_a_file_of_its_own_is_not_forged(host):
    one = entry(NOON - 60, POSTFIX, "postfix-out/smtpd", SENT.format("A2", "198.51.100.21", "bob@example.com"))
    assert ask(host([HANAKO], [as_line(one)]), on_cutoff="warn")["cutoffs_total"] == 2


def test_dovecots_own_file_is_not_forged(host):
    """It names no host, and the journal may have lines of Dovecot's that are no log-ins."""
    begun = entry(NOON - 90, 0, "dovecot", "imap-login: Error: x -login: ")
    said = "Login: user=<bob@example.com>, method=PLAIN, rip=198.51.100.21, lip=192.0.2.1"
    line = "Nov 24 11:59:00 submission-login: Info: {0}\n".format(said)
    result = ask(host([begun], [line]), on_cutoff="warn")
    assert names(result["cutoffs"]) == ["bob@example.com"]
    result = ask(host([begun], [line.replace(" sub", " vps sub")]), on_cutoff="warn")
    assert names(result["forged"]) == ["bob@example.com"]


def test_when_not_all_of_the_journal_was_looked_at_nothing_in_a_file_alone_is_forged(host, monkeypatch):
    monkeypatch.setattr(journal_module, "_OTHERS_LIMIT", 0)
    later = dict(HANAKO, __REALTIME_TIMESTAMP=str((NOON - 1795) * 1000000))
    result = ask(host([HANAKO, later], map(as_line, [HANAKO] + FLOOD[:3])), on_cutoff="warn")
    assert result["cutoffs_total"] == 4 and result["forged_total"] == 0


def test_forged_lines_prove_no_log_in_to_read_mail(host):
    read = (
        "imap-login: Login: user=<hanako@example.com>, method=PLAIN, rip=198.51.100.20, lip=192.0.2.1, session=<AAAA>"
    )
    begun = entry(NOON - 9000, 0, "dovecot", "imap-login: Disconnected: x (auth failed, 1 attempts in 2 secs): "
                  "user=<x>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1")  # fmt: skip
    early = dict(HANAKO, MESSAGE="disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1", SYSLOG_PID="5")
    lie = entry(NOON - 3660, 33, "dovecot", read)
    alone = as_line(entry(NOON - 3650, 33, "dovecot", read.replace("AAAA", "BBBB")))
    system = host([begun, early, lie, HANAKO], [alone])
    assert names(ask(system, Window(30), on_cutoff="warn")["cutoffs"]) == ["hanako@example.com"]
    courier = "LOGIN, user=hanako@example.com, ip=[198.51.100.20], port=[4], protocol=IMAP"
    system = host([begun, early, entry(NOON - 3650, 33, "imapd", courier), HANAKO])
    assert names(ask(system, Window(30), on_cutoff="warn")["cutoffs"]) == ["hanako@example.com"]
    true = dict(lie, _UID="0")
    assert ask(host([begun, early, true, HANAKO]), Window(30), on_cutoff="warn")["cutoffs"] == []


@pytest.mark.parametrize(
    "program, said",
    (
        ("pop3d", "LOGIN{0}, user=hanako@example.com, ip=[198.51.100.20], port=[4444]"),
        ("vpopmail", "vchkpw-pop3: {1} hanako@example.com:198.51.100.20"),
    ),
)
def test_lines_past_the_journal_of_a_program_that_is_not_in_it_save_and_accuse_nobody(host, program, said):
    own = dict(HANAKO, MESSAGE="disconnect from x[192.0.2.1] ehlo=1 auth=0/1 quit=1", SYSLOG_PID="5")
    own["__REALTIME_TIMESTAMP"] = str((NOON - 9000) * 1000000)
    read = as_line(entry(NOON - 3650, 33, program, said.format("", "(PLAIN) login success")))
    failed = as_line(entry(NOON - 3650, 33, program, said.format(" FAILED", "password fail")))
    result = ask(host([own, HANAKO], [read] + [failed] * 12), Window(30), on_cutoff="warn")
    assert names(result["cutoffs"]) == ["hanako@example.com"]
    assert result["cutoffs"][0]["failures"] == 0 and not result["cutoffs"][0]["likely_attacker"]
    # Of a time of which the journal knows nothing, the file is all there is.
    assert ask(host([HANAKO], [read]), Window(30), on_cutoff="warn")["cutoffs"] == []


def test_of_a_forged_restart_of_dovecot_no_session_ends(host):
    read = (
        "imap-login: Login: user=<hanako@example.com>, method=PLAIN, rip=198.51.100.20, lip=192.0.2.1, session=<AAAA>"
    )
    begins = "master: Dovecot v2.3.19.1 (9b53102964) starting up for imap, pop3"
    entries = [entry(NOON - 9000, 0, "dovecot", read), HANAKO, entry(NOON - 8900, 33, "dovecot", begins)]
    assert ask(host(entries), Window(10), on_cutoff="warn")["cutoffs"] == []
    entries[-1]["_UID"] = "0"
    assert names(ask(host(entries), Window(10), on_cutoff="warn")["cutoffs"]) == ["hanako@example.com"]


# --- nobody is dropped silently ---------------------------------------------------------------------------------


def test_without_a_journal_a_flood_from_one_network_hides_nobody(host):
    lines = list(map(as_line, FLOOD + [dict(HANAKO, __REALTIME_TIMESTAMP=FLOOD[0]["__REALTIME_TIMESTAMP"])]))
    with pytest.raises(UserError) as caught:
        ask(host(None, lines))
    said, result = str(caught.value), caught.value.result
    assert "62 accounts and addresses: !10@example.com from 203.0.113.10" in said
    assert "; hanako@example.com from 198.51.100.20 (once" in said and "; and 57 more" in said
    assert "'203.0.113.0/24' (61 accounts, 61 addresses); 'hanako@example.com' (1 account, 1 address)." in said
    assert "lists the first 50 of 62; cutoffs_listed: 62 lists all." in said
    assert result["cutoff_groups_total"] == 2
    assert [group["accept"] for group in result["cutoff_groups"]] == ["203.0.113.0/24", "hanako@example.com"]
    result = ask(host(None, lines), on_cutoff="warn", cutoffs_listed=62)
    assert len(result["cutoffs"]) == 62 and "cutoffs_listed" not in " ".join(result["warnings"])
    accepted = ["203.0.113.0/24", "hanako@example.com"]
    assert all(cutoff["accepted"] for cutoff in ask(host(None, lines), accepted_cutoffs=accepted)["cutoffs"])


def test_who_was_there_days_before_a_flood_comes_before_it(host):
    early = [entry(NOON - 5 * 86400, 1, SUBMISSION, SENT.format("A", "203.0.113.{0}".format(n), "z{0}".format(n)))
             for n in range(200, 203)]  # fmt: skip
    result = ask(host(None, map(as_line, early + FLOOD)), on_cutoff="warn")
    assert names(result["cutoffs"])[:4] == ["z200", "z201", "z202", "!10@example.com"]


def test_accounts_that_accepted_cutoffs_can_not_name_are_grouped_by_address(host):
    odd = entry(NOON - 60, 1, SUBMISSION, SENT.format("A", "203.0.113.9", "a b"))
    (group,) = ask(host(None, [as_line(odd)]), on_cutoff="warn")["cutoff_groups"]
    assert group["accept"] == "203.0.113.9"
    assert ask(host(None, [as_line(odd)]), accepted_cutoffs=[group["accept"]])["cutoffs"][0]["accepted"]


def test_a_user_of_the_host_is_accepted_only_where_nobody_else_wrote_of_it():
    assert Accepted([" uid 33 "]).covers("bob", "192.0.2.1", 33)
    assert not Accepted(["uid 33"]).covers("bob", "192.0.2.1", 34)
    assert not Accepted(["uid 33"]).covers("bob", "192.0.2.1")


@pytest.mark.parametrize("wrong", [0, -1, 10001])
def test_how_many_are_listed_is_bounded(host, wrong):
    with pytest.raises(UserError) as caught:
        ask(host(None), cutoffs_listed=wrong)
    assert str(caught.value).startswith("cutoffs_listed is {0}: give ".format(wrong))


def test_a_million_made_up_accounts_are_bounded_and_stop_it(host, monkeypatch):
    monkeypatch.setattr(cutoffs_module, "REMEMBERED_LIMIT", 10)
    lines = list(map(as_line, FLOOD))
    with pytest.raises(UserError) as caught:
        ask(host(None, lines))
    assert "would cut off 10 accounts" in str(caught.value) and " 51 log-ins more are of accounts" in str(caught.value)
    known = ["203.0.113.{0}".format(number) for number in range(10, 20)]
    with pytest.raises(UserError) as caught:
        ask(host(None, lines), accepted_cutoffs=known)
    assert "would cut off accounts that are not named here. 51 log-ins more" in str(caught.value)
    assert ask(host(None, lines), accepted_cutoffs=["203.0.113.0/24"])["cutoffs_total"] == 10
    true = [
        entry(NOON - 60, POSTFIX, SUBMISSION, SENT.format("A", "198.51.100.{0}".format(n), "u"), n) for n in range(20)
    ]
    assert ask(host(true, lines), on_cutoff="warn")["cutoffs_total"] == 30


def test_more_forged_lines_than_are_kept_are_counted(host, monkeypatch):
    monkeypatch.setattr(forged_module, "_REMEMBERED_LIMIT", 10)
    result = ask(host([HANAKO] + FLOOD), on_cutoff="warn")
    assert len(result["forged"]) == 10 and result["forged_total"] == 61
    assert result["findings"][-1].startswith("51 lines more are of accounts and addresses beyond the first 10: ")


# --- what is in a log's place -----------------------------------------------------------------------------------


def read(system, paths=("/var/log/mail.log",)):
    logs = Logs(system, list(paths), True, NOON - 14 * 86400)
    return list(logs.lines()), logs


def test_a_fifo_or_a_users_link_is_not_read_and_said(host, tmp_path):
    system = host(None, [as_line(HANAKO)])
    os.mkfifo(str(tmp_path / "var/log/mail.log.1"))
    os.mkdir(str(tmp_path / "var/log/mail.log.2"))
    found, logs = read(system)
    assert len(found) == 1 and not logs.is_whole and logs.covered_since is None
    assert "/var/log/mail.log.1 is no plain file, so it is not read." in logs.notes
    assert "/var/log/mail.log.2 is no plain file, so it is not read." in logs.notes
    assert any(text.startswith("Not all of the mail log of the last 14 days could be read") for text in
               ask(system, on_cutoff="warn")["warnings"])  # fmt: skip


def test_the_journal_still_covers_when_a_file_can_not_be_read(host, tmp_path):
    system = host([HANAKO], [as_line(HANAKO)])
    os.mkfifo(str(tmp_path / "var/log/mail.log.1"))
    assert read(system)[1].covered_since == NOON - 3600


def test_a_log_that_takes_too_long_is_not_read_to_its_end_and_that_is_said(host, monkeypatch):
    monkeypatch.setattr(files_module, "_READ_TIMEOUT", -1)
    system = host(None, [as_line(HANAKO)] * 9000)
    found, logs = read(system)
    assert 0 < len(found) < 9000 and logs.covered_since is None
    (note,) = [note for note in logs.notes if note.startswith("/var/log/mail.log ")]
    assert " was not read beyond " in note


def test_a_log_that_grows_while_it_is_read_ends(host, tmp_path):
    system = host(None, [as_line(HANAKO)] * 9000)
    lines = Logs(system, ["/var/log/mail.log"], False, NOON - 86400).lines()
    count = 0
    for _line in lines:
        count += 1
        if not count % 1000:
            with open(str(tmp_path / "var/log/mail.log"), "a") as handle:
                handle.write(as_line(HANAKO) * 1100)
        assert count < 40000, "it follows a log for as long as somebody writes"
    assert count >= 9000


def test_other_users_lines_in_the_journal_are_bounded_and_that_is_said(host, monkeypatch):
    monkeypatch.setattr(journal_module, "_OTHERS_LIMIT", 10)
    result = ask(host([HANAKO] + FLOOD), on_cutoff="warn")
    assert result["forged_total"] == 10
    assert any("users who are no mail server are more than 10," in text for text in result["warnings"])


def test_a_flood_of_one_user_hides_no_other_in_the_journal(host, monkeypatch, tmp_path):
    """vpopmail's own program writes as its user, and the journal may be the only log there is."""
    monkeypatch.setattr(journal_module, "_OTHERS_LIMIT", 20)
    monkeypatch.setattr(journal_module, "_ONE_LIMIT", 10)
    (tmp_path / "home" / "vpopmail").mkdir(parents=True)
    said = "vchkpw-smtp: (PLAIN) login success taro@example.com:203.0.113.9"
    result = ask(host(FLOOD + [entry(NOON - 600, 89, "vpopmail", said)]), on_cutoff="warn")
    assert "taro@example.com" in names(result["cutoffs"])
    assert any("mail lines of uid 33, which is no mail server, are more than 10;" in one for one in result["warnings"])
