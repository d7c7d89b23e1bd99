"""One run of the audit on a host: what is said, what is remembered, what is not done twice."""

import hashlib
import io
import os
import tarfile

import pytest
from fake_system import FakeSystem
from harden_mail.errors import NotApplicable, UserError
from harden_mail.passwords import audit, audit_lists, notebook
from harden_mail.passwords.guessing import worker
from harden_mail.passwords.stores import sql_client
from harden_mail.paths import PASSWORDS_LOCK, PASSWORDS_QUESTION, PASSWORDS_STATE
from passwords_host import PARAMETERS, USERS, later, of, run, sha, ssha, use_few_guesses, use_odd_stores, users


@pytest.fixture(autouse=True)
def few_guesses(monkeypatch):
    use_few_guesses(monkeypatch)


@pytest.fixture
def tried(monkeypatch):
    """How many words were tried: [number]."""
    count, real = [0], worker.matcher

    def matcher(group, digests):
        match = real(group, digests)

        def counting(words):
            count[0] += len(words)
            return match(words)

        return counting

    monkeypatch.setattr(worker, "matcher", matcher)
    return count


@pytest.fixture
def system(tmp_path):
    return FakeSystem(tmp_path)


def test_what_is_said_of_a_host(system):
    users(
        system,
        bob=sha("bob123"),
        info=ssha("qwerty"),
        fine=ssha("x-x"),
        twin=ssha("qwerty", b"other"),
        plain="{PLAIN}x-y",
        double="{PLAIN}x-y",
        empty="{PLAIN}",
        locked="!",
        odd="{NOSUCH}abc",
    )
    result = run(system)
    assert result["changed"] is False
    assert result["finished"] is True
    assert result["knows_all"] is True
    assert result["accounts_total"] == 9
    assert result["guessed_accounts"] == [
        "bob@example.com",
        "empty@example.com",
        "info@example.com",
        "twin@example.com",
    ]
    assert of(result, "bob")["guessed"] == {"kind": "account", "within": 100}
    assert of(result, "bob")["weak_scheme"] == "unsalted"
    assert of(result, "info")["guessed"] == {"kind": "common", "within": 100}
    assert of(result, "info")["same_password_as"] == 1
    assert of(result, "plain")["same_password_as"] == 1
    assert of(result, "plain")["plaintext_store"] is True
    assert of(result, "fine")["same_password_as"] is None
    # The empty word, 33 of its own, and 1,503 that all share.
    assert of(result, "fine")["not_guessed_in"] == 1537
    assert of(result, "empty")["empty"] is True
    assert of(result, "odd")["not_tried_because"] == "unknown scheme"
    assert [text for text in result["findings"] if "Not tried" in text] == [
        "Not tried, 1 account of dovecot-passwd-file: unknown scheme. odd@example.com."
    ]
    assert result["progress"]["everyone"] is None
    assert "qwerty" not in repr(result)


def test_an_empty_password_of_a_slow_hash_is_found(system):
    users(system, bob="{PBKDF2}$1$saltsalt$10$" + hashlib.pbkdf2_hmac("sha1", b"", b"saltsalt", 10).hex())
    assert of(run(system), "bob")["empty"] is True


def test_the_second_audit_costs_nothing(system, tried):
    users(system, bob=ssha("bob123"), fine=ssha("x-x"), plain="{PLAIN}x-y")
    first = run(system)
    assert tried[0] > 3000
    tried[0] = 0
    second = run(system)
    assert tried[0] == 0
    for result in (first, second):
        result.pop("progress")
    assert first == second


def test_only_what_has_changed_is_tried_again(system, tried):
    users(system, bob=ssha("bob123"), fine=ssha("x-x", b"a"), other=ssha("x-x", b"b"))
    run(system)
    users(system, bob=ssha("now-x"), fine=ssha("x-x", b"a"), new=ssha("new1", b"c"))
    tried[0] = 0
    result = run(system)
    assert result["guessed_accounts"] == ["new@example.com"]
    assert 1537 < tried[0] < 1537 + 110
    assert len(notebook.Notebook(system, 1)) == 3


