"""Old jobs of cron that count the queue, and crontabs by which somebody would have root read something else."""

import os
import time

import pytest
from fake_system import FakeSystem
from harden_mail.alert import home_made

OTHER = 54321
CRONTAB = "/var/spool/cron/crontabs/mallory"
OURS = "/etc/cron.d/harden-mail-queue-alert"


@pytest.fixture
def host(tmp_path):
    return FakeSystem(tmp_path / "host")


def put(host, path, text, uid=None):
    host.write(path, text)
    if uid is not None and os.geteuid() == 0:
        os.chown(host.real(path), uid, uid)


def jobs(host):
    return home_made.home_made_jobs(host, OURS)


def test_home_made_jobs_are_found_and_named(host):
    put(host, "/root/cron-qstat.sh", "#!/bin/bash\nN=$(/var/qmail/bin/qmail-qstat | head -1)\n")
    put(host, "/opt/watch", "#!/bin/sh\npostqueue -p | tail -1\n")
    put(host, "/var/spool/cron/root", "MAILTO=x\n# watch\n*/5 * * * * /bin/bash /root/cron-qstat.sh; true\n")
    put(host, "/etc/cron.d/watch", "*/5 * * * * root test -x /opt/watch && '/opt/watch' --token=x\n")
    put(host, "/etc/cron.d/direct", "SHELL=/bin/sh\n*/5 * * * * root mailq | grep -c '^[A-F0-9]'\n")
    put(host, "/var/spool/cron/crontabs/bob", "* * * * * cron-qstat.sh\n")
    put(host, "/etc/cron.daily/queue", "#!/bin/sh\n\nqshape deferred\n")
    put(host, "/usr/local/bin/look-at-queue", "#!/bin/sh\nmailq | wc -l\n")
    os.chmod(host.real("/usr/local/bin/look-at-queue"), 0o755)
    put(host, "/etc/cron.d/by-name", "*/5 * * * * root look-at-queue\n")
    found, left_out = jobs(host)
    assert found == [
        ("/etc/cron.d/by-name", 1),
        ("/etc/cron.d/direct", 2),
        ("/etc/cron.d/watch", 1),
        ("/etc/cron.daily/queue", 3),
        ("/var/spool/cron/root", 3),
        ("/var/spool/cron/crontabs/bob", 1),
    ]
    assert left_out == []


def test_other_jobs_and_comments_are_no_home_made_jobs(host):
    put(host, "/opt/backup", "#!/bin/sh\n# unlike mailq, this is quick\ntar c /etc # not postqueue -p\n")
    put(host, "/opt/big", "mailq\n" + "#" * 200000)
    put(host, "/etc/cron.d/backup", "# mailq\n@daily root /opt/backup # no mailq\n@daily root /opt/big\n")
    put(host, "/etc/crontab", "17 * * * * root cd / && run-parts --report /etc/cron.hourly\n")
    put(host, "/etc/cron.daily/mailqueue-report", "#!/bin/sh\necho hello >/var/spool/mailq2\n")
    os.makedirs(host.real("/etc/cron.d/directory"))
    os.symlink("/no/where", host.real("/etc/cron.d/dangling"))
    put(host, "/etc/cron.d/binary", "\udcff\x00\n")
    assert jobs(host) == ([], ["/etc/cron.d/binary, line 1: a NUL byte"])


def test_the_job_of_ours_is_none(host):
    put(host, OURS, "*/5 * * * * root mailq\n")
    assert jobs(host) == ([], [])


@pytest.mark.parametrize(
    "named", ["/proc/kmsg", "/proc/self/pagemap", "/proc/self/mem", "/sys/kernel/notes", "/dev/zero", "/fifo", "/home"]
)
def test_what_a_users_crontab_names_is_not_waited_for(host, named):
    os.makedirs(host.real("/home"))
    os.mkfifo(host.real("/fifo"))
    for path in ("/proc/kmsg", "/proc/self/pagemap", "/proc/self/mem", "/sys/kernel/notes"):
        # Of the kernel's files a unit test has none; that they are not even opened is the same.
        os.makedirs(os.path.dirname(host.real(path)), exist_ok=True)
        if not os.path.lexists(host.real(path)):
            os.mkfifo(host.real(path))
    put(host, CRONTAB, "* * * * * {0}\n* * * * * mailq\n".format(named), OTHER)
    began = time.monotonic()
    assert jobs(host) == ([(CRONTAB, 2)], [])
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("put_there", [os.mkfifo, lambda path: os.symlink("../../../../etc/secret", path)])
def test_a_crontab_that_is_no_plain_file_is_named_and_not_read(host, put_there):
    put(host, "/etc/secret", "mailq\n")
    put(host, CRONTAB, "")
    os.chown(os.path.dirname(host.real(CRONTAB)), OTHER, OTHER)
    os.unlink(host.real(CRONTAB))
    put_there(host.real(CRONTAB))
    os.chown(host.real(CRONTAB), OTHER, OTHER, follow_symlinks=False)
    found, left_out = jobs(host)
    assert found == []
    assert len(left_out) == 1
    assert left_out[0].startswith(CRONTAB + " ")


def test_large_and_many_files_are_read_so_far(host, monkeypatch):
    monkeypatch.setattr(home_made, "MOST_FILES", 3)
    for name in "abcd":
        put(host, "/var/spool/cron/crontabs/" + name, "* * * * * mailq\n")
    put(host, "/etc/cron.d/large", "#" * (home_made.OF_CRON.bytes + 1))
    put(host, "/etc/cron.d/long", "\n" * (home_made.OF_CRON.lines + 1) + "* * * * * root mailq\n")
    found, left_out = jobs(host)
    assert len(found) == 3
    assert [clause.split(" ")[0] for clause in left_out] == [
        "/etc/cron.d/large",
        "/etc/cron.d/long",
        "/var/spool/cron/crontabs/*",
    ]


def test_scripts_are_read_once_and_so_many(host, monkeypatch):
    monkeypatch.setattr(home_made, "MOST_SCRIPTS", 10)
    read = []
    real = home_made.read_untrusted

    def counted(system, path, limit):
        read.append(path)
        return real(system, path, limit)

    monkeypatch.setattr(home_made, "read_untrusted", counted)
    put(host, CRONTAB, "".join("* * * * * /opt/{0}\n* * * * * /opt/0\n".format(number) for number in range(4000)))
    assert jobs(host)[0] == []
    assert len(read) == len(set(read)) == 10


def test_it_ends_in_time(host, monkeypatch):
    monkeypatch.setattr(home_made, "SECONDS", 0.2)
    monkeypatch.setattr(host, "which", lambda name: time.sleep(0.01))
    for name in "ab":
        put(host, "/var/spool/cron/crontabs/" + name, "a b c d e f g h\n" * 4000)
    began = time.monotonic()
    found, left_out = jobs(host)
    assert time.monotonic() - began < 3
    assert found == []
    assert ["for want of time" in clause for clause in left_out] == [True, True]
