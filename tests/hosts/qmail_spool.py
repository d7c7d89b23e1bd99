#!/usr/bin/env python3
"""Makes qmail queues with all that can lie in one, for tests and benches.

    qmail_spool.py DIRECTORY [--split N] [--split-todo] [--messages N] [--kind KIND]... [--debris harmless|all]
                             [--domain DOMAIN]

makes the queue if there is none, puts N messages into it (the kinds in turn), and says on each line of its output what
a reader must find of one (JSON). Formats as qmail's INTERNALS, qmail-queue.c and qmail-send.c have them: a message's
number is its file's inode; files belong to whom qmail gives them where its users are known and this is root. qmail-send
must not run meanwhile.
"""

import argparse
import base64
import contextlib
import json
import os
import pwd
import sys
from collections import namedtuple

# directory of a queue: its mode, and whose it is
DIRECTORIES = {
    "mess": (0o750, "qmailq"),
    "todo": (0o750, "qmailq"),
    "intd": (0o700, "qmailq"),
    "pid": (0o700, "qmailq"),
    "lock": (0o750, "qmailq"),
    "info": (0o700, "qmails"),
    "local": (0o700, "qmails"),
    "remote": (0o700, "qmails"),
    "bounce": (0o700, "qmails"),
}
SPLIT = ("mess", "info", "local", "remote")
SPLIT_TODO = ("todo", "intd")
PARTS = SPLIT + SPLIT_TODO + ("bounce",)

# Domains of control/virtualdomains below the queue's own, and the names that qmail-send puts before their addresses.
VIRTUAL_DOMAINS = {"virt": "alice", ".wild": "bob-wild", "info@one": "carol"}

ARRIVAL = 1700000000

# What a reader must find. recipients: [[address, done]]; states: as harden_mail.queue.message has them
Expected = namedtuple("Expected", "id kind sender recipients subject size arrival states sasl_user client uid script")


class Letter:
    """A message to be made: what differs from the usual is given.

    :ivar bytes subject: the header's value as it is on the wire, None: there is no such header
    :ivar str text: what that means
    :ivar list local: (address as the sender wrote it, done)
    :ivar list remote: the same
    :ivar str stage: ``info``; ``todo``, not taken in; ``halfway``, qmail-send was killed while it took it in
    :ivar bytes headers: whole lines, above the Subject
    """

    subject, text = b"Minutes of the meeting", "Minutes of the meeting"
    sender = "sender@{domain}"
    local, remote = (), (("someone@remote.{domain}", False),)
    stage, bounce = "info", None
    headers, body, line_end = b"", b"Hello,\n\nthis is the body.\n", b"\n"
    uid, client, sasl_user, script = 1000, None, None, None

    def __init__(self, **different):
        for name, value in different.items():
            if not hasattr(self, name):
                raise TypeError(name)
            setattr(self, name, value)

    def content(self):
        """The message file's bytes, the topmost line as qmail-queue writes it."""
        invoked = b"from network" if self.client else b"by uid %d" % self.uid
        lines = b"Received: (qmail 4711 invoked %s); 14 Nov 2023 22:13:20 -0000\n" % invoked
        if self.client:
            who = self.sasl_user + "@" if self.sasl_user else ""
            lines += b"Received: from unknown (HELO pc) (%s)\n" % (who + self.client).encode()
            lines += b"  by mx.example with SMTP; 14 Nov 2023 22:13:20 -0000\n"
        if self.script:
            lines += b"X-PHP-Originating-Script: %s\n" % self.script.encode()
        lines += self.headers
        if self.subject is not None:
            lines += b"Subject: " + self.subject + b"\n"
        # qmail-queue ends its own line by LF whatever the rest has.
        own, _, rest = (lines + b"From: a@b.example\n\n" + self.body).partition(b"\n")
        return own + b"\n" + rest.replace(b"\n", self.line_end)


def _word(charset, codec, text):
    return b"=?%s?B?%s?=" % (charset, base64.b64encode(text.encode(codec)))


INVOICE = "【重要】お支払いのご確認"
_UTF8 = INVOICE.encode()

