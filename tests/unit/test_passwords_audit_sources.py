"""Each source of accounts decides about its own: stores that break, files that can't be read, blocks that stay."""

import json
import os

import pytest
from fake_system import FakeSystem
from harden_mail.errors import UserError
from harden_mail.passwords import notebook
from harden_mail.passwords.stores import registry
from harden_mail.paths import BLOCK_NOTEBOOK
from passwords_host import (
    PARAMETERS,
    USERS,
    Broken,
    audit_account,
    later,
    run,
    ssha,
    use_few_guesses,
    use_odd_stores,
    users,
)


@pytest.fixture(autouse=True)
def few_guesses(monkeypatch):
    use_few_guesses(monkeypatch)


@pytest.fixture
def system(tmp_path):
    return FakeSystem(tmp_path)


@pytest.fixture
def odd_stores(monkeypatch):
    use_odd_stores(monkeypatch)


def test_a_store_that_is_down_lifts_no_block(system, odd_stores, monkeypatch):
    class Flaky(Broken):
        def accounts(self):
            if down:
                self.problem("", "the database does not answer")
            return iter(() if down else [audit_account("bob", ssha("bob123"))])

    monkeypatch.setitem(registry.STORES, "broken", Flaky)
    users(system, info=ssha("info1"))
    stores, down = [{"store": "broken"}, *PARAMETERS["stores"]], False
    assert run(system, stores=stores)["knows_all"] is True
    down = True
    result = run(system, stores=stores)
    assert (result["guessed_accounts"], result["knows_all"]) == (["info@example.com"], False)
    # Nor is a loss made good while it is down.
    system.remove(notebook.NOTEBOOK)
    assert run(system, stores=stores)["knows_all"] is False
    down = False
    assert run(system, stores=stores, budget_seconds=0)["knows_all"] is False
    assert run(system, stores=stores)["knows_all"] is True


def test_an_audit_of_one_file_forgets_nobody_in_another(system):
    users(system, bob=ssha("bob123"))
    system.write("/etc/dovecot/more", "info@example.com:{0}::::::\n".format(ssha("info1")))
    more = [{"store": "dovecot-passwd-file", "path": "/etc/dovecot/more"}]
    assert run(system)["knows_all"] is True
    result = run(system, stores=more)
    assert (result["guessed_accounts"], result["knows_all"]) == (["info@example.com"], False)
    result = run(system, stores=PARAMETERS["stores"] + more, budget_seconds=0)
    assert (result["guessed_accounts"], result["knows_all"]) == (["bob@example.com", "info@example.com"], True)


def test_another_password_lifts_a_block_also_where_a_line_is_malformed(system):
    users(system, bob=ssha("bob123"))
    system.write(USERS, system.read(USERS) + "no colon\n")
    assert run(system)["guessed_accounts"] == ["bob@example.com"]
    users(system, bob=ssha("x-x"))
    system.write(USERS, system.read(USERS) + "no colon\n")
    result = run(system)
    assert (result["guessed_accounts"], result["knows_all"]) == ([], True)


@pytest.mark.parametrize("form", ["!{0}", "{0}"])
def test_who_was_disabled_for_a_while_is_known_at_once(system, odd_stores, monkeypatch, form):
    class Disabling(Broken):
        def accounts(self):
            stored = form.format(ssha("early1")) if disabled else ssha("early1")
            yield audit_account("early", stored, active=not disabled)

    monkeypatch.setitem(registry.STORES, "broken", Disabling)
    stores, disabled = [{"store": "broken"}], False
    run(system, stores=stores)
    disabled = True
    result = run(system, stores=stores)
    assert (result["guessed_accounts"], result["knows_all"]) == ([], True)
    disabled = False
    assert run(system, stores=stores, budget_seconds=0)["guessed_accounts"] == ["early"]


# --- sources ----------------------------------------------------------------------------------------------


def in_files(*names):
    return [{"store": "dovecot-passwd-file", "path": "/etc/mail/{0}/passwd".format(name)} for name in names]


def file_of(system, name, **accounts):
    lines = ["{0}@{1}.example:{2}::::::\n".format(user, name, stored) for user, stored in accounts.items()]
    system.write("/etc/mail/{0}/passwd".format(name), "".join(lines))


def block(system, *accounts):
    system.write(BLOCK_NOTEBOOK, json.dumps({"lists": {"password_audit": {"accounts": list(accounts)}}}))


@pytest.fixture
def two_files(system):
    """Two files whose accounts were all guessed and are blocked; then both have another password in them."""
    stores = in_files("a", "b")
    for name in ("a", "b"):
        file_of(system, name, bob=ssha("bob123"), info=ssha("info1"))
    assert len(run(system, stores=stores)["guessed_accounts"]) == 4
    block(system, "bob@a.example", "bob@b.example", "info@a.example", "info@b.example", "other@a.example")
    for name in ("a", "b"):
        file_of(system, name, bob=ssha("x-x"), info=ssha("info1"), new=ssha("new1"))
    return stores


