#!/usr/bin/env python3
"""Record a booted host for tests/unit/test_host_facts.py: what discovery reads of it, and nothing else.

    record.py DIRECTORY      as root on the host, with module_utils on PYTHONPATH

Writes DIRECTORY/tree (files; whatever is only looked for is empty there), host.json (output of commands, and what the
SMTP servers offered) and facts.json. Hashes in /etc/shadow are masked. Read the result before it is committed.
"""

import json
import os
import re
import sys

from harden_mail import smtp
from harden_mail.host import facts, processes
from harden_mail.system import System


class Recorder(System):
    """A host that writes down what is asked of it."""

    def __init__(self, tree):
        super().__init__()
        self.tree, self.commands = tree, {}

    def keep(self, path, text="", mode=0o644):
        target = self.tree + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if text or not os.path.exists(target):
            with open(target, "w", encoding="utf-8", errors="surrogateescape") as handle:
                handle.write(text)
            os.chmod(target, mode)

    def keep_place(self, path):
        # git keeps no empty directory.
        self.keep(path + "/.keep" if self.is_dir(path) else path)

    def run(self, argv, **options):
        done = super().run(argv, **options)
        if done.rc != 127:
            self.commands[" ".join(argv)] = [done.rc, done.out, done.err]
        return done

    def which(self, name):
        path = super().which(name)
        if path:
            self.keep(path, mode=0o755)
        return path

    def exists(self, path):
        there = super().exists(path)
        if there and not os.path.islink(path):
            self.keep_place(path)
        return there

    def is_dir(self, path):
        there = super().is_dir(path)
        if there:
            self.keep(path + "/.keep")
        return there

    def glob(self, pattern):
        paths = super().glob(pattern)
        for path in paths:
            self.keep(path + "/.keep" if os.path.isdir(path) else path)
        return paths

    def read(self, path):
        text = super().read(path)
        if text is not None and not re.match(r"/proc/\d", path):
            kept = text
            if path == "/etc/shadow":
                kept = re.sub(r"(?m)^([^:]*:)\$[^:]*", r"\1$6$masked", text)
            elif path.endswith(".py"):  # firewalld's own code: the one line that is looked for
                kept = "".join(line for line in text.splitlines(True) if line.startswith("VERSION"))
            self.keep(path, kept)
        return text

    def keep_process(self, pid, inodes):
        """A process, with those of its file descriptors that are listening sockets of interest."""
        for name in ("stat", "status", "cmdline"):
            self.keep("/proc/{0}/{1}".format(pid, name), System.read(self, "/proc/{0}/{1}".format(pid, name)))
        for name in os.listdir("/proc/{0}/fd".format(pid)):
            path = "/proc/{0}/fd/{1}".format(pid, name)
            target = processes.link(self, path) or ""
            if target[8:-1] in inodes:
                os.makedirs(os.path.dirname(self.tree + path), exist_ok=True)
                os.symlink(target, self.tree + path)


def main(directory):
    system = Recorder(directory + "/tree")
    offers = {}

    def probe(servers):
        found = smtp.probe(servers)
        for (port, addresses), offer in zip(servers, found):
            offers["{0} {1}".format(port, addresses[0])] = list(offer)
        return found

    found = facts.gather(system, probe)
    inodes = {line.split()[9] for path in ("/proc/net/tcp", "/proc/net/tcp6") for line in open(path)}  # noqa: SIM115
    for process in processes.find_processes(System()):
        if process.name in ("systemd", "master", "smtpd", "qmail-send", "tcpserver", "dovecot", "firewalld"):
            system.keep_process(process.pid, inodes)
    for name, value in (("host", {"commands": system.commands, "offers": offers}), ("facts", found)):
        with open("{0}/{1}.json".format(directory, name), "w", encoding="utf-8") as handle:
            json.dump(value, handle, indent=1, sort_keys=True)
            handle.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
