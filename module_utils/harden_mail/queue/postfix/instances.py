"""The Postfix instances of a host, and the directory that each has in a run of the quarantine."""

import os
from collections import namedtuple
from typing import List, Optional
from urllib.parse import quote, unquote

from ...errors import UserError
from ...postfix.postconf import POSTFIX_DIR, postconf
from ...system import System

# name: str or None for the default one; config_dir, queue_dir: absolute paths, as this process reaches them
Instance = namedtuple("Instance", "name config_dir queue_dir")


def find_instances(system: System, mta: Optional[dict], config_dir: Optional[str]) -> List[Instance]:
    """Instances (with paths on the host) of the host, or the one whose configuration is in a directory."""
    if config_dir is None and mta and all(one["queue_dir"] for one in mta["instances"]):
        return _named(Instance(one["name"], one["config_dir"], one["queue_dir"]) for one in mta["instances"])
    directory = config_dir or POSTFIX_DIR
    settings = postconf(system, directory, ("queue_directory", "multi_instance_name"))
    if not settings.get("queue_directory"):
        raise UserError(
            "config_dir is {0}, but `postconf -c {0} queue_directory` gives no answer; name the directory of a "
            "main.cf, as {1}.".format(directory, POSTFIX_DIR)
        )
    default = os.path.normpath(directory) == POSTFIX_DIR
    name = None if default else settings.get("multi_instance_name") or directory
    return [Instance(name, directory, settings["queue_directory"])]


def _named(instances):
    """Instances with names of their own: an id is unique only in one."""
    found = []
    for one in instances:
        default = os.path.normpath(one.config_dir) == POSTFIX_DIR
        taken = [other.name for other in found]
        unnamed = not default and (one.name is None or one.name in taken)
        found.append(one._replace(name=one.config_dir) if unnamed else one)
    return found


def label_of(name: Optional[str]) -> str:
    """The directory of an instance in a run."""
    return "default" if name is None else "instance-" + quote(name, safe="")


def name_of_label(label: str) -> Optional[str]:
    return None if label == "default" else unquote(label[len("instance-") :])
