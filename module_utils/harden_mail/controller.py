"""What the controller needs to know to try the host from outside."""

import os
import re
from typing import Optional, Set

from .system import System


def controller_address(system: System, pid: Optional[int] = None) -> Optional[str]:
    """Address of the other end of the SSH connection that this process runs in.

    sudo takes SSH_CONNECTION out of the environment, so the parents' are looked at too (root may).

    :param system: the host
    :param pid: process to begin with (None: this one)
    :returns: None when this is no SSH connection
    """
    if pid is None:
        own = os.environ.get("SSH_CONNECTION", "")
        if own:
            return own.split()[0]
        pid = os.getppid()
    while pid > 1:
        environment = system.read("/proc/{0}/environ".format(pid)) or ""
        found = re.search(r"(?:^|\0)SSH_CONNECTION=([0-9a-fA-F:.%]+) ", environment)
        if found:
            return found.group(1)
        parent = re.search(r"^PPid:\s*(\d+)", system.read("/proc/{0}/status".format(pid)) or "", re.MULTILINE)
        pid = int(parent.group(1)) if parent else 0
    return None


def listening_ports(system: System) -> Set[int]:
    """TCP ports that something listens on, from /proc/net/tcp and tcp6 (proc(5): state 0A)."""
    ports = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (system.read(path) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == "0A":
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports
