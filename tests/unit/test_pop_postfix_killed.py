"""master.cf through the engine: kills while one meaning takes another's place, and what others write meanwhile."""

import killing
import pytest
from harden_mail.pop import engine
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Backend
from test_pop_postfix import DIR, MASTER, WANTED, part  # noqa: F401

OTHERS = "  -o smtpd_sender_restrictions=reject_unknown_sender_domain\n"


@pytest.fixture
def host(part, monkeypatch):  # noqa: F811
    class Server(Backend):
        name = "postfix"

        def missing(self):
            return None

        def changes(self, wanted, former):
            return part.tables(wanted, former) + part.changes(wanted, former)

    monkeypatch.setattr(engine, "BACKENDS", {"postfix": Server})
    return part.system


def enforce(host, meaning):
    wanted = WANTED._replace(meaning=meaning) if meaning else None
    return engine.enforce(host, "postfix" if meaning else None, wanted, {})


@pytest.mark.parametrize(("old", "new"), [(BOTH, EITHER), (EITHER, BOTH)])
def test_a_run_killed_between_two_meanings_leaves_nothing_behind(host, old, new):
    def begin(_fatal):
        enforce(host, old)
        return host

    for _, where in killing.everywhere(begin, lambda host: enforce(host, new), at_least=10):
        enforce(host, new)
        assert not enforce(host, new)["changed"], where
        enforce(host, None)
        assert host.read(DIR + "/master.cf") == MASTER, where


def test_what_others_change_in_master_cf_is_no_news(host):
    assert enforce(host, BOTH)["changed"]
    text = host.read(DIR + "/master.cf")
    line = "  -o syslog_name=postfix/submission\n"
    host.write(DIR + "/master.cf", text.replace(line, line + OTHERS))
    again = enforce(host, BOTH)
    assert (again["changed"], again["steps"], again["diff"]) == (False, [], {"before": "", "after": ""})
    enforce(host, None)
    assert host.read(DIR + "/master.cf") == MASTER.replace(line, line + OTHERS)
