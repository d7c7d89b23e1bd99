"""Makes Postfix write queue files; run as root on a neglected mail VPS of the test hosts, by record.py.

Leaves /root/recorded.tar.
"""

import contextlib
import json
import os
import re
import shutil
import smtplib
import socket
import struct
import subprocess
import tarfile
import threading
import time

QUEUE = "/var/spool/postfix"
STATES = ("maildrop", "incoming", "active", "deferred", "hold")
SUBJECT = "Subject: =?ISO-2022-JP?B?GyRCQmc7diRKJCpDTiRpJDsbKEI=?="
MILTER_PORT = 8899


class Recorder:
    def __init__(self):
        self.version = ".".join(run("postconf -h mail_version").strip().split(".")[:2])
        self.directory = os.path.join("/root", self.version)
        self.kinds = {}
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        # Nothing listens there: all mail for elsewhere is deferred at once.
        run(
            "postfix start; postsuper -d ALL; "
            "postconf -e default_transport=smtp:[127.0.0.1]:9 smtpd_recipient_limit=2000 "
            "local_recipient_maps= smtpd_authorized_xforward_hosts=127.0.0.0/8 maximal_queue_lifetime=100d "
            "minimal_backoff_time=1d maximal_backoff_time=1d smtputf8_enable=yes; "
            "postfix reload"
        )

    def record_all(self):
        self.smtp("smtp", plain("SMTP"))
        self.smtp("smtp_japanese", [SUBJECT, "", "body"])
        self.smtp(
            "smtp_japanese_folded",
            ["Subject: =?UTF-8?B?44GK5pSv5omV44GE5pa55rOV44Gu5pu05paw44KS?=", " =?UTF-8?B?44GK6aGY44GE?=", "", "x"],
        )
        self.smtp("smtp_account", plain("by SASL"), account=("info@example.com", "info"))
        self.smtp("smtp_forwarded", plain("through a filter"), xforward="NAME=mail.example.org ADDR=203.0.113.9 PORT=5")
        self.smtp(
            "smtp_raw_8bit", ["Subject: お支払い".encode("euc_jp"), b"", "本文".encode("euc_jp")], ["BODY=8BITMIME"]
        )
        self.smtp(
            "smtp_utf8",
            ["Subject: 大事なお知らせ".encode(), b"", b"x"],
            ["SMTPUTF8", "BODY=8BITMIME"],
            sender="差出人@例え.example",
            recipients=["宛先@例え.example"],
        )
        self.smtp("smtp_long_lines", ["X-Long: " + "x " * 3000, "Subject: after", "", "y" * 30000, "z"])
        self.smtp("smtp_no_subject", ["From: a@example.net", "", "Subject: only in the body"])
        self.smtp("smtp_empty", ["", ""])
        self.smtp("smtp_null_sender", plain("null"), sender="")
        self.smtp(
            "smtp_dsn",
            plain("DSN"),
            ["ENVID=QQ+2B314159", "RET=HDRS"],
            recipients=["one@example.org", "two@example.org"],
            rcpt_options=["NOTIFY=SUCCESS,FAILURE,DELAY", "ORCPT=rfc822;first+2Bx@example.org"],
        )
        self.smtp("smtp_odd_addresses", plain("odd"), sender='"a b"@example.net', recipients=['"c\\"d"@example.org'])
        self.smtp("smtp_many", plain("many"), recipients=["r{0}@example.org".format(n) for n in range(300)])
        self.smtp("smtp_twice", plain("twice"), recipients=["same@example.org", "SAME@example.org", "same@example.org"])
        self.smtp(
            "smtp_partly_delivered", plain("partly"), recipients=["root@localhost", "later@example.org"], wait="D"
        )
        self.smtp("smtp_held", plain("held"), then="postsuper -h")
        self.smtp("smtp_big", ["Subject: big", ""] + ["0123456789" * 7] * 1000)
        self.sendmail("sendmail", plain("sendmail"), "r1@example.org")
        self.sendmail(
            "sendmail_php",
            ["X-PHP-Originating-Script: 33:contact.php", *plain("PHP")],
            "r1@example.org",
            user="www-data",
        )
        self.sendmail("sendmail_name", plain("full name"), "-F 'Somebody Else' r1@example.org")
        self.sendmail("sendmail_many", plain("1100"), " ".join("r{0}@example.org".format(n) for n in range(1100)))
        addresses = ", ".join("t{0}@example.org".format(n) for n in range(150))
        self.sendmail("sendmail_t", ["To: " + addresses, *plain("from the header")], "-t")
        self.sendmail("sendmail_t_big", ["To: " + addresses, *plain("big"), *["x" * 70] * 200], "-t")
        self.sendmail("sendmail_dsn", plain("DSN"), "-N success,delay -V envelope-id -R hdrs r1@example.org")
        self.sendmail("sendmail_verp", plain("VERP"), "-V r1@example.org r2@example.org")
        self.sendmail("sendmail_requeued", plain("requeued"), "r1@example.org", then="postsuper -r")
        self.smtp("smtp_requeued", plain("requeued"), then="postsuper -r")
        self.sendmail("bounce", plain("to nobody"), "nobody-here@localhost", sender="bounced@example.net")
        with self.configured("enable_long_queue_ids=yes"):
            self.smtp("long_id", plain("long id"))
        rules = "/^Subject:/ PREPEND X-Prepended: yes\n/^X-Redirect:/ REDIRECT elsewhere@example.org\n"
        rules += "/^X-Filter:/ FILTER smtp:[127.0.0.1]:9\n/^X-Hold:/ HOLD\n/^X-Bcc:/ BCC blind@example.org\n"
        with open("/etc/postfix/checks", "w", encoding="ascii") as handle:
            handle.write(rules)
        with self.configured("header_checks=regexp:/etc/postfix/checks always_bcc=archive@example.org"):
            self.smtp("header_checks", ["X-Redirect: x", "X-Bcc: x", *plain("checked")])
            self.smtp("header_checks_filter", ["X-Filter: x", *plain("filtered")])
            self.smtp("header_checks_hold", ["X-Hold: x", *plain("held by a check")])
        for kind in sorted(MILTERS):
            with Milter(kind), self.configured("smtpd_milters=inet:127.0.0.1:{0}".format(MILTER_PORT)):
                self.smtp("milter_" + kind, plain("to a milter"), recipients=["keep@example.org", "drop@example.org"])
        self.submit_while_stopped()

    # --- one kind each --------------------------------------------------------------------------------------

    def smtp(
        self,
        kind,
        lines,
        options=(),
        sender="sender@example.net",
        recipients=("r1@example.org",),
        rcpt_options=(),
        account=None,
        xforward=None,
        wait="",
        then=None,
    ):
        """Send a message by SMTP."""
        data = b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\r\n"
        with smtplib.SMTP("127.0.0.1", 587 if account else 25) as client:
            if "SMTPUTF8" in options:
                client.command_encoding = "utf-8"
            client.ehlo("client.example.net")
            if account:
                client.login(*account)
            if xforward:
                client.docmd("XFORWARD", xforward)
            client.docmd("MAIL", " ".join(["FROM:<{0}>".format(sender), *options]))
            for recipient in recipients:
                code, said = client.docmd("RCPT", " ".join(["TO:<{0}>".format(recipient), *rcpt_options]))
                if code != 250:
                    raise SystemExit("{0}: {1} {2}".format(kind, code, said))
            code, said = client.data(data)
            if code != 250:
                raise SystemExit("{0}: {1} {2}".format(kind, code, said))
            self.settle(kind, said.decode().split()[-1], wait, then)

    def sendmail(self, kind, lines, arguments, user="root", sender="sender@example.net", then=None):
        """Submit a message by sendmail(1)."""
        before = set(queued())
        command = "sendmail -i -f {0} {1}".format(sender, arguments)
        run("runuser -u {0} -- {1}".format(user, command) if user != "root" else command, "\n".join(lines) + "\n")
        self.settle(kind, self.newcomer(before), "", then)

    def newcomer(self, before):
        for _ in range(100):
            new = [name for name, state in queued().items() if name not in before and state == "deferred"]
            if len(new) == 1:
                return new[0]
            time.sleep(0.1)
        raise SystemExit("{0} new messages".format(len(set(queued()) - before)))

    def settle(self, kind, name, wait, then):
        """Wait until a message was tried once."""
        for _ in range(100):
            state = queued().get(name)
            if state in ("deferred", "hold") and (not wait or wait in record_types(os_path(state, name))):
                break
            time.sleep(0.1)
        else:
            raise SystemExit("{0}: {1} is {2}".format(kind, name, state))
        if then:
            before = set(queued())
            run("{0} {1}".format(then, name))
            if then.endswith("-r"):
                run("postkick public pickup W")
                name = self.newcomer(before)
        self.kinds[kind] = name

    @contextlib.contextmanager
    def configured(self, settings):
        run("postconf -e {0}; postfix reload".format(settings))
        time.sleep(1)
        yield
        run("postconf -# {0}; postfix reload".format(" ".join(word.split("=")[0] for word in settings.split())))
        time.sleep(1)

    def submit_while_stopped(self):
        """Mail that nobody picks up."""
        run("postfix stop")
        before = set(queued())
        for kind, user, arguments in (
            ("maildrop", "root", "r1@example.org r2@example.org"),
            ("maildrop_php", "www-data", "-t"),
        ):
            lines = ["To: r3@example.org", "X-PHP-Originating-Script: 33:mail.php", SUBJECT, "", "body"]
            run(
                "runuser -u {0} -- sendmail -i -f sender@example.net {1}".format(user, arguments),
                "\n".join(lines) + "\n",
            )
            (self.kinds[kind],) = set(queued()) - before
            before = set(queued())

    # --- what is kept ---------------------------------------------------------------------------------------

    def save(self):
        listing = run("postqueue -j 2>/dev/null")
        with open(os.path.join(self.directory, "postqueue.jsonl"), "w", encoding="utf-8") as handle:
            handle.write(listing)
        with open(os.path.join(self.directory, "kinds.json"), "w", encoding="utf-8") as handle:
            json.dump(self.kinds, handle, indent=1, sort_keys=True)
            handle.write("\n")
        with open(os.path.join(self.directory, "mail_owner"), "w", encoding="ascii") as handle:
            handle.write("{0}\n".format(os.stat(os.path.join(QUEUE, "active")).st_uid))
        for state in STATES:
            shutil.copytree(os.path.join(QUEUE, state), os.path.join(self.directory, "queue", state))
        os.mkdir(os.path.join(self.directory, "postcat"))
        for name, state in queued().items():
            for option, ending in (("-e", "envelope"), ("-h", "header")):
                said = subprocess.run(
                    ["postcat", option, os_path(state, name)], stdout=subprocess.PIPE, check=True
                ).stdout
                with open(os.path.join(self.directory, "postcat", name + "." + ending), "wb") as handle:
                    handle.write(said)
        with tarfile.open("/root/recorded.tar", "w") as archive:
            archive.add(self.directory, self.version)


