"""What an audit of passwords remembers from one time to the next: how far it came with each account.

In ``/var/lib/harden-mail/password_audit``, for root alone:

- ``key``: 32 random bytes
- ``notebook.jsonl``: a line that says what it is, then a line for each account, replaced in one step

An account is known by a keyed hash (HMAC-SHA-256) of its store, name and stored password. There is no hash, no word,
and of a guessed account no position either, which in a public list would be the word.
"""

import contextlib
import hashlib
import hmac
import json
import os
import shutil

from ..errors import UserError

DIRECTORY = "/var/lib/harden-mail/password_audit"
KEY = DIRECTORY + "/key"
NOTEBOOK = DIRECTORY + "/notebook.jsonl"
LOCK = "/run/harden-mail/password-audit.lock"

VERSION = 2
KEY_BYTES = 32

# An account of a store that was not read, or not as a whole, is kept so many days.
KEPT_DAYS = 60

_HEX_DIGITS = KEY_BYTES * 2

_LOST = "The notebook {0} or its key can't be read, so the audit began anew.".format(NOTEBOOK)


# Of an entry, in the order of a line.
_KEPT = (
    "account",
    "first_seen",
    "general",
    "general_ended",
    "kind",
    "own",
    "own_ended",
    "pwned",
    "searched",
    "seconds",
    "seen",
    "source",
    "within",
    "word_mac",
)


class Entry:
    """What is known of an account with the password that it has now.

    :ivar str mac: what it is known by
    :ivar str source: keyed hash of the declaration of its store
    :ivar str account: keyed hash of that and its name, the same with another password
    :ivar int first_seen: day since 1970 on which it was first met
    :ivar int seen: day on which it was last met
    :ivar int own: so many of the guesses that are its own were tried
    :ivar int general: so many of the guesses that all accounts share
    :ivar bool own_ended: there are no more of these
    :ivar bool general_ended: nor of those
    :ivar float seconds: processor time that its guesses took
    :ivar kind: str, the class of rules by which it was guessed; None: it was not
    :ivar within: int, in so many guesses; None: in more
    :ivar word_mac: str, keyed hash of what it was guessed to be, to count equal ones
    :ivar searched: str, the list of known leaks in which its password is not
    """

    __slots__ = ("mac", *_KEPT)

    def __init__(self, mac, source, day):
        self.mac, self.source, self.first_seen, self.seen = mac, source, day, day
        self.account = ""
        self.kind = self.within = self.word_mac = self.searched = None
        self.pwned = False
        self.begin_anew()

    def begin_anew(self):
        """Forget how far guessing came; what was guessed stays so."""
        self.own = self.general = 0
        self.own_ended = self.general_ended = False
        self.seconds = 0.0

    @property
    def tried(self):
        return self.own + self.general

    @property
    def is_guessed(self):
        return self.kind is not None or bool(self.pwned)

    def guess(self, kind, within, word_mac):
        """It was guessed; where in the lists is forgotten."""
        self.kind, self.within, self.word_mac = kind, within, word_mac
        self.begin_anew()


