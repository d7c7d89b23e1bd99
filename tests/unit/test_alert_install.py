"""The alert put on a host and taken away, and what a killed run leaves."""

import functools
import json
import os
import pathlib
import socket
import time

import killing
import pytest
from fake_system import FakeSystem
from harden_mail import archive
from harden_mail.alert import install, program, turn
from harden_mail.alert.install import CRON, SERVICE, TIMER
from harden_mail.alert.settings import DEFAULTS
from harden_mail.alert.store import STATE, Store
from harden_mail.errors import UserError
from harden_mail.paths import ALERT_CONFIG, ALERT_PROGRAM, ALERT_SPARE_STATE, ALERT_STATE, ALERT_TIMER, LIBRARY

CANARY = "canary5ecret"
METRICS = "/var/lib/node/mail.prom"
BUILT = functools.lru_cache(maxsize=None)(archive.build_program)
WAYS = [
    {"type": "smtp", "host": "smtp.example.net", "to": ["a@example.net"], "user": "a", "password": CANARY},
    {
        "type": "webhook",
        "url": "https://hooks.example.net/" + CANARY,
        "headers": {"X-Token": CANARY},
        # As Ansible gives what was not said.
        "host": None,
        "password": None,
    },
]


class Host:
    """A host whose systemd, if it has one, reads its units when it is told to.

    :ivar list calls: what systemctl was told to change
    """

    def __init__(self, root, cron=True, systemd=True, cron_service=None):
        self.root, self.cron = root, cron if cron_service is None else cron_service
        self.system = FakeSystem(root, {"systemctl": self.systemctl, "queue-alert": "[]"})
        for path in (["/etc/cron.d"] if cron else []) + (["/run/systemd/system"] if systemd else ["/etc/rc3.d"]):
            os.makedirs(self.system.real(path))
        if not systemd and cron:
            self.put("/etc/init.d/cron", "#!/bin/sh\n")
            self.put("/etc/rc3.d/S01cron", "#!/bin/sh\n")
        self.calls = []
        # On disk, for what a killed process told it holds.
        self.manager = root / "systemd.json"
        self.knows(read={}, enabled=False, active=False, failed=False, cron=True)

    def knows(self, **more):
        """Something happens behind our back."""
        known = json.loads(self.manager.read_text()) if self.manager.exists() else {}
        self.manager.write_text(json.dumps(dict(known, **more)))

    def systemctl(self, argv, _):
        known = json.loads(self.manager.read_text())
        if argv[1] == "show":
            return "\n\n".join(self.shown(name, known) for name in argv[3:])
        self.calls.append(" ".join(argv[1:]))
        units = {path: self.system.read(path) for path in (SERVICE, TIMER)}
        if argv[1] == "daemon-reload":
            known["read"] = units
        elif argv[1] == "reset-failed":
            known["failed"] = False
        else:
            assert argv[2:] == ["--now", ALERT_TIMER]
            assert units[TIMER] is not None, "systemctl fails when there is no such unit"
            known["enabled"] = known["active"] = argv[1] == "enable"
            # It reads units by itself when it enables one.
            known["read"] = units
        self.manager.write_text(json.dumps(known))
        return ""

    def shown(self, name, known):
        if name == ALERT_TIMER:
            about = {
                "ActiveState": "active" if known["active"] else "inactive",
                "UnitFileState": "enabled" if known["enabled"] and self.system.exists(TIMER) else "",
            }
        else:
            is_there = self.cron and name == "cron.service"
            is_active = is_there and known["cron"]
            about = {
                "LoadState": "loaded" if is_there else "not-found",
                "ActiveState": "active" if is_active else "inactive",
                "UnitFileState": "",
            }
        path = "/etc/systemd/system/" + name
        stale = path in (SERVICE, TIMER) and known["read"].get(path) != self.system.read(path)
        about["NeedDaemonReload"] = "yes" if stale else "no"
        about["FragmentPath"] = path if known["read"].get(path) else ""
        if path == SERVICE and known["failed"]:
            about["ActiveState"] = "failed"
        return "\n".join("{0}={1}".format(*pair) for pair in about.items())

    def put(self, path, text):
        self.system.write(path, text)

    def run(self, check_mode=False, **params):
        usual = {name: default for name, (_, default) in DEFAULTS.items()}
        usual.update({"state": "present", "scheduler": "auto", "interval": 5, "drill": False, "ways": WAYS})
        return install.run(self.system, dict(usual, **params), check_mode)

    def files(self):
        """Path -> (content, mode) of all there is, but for the directories of the test itself."""
        found = {}
        for directory, _, names in os.walk(str(self.root)):
            for name in names:
                path = pathlib.Path(directory, name)
                if not directory.endswith("/run/harden-mail"):
                    found["/" + str(path.relative_to(self.root))] = (path.read_bytes(), path.stat().st_mode & 0o777)
        return found

    def fail(self):
        """The last run by the timer had something left to say."""
        self.knows(failed=True)

    def failed(self):
        return json.loads(self.manager.read_text())["failed"]

    def unit(self):
        """What systemd runs: the timer it has read, if it is to run, and now, and at the next boot."""
        known = json.loads(self.manager.read_text())
        return known["read"].get(TIMER) if known["enabled"] and known["active"] else None


