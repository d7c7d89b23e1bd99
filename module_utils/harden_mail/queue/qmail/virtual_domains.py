"""What ``control/virtualdomains`` does to recipients, backwards."""

import contextlib
import itertools


class VirtualDomains:
    """That file, or none.

    As ``rewrite`` in qmail-send.c: a line ``address:prefix`` wins over ``domain:prefix``, that over ``.parent:prefix``,
    and that over ``:prefix``; upper and lower case are the same.
    """

    def __init__(self, path: str):
        self._prefixes, self._addresses = {}, {}
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="backslashreplace") as handle:
            for line in handle:
                name, colon, prefix = line.rstrip().lower().partition(":")
                if colon and not name.startswith("#"):
                    # Without a prefix it is an exception: remote, after all.
                    if "@" not in name:
                        self._prefixes[name] = prefix and prefix + "-"
                    elif prefix:
                        self._addresses[prefix + "-" + name] = len(prefix) + 1

    def as_written(self, address: str) -> str:
        """The address before a prefix was put before it; as it is where none was."""
        if not self._prefixes and not self._addresses:
            return address
        lowered = address.lower()
        whole = self._addresses.get(lowered)
        if whole:
            return address[whole:]
        labels = lowered.rpartition("@")[2].split(".")
        names = itertools.chain(
            [".".join(labels)], ("." + ".".join(labels[number:]) for number in range(1, len(labels))), [""]
        )
        prefix = next((self._prefixes[name] for name in names if name in self._prefixes), None)
        return address[len(prefix) :] if prefix and lowered.startswith(prefix) else address
