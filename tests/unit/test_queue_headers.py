import json
import os
import time

import pytest
from harden_mail.queue.headers import Origin, origin_of, subject_of
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDED = os.path.join(os.path.dirname(__file__), "..", "data", "qmail-queue", "expected.json")

NOBODY = Origin(None, None, None, None)


def came(client, account=None):
    return Origin(account, client, None, None)


def ran(uid, script=None):
    return Origin(None, None, uid, script)


@pytest.mark.parametrize(
    "block, subject",
    [
        (b"", None),
        (b"From: a\n\nSubject: in the body\n", None),
        (b"\nSubject: in the body\n", None),
        (b"\r\nSubject: in the body\n", None),
        (b"From: a\r\n\r\nSubject: in the body\r\n", None),
        (b"Subject: first\nTo: b\n\nbody", b"first"),
        (b"To: b\nSubject: last", b"last"),
        (b"To: b\r\nsubject:no blank\r\n\r\n", b"no blank\r"),
        (b"To: b\nSUBJECT : blanks before the colon\n", b"blanks before the colon"),
        (b"To: b\nSubject:\n =?utf-8?Q?a?=\n\t=?utf-8?Q?b?=\nX: y\n", b"\n =?utf-8?Q?a?=\n\t=?utf-8?Q?b?="),
        (b"To: b\nSubject: a\r\n b\r\nX: y\r\n", b"a\r\n b\r"),
        (b"To: b\nSubject: one\nSubject: two\n", b"one"),
        (b"To: b\nSubject:", b""),
        (b"To: b\nSubject", None),
        (b"To: b\n Subject: folded into To\nX-Subject: no\nSubjects: no\n", None),
        (b"To: b\nSubjects: no\nSubject: yes\n", b"yes"),
        (b"Subject: \xe7\xa2\xba\x00\n", b"\xe7\xa2\xba\x00"),
    ],
)
def test_subject_of(block, subject):
    assert subject_of(block) == subject


def by_smtp(inner=b"", helo=b"mx.example.com", peer=b"mx.example.com [203.0.113.5]"):
    """As Postfix's smtpd writes it."""
    return (
        b"Received: from " + helo + b" (" + peer + b")\n"
        b"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
        b"\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\n"
        b"\t(No client certificate requested)\n" + inner + b"\tby vps.example (Postfix) with ESMTPSA id 4ABC\n"
        b"\tfor <a@b.example>; Tue, 24 Nov 2026 19:41:03 +0900 (JST)\n"
    )


ACCOUNT = b"\t(Authenticated sender: info@example.jp)\n"
BY_UID = b"Received: by vps.example (Postfix, from userid 33)\n\tid 4ABC; Tue, 24 Nov 2026 19:41:03 +0900 (JST)\n"
BY_POSTFIX = BY_UID.replace(b"33", b"115")
SCRIPT = b"To: x@y\nSubject: a\nX-PHP-Originating-Script: 33:contact.php\n"


@pytest.mark.parametrize(
    "block, origin",
    [
        (b"", NOBODY),
        (b"Subject: none\n", NOBODY),
        (by_smtp(), came("203.0.113.5")),
        (by_smtp(ACCOUNT), came("203.0.113.5", "info@example.jp")),
        (by_smtp(ACCOUNT).replace(b"\n", b"\r\n"), came("203.0.113.5", "info@example.jp")),
        (by_smtp(peer=b"unknown [IPv6:2001:db8::25]"), came("2001:db8::25")),
        (by_smtp(peer=b"unknown [unknown]", inner=ACCOUNT), came(None, "info@example.jp")),
        (by_smtp(helo=b"[192.0.2.1]", peer=b"unknown [198.51.100.7]"), came("198.51.100.7")),
        (BY_UID, ran(33)),
        (BY_UID.replace(b"(Postfix,", b"(Our (own) mailer,"), ran(33)),
        (BY_UID + SCRIPT, ran(33, "33:contact.php")),
        (BY_UID + SCRIPT.replace(b"33:", b"33: "), ran(33, "33:contact.php")),
        (
            BY_UID + b"X-PHP-Originating-Script: 33:wp-x.php(189) : eval()'d code\r\n",
            ran(33, "33:wp-x.php(189) : eval()'d code"),
        ),
        (BY_UID + SCRIPT + b"X-PPP-Vhost: example.jp\n", ran(33, "example.jp 33:contact.php")),
        (BY_UID + b"X-PPP-Vhost: example.jp\n", ran(33, "example.jp")),
        (BY_UID + b"X-PPP-Message-ID: <20261124.1234@example.jp>\n", ran(33, "example.jp")),
        (BY_UID + b"X-PHP-Originating-Script: nonsense\n", ran(33)),
        (BY_UID + b"\n" + SCRIPT, ran(33)),
        # Bounces: written by Postfix, from nobody
        (b"Received: by vps.example (Postfix)\n\tid 4ABC; Tue, 24 Nov 2026 19:41:03 +0900 (JST)\n" + SCRIPT, NOBODY),
        # smtpd_hide_client_session
        (b"Received: by vps.example (Postfix) with ESMTPSA id 4ABC;\n\tTue, 24 Nov\n", NOBODY),
        # Cut off anywhere
        (b"Received: from mx.example.com (mx.example.com [203.0", NOBODY),
        (by_smtp(ACCOUNT)[:60], came("203.0.113.5")),
        # PREPEND and milters write above our own Received
        (b"X-Policy: passed\nDKIM-Filter: x\n" + by_smtp(ACCOUNT), came("203.0.113.5", "info@example.jp")),
    ],
)
def test_origin_by_postfix(block, origin):
    assert origin_of(block, "postfix") == origin


