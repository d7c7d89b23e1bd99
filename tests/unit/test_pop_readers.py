import errno
import os
import shutil
import subprocess

import pytest
from harden_mail.errors import UserError
from harden_mail.pop import readers

READER, OTHER_READER = 64001, 64002


@pytest.fixture
def place(tmp_path):
    """(directory, file) as the database has them, on a file system with access control lists."""
    directory = tmp_path / "seen"
    directory.mkdir()
    file = directory / "seen.sqlite"
    file.write_text("rows")
    file.chmod(0o660)
    directory.chmod(0o3770)
    try:
        readers.let_read(str(file), READER)
    except UserError:
        pytest.skip("no access control lists here")
    file.unlink()
    file.write_text("rows")
    file.chmod(0o660)
    return str(directory), str(file)


def test_a_reader_is_let_in_once(place):
    for path in place:
        mode = os.stat(path).st_mode
        assert not readers.may_read(path, READER)
        readers.let_read(path, READER)
        readers.let_read(path, READER)
        assert readers.may_read(path, READER) and not readers.may_read(path, OTHER_READER)
        assert os.stat(path).st_mode == mode


def test_another_reader_takes_the_place_of_the_first(place):
    for path in place:
        readers.let_read(path, READER)
        readers.let_read(path, OTHER_READER)
        assert readers.may_read(path, OTHER_READER) and not readers.may_read(path, READER)


def test_the_group_keeps_what_it_may(place):
    _directory, file = place
    os.chmod(file, 0o600)
    readers.let_read(file, READER)
    readers.let_read(file, READER)
    group = [bits for tag, bits, _id in readers._entries(file) if tag == readers.GROUP_OBJ]
    assert group == [0] and os.stat(file).st_mode & 0o777 == 0o640  # the mask


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_the_kernel_agrees(place):
    directory, file = place
    # pytest's own directories are closed to others.
    outside = "/var/tmp/harden-mail-readers-{0}".format(os.getpid())
    shutil.move(directory, outside)
    file = outside + "/seen.sqlite"
    try:
        for path in (outside, file):
            readers.let_read(path, READER)
        assert _does(READER, "cat", file) and not _does(OTHER_READER, "cat", file)
        assert not _does(READER, "tee", file) and not _does(READER, "touch", outside + "/x")
    finally:
        shutil.rmtree(outside)


def _does(uid, *command):
    def become():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)

    return subprocess.call(command, preexec_fn=become, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL) == 0  # fmt: skip


def test_a_file_system_without_lists_is_said(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(readers.os, "setxattr", refuse)
    with pytest.raises(UserError) as caught:
        readers.let_read(str(tmp_path), READER)
    assert "has no access control lists" in str(caught.value)
