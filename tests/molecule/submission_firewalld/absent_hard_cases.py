"""The cases that must hold for every firewall, on this one."""

from submission_hard_cases import *  # noqa: F403
