"""Queues counted by names in directories."""

import os
import pathlib
import re
import shutil
import tarfile

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.queue.count import count_queue
from harden_mail.queue.postfix.backend import PostfixQueue
from harden_mail.queue.postfix.instances import Instance
from harden_mail.queue.qmail.backend import QmailQueue
from harden_mail.queue.qmail.layout import Layout

QMAIL = pathlib.Path(__file__).parents[1] / "data" / "qmail-queue"


def test_qmail_is_counted_as_qmail_qstat_does(tmp_path):
    """On the queue that a real notqmail wrote; two of its files are rests of a killed qmail-queue, which count, too."""
    with tarfile.open(str(QMAIL / "queue.tar.xz")) as archive:
        for member in archive:
            path = tmp_path / member.name
            if member.isdir():
                path.mkdir()
            else:
                path.write_bytes(b"")
    said = [int(number) for number in re.findall(r": (\d+)", (QMAIL / "qmail-qstat.txt").read_text(encoding="ascii"))]
    queue = QmailQueue(FakeSystem(tmp_path), Layout.detect(str(tmp_path / "queue")), None)
    assert count_queue(queue) == (said[0], 0, said[1])


def postfix(tmp_path, files):
    instances = {}
    for path in files:
        instance = path.split("/")[0]
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")
        instances[instance] = Instance(instance, "/etc/" + instance, str(tmp_path / instance))
        for state in PostfixQueue.STATES:
            (tmp_path / instance / state).mkdir(exist_ok=True)
    return PostfixQueue(FakeSystem(tmp_path), list(instances.values()))


def test_postfix_is_counted_in_every_state_depth_and_instance(tmp_path):
    queue = postfix(
        tmp_path,
        [
            "a/maildrop/4F1C2A01",
            "a/incoming/4F1C2A02",
            "a/active/4F1C2A03",
            "a/deferred/4/4F1C2A04",
            "a/deferred/A/A/A/AAA12A05",
            "a/hold/4F1C2A06",
            "a/hold/3Mb6Wk4wXvz1yv",
            "b/deferred/4F1C2A07",
            # None of these is a message.
            "a/defer/4/4F1C2A04",
            "a/corrupt/4F1C2A08",
            "a/incoming/.hidden",
        ],
    )
    assert count_queue(queue) == (6, 2, None)


def test_a_link_in_the_queue_is_not_followed(tmp_path):
    queue = postfix(tmp_path, ["a/deferred/4/4F1C2A04"])
    (tmp_path / "a/deferred/B").symlink_to(tmp_path / "a/deferred")
    (tmp_path / "a/deferred/C").symlink_to(".")
    assert count_queue(queue) == (1, 0, None)


def test_a_directory_that_goes_away_has_none(tmp_path):
    queue = postfix(tmp_path, ["a/deferred/4/4F1C2A04"])
    os.unlink(str(tmp_path / "a/deferred/4/4F1C2A04"))
    os.rmdir(str(tmp_path / "a/deferred/4"))
    assert count_queue(queue) == (0, 0, None)


@pytest.mark.parametrize("state", PostfixQueue.STATES)
@pytest.mark.parametrize("is_file", [True, False])
def test_a_state_without_its_directory_is_no_empty_queue(tmp_path, state, is_file):
    queue = postfix(tmp_path, ["a/deferred/4/4F1C2A04"])
    shutil.rmtree(str(tmp_path / "a" / state))
    if is_file:
        (tmp_path / "a" / state).write_bytes(b"")
    with pytest.raises(UserError, match="a/" + state + " is not there or no directory"):
        count_queue(queue)
