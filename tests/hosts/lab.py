#!/usr/bin/env python3
"""A lab: test hosts that boot, clients around them, and a network that nothing else shares.

    lab.py run [--host deb12 ...] -- COMMAND   make a lab, run COMMAND where Ansible's controller is, remove the lab
    lab.py roots [NAME ...]                    build the hosts' file systems ahead of time

inside a lab (that is, in COMMAND):

    lab.py add NAME [ROOT]        boot a host                    lab.py sick NAME ...     make it a neglected VPS
    lab.py shell NAME             a shell on a host              lab.py remove NAME ...   take hosts away
    lab.py address NAME           its addresses                  lab.py client NAME CMD   run CMD as that client

Everything is made in network namespaces of its own under a name of its own, so several labs live side by
side. A lab ends with the process that made it; what a killed one left is removed when the next one starts.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

if __package__ in (None, ""):  # run as a program: its directory is the path's first entry
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from hosts import podman, roots
from hosts.clients import Client

HERE = os.path.dirname(os.path.abspath(__file__))
PREFIX = "hmlab-"

# Documentation addresses (RFC 5737, RFC 3849). Every lab has the same: none can reach another.
NETWORK = {4: "198.51.100.{0}", 6: "2001:db8:1::{0}"}
LENGTH = {4: 24, 6: 64}
CLIENTS = {"controller": 5, "allowed": 20, "refused": 66}
FIRST_HOST = 101

INTERFACES = """\
auto lo eth0
iface lo inet loopback
iface eth0 inet static
    address {0}/{1}
iface eth0 inet6 static
    address {2}/{3}
    dad-attempts 0
