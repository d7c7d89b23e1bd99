"""The state of a host as text that can be compared: files, rules, units, queue, packages.

This file runs twice: as a program on the host (Python 3.6 and later, standard library only), where it prints
the state as JSON; and as a module of the tests, where :func:`differences` compares two such states.

A state is {section: {name: text}}. Nothing that moves on an idle host may be in it: no modification time, no
counter, no log, no cache, no spool that the mail server itself keeps turning over.
"""

import difflib
import grp
import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys

# Directories whose content is nobody's configuration.
VOLATILE = {
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/log",
    "/var/cache",
    "/var/lib/systemd",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/postfix",
    "/var/lib/logrotate",
    "/var/lib/mysql",
    "/var/lib/postgresql",
    "/var/spool/postfix",
    "/var/spool/rsyslog",
    "/root/.ansible",
    "/root/.cache",
}
# Names podman mounts into the container, and files a running system rewrites by itself.
VOLATILE_FILES = {
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/ld.so.cache",
    "/etc/.pwd.lock",
    "/.dockerenv",
    # What useradd and userdel keep of the former content.
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
    "/var/lib/dovecot/instances",
    "/var/lib/dovecot/ssl-parameters.dat",
}
# What is shown line by line when it differs; elsewhere the hash must do.
READABLE = ("/etc/", "/usr/local/", "/root/", "/var/lib/harden-mail/", "/var/spool/cron/")
READABLE_BYTES = 200000
# Larger files, which are sparse, are told by their size.
HASHED_BYTES = 1 << 30

# Started by a request and gone after a while, or belonging to a login: not what a host is configured to run.
# network-pre.target, which only units that load rules ask for, stays reached until the next boot.
PASSING_UNITS = re.compile(
    r"^(session-|user@|user-runtime-dir@|run-|systemd-(hostnamed|timedated|localed|tmpfiles-clean|fsck|update-utmp)"
    r"|apt-daily|dpkg-db-backup|man-db|logrotate\.service|e2scrub|fstrim\.service|polkit|container-getty|network-pre\.target)"
)


def state():
    """The whole state of this host; sections as they are named in the output."""
    commands = {
        # Started together: each takes longer to start than to answer.
        "iptables": ["iptables-save"],
        "ip6tables": ["ip6tables-save"],
        "nftables": ["nft", "-s", "list", "ruleset"],
        "ipset": ["ipset", "list", "-sorted"],
        "zones": ["firewall-cmd", "--list-all-zones"],
        "policies": ["firewall-cmd", "--list-all-policies"],
        "unit files": ["systemctl", "list-unit-files", "--plain", "--no-legend", "--no-pager"],
        "units": [
            "systemctl",
            "list-units",
            "--plain",
            "--no-legend",
            "--no-pager",
            "--state=active",
            "--type=service,socket,timer,path,target",
        ],
        "queue": ["postqueue", "-j"],
        "packages": ["dpkg-query", "-W", "-f", "${Package} ${Version}\n"],
    }
    firewalld = subprocess.call(["systemctl", "--quiet", "is-active", "firewalld"]) == 0
    if not firewalld:
        del commands["zones"], commands["policies"]
    running = {name: _start(command) for name, command in commands.items()}
    files = _files()
    said = {name: _finish(process) for name, process in running.items()}
    rules = {
        name: _rules(said[name])
        for name in commands
        if name in ("iptables", "ip6tables", "nftables", "ipset", "zones", "policies")
    }
    units = {name: said[name] for name in ("unit files", "units")}
    return {
        "files": files,
        "rules": rules,
        "units": {name: _units(text) for name, text in units.items()},
        "queue": {"queue": _queue(said["queue"])},
        "packages": {"packages": said["packages"]},
    }


def _start(command):
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    except OSError:  # not installed
        return None


def _finish(process):
    return process.communicate()[0].decode("utf-8", "replace") if process else ""


def _rules(text):
    """Without comments (they carry dates) and counters."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return re.sub(r"\[\d+:\d+\]", "", "\n".join(lines) + "\n")


def _units(text):
    """Name and state of each unit; of the installed ones only those that someone may have enabled or masked."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if (
            not words
            or PASSING_UNITS.match(words[0])
            or words[1] in ("static", "generated", "transient", "alias", "indirect")
        ):
            continue
        lines.append(" ".join(words[:2] if len(words) < 4 else words[:4]))
    return "\n".join(sorted(lines)) + "\n"


def _queue(text):
    """Postfix's queue by message; that a message is just being tried is not a difference."""
    lines = []
    for line in text.splitlines():
        message = json.loads(line)
        recipients = ", ".join(sorted(entry["address"] for entry in message["recipients"]))
        where = "hold" if message["queue_name"] == "hold" else "queued"
        lines.append(
            "{0} {1} {2} bytes from {3} to {4}".format(
                where, message["queue_id"], message["message_size"], message["sender"], recipients
            )
        )
    return "\n".join(sorted(lines)) + "\n"


def _files():
    """{path: "mode owner:group what", and for readable ones its text}"""
    found = {}
    users, groups = {}, {}
    for directory, directories, names in os.walk("/"):
        directories[:] = [
            name for name in directories if name != "__pycache__" and os.path.join(directory, name) not in VOLATILE
        ]
        for name in directories + names:
            path = os.path.join(directory, name)
            if path in VOLATILE_FILES or name.endswith(".pyc"):
                continue
            try:
                found[path] = _describe(path, users, groups)
            except FileNotFoundError:
                continue  # gone since the directory was read
    return found


def _describe(path, users, groups):
    status = os.lstat(path)
    if status.st_uid not in users:
        users[status.st_uid] = _name(pwd.getpwuid, status.st_uid)
    if status.st_gid not in groups:
        groups[status.st_gid] = _name(grp.getgrgid, status.st_gid)
    about = "{0:04o} {1}:{2} ".format(stat.S_IMODE(status.st_mode), users[status.st_uid], groups[status.st_gid])
    if stat.S_ISLNK(status.st_mode):
        return about + "-> " + os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return about + {stat.S_IFDIR: "directory", stat.S_IFSOCK: "socket", stat.S_IFIFO: "fifo"}.get(
            stat.S_IFMT(status.st_mode), "device"
        )
    if status.st_size > HASHED_BYTES:
        return about + "{0} bytes".format(status.st_size)
    with open(path, "rb") as handle:
        content = handle.read()
    about += hashlib.sha256(content).hexdigest()
    if path.startswith(READABLE) and len(content) <= READABLE_BYTES:
        about += "\n" + content.decode("utf-8", "backslashreplace")
    return about


def _name(lookup, number):
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)


def differences(before, after, ignored=()):
    """A readable unified diff of two states; empty when they are the same. Packages are not compared.

    :param ignored: paths that may differ (files of packages that stay installed)
    """
    lines = []
    for section in ("rules", "units", "queue", "files"):
        for name in sorted(set(before[section]) | set(after[section])):
            old, new = before[section].get(name), after[section].get(name)
            if old == new or name in ignored:
                continue
            label = name if section == "files" else "{0}: {1}".format(section, name)
            lines += difflib.unified_diff(
                (old or "").splitlines(),
                (new or "").splitlines(),
                label if old is not None else "absent",
                label if new is not None else "absent",
                lineterm="",
                n=2,
            )
    return "\n".join(lines)


def new_packages(before, after):
    """Names of packages installed (or upgraded) between two states."""
    former = set(before["packages"]["packages"].splitlines())
    return sorted(line.split()[0] for line in after["packages"]["packages"].splitlines() if line not in former)


if __name__ == "__main__":
    json.dump(state(), sys.stdout)