# kind: function that gives a Letter
KINDS = {
    "plain": Letter,
    "todo": lambda: Letter(stage="todo", local=[("a@{domain}", False)]),
    "todo_of_many": lambda: Letter(
        stage="todo", remote=[("u" + str(n) + "@remote.{domain}", False) for n in range(2000)]
    ),
    "halfway": lambda: Letter(stage="halfway"),
    "local": lambda: Letter(local=[("a@{domain}", False)], remote=()),
    "partly": lambda: Letter(
        local=[("a@{domain}", True), ("b@{domain}", False)],
        remote=[("c@remote.{domain}", False), ("d@remote.{domain}", True)],
    ),
    "local_done": lambda: Letter(local=[("a@{domain}", True)]),
    "done": lambda: Letter(remote=()),
    "bouncing": lambda: Letter(
        remote=[("gone@remote.{domain}", True), ("late@remote.{domain}", False)],
        bounce=b"<gone@remote>:\nSorry, no mailbox here by that name.\n\n",
    ),
    "bounce": lambda: Letter(sender="", subject=b"failure notice", text="failure notice"),
    "double_bounce": lambda: Letter(sender="#@[]", subject=b"failure notice", text="failure notice"),
    "verp": lambda: Letter(sender="list-return-7-@{domain}-@[]"),
    "virtual": lambda: Letter(
        local=[("x@virt.{domain}", False), ("y@a.wild.{domain}", True), ("info@one.{domain}", False)],
    ),
    "many": lambda: Letter(remote=[("user" + str(n) + "@remote.{domain}", n % 3 == 0) for n in range(5000)]),
    "long_address": lambda: Letter(remote=[("l" * 880 + "@remote.{domain}", False)]),
    "no_subject": lambda: Letter(subject=None, text=None),
    "empty_subject": lambda: Letter(subject=b"", text=""),
    "utf8": lambda: Letter(subject=_word(b"UTF-8", "utf-8", INVOICE), text=INVOICE),
    "split_word": lambda: Letter(
        subject=b"=?utf-8?B?%s?=\n =?utf-8?B?%s?=" % (base64.b64encode(_UTF8[:10]), base64.b64encode(_UTF8[10:])),
        text=INVOICE,
    ),
    "iso2022jp": lambda: Letter(subject=_word(b"ISO-2022-JP", "iso2022_jp", INVOICE), text=INVOICE),
    "shift_jis": lambda: Letter(subject=_word(b"Shift_JIS", "cp932", INVOICE), text=INVOICE),
    "euc_jp": lambda: Letter(subject=_word(b"EUC-JP", "euc_jp", INVOICE), text=INVOICE),
    "gb18030": lambda: Letter(subject=_word(b"gb18030", "gb18030", "发票"), text="发票"),
    "raw_utf8": lambda: Letter(subject=_UTF8, text=INVOICE),
    "raw_iso2022jp": lambda: Letter(subject=INVOICE.encode("iso2022_jp"), text=INVOICE),
    "crlf": lambda: Letter(line_end=b"\r\n"),
    "no_body": lambda: Letter(body=b""),
    "late_subject": lambda: Letter(headers=b"".join(b"X-Line-%d: %s\n" % (n, b"x" * 70) for n in range(500))),
    "long_line": lambda: Letter(headers=b"X-Long: " + b"y" * 200000 + b"\n"),
    "long_subject": lambda: Letter(subject=b"z" * (1 << 20), text="z" * 16384),
    "endless_header": lambda: Letter(headers=b"X-Endless: " + b"y" * (1 << 20) + b"\n", text=None),
    "php": lambda: Letter(uid=33, script="33:contact.php"),
    "network": lambda: Letter(client="192.0.2.7"),
    "logged_in": lambda: Letter(client="192.0.2.8", sasl_user="alice"),
    "forged": lambda: Letter(
        client="192.0.2.9", headers=b"Received: (qmail 1 invoked by uid 0); 1 Jan 2020 00:00:00 -0000\n"
    ),
    "big": lambda: Letter(body=b"x" * 75 + b"\n" * 20000),
}


