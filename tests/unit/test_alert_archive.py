"""The alert's program as it is put on a host: what is in it, and that it works there."""

import json
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from harden_mail import archive
from harden_mail.alert import program
from harden_mail.host import services

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "queue-alert"
    path.write_bytes(archive.build_program(program).encode("utf-8", "surrogateescape"))
    path.chmod(0o755)
    return path


def test_the_program_is_what_it_needs_and_nothing_more(built):
    assert services.__name__ in sys.modules
    with zipfile.ZipFile(str(built)) as archive:
        names = set(archive.namelist())
        source = archive.read("harden_mail/alert/program.py")
    assert {
        "__main__.py",
        "harden_mail/__init__.py",
        "harden_mail/queue/qmail/backend.py",
        "harden_mail/host/mta.py",
    } <= names
    assert not {"harden_mail/alert/install.py", "harden_mail/port25/control.py", "harden_mail/queue/engine.py"} & names
    assert source == (ROOT / "module_utils/harden_mail/alert/program.py").read_bytes()


def test_the_same_code_makes_the_same_program(built):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import harden_mail.port25.control\n"
        "from harden_mail.alert.install import build_program, program\n"
        "sys.stdout.buffer.write(build_program(program).encode('utf-8', 'surrogateescape'))\n"
    )
    again = subprocess.check_output([sys.executable, "-c", code, str(ROOT / "module_utils")])
    assert again == built.read_bytes()


def test_the_program_outlives_the_python_that_installed_it(monkeypatch, tmp_path):
    versioned, plain = tmp_path / "python3.11", tmp_path / "python3"
    versioned.write_text("")
    plain.symlink_to(versioned)
    monkeypatch.setattr(archive, "PYTHON", str(plain))
    monkeypatch.setattr(archive.sys, "executable", str(versioned))
    assert archive.build_program(program).startswith("#!{0} -I\n".format(plain))
    monkeypatch.setattr(archive, "PYTHON", str(tmp_path / "gone"))
    assert archive.build_program(program).startswith("#!{0} -I\n".format(versioned))


def call(built, *arguments):
    """Run it as cron does on a bad day: with nothing in its environment."""
    return subprocess.run(
        ["env", "-i", str(built)] + list(arguments),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
    )


def test_the_program_counts_a_real_queue_with_an_empty_environment(built, tmp_path):
    data = ROOT / "tests/data/qmail-queue"
    with tarfile.open(str(data / "queue.tar.xz")) as archive:
        for member in archive:
            path = tmp_path / member.name
            if member.isdir():
                path.mkdir()
            else:
                path.write_bytes(b"")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"mta": "qmail", "queue_dir": str(tmp_path / "queue")}))
    done = call(built, "--config", str(config), "--count")
    assert done.stderr == ""
    counted = json.loads(done.stdout)
    said = [int(number) for number in re.findall(r": (\d+)", (data / "qmail-qstat.txt").read_text(encoding="ascii"))]
    assert [counted["total"], counted["todo"]] == said


def test_the_program_says_what_is_wrong_in_a_line(built, tmp_path):
    done = call(built, "--config", str(tmp_path / "\u3042"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.match(r"queue-alert: --config is \S+, but there is no such file\.\n\Z", done.stderr)
