"""What the program needs of root's rights, and how it gives up the rest: for cron, too, which can't do that for it.

It reads queues that only the mail server's users may read, writes its own state, and talks to the network; nothing that
it reads or hears from there may be worth more than that. User 0 it stays, who owns its state and configuration.
"""

import contextlib
import ctypes
import os

# Numbers of capabilities(7), prctl(2) and capset(2).
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
NAMES = {DAC_OVERRIDE: "CAP_DAC_OVERRIDE", DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH"}
_LAST = 63
_BOUNDING_DROP, _NO_NEW, _AMBIENT, _AMBIENT_CLEAR_ALL = 24, 38, 47, 4
_VERSION = 0x20080522


def needed(settings):
    """Capabilities (sorted list of numbers) that a run needs."""
    found = {DAC_READ_SEARCH}
    # A directory that is node_exporter's takes a file of root's only from who may override that.
    if settings["prometheus_file"]:
        found.add(DAC_OVERRIDE)
    return sorted(found)


def may_gain(settings):
    """Whether a program that it starts must be able to gain rights: sendmail hands mail over by a set-gid program."""
    return any(way["type"] == "sendmail" for way in settings["ways"])


def drop(settings):
    """Give up all rights of this process that a run does not need, for good, and those of what it starts.

    Where the host's Python or kernel can't, the run goes on as it is: an alert is worth more.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        kept = needed(settings)
        for number in range(_LAST + 1):
            if number not in kept:
                libc.prctl(_BOUNDING_DROP, number, 0, 0, 0)
        libc.prctl(_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
        if not may_gain(settings):
            libc.prctl(_NO_NEW, 1, 0, 0, 0)
        bits = sum(1 << number for number in kept)
        header = (ctypes.c_uint32 * 2)(_VERSION, 0)
        # Effective, permitted, inheritable; twice, for the numbers beyond 31.
        libc.capset(header, (ctypes.c_uint32 * 6)(bits, bits, 0, 0, 0, 0))
