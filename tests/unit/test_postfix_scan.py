"""A Postfix queue read from its files: all of it, each message once, and as postqueue lists it."""

import contextlib
import functools
import os
import shutil
import types

import pytest
from harden_mail.errors import UserError
from harden_mail.queue import scanner
from harden_mail.queue.message import Recipient, as_result
from harden_mail.queue.postfix import scan as postfix_scan
from harden_mail.queue.postfix.backend import PostfixQueue
from harden_mail.queue.postfix.file import HalfMade, Unreadable
from harden_mail.queue.postfix.instances import Instance
from harden_mail.queue.postfix.message import read
from harden_mail.queue.postfix.scan import scan
from postfix_recorded import VERSIONS, kinds_of, listing_of, mail_owner_of, queue_of
from queue_files import gathered_as_yielded
from test_postfix_file import CONTENT, HEAD, SOUND, TODO, queue_file, record

SHORT, OTHER, THIRD = "4ABCDEF012345", "5ABCDEF012346", "6ABCDEF012347"
LONG = "4jZB5k3w59zDGqy"

# postqueue has it from the log of what was tried; it is not among the recipients.
REDIRECTED = "elsewhere@example.org"


@pytest.fixture
def spool(tmp_path):
    return Spool(str(tmp_path))


class Spool:
    """A queue to fill.

    :ivar list unreadable: of the last look
    :ivar int met: of the last look
    """

    def __init__(self, directory):
        self.directory = directory
        self.instance = Instance("out", "/etc/postfix-out", directory)
        self.unreadable = []
        self.met = None
        for state in (*postfix_scan.STATES, "corrupt"):
            os.mkdir(os.path.join(directory, state))

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def put(self, *parts, data=SOUND, mode=0o700):
        os.makedirs(self.path(*parts[:-1]), exist_ok=True)
        with open(self.path(*parts), "wb") as handle:
            handle.write(data)
        os.chmod(self.path(*parts), mode)

    def move(self, source, target):
        os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
        os.rename(self.path(source), self.path(target))

    def look(self, wanted=None):
        """All messages that are wanted, in the order in which they come."""
        self.unreadable = []
        return list(self._looked(wanted))

    def _looked(self, wanted):
        self.met = yield from scan(self.instance, self.unreadable, wanted)

    def ids(self, wanted=None):
        return sorted(message.id for message in self.look(wanted))


@pytest.fixture(params=["alone", "together"])
def processes(request, monkeypatch):
    """Both ways to read: in this process, and in three others."""
    monkeypatch.setattr(scanner, "_MANY", 0 if request.param == "together" else 1 << 60)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})


# --- what Postfix wrote ---------------------------------------------------------------------------------------


def recorded(version, directory):
    """A recorded queue, with the modes that its files had; what is committed has no others."""
    spool = Instance(None, "/etc/postfix", os.path.join(directory, "queue"))
    shutil.copytree(queue_of(version), spool.queue_dir)
    for where, _, names in os.walk(spool.queue_dir):
        for name in names:
            os.chmod(os.path.join(where, name), 0o700)
    return spool


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.mark.usefixtures("processes")
def test_as_postqueue_lists_it(version, tmp_path):
    unreadable = []
    messages = list(scan(recorded(version, str(tmp_path)), unreadable))
    assert unreadable == []
    said = listing_of(version)
    assert sorted(message.id for message in messages) == sorted(said)
    for message in messages:
        one = said[message.id]
        assert message.states == (one["queue_name"],)
        assert message.size == one["message_size"]
        assert message.arrival == one["arrival_time"]
        assert quoted(message.sender) == one["sender"]
        to_do = {quoted(recipient.address) for recipient in message.recipients if not recipient.done}
        assert to_do == {recipient["address"] for recipient in one["recipients"]} - {REDIRECTED}


