"""journalctl on recorded entries (``journalctl -o json``), for unit tests."""

import json
import os
import time

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "logs")

# The users of the recorded hosts.
PASSWD = (
    "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nalice:x:1001:1001::/:/bin/sh\n"
    "postfix:x:{0}:{0}::/:/bin/sh\n"
)


def recorded(name):
    """Entries (list of dict) of a file in tests/data/logs."""
    with open(os.path.join(DATA, name), encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


def entry(stamp, uid, program, message, pid=7, **more):
    """One entry as journald makes it of a line that came by syslog; ``uid`` None: it could not be found out."""
    made = {
        "__REALTIME_TIMESTAMP": str(stamp * 1000000),
        "SYSLOG_FACILITY": "2",
        "SYSLOG_IDENTIFIER": program,
        "SYSLOG_PID": str(pid),
        "MESSAGE": message,
    }
    return dict(made, **dict({} if uid is None else {"_UID": str(uid)}, **more))


class FakeJournal:
    """A journalctl for FakeSystem's table of commands: matches, ``--since``, ``--until``, ``--field``, two outputs."""

    def __init__(self, entries, host="vps"):
        self.entries = sorted(entries, key=lambda one: int(one["__REALTIME_TIMESTAMP"]))
        self.host = host

    def __call__(self, argv, stdin):
        options = dict(word.partition("=")[::2] for word in argv[1:] if word.startswith("-"))
        if "--field" in options:
            return "".join(value + "\n" for value in sorted({one.get(options["--field"], "") for one in self.entries}))
        since, until = (
            options.get(name, "@" + default)[1:] for name, default in (("--since", "0"), ("--until", "9" * 10))
        )
        terms = _terms([word for word in argv[1:] if not word.startswith("-")])
        found = [
            one
            for one in self.entries
            if int(since) <= int(one["__REALTIME_TIMESTAMP"]) / 1e6 <= int(until) and _is_meant(one, terms)
        ]
        if options["--output"] == "json":
            return "".join(json.dumps(one) + "\n" for one in found)
        return "".join(map(self._short, found))

    def _short(self, one):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(int(one["__REALTIME_TIMESTAMP"]) // 1000000))
        pid = one.get("SYSLOG_PID") or one.get("_PID")
        message = one["MESSAGE"]
        message = (
            message.replace("\n", "\n    ") if isinstance(message, str) else "[{0}B blob data]".format(len(message))
        )
        return "{0} {1} {2}[{3}]: {4}\n".format(stamp, self.host, one["SYSLOG_IDENTIFIER"], pid, message)


def _terms(words):
    """The disjunction of the matches: list of {field: values}."""
    terms = [{}]
    for word in words:
        if word == "+":
            terms.append({})
        else:
            field, _equals, value = word.partition("=")
            terms[-1].setdefault(field, set()).add(value)
    return terms


def _is_meant(one, terms):
    return any(all(one.get(field) in values for field, values in term.items()) for term in terms)
