"""Parts of discovery: processes, sockets, services, panel, accounts, logs."""

import os
import struct

import pytest
from fake_system import FakeSystem
from harden_mail.errors import CommandError
from harden_mail.host import accounts, listeners, logs, mta, pop, processes, services
from harden_mail.postfix.master_cf import parse_services
from harden_mail.smtp import Offer
from hypothesis import given
from hypothesis import strategies as st


def write(root, path, text=""):
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def process(root, pid, name, command, parent=1, inodes=(), namespace=None, users=(0, 0)):
    write(root, "/proc/{0}/status".format(pid), "Name:\t{0}\nUid:\t{1}\t{2}\t{2}\t{2}\n".format(name, *users))
    write(root, "/proc/{0}/stat".format(pid), "{0} ({1}) S {2} {0} {0} 0".format(pid, name, parent))
    write(root, "/proc/{0}/cmdline".format(pid), command.replace(" ", "\0") + "\0")
    for number, inode in enumerate(inodes):
        (root / "proc" / str(pid) / "fd").mkdir(exist_ok=True)
        os.symlink("socket:[{0}]".format(inode), str(root / "proc" / str(pid) / "fd" / str(number)))
    if namespace:
        (root / "proc" / str(pid) / "ns").mkdir()
        os.symlink("pid:[{0}]".format(namespace), str(root / "proc" / str(pid) / "ns/pid"))


POSTFIX_RUNS = processes.Process(9, 1, "master", ["/usr/libexec/postfix/master", "-w"], 0)
QMAIL_RUNS = processes.Process(8, 1, "qmail-send", ["qmail-send"], 7796)


# --- processes and sockets ----------------------------------------------------------------------------------


def test_processes_of_containers_are_another_hosts(tmp_path):
    process(tmp_path, 10, "master", "/usr/lib/postfix/sbin/master -w", namespace=1)
    process(tmp_path, 20, "qmail-send", "qmail-send", namespace=2)
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    os.symlink("pid:[1]", str(tmp_path / "proc/self/ns/pid"))
    assert [found.name for found in processes.find_processes(FakeSystem(tmp_path))] == ["master"]


def test_names_with_blanks_and_brackets(tmp_path):
    process(tmp_path, 10, "a) (b c", "weird")
    process(tmp_path, 11, "kthreadd", "")
    write(tmp_path, "/proc/11/cmdline", "")
    (found,) = processes.find_processes(FakeSystem(tmp_path))
    assert found == processes.Process(10, 1, "a) (b c", ["weird"], 0)


def test_holder_is_the_one_that_handed_the_socket_down(tmp_path):
    """Process ids wrap around: the worker's may be the smaller one."""
    process(tmp_path, 900, "master", "/usr/lib/postfix/sbin/master", inodes=[7, 8])
    process(tmp_path, 50, "smtpd", "smtpd", parent=900, inodes=[7])
    system = FakeSystem(tmp_path)
    found = processes.holders(system, processes.find_processes(system), {"7", "9"})
    assert {inode: holder.name for inode, holder in found.items()} == {"7": "master"}


def test_a_name_makes_no_ones_process_the_mail_servers(tmp_path):
    """A user's own, one that a user started by a set-uid program, and Postfix's."""
    for pid, users in ((10, (1001, 1001)), (11, (1001, 0)), (12, (0, 0))):
        process(tmp_path, pid, "master", "/usr/lib/postfix/sbin/master -w", users=users)
    found = processes.find_processes(FakeSystem(tmp_path))
    assert [one.pid for one in found if processes.is_postfix_master(one)] == [12]


def test_what_a_user_gives_as_arguments_is_not_even_opened(tmp_path):
    """He can make them megabytes long, a thousand times, or have their reader wait for ever."""
    process(tmp_path, 10, "hog", "x", users=(1001, 1001))
    (tmp_path / "proc/10/cmdline").unlink()
    os.mkfifo(str(tmp_path / "proc/10/cmdline"))
    (found,) = processes.find_processes(FakeSystem(tmp_path))
    assert (found.command, found.user) == (["hog"], 1001)
    process(tmp_path, 11, "sudo", "x " * 500000)
    sudo = processes.find_processes(FakeSystem(tmp_path))[1]
    assert len(sudo.command) < 40000


