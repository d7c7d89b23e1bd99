#!/usr/bin/env python3
"""How much longer a POP log-in takes with the script of pop_before_smtp; run inside a lab with the host "vps".

    bench_pop_before_smtp.py SCALE

On one host in one run, in turns: without the script, with it by Python and, where the host has sqlite3, by that.
"""

import os
import sys
import time

from hosts.lab import Lab
from pop_clients import DATABASE, pop, put_code, run

HERE = os.path.dirname(os.path.abspath(__file__))

LOG_INS = 1000
ROUNDS = 5

# How the script writes, and what hides the faster one from it.
WAYS = ("without the script", "python3", "sqlite3")


def main(scale):
    lab = Lab.current()
    host, client = lab.host("vps"), lab.client("allowed")
    put_code(host)
    has_sqlite3 = bool(host.run("command -v sqlite3 || true").strip())
    ways = WAYS if has_sqlite3 else WAYS[:2]
    each = max(5, int(LOG_INS * scale / ROUNDS))
    times = {way: [] for way in ways}
    for _round in range(ROUNDS):
        for way in ways:
            bring(host, way, has_sqlite3)
            pop(client, host)
            times[way] += [timed(client, host) for _ in range(each)]
    run(host, state="absent")
    base = percentile(times[ways[0]], 50), percentile(times[ways[0]], 99)
    print(
        "{0:<50}{1:>9}{2:>9}{3:>10}{4:>10}".format(
            "a POP session, log-in to QUIT", "p50 ms", "p99 ms", "p50 +", "p99 +"
        )
    )
    for way in ways:
        p50, p99 = percentile(times[way], 50), percentile(times[way], 99)
        name = way if way == ways[0] else "with the script, by " + way
        print("{0:<50}{1:>9.1f}{2:>9.1f}{3:>10.1f}{4:>10.1f}".format(name, p50, p99, p50 - base[0], p99 - base[1]))


def bring(host, way, has_sqlite3):
    if way == WAYS[0]:
        run(host, state="absent")
        return
    hidden = has_sqlite3 and way == "python3"
    if hidden:
        host.run("mv /usr/bin/sqlite3 /usr/bin/sqlite3.hidden")
    try:
        run(host, minutes=20)
    finally:
        if hidden:
            host.run("mv /usr/bin/sqlite3.hidden /usr/bin/sqlite3")
    host.run("grep -q '/{0} ' /usr/local/lib/harden-mail/pop-login && test -e {1}".format(way, DATABASE))


def timed(client, host):
    began = time.perf_counter()
    pop(client, host)
    return (time.perf_counter() - began) * 1000


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]


if __name__ == "__main__":
    main(float(sys.argv[1]))
