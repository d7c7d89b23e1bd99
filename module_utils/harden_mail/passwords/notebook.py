"""What an audit of passwords remembers from one time to the next: how far it came with each account.

In ``/var/lib/harden-mail/password_audit``, for root alone:

- ``key``: 32 random bytes
- ``notebook.jsonl``: a line that says what it is, then a line for each account, replaced in one step

An account is known by a keyed hash (HMAC-SHA-256) of its store, name and stored password. There is no hash, no word,
and of a guessed account no position either, which in a public list would be the word.

Each was met in a source: one file or database of one declaration. What a source that can't be read may hold back are
its own accounts, and nobody else's. There may be hundreds of thousands of accounts: they are read and written one at a
time.
"""

import contextlib
import hashlib
import hmac
import json
import os
import shutil

from ..errors import UserError
from ..paths import PASSWORDS_STATE, STATE
from ..text import ascii_lower

KEY = PASSWORDS_STATE + "/key"
NOTEBOOK = PASSWORDS_STATE + "/notebook.jsonl"

VERSION = 2
KEY_BYTES = 32

# An account of a source that was not read, or not as a whole, is kept so many days.
KEPT_DAYS = 60

# So many keyed hashes may be made to find out which names were meant.
_MOST_COMPARED = 2000000

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

_OFTEN_EQUAL = ("first_seen", "general", "kind", "own", "searched", "seen", "source", "within")