"""


class Lab:
    """One lab, as kept in its directory."""

    def __init__(self, directory):
        """
        :param str directory: its state; the last part of it is the prefix of all its names on this machine
        """
        self.directory = directory
        self.id = os.path.basename(directory)

    # --- for tests ----------------------------------------------------------------------------------------

    @classmethod
    def current(cls):
        """The lab this process runs in."""
        directory = os.environ.get("HARDEN_MAIL_LAB")
        if not directory:
            raise SystemExit("No lab here: call this by `tests/hosts/lab.py run -- COMMAND`.")
        return cls(directory)

    def host(self, name):
        return Host(self, name)

    def hosts(self):
        """All hosts of the lab, by name."""
        names = [name[:-5] for name in os.listdir(self.path("hosts")) if name.endswith(".json")]
        return [Host(self, name) for name in sorted(names)]

    def client(self, name):
        """ "allowed", "refused" or "controller"."""
        return Client(name, self.namespace(name), addresses(CLIENTS[name]), self.directory)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def read(self, name, default=None):
        """What was noted under a name, see :meth:`note`."""
        try:
            with open(self.path(name + ".json"), encoding="utf-8") as handle:
                return json.load(handle)
        except FileNotFoundError:
            return default

    def note(self, name, value):
        """Keep a value (JSON) for later steps of the same lab."""
        _write(self.path(name + ".json"), json.dumps(value))

    # --- making and removing ------------------------------------------------------------------------------

    @classmethod
    @contextlib.contextmanager
    def made(cls):
        """A new lab for the time of a ``with`` block."""
        with _state_lock():
            _remove_stale_labs()
            lab = cls(tempfile.mkdtemp(prefix=PREFIX, dir=podman.STATE))
            # Held as long as this process lives, however it dies: that's how others know the lab is in use.
            owner = open(lab.path("owner"), "w", encoding="ascii")  # noqa: SIM115
            fcntl.flock(owner, fcntl.LOCK_EX)
            owner.write(str(os.getpid()))
            owner.flush()
        try:
            lab._make()
            yield lab
        finally:
            lab._remove()
            owner.close()
            with _state_lock():
                if not _labs():
                    podman.leave()

    def namespace(self, name):
        """Path of the network namespace of a host or client."""
        return "/run/netns/" + self._namespace_name(name)

    def add(self, name, root=None):
        """Give a host a number; :meth:`Host.boot_first` boots it.

        :param str root: a name in ``roots.ROOTS``; default: the host's own name
        """
        root = root or name
        if root not in roots.ROOTS:
            raise SystemExit("No recipe for {0!r}; tests/hosts/roots.py has {1}.".format(root, ", ".join(roots.ROOTS)))
        with self._lock():
            taken = [host.number for host in self.hosts()]
            number = min(set(range(FIRST_HOST, 250)) - set(taken))
            host = Host(self, name)
            host.save({"number": number, "pid": 0, "root": root})
        return host

    def write_inventory(self):
        """An Ansible inventory of the lab's hosts, for those who don't go through molecule."""
        hosts = {host.name: host.connection() for host in self.hosts()}
        _write(self.path("inventory.json"), json.dumps({"all": {"hosts": hosts}}))

    def environment(self):
        """What a command in the lab finds in its environment."""
        return dict(
            os.environ,
            HARDEN_MAIL_LAB=self.directory,
            # Labs share addresses, so a shared directory of control sockets would mix up their hosts.
            ANSIBLE_SSH_CONTROL_PATH_DIR=self.path("ssh"),
            HARDEN_MAIL_REPORT=self.path("report.json"),
            MOLECULE_EPHEMERAL_DIRECTORY=self.path("molecule"),
            MOLECULE_GLOB="tests/molecule/*/molecule.yml",
            MOLECULE_COMMAND_BORDERS="false",
        )

    def run(self, command):
        """Run a command on the controller; returns its exit status. Signals sent to us are handed on to it."""
        child = subprocess.Popen(["nsenter", "--net=" + self.namespace("controller")] + command, env=self.environment())
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)

    def make_namespace(self, name, number):
        """A network namespace with eth0, down and without addresses, on the lab's switch.

        A former namespace of that name goes first. The hardware address is always the same, so that a
        rebooted host answers its neighbours at once.
        """
        space, switch = self._namespace_name(name), self._namespace_name("switch")
        if os.path.exists(self.namespace(name)):
            _ip("netns", "del", space)
            # The other end of the cable goes with it, but a moment later.
            subprocess.run(["ip", "-n", switch, "link", "del", "to-" + name], check=False, stderr=subprocess.DEVNULL)
        _ip("netns", "add", space)
        batch = [
            "link set lo up",
            "link add eth0 address 02:00:00:00:00:{0:02x} type veth peer name to-{1} netns {2}".format(
                number, name, switch
            ),
        ]
        _ip("-n", space, "-batch", "-", stdin="\n".join(batch))
        _ip("-n", switch, "link", "set", "to-" + name, "master", "switch", "up")

    def _make(self):
        for directory in ("hosts", "ssh", "snapshots", "molecule"):
            os.mkdir(self.path(directory))
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.id, "-f", self.path("ssh", "key")],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        switch = self._namespace_name("switch")
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        for name, number in CLIENTS.items():
            self.make_namespace(name, number)
            batch = [
                "addr add {0}/{1} dev eth0".format(addresses(number)[4], LENGTH[4]),
                "addr add {0}/{1} dev eth0 nodad".format(addresses(number)[6], LENGTH[6]),
                "link set eth0 up",
            ]
            _ip("-n", self._namespace_name(name), "-batch", "-", stdin="\n".join(batch))

    def _remove(self):
        """Remove whatever has this lab's name; goes on when a part of it can't be removed."""
        failures = []
        for remove in (self._remove_containers, self._remove_namespaces):
            try:
                remove()
            except (OSError, subprocess.SubprocessError) as error:
                failures.append(str(error))
        shutil.rmtree(self.directory, ignore_errors=True)
        for failure in failures:
            print("Could not remove all of {0}: {1}".format(self.id, failure), file=sys.stderr)

    def _remove_containers(self):
        # Also those that a killed `lab.py add` is still busy with: first no one may make another.
        for name in _namespaces(self.id):
            if not self._is_host_namespace(name):
                _kill(_pids(name))
        found = podman.podman("ps", "--all", "--quiet", "--filter", "name=^{0}-".format(self.id)).split()
        if found:
            podman.podman("rm", "--force", "--time", "0", *found)

    def _is_host_namespace(self, name):
        return name[len(self.id) + 1 :] not in set(CLIENTS) | {"switch"}

    def _remove_namespaces(self):
        for name in _namespaces(self.id):
            _kill(_pids(name))
            _ip("netns", "del", name)

    def _namespace_name(self, name):
        return "{0}-{1}".format(self.id, name)

    @contextlib.contextmanager
    def _lock(self):
        with open(self.path("lock"), "a", encoding="ascii") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


class Host:
    """A booted test host."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name

    @property
    def number(self):
        return self._state()["number"]

    @property
    def pid(self):
        """Process id, on this machine, of the host's init."""
        return self._state()["pid"]

    def address(self, family=4):
        return addresses(self.number)[family]

    def connection(self):
        """How Ansible reaches it."""
        return {
            "ansible_host": self.address(4),
            "ansible_user": "root",
            "ansible_ssh_private_key_file": self.lab.path("ssh", "key"),
            "ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR",
        }

    def run(self, command, check=True, stdin=b"", timeout=60):
        """Run a shell command on the host; returns its output, text, stderr included.

        :param bytes stdin: what it reads
        :raises AssertionError: with its output, when it fails and ``check``
        """
        done = subprocess.run(
            self._enter() + ["sh", "-c", command],
            check=False,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )
        output = done.stdout.decode("utf-8", "replace")
        assert not check or done.returncode == 0, "{0}: `{1}` exited with {2}:\n{3}".format(
            self.name, command, done.returncode, output
        )
        return output

    def put(self, directory):
        """Copy the tree under a directory of this machine onto the host's /, owned by root."""
        tar = subprocess.run(
            ["tar", "-C", directory, "--owner=0", "--group=0", "--no-overwrite-dir", "-c", "."],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        # A new time of /usr would have systemd update the host at its next boot; of directories that are there, some
        # tars leave only owner and mode alone.
        self.run("tar -C / --no-overwrite-dir --touch -x", stdin=tar)

    def make_sick(self):
        """Make it a neglected mail VPS: see tests/hosts/sick_vps."""
        self.put(os.path.join(HERE, "sick_vps", "root"))
        with open(os.path.join(HERE, "sick_vps", "setup"), "rb") as handle:
            self.run("sh -eu", stdin=handle.read())

    def snapshot(self):
        """The host's state, see snapshot.py."""
        with open(os.path.join(HERE, "snapshot.py"), "rb") as handle:
            return json.loads(self.run("exec python3 -", stdin=handle.read()))

    def boot_first(self):
        self.lab.make_namespace(self.name, self.number)
        # The host brings its network up by itself, as any does, so that the order of things at boot is true.
        interfaces = self.lab.path("hosts", self.name + ".interfaces")
        _write(interfaces, INTERFACES.format(*self._interfaces()))
        podman.podman(
            "run",
            "--detach",
            "--name",
            self._container(),
            "--hostname",
            self.name + ".example.com",
            "--systemd=always",
            "--pids-limit=0",
            "--dns=none",
            "--network",
            "ns:" + self.lab.namespace(self.name),
            "--volume",
            interfaces + ":/etc/network/interfaces:ro",
            "--cap-add=NET_ADMIN,NET_RAW,SYS_ADMIN",
            podman.image(self._state()["root"]),
            "/sbin/init",
            network=self._podman_network(),
        )
        self._booted()
        with open(self.lab.path("ssh", "key.pub"), "rb") as handle:
            self.run("umask 077; mkdir -p /root/.ssh; cat > /root/.ssh/authorized_keys", stdin=handle.read())

    def reboot(self):
        """A true reboot: an orderly shutdown, a new network namespace (the old one holds the firewall), a boot."""
        self.shut_down()
        self.start()

    def shut_down(self):
        podman.podman("stop", "--time", "30", self._container(), network=self._podman_network())

    def start(self):
        self.lab.make_namespace(self.name, self.number)
        podman.podman("start", self._container(), network=self._podman_network())
        self._booted()

    def remove(self):
        podman.podman("rm", "--force", "--time", "0", self._container(), network=self._podman_network())
        _ip("netns", "del", os.path.basename(self.lab.namespace(self.name)))
        os.unlink(self._state_path())

    def save(self, state):
        _write(self._state_path(), json.dumps(state))

    def _booted(self):
        """Wait until init has started everything.

        :raises AssertionError: it hasn't after a minute, or a unit failed
        """
        pid = int(podman.podman("inspect", "--format", "{{.State.Pid}}", self._container()))
        self.save(dict(self._state(), pid=pid))
        deadline = time.monotonic() + 60
        said = ""
        while time.monotonic() < deadline:
            said = self.run("systemctl is-system-running --wait 2>&1", check=False).strip().splitlines()[-1:]
            if said == ["running"]:
                return
            if said == ["degraded"]:
                failed = self.run(
                    "systemctl --failed --no-legend --plain; journalctl -b -p warning -n 20 --no-pager", check=False
                )
                raise AssertionError("{0} has booted with failures:\n{1}".format(self.name, failed))
            time.sleep(0.05)  # init isn't yet so far as to be asked
        raise AssertionError("{0} has not booted within a minute; it says {1}".format(self.name, said))

    def _enter(self):
        return [
            "nsenter",
            "--target",
            str(self.pid),
            "--all",
            "env",
            "-i",
            "LANG=C.UTF-8",
            "HOME=/root",
            "TERM=linux",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]

    def _interfaces(self):
        return [value for family in (4, 6) for value in (self.address(family), LENGTH[family])]

    def _podman_network(self):
        # podman's monitor process lives on; it must not be among what is killed with the controller.
        with open(self.lab.path("owner"), encoding="ascii") as handle:
            return "/proc/{0}/ns/net".format(handle.read())

    def _container(self):
        return "{0}-{1}".format(self.lab.id, self.name)

    def _state_path(self):
        return self.lab.path("hosts", self.name + ".json")

    def _state(self):
        with open(self._state_path(), encoding="utf-8") as handle:
            return json.load(handle)


def addresses(number):
    """{4: IPv4 address, 6: IPv6 address} of the lab's machine with this number."""
    return {family: pattern.format(number) for family, pattern in NETWORK.items()}


def side_by_side(work, items):
    """Call ``work`` for each item at the same time; returns the results in order, raises the first error."""
    with ThreadPoolExecutor(max(1, len(items))) as pool:
        return list(pool.map(work, items))


# --- the machine ----------------------------------------------------------------------------------------------


def _ip(*arguments, stdin=None):
    subprocess.run(["ip"] + list(arguments), check=True, input=stdin, universal_newlines=True)


def _write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as handle:
        handle.write(text)
    os.rename(path + ".new", path)


def _namespaces(lab_id):
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return [name for name in names if name.startswith(lab_id + "-")]


def _pids(namespace):
    said = subprocess.run(
        ["ip", "netns", "pids", namespace],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        universal_newlines=True,
    )
    return [int(word) for word in said.stdout.split()]


def _kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _state_lock():
    os.makedirs(podman.STATE, exist_ok=True)
    with open(podman.STATE + "/lock", "a", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _labs():
    return [Lab(os.path.join(podman.STATE, name)) for name in os.listdir(podman.STATE) if name.startswith(PREFIX)]


def _remove_stale_labs():
    for lab in _labs():
        with open(lab.path("owner"), "a", encoding="ascii") as owner:
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process lives
            print("Removing {0}, whose process is gone.".format(lab.id), file=sys.stderr)
            lab._remove()


# --- the program ----------------------------------------------------------------------------------------------


def main(arguments):
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1 :]
    else:
        command = []
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    does = parser.add_subparsers(dest="does", required=True, metavar="WHAT")
    part = does.add_parser("run")
    part.add_argument("--host", action="append", default=[], metavar="NAME[=ROOT]")
    part.add_argument("--sick", action="store_true", help="make each of these a neglected mail VPS")
    does.add_parser("roots").add_argument("names", nargs="*")
    part = does.add_parser("add")
    part.add_argument("names", nargs="+", metavar="NAME[=ROOT]")
    for name in ("sick", "remove", "reboot"):
        does.add_parser(name).add_argument("names", nargs="+")
    for name in ("shell", "address"):
        does.add_parser(name).add_argument("name")
    part = does.add_parser("client")
    part.add_argument("name", choices=sorted(CLIENTS))
    part.add_argument("command")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        raise SystemExit("Test hosts are made by root; try sudo.")
    return globals()["_do_" + options.does](options, command)


def _do_run(options, command):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    with Lab.made() as lab:
        try:
            boot(lab, options.host)
            if options.sick:
                side_by_side(Host.make_sick, lab.hosts())
            return lab.run(command or [os.environ.get("SHELL", "/bin/sh")])
        finally:
            # From here on nothing interrupts the clearing up.
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)


