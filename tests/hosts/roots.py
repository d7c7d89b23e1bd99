"""The recipe of the test hosts' file systems: what is in a root, and how mmdebstrap builds it.

To add a distribution, add a line to ``ROOTS``; to add a program to all of them, add it to ``BASE``. A root is cached
under the hash of its own recipe (:func:`recipe_hash`), so a change builds those anew that it touches.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from collections import namedtuple

BASE = (
    # a machine that boots, and that Ansible and SSH reach
    "systemd systemd-sysv dbus procps kmod iproute2 ifupdown sudo openssh-server python3 python3-apt cron rsyslog "
    # the mail server
    "postfix postfix-sqlite ca-certificates openssl "
    # every firewall there is; only what a scenario enables is running
    "iptables ipset nftables firewalld netfilter-persistent iptables-persistent conntrack"
).split()
DOVECOT = ["dovecot-pop3d", "dovecot-imapd"]
# What mail hosts keep their accounts in, and Dovecot's ways to ask it.
SQL = ("mariadb-server postgresql sqlite3 sasl2-bin python3-passlib dovecot-mysql dovecot-pgsql dovecot-sqlite").split()
COURIER = ["courier-pop", "courier-imap", "courier-authlib-userdb", "libsasl2-modules"]
# Two POP servers can't be on one host. tcpserver takes qmail's clients, daemontools keep it running.
TCPSERVER = ["ucspi-tcp-ipv6", "daemontools"]

# suite: of the Debian archive; packages: besides BASE; idle: units of theirs that are off until a scenario starts them
Root = namedtuple("Root", "suite packages idle")
SQL_IDLE = ["mariadb", "postgresql", "rsync", "saslauthd"]
COURIER_IDLE = "courier-authdaemon courier-pop courier-pop-ssl courier-imap courier-imap-ssl".split()

# by the root's name (and, unless a scenario says otherwise, the platform's)
ROOTS = {
    "deb11": Root("bullseye", DOVECOT, []),
    "deb12": Root("bookworm", DOVECOT, []),
    "deb13": Root("trixie", DOVECOT, []),
    "deb12-sql": Root("bookworm", DOVECOT + SQL + TCPSERVER, SQL_IDLE),
    "deb13-sql": Root("trixie", DOVECOT + SQL + TCPSERVER, SQL_IDLE),
    "deb12-courier": Root("bookworm", COURIER + TCPSERVER, COURIER_IDLE),
}

ANSWERS = """\
postfix postfix/main_mailer_type select Local only
postfix postfix/mailname string vps.example.com
iptables-persistent iptables-persistent/autosave_v4 boolean false
iptables-persistent iptables-persistent/autosave_v6 boolean false
"""

# No firewall runs and none is enabled: a scenario chooses. firewalld is masked, since its D-Bus activation
# would start it as soon as anyone calls firewall-cmd.
FINISH = """\
rm -f "$1/etc/resolv.conf"
echo host > "$1/etc/hostname"
: > "$1/etc/machine-id"
chroot "$1" systemctl disable firewalld netfilter-persistent nftables
chroot "$1" systemctl mask firewalld
# Their work is done by the clock, so two looks at the same host would differ.
chroot "$1" systemctl disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
"""

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def recipe_hash(name):
    """The name under which a root is cached: changes when what is done to build it does."""
    root = ROOTS[name]
    recipe = [ANSWERS, _finish(root), _command(root.suite, BASE + root.packages, "answers", "finish", "tar")]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def build(name, tar_path, log):
    """Build the root ``name`` into a tar file; ``log`` (a file object) gets what mmdebstrap says.

    :raises subprocess.CalledProcessError: it could not be built
    """
    root = ROOTS[name]
    sources = _sources(root.suite)
    try:
        _mmdebstrap(root, tar_path, sources, log)
    except subprocess.CalledProcessError:
        # An old release's security archive may have holes; its main archive then still makes a host.
        if len(sources) < 2:
            raise
        log.write("Trying once more without the security archive.\n")
        log.flush()
        _mmdebstrap(root, tar_path, sources[:1], log)


def _mmdebstrap(root, tar_path, sources, log):
    with tempfile.TemporaryDirectory() as directory:
        finish = os.path.join(directory, "finish")
        answers = os.path.join(directory, "answers")
        for path, text in ((finish, _finish(root)), (answers, ANSWERS)):
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(text)
        command = _command(root.suite, BASE + root.packages, answers, finish, tar_path)
        subprocess.run(command + sources, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _finish(root):
    return FINISH + "".join('chroot "$1" systemctl disable {0}\n'.format(unit) for unit in root.idle)


def _command(suite, packages, answers, finish, tar_path):
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        "--format=tar",
        "--include=" + ",".join(packages),
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        '--essential-hook=chroot "$1" debconf-set-selections < ' + answers,
        '--customize-hook=sh -eu {0} "$1"'.format(finish),
        suite,
        tar_path,
    ]


def _sources(suite):
    """Lines of sources.list for a suite: from this machine's own apt; none (mmdebstrap's default) if it has no Debian.

    The security archive's name changed with bullseye; nothing older is in ``ROOTS``.
    """
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)", "Created-By: Packages"],
        check=True,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ).stdout.splitlines()
    main = security = None
    for line in sorted(set(targets)):
        origin, address, release = line.split("|")
        if origin != "Debian":
            continue
        if "security" in release:
            security = security or address
        else:
            main = main or address
    if main is None:
        return []
    lines = ["deb [signed-by={0}] {1} {2} main".format(KEYRING, main, suite)]
    if security:
        lines.append("deb [signed-by={0}] {1} {2}-security main".format(KEYRING, security, suite))
    return lines
