#!/usr/bin/env python3
"""Fills Postfix's deferred queue; runs as root on a host, with the Python that is there.

    postfix_spool.py COUNT

The messages are what a client sends, and what `sendmail` submits: a tenth has subjects in ISO-2022-JP, three tenths in
UTF-8, all of them different; the others are ten texts. Senders, domains and accounts are many. Each has its log of what
was tried, and is tried again in a month.
"""

import base64
import os
import pwd
import subprocess
import sys
import time

QUEUE = "/var/spool/postfix"
MONTH = 30 * 86400
BODY = ["この度はご利用いただき、まことにありがとうございます。".encode(), b"", b"https://example.net/" + b"x" * 60] * 4
OTHERS = [
    "Invoice {0}",
    "Re: meeting",
    "Your parcel",
    "Newsletter",
    "Delivery Status",
    "Hello",
    "Offer",
    "Test",
    "",
    "?",
]


def record(kind, data=b""):
    """As src/global/record.c writes it."""
    length, size = b"", len(data)
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return kind + length + bytes((size,)) + data


def subject(number):
    """A header's value (str)."""
    if number % 10 < 3:
        text = "【重要】お支払い方法の更新のお願い {0}".format(number)
        return "=?UTF-8?B?{0}?=".format(base64.b64encode(text.encode()).decode())
    if number % 10 == 3:
        text = "ご請求書 {0} 号".format(number)
        return "=?ISO-2022-JP?B?{0}?=".format(base64.b64encode(text.encode("iso2022_jp")).decode())
    return OTHERS[number % 10].format(number % 7)


def message(number, now):
    """(bytes of a queue file, recipient, offset of its record)"""
    sender = "s{0}@d{1}.example.net".format(number % 5000, number % 50).encode()
    recipient = "r{0}@e{1}.example.org".format(number, number % 200).encode()
    envelope = [
        record(b"T", "{0} {1:d}".format(now - number % 86400, number % 1000000).encode()),
        record(b"A", "create_time={0}".format(now).encode()),
        record(b"A", b"rewrite_context=local"),
    ]
    if number % 4:
        envelope += [
            record(b"A", b"sasl_method=PLAIN"),
            record(b"A", b"sasl_username=u%d@example.com" % (number % 300)),
        ]
        envelope += [record(b"S", sender)]
        for prefix in (b"log_", b""):
            envelope += [
                record(b"A", prefix + b"client_name=unknown"),
                record(b"A", prefix + b"client_address=198.51.100.%d" % (number % 250)),
                record(b"A", prefix + b"client_port=40000"),
                record(b"A", prefix + b"helo_name=client.example.net"),
                record(b"A", prefix + b"protocol_name=ESMTPSA"),
            ]
        envelope.append(record(b"A", b"client_address_type=2"))
        received = [
            b"Received: from client.example.net (unknown [198.51.100.%d])" % (number % 250),
            b"\tby vps.example.com (Postfix) with ESMTPSA id 0123456789A",
            b"\tfor <" + recipient + b">; Wed, 25 Nov 2026 07:24:41 +0000 (UTC)",
        ]
    else:
        envelope += [record(b"F", b"www-data"), record(b"S", sender)]
        received = [
            b"Received: by vps.example.com (Postfix, from userid 33)",
            b"\tid 0123456789A; Wed, 25 Nov 2026 07:24:41 +0000 (UTC)",
            b"X-PHP-Originating-Script: 33:contact.php",
        ]
    envelope += [record(b"A", b"dsn_orig_rcpt=rfc822;" + recipient), record(b"O", recipient)]
    first = b"".join(envelope)
    lines = received + [
        b"Message-Id: <%d@example.net>" % number,
        b"Date: Wed, 25 Nov 2026 07:24:41 +0000 (UTC)",
        b"From: Somebody <" + sender + b">",
        b"To: " + recipient,
        b"Subject: " + subject(number).encode(),
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 8bit",
        b"",
    ]
    content = b"".join(record(b"N", line) for line in lines + BODY)
    to_do = record(b"R", recipient) + record(b"M")
    offset = 97 + len(first)
    numbers = (len(content), offset + len(to_do), 1, 0, len(content), 0)
    sizes = record(b"C", " ".join("{0:15d}".format(one) for one in numbers).encode())
    return sizes + first + to_do + content + record(b"X") + record(b"E"), recipient, offset


def tried(recipient, offset):
    """What src/global/bounce_log.c writes of an attempt."""
    return (
        "\n<{0}>: {1}\nrecipient={0}\noffset={2}\ndsn_orig_rcpt=rfc822;{0}\nstatus=4.4.1\naction=delayed\n"
        "reason={1}\n\n"
    ).format(recipient.decode(), "connect to 127.0.0.1[127.0.0.1]:9: Connection refused", offset)


def fill(count):
    """Make the messages."""
    owner = pwd.getpwnam("postfix")
    now = int(time.time())
    hashed = subprocess.check_output(["postconf", "-h", "hash_queue_names", "hash_queue_depth"]).decode().splitlines()
    depths = {
        queue: int(hashed[1]) if queue in hashed[0].replace(",", " ").split() else 0 for queue in ("deferred", "defer")
    }
    new = os.path.join(QUEUE, "incoming", "new")

    def put(queue, name, data, mode):
        """Returns the file's inode; ``name`` makes its name of that."""
        with open(new, "wb") as handle:
            handle.write(data)
            os.fchown(handle.fileno(), owner.pw_uid, owner.pw_gid)
            os.fchmod(handle.fileno(), mode)
            inode = os.fstat(handle.fileno()).st_ino
        os.utime(new, (now + MONTH, now + MONTH))
        directory = os.path.join(QUEUE, queue, *name(inode)[: depths[queue]])
        if not os.path.isdir(directory):
            os.makedirs(directory, 0o700)
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        os.rename(new, os.path.join(directory, name(inode)))
        return inode

    for number in range(count):
        data, recipient, offset = message(number, now)
        begin = "{0:05X}".format(number * 7919 % 1000000)
        inode = put("deferred", lambda inode, begin=begin: "{0}{1:X}".format(begin, inode), data, 0o700)
        name = "{0}{1:X}".format(begin, inode)
        put("defer", lambda _, name=name: name, tried(recipient, offset).encode(), 0o600)


if __name__ == "__main__":
    fill(int(sys.argv[1]))
