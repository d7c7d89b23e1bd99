"""Queue files: what Postfix wrote is read as its own postcat reads it, and what it did not write is refused."""

import pytest
from harden_mail.queue.headers import subject_of
from harden_mail.queue.postfix.file import (
    FIRST_BLOCK,
    Envelope,
    HalfMade,
    QueueFile,
    Unreadable,
    sizes,
    usual_envelope,
    usual_head,
    usual_header,
    usual_subject,
)
from hypothesis import example, given
from hypothesis import strategies as st
from postfix_recorded import RECORDED, VERSIONS

QUEUED = [one for one in RECORDED if one.state != "maildrop"]


def record(kind, data=b""):
    """As Postfix's rec_put writes it: type, length in seven bits a byte with the lowest first, data."""
    length, size = b"", len(data)
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return kind + length + bytes((size,)) + data


def pointer(target):
    return record(b"p", b"%15d" % target)


def queue_file(envelope, content, extracted=b"", behind=b"", recipients=1):
    """As cleanup leaves it, of bytes made by ``record``."""
    start = 97 + len(envelope) + 2
    numbers = (len(content), start, recipients, 0, len(content), 0)
    first = record(b"C", " ".join("{0:15d}".format(number) for number in numbers).encode())
    return first + envelope + record(b"M") + content + record(b"X") + extracted + record(b"E") + behind


HEAD = record(b"T", b"1795000000 12") + record(b"S", b"a@example.net")
TODO = record(b"O", b"b@example.org") + record(b"R", b"b@example.org")
CONTENT = record(b"N", b"Subject: s") + record(b"N") + record(b"N", b"body")
SOUND = queue_file(HEAD + TODO, CONTENT)


def opened(data, submitted=False):
    """A QueueFile on bytes in memory."""
    return QueueFile(data[:FIRST_BLOCK], reader(data), *(() if submitted else sizes(data[:FIRST_BLOCK])))


def reader(data):
    def read(offset, length):
        assert length < 1 << 25
        return data[offset : offset + length]

    return read


def everything(data, submitted=False):
    """Envelope and header, or why there are none."""
    try:
        one = opened(data, submitted)
        return one.envelope(), one.header()
    except Unreadable as error:
        assert str(error)
        return None


# --- what Postfix wrote ---------------------------------------------------------------------------------------


def test_something_is_recorded():
    assert VERSIONS
    assert {one.state for one in RECORDED} >= {"deferred", "hold", "maildrop"}


@pytest.mark.parametrize("one", RECORDED, ids=repr)
def test_as_postcat_reads_it(one):
    envelope = opened(one.bytes(), one.state == "maildrop").envelope()
    said = one.envelope()
    assert [(b"sender", envelope.sender)] == [(name, value) for name, value in said if name == b"sender"]
    kinds = {b"recipient": False, b"done_recipient": True}
    assert envelope.recipients == [(value, kinds[name]) for name, value in said if name in kinds]
    attributes = dict(value.split(b"=", 1) for name, value in said if name == b"named_attribute")
    assert envelope.sasl_user == attributes.get(b"sasl_username")
    assert envelope.client == (attributes.get(b"log_client_address") or attributes.get(b"client_address"))


@pytest.mark.parametrize("one", RECORDED, ids=repr)
def test_header_as_postcat_shows_it(one):
    said = one.header()
    # postcat ends a header that has no body with nothing.
    assert opened(one.bytes(), one.state == "maildrop").header().rstrip(b"\n") == said.rstrip(b"\n")


@pytest.mark.parametrize("one", QUEUED, ids=repr)
def test_sizes_as_postcat_shows_them(one):
    (said,) = [value for name, value in one.envelope() if name == b"message_size"]
    assert list(sizes(one.bytes()[:FIRST_BLOCK])) == [int(word) for word in said.split()[:3]]


@pytest.mark.parametrize("one", QUEUED, ids=repr)
def test_the_short_way_leads_to_the_same(one):
    assert_short_way(one.bytes())


@pytest.mark.parametrize("kind", ["smtp_account", "smtp_japanese_folded", "sendmail", "smtp_partly_delivered"])
def test_the_short_way_is_there_for_what_is_usual(kind):
    for one in QUEUED:
        if one.kind == kind:
            block = one.bytes()
            _, content, recipients = sizes(block)
            assert usual_head(block)
            assert usual_envelope(block, content, recipients)
            assert usual_header(block, content)
            assert usual_subject(block, content)