@pytest.mark.parametrize(
    "block",
    [
        by_smtp() + by_smtp(ACCOUNT, peer=b"unknown [192.0.2.66]") + BY_UID,
        by_smtp() + SCRIPT + b"X-PPP-Vhost: innocent.example\n",
        by_smtp() + b"X-Note: x\n\t(Authenticated sender: innocent@example.jp)\n",
        # What the client may put into our own header: HELO, and a recipient with a quoted local part
        by_smtp(helo=b"[192.0.2.66])"),
        by_smtp(b'\tfor <"(Authenticated sender: innocent)"@b.example>;\n'),
        by_smtp(b'\t(Client CN "(Authenticated sender: innocent)", Issuer "x" (not verified))\n'),
    ],
)
def test_what_clients_forge_does_not_count(block):
    assert origin_of(block, "postfix") in (came("203.0.113.5"), NOBODY)


def test_mail_that_was_put_into_postfix_queue_again():
    block = BY_POSTFIX + BY_POSTFIX + by_smtp(ACCOUNT)
    assert origin_of(block, "postfix") == ran(115)
    assert origin_of(block, "postfix", 115) == came("203.0.113.5", "info@example.jp")
    assert origin_of(BY_POSTFIX + BY_UID + SCRIPT, "postfix", 115) == ran(33, "33:contact.php")
    assert origin_of(BY_POSTFIX, "postfix", 115) == NOBODY


def invoked(how, date=b"; 24 Nov 2026 19:41:03 -0000\n"):
    """As qmail-queue writes it."""
    return b"Received: (qmail 996 invoked " + how + b")" + date


def by_qmail_smtpd(peer, host=b"unknown", helo=b" (HELO mx.example.com)"):
    """As received.c of qmail writes it."""
    return (
        b"Received: from " + host + helo + b" (" + peer + b")\n"
        b"  by vps.example with ESMTPA; 24 Nov 2026 19:41:03 -0000\n"
    )


NETWORK = invoked(b"from network")


@pytest.mark.parametrize(
    "block, origin",
    [
        (invoked(b"by uid 33"), ran(33)),
        (invoked(b"by uid 33") + SCRIPT, ran(33, "33:contact.php")),
        (invoked(b"by uid 0") + by_qmail_smtpd(b"forged@192.0.2.66"), ran(0)),
        (invoked(b"by alias") + SCRIPT, NOBODY),
        (invoked(b"for bounce"), NOBODY),
        (NETWORK + SCRIPT, NOBODY),
        (NETWORK + by_qmail_smtpd(b"192.0.2.7"), came("192.0.2.7")),
        (NETWORK + by_qmail_smtpd(b"192.0.2.7", b"mx.example", b"") + SCRIPT, came("192.0.2.7")),
        (NETWORK + by_qmail_smtpd(b"info@192.0.2.7"), came("192.0.2.7", "info")),
        (NETWORK + by_qmail_smtpd(b"info@example.jp@::ffff:192.0.2.7"), came("192.0.2.7", "info@example.jp")),
        (NETWORK + by_qmail_smtpd(b"info@example.jp@2001:db8::7"), came("2001:db8::7", "info@example.jp")),
        (NETWORK + by_qmail_smtpd(b"192.0.2.7") + by_qmail_smtpd(b"forged@192.0.2.66"), came("192.0.2.7")),
        (NETWORK + b"Received: by forged (info@192.0.2.66)\n" + by_qmail_smtpd(b"a@192.0.2.66"), NOBODY),
        (by_smtp(ACCOUNT) + invoked(b"by uid 33"), NOBODY),
        (invoked(b"by uid 33)\n\t(x"), NOBODY),
    ],
)
def test_origin_by_qmail(block, origin):
    assert origin_of(block, "qmail") == origin


