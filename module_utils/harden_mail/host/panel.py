"""Plesk, by its files: its own commands take seconds and need its database."""

from typing import Any, Dict, Optional, Tuple

from ..system import System


def find_panel(system: System) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """Facts ``panel``."""
    settings = plesk_settings(system)
    if settings is None:
        return {"name": None, "version": None, "root": None}, {"name": "no /etc/psa/psa.conf"}
    root = settings.get("PRODUCT_ROOT_D")
    evidence = {"name": "/etc/psa/psa.conf is there", "root": "PRODUCT_ROOT_D in /etc/psa/psa.conf"}
    # The version file's first field; the rest is the system it was built for and the build.
    fields = (system.read(root + "/version") or "").split() if root else []
    if root and fields:
        evidence["version"] = root + "/version"
    return {"name": "plesk", "version": fields[0] if fields else None, "root": root}, evidence


def plesk_settings(system: System) -> Optional[Dict[str, str]]:
    """The keys of /etc/psa/psa.conf ("NAME value" a line), or None when there is no Plesk."""
    text = system.read("/etc/psa/psa.conf")
    if text is None:
        return None
    lines = (line.split(None, 1) for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {fields[0]: fields[1].strip() for fields in lines if len(fields) == 2}
