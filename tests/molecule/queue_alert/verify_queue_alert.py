"""The alert, seen by whom it is for: in the mailbox on another host, and by a webhook on the controller."""

import time

from alert_host import CANARIES, CONFIG, LIMIT, MAILBOX, PROGRAM, STATE, Watched, play, said
from webhook import Webhook


def test_cron_tells_the_admin_on_another_host_within_one_interval(watched):
    """The queue is clogged and its delivery stopped: the alert goes past it."""
    watched.fill(2000, "=?utf-8?b?44CQ5b2T6YG444CR?=")
    watched.host.run("postconf -e 'defer_transports = smtp, local'; postfix reload")
    try:
        watched.host.run("systemctl start cron")
        (mail,) = watched.wait_for_mails(1, 75)
        assert said(mail) == (2000, LIMIT)
        assert "ESMTPS" in mail["received"]
        assert mail["auto-submitted"] == "auto-generated"
        text = mail.get_content()
        for part in ("2000", "bulk@example.com", "example.net", "【当選】", watched.host.name + ".example.com"):
            assert part in text, part
        assert not mail.defects
        watched.host.run("test -s /var/lib/harden-mail-test.prom")
        assert "harden_mail_queue_messages 2000" in watched.host.run("cat /var/lib/harden-mail-test.prom")
    finally:
        watched.host.run("postconf -X defer_transports; postfix reload; systemctl stop cron")


def test_a_flapping_queue_is_told_once_and_its_end_once(watched):
    watched.fill(300)
    watched.run()
    assert watched.mails() == []
    watched.fill(1)
    for _ in range(3):
        watched.run()
        watched.take_away(20)
        watched.run()
        watched.fill(20)
    watched.host.run("postsuper -d ALL")
    watched.run()
    watched.run()
    mails = watched.wait_for_mails(2)
    assert mails[0]["subject"].startswith("Mail queue on")
    assert "All clear" in mails[1]["subject"]
    assert len(mails) == 2


def test_the_webhook_takes_it_when_the_relay_is_down_and_what_nobody_takes_is_kept(watched):
    watched.fill(301)
    with watched.relay_down():
        assert "queue-alert" not in watched.run(check=False)
        assert len(watched.state()["waiting"]) == 1, "kept, for no way has taken it"
        with Webhook(watched.host, 500):
            watched.run(check=False)
        assert len(watched.state()["waiting"]) == 1, "an error is no acceptance"
        with Webhook(watched.host) as hook:
            watched.run()
        ((path, headers, posted),) = hook.posted
        assert path == "/hooks/" + CANARIES[0]
        assert headers["X-Token"] == CANARIES[1]
        assert "301 messages" in posted["text"]
        watched.host.run("postsuper -d ALL")
        watched.run(check=False)
        assert [kept["kind"] for kept in watched.state()["waiting"]] == ["clear"]
    watched.run()
    (mail,) = watched.wait_for_mails(1)
    assert "All clear" in mail["subject"]


def test_a_drill_arrives_and_one_that_nobody_takes_fails_the_play(watched):
    Watched(watched.other.name).reset()
    play(drill=True)
    (mail,) = watched.wait_for_mails(1)
    assert "DRILL" in mail["subject"]
    assert watched.count() == 0
    with watched.relay_down():
        output = play(check=False, drill=True)
    assert "was accepted by no way" in output
    assert watched.host.run("test -e {0} && cat {0} || true".format(STATE)).count("drill") == 0
    watched.other.run("rm -f " + MAILBOX)
    watched.host.run("rm -f " + MAILBOX)


def test_secrets_are_in_one_private_file_only(watched):
    watched.fill(301)
    with watched.relay_down():
        watched.run(check=False)
        processes = watched.host.run(
            "env -i {0} & sleep 0.3; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; wait || true".format(
                PROGRAM
            )
        )
    assert watched.host.run("stat -c '%a %U' " + CONFIG).split() == ["600", "root"]
    journal = watched.host.run(
        "journalctl --no-pager -n 2000; cat /var/log/syslog /var/log/mail.log 2>/dev/null || true"
    )
    assert "no way" in journal or "webhook" in journal, "there was something to leak"
    for canary in CANARIES:
        assert canary not in processes
        assert canary not in journal
        found = watched.host.run(
            "grep -rlF {0} /etc /var /root /tmp /home /run /usr/local 2>/dev/null || true".format(canary)
        ).split()
        assert found == [CONFIG]


def test_a_run_that_hangs_is_ended_by_the_next(watched):
    watched.host.run(
        "systemd-run --quiet --unit hanging bash -c 'exec 9>>/run/harden-mail/queue-alert.lock; flock 9; "
        'echo "$$$$ 0" >/run/harden-mail/queue-alert.lock; exec -a queue-alert sleep 600\''
    )
    time.sleep(0.5)
    watched.host.run(PROGRAM)
    watched.wait_for(lambda: "active" not in watched.host.run("systemctl is-active hanging; true").split(), 10)