@pytest.fixture(params=["cron", "timer", "sysv"])
def host(request, tmp_path):
    return Host(tmp_path / "host", cron=request.param != "timer", systemd=request.param != "sysv")


@pytest.fixture
def cron_host(tmp_path):
    return Host(tmp_path / "host")


@pytest.fixture(autouse=True)
def built_once(monkeypatch):
    # It is built in each run of the module, and the same each time.
    monkeypatch.setattr(install, "build_program", BUILT)


def mode(host, path):
    return os.stat(host.system.real(path)).st_mode & 0o777


def test_it_is_put_there_once_and_predicted_exactly(host):
    before = host.files()
    predicted = host.run(check_mode=True)
    assert host.files() == before
    assert host.calls == []
    done = host.run()
    assert predicted == done
    assert done["changed"]
    assert (mode(host, ALERT_PROGRAM), mode(host, ALERT_CONFIG)) == (0o755, 0o600)
    assert (mode(host, CRON) if host.system.exists(CRON) else mode(host, TIMER)) == 0o644
    after, host.calls = host.files(), []
    again = host.run()
    assert (again["changed"], again["diff"]) == (False, [])
    assert host.files() == after
    assert host.calls == []
    assert done["findings"] == []


def test_cron_or_a_timer_runs_it(tmp_path):
    with_cron, without = Host(tmp_path / "a"), Host(tmp_path / "b", cron=False)
    assert with_cron.run(interval=1)["evidence"][0] == "{0} every 1 minutes by {1}".format(ALERT_PROGRAM, CRON)
    assert "*/1 * * * * root {0} ".format(ALERT_PROGRAM) in with_cron.system.read(CRON)
    assert with_cron.unit() is None
    without.run(interval=10)
    assert "OnCalendar=*:0/10\n" in without.unit()
    assert "ExecStart={0}\n".format(ALERT_PROGRAM) in without.system.read(SERVICE)
    assert not without.system.exists(CRON)


def test_a_directory_of_cron_without_cron_runs_nothing(tmp_path):
    host = Host(tmp_path / "host", cron_service=False)
    host.run()
    assert host.unit()
    assert not host.system.exists(CRON)


def test_from_cron_to_a_timer_and_back(cron_host):
    cron_host.run()
    assert cron_host.run(scheduler="timer")["changed"]
    assert cron_host.unit()
    assert not cron_host.system.exists(CRON)
    assert not cron_host.run(scheduler="timer")["changed"]
    predicted = cron_host.run(check_mode=True)
    assert cron_host.run() == predicted
    assert cron_host.unit() is None
    assert (cron_host.system.exists(CRON), cron_host.system.exists(TIMER)) == (True, False)


def test_another_interval_is_read_by_systemd(tmp_path):
    host = Host(tmp_path / "host", cron=False)
    host.run()
    host.run(interval=15)
    assert "OnCalendar=*:0/15\n" in host.unit()


