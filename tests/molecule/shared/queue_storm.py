"""Mail for a test of the queue: spam and wanted mail that looks like it, and what is to be expected of each letter."""

import base64
import json
import quopri
import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import queue_sink

# Matches the spam below and none of the wanted mail: one pattern is in full-width letters, one in half-width ones.
SPAM = {"subject": ["*お支払い方法*更新*", "*ｱｶｳﾝﾄ*確認*"]}
SPAM_SUBJECTS = (
    "【重要】お支払い方法の更新をお願いいたします",
    "ｱｶｳﾝﾄ情報の確認（ＩＤ：４７１１）",
    "[緊急] アカウントのご確認①",
    "お支払い方法を２４時間以内に更新してください!!",
    "Re: アカウント停止のお知らせ - 今すぐ確認",
)
WANTED_SUBJECTS = (
    "お支払いありがとうございました",
    "アカウント開設のお知らせ",
    "送付先の更新につきまして",
    "Re: 【重要】会議のご案内（確認済み）",
    "お支払い方法について",
    "Invoice 4711",
)

ACCOUNT, PASSWORD = "taro.yamada@example.com", "yamada"
SCRIPT = "33:contact.php"
CONNECTIONS = 4


class Letter:
    """One message.

    :ivar str key: its Message-ID
    :ivar bool spam: whether :data:`SPAM` means it
    :ivar str subject: as people read it
    :ivar list recipients: str; the local part begins with what the sink is to do with it (``queue_sink.Sink``)
    :ivar dict mail: ENVID and RET, as options of MAIL
    :ivar dict rcpt: NOTIFY, as option of every RCPT
    :ivar bytes data: header and body, lines ended by CRLF
    :ivar bool by_smtp: how it was handed in
    """

    def __init__(self, series, number, spam, fates, chance, with_dsn=False, size=1500):
        """
        :param str series: a name that no other letters on the same host have
        :param tuple fates: of each recipient
        :param random.Random chance: chooses subject and encoding
        """
        self.spam, self.by_smtp = spam, True
        self.subject = chance.choice(SPAM_SUBJECTS if spam else WANTED_SUBJECTS)
        self.key = "{0}-{1}@storm.example.net".format(series, number)
        self.sender = "{0}-{1}@sender.example.org".format(series, number)
        self.recipients = [
            "{0}-{1}-{2}-{3}@customer.example.net".format(fate, series, number, place)
            for place, fate in enumerate(fates)
        ]
        self.mail = {"ENVID": "{0}+2B{1}".format(series, number), "RET": "HDRS"} if with_dsn else {}
        self.rcpt = {"NOTIFY": ("FAILURE", "NEVER", "SUCCESS,FAILURE,DELAY")[number % 3]} if with_dsn else {}
        self.data = b"\r\n".join(
            [
                b"Date: Wed, 25 Nov 2026 09:00:00 +0900",
                "From: <{0}>".format(self.sender).encode(),
                "To: <{0}>".format(self.recipients[0]).encode(),
                "Message-ID: <{0}>".format(self.key).encode(),
                b"Subject: " + encoded(self.subject, chance),
                "X-PHP-Originating-Script: {0}".format(SCRIPT).encode(),
                b"MIME-Version: 1.0",
                b"Content-Type: text/plain; charset=UTF-8",
                b"Content-Transfer-Encoding: 8bit",
                b"",
                b".a line with a dot",
                "お客様各位 {0}".format(self.key).encode(),
            ]
            + [b"0123456789 abcdefghij klmnopqrst uvwxyz" * 2] * (size // 80)
            + [b""]
        )
        self.digest = queue_sink.digest(self.data)

    def rcpt_options(self, recipient):
        """The options of RCPT for one of the recipients."""
        if not self.rcpt:
            return {}
        # A user's sendmail has no option for it, and Postfix then says the address itself.
        return dict(self.rcpt, ORCPT="rfc822;before+2B" + recipient) if self.by_smtp else self.rcpt


def letters(series, count, seed=1, fate="later"):
    """Letters as a hacked VPS has them: two in three are spam; most are deferred, some partly delivered or bounced.

    :param str series: as in :class:`Letter`
    :param str fate: of most recipients
    """
    chance = random.Random(seed)
    made = []
    for number in range(count):
        fates = (fate,)
        if number % 10 == 3:
            fates = ("now", fate, fate)
        elif number % 10 == 9:
            fates = (fate,) * 5
        elif number % 50 == 7:
            fates = ("never", fate)
        size = 100000 if number % 500 == 1 else chance.choice((500, 1500, 4000))
        made.append(Letter(series, number, number % 3 != 2, fates, chance, number % 4 == 1, size))
    return made


def spam_for(fate, count, series="spam"):
    """Spam to one recipient each, of this fate."""
    chance = random.Random(series)
    return [Letter(series, number, True, (fate,), chance) for number in range(count)]


# --- subjects ---------------------------------------------------------------------------------------------


def encoded(text, chance):
    """A subject as some mail program or other puts it into a header."""
    while True:
        try:
            return chance.choice(ENCODERS)(text)
        except UnicodeEncodeError:
            continue  # JIS has no such letter


def _word(label, codec):
    return lambda text: _b(label, text.encode(codec))


def _b(label, data):
    return b"=?" + label + b"?B?" + base64.b64encode(data) + b"?="


def _q(text):
    data = quopri.encodestring(text.encode(), quotetabs=True).replace(b"=\n", b"").replace(b"?", b"=3F")
    return b"=?utf-8?Q?" + data.replace(b"=20", b"_") + b"?="


def _folded(text):
    return b"\r\n ".join(_b(b"UTF-8", text[start : start + 7].encode()) for start in range(0, len(text), 7))


def _torn(text):
    """Words that end in the middle of a character, as many a PHP script makes them."""
    data = text.encode()
    return b"\r\n\t".join(_b(b"utf-8", data[start : start + 20]) for start in range(0, len(data), 20))


def _mixed(text):
    half = len(text) // 2
    return _b(b"iso-2022-jp", text[:half].encode("iso2022_jp")) + b" " + _b(b"UTF-8", text[half:].encode())


ENCODERS = (
    _word(b"UTF-8", "utf-8"),
    _word(b"ISO-2022-JP", "iso2022_jp"),
    _word(b"Shift_JIS", "cp932"),
    _word(b"EUC-JP", "euc_jp"),
    _word(b"cp932", "cp932"),
    _word(b"gb18030", "gb18030"),
    _q,
    _folded,
    _torn,
    _mixed,
    lambda text: text.encode(),
    lambda text: text.encode("cp932"),
    lambda text: text.encode("iso2022_jp"),
)


# --- on their way -----------------------------------------------------------------------------------------


def send(client, host, some, log_in=False, port=25):
    """Hand letters to a host by SMTP with pipelining, over a few connections at a time.

    :param bool log_in: as the account :data:`ACCOUNT`
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(
            lambda part: _send(client, host.address(), part, log_in, port),
            [some[start::CONNECTIONS] for start in range(CONNECTIONS)],
        ):
            pass


def _send(client, address, some, log_in, port):
    with client.socket() as connection:
        connection.settimeout(60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect((address, port))
        answers = connection.makefile("rb")
        _expect(answers, 220)
        connection.sendall(b"EHLO client.example.com\r\n")
        _expect(answers, 250)
        if log_in:
            proof = base64.b64encode("\0{0}\0{1}".format(ACCOUNT, PASSWORD).encode())
            connection.sendall(b"AUTH PLAIN " + proof + b"\r\n")
            _expect(answers, 235)
        for letter in some:
            lines = ["MAIL FROM:<{0}> BODY=8BITMIME{1}".format(letter.sender, _options(letter.mail))]
            for recipient in letter.recipients:
                lines.append("RCPT TO:<{0}>{1}".format(recipient, _options(letter.rcpt_options(recipient))))
            connection.sendall("\r\n".join(lines + ["DATA", ""]).encode("ascii"))
            for _ in letter.recipients:
                _expect(answers, 250)
            _expect(answers, 250)
            _expect(answers, 354)
            connection.sendall(letter.data.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            _expect(answers, 250)
        connection.sendall(b"QUIT\r\n")


def _options(options):
    return "".join(" {0}={1}".format(name, value) for name, value in options.items())


def _expect(answers, code):
    while True:
        line = answers.readline().decode("utf-8", "replace")
        assert line.startswith(str(code)), "{0!r}, not {1}".format(line, code)
        if line[3] == " ":
            return


_SUBMIT = """
import base64, json, subprocess, sys
for options, data in json.load(sys.stdin):
    subprocess.run(["sendmail", "-i"] + options, input=base64.b64decode(data), check=True)
"""


def submit(host, some, user="www-data", config_dir="/etc/postfix"):
    """Have a local user of the host send letters by ``sendmail``, as PHP does.

    :param str config_dir: of the Postfix instance that is to take them
    """
    calls = []
    for letter in some:
        letter.by_smtp = False
        options = ["-C", config_dir, "-f", letter.sender]
        if letter.mail:
            options += ["-V", letter.mail["ENVID"].replace("+2B", "+"), "-R", letter.mail["RET"]]
            options += ["-N", letter.rcpt["NOTIFY"]]
        calls.append((options + ["--"] + letter.recipients, _encoded(letter.data.replace(b"\r\n", b"\n"))))
    host.run("runuser -u {0} -- python3 -c '{1}'".format(user, _SUBMIT), stdin=json.dumps(calls).encode(), timeout=120)


def _encoded(data):
    return base64.b64encode(data).decode("ascii")


# --- what must come of it ---------------------------------------------------------------------------------


def due(some, fates=("now", "later", "slow", "lazy", "fickle")):
    """Counter of (key, recipient): each recipient of one of these fates once."""
    return Counter(
        (letter.key, recipient)
        for letter in some
        for recipient in letter.recipients
        if recipient.split("-", 1)[0] in fates
    )


def assert_delivered(sink, expected, some):
    """The sink has got exactly what is expected, the letters are as they were sent, and so are their DSN options.

    Reports to senders (bounces) are not looked at.
    """
    got = sink.received()
    by_key = {letter.key: letter for letter in some}
    of_ours = Counter({pair: count for pair, count in got.items() if pair[0] in by_key})
    lost, more = expected - of_ours, of_ours - expected
    assert not lost, "{0} not delivered: {1}".format(sum(lost.values()), sorted(lost)[:5])
    assert not more, "{0} delivered that should not be, or twice: {1}".format(sum(more.values()), sorted(more)[:5])
    for delivery in list(sink.deliveries):
        letter = by_key.get(delivery.key)
        if letter is None:
            continue
        assert delivery.digest == letter.digest, "{0} is not what was sent".format(letter.key)
        assert delivery.sender == letter.sender
        # Postfix asks for SMTPUTF8 by itself where a local user's header has raw UTF-8, and only there.
        of_message = dict(letter.mail, SMTPUTF8=None) if letter.by_smtp else letter.mail
        of_recipient = letter.rcpt_options(delivery.recipient)
        for options, wanted in ((delivery.mail, of_message), (delivery.rcpt, of_recipient)):
            kept = {name: options.get(name) for name in wanted}
            assert kept == wanted, "{0} to {1}: {2}".format(letter.key, delivery.recipient, kept)


def is_reported(letter):
    """Whether its sender is told of a recipient that doesn't exist."""
    return letter.rcpt.get("NOTIFY") != "NEVER" and any(name.startswith("never-") for name in letter.recipients)


def bounces(sink):
    """Counter of those who got a report that their mail can't be delivered."""
    return Counter(delivery.recipient for delivery in list(sink.deliveries) if delivery.sender == "")
