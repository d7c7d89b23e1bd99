"""A process that guesses passwords: no core, out of the swap where it may be, gives way, and dies with its parent."""

import json
import os
import subprocess
import sys

import pytest
from harden_mail.passwords.guessing import process_guard

MODULES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "module_utils")

LOOK = """
import ctypes, json, os, resource, sys
sys.path.insert(0, sys.argv[1])
from harden_mail.passwords.guessing import process_guard

def look():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [
        resource.getrlimit(resource.RLIMIT_CORE),
        ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),  # PR_GET_DUMPABLE
        os.nice(0),
        int(status["VmLck"].split()[0]) > 0,
    ]

process_guard.protect()
reader, writer = os.pipe()
if not os.fork():
    process_guard.protect_fork()
    death = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)  # PR_GET_PDEATHSIG
    os.write(writer, json.dumps(look() + [death.value]).encode())
    os._exit(0)
os.wait()
print(json.dumps([look(), json.loads(os.read(reader, 1000).decode()), process_guard._may_lock_all()]))
"""


def test_this_process_and_its_forks_are_protected():
    out = subprocess.run([sys.executable, "-c", LOOK, MODULES], check=True, stdout=subprocess.PIPE).stdout
    parent, child, may_lock = json.loads(out.decode())
    assert parent == [[0, 0], 0, 19, may_lock]
    assert child == [*parent, 9]


@pytest.mark.parametrize(
    ("status", "limit", "may"),
    [
        ("Name: x\nCapEff:\t0000000000004000\n", 65536, True),
        ("Name: x\nCapEff:\t00000000a80425fb\n", 65536, False),
        ("Name: x\n", 65536, False),
        (None, 65536, False),
        (None, process_guard.resource.RLIM_INFINITY, True),
    ],
)
def test_memory_is_locked_only_where_that_has_no_limit(monkeypatch, tmp_path, status, limit, may):
    path = tmp_path / "status"
    if status is not None:
        path.write_text(status)
    monkeypatch.setattr(process_guard, "_STATUS", str(path))
    monkeypatch.setattr(process_guard.resource, "getrlimit", lambda _: (limit, limit))
    assert process_guard._may_lock_all() is may


def status(monkeypatch, tmp_path, locked, swaps="Filename\n/dev/sda2\n", dumpable=0, core=0):
    """Have the kernel say this of the process."""
    (tmp_path / "status").write_text("VmLck:\t{0} kB\n".format(locked))
    (tmp_path / "swaps").write_text(swaps)
    monkeypatch.setattr(process_guard, "_STATUS", str(tmp_path / "status"))
    monkeypatch.setattr(process_guard, "_SWAPS", str(tmp_path / "swaps"))
    monkeypatch.setattr(process_guard, "_prctl", lambda option, _value: dumpable if option == 3 else 0)
    limits = {process_guard.resource.RLIMIT_CORE: (core, core)}
    monkeypatch.setattr(process_guard.resource, "getrlimit", lambda name: limits.get(name, (65536, 65536)))


def test_what_protects_is_said_as_the_kernel_says_it(monkeypatch, tmp_path):
    status(monkeypatch, tmp_path, 4000)
    assert process_guard.missing() == []
    status(monkeypatch, tmp_path, 0)
    (sentence,) = process_guard.missing()
    assert sentence.startswith("Memory of the audit could not be locked (no CAP_IPC_LOCK, or RLIMIT_MEMLOCK is 64 KiB)")
    assert sentence.endswith("this host has swap.")
    status(monkeypatch, tmp_path, 0, swaps="Filename\n")
    assert process_guard.missing()[0].endswith("this host has no swap now.")
    status(monkeypatch, tmp_path, 4000, dumpable=1, core=-1)
    assert [sentence.split(":")[1] for sentence in process_guard.missing()] == [
        " RLIMIT_CORE is not 0.",
        " PR_SET_DUMPABLE did not take.",
    ]


def test_what_a_host_does_not_allow_is_left_out(monkeypatch):
    def no_library(_):
        raise OSError

    monkeypatch.setattr(process_guard.ctypes, "CDLL", no_library)
    monkeypatch.setattr(process_guard, "_may_lock_all", lambda: True)
    assert process_guard.protect_fork() != []