def test_long_lines_are_usual_in_a_header():
    block = queue_file(HEAD + TODO, record(b"N", b"X-Long: " + b"x" * 1000) + CONTENT)
    header = usual_header(block, sizes(block)[1])
    assert header.startswith(b"X-Long: " + b"x" * 1000 + b"\n")
    assert header == opened(block).header()


def assert_short_way(data):
    """Where the short way through the first block knows an answer, it is the right one."""
    block = data[:FIRST_BLOCK]
    _, content, recipients = sizes(block)
    one = opened(data)
    head, envelope, header, subject = (
        usual_head(block),
        usual_envelope(block, content, recipients),
        usual_header(block, content),
        usual_subject(block, content),
    )
    if head is not None:
        assert head == (one.envelope().time, one.envelope().sender)
    if envelope is not None:
        assert envelope == one.envelope()
    if header is not None:
        assert header == one.header()
    if subject is not None:
        assert subject == subject_of(one.header())


# --- what Postfix can write -----------------------------------------------------------------------------------

_TEXT = st.binary(max_size=150).map(lambda data: data.replace(b"\n", b" "))
_NAMES = st.sampled_from(
    [b"Subject", b"subject", b"SUBJECT", b"Subject ", b"X-Subject", b"Sub", b"ubject", b"N\x07Subject"]
)
_LINE = st.one_of(
    st.builds(lambda name, value: record(b"N", name + b":" + value), _NAMES, _TEXT),
    st.builds(lambda blank, value: record(b"N", blank + value), st.sampled_from([b" ", b"\t"]), _TEXT),
    st.builds(record, st.sampled_from([b"N", b"N", b"N", b"L", b"w"]), _TEXT),
    st.just(record(b"N")),
    st.just(pointer(0)),
)
ATTRIBUTES = (b"sasl_username=", b"log_client_address=", b"client_address=", b"helo=A")
_ADDRESS = st.binary(max_size=140)
_ENVELOPE = st.one_of(
    st.builds(record, st.sampled_from([b"R", b"D", b"O", b"S", b"T", b"/", b"W", b"F", b"L", b"w"]), _ADDRESS),
    st.builds(lambda name, value: record(b"A", name + value), st.sampled_from(ATTRIBUTES), _ADDRESS),
    st.just(pointer(0)),
)


def _joined(parts, most):
    return st.lists(parts, max_size=most).map(b"".join)


@given(_joined(_ENVELOPE, 8), _joined(_LINE, 10), _joined(_ENVELOPE, 4), st.integers(0, 4))
@example(TODO + record(b"A", b"helo=A0sasl_username=evil"), CONTENT, b"", 1)
@example(TODO + record(b"F", b"sasl_username=evil"), CONTENT, b"", 1)
@example(TODO + record(b"A", b"log_client_address=") + record(b"A", b"client_address=x"), CONTENT, b"", 1)
@example(TODO, record(b"N", b"To: N\x0bSubject: evil") + CONTENT, b"", 1)
@example(TODO, record(b"N", b"SUBJECT: first") + CONTENT, b"", 1)
@example(TODO, record(b"L", b"X-Long: ") + CONTENT, b"", 1)
@example(TODO, record(b"N") + CONTENT, b"", 1)
@example(TODO, b"N\x80\x00" + CONTENT, b"", 1)
@example(TODO, record(b"N", b"X-Long: " + b"x" * 140) + CONTENT, b"", 1)
@example(TODO, record(b"N", b"Subject: a") + pointer(0) + record(b"N", b" b") + record(b"N"), b"", 1)
def test_the_short_way_leads_to_the_same_whatever_was_written(envelope, content, extracted, recipients):
    data = queue_file(HEAD + envelope, content or record(b"N"), extracted, recipients=recipients)
    assert_short_way(data)