@pytest.mark.parametrize("spoil", ["fifo", "removed", "directory", "no longer declared"])
def test_a_source_that_is_not_read_freezes_its_own_accounts_only(system, two_files, monkeypatch, spoil):
    stores, path = two_files, system.real("/etc/mail/b/passwd")
    if spoil == "no longer declared":
        stores = in_files("a")
    else:
        os.unlink(path)
        if spoil == "fifo":
            os.mkfifo(path)
        elif spoil == "directory":
            os.mkdir(path)
    result = run(system, stores=stores)
    assert result["guessed_accounts"] == ["info@a.example", "new@a.example"]
    assert result["kept_accounts"] == ["bob@b.example", "info@b.example"]
    assert result["knows_all"] is False
    assert any(line.startswith("2 accounts with guessed passwords are in sources") for line in result["evidence"])
    # As a source of which nobody knows more, it is forgotten after a time.
    later(monkeypatch, notebook.KEPT_DAYS + 1)
    result = run(system, stores=stores)
    assert (result["kept_accounts"], result["knows_all"]) == ([], True)


def test_when_it_can_be_read_again_it_decides_again(system, two_files):
    path = system.real("/etc/mail/b/passwd")
    os.rename(path, path + ".away")
    assert run(system, stores=two_files)["kept_accounts"] == ["bob@b.example", "info@b.example"]
    os.rename(path + ".away", path)
    result = run(system, stores=two_files)
    assert (result["kept_accounts"], result["knows_all"]) == ([], True)
    assert result["guessed_accounts"] == ["info@a.example", "info@b.example", "new@a.example", "new@b.example"]


def test_of_one_pattern_each_file_decides_for_itself(system):
    stores = [{"store": "dovecot-passwd-file", "path": "/etc/mail/*/passwd"}]
    for name in ("a", "b"):
        file_of(system, name, bob=ssha("bob123"))
    run(system, stores=stores)
    block(system, "bob@a.example", "bob@b.example")
    file_of(system, "a", other=ssha("x-x"))
    os.unlink(system.real("/etc/mail/b/passwd"))
    os.mkfifo(system.real("/etc/mail/b/passwd"))
    result = run(system, stores=stores)
    assert (result["guessed_accounts"], result["kept_accounts"]) == ([], ["bob@b.example"])


def test_a_good_password_in_one_source_clears_no_bad_one_in_another(system):
    stores = in_files("a", "b")
    for name in ("a", "b"):
        system.write("/etc/mail/{0}/passwd".format(name), "bob@x.example:{0}\n".format(ssha("bob123")))
    run(system, stores=stores)
    block(system, "bob@x.example")
    system.write("/etc/mail/a/passwd", "bob@x.example:{0}\n".format(ssha("x-x")))
    assert run(system, stores=stores)["guessed_accounts"] == ["bob@x.example"]
    os.unlink(system.real("/etc/mail/b/passwd"))
    assert run(system, stores=stores)["kept_accounts"] == ["bob@x.example"]
    system.write("/etc/mail/b/passwd", "bob@x.example:{0}\n".format(ssha("y-y")))
    result = run(system, stores=stores)
    assert (result["guessed_accounts"], result["kept_accounts"]) == ([], [])


def test_a_store_that_breaks_off_lifts_no_block_of_its_own(system, odd_stores, monkeypatch):
    class Breaking(Broken):
        def accounts(self):
            yield audit_account("early", ssha("early1"))
            if is_down:
                raise UserError("The database does not answer.")
            yield audit_account("late", ssha("late1"))

    monkeypatch.setitem(registry.STORES, "broken", Breaking)
    stores, is_down = [{"store": "broken"}], False
    assert run(system, stores=stores)["guessed_accounts"] == ["early", "late"]
    block(system, "early", "late")
    is_down = True
    result = run(system, stores=stores)
    assert (result["guessed_accounts"], result["kept_accounts"]) == (["early"], ["late"])


def test_after_a_loss_all_blocks_stay_and_new_ones_come(system):
    users(system, bob=ssha("bob123"))
    run(system)
    block(system, "bob@example.com", "gone@example.com")
    system.write(notebook.NOTEBOOK, "spoiled")
    result = run(system, budget_seconds=0)
    assert (result["guessed_accounts"], result["kept_accounts"]) == ([], ["bob@example.com", "gone@example.com"])
    result = run(system)
    assert (result["guessed_accounts"], result["kept_accounts"]) == (["bob@example.com"], [])


def test_no_name_is_told_that_is_not_asked_for(system, two_files):
    os.unlink(system.real("/etc/mail/b/passwd"))
    assert run(system, stores=two_files, name_guessed=False)["kept_accounts"] == []


def test_a_list_of_blocks_that_is_spoiled_is_a_sentence(system):
    users(system, bob=ssha("bob123"))
    system.write(BLOCK_NOTEBOOK, "[")
    with pytest.raises(UserError, match=r"lists\.json, where it is remembered who may not send, can't be read"):
        run(system)
