"""Given back: a password is enough again, Plesk's settings are the former. Then kills all along the way."""

from backends import (
    BOT,
    COURIER,
    IS_NOTQMAIL,
    LAB,
    PLESK,
    QMAIL,
    SEND_PORTS,
    USER,
    begins_anew,
    read,
    run,
    sees,
    takes_mail,
    tidy_up,
)
from before_backends import MISC
from code_on_host import put_code
from hosts import snapshot
from hosts.lab import Host, side_by_side
from pop_clients import submit

# A kill before each of so many changes; unit tests are killed before every one.
STRIDE = 7


def test_a_password_is_enough_again():
    for host in (COURIER, QMAIL):
        for family in (4, 6):
            for port in SEND_PORTS[host.name]:
                assert submit(BOT, host, family, port, auth=False)[2] in (454, 553)
                if not (host is QMAIL and IS_NOTQMAIL):
                    assert submit(BOT, host, family, port) == ("offered", 235, 250)


def test_plesk_has_its_former_settings():
    # What was not set before means the same as what is empty now.
    assert PLESK.run(MISC).replace("NULL", "") == LAB.read("plesk-misc").replace("NULL", "")


def kill_again_and_again(host):
    """Each run dies a little later than the one before it; what it leaves, the next one starts from."""
    put_code(host)
    before = Host.snapshot(host)
    for options in ({"state": "present"}, {"state": "absent"}):
        fatal = 1
        while run(host, fatal=fatal, **options) is None:
            fatal += STRIDE
            if host is not PLESK:
                assert takes_mail(host), (options, fatal)
            assert fatal < 300
        assert not run(host, **options)["changed"]
        print("{0}: killed until change {1} on the way to {2}".format(host.name, fatal, options["state"]))
        if options["state"] == "present" and host is not PLESK:
            begins_anew(host)
            sees(host, BOT, 4, has_read=False)
            read(USER, host)
            sees(host, USER, 4, has_read=True)
    tidy_up(host)
    assert not snapshot.differences(before, Host.snapshot(host), set())


def test_what_was_killed_is_completed_and_given_back():
    side_by_side(kill_again_and_again, [COURIER, QMAIL, PLESK])
    assert PLESK.run(MISC).replace("NULL", "") == LAB.read("plesk-misc").replace("NULL", "")
