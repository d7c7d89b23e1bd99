"""Steps of a change carried out on a tree."""

import os

from fake_system import FakeSystem
from harden_mail.changes import WriteFile, perform

PRIVATE = "/var/lib/harden-mail/part"


def test_what_is_remembered_of_a_host_is_for_root_alone(tmp_path):
    system = FakeSystem(tmp_path)
    perform(system, [WriteFile(PRIVATE + "/former.json", "{}", 0o600)], PRIVATE, ())
    assert os.stat(system.real(PRIVATE)).st_mode & 0o777 == 0o700


def test_our_directories_go_with_their_last_file_and_no_sooner(tmp_path):
    system = FakeSystem(tmp_path)
    own = (PRIVATE, "/var/lib/harden-mail")
    files = [PRIVATE + "/one", PRIVATE + "/two"]
    perform(system, [WriteFile(path, "", 0o600) for path in files], PRIVATE, own)
    perform(system, [WriteFile(files[0], None, 0)], PRIVATE, own)
    assert system.listdir(PRIVATE) == ["two"]
    perform(system, [WriteFile(files[1], None, 0)], PRIVATE, own)
    assert system.is_dir("/var/lib") and not system.exists("/var/lib/harden-mail")
