"""Plesk's own setting, on a stand-in of its commands with a real database: no mail is sent here."""

import pytest
from backends import PLESK, run
from code_on_host import put_code

MISC = "mariadb psa -N -B -e \"SELECT param, COALESCE(val, 'NULL') FROM misc ORDER BY param\""
TURNED_ON = {"relay": "auth", "disable_pop_auth": "", "disable_smtp_auth": "", "poplock_time": "1"}


@pytest.fixture(scope="module", autouse=True)
def code_there():
    put_code(PLESK)
    yield
    PLESK.run("rm -rf /tmp/code")


def misc():
    return dict(line.split("\t") for line in PLESK.run(MISC).splitlines())


def settings():
    return {name: value for name, value in misc().items() if name in TURNED_ON}


def test_it_was_turned_on_and_nothing_else_was_changed():
    assert settings() == TURNED_ON
    assert misc()["message_submission"] == "true" and misc()["version"] == "018000"
    done = run(PLESK)
    assert not done["changed"] and done["findings"] == []
    assert done["evidence"] == [
        "psa.misc: relay: auth, POP3 authorization: on, SMTP authorization: on, lock time: 1 minutes"
    ]


def test_old_releases_without_the_command_are_read_and_changed_with_the_password_in_their_file():
    PLESK.run("mv /usr/sbin/plesk /root/plesk")
    try:
        assert not run(PLESK)["changed"]
        assert run(PLESK, minutes=7)["changed"]
        assert settings() == dict(TURNED_ON, poplock_time="7")
        assert not run(PLESK, minutes=7)["changed"]
        PLESK.run("cp -p /etc/psa/.psa.shadow /root/shadow; echo wrong-one >/etc/psa/.psa.shadow")
        with pytest.raises(AssertionError) as caught:
            run(PLESK, minutes=9)
        said = str(caught.value)
        assert "backend: plesk can't be used on this host: Plesk's database can't be asked: " in said
        assert "Access denied for user 'admin'@'localhost'" in said and "wrong-one" not in said
        assert settings() == dict(TURNED_ON, poplock_time="7")
    finally:
        PLESK.run("mv /root/shadow /etc/psa/.psa.shadow; mv /root/plesk /usr/sbin/plesk")
    assert run(PLESK)["changed"]
    assert settings() == TURNED_ON


def test_what_somebody_changes_in_the_panel_is_changed_back():
    PLESK.run("plesk bin mailserver --set-relay auth -auth-type smtp")
    assert run(PLESK)["changed"]
    assert settings() == TURNED_ON


def test_a_database_that_is_down_is_said():
    PLESK.run("systemctl stop mariadb")
    try:
        with pytest.raises(AssertionError, match=r"backend: plesk can't be used on this host: "):
            run(PLESK)
    finally:
        PLESK.run("systemctl start mariadb")
    assert settings() == TURNED_ON
