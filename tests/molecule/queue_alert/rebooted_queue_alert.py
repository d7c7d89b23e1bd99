"""The alert on a bad day: nobody wants it, the disk is full, it is killed; and by systemd instead of cron."""

import os
import random

from alert_host import CRON, LIMIT, PROGRAM, STATE, play, said
from webhook import Webhook


def test_a_timer_runs_it_where_that_is_wanted(watched):
    """systemd's timer, seen to run it; a failed run of it is forgotten when cron takes over."""
    watched.fill(301)
    try:
        play(scheduler="timer")
        assert watched.host.run("test -e {0} || echo gone".format(CRON)).strip() == "gone"
        (mail,) = watched.wait_for_mails(1, 90)
        assert said(mail) == (301, LIMIT)
        with watched.relay_down():
            watched.host.run("postsuper -d ALL")
            watched.wait_for(lambda: watched.unit("service") == "failed", 90)
            play()
            assert (watched.unit("timer"), watched.unit("service")) == ("inactive", "inactive"), "not failed"
    finally:
        play()
    assert watched.host.run("cat " + CRON).count(PROGRAM) == 1


def test_what_every_way_refuses_for_good_holds_up_nothing_and_is_kept(watched):
    """The relay refuses alarms by what is in them, at the end of the data; the webhook takes nothing."""
    checks = "/etc/postfix/alert_checks"
    watched.other.run(
        "echo '/^X-Harden-Mail:.*kind=alarm/ REJECT no' >{0}; postconf -e header_checks=regexp:{0}; "
        "postfix reload".format(checks)
    )
    try:
        watched.fill(301)
        with Webhook(watched.host, 400) as hook:
            watched.run(check=False)
            assert [kept["refusals"] for kept in watched.state()["waiting"]] == [1]
            assert len(hook.posted) == 2, "the whole text, and the short one"
            watched.host.run("postsuper -d ALL")
            for _ in range(5):
                watched.run(check=False)
        (mail,) = watched.wait_for_mails(1)
        assert "All clear" in mail["subject"], "that was not held up"
        (path,) = watched.host.run("ls {0}/refused-*".format(os.path.dirname(STATE))).split()
        assert "301 messages" in watched.host.run("cat " + path)
        assert watched.state()["waiting"] == []
        assert path in watched.host.run("journalctl --no-pager -t harden-mail-queue-alert -n 100")
    finally:
        watched.other.run("postconf -X header_checks; rm {0}; postfix reload".format(checks))
    watched.fill(302)
    watched.run()
    (_, mail) = watched.wait_for_mails(2)
    assert path in mail.get_content()


def test_a_full_disk_gives_an_alarm_no_second_name(watched):
    directory = os.path.dirname(STATE)
    watched.fill(301)
    watched.host.run("mkdir -p {0}; mount -t tmpfs -o size=16k tmpfs {0}".format(directory))
    try:
        watched.host.run("dd if=/dev/zero of={0}/ballast bs=1k 2>/dev/null || true".format(directory))
        with watched.relay_down():
            watched.run(check=False)
        watched.run()
        watched.run()
        assert len(watched.wait_for_mails(1)) == 1
        watched.host.run("rm {0}/ballast".format(directory))
        watched.run()
        assert len(watched.state()["alarm"]["over"]) == 1, "it is on disk again"
        watched.host.run("postsuper -d ALL")
        watched.run()
    finally:
        watched.host.run("umount " + directory)
    (alarm, clear) = watched.wait_for_mails(2)
    assert said(alarm) == (301, LIMIT)
    assert "All clear" in clear["subject"]
    assert alarm["message-id"].split(".")[2] == clear["message-id"].split(".")[2], "of one and the same alarm"


def test_kills_lose_no_alert_and_a_doubled_one_can_be_told(watched):
    """kill -9 after a random time, again and again, through an alarm and its end."""
    seen = {}
    for fill in (301, 0):
        if fill:
            watched.fill(fill)
            expected = {"Mail"}
        else:
            expected = {"Mail", "All"}
            watched.host.run("postsuper -d ALL")
        for _ in range(12):
            watched.run("& p=$!; sleep {0:.3f}; kill -9 $p".format(random.uniform(0.01, 0.6)), check=False)
        watched.run()
        watched.wait_for(lambda told=expected: told <= {mail["subject"].split(" ")[0] for mail in watched.mails()}, 10)
        for mail in watched.mails():
            seen.setdefault(mail["message-id"], mail["subject"])
    print("told: {0} mails, {1} of them different".format(len(watched.mails()), len(seen)))
    # Runs in a row that were killed while they counted are told, too, and that is true.
    subjects = sorted(subject for subject in seen.values() if " counted" not in subject)
    assert len(subjects) == 2, subjects
    assert subjects[0].startswith("All clear")
    assert "301 messages" in subjects[1]
