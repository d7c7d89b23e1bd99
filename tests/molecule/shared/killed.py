"""Runs on a test host: a module's work without Ansible, with a kill -9 before its Nth change of the host.

Usage: killed.py MODULE N < OPTIONS
N 0: no kill. OPTIONS, JSON: ``params`` (the module's, over those below), ``check`` (bool), ``odds`` (names of functions
of queue_odds.py that are called first). Prints the result as JSON, without its diff, with ``changes``, how many there
were; what was refused is {"refused": sentence}. Killed, it says what it was about to do, and dies of SIGKILL.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "module_utils"))

import killing
import queue_odds
from harden_mail.block import control as block
from harden_mail.errors import UserError
from harden_mail.firewall import submission
from harden_mail.pop import control as pop
from harden_mail.queue import engine, listing
from harden_mail.queue.arguments import QUEUE_ARGUMENTS
from harden_mail.system import System

GUARD = {"on_cutoff": "ignore", "accepted_cutoffs": [], "lookback_days": 1, "log_files": [], "log_journal": False}
QUEUE = {name: option.get("default") for name, option in QUEUE_ARGUMENTS.items()}

# MODULE -> (what it calls, its parameters)
MODULES = {
    "submission_firewall": (
        submission.run,
        {
            **GUARD,
            "state": "present",
            "backend": "auto",
            "confirm_within": 0,
            "sources": None,
            "allow_any": False,
            "ports": [587, 465],
            "persistence": "auto",
            "host_backend": None,
            "config_dirs": [],
        },
    ),
    "submission_block": (
        block.run,
        {
            "state": "present",
            "reason": "incident",
            "accounts": [],
            "addresses": [],
            "backend": "postfix",
            "config_dirs": ["/etc/postfix"],
            "lookback_days": 1,
            "log_files": [],
            "log_journal": True,
            "mask_accounts": False,
        },
    ),
    "pop_before_smtp": (
        pop.run,
        {
            **GUARD,
            "state": "present",
            "meaning": "both",
            "minutes": 1,
            "ipv6_prefix": 128,
            "exempt": ["127.0.0.0/8", "::1/128"],
            "backend": "postfix_dovecot",
            "config_dirs": ["/etc/postfix"],
            "pop_config_dir": None,
        },
    ),
    "mail_queue": (engine.run, dict(QUEUE, run=None, expect=None)),
    "mail_queue_info": (lambda system, params, _check: listing.info(system, params), QUEUE),
}


def main(name, fatal):
    asked = json.load(sys.stdin)
    work, usual = MODULES[name]
    for odd in asked["odds"]:
        getattr(queue_odds, odd)()
    params = dict(usual, **asked["params"])
    killing.arm(int(fatal), lambda what: print("killed before {0}".format(what), flush=True))
    try:
        result = work(System(), params, asked["check"])
    except UserError as error:
        result = {"refused": str(error)}
    result.pop("diff", None)
    print(json.dumps(dict(result, changes=killing.changes())), flush=True)
    # As it is: to take the watch down, modules would be needed that are gone at the interpreter's end.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