def test_received_lines_recorded_from_a_real_queue():
    with open(RECORDED, encoding="utf-8") as handle:
        messages = json.load(handle)["messages"]
    uids = set()
    for message in messages:
        by_uid = "invoked by uid " in message["received"]
        origin = origin_of(message["received"].encode() + b"\n" + SCRIPT, "qmail")
        assert origin == (Origin(None, None, message["uid"], "33:contact.php") if by_uid else NOBODY), message[
            "received"
        ]
        uids.add(origin.uid)
    assert len(uids) > 4


LINES = st.sampled_from(
    [
        by_smtp(),
        by_smtp(ACCOUNT),
        BY_UID,
        invoked(b"by uid 33"),
        NETWORK,
        by_qmail_smtpd(b"a@192.0.2.7"),
        SCRIPT,
        b"X-PPP-Vhost:",
        b"Received: ",
        b"Subject",
        b":",
        b"\n",
        b"\r\n",
        b"\n ",
        b"\x00\xff",
    ]
)


@given(st.lists(st.one_of(LINES, st.binary(max_size=30)), max_size=8), st.integers(0, 2000))
def test_never_raises(pieces, length):
    block = b"".join(pieces)[:length]
    subject_of(block)
    for mta in ("postfix", "qmail"):
        origin = origin_of(block, mta, 33)
        assert origin.script is None or origin.uid is not None
        for text in (origin.sasl_user, origin.client, origin.script):
            assert text is None or text.encode("utf-8")


def fields(block):
    """[name as it is written, value] of each header, line by line."""
    found = []
    lines = block.split(b"\n")
    # What has no line feed behind it is no empty line.
    for line in lines if lines[-1] else lines[:-1]:
        if line in (b"", b"\r"):
            break
        if line[:1] in (b" ", b"\t"):
            if found:
                found[-1][1] += b"\n" + line
        else:
            name, colon, value = line.partition(b":")
            found.append([name.rstrip(b" \t") if colon else b"", value])
    return [(name, value.lstrip(b" ")) for name, value in found]


WHOLE_LINES = st.sampled_from(
    [
        BY_UID,
        NETWORK,
        invoked(b"by alias"),
        invoked(b"by uid 33"),
        by_qmail_smtpd(b"a@192.0.2.7"),
        b"Received: from x (HELO y) (192.0.2.8)\r\n  by z\r\n",
        b"Received-SPF: none\n",
        b"Received: forged\n",
        SCRIPT,
        b"To: b\n",
        b"Subject: a\n b\n",
        b"Subject: c\r\n",
        b"subject: d\n",
        b"SUBJECT : e\n",
        b"Subjects: f\n",
        b"\n",
        b"\r\n",
    ]
)


@settings(max_examples=1000)
@given(st.lists(WHOLE_LINES, max_size=6), st.binary(max_size=10))
def test_what_is_usual_is_read_like_all_else(lines, rest):
    block = b"".join(lines) + rest
    subjects = [value for name, value in fields(block) if name.lower() == b"subject"]
    assert subject_of(block) == (subjects[0] if subjects else None)
    # A blank before the colon is not usual, and changes nothing.
    unusual = b"".join(name + b" : " + value + b"\n" for name, value in fields(block) if name)
    assert origin_of(block, "qmail") == origin_of(unusual, "qmail")


@pytest.mark.parametrize(
    "pattern", [b"\n ", b"Received: from ", b"(", b" [", b"\t", b"a\n", b"\nSubject", b"from userid "]
)
@pytest.mark.parametrize("start", [b"", b"Received: from ", b"Received: by a (", b"Received: (qmail 1 ", b"Subject:"])
def test_hostile_headers_take_no_time(pattern, start):
    block = start + pattern * (1000000 // len(pattern))
    begun = time.process_time()
    subject_of(block)
    origin_of(block, "postfix", 33)
    origin_of(block, "qmail")
    assert time.process_time() - begun < 0.5
