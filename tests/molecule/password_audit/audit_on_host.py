"""Runs on a test host: the audit as the module runs it, saving often.

Usage: audit_on_host.py OPTIONS
OPTIONS: JSON, over those below. Prints the result as JSON.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../module_utils"))

from harden_mail.passwords import audit
from harden_mail.passwords.guessing.process_guard import protect
from harden_mail.system import System

OPTIONS = {
    "state": "present",
    "stores": [{"store": "dovecot-passwd-file", "path": "/etc/dovecot/users"}],
    "exclude": [],
    "budget_seconds": 600,
    "budget_seconds_per_account": None,
    "budget_guesses_per_account": None,
    "cores": 0,
    "max_load": 1000,
    "max_age_days": None,
    "mask_accounts": False,
    "name_guessed": True,
    "limit_listed": 100,
    "lists": [],
    "hibp_file": None,
    "lists_id": None,
    "lists_archive": None,
    "spent_seconds": 0,
}


def main(options):
    audit._SAVE_EVERY = 0.2
    protect()
    result = audit.run(System(), dict(OPTIONS, **json.loads(options)), False)
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1])
