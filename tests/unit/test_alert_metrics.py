"""The file of numbers, in a directory whose owner puts other things in its place."""

import os
from types import SimpleNamespace

import pytest
from fake_system import FakeSystem
from harden_mail.alert import metrics

PATH = "/var/lib/node/mail.prom"
OTHER = 54321

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


@pytest.fixture
def host(tmp_path):
    made = FakeSystem(tmp_path / "host")
    made.write("/etc/shadow", "root:secret\n", 0o640)
    os.makedirs(os.path.dirname(made.real(PATH)))
    if os.geteuid() == 0:
        os.chown(os.path.dirname(made.real(PATH)), OTHER, OTHER)
    return made


def write(host):
    counts = SimpleNamespace(total=1, held=0, todo=None)
    metrics.write_metrics(host, PATH, counts, 300, SimpleNamespace(alarm=None, waiting=[]), 1.0)


def test_it_is_written_again_and_again(host):
    for _ in range(2):
        write(host)
    assert "harden_mail_queue_messages 1\n" in host.read(PATH)
    assert os.stat(host.real(PATH)).st_mode & 0o777 == 0o644


@AS_ROOT
def test_a_link_is_replaced_and_not_followed(host):
    os.symlink("../../../etc/shadow", host.real(PATH))
    os.chown(host.real(PATH), OTHER, OTHER, follow_symlinks=False)
    os.mkfifo(os.path.dirname(host.real(PATH)) + "/.mail.prom.harden-mail")
    write(host)
    assert host.read("/etc/shadow") == "root:secret\n"
    assert not os.path.islink(host.real(PATH))
    assert "harden_mail_queue_messages 1\n" in host.read(PATH)


@AS_ROOT
def test_a_directory_that_is_anothers_link_is_not_followed(host):
    os.makedirs(host.real("/home/mallory"))
    os.chown(host.real("/home/mallory"), OTHER, OTHER)
    os.symlink("../../etc", host.real("/home/mallory/node"))
    os.chown(host.real("/home/mallory/node"), OTHER, OTHER, follow_symlinks=False)
    path = "/home/mallory/node/shadow"
    with pytest.raises(OSError, match="symbolic link"):
        metrics.write_metrics(
            host, path, SimpleNamespace(total=1, held=0, todo=None), 300, SimpleNamespace(alarm=None, waiting=[]), 1.0
        )
    assert "not written" in metrics.problem(host, path)
    metrics.take_away(host, path)
    assert host.read("/etc/shadow") == "root:secret\n"


@AS_ROOT
def test_a_pipe_in_its_place_is_not_waited_for(host):
    os.mkfifo(host.real(PATH))
    with pytest.raises(OSError, match="no plain file"):
        write(host)
    metrics.take_away(host, PATH)
    assert not host.exists(PATH)


def test_what_is_wrong_with_its_directory_is_said(host):
    assert metrics.problem(host, PATH) is None
    assert "is not there" in metrics.problem(host, "/no/where/mail.prom")
