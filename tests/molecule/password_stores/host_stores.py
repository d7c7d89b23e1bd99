"""On the host: reads stores, and says of each account whether what is stored fits the password it ought to have.

Standard input: a list of {store: its declaration, passwords: {account: password}}; a list of answers goes to standard
output. No password does.
"""

import json
import sys

sys.path.insert(0, "/tmp/code/module_utils")

from harden_mail.passwords.hashes import parse as hashes
from harden_mail.passwords.stores.registry import open_store
from harden_mail.system import System


def fits(account, password):
    if account.stored == "{PLAIN}" + password:
        return True
    try:
        found = hashes.parse(account.stored, account.scheme, account.name)
    except hashes.Unreadable:
        return False
    return hashes.computer(found.group)(password.encode()) == found.digest


def answer(store, passwords):
    opened = open_store(System(), store)
    accounts = list(opened.accounts())
    return {
        "names": [account.name for account in accounts],
        "fitting": [account.name for account in accounts if fits(account, passwords.get(account.name, ""))],
        "inactive": [account.name for account in accounts if not account.active],
        "hints": {account.name: account.hints for account in accounts if account.hints},
        "changed": {account.name: account.changed for account in accounts if account.changed is not None},
        "problems": opened.problems,
    }


if __name__ == "__main__":
    print(json.dumps([answer(**one) for one in json.load(sys.stdin)]))