def _end(number, _frame):
    raise SystemExit(128 + number)


def boot(lab, names):
    pairs = [re.match(r"([a-z0-9]+)(?:=([a-z0-9-]+))?$", name) for name in names]
    if None in pairs:
        raise SystemExit("A host is NAME or NAME=ROOT, of small letters and digits: {0}".format(" ".join(names)))
    side_by_side(podman.image, sorted({pair.group(2) or pair.group(1) for pair in pairs} & set(roots.ROOTS)))
    side_by_side(Host.boot_first, [lab.add(*pair.groups()) for pair in pairs])
    lab.write_inventory()


def _do_roots(options, _command):
    side_by_side(podman.image, options.names or ["deb12", "deb13"])


def _do_add(options, _command):
    boot(Lab.current(), options.names)


def _do_sick(options, _command):
    side_by_side(Host.make_sick, [Lab.current().host(name) for name in options.names])


def _do_remove(options, _command):
    side_by_side(Host.remove, [Lab.current().host(name) for name in options.names])


def _do_reboot(options, _command):
    side_by_side(Host.reboot, [Lab.current().host(name) for name in options.names])


def _do_shell(options, _command):
    command = Lab.current().host(options.name)._enter() + ["bash", "-l"]
    os.execvp(command[0], command)


def _do_address(options, _command):
    host = Lab.current().host(options.name)
    print(host.address(4), host.address(6))


def _do_client(options, _command):
    done = Lab.current().client(options.name).run(options.command)
    sys.stdout.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
