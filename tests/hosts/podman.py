"""Podman on this machine, with the shims the machine needs and no others.

An ordinary machine (cgroup v2, root with all capabilities, systemd) needs none. Otherwise:
- no cgroup v2 at /sys/fs/cgroup: podman runs in a mount namespace of its own, where it is so;
- no CAP_SYS_RESOURCE: the OCI runtime is called through ``runtime-without-rlimits``;
- no systemd: podman makes control groups and writes events by itself.
"""

import fcntl
import os
import re
import subprocess
import sys

from hosts import roots

STATE = "/run/harden-mail-lab"
MOUNTS = STATE + "/mounts"
IMAGE = "localhost/harden-mail-test"

CAP_SYS_RESOURCE = 24


def podman(*arguments, network=None, **options):
    """Run one podman command; returns its output as stripped text.

    :param str network: path of the network namespace in which podman itself, and so its monitor, belongs
    :raises subprocess.CalledProcessError: podman said no
    """
    command = _enter(network) + ["podman"] + _options() + list(arguments)
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        **options,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout.strip()


def image(name):
    """Image of the root ``name``, built and imported first if need be; one process builds, others wait."""
    tag = "{0}:{1}-{2}".format(IMAGE, name, roots.recipe_hash(name))
    os.makedirs(STATE, exist_ok=True)
    with open("{0}/image-{1}.lock".format(STATE, name), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _has(tag):
            return tag
        tar = "{0}/{1}-{2}.tar".format(cache_directory(), name, roots.recipe_hash(name))
        if not os.path.exists(tar):
            _build(name, tar)
        podman("import", "--quiet", tar, tag)
    return tag


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "harden-mail", "roots")


def leave():
    """Undo what :func:`_enter` set up; only when no lab is left."""
    if os.path.exists(MOUNTS + "/namespace"):
        subprocess.run(["umount", MOUNTS + "/namespace"], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["umount", MOUNTS], check=False)


def _build(name, tar):
    os.makedirs(os.path.dirname(tar), exist_ok=True)
    partial = tar + ".partial"
    print("Building the test host {0} (about a minute, once) ...".format(name), file=sys.stderr, flush=True)
    with open(tar[:-4] + ".log", "w", encoding="utf-8") as log:
        try:
            roots.build(name, partial, log)
        except subprocess.CalledProcessError:
            raise SystemExit(
                "{0} can't be built from this machine's archive; {1} says why.".format(name, log.name)
            ) from None
    os.rename(partial, tar)
    # What an older recipe made is of no use to anyone.
    older = re.compile(re.escape(name) + r"-[0-9a-f]{12}\b")  # deb12-sql is no older deb12
    for other in os.listdir(os.path.dirname(tar)):
        path = os.path.join(os.path.dirname(tar), other)
        if older.match(other) and not path.startswith(tar[:-4]):
            os.unlink(path)
    for tag in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if tag.startswith(IMAGE + ":") and older.match(tag[len(IMAGE) + 1 :]):
            # Unless a lab still runs on it.
            subprocess.run(
                _enter() + ["podman"] + _options() + ["rmi", tag],
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )


def _has(tag):
    # Silent, since the very first call of podman on a machine complains of a network set-up that nobody uses.
    command = _enter() + ["podman"] + _options() + ["image", "exists", tag]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def _options():
    options = []
    if not os.path.isdir("/run/systemd/system"):
        options += ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]
    if not _has_capability(CAP_SYS_RESOURCE):
        options += ["--runtime", os.path.join(os.path.dirname(os.path.abspath(__file__)), "runtime-without-rlimits")]
    return options


def _has_capability(number):
    with open("/proc/self/status", encoding="ascii") as handle:
        effective = next(line for line in handle if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> number & 1)


def _enter(network=None):
    """Command prefix that enters the namespaces podman must be in."""
    options = ["--net=" + network] if network else []
    if not _is_cgroup2("/sys/fs/cgroup"):
        _pin_mount_namespace()
        options += ["--mount={0}/namespace".format(MOUNTS), "--wd=" + os.getcwd()]
    return ["nsenter"] + options if options else []


def _is_cgroup2(path):
    return subprocess.check_output(["stat", "-f", "-c", "%T", path], universal_newlines=True).strip() == "cgroup2fs"


def _pin_mount_namespace():
    pin = MOUNTS + "/namespace"
    os.makedirs(MOUNTS, exist_ok=True)
    with open(STATE + "/mounts.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_mounted(pin):
            return
        script = """
            set -eu
            # /run/netns becomes a shared mount with its first namespace; later ones then show in ours too.
            ip netns add harden-mail-first; ip netns del harden-mail-first
            mount --bind "$1" "$1"; mount --make-private "$1"
            : > "$2"
            unshare --mount="$2" --propagation slave sh -c \\
                'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup'
        """
        subprocess.run(["sh", "-c", script, "sh", MOUNTS, pin], check=True)


def _is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as handle:
        return any(line.split()[4] == path for line in handle)
