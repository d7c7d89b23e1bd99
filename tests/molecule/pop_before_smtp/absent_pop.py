"""Given back: a password is enough again. Then a kill before many a step of the way there and back."""

from hosts import snapshot
from hosts.lab import Host, Lab, side_by_side
from pop_clients import REFUSED, pop, put_code, receives, run, submit, tidy_up

LAB = Lab.current()


def test_a_password_is_enough_again():
    for host in LAB.hosts():
        for family in (4, 6):
            assert submit(LAB.client("refused"), host, family) == ("offered", 235, 250)
            assert submit(LAB.client("refused"), host, family, auth=False)[2] == 454


def kill_at_each_step(host):
    """Each run dies a step later than the one before it; what it leaves, the next one starts from."""
    put_code(host)
    before = Host.snapshot(host)
    for options in ({"state": "present"}, {"state": "absent"}):
        fatal = 1
        while run(host, fatal=fatal, **options) is None:
            fatal += 1
            assert receives(LAB.client("refused"), host), (options, fatal)
            assert fatal < 200
        assert fatal > 6, options
        assert not run(host, **options)["changed"]
        if options["state"] == "present":
            assert submit(LAB.client("refused"), host) == REFUSED
            pop(LAB.client("allowed"), host)
            assert submit(LAB.client("allowed"), host) == ("offered", 235, 250)
    tidy_up(host)
    host.run("rm -rf /tmp/code")
    print("{0}: killed again and again times".format(host.name))
    assert not snapshot.differences(before, Host.snapshot(host), set())


def test_what_was_killed_is_completed_and_given_back():
    side_by_side(kill_at_each_step, LAB.hosts())
