"""Runs on a test host: pop_before_smtp's work with a kill -9 before its Nth step.

Usage: pop_mortal.py FATAL OPTIONS
FATAL 0: no kill. OPTIONS: JSON, over those below. Prints the result as JSON; killed, it dies of SIGKILL like anyone.
"""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../module_utils"))

from harden_mail import enforce as enforcer
from harden_mail.pop import control
from harden_mail.system import System

OPTIONS = {
    "state": "present",
    "meaning": "both",
    "minutes": 1,
    "ipv6_prefix": 128,
    "exempt": ["127.0.0.0/8", "::1/128"],
    "backend": "postfix_dovecot",
    "config_dirs": ["/etc/postfix"],
    "pop_config_dir": None,
    "on_cutoff": "ignore",
    "accepted_cutoffs": [],
    "lookback_days": 1,
    "log_files": [],
    "log_journal": False,
}


def main(fatal, options):
    steps = [0]
    perform = enforcer.perform

    def mortal(system, wanted, *where):
        for step in wanted:
            steps[0] += 1
            if steps[0] == int(fatal):
                os.kill(os.getpid(), signal.SIGKILL)
            perform(system, [step], *where)

    enforcer.perform = mortal
    result = control.run(System(), dict(OPTIONS, **json.loads(options)), False)
    result.pop("diff", None)
    print(json.dumps(dict(result, performed=steps[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
