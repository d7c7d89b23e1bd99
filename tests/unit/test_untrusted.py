"""What others can put in a file's place: none of it makes root read, write or wait beyond what they could do."""

import contextlib
import os
import time

import pytest
from harden_mail import untrusted, untrusted_walk
from harden_mail.system import System
from harden_mail.untrusted import Limits, NotRead

ROOT = os.geteuid() == 0
# Some user that is not who runs the tests; only root can give files to it.
OTHER, THIRD = 54321, 54322
as_root = pytest.mark.parametrize("owners", [(OTHER, THIRD)] if ROOT else [])


class Told:
    def __init__(self):
        self.sentences = []

    def add(self, place, what, line=None):
        self.sentences.append("{0}{1}: {2}".format(place, "" if line is None else " line {0}".format(line), what))


@pytest.fixture
def host(tmp_path):
    (tmp_path / "home").mkdir()
    return System(str(tmp_path))


def give(host, path, uid):
    if ROOT:
        os.chown(host.real(path), uid, uid, follow_symlinks=False)


def file(host, path, text="x\n", uid=None):
    os.makedirs(os.path.dirname(host.real(path)), exist_ok=True)
    with open(host.real(path), "w", encoding="utf-8") as handle:
        handle.write(text)
    if uid is not None:
        give(host, path, uid)


def home(host, name="alice", uid=OTHER):
    os.makedirs(host.real("/home/" + name), exist_ok=True)
    give(host, "/home/" + name, uid)


def why(host, path, **more):
    with pytest.raises(NotRead) as caught:
        untrusted.read_untrusted(host, path, **more)
    return caught.value.why


def test_a_plain_file_is_read_and_a_missing_one_is_none(host):
    home(host)
    file(host, "/home/alice/f", "some\udcfftext\n".replace("\udcff", "é"), OTHER)
    assert untrusted.read_untrusted(host, "/home/alice/f") == "someétext\n"
    assert untrusted.read_untrusted(host, "/home/alice/nothing") is None
    assert untrusted.read_untrusted(host, "/home/bob/nothing") is None
    assert untrusted.read_untrusted(host, "/home/alice/./../alice//f" if not ROOT else "/home/./alice//f")


@pytest.mark.parametrize("owners", [(OTHER, THIRD)] if ROOT else [(os.geteuid(), os.geteuid())])
def test_a_users_link_is_not_followed_and_roots_is(host, owners):
    home(host, uid=owners[0])
    file(host, "/etc/shadow")
    os.symlink("/etc/shadow", host.real("/home/alice/link"))
    give(host, "/home/alice/link", owners[0])
    os.symlink("/etc", host.real("/home/alice/etc"))
    give(host, "/home/alice/etc", owners[0])
    os.symlink("home", host.real("/home2"))
    file(host, "/home/alice/f", uid=owners[0])
    assert untrusted.read_untrusted(host, "/home2/alice/f") == "x\n"
    os.symlink("/home2/alice", host.real("/home/../www"))
    assert untrusted.read_untrusted(host, "/www/f") == "x\n"
    if ROOT:
        assert "symbolic link that others than root" in why(host, "/home/alice/link")
        assert "symbolic link that others than root" in why(host, "/home/alice/etc/shadow")
    else:
        assert untrusted.read_untrusted(host, "/home/alice/link") == "x\n"


@as_root
def test_roots_link_in_a_directory_that_others_can_write_is_not_followed(host, owners):
    file(host, "/etc/shadow")
    os.makedirs(host.real("/shared"))
    os.symlink("/etc/shadow", host.real("/shared/link"))
    for mode in (0o777, 0o1777):
        os.chmod(host.real("/shared"), mode)
        assert "not followed" in why(host, "/shared/link")
    os.chown(host.real("/shared"), 0, owners[0])
    os.chmod(host.real("/shared"), 0o775)
    assert "not followed" in why(host, "/shared/link")
    os.chmod(host.real("/shared"), 0o755)
    assert untrusted.read_untrusted(host, "/shared/link") == "x\n"
    # Its owner made it elsewhere, or was given it.
    give(host, "/shared/link", owners[0])
    assert "not followed" in why(host, "/shared/link")