# What milters answer at the end of a message, protocol as in src/milter/milter8.c.
MILTERS = {
    "adds_header": [b"hX-Milter\0at the end\0"],
    "inserts_header": [b"i" + struct.pack(">I", 0) + b"X-Milter\0at the beginning\0"],
    "changes_subject": [b"m" + struct.pack(">I", 1) + b"Subject\0changed by a milter, and longer than it was\0"],
    "deletes_subject": [b"m" + struct.pack(">I", 1) + b"Subject\0\0"],
    "changes_sender": [b"e<changed@example.net>\0"],
    "changes_recipients": [b"-<drop@example.org>\0", b"+<added@example.org>\0", b"+<more@example.org>\0"],
    "replaces_body": [b"b" + b"a new body, longer than the old\r\n" * 300],
    "does_it_all": [
        b"i" + struct.pack(">I", 0) + b"X-Milter\0at the beginning\0",
        b"m" + struct.pack(">I", 1) + b"Subject\0changed\0",
        b"m" + struct.pack(">I", 1) + b"Subject\0changed twice\0",
        b"hX-Milter\0at the end\0",
        b"e<changed@example.net>\0",
        b"-<drop@example.org>\0",
        b"+<added@example.org>\0",
        b"bnew\r\n",
    ],
    "does_nothing": [],
}


