"""Whether Cyrus SASL looks into its own database, sasldb2, for who logs in to this host's Postfix."""

import contextlib
import re
from typing import Dict, List, Optional, Tuple

from ..postfix.postconf import postconf
from ..system import System
from ..untrusted import NotRead
from .users import text_of_root

# Cyrus SASL's own store, in Debian and in Red Hat.
SASLDB_FILES = ("/etc/sasldb2", "/etc/sasl2/sasldb2")

# Where an application's settings are (smtpd.conf), unless cyrus_sasl_config_path says so first.
_DIRECTORIES = ("/etc/postfix/sasl", "/etc/sasl2", "/usr/lib64/sasl2", "/usr/lib/sasl2", "/etc/sasl")

# Settings of Postfix: the application's name, and more directories.
_NAMES = ("smtpd_sasl_path", "cyrus_sasl_config_path")

# What SASL's own daemon is started with.
_DAEMONS = ("/etc/default/saslauthd", "/etc/sysconfig/saslauthd")


def sasldb_files(system: System, config_dir: str) -> List[Tuple[str, str]]:
    """Files of SASL's own database that this host's Postfix has it ask: (path, how that is known).

    :param config_dir: of Postfix
    """
    asked = _asked(system, config_dir)
    if asked is None:
        return []
    path, how = asked
    places = [path] if path else SASLDB_FILES
    return [(place, how) for place in places if system.exists(place)]


def _asked(system: System, config_dir: str) -> Optional[Tuple[Optional[str], str]]:
    """(path or None for the usual ones, how that is known); None when it is not asked."""
    main = postconf(system, config_dir, ["smtpd_sasl_auth_enable", "smtpd_sasl_type", *_NAMES])
    services = postconf(system, config_dir, ["-P"])
    if not {"yes", "cyrus"} <= {
        value
        for settings in (main, services)
        for name, value in settings.items()
        if name.rpartition("/")[2] in ("smtpd_sasl_auth_enable", "smtpd_sasl_type")
    }:
        return None
    how = "smtpd_sasl_type = cyrus, and there is no smtpd.conf"
    settings: Dict[str, str] = {}
    application, directories = (main.get(name, "") for name in _NAMES)
    for directory in [name for name in directories.split(":") if name.startswith("/")] + list(_DIRECTORIES):
        path = "{0}/{1}.conf".format(directory.rstrip("/"), application or "smtpd")
        try:
            text = text_of_root(system, path)
        except NotRead:
            return None
        if text is not None:
            how, settings = path, _settings(text)
            break
    # Without these, SASL asks all plugins that are installed, and its database is one (libsasl's options.html).
    methods = settings.get("pwcheck_method", "auxprop").split()
    plugins = settings.get("auxprop_plugin", "sasldb").split()
    if "auxprop" in methods and "sasldb" in plugins:
        return settings.get("sasldb_path"), how
    return (None, how) if "saslauthd" in methods and _does_saslauthd(system) else None


def _does_saslauthd(system: System) -> bool:
    """Whether SASL's daemon, which answers in its place, asks the database."""
    for path in _DAEMONS:
        with contextlib.suppress(NotRead):
            for line in (text_of_root(system, path) or "").splitlines():
                match = re.match(r"\s*MECH(?:ANISMS)?=[\"']?([^\"']*)", line)
                if match and "sasldb" in match.group(1).split():
                    return True
    return False


def _settings(text: str) -> Dict[str, str]:
    """Lines "key: value" as SASL reads them."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {key.strip().lower(): value.strip() for key, colon, value in pairs if colon}
