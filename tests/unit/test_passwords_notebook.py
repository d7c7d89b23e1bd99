"""What an audit remembers: no secret, in one step, and only what is still so."""

import hashlib
import hmac
import json
import os
import stat

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.passwords import notebook
from harden_mail.passwords.notebook import KEY, NOTEBOOK, Notebook
from harden_mail.paths import PASSWORDS_LOCK, PASSWORDS_STATE

TODAY = 20000
SECRETS = ("canary-password", "$6$canary$hash", "info@example.com")


@pytest.fixture
def system(tmp_path):
    return FakeSystem(tmp_path)


def begun(system, day=TODAY, fingerprint="one", is_read_only=False):
    made = Notebook(system, day, is_read_only)
    made.begin(fingerprint)
    return made


def entry(book, name="info@example.com", stored="$6$canary$hash", store="dovecot-passwd-file"):
    # Each store is declared once.
    return book.entry(store, name, stored, source(store))


def source(store):
    return store.encode()


def content(system):
    return system.read(NOTEBOOK)


def test_it_is_there_the_next_time(system):
    book = begun(system)
    one, other = entry(book), entry(book, name="other")
    one.own, one.general, one.own_ended, one.seconds = 5, 7, True, 1.23456
    other.guess("common", 100, book.word_mac(b"canary-password"))
    other.searched, other.pwned = "file", True
    book.save()
    again = begun(system, TODAY + 3)
    found = entry(again)
    assert (found.own, found.general, found.own_ended, found.general_ended, found.seconds) == (5, 7, True, False, 1.235)
    assert (found.first_seen, found.seen, found.source, found.kind) == (TODAY, TODAY + 3, b"dovecot-passwd-file", None)
    found = entry(again, name="other")
    assert (found.kind, found.within, found.word_mac) == ("common", 100, again.word_mac(b"canary-password"))
    assert (found.searched, found.pwned) == ("file", True)
    assert len(again) == 2


def test_only_root_can_read_it_and_nothing_of_a_secret_is_in_it(system):
    book = begun(system)
    entry(book).guess("common", 100, book.word_mac(b"canary-password"))
    book.save()
    for path, mode in ((PASSWORDS_STATE, 0o700), (KEY, 0o600), (NOTEBOOK, 0o600)):
        assert stat.S_IMODE(os.stat(system.real(path)).st_mode) == mode
    for secret in SECRETS:
        assert secret not in content(system)


def test_where_a_guess_was_in_the_lists_is_forgotten(system):
    book = begun(system)
    one = entry(book)
    one.own, one.general, one.own_ended, one.general_ended, one.seconds = 50, 4321, True, True, 9.0
    one.guess("common", None, "mac")
    book.save()
    assert "4321" not in content(system)
    assert one.tried == 0


def test_another_password_store_or_name_is_another_account(system):
    book = begun(system)
    one = entry(book)
    assert entry(book) is one
    others = [entry(book, stored="x"), entry(book, name="x"), entry(book, store="shadow")]
    # What one part ends with is not what the next begins with.
    others += [book.entry("a", "bc", "d"), book.entry("ab", "c", "d"), book.entry("a", "b", "cd")]
    assert len({id(other) for other in [one] + others}) == 7


def test_each_host_has_a_key_of_its_own(tmp_path):
    macs = set()
    for host in ("a", "b"):
        (tmp_path / host).mkdir()
        book = begun(FakeSystem(tmp_path / host))
        entry(book)
        book.save()
        macs.add(json.loads(content(FakeSystem(tmp_path / host)).splitlines()[1])[0])
        macs.add(book.word_mac(b"word"))
    assert len(macs) == 4


def test_bytes_that_are_no_text_are_an_account_too(system):
    book = begun(system)
    entry(book, name="\udcff", stored="\udcfe")
    book.save()
    assert len(begun(system)) == 1


def test_with_other_guesses_those_who_were_not_guessed_are_tried_anew(system):
    book = begun(system)
    guessed, tried = entry(book, name="guessed"), entry(book, name="tried")
    guessed.guess("date", 1000, "mac")
    tried.own, tried.general_ended, tried.seconds = 7, True, 3.0
    book.save()
    again = begun(system, fingerprint="two")
    assert entry(again, name="guessed").kind == "date"
    found = entry(again, name="tried")
    assert (found.own, found.general_ended, found.seconds, found.first_seen) == (0, False, 0.0, TODAY)
    again.save()
    assert begun(system, fingerprint="two").fingerprint == "two"


def test_accounts_that_are_gone_are_forgotten(system):
    book = begun(system)
    entry(book, name="stays")
    entry(book, name="goes")
    entry(book, name="goes too", store="shadow")
    book.save()
    again = begun(system, TODAY)
    entry(again, name="stays")
    again.forget_others({source("dovecot-passwd-file"), source("shadow")})
    again.save()
    assert len(begun(system)) == 1