class Notebook:
    """The notebook of this host.

    :param system: ``system.System``
    :param int day: today, in days since 1970
    :param bool is_read_only: leave no trace (check mode)
    :ivar str lost: a sentence when there was a notebook that can't be read, so that it begins anew; or None
    :ivar bool is_whole: whether everybody who was guessed at any time is in it; not so after a loss
    """

    def __init__(self, system, day, is_read_only=False):
        self._system, self._day, self._is_read_only = system, day, is_read_only
        self._entries, self._met, self._accounts = {}, set(), set()
        self.lost = None
        self.is_whole = True
        self.fingerprint = None
        self._key = self._existing_key()
        has_key, has_notebook = self._key is not None, system.exists(NOTEBOOK)
        if has_notebook:
            self._read()
        # A notebook without anybody is as good without its key: a kill came between the two.
        if has_key != has_notebook and (has_key or self._entries):
            self._lose()
        if not has_key:
            self._key = os.urandom(KEY_BYTES)
            self.save()
            if not is_read_only:
                system.write(KEY, self._key.hex() + "\n", mode=0o600)

    def _existing_key(self):
        text = (self._system.read(KEY) or "").strip()
        with contextlib.suppress(ValueError):
            if len(text) == _HEX_DIGITS:
                return bytes.fromhex(text)
        return None

    def _read(self):
        text = self._system.read(NOTEBOOK) or ""
        try:
            lines = text.splitlines()
            header = json.loads(lines[0])
            if header["version"] != VERSION or not isinstance(header["is_whole"], bool):
                raise ValueError
            entries = dict(_entry(line) for line in lines[1:])
            if len(entries) != header["entries"]:
                raise ValueError
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            self._lose()
            return
        self._entries, self.fingerprint, self.is_whole = entries, header["fingerprint"], header["is_whole"]

    def _lose(self):
        self._entries, self.fingerprint, self.lost, self.is_whole = {}, None, _LOST, False

    def begin(self, fingerprint):
        """Say what guesses are made now: with others than before, accounts that were not guessed are tried anew."""
        if fingerprint != self.fingerprint:
            for entry in self._entries.values():
                entry.begin_anew()
            self.fingerprint = fingerprint

    def source(self, declaration):
        """Keyed hash (str) of the declaration (dict) of a store: there may be several of one name.

        Facts count the accounts of a store, too; with one more, it is the same.
        """
        same = {name: value for name, value in declaration.items() if name != "count" and value is not None}
        return self._mac(b"source", json.dumps(same, sort_keys=True))

    def entry(self, store, name, stored, source=""):
        """The account's :class:`Entry`, made if need be.

        :param str store: the store's name
        :param str stored: as the store has it; nothing of it is kept but a keyed hash
        :param str source: as of :meth:`source`
        """
        mac = self._mac(b"account", store, name, stored)
        if mac not in self._entries:
            self._entries[mac] = Entry(mac, source, self._day)
        return self._meet(mac, source, name)

    def meet(self, store, name, stored, source=""):
        """Note that an account is there, if it is known; parameters as of :meth:`entry`."""
        mac = self._mac(b"account", store, name, stored)
        if mac in self._entries:
            self._meet(mac, source, name)

    def _meet(self, mac, source, name):
        entry = self._entries[mac]
        entry.seen, entry.source, entry.account = self._day, source, self._mac(b"name", source, name)
        self._met.add(mac)
        self._accounts.add(entry.account)
        return entry

    def forget_others(self, read):
        """Forget accounts that are not there any more, or have another password.

        :param read: sources that were read as a whole; elsewhere, absence proves nothing for a while
        """
        for mac, entry in list(self._entries.items()):
            if mac in self._met:
                continue
            if entry.source in read or entry.account in self._accounts or self._day - entry.seen > KEPT_DAYS:
                del self._entries[mac]

    def misses_guessed(self):
        """Whether somebody was guessed who was not met this time."""
        return any(entry.is_guessed and mac not in self._met for mac, entry in self._entries.items())

    def word_mac(self, word):
        """Keyed hash (str) of a word (bytes)."""
        return hmac.new(self._key, b"word\0" + word, hashlib.sha256).hexdigest()

    def _mac(self, what, *parts):
        told = what + b"\0"
        for part in parts:
            data = part.encode("utf-8", "surrogateescape")
            told += len(data).to_bytes(4, "big") + data
        return hmac.new(self._key, told, hashlib.sha256).hexdigest()

    def save(self):
        """Write it down in one step."""
        if self._is_read_only:
            return
        header = {
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "is_whole": self.is_whole,
            "entries": len(self._entries),
        }
        lines = [json.dumps(header)]
        lines += [_line(entry) for entry in self._entries.values()]
        self._system.make_private_dir(DIRECTORY)
        self._system.write(NOTEBOOK, "\n".join(lines) + "\n", mode=0o600)

    def __len__(self):
        return len(self._entries)


def _line(entry):
    values = [getattr(entry, name) for name in _KEPT]
    return json.dumps([entry.mac] + [round(value, 3) if isinstance(value, float) else value for value in values])


def _entry(line):
    mac, *values = json.loads(line)
    if len(mac) != _HEX_DIGITS or len(values) != len(_KEPT):
        raise ValueError
    entry = Entry(mac, "", 0)
    for name, value in zip(_KEPT, values):
        setattr(entry, name, value)
    if not isinstance(entry.source, str) or not isinstance(entry.account, str):
        raise ValueError
    # What is compared and added up must be numbers.
    for number in (entry.first_seen, entry.seen, entry.own, entry.general, entry.seconds):
        if not isinstance(number, (int, float)) or number < 0:
            raise ValueError
    return mac, entry


def remove(system, is_check):
    """Take away everything an audit remembers, and the lists that were brought.

    :returns: bool, whether there was anything
    """
    directory = system.real(DIRECTORY)
    if not os.path.lexists(directory):
        return False
    if os.path.islink(directory):
        raise UserError("{0} is a symbolic link, so it is not removed; remove it by hand.".format(DIRECTORY))
    if not is_check:
        shutil.rmtree(directory)
        system.remove_empty_dir(os.path.dirname(DIRECTORY))
    return True