def test_a_users_descriptors_keep_nobody_from_finding_who_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_MOST_DESCRIPTORS", 3)
    process(tmp_path, 10, "hog", "x", inodes=range(100, 120), users=(1001, 1001))
    process(tmp_path, 20, "tcpserver", "tcpserver 0 25", inodes=[7], users=(200, 200))
    process(tmp_path, 30, "master", "/usr/lib/postfix/sbin/master", inodes=[8])
    system = FakeSystem(tmp_path)
    everybody, asked = processes.find_processes(system), []
    monkeypatch.setattr(processes, "link", lambda _system, path: asked.append(path) or os.readlink(system.real(path)))
    found = processes.holders(system, everybody, {"7", "8"})
    assert {inode: holder.name for inode, holder in found.items()} == {"7": "tcpserver", "8": "master"}
    assert not [path for path in asked if path.startswith("/proc/10/")], "nobody is asked when all are known"
    processes.holders(system, everybody, {"999"})
    assert len([path for path in asked if path.startswith("/proc/10/")]) == 3
    monkeypatch.setattr(processes, "_SECONDS", -1)
    assert processes.holders(system, everybody, {"8"}) == {}


@given(st.ip_addresses(), st.sampled_from(listeners.PORTS))
def test_listening_reads_the_kernels_addresses(tmp_path_factory, address, port):
    root = tmp_path_factory.mktemp("host")
    packed = address.packed
    words = [struct.unpack("=I", packed[start : start + 4])[0] for start in range(0, len(packed), 4)]
    line = "  0: {0}:{1:04X} {2}:0000 {3} 0:0 0:0 0 0 0 77 1\n"
    digits = "".join("{0:08X}".format(word) for word in words)
    name = "tcp" if address.version == 4 else "tcp6"
    text = "header\n" + "".join(line.format(digits, port, "0" * len(digits), state) for state in ("01", "0A", "0A"))
    write(root, "/proc/net/" + name, text + line.format(digits, 24, "0" * len(digits), "0A"))
    (found,) = listeners.listening(FakeSystem(root))
    assert found == listeners.Socket(port, address.version, str(address), "77")


def test_own_addresses_are_no_loopback_and_global(tmp_path):
    write(
        tmp_path,
        "/proc/net/fib_trie",
        "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 203.0.113.255\n"
        "        /32 link BROADCAST\n     |-- 203.0.113.20\n        /32 host LOCAL\n",
    )
    write(
        tmp_path,
        "/proc/net/if_inet6",
        "00000000000000000000000000000001 01 80 10 80 lo\nfe800000000000000000000000000001 02 40 20 80 eth0\n"
        "20010db8000100000000000000000010 02 40 00 80 eth0\n",
    )
    assert listeners.own_addresses(FakeSystem(tmp_path)) == {4: "203.0.113.20", 6: "2001:db8:1::10"}


MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
203.0.113.9:smtp inet n - y - - smtpd
[2001:db8::9]:587 inet n - y - - smtpd
submission inet n - y - - smtpd
  -o smtpd_tls_security_level=encrypt
