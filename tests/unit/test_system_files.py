"""Files of the host that root reads and writes whole: nothing in a file's place is waited for or written into."""

import os

import pytest
from harden_mail import system as module
from harden_mail.system import System


@pytest.fixture
def host(tmp_path):
    return System(str(tmp_path))


def test_a_file_is_read_as_it_is(host, tmp_path):
    (tmp_path / "f").write_bytes(b"a\r\n\xff\xe6\x97\xa5")
    assert host.read("/f") == "a\r\n\udcff日"
    assert host.read("/none") is None
    assert host.read("/f/none") is None


def test_what_is_no_plain_file_is_not_waited_for(host, tmp_path):
    os.mkfifo(str(tmp_path / "fifo"))
    (tmp_path / "directory").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for name in ("fifo", "directory"):
        with pytest.raises(OSError, match="it is no plain file"):
            host.read("/" + name)
    with pytest.raises(OSError, match="it is no plain file"):
        System().read("/dev/zero")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_larger_than_any_of_ours_is_not_read(host, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILE", 10)
    (tmp_path / "f").write_text("x" * 11)
    with pytest.raises(OSError, match="more than 10 bytes"):
        host.read("/f")
    (tmp_path / "f").write_text("x" * 10)
    assert host.read("/f") == "x" * 10


@pytest.mark.parametrize("left", ["fifo", "link", "hard link", "file"])
def test_nothing_is_written_into_what_stands_at_the_temporary_name(host, tmp_path, left):
    (tmp_path / "secret").write_text("secret")
    temporary = host.temporary(str(tmp_path / "f"))
    if left == "fifo":
        os.mkfifo(temporary)
    elif left == "link":
        os.symlink("secret", temporary)
    elif left == "hard link":
        os.link(str(tmp_path / "secret"), temporary)
    else:
        with open(temporary, "w") as handle:
            handle.write("half of it")
    host.write("/f", "new")
    assert (tmp_path / "f").read_text() == "new"
    assert (tmp_path / "secret").read_text() == "secret"
    assert sorted(os.listdir(str(tmp_path))) == ["f", "secret"]


def test_directories_are_made_for_their_owner_to_write_whatever_the_umask(host, tmp_path):
    former = os.umask(0)
    try:
        host.write("/a/b/f", "x")
        host.make_private_dir("/c/d/e")
        with host.open_lock("/g/h/lock"):
            pass
    finally:
        os.umask(former)
    modes = {name: os.stat(str(tmp_path / name)).st_mode & 0o777 for name in ("a", "a/b", "c", "c/d", "c/d/e", "g/h")}
    assert modes == {"a": 0o755, "a/b": 0o755, "c": 0o755, "c/d": 0o755, "c/d/e": 0o700, "g/h": 0o755}
