"""Ports as firewalld words them: "587/tcp" and "500-600/tcp"."""

import re
from typing import Iterable, Set


def _port_range(word):
    """(int first, int last) of "587/tcp" or "500-600/tcp"; (1, 0), which is nothing, for another protocol."""
    ports, _, protocol = word.partition("/")
    if protocol != "tcp" or not re.match(r"\d+(-\d+)?$", ports):
        return 1, 0
    first, _, last = ports.partition("-")
    return int(first), int(last or first)


def covers(word: str, port: int) -> bool:
    first, last = _port_range(word)
    return first <= port <= last


def ports_within(word: str, ports: Iterable[int]) -> Set[int]:
    """Ports of a word like "587/tcp" if all of them are ours, or an empty set."""
    first, last = _port_range(word)
    inside = {port for port in ports if first <= port <= last}
    return inside if len(inside) == last - first + 1 else set()


def either(ports: Iterable[int]) -> str:
    """Ports in a sentence: "465 or 587"."""
    return " or ".join(str(port) for port in ports)