@as_root
def test_no_step_leads_from_a_user_to_somebody_else(host, owners):
    home(host)
    file(host, "/home/alice/roots", uid=0)
    file(host, "/home/alice/bobs", uid=owners[1])
    assert "belongs to root" in why(host, "/home/alice/roots")
    assert "belongs to user {0}".format(owners[1]) in why(host, "/home/alice/bobs")
    file(host, "/home/alice/dir/f", uid=owners[0])
    assert "belongs to root" in why(host, "/home/alice/dir/f")
    assert "leads up" in why(host, "/home/alice/../alice/bobs")
    # A hard link into a directory that everybody can write.
    os.makedirs(host.real("/tmp"))
    os.chmod(host.real("/tmp"), 0o1777)
    file(host, "/etc/shadow")
    os.link(host.real("/etc/shadow"), host.real("/tmp/shadow"))
    assert "hard link" in why(host, "/tmp/shadow")
    file(host, "/tmp/own", uid=owners[0])
    assert untrusted.read_untrusted(host, "/tmp/own") == "x\n"


@as_root
def test_users_of_one_system_may_have_files_in_each_others_directories(host, owners):
    os.makedirs(host.real("/vmail"))
    give(host, "/vmail", owners[0])
    file(host, "/vmail/roots", uid=0)
    file(host, "/vmail/others", uid=owners[1])
    os.link(host.real("/vmail/roots"), host.real("/second"))
    file(host, "/vmail/single", uid=0)
    os.makedirs(host.real("/vmail/dir"))
    file(host, "/vmail/dir/f", uid=0)

    def read(path, peers):
        with untrusted.opened(host, path, peers=peers) as handle:
            return handle.read()

    assert read("/vmail/single", {owners[0]}) == b"x\n"
    assert read("/vmail/others", set(owners)) == b"x\n"
    for path, peers in (
        ("/vmail/roots", {owners[0]}),  # a second name, made elsewhere
        ("/vmail/single", {owners[1]}),
        ("/vmail/others", {owners[0]}),
        ("/vmail/dir/f", {owners[0]}),
    ):
        with pytest.raises(NotRead):
            read(path, peers)


@as_root
def test_only_of_the_expected_owner(host, owners):
    os.makedirs(host.real("/mail"))
    file(host, "/mail/f", uid=owners[0])
    assert untrusted.read_untrusted(host, "/mail/f", owners={owners[0]}) == "x\n"
    assert "belongs to" in why(host, "/mail/f", owners={owners[1]})
    give(host, "/mail/f", 0)
    assert untrusted.read_untrusted(host, "/mail/f", owners={owners[1]}) == "x\n"


def test_a_fifo_a_directory_and_a_device_are_not_waited_for(host):
    home(host)
    os.mkfifo(host.real("/home/alice/fifo"))
    os.mkdir(host.real("/home/alice/dir"))
    for name in ("fifo", "dir"):
        give(host, "/home/alice/" + name, OTHER)
        assert "is no plain file" in why(host, "/home/alice/" + name)
    assert "is no plain file" in why(System(), "/dev/null")
    assert "is no plain file" in why(host, "/")
    assert "is no plain file" in why(host, "/home/..")


@pytest.mark.parametrize(
    "path", ["/proc/kmsg", "/proc/self/pagemap", "/proc/self/environ", "/sys/kernel/notes", "/dev/../proc/version"]
)
def test_nothing_of_the_kernels_is_read(path):
    assert "no file on a disk" in why(System(), path)


def test_a_file_system_of_a_user_is_not_entered(host):
    home(host)
    file(host, "/home/alice/fuse dir/f")
    file(host, "/data/f")
    file(
        host,
        "/proc/self/mountinfo",
        "36 25 0:32 / /home/alice/fuse\\040dir rw,nosuid - fuse.sshfs x rw,user_id=1000,group_id=1000\n"
        "37 25 0:33 / /data rw - fuse.glusterfs x rw,user_id=0,group_id=0\nnonsense\n",
    )
    if not ROOT:
        assert "no file on a disk (/home/alice/fuse dir)" in why(host, "/home/alice/fuse dir/f")
    else:
        give(host, "/home/alice", 0)
        assert "no file on a disk (/home/alice/fuse dir)" in why(host, "/home/alice/fuse dir/f")
    assert untrusted.read_untrusted(host, "/data/f") == "x\n"


