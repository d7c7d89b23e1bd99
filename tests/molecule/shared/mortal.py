"""Runs on a test host: submission_firewall's work with a kill -9 before its Nth step.

Usage: mortal.py STATE BACKEND FATAL CONFIRM_WITHIN SOURCE...
FATAL 0: no kill. Prints the result as JSON; killed, it dies of SIGKILL like anyone.
"""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "module_utils"))

from harden_mail import enforce as enforcer
from harden_mail.firewall import submission
from harden_mail.system import System

OPTIONS = {
    "allow_any": False,
    "ports": [587, 465],
    "persistence": "auto",
    "host_backend": None,
    "on_cutoff": "ignore",
    "accepted_cutoffs": [],
    "lookback_days": 1,
    "config_dirs": [],
    "log_files": [],
    "log_journal": False,
}


def main(state, backend, fatal, confirm_within, *sources):
    steps = [0]
    perform = enforcer.perform

    def mortal(system, wanted, *where):
        for step in wanted:
            steps[0] += 1
            if steps[0] == int(fatal):
                os.kill(os.getpid(), signal.SIGKILL)
            perform(system, [step], *where)

    enforcer.perform = mortal
    options = dict(
        OPTIONS, state=state, backend=backend, confirm_within=int(confirm_within), sources=list(sources) or None
    )
    result = submission.run(System(), options, False)
    print(json.dumps(dict(result, performed=steps[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