def test_a_guess_at_somebody_who_was_not_met_is_missed(system):
    book = begun(system)
    entry(book, name="guessed", store="sql").guess("date", 100, "mac")
    entry(book, name="leaked", store="shadow").pwned = True
    entry(book, name="fine", store="other")
    book.save()
    for met, misses in ((set(), True), ({"guessed"}, True), ({"guessed", "leaked"}, False)):
        again = begun(system)
        for name in met:
            entry(again, name=name, store={"guessed": "sql", "leaked": "shadow"}[name])
        again.forget_others(set())
        assert bool(again.missed()) is misses


def test_who_has_another_password_is_not_missed(system):
    book = begun(system)
    entry(book).guess("date", 100, "mac")
    book.save()
    again = begun(system)
    entry(again, stored="another")
    again.forget_others(set())
    assert len(again) == 1
    assert again.missed() == 0


def test_who_is_disabled_is_kept_and_nobody_is_made(system):
    book = begun(system)
    entry(book).guess("date", 100, "mac")
    book.meet("dovecot-passwd-file", "other", "x", source("dovecot-passwd-file"))
    book.save()
    again = begun(system)
    again.meet("dovecot-passwd-file", "info@example.com", "$6$canary$hash", source("dovecot-passwd-file"))
    again.forget_others({source("dovecot-passwd-file")})
    assert len(again) == 1
    assert again.missed() == 0
    assert entry(again).kind == "date"


def test_a_notebook_that_was_removed_is_a_loss_but_not_one_that_never_had_anybody(system):
    begun(system)
    assert begun(system).lost is None
    system.remove(KEY)
    # As a kill leaves it, between the two.
    assert begun(system).lost is None
    system.remove(NOTEBOOK)
    book = begun(system)
    assert book.lost
    book.save()
    assert begun(system).is_whole is False


def test_accounts_of_a_store_that_could_not_be_read_are_kept_for_a_while(system):
    book = begun(system)
    entry(book, store="sql")
    entry(book, store="shadow")
    book.save()
    later = begun(system, TODAY + notebook.KEPT_DAYS)
    later.forget_others({source("shadow")})
    assert len(later) == 1
    later.save()
    later = begun(system, TODAY + notebook.KEPT_DAYS + 1)
    later.forget_others({source("shadow")})
    assert len(later) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\xff",
        "[]",
        '{"version": 1}',
        '{"version": 1, "fingerprint": "one", "is_whole": true, "entries": 0}\n',
        '{"version": 2, "fingerprint": "one", "is_whole": true, "entries": 2}\n',
        '{"version": 2, "fingerprint": "one", "is_whole": true, "entries": 1}\n["too short"]\n',
        '{"version": 2, "fingerprint": "one", "is_whole": true, "entries": 1}\n{}\n',
        '{"version": 2, "fingerprint": "one", "is_whole": true, "entries": 1}\n'
        + json.dumps(["0" * 64, "a", "x", 0, False, None, 0, False, False, None, 0.0, 1, "s", None, None]),
    ],
)
def test_a_spoiled_notebook_begins_anew_and_says_so(system, text):
    book = begun(system)
    entry(book)
    book.save()
    system.write(NOTEBOOK, text)
    again = begun(system)
    assert again.lost == "The notebook {0} or its key can't be read, so the audit began anew.".format(NOTEBOOK)
    assert len(again) == 0
    entry(again)
    again.save()
    assert begun(system).lost is None
    assert begun(system).is_whole is False


@pytest.mark.parametrize("text", [None, "", "zz", "00" * 31, "g" * 64])
def test_without_its_key_a_notebook_begins_anew(system, text):
    book = begun(system)
    entry(book)
    book.save()
    system.remove(KEY)
    if text is not None:
        system.write(KEY, text)
    again = begun(system)
    assert again.lost
    assert len(again) == 0
    again.save()
    assert begun(system).lost is None


def test_check_mode_leaves_no_trace(system, tmp_path):
    book = begun(system, is_read_only=True)
    entry(book)
    book.save()
    assert os.listdir(str(tmp_path)) == []
    real = begun(system)
    entry(real)
    real.save()
    before = content(system)
    book = begun(system, is_read_only=True)
    entry(book).own = 99
    book.forget_others(set())
    book.save()
    assert content(system) == before


def test_it_can_be_removed(system):
    assert notebook.remove(system, False) is False
    begun(system).save()
    system.write(PASSWORDS_STATE + "/lists/x/common.txt", "secret\n")
    assert notebook.remove(system, True) is True
    assert system.exists(KEY)
    assert notebook.remove(system, False) is True
    assert not system.exists("/var/lib/harden-mail")
    assert system.exists("/var/lib")


def test_what_others_keep_there_stays(system):
    begun(system).save()
    system.write("/var/lib/harden-mail/queue_alert/state.json", "{}")
    notebook.remove(system, False)
    assert system.exists("/var/lib/harden-mail/queue_alert/state.json")


