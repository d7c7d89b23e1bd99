"""What blinds the alert, and what users of the host put in its way."""

import json
import time

from alert_host import CONFIG, MAILBOX, PROGRAM, play

# Root without the right to read what is not its own, as where a disk or a policy of the kernel refuses it.
BLIND = "setpriv --bounding-set=-dac_override,-dac_read_search env -i " + PROGRAM
OTHER_CONFIG = "/root/queue-alert.json"
UNIT = "harden-mail-queue-alert.service"


def subjects(watched, number):
    return [mail["subject"].partition(" ")[0] for mail in watched.wait_for_mails(number)]


def use(watched, **settings):
    """Run the program with another configuration; what it prints."""
    watched.host.run("umask 077; cat >" + OTHER_CONFIG, stdin=json.dumps(settings).encode())
    return lambda arguments="": watched.run("--config {0} {1}".format(OTHER_CONFIG, arguments), check=False)


def test_who_cannot_count_is_heard_and_ends_no_alarm(watched):
    watched.fill(301)
    watched.run()
    for _ in range(3):
        assert "Permission denied" in watched.host.run(BLIND, check=False)
    watched.host.run("postsuper -d ALL 2>/dev/null")
    watched.host.run(BLIND, check=False)
    mails = watched.wait_for_mails(2)
    assert [" can't be counted" in mail["subject"] for mail in mails] == [False, True]
    text = mails[1].get_content()
    assert "Permission denied" in text
    assert "is not over" in text
    watched.run()
    mails = watched.wait_for_mails(4)
    assert len(mails) == 4
    told = sorted(mail["subject"].partition(":")[0] for mail in mails[2:])
    assert told[0] == "All clear"
    assert told[1].endswith("can be counted again")


CRONTAB = "* * * * * /proc/kmsg\n* * * * * /proc/self/pagemap\n* * * * * /home/mallory/fifo\n* * * * * mailq\n"


def test_what_a_users_crontab_names_holds_nothing_up(watched):
    watched.host.run(
        "useradd --create-home mallory; runuser -u mallory -- mkfifo /home/mallory/fifo; "
        "runuser -u mallory -- crontab -",
        stdin=CRONTAB.encode(),
    )
    try:
        began = time.monotonic()
        said = play()
        assert time.monotonic() - began < 120
        assert "/var/spool/cron/crontabs/mallory, line " in said
    finally:
        watched.host.run("crontab -u mallory -r; userdel --remove mallory 2>/dev/null")


def test_metrics_go_where_they_belong_whatever_the_directorys_owner_puts_there(watched):
    run = use(watched, ways=[], prometheus_file="/var/lib/node/mail.prom")
    before = watched.host.run("stat -c '%a %U %s %Y' /etc/shadow")
    watched.host.run(
        "install -d -o nobody /var/lib/node; cd /var/lib/node; runuser -u nobody -- ln -s /etc/shadow mail.prom; "
        "runuser -u nobody -- mkfifo .mail.prom.harden-mail"
    )
    try:
        for _ in range(2):
            run()
            assert "harden_mail_queue_messages 0" in watched.host.run("cat /var/lib/node/mail.prom")
        assert watched.host.run("stat -c '%a %U %s %Y' /etc/shadow") == before
        watched.host.run("cd /var/lib/node; rm mail.prom; runuser -u nobody -- mkfifo mail.prom; ")
        began = time.monotonic()
        run()
        assert time.monotonic() - began < 10
    finally:
        watched.host.run("rm -rf /var/lib/node " + OTHER_CONFIG)


def test_sendmail_still_hands_over_what_it_is_given(watched):
    run = use(watched, ways=[{"type": "sendmail", "to": ["admin"]}])
    try:
        (result,) = json.loads(run("--drill"))
        assert result["accepted"], result
        # Whether Postfix takes the name for a user of this host or for a mail that waits is its own business.
        where = "postqueue -j; cat {0} 2>/dev/null || true".format(MAILBOX)
        watched.wait_for(lambda: any(sign in watched.host.run(where) for sign in ('"address": "admin@', "DRILL")))
    finally:
        watched.host.run("rm -f {0} {1}; postsuper -d ALL 2>/dev/null".format(OTHER_CONFIG, MAILBOX))


def test_by_a_timer_it_tells_as_well_with_what_it_needs_of_root(watched):
    play(scheduler="timer")
    try:
        shown = watched.host.run(
            "systemctl show -p CapabilityBoundingSet -p NoNewPrivileges -p ProtectSystem " + UNIT
        ).splitlines()
        # The metrics may be in a directory of others.
        assert sorted(shown) == [
            "CapabilityBoundingSet=cap_dac_override cap_dac_read_search",
            "NoNewPrivileges=yes",
            "ProtectSystem=full",
        ]
        watched.host.run("systemctl stop harden-mail-queue-alert.timer")
        watched.fill(301)
        watched.host.run("systemctl start " + UNIT)
        (mail,) = watched.wait_for_mails(1)
        assert "301" in mail["subject"]
        assert "harden_mail_queue_messages 301" in watched.host.run("cat /var/lib/harden-mail-test.prom")
    finally:
        play()
    assert watched.host.run("test -e {0}; echo $?".format(CONFIG)).strip() == "0"
