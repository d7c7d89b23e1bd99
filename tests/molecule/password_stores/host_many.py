"""On the host: counts the accounts of stores, and says by how many kilobytes the process has grown meanwhile.

Standard input: a list of declarations of stores.
"""

import json
import resource
import sys

sys.path.insert(0, "/tmp/code/module_utils")

from harden_mail.passwords.stores.registry import open_store
from harden_mail.system import System


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def many(store):
    opened = open_store(System(), store)
    before = peak()
    count = sum(1 for _account in opened.accounts())
    return {"count": count, "kilobytes": peak() - before, "problems": opened.problems}


if __name__ == "__main__":
    print(json.dumps([many(store) for store in json.load(sys.stdin)]))
