"""The systemd unit that loads our rules at boot, for hosts that have no means of their own.

It starts before the network does, so that no port is open for a moment; and it has no ExecStop, because a unit
that takes its rules away at shutdown opens the port while the mail server still runs.
"""

from typing import Dict, List, Optional, Sequence

from ..changes import Change, Run
from ..paths import UNITS
from ..system import System
from ..systemd_units import RELOAD, unit_file_changes

DIRECTORY = UNITS + "/"
ENABLED_LINKS = DIRECTORY + "sysinit.target.wants/"

# Sets must exist before a rule file of the host that names them is loaded: one missing set makes
# iptables-restore refuse the whole file.
TEXT = """\
[Unit]
Description=Restrict mail submission to its declared sources
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target sysinit.target netfilter-persistent.service iptables.service ip6tables.service

[Service]
Type=oneshot
RemainAfterExit=yes
NoNewPrivileges=yes
ProtectSystem={protect}
CapabilityBoundingSet={capabilities}
{starts}

[Install]
WantedBy=sysinit.target
"""

# What the unit may do: netlink, and for the old iptables raw sockets, modules, and a lock in /run.
SANDBOX_OF_NFT = {"protect": "strict", "capabilities": "CAP_NET_ADMIN"}
SANDBOX_OF_IPTABLES = {"protect": "full", "capabilities": "CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_MODULE"}


def unit_changes(system: System, commands: Optional[Sequence[str]], name: str, sandbox: Dict[str, str]) -> List[Change]:
    """Changes that install and enable the unit with these commands, or take it away.

    :param commands: each an absolute command line for ExecStart=; None: no unit
    :param name: of the unit; each backend has its own, so that one can go while another one stays
    :param sandbox: one of the above
    """
    text = None
    if commands is not None:
        text = TEXT.format(starts="\n".join("ExecStart=" + command for command in commands), **sandbox)
    changes = []
    enabled = system.exists(ENABLED_LINKS + name)
    if enabled and commands is None:
        changes.append(
            Change(
                "unit " + name,
                "enabled",
                "",
                # Stopped as well, or it stays "active" without a file until the next boot; it has no ExecStop.
                (Run(("systemctl", "disable", "--now", name), None),),
                (RELOAD, Run(("systemctl", "enable", name), None)),
            )
        )
    # Started now as well, which loads what is loaded already: a unit that this host does not let do its work is a
    # failure today, not an open port after the next boot.
    start = Run(("systemctl", "restart", name), None)
    changes += unit_file_changes(system, DIRECTORY + name, text, [start] if enabled and commands is not None else [])
    if commands is not None and not enabled:
        changes.append(
            Change("unit " + name, "", "enabled", (Run(("systemctl", "enable", name), None), start), (_disable(name),))
        )
    return changes


def _disable(name: str) -> Run:
    """The step that ends a unit, whether its file is still there or not: a way back may be gone twice."""
    script = 'systemctl disable --now "$1" || { [ ! -e "$2" ] && rm -f -- "$3"; }'
    return Run(("sh", "-c", script, "sh", name, DIRECTORY + name, ENABLED_LINKS + name), None)


def drop_in_of(service: str) -> str:
    """Path of our drop-in to a unit of the host, such as "nftables.service"."""
    return DIRECTORY + service + ".d/harden-mail.conf"
