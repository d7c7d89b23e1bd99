"""What of root's rights a run keeps, asked of the kernel."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from harden_mail.alert import jobs, privileges
from harden_mail.alert.settings import check

ROOT = pathlib.Path(__file__).parents[2]
SENDMAIL = {"ways": [{"type": "sendmail", "to": ["root"]}]}
METRICS = {"prometheus_file": "/var/lib/node/mail.prom"}

CODE = """
import json, subprocess, sys
sys.path.insert(0, sys.argv[1])
from harden_mail.alert import privileges
from harden_mail.alert.settings import check
privileges.drop(check(json.loads(sys.argv[2])))
print(open("/proc/self/status").read())
sys.stdout.flush()
subprocess.call(["cat", "/proc/self/status"])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="has no rights to give up")
@pytest.mark.parametrize(
    ("given", "kept", "no_new"), [({}, 1 << 2, "1"), (METRICS, 1 << 2 | 1 << 1, "1"), (SENDMAIL, 1 << 2, "0")]
)
def test_it_and_what_it_starts_keep_what_is_needed(given, kept, no_new):
    said = subprocess.check_output([sys.executable, "-c", CODE, str(ROOT / "module_utils"), json.dumps(given)]).decode()
    for status in said.split("Name:")[1:]:
        about = dict(line.split(":\t", 1) for line in status.splitlines()[1:] if ":\t" in line)
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(about[name], 16) == kept, name
        assert int(about["CapAmb"], 16) == 0
        assert about["NoNewPrivs"] == no_new
        assert about["Uid"].split() == ["0"] * 4


@pytest.mark.parametrize(
    ("given", "capabilities", "no_new"),
    [
        ({}, "CAP_DAC_READ_SEARCH", "yes"),
        (METRICS, "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH", "yes"),
        (SENDMAIL, "CAP_DAC_READ_SEARCH", "no"),
    ],
)
def test_its_unit_says_the_same(given, capabilities, no_new):
    (unit,) = [text for path, text, _mode in jobs.texts(check(given), 5, True) if path == jobs.SERVICE]
    assert "CapabilityBoundingSet={0}\n".format(capabilities) in unit
    assert "NoNewPrivileges={0}\n".format(no_new) in unit
    assert "ProtectSystem=full\n" in unit


def test_without_root_there_is_nothing_to_give_up(monkeypatch):
    monkeypatch.setattr(privileges.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(privileges.ctypes, "CDLL", lambda *_: pytest.fail("nothing to do"), raising=True)
    privileges.drop(check({}))