def test_check_mode_guesses_and_writes_nothing(system, tmp_path):
    users(system, bob=ssha("bob123"))
    before = sorted(os.walk(str(tmp_path)))
    result = run(system, check_mode=True)
    assert result["guessed_accounts"] == ["bob@example.com"]
    assert result["evidence"][-1].startswith("Without word lists, which check mode does not bring: only")
    assert sorted(os.walk(str(tmp_path))) == before


def test_check_mode_says_what_a_run_knows(system):
    users(system, bob=ssha("bob123"), fine=ssha("x-x"), info="{PLAIN}1400-")
    done, known = run(system), run(system, check_mode=True)
    assert done["guessed_accounts"] == ["bob@example.com", "info@example.com"]
    for result in (done, known):
        result.pop("progress")
        result["evidence"].pop()
    assert done == known


def test_check_mode_tries_the_first_guesses_only(system):
    users(system, bob=ssha("bob123"), fine=ssha("x-x"), info="{PLAIN}1400-")
    first = run(system, check_mode=True)
    assert first["guessed_accounts"] == ["bob@example.com"]
    tried = {one["account"]: one["not_guessed_in"] for one in first["accounts"]}
    assert tried == {"bob@example.com": None, "fine@example.com": 100, "info@example.com": 100}
    fewer = run(system, check_mode=True, budget_guesses_per_account=10)
    assert {one["not_guessed_in"] for one in fewer["accounts"]} <= {None, 10}


def test_other_lists_are_tried_and_what_was_guessed_stays(system):
    users(system, bob=ssha("bob123"), fine=ssha("Tsukuba!"))
    assert run(system)["guessed_accounts"] == ["bob@example.com"]
    archive = packed(system, {"own-000.txt": b"Tsukuba!\n"})
    result = run(system, lists_id="a" * 64, lists_archive=archive)
    assert result["guessed_accounts"] == ["bob@example.com", "fine@example.com"]
    assert of(result, "fine")["guessed"]["kind"] == "own-list"
    assert of(result, "bob")["guessed"] == {"kind": "account", "within": 100}


