"""Trees that look as a panel's host does, for unit tests: files belong to whom they belong on a real one."""

import os

ROOT = os.geteuid() == 0

# Customers and daemons; who is not root has all files, and so is all of them.
UIDS = {
    name: 54321 + number if ROOT else os.geteuid() for number, name in enumerate(("alpha", "beta", "mail", "vpopmail"))
}
HOMES = {"alpha": "/home/alpha", "beta": "/home2/beta", "mail": "/var/mail", "vpopmail": "/home/vpopmail"}


def write(root, path, content="", owner=None, mode=0o640):
    """Make a file; directories beneath an owner's home, or /etc/virtual, are the owner's, too."""
    real = str(root) + path
    os.makedirs(os.path.dirname(real), exist_ok=True)
    with open(real, "w", encoding="utf-8", errors="surrogateescape") as handle:
        handle.write(content)
    os.chmod(real, mode)
    if owner is not None:
        give(root, path, owner)
    return real


def give(root, path, owner):
    """Give a path, and what is above it up to the owner's home, to an owner."""
    top = "/etc/virtual" if owner == "mail" else HOMES[owner]
    while ROOT and (path + "/").startswith(top + "/"):
        os.chown(str(root) + path, UIDS[owner], UIDS[owner], follow_symlinks=False)
        path = os.path.dirname(path)


def passwd(root, *names):
    """Write /etc/passwd with some of the users; returns the root."""
    lines = ["root:x:0:0:root:/root:/bin/sh"]
    lines += ["{0}:x:{1}:{1}::{2}:/bin/sh".format(name, UIDS[name], HOMES[name]) for name in names or UIDS]
    write(root, "/etc/passwd", "\n".join(lines) + "\n", mode=0o644)
    return root


def cpanel(root, mark="/usr/local/cpanel/version", **domains):
    """cPanel, with domains (a dot for each underscore) and their owners."""
    passwd(root)
    write(root, mark, "11.110.0.5\n", mode=0o644)
    lines = ["*: nobody"] + ["{0}: {1}".format(domain.replace("_", "."), owner) for domain, owner in domains.items()]
    write(root, "/etc/userdomains", "\n".join(lines) + "\n")
    return root


def directadmin(root, *domains):
    """DirectAdmin, with domains of alpha's."""
    passwd(root)
    write(root, "/usr/local/directadmin/conf/directadmin.conf", "port=2222\n", mode=0o600)
    write(root, "/etc/virtual/domainowners", "".join("{0}: alpha\n".format(name) for name in domains), "mail", 0o644)
    return root