submissions inet n - y - - smtpd
smtp unix - - y - - smtp
"""


@pytest.mark.parametrize(
    "port, address, name",
    (
        (25, "0.0.0.0", "smtp"),
        (25, "203.0.113.9", "203.0.113.9:smtp"),
        (587, "2001:db8::9", "[2001:db8::9]:587"),
        (587, "::", "submission"),
        (465, "::", "submissions"),
        (2525, "::", None),
    ),
)
def test_service_of_master_cf(port, address, name):
    entries = [service for service in parse_services(MASTER) if service.kind == "inet"]
    assert listeners.service_of(entries, listeners.Socket(port, 4, address, "1")) == name


def test_wildcards_are_asked_at_an_outer_address_first(tmp_path):
    write(tmp_path, "/proc/net/fib_trie", "     |-- 203.0.113.20\n        /32 host LOCAL\n")
    line = "  0: {0}:0019 00000000:0000 0A 0:0 0:0 0 0 0 {1} 1\n"
    write(tmp_path, "/proc/net/tcp", "header\n" + line.format("00000000", 1) + line.format("0900A8C0", 2))
    write(tmp_path, "/proc/net/tcp6", "header\n" + line.format("0" * 32, 3))
    asked = []

    def probe(servers):
        asked.extend(servers)
        return [Offer(False, [], [], "asked")] * len(servers)

    listeners.find_listeners(FakeSystem(tmp_path), [], mta.nothing(), probe)
    assert asked == [(25, ["203.0.113.20", "127.0.0.1"]), (25, ["192.168.0.9"]), (25, ["::1"])]


def test_postfix_whose_sockets_cannot_be_looked_at(tmp_path):
    """As root in a container without CAP_SYS_PTRACE."""
    line = "  0: 00000000:{0:04X} 00000000:0000 0A 0:0 0:0 0 0 0 {1} 1\n"
    write(tmp_path, "/proc/net/tcp", "header\n" + line.format(587, 1) + line.format(25, 2))
    write(tmp_path, "/etc/postfix/master.cf", "submission inet n - y - - smtpd\n")
    facts = dict(mta.nothing(), instances=[{"name": None, "config_dir": "/etc/postfix", "queue_dir": None}])

    def probe(servers):
        return [Offer(False, [], [], "asked")] * len(servers)

    seen = {}
    for name, running in (("running", [POSTFIX_RUNS]), ("stopped", []), ("another", [QMAIL_RUNS])):
        found, evidence = listeners.find_listeners(FakeSystem(tmp_path), running, facts, probe)
        seen[name] = [(entry["port"], entry["program"], entry["service"]) for entry in found]
    assert seen["running"] == [(25, None, None), (587, "master", "submission")]
    assert seen["stopped"] == seen["another"] == [(25, None, None), (587, None, None)]
    found, evidence = listeners.find_listeners(FakeSystem(tmp_path), [POSTFIX_RUNS], facts, probe)
    assert "can't be looked at" in evidence["1.program"] and "0.program" not in evidence


# --- services -------------------------------------------------------------------------------------------------


def test_systemd_that_does_not_answer(tmp_path):
    class Silent(FakeSystem):
        def run(self, argv, stdin=None, check=True, timeout=60):
            raise CommandError(argv, None, "no answer within 60 seconds")

    (tmp_path / "run/systemd/system").mkdir(parents=True)
    found = services.find_services(Silent(tmp_path))
    assert found.manager == "systemd" and found.get("cron", "crond") is None


def test_generated_units_start_at_boot_by_their_links(tmp_path):
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    blocks = ["LoadState=not-found\nActiveState=inactive\nUnitFileState=\n" for _name in services.NAMES]
    blocks[services.NAMES.index("qmail")] = "LoadState=loaded\nActiveState=active\nUnitFileState=generated\n"
    system = FakeSystem(tmp_path, {"systemctl show": "\n".join(blocks)})
    assert services.find_services(system).get("qmail") == services.Service("qmail.service", True, False)
    write(tmp_path, "/etc/rc3.d/S20qmail")
    assert services.find_services(system).enabled("qmail")


# --- which MTA ------------------------------------------------------------------------------------------------


def both(root):
    for path in (
        "/etc/postfix/main.cf",
        "/var/qmail/bin/qmail-send",
        "/var/qmail/control/me",
        "/var/qmail/bin/sendmail",
    ):
        write(root, path)
    return FakeSystem(root, {"postconf": "mail_version = 3.5.9\n"})


@pytest.mark.parametrize(
    "running, sendmail, name",
    (
        ([POSTFIX_RUNS], "/var/qmail/bin/sendmail", "postfix"),
        ([QMAIL_RUNS], "/usr/sbin/sendmail.postfix", "qmail"),
        ([POSTFIX_RUNS, QMAIL_RUNS], "/var/qmail/bin/sendmail", "qmail"),
        ([], "/var/qmail/bin/sendmail", "qmail"),
        ([], "/usr/sbin/sendmail.postfix", "postfix"),
    ),
)
def test_of_two_the_one_that_runs_or_else_owns_sendmail(tmp_path, running, sendmail, name):
    system = both(tmp_path)
    (tmp_path / "usr/sbin").mkdir(parents=True)
    os.symlink(sendmail, str(tmp_path / "usr/sbin/sendmail"))
    panel = {"name": None, "version": None, "root": None}
    assert mta.find_mta(system, running, services.find_services(system), panel)[0]["name"] == name


def test_sendmail_links_that_go_round(tmp_path):
    (tmp_path / "usr/sbin").mkdir(parents=True)
    os.symlink("sendmail", str(tmp_path / "usr/sbin/sendmail"))
    assert mta.sendmail_program(FakeSystem(tmp_path)) == "/usr/sbin/sendmail"


# --- which POP server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("running, name", (("couriertcpd", "courier"), ("dovecot", "dovecot")))
def test_of_two_pop_servers_the_one_that_runs(tmp_path, running, name):
    write(tmp_path, "/etc/dovecot/dovecot.conf")
    write(tmp_path, "/etc/courier/imapd")
    system = FakeSystem(tmp_path, {"dovecot --version": "2.3.4.1 (f79e8e7e4)\n"})
    facts, evidence = pop.find_pop(system, [processes.Process(9, 1, running, [running], 0)])
    assert facts["name"] == name and "it is running" in evidence["name"]
    assert facts["version"] == {"dovecot": "2.3.4.1", "courier": None}[name]


# --- accounts -------------------------------------------------------------------------------------------------

DOVECOT_23 = """\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
passdb {
  args = scheme=CRYPT username_format=%u /etc/dovecot/users
  driver = passwd-file
}
passdb {
  driver = pam
}
passdb {
  args = /etc/dovecot/deny-users
  deny = yes
  driver = passwd-file
}
userdb {
  args = /etc/dovecot/users
  driver = passwd-file
}
passdb {
  args = /etc/dovecot/dovecot-sql.conf.ext
  driver = sql
}
"""

DOVECOT_24 = """\
passdb passwd-file {
  passwd_file_path = /etc/dovecot/users
}
passdb second {
  driver = passwd-file
  passwd_file_path = /etc/dovecot/%{user | domain}/users
}
passdb sql {
  query = SELECT password FROM users WHERE name = '%{user}' AND secret = 'dsn'
}
passdb pam {
}
"""


def test_passdbs_of_dovecot_2_3():
    assert accounts.passdbs(DOVECOT_23) == [
        ("passwd-file", "/etc/dovecot/users"),
        ("pam", None),
        ("sql", "/etc/dovecot/dovecot-sql.conf.ext"),
    ]


def test_passdbs_of_dovecot_2_4():
    assert accounts.passdbs(DOVECOT_24) == [
        ("passwd-file", "/etc/dovecot/users"),
        ("passwd-file", "/etc/dovecot/%{user | domain}/users"),
        ("sql", None),
        ("pam", None),
    ]


@given(st.text())
def test_any_configuration_is_read(text):
    assert all(path is None or path.startswith("/") for _driver, path in accounts.passdbs("passdb {\n" + text + "\n}"))


def test_paths_with_the_domain_in_them_are_counted_over_all(tmp_path):
    for domain in ("example.com", "example.net"):
        write(tmp_path, "/etc/dovecot/{0}/users".format(domain), "a:{PLAIN}x\n# b:{PLAIN}y\n\nc:{PLAIN}z\n")
    server = {"name": "dovecot", "version": "2.4.1", "config_dir": "/etc/dovecot"}
    panel = {"name": None, "version": None, "root": None}
    system = FakeSystem(tmp_path, {"doveconf -n": DOVECOT_24})
    found, _evidence = accounts.find_accounts(system, mta.nothing(), server, panel)
    counts = {account["path"]: account["count"] for account in found}
    assert counts["/etc/dovecot/%{user | domain}/users"] == 4
    assert "dsn" not in str(found) and "PLAIN" not in str(found)


def test_only_accounts_that_can_log_in_count(tmp_path):
    write(tmp_path, "/etc/shadow", "root:*:1::\na:$y$x:1::\nb:!$y$x:1::\nc::1::\nd:!!:1::\ne:$6$x:1::\n")
    server = {"name": "courier", "version": None, "config_dir": "/etc/courier"}
    panel = {"name": None, "version": None, "root": None}
    found, _evidence = accounts.find_accounts(FakeSystem(tmp_path), mta.nothing(), server, panel)
    assert found == [{"store": "shadow", "path": "/etc/shadow", "count": 2}]


# --- logs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, targets",
    (
        ("mail.*\t\t\t\t-/var/log/mail.log", ["/var/log/mail.log"]),
        ("mail.*  -/usr/local/psa/var/log/maillog", ["/usr/local/psa/var/log/maillog"]),
        ("  mail,news.info /var/log/both;RSYSLOG_TraditionalFileFormat", ["/var/log/both"]),
        ("*.info;mail.none;authpriv.none /var/log/messages", []),
        ("mail.err /var/log/mail.err", []),
        ("mail.=info -/var/log/mail.info", ["/var/log/mail.info"]),
        ("#mail.* /var/log/old", []),
        ("mail.* @@loghost", []),
        ("mail.* |/run/pipe", []),
        ('module(load="imuxsock")', []),
    ),
)
def test_mail_targets(line, targets):
    assert logs.mail_targets(line + "\n") == targets


def test_a_log_with_two_names_is_read_once(tmp_path):
    write(tmp_path, "/var/log/maillog")
    (tmp_path / "opt/psa/var/log").mkdir(parents=True)
    os.symlink(str(tmp_path / "var/log/maillog"), str(tmp_path / "opt/psa/var/log/maillog"))
    panel = {"name": "plesk", "version": None, "root": "/opt/psa"}
    found, evidence = logs.find_logs(FakeSystem(tmp_path), mta.nothing(), panel)
    assert found["files"] == ["/opt/psa/var/log/maillog"]
    assert evidence["files.0"] == "Plesk's place"


def test_postfixs_own_log(tmp_path):
    write(tmp_path, "/srv/postfix.log")
    system = FakeSystem(tmp_path, {"postconf -c /etc/postfix maillog_file": "maillog_file = /srv/postfix.log\n"})
    facts = dict(mta.nothing(), name="postfix", config_dir="/etc/postfix")
    found, _evidence = logs.find_logs(system, facts, {"name": None, "version": None, "root": None})
    assert found["files"] == ["/srv/postfix.log"]
