"""Rich rules of ours, in firewalld's words."""

import shlex
from typing import List

from .names import IPSETS


def accept_rule(family: int, port: int) -> str:
    """Rich rule of a zone, worded as firewalld words it."""
    return 'rule family="ipv{0}" source ipset="{1}" port port="{2}" protocol="tcp" accept'.format(
        family, IPSETS[family], port
    )


def refuse_rule(family: int, port: int) -> str:
    """Rich rule of our policy, worded as firewalld words it."""
    return 'rule family="ipv{0}" source NOT ipset="{1}" port port="{2}" protocol="tcp" reject type="tcp-reset"'.format(
        family, IPSETS[family], port
    )


def is_ours(rule: str) -> bool:
    """Whether a rule is about one of our ipsets."""
    return any('ipset="{0}"'.format(name) in rule for name in IPSETS.values())


def words(rule: str) -> List[str]:
    """The same for two rules that mean the same."""
    return sorted(shlex.split(rule))


def keep_wording(rules: List[str], present: List[str]) -> List[str]:
    """Rules, each as the host words it already where it means the same; in the order of the host if all are there."""
    worded = {tuple(words(rule)): rule for rule in present}
    return in_order([worded.get(tuple(words(rule)), rule) for rule in rules], present)


def in_order(items: List[str], model: List[str]) -> List[str]:
    """Items, those that are in ``model`` too first and in its order, each once."""
    return [item for item in model if item in items] + [item for item in items if item not in model]
