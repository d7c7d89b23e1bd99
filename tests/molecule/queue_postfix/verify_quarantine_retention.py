"""What is in quarantine is removed by the timer's service when it is old enough, and nothing else is."""

import time

import pytest
from hosts.lab import Lab
from once import once

HOSTS = pytest.mark.parametrize("host", Lab.current().hosts(), ids=lambda host: host.name)

DIRECTORY = "/var/lib/harden-mail/quarantine"
SERVICE = "harden-mail-quarantine.service"
OLD, YOUNG, INTERRUPTED = (
    "20261101T000000Z-00000a",
    "20261102T000000Z-00000b",
    "20261103T000000Z-00000c",
)
# A run as the module leaves it: messages in a directory of Postfix's own, then its age; it is kept for 30 days.
MAKE = """
set -e
for run in {old} {young} {interrupted} strange; do
  install -d -m 0700 $run/messages && echo mail > $run/messages/4XyZ123abc && echo '{{}}' > $run/manifest.jsonl
  chown -R postfix: $run/messages
done
echo '{{}}' > {interrupted}/unfinished
mkdir -p .expired/rest
touch -d '721 hours ago' {old} {interrupted} strange
touch -d '719 hours ago' {young}
"""


@pytest.fixture(params=Lab.current().hosts(), ids=lambda host: host.name)
def host(request):
    """A host with a quarantine, which is gone afterwards: so before there is the one of verify_queue.py."""
    script = MAKE.format(old=OLD, young=YOUNG, interrupted=INTERRUPTED)
    request.param.run("install -d -m 0700 {0} && cd {0} && {1}".format(DIRECTORY, script))
    yield request.param
    request.param.run("rm -rf /var/lib/harden-mail")


def kept(host):
    return sorted(host.run("ls -A " + DIRECTORY).split())


@once
def test_what_is_old_enough_goes_and_nothing_else(host):
    host.run("systemctl start " + SERVICE)
    assert kept(host) == [YOUNG, INTERRUPTED, "strange"]
    assert host.run("cat {0}/{1}/messages/4XyZ123abc".format(DIRECTORY, YOUNG)) == "mail\n"


@once
def test_nothing_goes_while_the_module_works_on_the_quarantine(host):
    host.run("systemd-run --quiet --unit working flock /run/harden-mail/mail-queue.lock sleep 300")
    host.run("systemctl start --no-block " + SERVICE)
    time.sleep(2)
    assert OLD in kept(host)
    assert host.run("systemctl show -p ActiveState --value " + SERVICE).strip() == "activating"
    host.run("systemctl stop working.service")
    host.run("systemctl start " + SERVICE)
    assert OLD not in kept(host)


@once
@HOSTS
def test_there_need_be_no_quarantine(host):
    host.run("systemctl start " + SERVICE)
    assert not host.run("ls -d /var/lib/harden-mail 2>/dev/null || true")


@HOSTS
def test_the_timer_waits_for_its_hour(host):
    assert host.run("systemctl is-active harden-mail-quarantine.timer").strip() == "active"
    assert host.run("systemctl is-enabled harden-mail-quarantine.timer").strip() == "enabled"
    assert host.run("systemctl show -p NextElapseUSecRealtime --value harden-mail-quarantine.timer").strip()