class Spool:
    """A queue. ``path`` says where a part of a message is.

    :param str directory: the queue's
    :param int split: number of directories of mess, info, local, remote; conf-split
    :param bool split_todo: whether todo and intd are split too, as the big-todo patch does it
    :param str domain: under which all addresses are
    """

    def __init__(self, directory, split=23, split_todo=False, domain="lab.example"):
        self.directory, self.domain = str(directory), domain
        self.split = dict.fromkeys(SPLIT, split)
        self.split.update(dict.fromkeys(SPLIT_TODO, split if split_todo else 0))
        self._owners = _qmail_owners()
        self._made = 0

    def make(self):
        """Make an empty queue, and control/virtualdomains beside it."""
        self._directory(self.directory, 0o750, "qmailq")
        for part, (mode, owner) in DIRECTORIES.items():
            top = os.path.join(self.directory, part)
            self._directory(top, mode, owner)
            for number in range(self.split.get(part, 0)):
                self._directory(os.path.join(top, str(number)), mode, owner)
        self._write(os.path.join(self.directory, "lock", "sendmutex"), b"", 0o600, "qmails")
        self._write(os.path.join(self.directory, "lock", "tcpto"), bytes(1024), 0o644, "qmailr")
        trigger = os.path.join(self.directory, "lock", "trigger")
        os.mkfifo(trigger)
        os.chmod(trigger, 0o622)
        self._give(trigger, "qmails")
        control = os.path.join(os.path.dirname(self.directory), "control")
        os.makedirs(control, exist_ok=True)
        with open(os.path.join(control, "virtualdomains"), "w") as handle:
            handle.writelines(
                "{0}.{1}:{2}\n".format(name, self.domain, prefix) for name, prefix in VIRTUAL_DOMAINS.items()
            )
        return self

    def path(self, part, number):
        split = self.split.get(part, 0)
        return os.path.join(self.directory, part, *([str(number % split)] if split else []) + [str(number)])

    def put(self, mess, number=None, arrival=ARRIVAL, **parts):
        """Put files into the queue as they are said, whatever is in them.

        :param bytes mess: the message; ``parts``: the content of others, todo is linked to intd as qmail-queue does it
        :param int number: the message's; its inode's, unless this says another one
        :returns: the number
        """
        new = os.path.join(self.directory, "pid", "4711.{0}.1".format(arrival))
        self._write(new, mess, 0o644, "qmailq", arrival)
        if number is None:
            number = os.stat(new).st_ino
        os.rename(new, self.path("mess", number))
        for part, content in parts.items():
            mode, owner = (0o644, "qmailq") if part in SPLIT_TODO else (0o600, "qmails")
            self._write(self.path(part, number), content, mode, owner, arrival)
        if "todo" in parts and "intd" not in parts:
            os.link(self.path("todo", number), self.path("intd", number))
        return number

    def add(self, kind, **different):
        """Put a message of a kind into the queue; returns Expected.

        :param different: what is to differ from the kind, as ``Letter`` takes it
        """
        letter = KINDS[kind]()
        for name, value in different.items():
            setattr(letter, name, value)
        # A minute between two, so that an order can be told.
        arrival = ARRIVAL + 60 * (self._made % 10000)
        self._made += 1
        sender = letter.sender.format(domain=self.domain)
        local, remote = ([(self._full(name), done) for name, done in some] for some in (letter.local, letter.remote))
        content, parts = letter.content(), {}
        if letter.stage == "info":
            parts["info"] = b"F" + sender.encode() + b"\0"
            if local:
                parts["local"] = _envelope((self._rewritten(name), done) for name, done in local)
            if remote:
                parts["remote"] = _envelope(remote)
            if letter.bounce:
                parts["bounce"] = letter.bounce
            states = tuple(name for name, some in (("local", local), ("remote", remote)) if not all(d for _, d in some))
        else:
            uid = letter.uid if letter.client is None else 1001
            parts["todo"] = b"u%d\0p4711\0F%s\0" % (uid, sender.encode()) + _envelope(local + remote)
            states = ("todo",)
        if letter.stage == "halfway":
            parts.update(info=b"F" + sender.encode()[:3], local=b"")
        number = self.put(content, arrival=arrival, **parts)
        return Expected(
            id=str(number),
            kind=kind,
            sender=sender,
            recipients=[list(one) for one in local + remote],
            subject=letter.text,
            size=len(content),
            arrival=arrival,
            states=list(states or ("done",)),
            sasl_user=letter.sasl_user,
            client=letter.client,
            uid=letter.uid if letter.client is None else None,
            script=letter.script,
        )

    def fill(self, count, kinds=tuple(KINDS)):
        """Put that many messages into the queue, the kinds in turn; yields Expected."""
        for number in range(count):
            yield self.add(kinds[number % len(kinds)])

    def debris(self, harmless_only=False):
        """Put into the queue what is no message.

        :param bool harmless_only: only what qmail itself leaves there, and says nothing about
        :returns: paths that a reader should name as foreign or unreadable
        """
        # qmail-queue was killed; a message that is just being submitted.
        self.put(b"Subject: orphan\n\n")
        self.put(b"Subject: half", intd=b"u0\0p1\0Fa@b.exa")
        self._write(os.path.join(self.directory, "pid", "99.1700000000.1"), b"", 0o644, "qmailq")
        if harmless_only:
            return []
        info = b"Fa@b.example\0"
        self._set_aside("mess", self.put(b"", info=info))
        named = [self.path("mess", self.put(b"", info=content)) for content in (b"", b"Fno end", b"Tno@sender\0")]
        named.append(self.path("mess", self.put(b"", todo=b"u0\0p1\0Tno@sender\0")))
        for make in (os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path)):
            for part in ("mess", "info", "todo"):
                number = self.put(b"", info=info)
                with contextlib.suppress(FileNotFoundError):
                    self._set_aside(part, number)
                make(self.path(part, number))
                named.append(self.path("mess", number))
        for part in ("info/0", "todo/0" if self.split["todo"] else "todo"):
            for name in ("core", ".nfs0001", "１２", "-5", "0017", "9" * 30):
                named.append(os.path.join(self.directory, part, name))
                self._write(named[-1], info, 0o600, "qmails")
        if self.split["info"] > 1:
            # Where qmail wouldn't look for it.
            number = self.put(b"Subject: misplaced\n\n", info=info)
            named.append(os.path.join(self.directory, "info", str((number + 1) % self.split["info"]), str(number)))
            os.rename(self.path("info", number), named[-1])
        return named

    def _set_aside(self, part, number):
        """Away from where it was, but not gone: its inode must not be given to another one."""
        os.rename(self.path(part, number), os.path.join(self.directory, "pid", "{0}.{1}".format(part, number)))

    def _full(self, address):
        return address.format(domain=self.domain)

    def _rewritten(self, address):
        """A local recipient as qmail-send writes it; it looks for the address, its domain and the domain's parents."""
        user, _, domain = address[: -len(self.domain) - 1].partition("@")
        for name in (user + "@" + domain, domain, "." + domain.rpartition(".")[2]):
            if name in VIRTUAL_DOMAINS:
                return VIRTUAL_DOMAINS[name] + "-" + address
        return address

    def _directory(self, path, mode, owner):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        self._give(path, owner)

    def _write(self, path, content, mode, owner, mtime=ARRIVAL):
        with open(path, "xb") as handle:
            handle.write(content)
        os.chmod(path, mode)
        self._give(path, owner)
        os.utime(path, (mtime, mtime))

    def _give(self, path, owner):
        if owner in self._owners:
            os.chown(path, *self._owners[owner])


def _envelope(recipients):
    return b"".join((b"D" if done else b"T") + name.encode() + b"\0" for name, done in recipients)


def _qmail_owners():
    """{name: (uid, gid)} of the users that files can be given to."""
    owners = {}
    for name in ("qmailq", "qmails", "qmailr") if os.geteuid() == 0 else ():
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            owners[name] = (account.pw_uid, account.pw_gid)
    return owners


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--split", type=int, default=23)
    parser.add_argument("--split-todo", action="store_true")
    parser.add_argument("--messages", type=int, default=len(KINDS))
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), dest="kinds")
    parser.add_argument("--debris", choices=("harmless", "all"))
    parser.add_argument("--domain", default="lab.example")
    options = parser.parse_args()
    spool = Spool(options.directory, options.split, options.split_todo, options.domain)
    if not os.path.exists(os.path.join(options.directory, "mess")):
        spool.make()
    for expected in spool.fill(options.messages, options.kinds or list(KINDS)):
        json.dump(expected._asdict(), sys.stdout)
        sys.stdout.write("\n")
    if options.debris:
        spool.debris(options.debris == "harmless")


if __name__ == "__main__":
    main()
