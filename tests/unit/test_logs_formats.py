"""Lines of each server and what they mean, from tests/data/logs/formats.

Each case has some ``lines``, the ``events`` that they make (``left``: the end of that session), and the ``settings`` of
the server where they are not the usual ones: arguments of what makes its format.
"""

import json
import os

import pytest
from harden_mail.errors import UserError
from harden_mail.logs.events import Left, Login
from harden_mail.logs.formats.courier import courier_format
from harden_mail.logs.formats.dovecot import dovecot_format
from harden_mail.logs.formats.postfix import postfix_format
from harden_mail.logs.formats.registry import FORMATS, Formats
from harden_mail.logs.formats.vpopmail import vpopmail_format
from harden_mail.logs.logins import events, logins

DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "logs", "formats")
SERVERS = sorted(name[: -len(".json")] for name in os.listdir(DATA))
CONFIGURABLE = {
    "courier": courier_format,
    "dovecot": dovecot_format,
    "postfix": postfix_format,
    "vpopmail": vpopmail_format,
}


def cases():
    for server in SERVERS:
        with open(os.path.join(DATA, server + ".json"), encoding="utf-8") as handle:
            for case in json.load(handle):
                yield pytest.param(server, case, id="{0}: {1}".format(server, case["about"]))


def event(said):
    if "left" in said:
        return Left(5, said["left"])
    return Login(5, **dict({"account": None, "address": None}, **said))


@pytest.mark.parametrize("server, case", list(cases()))
def test_what_lines_mean(server, case):
    settings = case.get("settings")
    formats = Formats([CONFIGURABLE[server](**settings)]) if settings else FORMATS
    lines, expected = [(5, line) for line in case["lines"]], [event(said) for said in case["events"]]
    found = list(events(lines, formats))
    assert found == expected
    assert list(logins(lines, formats)) == [one for one in expected if isinstance(one, Login)]
    # The lines that mean something are among those that are read of a log.
    wanted = formats.wanted + formats.wanted_ends
    stamped = [b"Nov 24 12:00:00 vps " + line.encode("utf-8") for line in case["lines"]]
    read = [line for line, whole in zip(lines, stamped) if any(word in whole for word in wanted)]
    assert list(events(read, formats)) == expected


def test_each_format_has_lines():
    assert set(SERVERS) == {form.name.partition("-")[0] for form in FORMATS}


def test_elements_without_an_address_are_refused():
    with pytest.raises(UserError, match=r"login_log_format_elements is 'user=<%u> lip=%l': without %{remote_ip} "):
        dovecot_format(elements="user=<%u> lip=%l")
