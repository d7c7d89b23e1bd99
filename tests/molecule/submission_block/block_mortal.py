"""Runs on a test host: submission_block's work with a kill -9 before its Nth step.

Usage: block_mortal.py FATAL OPTIONS
FATAL 0: no kill. OPTIONS: JSON, over those below. Prints the result as JSON; killed, it dies of SIGKILL like anyone.
"""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../module_utils"))

from harden_mail import enforce as enforcer
from harden_mail.block import control
from harden_mail.system import System

# "many": so many accounts more, which no command line would hold.
OPTIONS = {
    "many": 0,
    "state": "present",
    "reason": "incident",
    "accounts": [],
    "addresses": [],
    "backend": "postfix",
    "config_dirs": ["/etc/postfix"],
    "lookback_days": 1,
    "log_files": [],
    "mask_accounts": False,
    "log_journal": True,
}


def main(fatal, options):
    steps = [0]
    perform = enforcer.perform

    def count():
        steps[0] += 1
        if steps[0] == int(fatal):
            os.kill(os.getpid(), signal.SIGKILL)

    def mortal(system, wanted, *where):
        for step in wanted:
            count()
            perform(system, [step], *where)

    class Mortal(System):
        def run(self, argv, *options, **named):
            # Sessions are ended when all is changed.
            if argv[:2] == ["ss", "-K"]:
                count()
            return super().run(argv, *options, **named)

    enforcer.perform = mortal
    params = dict(OPTIONS, **json.loads(options))
    params["accounts"] += ["user{0}@example.com".format(number) for number in range(params.pop("many"))]
    result = control.run(Mortal(), params, False)
    result.pop("diff", None)
    print(json.dumps(dict(result, performed=steps[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
