"""The table of nftables that stands in for a stopped firewalld.

A stopped firewalld leaves every port open, at each restart and shutdown, while the mail server runs. Until it is
back, a table of nftables stands in for it; and for good where it fails to start.
"""

from typing import List, Optional

from ...changes import Change, Run, private_file_change
from ...paths import CONFIGURATION
from ...system import System
from ...systemd_units import unit_file_changes
from ..boot_unit import drop_in_of
from ..nftables.table import DELETE, ruleset
from ..plan import Restriction

_TABLE = "harden_mail_stand_in"
FILE = CONFIGURATION + "/firewalld-stopped.nft"
DROP_IN = drop_in_of("firewalld.service")
_DROP_IN_TEXT = """\
# Written by harden-mail: while firewalld is stopped, a table of nftables keeps mail submission restricted.
[Service]
ExecStartPre=-{nft} -f {file}
ExecStartPost=-/bin/sh -c "firewall-cmd --quiet --state && exec {nft} 'table inet {table}; delete table inet {table}'"
ExecStop=-{nft} -f {file}
"""


def stand_in_changes(system: System, restriction: Optional[Restriction]) -> List[Change]:
    """Have it stand ready; without a restriction it goes."""
    nft = system.which("nft")
    text = drop_in = None
    if restriction is not None:
        text = ruleset(restriction, _TABLE)
        drop_in = _DROP_IN_TEXT.format(nft=nft, file=FILE, table=_TABLE)
    changes = [
        private_file_change(system, FILE, text),
        unit_file_changes(system, DROP_IN, drop_in),
    ]
    if restriction is None:
        changes.reverse()
    listing = system.run(["nft", "-s", "list", "table", "inet", _TABLE], check=False)
    if listing.rc == 0:
        what = "kernel, nftables, table inet " + _TABLE
        do, undo = (Run(("nft", "-f", "-"), text) for text in (DELETE.format(table=_TABLE), listing.out))
        changes.append([Change(what, listing.out, "", (do,), (undo,))])
    return [change for part in changes for change in part]
