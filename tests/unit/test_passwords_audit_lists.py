"""Word lists of an audit that are on the managed host already, and are kept as links."""

import hashlib
import io
import os
import tarfile

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.passwords import audit_lists

ID = "a" * 64
LIST = "/srv/huge.txt"
CONTENT = "a\n"
DIGEST = hashlib.sha256(CONTENT.encode()).hexdigest()


@pytest.fixture
def system(tmp_path):
    made = FakeSystem(tmp_path)
    made.write(LIST, CONTENT)
    return made


def archive(system):
    path = system.real("/lists.tar.gz")
    with tarfile.open(path, "w:gz") as packed:
        member = tarfile.TarInfo("common.txt")
        member.size = 2
        packed.addfile(member, io.BytesIO(b"x\n"))
    return path


def used(system, is_check=False, host_path=LIST, sha256=DIGEST):
    lists = [{"host_path": host_path, "sha256": sha256}]
    params = {"lists_id": ID, "lists_archive": archive(system), "lists": lists}
    with audit_lists.lists_dir(system, params, is_check) as directory:
        return sorted(os.listdir(directory))


@pytest.mark.parametrize("is_check", (False, True))
def test_a_kept_list_that_has_become_another_is_refused(system, is_check):
    assert used(system) == used(system, is_check) == ["common.txt", "own-000.txt"]
    system.write(LIST, "other\n")
    for _ in range(2):
        with pytest.raises(UserError, match=r"The list .*/srv/huge\.txt on this host has the SHA-256"):
            used(system, is_check)
    system.write(LIST, CONTENT)
    assert used(system, is_check) == ["common.txt", "own-000.txt"]


@pytest.mark.parametrize("sha256", (DIGEST, None))
def test_a_kept_list_that_is_gone_is_a_sentence(system, sha256):
    used(system, sha256=sha256)
    system.remove(LIST)
    with pytest.raises(UserError, match=r"host_path /srv/huge\.txt, and there is no such file"):
        used(system, sha256=sha256)
    os.mkfifo(system.real(LIST))
    with pytest.raises(UserError, match="there is no such file"):
        used(system, sha256=sha256)


def test_a_kept_list_that_nobody_touched_is_not_read_again(system, monkeypatch):
    # The clock of files has ticks: the link must be younger.
    tick = system.real("/srv/tick")
    former = os.stat(system.real(LIST)).st_ctime_ns
    while True:
        system.write("/srv/tick", "x")
        if os.stat(tick).st_ctime_ns > former:
            break
    used(system)
    monkeypatch.setattr(audit_lists, "sha256_of", lambda path: pytest.fail("read again"))
    used(system)


@pytest.mark.parametrize("path", ("huge.txt", "", "../x", "/a\0b", "~/x"))
def test_a_host_path_must_be_whole(system, path):
    with pytest.raises(UserError, match=r"lists names the host_path .*: give a path that begins with a slash"):
        used(system, host_path=path, sha256=None)


def test_what_is_kept_is_on_disk_before_it_has_its_name(system, monkeypatch):
    done = []
    fsync, rename = os.fsync, os.rename

    def noted(descriptor):
        done.append(os.path.basename(os.readlink("/proc/self/fd/{0}".format(descriptor))))
        fsync(descriptor)

    def renamed(old, new):
        done.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "rename", renamed)
    used(system)
    assert done == ["common.txt", "new", "rename", "lists"]