def packed(system, files):
    path = system.real("/lists.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


class TestLists:
    ID, OTHER = "a" * 64, "b" * 64

    def directory(self, system, is_check=False, **changes):
        parameters = dict(PARAMETERS, lists_id=self.ID, **changes)
        with audit_lists.lists_dir(system, parameters, is_check) as found:
            return found, sorted(os.listdir(found)) if found else None

    def test_they_are_asked_for_when_they_are_not_there(self, system):
        users(system, bob=ssha("x"))
        for check_mode in (True, False):
            assert run(system, check_mode, lists_id=self.ID) == {"changed": False, "lists_wanted": True}

    def test_they_are_kept_until_others_are_brought(self, system):
        archive = packed(system, {"common.txt": b"x\n", "CREDITS": b"y"})
        found, names = self.directory(system, lists_archive=archive)
        assert names == ["CREDITS", "common.txt"]
        assert self.directory(system)[0] == found
        with audit_lists.lists_dir(system, dict(PARAMETERS, lists_id=self.OTHER, lists_archive=archive), False):
            pass
        assert system.listdir(audit_lists.LISTS) == [self.OTHER]

    def test_in_check_mode_they_go_again(self, system):
        archive = packed(system, {"common.txt": b"x\n"})
        found, names = self.directory(system, is_check=True, lists_archive=archive)
        assert names == ["common.txt"]
        assert not os.path.exists(found)
        assert not system.exists(audit_lists.LISTS)

    def test_what_a_kill_left_does_not_matter(self, system):
        system.write(audit_lists.LISTS + "/new/english.txt", "half of a li")
        archive = packed(system, {"common.txt": b"x\n"})
        assert self.directory(system, lists_archive=archive)[1] == ["common.txt"]
        assert system.listdir(audit_lists.LISTS) == [self.ID]

    def test_lists_that_are_on_the_host_are_not_copied(self, system):
        system.write("/srv/huge.txt", "a\n")
        digest = hashlib.sha256(b"a\n").hexdigest()
        lists = [{"host_path": None, "sha256": None}, {"host_path": "/srv/huge.txt", "sha256": digest.upper()}]
        archive = packed(system, {"own-000.txt": b"b\n"})
        found, names = self.directory(system, lists_archive=archive, lists=lists)
        assert names == ["own-000.txt", "own-001.txt"]
        assert os.readlink(found + "/own-001.txt") == system.real("/srv/huge.txt")

    @pytest.mark.parametrize(
        ("one", "sentence"),
        [
            ({"host_path": "/srv/none.txt", "sha256": None}, "host_path /srv/none.txt, and there is no such file"),
            ({"host_path": "/srv/huge.txt", "sha256": "0" * 64}, "has the SHA-256 .*, but sha256 says 000"),
        ],
    )
    def test_a_list_that_is_another_is_refused(self, system, one, sentence):
        system.write("/srv/huge.txt", "a\n")
        with pytest.raises(UserError, match=sentence):
            self.directory(system, lists_archive=packed(system, {}), lists=[one])
        assert not system.exists(audit_lists.LISTS + "/" + self.ID)

    @pytest.mark.parametrize("name", ["../x.txt", "/etc/x", "x.txt", "common/x.txt", "own.txt/", "common.txt\n"])
    def test_an_archive_writes_nowhere_else(self, system, name):
        with pytest.raises(UserError, match="something in it that is no list"):
            self.directory(system, lists_archive=packed(system, {name: b""}))

    def test_a_broken_archive_is_a_sentence(self, system):
        system.write("/lists.tar.gz", "no archive")
        with pytest.raises(UserError, match="can't be read"):
            self.directory(system, lists_archive=system.real("/lists.tar.gz"))

    def test_an_odd_name_is_refused(self, system):
        parameters = dict(PARAMETERS, lists_id="../etc")
        with pytest.raises(UserError, match=r"lists_id is '\.\./etc'"), audit_lists.lists_dir(
            system, parameters, False
        ):
            pass


def test_a_lost_notebook_is_told_and_nobody_is_taken_for_changed(system):
    users(system, bob=ssha("bob123"))
    run(system)
    system.write(notebook.NOTEBOOK, "spoiled")
    unfinished = run(system, budget_seconds=0)
    assert (unfinished["guessed_accounts"], unfinished["knows_all"]) == ([], False)
    assert any("began anew" in line for line in unfinished["evidence"])
    # It stays so until everything was tried.
    assert run(system, budget_seconds=0)["knows_all"] is False
    assert run(system)["knows_all"] is True
    users(system, new=ssha("x-x"))
    assert run(system, budget_seconds=0)["knows_all"] is True


def test_excluded_accounts_are_counted(system):
    users(system, bob=ssha("bob123"), test1=ssha("x"), test2=ssha("x"))
    result = run(system, exclude=["TEST*@example.com", "nobody"])
    assert result["accounts_total"] == 1
    assert result["summary"]["excluded"] == 2


def test_days_count_from_the_first_audit_where_the_store_has_no_date(system, monkeypatch):
    users(system, bob=ssha("x-x"))
    assert of(run(system, max_age_days=0), "bob")["unchanged_for_days"] == 0
    later(monkeypatch, 31)
    result = run(system, max_age_days=30)
    assert of(result, "bob")["unchanged_for_days"] == 31
    assert result["findings"] == ["The password of bob@example.com has been the same for 31 days; 30 are allowed."]
    users(system, bob=ssha("y-y"))
    assert of(run(system), "bob")["unchanged_for_days"] == 0


@pytest.fixture
def odd_stores(monkeypatch):
    use_odd_stores(monkeypatch)


def test_a_store_that_breaks_is_a_finding_and_the_others_go_on(system, odd_stores):
    users(system, bob=ssha("bob123"))
    result = run(system, stores=[{"store": "broken"}, *PARAMETERS["stores"], {"store": "dovecot-ldap"}])
    assert result["knows_all"] is True
    assert result["guessed_accounts"] == ["bob@example.com", "early"]
    assert result["findings"][-2:] == [
        "broken could not be read: The database does not answer.",
        "dovecot-ldap is not audited: a directory server keeps them, perhaps on another host.",
    ]


def test_who_may_have_written_too_many_accounts_is_known_of_each(system, odd_stores, monkeypatch):
    seen, real = {}, audit.Guessing

    def guessing_at(targets, *more):
        seen.update({one.name: one.crowd for one in targets})
        return real(targets, *more)

    monkeypatch.setattr(audit, "Guessing", guessing_at)
    users(system, bob=ssha("bob123"))
    run(system, stores=[{"store": "dated"}, *PARAMETERS["stores"]])
    assert seen == {"old": "alpha", "bob@example.com": "example.com"}


def test_the_stores_own_date_counts(system, odd_stores):
    result = run(system, stores=[{"store": "dated"}], max_age_days=1000)
    assert of(result, "old")["unchanged_for_days"] > 20000
    assert of(result, "old")["too_old"] is True


def test_if_nothing_can_be_read_it_fails(system):
    with pytest.raises(UserError, match="No account could be read"):
        run(system)
    with pytest.raises(UserError, match="no store 'nosuch'"):
        run(system, stores=[{"store": "nosuch"}])


def test_without_stores_it_makes_no_sense(system):
    with pytest.raises(NotApplicable, match="password_audit_stores"):
        run(system, stores=[])


@pytest.mark.parametrize(
    "name", ["budget_seconds", "budget_guesses_per_account", "cores", "max_load", "max_age_days", "limit_listed"]
)
def test_less_than_nothing_is_refused(system, name):
    with pytest.raises(UserError, match="{0} is -1: give 0 or more".format(name)):
        run(system, **{name: -1})


def test_a_defect_in_reading_a_hash_is_said_without_it(system, monkeypatch):
    users(system, bob="{PLAIN}canary", info=ssha("info1"))
    real = audit.parse

    def parse(stored, scheme, name):
        if "canary" in stored:
            raise ValueError(stored)
        return real(stored, scheme, name)

    monkeypatch.setattr(audit, "parse", parse)
    result = run(system)
    assert "harden-mail has a defect, ValueError at test_passwords_audit.py:" in result["findings"][-1]
    assert "canary" not in repr(result)
    assert result["guessed_accounts"] == ["info@example.com"]


def test_malformed_lines_are_findings(system):
    system.write(USERS, "bob@example.com:{PLAIN}bob1\nno colon\n\x00\x00:\x00\n" + "x\n" * 1000)
    result = run(system)
    assert result["guessed_accounts"] == ["bob@example.com"]
    assert any(text.startswith(USERS + ": ") for text in result["findings"])
    assert len(result["findings"]) < 10


def test_leaked_passwords_are_looked_up_where_the_store_has_them(system, tried):
    leaked = sorted(hashlib.sha1(word).hexdigest().upper() for word in (b"x-leaked", b"y-leaked", b"z", b"bob1"))
    system.write("/srv/pwned.txt", "".join("{0}:3\n".format(digest) for digest in leaked))
    users(system, bob="{PLAIN}bob1", a="{PLAIN}x-leaked", b=sha("y-leaked"), c=ssha("x-leaked"), d="{PLAIN}x-fine")
    result = run(system, hibp_file="/srv/pwned.txt")
    assert result["guessed_accounts"] == ["a@example.com", "b@example.com", "bob@example.com"]
    assert of(result, "bob")["guessed"]["kind"] == "account"
    assert of(result, "a")["guessed"] == {"kind": "pwned", "within": None}
    # Known the next time, also without the file; another one is looked at.
    assert run(system)["guessed_accounts"] == result["guessed_accounts"]
    system.write("/srv/pwned.txt", "{0}:3\n".format(hashlib.sha1(b"x-fine").hexdigest().upper()))
    assert "d@example.com" in run(system, hibp_file="/srv/pwned.txt")["guessed_accounts"]
    with pytest.raises(UserError, match="/srv/none"):
        run(system, hibp_file="/srv/none")


def test_absent_forgets_everything(system):
    users(system, bob=ssha("bob123"))
    assert run(system, state="absent")["changed"] is False
    run(system)
    assert run(system, check_mode=True, state="absent")["changed"] is True
    assert system.exists(notebook.KEY)
    assert run(system, state="absent")["changed"] is True
    assert not system.exists(PASSWORDS_STATE)


@pytest.mark.parametrize("way", [{"state": "absent"}, {}])
def test_the_database_password_that_a_kill_has_left_goes(system, way):
    """Also when the file was only half made: an atomic write has another name for it then."""
    users(system, bob=ssha("x-x"))
    for path in (sql_client.OPTIONS, sql_client.OPTIONS + ".half"):
        os.makedirs(os.path.dirname(system.real(path)), mode=0o700, exist_ok=True)
        system.write(path, "[client]\npassword=s3cret\n", 0o600)
    if way:
        look = run(system, check_mode=True, **way)
        assert system.exists(sql_client.OPTIONS)
        result = run(system, **way)
        assert result == look and result["changed"] is True
        assert result["diff"]["before"] == PASSWORDS_QUESTION + "\n"
        assert run(system, **way)["changed"] is False
    else:
        run(system, **way)
    assert not system.exists(PASSWORDS_QUESTION)


@pytest.mark.parametrize(("name", "is_left_out"), [("KATE@example.com", True), ("\u212aate@example.com", False)])
def test_who_is_left_out_is_told_by_ascii_letters_alone(system, name, is_left_out):
    users(system, **{name.partition("@")[0]: ssha("x-x")})
    assert (run(system, exclude=["kate@*"])["accounts_total"] == 0) is is_left_out


def test_a_loss_is_not_made_good_while_something_could_not_be_tried(system, monkeypatch):
    users(system, bob=ssha("bob123"))
    run(system)
    system.remove(notebook.NOTEBOOK)
    real = worker.matcher

    def lacking(*_):
        raise worker.Uncheckable("no memory")

    monkeypatch.setattr(worker, "matcher", lacking)
    result = run(system)
    assert result["knows_all"] is False
    assert any("began anew" in line for line in result["evidence"])
    monkeypatch.setattr(worker, "matcher", real)
    assert run(system)["knows_all"] is True


def test_check_mode_says_that_more_is_to_be_tried(system):
    users(system, fine=ssha("x-x"))
    result = run(system, check_mode=True)
    assert (result["finished"], result["progress"]["everyone"]) == (False, 100)
    assert "Check mode tries the first 100 guesses only." in result["evidence"]
    assert not any("time was over" in line for line in result["evidence"])
    result = run(system, check_mode=True, budget_guesses_per_account=50)
    assert result["finished"] is True
    assert "Check mode tries the first 100 guesses only." not in result["evidence"]


def test_what_is_out_of_reach_is_no_failure(system):
    with pytest.raises(NotApplicable, match="dovecot-ldap is not audited: a directory server keeps them"):
        run(system, stores=[{"store": "dovecot-ldap"}])
    users(system, bob=ssha("bob123"))
    stores = [*PARAMETERS["stores"], {"store": "dovecot-ldap"}]
    result = run(system, stores=stores, exclude=["*"])
    assert (result["accounts_total"], result["summary"]["excluded"]) == (0, 1)
    users(system)
    assert run(system, stores=stores)["accounts_total"] == 0


def test_absent_waits_for_an_audit_that_is_at_work(system, monkeypatch):
    users(system, bob=ssha("bob123"))
    run(system)
    locks, real = [], system.lock
    monkeypatch.setattr(system, "lock", lambda path: locks.append(path) or real(path))
    run(system, check_mode=True, state="absent")
    assert locks == []
    run(system, state="absent")
    assert locks == [PASSWORDS_LOCK]


@pytest.mark.parametrize(
    "name", ["budget_seconds", "budget_seconds_per_account", "max_load", "spent_seconds", "cores", "limit_listed"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_finite_number_is_refused(system, name, value):
    with pytest.raises(UserError, match="{0} is .*: give 0 or more, a finite number".format(name)):
        run(system, **{name: value})


def test_no_guesses_at_an_account_are_no_limit(system):
    users(system, fine=ssha("x-x"))
    assert of(run(system, budget_guesses_per_account=0), "fine")["not_guessed_in"] == 1537
