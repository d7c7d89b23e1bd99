"""Where nobody declares a backend, on hosts with iptables."""

from submission_auto import *  # noqa: F403