def test_a_link_is_not_followed_to_remove_what_is_elsewhere(system):
    system.write("/srv/precious", "x")
    os.makedirs(system.real("/var/lib/harden-mail"))
    os.symlink(system.real("/srv"), system.real(PASSWORDS_STATE))
    with pytest.raises(UserError, match="is a symbolic link"):
        notebook.remove(system, False)
    assert system.exists("/srv/precious")


def test_the_lock_is_not_on_disk():
    assert PASSWORDS_LOCK.startswith("/run/")


def test_saving_makes_its_directory_again_for_root_alone(system):
    book = begun(system)
    notebook.remove(system, False)
    book.save()
    assert stat.S_IMODE(os.stat(system.real(PASSWORDS_STATE)).st_mode) == 0o700


def test_a_store_is_the_same_with_another_number_of_accounts():
    book = Notebook(FakeSystem("/nonexistent"), TODAY, is_read_only=True)
    one = {"store": "passwd", "path": "/a", "count": 3}
    assert book.source(one) == book.source({"path": "/a", "count": 4, "store": "passwd"})
    assert book.source(one) != book.source(dict(one, path="/b"))


def test_places_of_a_store_are_sources_of_their_own():
    book = Notebook(FakeSystem("/nonexistent"), TODAY, is_read_only=True)
    one = {"store": "passwd", "path": "/home/*/passwd"}
    sources = [book.source(one), book.source(one, ""), book.source(one, "/home/a/passwd")]
    sources.append(book.source(one, "/home/b/passwd"))
    assert len(set(sources)) == 4
    assert book.source(dict(one, count=3), "/home/a/passwd") == sources[2]


def test_who_is_missed_is_known_by_name_and_source(system):
    book = begun(system)
    for store, name in (("a", "Info@example.com"), ("a", "old@example.com"), ("b", "bob@example.com")):
        entry(book, name=name, store=store).guess("date", 100, "mac")
    entry(book, name="fine@example.com", store="b")
    book.save()
    again = begun(system)
    # Met in another source, and with another password: that says nothing of the first one.
    entry(again, name="bob@example.com", store="c", stored="strong")
    again.forget_others({source("a")})
    assert again.missed() == 1
    names = ["info@example.com", "old@example.com", "bob@example.com", "fine@example.com", "other"]
    assert again.among_missed(names) == {"bob@example.com"}
    third = begun(system)
    third.forget_others(set())
    assert third.among_missed(names) == {"info@example.com", "old@example.com", "bob@example.com"}


def test_of_too_many_names_all_are_taken_for_missed(system, monkeypatch):
    book = begun(system)
    entry(book).guess("date", 100, "mac")
    book.save()
    again = begun(system)
    assert again.among_missed({"a", "b"}) == set()
    monkeypatch.setattr(notebook, "_MOST_COMPARED", 1)
    assert again.among_missed({"a", "b"}) == {"a", "b"}


# As the version before wrote it: the source was the declaration, and the account's name as it stands there.
FORMER_KEY = "11" * 32
FORMER = (
    '{"version": 2, "fingerprint": "one", "is_whole": true, "entries": 1}\n'
    '["0f60a9b6e4bbf5c4bb3ed0cf6d1b3b4d2c3a0f64d3a7d2c3a0f64d3a7d2c3a0f", "ACCOUNT", 19990, 0, false, "date", 0, '
    'false, false, null, 0.0, 19999, "SOURCE", 100, "mac"]\n'
)


def test_what_a_former_version_remembered_is_understood(system):
    key = bytes.fromhex(FORMER_KEY)

    def mac(what, *parts):
        told = what + b"\0" + b"".join(len(part).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(key, told, hashlib.sha256).hexdigest()

    declaration = {"store": "sql", "path": "/x"}
    of = mac(b"source", json.dumps(declaration, sort_keys=True))
    account = mac(b"name", of, "info@example.com")
    system.write(KEY, FORMER_KEY)
    system.write(NOTEBOOK, FORMER.replace("ACCOUNT", account).replace("SOURCE", of))
    book = begun(system)
    assert book.lost is None
    assert book.among_missed(["info@example.com", "bob@example.com"]) == {"info@example.com"}
    book.forget_others({book.source(declaration, "/x")})
    assert book.missed() == 1
    book.forget_others({book.source(declaration)})
    assert len(book) == 0


def test_a_loss_counts_for_a_while_only_whatever_can_not_be_read(system):
    begun(system).save()
    system.write(NOTEBOOK, "spoiled")
    book = begun(system)
    assert book.is_whole is False
    book.save()
    for days, is_whole in ((1, False), (notebook.KEPT_DAYS, False), (notebook.KEPT_DAYS + 1, True)):
        later = begun(system, TODAY + days)
        assert later.is_whole is is_whole
        later.save()
