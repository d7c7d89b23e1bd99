"""postconf(1): what Postfix itself says its settings are."""

from ..errors import CommandError

# Where the default instance has its configuration.
POSTFIX_DIR = "/etc/postfix"


def postconf(system, config_dir, names):
    """Settings of one Postfix instance.

    :returns: dict from name to value; without those that this release doesn't know
    """
    try:
        out = system.run(["postconf", "-c", config_dir] + list(names), check=False).out
    except CommandError:
        return {}
    pairs = (line.partition(" =") for line in out.splitlines())
    return {name: value.strip() for name, equals, value in pairs if equals}