def quoted(address):
    """As postqueue shows it: quote_822_local of what the file has."""
    local, at, domain = address.rpartition("@")
    if any(character in ' "\\' for character in local):
        local = '"{0}"'.format(local.replace("\\", "\\\\").replace('"', '\\"'))
    return local + at + domain if address else "MAILER-DAEMON"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("smtp", {"client": "127.0.0.1", "sasl_user": None, "uid": None, "subject": "SMTP"}),
        ("smtp_account", {"client": "127.0.0.1", "sasl_user": "info@example.com", "uid": None}),
        ("smtp_forwarded", {"client": "203.0.113.9"}),
        ("smtp_requeued", {"client": "127.0.0.1", "uid": None}),
        ("smtp_japanese", {"subject": "大事なお知らせ"}),
        ("smtp_japanese_folded", {"subject": "お支払い方法の更新をお願い"}),
        ("smtp_raw_8bit", {"subject": "お支払い"}),
        ("smtp_utf8", {"subject": "大事なお知らせ", "sender": "差出人@例え.example"}),
        ("smtp_long_lines", {"subject": "after"}),
        ("smtp_no_subject", {"subject": None}),
        ("smtp_empty", {"subject": None}),
        ("smtp_null_sender", {"sender": ""}),
        ("smtp_odd_addresses", {"sender": "a b@example.net", "recipients": [('c"d@example.org', False)]}),
        ("smtp_partly_delivered", {"recipients": [("root@localhost", True), ("later@example.org", False)]}),
        ("smtp_held", {"states": ("hold",)}),
        ("sendmail", {"client": None, "uid": 0, "script": None, "subject": "sendmail"}),
        ("sendmail_php", {"client": None, "uid": 33, "script": "33:contact.php"}),
        ("sendmail_requeued", {"client": None, "uid": 0}),
        ("bounce", {"sender": "", "client": None, "uid": None, "subject": "Undelivered Mail Returned to Sender"}),
        ("header_checks_hold", {"states": ("hold",)}),
        ("milter_changes_subject", {"subject": "changed by a milter, and longer than it was"}),
        ("milter_deletes_subject", {"subject": None}),
        ("milter_changes_sender", {"sender": "changed@example.net"}),
        (
            "milter_does_it_all",
            {
                "subject": "changed twice",
                "sender": "changed@example.net",
                "recipients": [("keep@example.org", False), ("added@example.org", False)],
            },
        ),
        ("maildrop", {"states": ("maildrop",), "script": "33:mail.php", "subject": "大事なお知らせ"}),
    ],
)
def test_kinds(version, tmp_path, monkeypatch, kind, expected):
    monkeypatch.setattr(postfix_scan, "_mail_owner", lambda _: mail_owner_of(version))
    name = kinds_of(version)[kind]
    (message,) = scan(recorded(version, str(tmp_path)), [], lambda message: message.id == name)
    assert {key: getattr(message, key) for key in expected} == expected


def test_many_recipients(version, tmp_path):
    counts = {"sendmail_many": 1100, "smtp_many": 300, "sendmail_t": 150, "sendmail_t_big": 150}
    names = {kinds_of(version)[kind]: count for kind, count in counts.items()}
    messages = scan(recorded(version, str(tmp_path)), [], lambda message: message.id in names)
    assert {message.id: len(message.recipients) for message in messages} == names


@pytest.mark.usefixtures("processes")
def test_what_is_gathered_is_what_is_yielded(version, tmp_path):
    first = recorded(version, str(tmp_path))
    second = Spool(str(tmp_path))
    second.put("deferred", SHORT)
    second.put("deferred", "foreign")
    queue = PostfixQueue(None, [first, second.instance])
    for wanted in (None, lambda message: message.size % 2, lambda message: message.subject):
        found = gathered_as_yielded(queue, wanted)
        assert queue.unreadable == [(second.path("deferred", "foreign"), "not a file of Postfix's")]
    assert found["matched"] > 4


@pytest.mark.parametrize("stride", [1, 2, 8, 256])
def test_every_process_gets_its_share_whatever_the_inodes_are(spool, monkeypatch, stride):
    """Where each message has its log, its inode is always even, or always odd."""
    entries = [
        types.SimpleNamespace(
            name="4ABCDEF{0:05X}".format(number),
            inode=functools.partial(int, number * stride),
            is_file=lambda follow_symlinks: True,
        )
        for number in range(40000)
    ]
    monkeypatch.setattr(os, "scandir", contextlib.contextmanager(lambda directory: iter([entries])))
    for parts in (2, 3, 8):
        shares = [
            sum(1 for _ in postfix_scan.PostfixScanner(spool.instance, None, [], part, parts).files("deferred"))
            for part in range(parts)
        ]
        assert sum(shares) == len(entries)
        assert max(shares) < 1.25 * len(entries) / parts


# --- what lies in the directories -----------------------------------------------------------------------------


@pytest.mark.usefixtures("processes")
def test_every_state_depth_and_kind_of_id(spool):
    spool.put("hold", SHORT)
    spool.put("incoming", "5", "A", OTHER)
    spool.put("active", LONG)
    spool.put("deferred", "6", THIRD)
    spool.put("deferred", "7", "8", "9", "78900FF")
    assert spool.ids() == sorted([SHORT, OTHER, LONG, THIRD, "78900FF"])
    assert spool.met == 5
    assert spool.unreadable == []


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("first", "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz")
def test_a_long_id_may_begin_with_any_digit(spool, first):
    spool.put("deferred", "4", first + LONG[1:])
    spool.put("incoming", first + "yzzzzzzzzzzyy")
    assert spool.ids() == sorted([first + LONG[1:], first + "yzzzzzzzzzzyy"])
    assert spool.unreadable == []


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("state", postfix_scan.STATES)
def test_a_file_that_has_no_id_yet_is_no_message(spool, state):
    """Postfix makes it as MICROSECONDS.PROCESS, and then gives it the id that is made of its inode."""
    spool.put(state, "123456.4711")
    spool.put(state, "7.1", mode=0o600, data=b"")
    assert spool.look() == []
    assert spool.met == 0
    assert spool.unreadable == []
    spool.put(state, "123456.4711x")
    assert spool.look() == []
    assert [path for path, _ in spool.unreadable] == [spool.path(state, "123456.4711x")]


