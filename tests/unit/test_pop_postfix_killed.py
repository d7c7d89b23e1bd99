"""master.cf through the engine: kills while one meaning takes another's place, and what others write meanwhile."""

import pytest
from harden_mail import enforce as enforcer
from harden_mail.pop import engine
from harden_mail.pop.meaning import BOTH, EITHER
from harden_mail.pop.plan import Backend
from test_pop_postfix import DIR, MASTER, WANTED, part  # noqa: F401

OTHERS = "  -o smtpd_sender_restrictions=reject_unknown_sender_domain\n"


class Killed(BaseException):
    pass


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
def test_a_run_killed_between_two_meanings_leaves_nothing_behind(host, monkeypatch, old, new):
    perform = enforcer.perform
    for fatal in range(1, 30):
        enforce(host, old)
        left = [fatal]

        def mortal(system, steps, *where, left=left):
            for step in steps:
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                perform(system, [step], *where)

        monkeypatch.setattr(enforcer, "perform", mortal)
        try:
            enforce(host, new)
        except Killed:
            pass
        else:
            break
        finally:
            monkeypatch.setattr(enforcer, "perform", perform)
        enforce(host, new)
        assert not enforce(host, new)["changed"]
        enforce(host, None)
        assert host.read(DIR + "/master.cf") == MASTER, fatal
    assert fatal > 4


def test_what_others_change_in_master_cf_is_no_news(host):
    assert enforce(host, BOTH)["changed"]
    text = host.read(DIR + "/master.cf")
    line = "  -o syslog_name=postfix/submission\n"
    host.write(DIR + "/master.cf", text.replace(line, line + OTHERS))
    again = enforce(host, BOTH)
    assert (again["changed"], again["steps"], again["diff"]) == (False, [], {"before": "", "after": ""})
    enforce(host, None)
    assert host.read(DIR + "/master.cf") == MASTER.replace(line, line + OTHERS)
