"""A host on which the alert's program runs again and again, for the tests of that."""

from fake_queue import FakeQueue
from fake_system import FakeSystem
from harden_mail.alert import look, program, ways
from harden_mail.alert.settings import check
from harden_mail.alert.store import Store

START = 1700000000
MINUTE = 60
METRICS = "/var/lib/node/mail.prom"
CANARY = "canary5ecret"


class Counted(FakeQueue):
    """A queue of which only the number matters, unless messages are put into it.

    :ivar int total: how many it says it has; None: as many as were put into it
    :ivar int was_read: messages that were read of it
    """

    total, todo, was_read = None, None, 0

    def count(self):
        states = list(self.ids().values())
        total = states.count("deferred") if self.total is None else self.total
        return total, states.count("hold"), self.todo

    def messages(self, wanted=None):
        for message in super().messages(wanted):
            self.was_read += 1
            yield message


class Host:
    """:ivar list told: notices that a way has accepted, as (number of the way from 1, notice)
    :ivar set down: numbers of the ways that accept nothing
    """

    def __init__(self, tmp_path, monkeypatch):
        self.system = FakeSystem(tmp_path / "host")
        self.queue = Counted(tmp_path / "queue")
        self.logged, self.told, self.tried, self.down = [], [], [], set()
        self.now = START
        self.settings = self.check()
        monkeypatch.setattr(look, "open_queue", lambda system, settings: self.queue)
        monkeypatch.setattr(program, "host_name", lambda: "vps1.example.com")
        monkeypatch.setattr(ways.syslog, "syslog", lambda level, text: self.logged.append(text))
        self.monkeypatch = monkeypatch
        self.use_fake_ways()

    def check(self, **given):
        two = [
            {"type": "smtp", "host": "relay{0}.example.net".format(number), "to": ["a@example.net"]}
            for number in (1, 2)
        ]
        return check(dict({"ways": two}, **given))

    def use_fake_ways(self):
        def send(kept, way, settings, seconds):
            number = settings["ways"].index(way) + 1
            self.tried.append((number, kept["kind"]))
            self.before_send(kept)
            if number in self.down:
                raise ways.WayError("way {0} is down".format(number))
            if self.refuses(kept):
                raise ways.WayError("way {0} refuses it".format(number), answered=True, for_good=True)
            self.told.append((number, kept))

        self.monkeypatch.setattr(ways, "send", send)

    def refuses(self, kept):
        """Whether the ways that are up refuse a notice for what is in it."""
        return False

    def before_send(self, kept):
        """For tests that look at the disk at this moment."""

    def run(self, total=None, minutes=5):
        self.queue.total = total
        self.now += minutes * MINUTE
        return program.run(self.system, self.settings, self.now)

    def kinds(self):
        return [kept["kind"] for _, kept in self.told]

    def waiting(self):
        return [kept["kind"] for kept in Store(self.system).waiting]
