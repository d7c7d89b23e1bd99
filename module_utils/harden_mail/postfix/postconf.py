"""postconf(1): what Postfix itself says its settings are."""

from typing import Dict, Iterable

from ..errors import CommandError
from ..system import System

# Where the default instance has its configuration.
POSTFIX_DIR = "/etc/postfix"


def postconf(system: System, config_dir: str, names: Iterable[str]) -> Dict[str, str]:
    """Settings of one Postfix instance.

    :returns: values by name; without those that this release doesn't know
    """
    try:
        out = system.run(["postconf", "-c", config_dir] + list(names), check=False).out
    except CommandError:
        return {}
    pairs = (line.partition(" =") for line in out.splitlines())
    return {name: value.strip() for name, equals, value in pairs if equals}