def test_sender_and_recipients_that_a_milter_changed():
    # A pointer has the place of the old sender, and what it covers is not read.
    start = 97 + len(record(b"T", b"1 2"))
    old = record(b"S", b"old@example.net, and more")
    rest = old[17:]
    envelope = record(b"T", b"1 2")
    content = CONTENT
    length = len(queue_file(envelope + old + TODO + pointer(0), content))
    back = start + len(old)
    new = record(b"S", b"new@example.net") + pointer(back)
    added_at = length + len(new)
    added = record(b"R", b"added@example.org") + pointer(back + len(TODO) + 17)
    data = queue_file(envelope + pointer(length) + rest + TODO + pointer(added_at), content, behind=new + added)
    assert opened(data).envelope() == Envelope(
        b"1 2", b"new@example.net", [(b"b@example.org", False), (b"added@example.org", False)], None, None
    )
    assert usual_head(data) is None


def test_canceled_recipients_are_none():
    data = queue_file(HEAD + TODO + record(b"/", b"c@example.org"), CONTENT, recipients=2)
    assert opened(data).envelope().recipients == [(b"b@example.org", False)]


def test_recipients_behind_a_large_message():
    content = CONTENT + record(b"N", b"x" * 70) * 3000
    extracted = b"".join(record(b"R", b"r%d@example.org" % number) for number in range(5000))
    data = queue_file(HEAD, content, extracted, recipients=5000)
    assert len(opened(data).envelope().recipients) == 5000


def test_very_long_lines():
    line = record(b"L", b"Subject: " + b"s" * 2000) + record(b"L", b"t" * 2048) * 500 + record(b"N", b"end")
    data = queue_file(HEAD + TODO, line + CONTENT)
    header = opened(data).header()
    assert header.startswith(b"Subject: sss")
    # As much of it as anybody looks at.
    assert abs(len(header) - (1 << 18)) < 5000
    assert everything(queue_file(HEAD + TODO, record(b"N", b"y" * (1 << 20))))


# --- what is no message ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", HalfMade),
        (b"C", HalfMade),
        (SOUND[:40], HalfMade),
        (record(b"C", " ".join(["{0:15d}".format(0)] * 6).encode()) + HEAD, HalfMade),
        (b"Return-Path: <a@example.net>\n\nbody", Unreadable),
        (b"\x7fELF" + bytes(5000), Unreadable),
        (record(b"C", b"x" * 95) + HEAD, HalfMade),
        (SOUND[:-6], Unreadable),
    ],
)
def test_refused_at_first_sight(data, kind):
    with pytest.raises(Unreadable) as caught:
        sizes(data[:FIRST_BLOCK])
    assert type(caught.value) is kind


@pytest.mark.parametrize("end", range(len(SOUND) - 2))
def test_cut_off_anywhere(end):
    """Only what says of itself that it is there is missed: E, and the end of X."""
    if end < len(SOUND) - 4:
        assert everything(SOUND[:end]) is None


@pytest.mark.parametrize("target", [97, 97 + len(HEAD), 97 + len(HEAD) + 1, 99])
def test_pointers_in_a_circle(target):
    data = queue_file(HEAD + TODO + pointer(target), CONTENT, recipients=9)
    assert everything(data) is None


@pytest.mark.parametrize("text", [b"              x", b"-1", b"", b"9" * 15, b"9" * 5000])
def test_pointers_to_nowhere(text):
    assert everything(queue_file(HEAD + record(b"p", text) + TODO, CONTENT)) is None


def test_records_within_records():
    """Long records that begin one in another, each followed by a pointer to the next: megabytes to read in 32 KiB."""
    start, count, length = 97 + len(HEAD), 900, 0x3FFF
    records = (b"R\xff\x7f" + bytes(14)) * count
    pointers = [pointer(start + 17 * number) for number in range(1, count)] + [pointer(0)]
    area = records + bytes(3 + length - len(records)) + b"".join(pointers)
    assert everything(queue_file(HEAD + area, CONTENT)) is None


@pytest.mark.parametrize("length", [b"\xff\xff\xff\x7f", b"\xff" * 9, b"\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x00"])
def test_lengths_that_lie(length):
    data = HEAD + b"R" + length + b"b@example.org"
    assert everything(queue_file(data, CONTENT)) is None


@given(st.binary(max_size=400), st.booleans())
def test_anything(data, submitted):
    everything(data, submitted)


@given(st.sampled_from(RECORDED), st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=4))
def test_damaged(one, changes):
    data = bytearray(one.bytes()[:20000])
    for position, value in changes:
        data[min(position, len(data) - 1)] = value
    everything(bytes(data), one.state == "maildrop")
    try:
        assert_short_way(bytes(data))
    except Unreadable:
        return
