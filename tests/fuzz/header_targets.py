"""Subjects, and header blocks."""

import base64
import binascii
import json
import os

from harden_mail.queue.headers import origin_of, subject_of
from harden_mail.queue.subject import decode_subject

from .target import DATA, Target, harmless


def check_subjects(data):
    harmless(decode_subject(data))


def check_headers(data):
    raw = subject_of(data)
    assert raw is None or raw in data
    for mta in ("postfix", "qmail"):
        origin = origin_of(data, mta, requeued_by=33)
        assert origin.script is None or origin.uid is not None
        for text in (origin.sasl_user, origin.client, origin.script):
            harmless(text)


def recorded_messages():
    with open(os.path.join(DATA, "qmail-queue", "expected.json"), encoding="utf-8") as handle:
        return json.load(handle)["messages"]


def subject_seeds():
    for message in recorded_messages():
        yield base64.b64decode(message.get("subject_raw_b64", "")).partition(b":")[2]
    for charset in SETS:
        text = ("주문" if charset.endswith("kr") else "重要 a").encode(charset)
        yield b"=?" + charset.encode() + b"?B?" + base64.b64encode(text) + b"?="
        yield b"=?" + charset.encode() + b"?Q?" + binascii.b2a_qp(text, header=True) + b"?="
        yield text


def header_seeds():
    for message in recorded_messages()[:5]:
        yield message["received"].encode() + b"\n" + base64.b64decode(message.get("subject_raw_b64", "")) + b"\n\n"
    yield "Received: from a (b [IPv6:2001:db8::1])\n\t(Authenticated sender: é)\n\tby c; Tue\nSubject: a\n\n".encode()
    yield "Received: by a (Postfix, from userid 33)\nReceived: from é (b [192.0.2.1])\n".encode()
    for name in ("PHP-Originating-Script: 33:", "PPP-Vhost: ", "PPP-Message-ID: b@"):
        yield "Received: by a (Postfix, from userid 34)\n\tid 4A; Tue\nX-{0}é\n".format(name).encode()
        yield "Received: (qmail 1 invoked by uid 33); 24 Nov\nX-{0}é\n".format(name).encode()
    yield (
        b"Received: (qmail 1 invoked from network); 24 Nov\n"
        b"Received: from a (HELO b) (c@::ffff:192.0.2.1)\n  by d with SMTP; 24 Nov\n"
    )


SETS = "utf-8 iso-2022-jp iso-2022-jp-3 shift_jis euc-jp gb2312 hz utf-7 utf-16 iso-2022-kr".split()

SUBJECT_WORDS = [
    *b"=? ?= ?B? ?Q? =?utf-8?B? =?utf-8?Q? =?iso-2022-jp?B? =?shift_jis?Q? =?euc-jp?Q? =?gb2312?B? =?x?Q?".split(),
    *[b"\x1b$B", b"\x1b$(D", b"\x1b$(O", b"\x1b$A", b"\x1b(B", b"\x1b(I", b"\x0e", b"\x0f", b"\r\n ", b"\n\t"],
]

HEADER_WORDS = [
    *b"Subject: Received: X-PPP-Vhost: X-PPP-Message-ID: X-PHP-Originating-Script: [IPv6: )] ])".split(),
    *[b"(Authenticated sender: ", b", from userid ", b"by uid 33", b"from network", b"(HELO ", b"(qmail 1 invoked "],
    *[b"\n\n", b"\r\n", b"\n "],
]

SUBJECTS = Target(check_subjects, subject_seeds, SUBJECT_WORDS)
HEADERS = Target(check_headers, header_seeds, HEADER_WORDS)