class Milter:
    """A milter that does one thing to each message."""

    def __init__(self, kind):
        self.edits = MILTERS[kind]
        self.server = socket.create_server(("127.0.0.1", MILTER_PORT))

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()

    def __exit__(self, *_):
        # A thread that waits in accept would keep it open.
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                self._talk(self.server.accept()[0])

    def _talk(self, connection):
        stream = connection.makefile("rb")
        while True:
            head = stream.read(4)
            if len(head) < 4:
                return
            packet = stream.read(struct.unpack(">I", head)[0])
            replies = {b"O": [b"O" + struct.pack(">III", 6, 0x7F, 0)], b"D": [], b"A": [], b"Q": []}
            for reply in replies.get(packet[:1], self.edits + [b"c"] if packet[:1] == b"E" else [b"c"]):
                connection.sendall(struct.pack(">I", len(reply)) + reply)


def plain(subject):
    return ["From: Somebody <sender@example.net>", "Subject: " + subject, "", "body"]


def run(command, stdin=""):
    done = subprocess.run(
        command,
        shell=True,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    return done.stdout


def queued():
    """{queue id: state} of all files."""
    found = {}
    for state in STATES:
        for _, _, names in os.walk(os.path.join(QUEUE, state)):
            found.update((name, state) for name in names)
    return found


def os_path(state, name):
    for directory, _, names in os.walk(os.path.join(QUEUE, state)):
        if name in names:
            return os.path.join(directory, name)
    raise SystemExit("{0} is not in {1}".format(name, state))


def record_types(path):
    """Types of the envelope's records, as postcat says them."""
    said = subprocess.run(["postcat", "-eo", path], stdout=subprocess.PIPE, check=True).stdout.decode(
        "utf-8", "replace"
    )
    return {"D"} if re.search(r"done_recipient", said) else set()


if __name__ == "__main__":
    recorder = Recorder()
    recorder.record_all()
    recorder.save()
