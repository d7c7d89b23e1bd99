"""A host whose passwords are audited with few guesses, for the tests of that."""

import base64
import hashlib
import os

from harden_mail.errors import UserError
from harden_mail.passwords import audit
from harden_mail.passwords.account import Account
from harden_mail.passwords.stores import registry
from harden_mail.passwords.stores.store import Store

USERS = "/etc/dovecot/users"
PARAMETERS = {
    "state": "present",
    "stores": [{"store": "dovecot-passwd-file", "path": USERS}],
    "exclude": [],
    "budget_seconds": 60,
    "budget_seconds_per_account": None,
    "budget_guesses_per_account": None,
    "cores": 1,
    "max_load": 100000,
    "max_age_days": None,
    "mask_accounts": False,
    "name_guessed": True,
    "limit_listed": 20,
    "lists": [],
    "hibp_file": None,
    "lists_id": None,
    "lists_archive": None,
    "spent_seconds": 0,
}
QUOTAS = ((100, 10), (1000, 40))


def sha(password):
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


def ssha(password, salt=b"salt"):
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def users(system, **accounts):
    lines = ["{0}@example.com:{1}::::::\n".format(name, stored) for name, stored in accounts.items()]
    system.write(USERS, "".join(lines))


def run(system, check_mode=False, **changes):
    return audit.run(system, dict(PARAMETERS, **changes), check_mode)


def of(result, name):
    return next(one for one in result["accounts"] if one["account"].partition("@")[0] == name)


def later(monkeypatch, days):
    today = audit.datetime.date.today() + audit.datetime.timedelta(days)

    class Clock(audit.datetime.date):
        @classmethod
        def today(cls):
            return today

    monkeypatch.setattr(audit.datetime, "date", Clock)


class Broken(Store):
    """A store that tells one account and then breaks."""

    name = "broken"

    def __init__(self, system, _options):
        super().__init__(system, {})
        self.begin("")

    def accounts(self):
        yield audit_account("early", ssha("early1"))
        raise UserError("The database does not answer.")


class Dated(Broken):
    name = "dated"

    def accounts(self):
        self.writers[""] = "alpha"
        yield audit_account("old", ssha("x-x"), changed=10)


def audit_account(name, stored, **values):
    usual = {"scheme": "CRYPT", "store": "broken", "hints": (), "changed": None, "active": True}
    return Account(name=name, stored=stored, **dict(usual, **values))


def use_few_guesses(monkeypatch):
    """Have an audit make guesses that are quickly at their end."""

    def general(lists_dir, _today):
        yield [b"123456", b"secret", b"qwerty"], "common"
        for name in sorted(os.listdir(lists_dir)) if lists_dir else ():
            with open(os.path.join(lists_dir, name), "rb") as handle:
                yield handle.read().split(), "own-list"
        for start in range(0, 1500, 100):
            yield [b"%d-" % number for number in range(start, start + 100)], "digits"

    def derived(name, _hints, _today):
        local = name.partition("@")[0]
        for tail in ["", "1", "123", *map(str, range(2000, 2030))]:
            yield (local + tail).encode(), "account"

    monkeypatch.setattr(audit, "general_batches", general)
    monkeypatch.setattr(audit, "derived", derived)
    monkeypatch.setattr(audit, "QUOTAS", QUOTAS)


def use_odd_stores(monkeypatch):
    monkeypatch.setitem(registry.STORES, "broken", Broken)
    monkeypatch.setitem(registry.STORES, "dated", Dated)