@pytest.mark.usefixtures("processes")
def test_what_is_asked_for_alone_comes(spool):
    spool.put(
        "active", SHORT, data=queue_file(record(b"T", b"1 2") + record(b"S", b"spam@example.net") + TODO, CONTENT)
    )
    spool.put("deferred", "5", OTHER)
    (message,) = spool.look(lambda message: message.sender == "spam@example.net")
    assert spool.met == 2
    assert message.path == spool.path("active", SHORT)
    assert message.instance == "out"
    about = os.stat(message.path)
    assert (message.inode, message.identity) == (about.st_ino, (about.st_ino, "1 2", len(CONTENT)))
    # All was worked out, so the file may go.
    os.unlink(message.path)
    assert as_result(message)["subject"] == "s"
    with pytest.raises(AttributeError):
        message.colour  # noqa: B018


@pytest.mark.usefixtures("processes")
def test_foreign_and_damaged_files_are_named(spool):
    spool.put("deferred", "4", SHORT)
    spool.put("deferred", "README")
    spool.put("deferred", "4", "4abcdef012345")
    spool.put("deferred", "directory", "4ABCDEF")
    spool.put("deferred", "5", OTHER, data=b"From a@example.net\n")
    spool.put("active", THIRD, data=queue_file(record(b"T", b"1 2") + TODO, CONTENT))
    spool.put("corrupt", LONG)
    os.symlink(spool.path("deferred", "4", SHORT), spool.path("deferred", "7ABCDEF012345"))
    os.mkfifo(spool.path("deferred", "8ABCDEF012345"))
    assert spool.ids() == [SHORT]
    assert spool.met == 1
    assert sorted(os.path.relpath(path, spool.directory) for path, _ in spool.unreadable) == sorted(
        ["deferred/README", "deferred/4/4abcdef012345", "deferred/directory", "deferred/5/" + OTHER, "active/" + THIRD]
        + ["corrupt/" + LONG, "deferred/7ABCDEF012345", "deferred/8ABCDEF012345"]
    )
    assert all(why for _, why in spool.unreadable)


@pytest.mark.usefixtures("processes")
def test_files_in_the_making_are_no_messages(spool):
    spool.put("incoming", SHORT, mode=0o600)
    spool.put("hold", OTHER, mode=0o600)
    spool.put("maildrop", THIRD, mode=0o600, data=HEAD)
    spool.put("active", LONG, data=b"")
    assert spool.look() == []
    assert spool.unreadable == []


def test_damage_that_is_found_late(spool):
    data = queue_file(HEAD, record(b"N", b"x" * 5000), record(b"R", b"a@example.org") + b"R\x7f", recipients=2)
    spool.put("deferred", SHORT, data=data[:-2])
    assert spool.look() == []
    assert len(spool.look(lambda message: message.sender == "nobody")) == 0
    assert spool.look(lambda message: message.recipients) == []
    assert [path for path, _ in spool.unreadable] == [spool.path("deferred", SHORT)]