class Entry:
    """What is known of an account with the password that it has now.

    :ivar bytes mac: what it is known by
    :ivar bytes source: keyed hash of where it was met, as of :meth:`Notebook.source`
    :ivar bytes account: keyed hash of that and its name, the same with another password
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
    :ivar bool is_met: whether it was met this time
    :ivar bool is_target: whether it is to be guessed this time
    """

    __slots__ = ("is_met", "is_target", "mac", *_KEPT)

    def __init__(self, mac, source, day):
        self.mac, self.source, self.first_seen, self.seen = mac, source, day, day
        self.account = b""
        self.is_met = self.is_target = False
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
    :ivar bool is_whole: whether everybody who was guessed at any time is in it; not so after a loss, until everybody
        was tried again, or for ``KEPT_DAYS``
    """

    def __init__(self, system, day, is_read_only=False):
        self._system, self._day, self._is_read_only = system, day, is_read_only
        self._entries = {}
        self.lost = None
        self.is_whole, self._lost_on = True, day
        self.fingerprint = None
        self._key, self._bases = self._existing_key(), {}
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
        shared, entries = {}, {}
        try:
            with open(self._system.real(NOTEBOOK), encoding="utf-8", errors="surrogateescape") as handle:
                header = json.loads(handle.readline())
                if header["version"] != VERSION or not isinstance(header["is_whole"], bool):
                    raise ValueError
                if not isinstance(header.get("lost_on", 0), int):
                    raise ValueError
                for line in handle:
                    entry = _entry(line, shared)
                    entries[entry.mac] = entry
            if len(entries) != header["entries"]:
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            self._lose()
            return
        self._entries, self.fingerprint = entries, header["fingerprint"]
        # Former versions did not say when it was.
        self._lost_on = header.get("lost_on", self._day)
        # A source that nobody can read must not keep others blocked for ever.
        self.is_whole = header["is_whole"] or self._day - self._lost_on > KEPT_DAYS

    def _lose(self):
        self._entries, self.fingerprint, self.lost, self.is_whole = {}, None, _LOST, False
        self._lost_on = self._day

    def begin(self, fingerprint):
        """Say what guesses are made now: with others than before, accounts that were not guessed are tried anew."""
        if fingerprint != self.fingerprint:
            for entry in self._entries.values():
                entry.begin_anew()
            self.fingerprint = fingerprint

    def source(self, declaration, place=None):
        """Keyed hash (bytes) of where accounts are: of the declaration (dict) of a store, and a place (str) in it.

        Facts count the accounts of a store, too; with one more, it is the same. Without a place it is all of the store,
        as former versions had it.
        """
        same = {name: value for name, value in declaration.items() if name != "count" and value is not None}
        parts = [json.dumps(same, sort_keys=True)] + ([] if place is None else [place])
        return self._mac(b"source", *parts)

    def entry(self, store, name, stored, source=b""):
        """The account's :class:`Entry`, made if need be.

        :param str store: the store's name
        :param str stored: as the store has it; nothing of it is kept but a keyed hash
        :param bytes source: as of :meth:`source`
        """
        mac = self._mac(b"account", store, name, stored)
        if mac not in self._entries:
            self._entries[mac] = Entry(mac, source, self._day)
        return self._meet(mac, source, name)

    def meet(self, store, name, stored, source=b""):
        """Note that an account is there, if it is known; parameters as of :meth:`entry`.

        :returns: its :class:`Entry`, or None
        """
        mac = self._mac(b"account", store, name, stored)
        return self._meet(mac, source, name) if mac in self._entries else None

    def _meet(self, mac, source, name):
        entry = self._entries[mac]
        entry.seen, entry.source, entry.account = self._day, source, self._account(source, name)
        entry.is_met = True
        return entry

    def _account(self, source, name):
        # Blocks know names in small letters.
        return self._mac(b"name", source.hex(), ascii_lower(name))

    def forget_others(self, read):
        """Forget accounts that are not there any more, or have another password.

        :param read: sources that were read as a whole; elsewhere, absence proves nothing for a while
        """
        others = [entry for entry in self._entries.values() if not entry.is_met]
        accounts = {entry.account for entry in others}
        met = {entry.account for entry in self._entries.values() if entry.is_met and entry.account in accounts}
        for entry in others:
            if entry.source in read or entry.account in met or self._day - entry.seen > KEPT_DAYS:
                del self._entries[entry.mac]

    def missed(self):
        """Number of accounts that were guessed and not met this time: nobody knows whether they are still so."""
        return sum(1 for _ in self._missed())

    def among_missed(self, names):
        """Those of some names (iterable of str, in small letters) that are of :meth:`missed`: set of str."""
        names = set(names)
        accounts = {}
        for entry in self._missed():
            accounts.setdefault(entry.source, set()).add(entry.account)
        if len(accounts) * len(names) > _MOST_COMPARED:
            return names
        return {name for source, macs in accounts.items() for name in names if self._account(source, name) in macs}

    def _missed(self):
        return (entry for entry in self._entries.values() if entry.is_guessed and not entry.is_met)

    def word_mac(self, word):
        """Keyed hash (str) of a word (bytes)."""
        return self._hash(b"word", word).hex()

    def _mac(self, what, *parts):
        told = b""
        for part in parts:
            data = part.encode("utf-8", "surrogateescape")
            told += len(data).to_bytes(4, "big") + data
        return self._hash(what, told)

    def _hash(self, what, data):
        # Of what all begin with, the work is done once.
        if what not in self._bases:
            self._bases[what] = hmac.new(self._key, what + b"\0", hashlib.sha256)
        made = self._bases[what].copy()
        made.update(data)
        return made.digest()

    def save(self):
        """Write it down in one step."""
        if self._is_read_only:
            return
        self._system.make_private_dir(PASSWORDS_STATE)
        self._system.write(NOTEBOOK, self._lines(), mode=0o600)

    def _lines(self):
        header = {
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "is_whole": self.is_whole,
            "lost_on": self._lost_on,
            "entries": len(self._entries),
        }
        yield json.dumps(header) + "\n"
        for entry in self._entries.values():
            yield _line(entry) + "\n"

    def __len__(self):
        return len(self._entries)


def _line(entry):
    return json.dumps([_told(getattr(entry, name)) for name in ("mac", *_KEPT)])


def _told(value):
    if isinstance(value, bytes):
        return value.hex()
    return round(value, 3) if isinstance(value, float) else value


def _entry(line, shared):
    """:param dict shared: what several entries have in common is in memory once"""
    values = json.loads(line)
    if len(values) != len(_KEPT) + 1 or len(values[0]) != _HEX_DIGITS:
        raise ValueError
    entry = Entry(bytes.fromhex(values[0]), b"", 0)
    for name, value in zip(_KEPT, values[1:]):
        setattr(entry, name, shared.setdefault((type(value), value), value) if name in _OFTEN_EQUAL else value)
    entry.source = shared.setdefault((bytes, entry.source), bytes.fromhex(entry.source))
    entry.account = bytes.fromhex(entry.account)
    # What is compared and added up must be numbers.
    for number in (entry.first_seen, entry.seen, entry.own, entry.general, entry.seconds):
        if not isinstance(number, (int, float)) or number < 0:
            raise ValueError
    return entry


def remove(system, is_check):
    """Take away everything an audit remembers, and the lists that were brought.

    :returns: bool, whether there was anything
    """
    directory = system.real(PASSWORDS_STATE)
    if not os.path.lexists(directory):
        return False
    if os.path.islink(directory):
        raise UserError("{0} is a symbolic link, so it is not removed; remove it by hand.".format(PASSWORDS_STATE))
    if not is_check:
        shutil.rmtree(directory)
        system.remove_empty_dir(STATE)
    return True