@pytest.mark.parametrize("change", [{"active": False}, {"enabled": False}])
def test_a_timer_that_somebody_has_stopped_runs_again(tmp_path, change):
    host = Host(tmp_path / "host", cron=False)
    host.run()
    host.knows(**change)
    assert host.unit() is None
    predicted = host.run(check_mode=True)
    assert host.run() == predicted
    assert predicted["changed"]
    assert host.unit()


@pytest.mark.parametrize(
    ("kind", "params", "parts"),
    [
        ({}, {"interval": 7}, ["interval", "7", "hour"]),
        ({}, {"interval": 0}, ["interval", "0"]),
        ({}, {"interval": 60}, ["interval", "60"]),
        ({}, {"limit": "some"}, ["limit", "some"]),
        ({"cron": False}, {"scheduler": "cron"}, ["scheduler", "timer"]),
        ({"cron_service": False}, {"scheduler": "cron"}, ["scheduler", "timer"]),
        ({"systemd": False}, {"scheduler": "timer"}, ["scheduler", "cron"]),
        ({"systemd": False, "cron": False}, {}, ["scheduler", "neither"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_changed(tmp_path, kind, params, parts):
    host = Host(tmp_path / "host", **kind)
    before = host.files()
    with pytest.raises(UserError) as caught:
        host.run(**params)
    for part in parts:
        assert part in str(caught.value)
    assert host.files() == before


def test_no_secret_is_in_a_result(cron_host):
    results = [cron_host.run(), cron_host.run(ways=WAYS[:1]), cron_host.run(ping_url="https://a.example/" + CANARY)]
    cron_host.put(ALERT_CONFIG, '{"ways": "' + CANARY)
    results.append(cron_host.run())
    cron_host.put(cron_host.system.temporary(ALERT_CONFIG), CANARY)
    results.append(cron_host.run())
    cron_host.put(cron_host.system.temporary(ALERT_CONFIG), CANARY)
    results.append(cron_host.run(state="absent"))
    assert all(result["changed"] and result["diff"] for result in results)
    assert CANARY not in json.dumps(results)
    assert "(not shown)" in json.dumps(results)


def test_the_configuration_is_private_from_its_first_moment(cron_host, monkeypatch):
    cron_host.put(ALERT_CONFIG, "{}")
    assert mode(cron_host, ALERT_CONFIG) == 0o644
    seen = []
    original = os.rename

    def rename(before, after):
        seen.append((os.stat(before).st_mode & 0o777, os.stat(before).st_uid))
        original(before, after)

    monkeypatch.setattr(os, "rename", rename)
    cron_host.run()
    assert (0o600, os.geteuid()) in seen
    assert mode(cron_host, ALERT_CONFIG) == 0o600
    os.chmod(cron_host.system.real(ALERT_CONFIG), 0o644)
    assert cron_host.run(check_mode=True)["changed"]
    cron_host.run()
    assert mode(cron_host, ALERT_CONFIG) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_configuration_that_somebody_else_owns_is_taken_over(cron_host):
    cron_host.run()
    os.chown(cron_host.system.real(ALERT_CONFIG), 65534, 65534)
    assert cron_host.run()["changed"]
    assert os.stat(cron_host.system.real(ALERT_CONFIG)).st_uid == 0


def test_what_is_written_is_what_was_said_and_the_program_takes_it(cron_host):
    cron_host.run(limit="500", all_clear=False)
    written = program.read_config(cron_host.system, ALERT_CONFIG)
    assert (written["limit"], written["all_clear"]) == ("500", False)
    assert "host" not in written["ways"][1]


def test_the_metrics_of_a_former_configuration_go(cron_host):
    cron_host.run(prometheus_file=METRICS)
    cron_host.put(METRICS, "harden_mail_queue_messages 5\n")
    assert not cron_host.run(prometheus_file=METRICS)["changed"]
    cron_host.run(prometheus_file=METRICS + "2")
    assert not cron_host.system.exists(METRICS)


def test_absent_takes_away_all_of_it_and_nothing_else(host):
    host.put("/etc/harden-mail/other", "kept\n")
    before = host.files()
    host.run(prometheus_file=METRICS)
    host.put(STATE, "{}")
    host.put(METRICS, "1\n")
    host.put(METRICS + "2", "kept\n")
    host.put(ALERT_SPARE_STATE, "{}")
    host.put(ALERT_STATE + "/refused-1.1.alarm.txt", "said to nobody\n")
    for path in (ALERT_CONFIG, ALERT_PROGRAM, STATE, ALERT_SPARE_STATE):
        host.put(host.system.temporary(path), CANARY)
    host.put(host.system.temporary(METRICS) + "-0123456789abcdef", "1\n")
    predicted = host.run(state="absent", check_mode=True)
    assert host.run(state="absent") == predicted
    assert predicted["changed"]
    before[METRICS + "2"] = (b"kept\n", 0o644)
    after = host.files()
    before.pop("/systemd.json"), after.pop("/systemd.json")
    assert after == before
    assert not host.system.exists(LIBRARY)
    assert not host.system.exists(ALERT_STATE)
    assert host.system.listdir(os.path.dirname(ALERT_SPARE_STATE)) == []
    assert host.unit() is None
    host.calls = []
    assert not host.run(state="absent")["changed"]
    assert host.calls == []


def test_absent_waits_for_a_run_that_is_at_work(cron_host, monkeypatch):
    cron_host.run()
    monkeypatch.setattr(install, "RUN_TIMEOUT", 0.1)
    with turn.only_one(cron_host.system), pytest.raises(UserError, match="is at work"):
        cron_host.run(state="absent")
    assert not cron_host.system.exists(CRON)
    assert cron_host.run(state="absent")["changed"]
    assert not cron_host.system.exists(ALERT_PROGRAM)


def relay(host, port=25):
    return {"type": "smtp", "host": host, "port": port, "to": ["a@example.net"]}


@pytest.mark.parametrize(
    "ways",
    [
        [],
        [{"type": "sendmail", "to": ["root"]}],
        [relay("localhost"), relay("127.0.0.1"), relay("::1", 587)],
        [relay("Vps1.example.com"), relay("vps1", 465)],
        [{"type": "sendmail", "to": ["root"]}, relay("198.51.100.7")],
    ],
)
def test_no_way_out_but_the_own_queue_is_a_finding(cron_host, monkeypatch, ways):
    monkeypatch.setattr(install.os, "uname", lambda: type("Uname", (), {"nodename": "vps1.example.com"}))

    class Socket(socket.socket):
        def bind(self, address):
            if address[0] != "198.51.100.7":
                raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(install.socket, "socket", Socket)
    (finding,) = cron_host.run(ways=ways)["findings"]
    assert "no way out but this host's own queue" in finding
    for elsewhere in (relay("198.51.100.8"), relay("vps2"), relay("localhost", 2525), WAYS[1]):
        assert cron_host.run(ways=ways + [elsewhere])["findings"] == []


def test_an_address_is_known_to_be_ones_own():
    assert install._is_this_host(relay("127.0.0.1"))
    assert not install._is_this_host(relay("192.0.2.1"))


def test_cron_that_does_not_run_is_a_finding(cron_host):
    cron_host.knows(cron=False)
    (finding,) = cron_host.run()["findings"]
    assert finding == "cron.service is not running, so nobody looks at the queue; start it."
    assert cron_host.run(check_mode=True)["findings"] == [finding]
    assert cron_host.run(scheduler="timer")["findings"] == []


def test_a_job_that_has_not_run_for_long_is_a_finding(host, monkeypatch):
    monkeypatch.setattr(install.time, "monotonic", lambda: 10**6)
    host.run()
    job = host.system.real(CRON if host.system.exists(CRON) else TIMER)
    longest = 3 * 5 * 60 + turn.LONGEST
    assert host.run()["findings"] == [], "it has just been put there"
    now = os.stat(job).st_mtime
    os.utime(job, (now - 2 * longest, now - 2 * longest))
    (finding,) = host.run()["findings"]
    assert "has counted the queue in the last 19 minutes" in finding
    store = Store(host.system)
    store.recent = [[int(now), 5]]
    store.save()
    assert host.run()["findings"] == []
    store.recent = [[int(now) - longest - 60, 5]]
    store.save()
    assert host.run()["findings"] == [finding]
    assert host.run(limit="500")["findings"] == [], "it is another one now, which may be what was wrong"
    monkeypatch.setattr(install.time, "monotonic", lambda: longest - 1)
    assert host.run()["findings"] == [], "the host was just booted"


def test_the_automatic_limit_is_said(cron_host):
    assert cron_host.run(limit="auto")["evidence"][2] == "limit: auto, at present 300, at most 1000"
    store = Store(cron_host.system)
    store.hours, store.begun = [[int(time.time()) - 3600, 20]], int(time.time()) - 3600
    store.save()
    assert cron_host.run(limit="auto")["evidence"][2] == "limit: auto, at present 60, at most 1000"
    assert cron_host.run(limit="500")["evidence"][2] == "limit: 500"


def test_a_directory_for_metrics_that_is_not_there_is_a_finding(cron_host):
    (finding,) = cron_host.run(prometheus_file=METRICS)["findings"]
    assert METRICS in finding
    os.makedirs(cron_host.system.real(os.path.dirname(METRICS)))
    assert cron_host.run(prometheus_file=METRICS)["findings"] == []


# --- drill --------------------------------------------------------------------------------------------------


def drill(host, answer):
    host.system.commands["queue-alert"] = answer if isinstance(answer, str) else json.dumps(answer)
    return host.run(drill=True)


def test_a_drill_that_one_way_takes_names_those_that_did_not(cron_host):
    results = [
        {"way": "smtp", "accepted": False, "reason": "smtp: Connection refused"},
        {"way": "webhook", "accepted": True, "reason": None},
    ]
    done = drill(cron_host, results)
    assert done["drill"] == results
    assert done["findings"] == ["The drill's test alert was not taken by every way: smtp: Connection refused."]


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (
            [{"way": "a", "accepted": False, "reason": "a: gone"}, {"way": "b", "accepted": False, "reason": "b: no"}],
            "a: gone; b: no",
        ),
        ([], "ways is empty"),
        ("", "no answer"),
    ],
)
def test_a_drill_that_no_way_takes_fails(cron_host, answer, part):
    with pytest.raises(UserError, match=part):
        drill(cron_host, answer)


def test_a_drill_is_not_sent_in_check_mode(cron_host):
    assert "drill" not in cron_host.run(drill=True, check_mode=True)
    assert not any(line.startswith("queue-alert") for line, _ in cron_host.system.calls)


# --- killed -------------------------------------------------------------------------------------------------


START_WITH = {"nothing": None, "another": {"scheduler": "cron", "interval": 1, "prometheus_file": METRICS}}


@pytest.mark.parametrize("former", sorted(START_WITH))
@pytest.mark.parametrize(
    "wanted",
    [
        {"scheduler": "timer", "interval": 10},
        {"scheduler": "cron", "interval": 10},
        {"state": "absent"},
    ],
    ids=str,
)
@pytest.mark.parametrize("by_timer", [False, True])
def test_killed_anywhere_the_next_run_completes_it(tmp_path, monkeypatch, former, wanted, by_timer):
    # It would be written hundreds of times here.
    monkeypatch.setattr(install, "build_program", lambda module: "the program\n")

    def fresh(name):
        made = Host(tmp_path / str(name))
        if START_WITH[former]:
            made.run(**dict(START_WITH[former], scheduler="timer" if by_timer else "cron"))
            made.put(METRICS, "1\n")
            made.put(STATE, "{}")
            if by_timer:
                made.fail()
        return made

    right = fresh("right")
    right.run(**wanted)
    least = 8 if former == "another" or wanted != {"state": "absent"} else 0
    for host, where in killing.everywhere(fresh, lambda host: host.run(**wanted), least):
        predicted = host.run(check_mode=True, **wanted)
        assert host.run(**wanted) == predicted, where
        assert (host.files(), host.unit()) == (right.files(), right.unit()), where
        assert wanted.get("scheduler") == "timer" or not host.failed(), where
        assert not host.run(**wanted)["changed"], where