def test_a_link_in_a_circle_ends(host):
    os.symlink("b", host.real("/a"))
    os.symlink("a", host.real("/b"))
    assert "too many symbolic links" in why(host, "/a")
    assert "too many symbolic links" in why(host, "/a/f")


def test_a_large_or_growing_file_is_refused(host, monkeypatch):
    home(host)
    with open(host.real("/home/alice/hole"), "w") as handle:
        handle.truncate(8 << 40)
    give(host, "/home/alice/hole", OTHER)
    begun = time.monotonic()
    assert why(host, "/home/alice/hole") == "has more than 1,048,576 bytes, so it is not read"
    told = Told()
    assert not list(untrusted.lines_untrusted(host, "/home/alice/hole", told))
    assert told.sentences == ["/home/alice/hole: has more than 67,108,864 bytes, so it is not read"]
    assert time.monotonic() - begun < 5
    # Its size said less than there is.
    file(host, "/home/alice/grows", "x" * 100, OTHER)
    real = untrusted.opened
    monkeypatch.setattr(untrusted, "opened", lambda system, path, *_limits: real(system, path, None))
    assert "more than 10 bytes" in why(host, "/home/alice/grows", limit=10)
    told = Told()
    assert len(list(untrusted.lines_untrusted(host, "/home/alice/grows", told, Limits(10, 100, 10)))) == 0
    assert told.sentences == ["/home/alice/grows: grows, or is read too slowly; the rest is not read"]


def test_lines_and_what_is_said_of_those_that_are_not_read(host):
    home(host)
    file(host, "/home/alice/f", "one\r\ntwo\n" + "l" * 70000 + "\nnul\0\nlast", OTHER)
    told = Told()
    assert list(untrusted.lines_untrusted(host, "/home/alice/f", told)) == [(1, "one"), (2, "two"), (5, "last")]
    assert told.sentences == ["/home/alice/f line 3: more than 65,536 bytes", "/home/alice/f line 4: a NUL byte"]
    told = Told()
    assert list(untrusted.lines_untrusted(host, "/home/alice/f", told, Limits(1 << 20, 1, 60))) == [(1, "one")]
    assert told.sentences == ["/home/alice/f: more than 1 lines; the rest is not read"]
    told = Told()
    assert list(untrusted.lines_untrusted(host, "/home/alice/f", told, Limits(1 << 20, 9, -1))) == []
    assert told.sentences == ["/home/alice/f: grows, or is read too slowly; the rest is not read"]
    told = Told()
    assert list(untrusted.lines_untrusted(host, "/home/alice/none", told)) == []
    assert told.sentences == ["/home/alice/none: is not there"]


def test_patterns_match_like_the_shells_but_by_safe_steps(host):
    for name in ("alice", "bob", ".hidden"):
        home(host, name)
        file(host, "/home/{0}/etc/x.example/shadow".format(name), uid=OTHER)
        for path in ("/etc", "/etc/x.example"):
            give(host, "/home/" + name + path, OTHER)
    os.mkdir(host.real("/home/empty"))
    if ROOT:
        home(host, "eve")
        os.symlink("../bob/etc", host.real("/home/eve/etc"))
        give(host, "/home/eve/etc", OTHER)
    told = Told()
    assert untrusted.matching(host, "/home/*/etc/*/shadow", told) == [
        "/home/alice/etc/x.example/shadow",
        "/home/bob/etc/x.example/shadow",
    ]
    assert len(told.sentences) == (1 if ROOT else 0)
    assert untrusted.matching(host, "/home/[ab]*/etc") == ["/home/alice/etc", "/home/bob/etc"]
    assert untrusted.matching(host, "/none/*/x") == []
    told = Told()
    assert untrusted.matching(host, "/home/*", told, most=2) == ["/home/alice", "/home/bob"]
    assert told.sentences == ["/home/*: more than 2 files match; the rest is not read"]


def test_a_directory_of_too_many_entries_is_said(host, monkeypatch):
    monkeypatch.setattr(untrusted, "_MOST_ENTRIES", 3)
    for number in range(5):
        file(host, "/d/{0}".format(number))
    told = Told()
    assert len(untrusted.matching(host, "/d/*", told)) == 3
    assert told.sentences == ["/d: more than 3 entries; the rest is not looked at"]