@pytest.mark.usefixtures("processes")
def test_a_directory_that_cannot_be_read(spool, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if path.endswith("/deferred") and not is_counting:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    is_counting = []
    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(scanner, "_has_many", lambda _: scanner._MANY == 0)
    with pytest.raises(UserError, match="deferred can't be read: Permission denied"):
        spool.look()


def test_addresses_that_stand_there_twice(spool):
    twice = record(b"D", b"a@example.org") + record(b"R", b"b@example.org") + record(b"R", b"a@example.org")
    spool.put("active", SHORT, data=queue_file(HEAD + twice, CONTENT, recipients=3))
    (message,) = spool.look()
    assert message.recipients == [Recipient("a@example.org", False), Recipient("b@example.org", False)]


# --- a queue that changes -------------------------------------------------------------------------------------


def on_first(action):
    """A selection that wants all, and does something when it is first asked."""
    done = []

    def wanted(_message):
        if not done:
            done.append(True)
            action()
        return True

    return wanted


@pytest.mark.parametrize(
    ("first", "source", "target"),
    [
        # Seen before it moves on.
        ("incoming", "incoming/" + OTHER, "active/" + OTHER),
        ("active", "active/" + OTHER, "deferred/5/" + OTHER),
        ("deferred", "deferred/4/" + OTHER, "active/" + OTHER),
        # On its way against the direction of reading.
        ("deferred", "deferred/5/" + OTHER, "active/" + OTHER),
        ("incoming", "deferred/5/" + OTHER, "active/" + OTHER),
        ("active", "deferred/5/" + OTHER, "hold/" + OTHER),
        ("incoming", "active/" + OTHER, "hold/" + OTHER),
        ("hold", "hold/" + OTHER, "deferred/5/" + OTHER),
        ("active", "hold/" + OTHER, "deferred/5/" + OTHER),
    ],
)
def test_who_moves_is_met_once(spool, first, source, target):
    spool.put(first, *(["4"] if first == "deferred" else []), SHORT)
    spool.put(*source.split("/"))
    spool.put("deferred", "0", THIRD)
    found = [message.id for message in spool.look(on_first(lambda: spool.move(source, target)))]
    assert sorted(found) == [SHORT, OTHER, THIRD]
    assert spool.met == 3


def test_who_moves_while_its_file_is_read_on(spool):
    extracted = b"".join(record(b"R", b"r%d@example.org" % number) for number in range(500))
    spool.put("deferred", "4", SHORT, data=queue_file(HEAD, CONTENT, extracted, recipients=500))
    (message,) = spool.look(on_first(lambda: spool.move("deferred/4/" + SHORT, "active/" + SHORT)))
    assert (message.states, len(message.recipients)) == (("active",), 500)


def test_who_leaves_is_missed(spool):
    spool.put("active", SHORT)
    spool.put("deferred", "5", OTHER)
    assert spool.ids(on_first(lambda: os.unlink(spool.path("deferred", "5", OTHER)))) == [SHORT]


# --- one file -------------------------------------------------------------------------------------------------


def test_a_file_anywhere(spool):
    spool.put("elsewhere", "kept", data=SOUND)
    message = read(spool.path("elsewhere", "kept"), SHORT, "deferred", Instance(None, None, None))
    assert (message.id, message.states, message.instance) == (SHORT, ("deferred",), None)
    assert (message.sender, message.path) == ("a@example.net", spool.path("elsewhere", "kept"))
    assert message.identity == (os.stat(message.path).st_ino, "1795000000 12", len(CONTENT))


def test_identity_stays_while_a_message_is_delivered_and_held(spool):
    spool.put("deferred", SHORT)
    before = read(spool.path("deferred", SHORT), SHORT, "deferred", spool.instance).identity
    with open(spool.path("deferred", SHORT), "r+b") as handle:
        handle.seek(SOUND.index(b"R\x0d"))
        handle.write(b"D")
    spool.move("deferred/" + SHORT, "hold/" + SHORT)
    message = read(spool.path("hold", SHORT), SHORT, "hold", spool.instance)
    assert message.recipients == [Recipient("b@example.org", True)]
    assert message.identity == before


@pytest.mark.parametrize(
    ("data", "mode", "error"),
    [
        (b"", 0o700, HalfMade),
        (SOUND, 0o600, HalfMade),
        (b"x" * 100, 0o700, Unreadable),
        (SOUND[:-9], 0o700, Unreadable),
    ],
)
def test_a_file_that_is_no_message(spool, data, mode, error):
    spool.put("incoming", SHORT, data=data, mode=mode)
    with pytest.raises(error):
        read(spool.path("incoming", SHORT), SHORT, "incoming", spool.instance)


def test_a_file_that_is_gone(spool):
    with pytest.raises(FileNotFoundError):
        read(spool.path("active", SHORT), SHORT, "active", spool.instance)


def test_a_file_that_another_has_replaced(spool):
    data = queue_file(HEAD, CONTENT + record(b"N", b"x" * 70) * 100, TODO)
    spool.put("deferred", SHORT, data=data)
    spool.put("deferred", OTHER, data=data)

    def replace():
        os.rename(spool.path("deferred", OTHER), spool.path("deferred", SHORT))

    def wanted(message):
        if message.id == SHORT:
            replace()
        return message.recipients

    # What is behind a first block is never taken for what is behind another's.
    assert SHORT not in [message.id for message in spool.look(wanted)]


def test_readers_end_with_who_asked(spool, monkeypatch):
    monkeypatch.setattr(scanner, "_MANY", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    for number in range(300):
        spool.put("deferred", "{0:05X}ABCDEF".format(number))
    messages = scan(spool.instance, [])
    next(messages)
    messages.close()
    with contextlib.suppress(ChildProcessError):
        assert os.waitpid(-1, os.WNOHANG) == (0, 0)