def test_a_file_that_is_replaced_behind_the_look_is_not_read(host, monkeypatch):
    file(host, "/d/f")
    real = os.open

    def replaced(path, flags, *rest, **more):
        if path == "f":
            os.rename(host.real("/d/f"), host.real("/d/old"))
            os.mkfifo(host.real("/d/f"))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(untrusted_walk.os, "open", replaced)
    assert "replaced while it was opened" in why(host, "/d/f")


def test_a_directory_that_is_replaced_behind_the_look_is_not_entered(host, monkeypatch):
    file(host, "/d/e/f")
    file(host, "/d/other/f")
    real = os.open

    def replaced(path, flags, *rest, **more):
        if path == "e":
            os.rename(host.real("/d/e"), host.real("/d/old"))
            os.rename(host.real("/d/other"), host.real("/d/e"))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(untrusted_walk.os, "open", replaced)
    assert "replaced while it was opened" in why(host, "/d/e/f")


@as_root
def test_writing_follows_no_link_and_waits_for_no_fifo(host, owners):
    os.makedirs(host.real("/var/prom"))
    give(host, "/var/prom", owners[0])
    file(host, "/etc/shadow", "secret\n")
    os.symlink("../../etc/shadow", host.real("/var/prom/q.prom"))
    give(host, "/var/prom/q.prom", owners[0])
    os.mkfifo(host.real("/var/prom/.q.prom.harden-mail"))
    file(host, "/var/prom/.q.prom.harden-mail-left", uid=0)
    for _ in range(2):
        # The second time, it is a file of root's in somebody's directory.
        untrusted.write_untrusted(host, "/var/prom/q.prom", "metrics\n")
    with open(host.real("/etc/shadow")) as handle:
        assert handle.read() == "secret\n"
    assert not os.path.islink(host.real("/var/prom/q.prom"))
    about = os.stat(host.real("/var/prom/q.prom"))
    assert (about.st_mode & 0o7777, about.st_uid) == (0o644, 0)
    # What a kill left behind has gone; what others put there has not.
    assert sorted(os.listdir(host.real("/var/prom"))) == [".q.prom.harden-mail", "q.prom"]
    os.unlink(host.real("/var/prom/q.prom"))
    os.mkfifo(host.real("/var/prom/q.prom"))
    give(host, "/var/prom/q.prom", owners[0])
    with pytest.raises(NotRead):
        untrusted.write_untrusted(host, "/var/prom/q.prom", "metrics\n")
    os.symlink("../../etc", host.real("/var/prom/dir"))
    give(host, "/var/prom/dir", owners[0])
    with pytest.raises(NotRead):
        untrusted.write_untrusted(host, "/var/prom/dir/new", "metrics\n")
    with pytest.raises(NotRead):
        untrusted.remove_untrusted(host, "/var/prom/dir/shadow")
    assert untrusted.is_there_untrusted(host, "/var/prom/dir")
    untrusted.remove_untrusted(host, "/var/prom/dir")
    untrusted.remove_untrusted(host, "/var/prom/nothing")
    file(host, "/var/prom/roots", uid=0)
    file(host, "/var/prom/.roots.harden-mail-left", uid=0)
    untrusted.remove_untrusted(host, "/var/prom/roots")
    assert not untrusted.is_there_untrusted(host, "/var/prom/roots")
    assert os.path.exists(host.real("/etc/shadow"))


def test_a_written_file_is_whole_or_the_former_one(host, monkeypatch):
    file(host, "/d/f", "former\n")
    monkeypatch.setattr(untrusted.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError):
        untrusted.write_untrusted(host, "/d/f", "new\n")
    assert os.listdir(host.real("/d")) == ["f"]
    with open(host.real("/d/f")) as handle:
        assert handle.read() == "former\n"


def test_no_descriptor_is_left_open(host):
    home(host)
    file(host, "/home/alice/f", uid=OTHER)
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/home/alice/f", "/home/alice/none", "/none/f", "/home/alice", "/proc/kmsg"):
        with contextlib.suppress(NotRead):
            untrusted.read_untrusted(host, path)
    untrusted.matching(host, "/home/*/*")
    untrusted.write_untrusted(host, "/d", "x")
    assert len(os.listdir("/proc/self/fd")) == before
