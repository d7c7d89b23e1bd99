"""What an audit of passwords says: the worst first, capped, masked by choice, and never more than it may."""

import pytest
from harden_mail.passwords import result as answers
from harden_mail.passwords.candidates import KINDS
from harden_mail.passwords.notebook import Entry

OPTIONS = {"max_age_days": None, "mask_accounts": False, "name_guessed": True, "limit_listed": 20}
AUDIT_RUN = answers.AuditRun(True, False, 12.0, 0.0, 0, [], [])


def account(name, guess=None, scheme="SHA512-CRYPT", **values):
    one = answers.Checked(name, "dovecot-passwd-file")
    one.scheme, one.entry = scheme, Entry(bytes.fromhex("0123456789abcdef" * 4), "dovecot-passwd-file", 1)
    one.entry.own, one.entry.general = values.pop("tried", (0, 0))
    if guess:
        one.entry.guess(guess[0], guess[1], "mac")
    for key, value in values.items():
        setattr(one, key, value)
    return one


def unread(name, reason, is_harmless=False):
    one = answers.Checked(name, "shadow")
    one.reason, one.is_harmless = reason, is_harmless
    return one


def result(accounts, audit_run=AUDIT_RUN, **options):
    return answers.result(accounts, dict(OPTIONS, **options), audit_run)


ALL = [
    account("fine@example.com", tried=(50, 950)),
    account("weak@example.com", scheme="MD5-CRYPT", weak="md5", tried=(50, 40)),
    account("guessed@example.com", ("common", 1000), same=2),
    account("soon@example.com", ("account", 100), same=0),
    account("late@example.com", ("english", None)),
    account("empty@example.com", ("empty", 100)),
    account("old@example.com", unchanged=800, tried=(5, 5)),
    account("plain@example.com", scheme="PLAIN", password=b"canary", weak="plain", tried=(1, 2)),
    unread("locked", "locked", True),
    unread("odd", "unknown scheme"),
]


def test_the_worst_come_first():
    names = [one["account"].partition("@")[0] for one in result(ALL, max_age_days=700)["accounts"]]
    assert names == ["empty", "soon", "guessed", "late", "old", "odd", "plain", "weak", "fine", "locked"]


def test_a_domain_full_of_bad_accounts_hides_nobody():
    many = [account("a{0:02}@a.example".format(number), ("account", 100)) for number in range(30)]
    others = [account("x@B.example", ("common", 1000)), account("z@c.example", ("empty", 100))]
    found = result(many + others, limit_listed=3)
    assert [one["account"] for one in found["accounts"]] == ["z@c.example", "a00@a.example", "x@B.example"]
    assert "x@B.example" in found["findings"][2] and "28 more accounts have" in found["findings"][4]


def test_an_account_in_full():
    found = {one["account"]: one for one in result(ALL)["accounts"]}
    assert found["guessed@example.com"] == {
        "account": "guessed@example.com",
        "store": "dovecot-passwd-file",
        "scheme": "SHA512-CRYPT",
        "guessed": {"kind": "common", "within": 1000},
        "not_guessed_in": None,
        "plaintext_store": False,
        "weak_scheme": None,
        "empty": False,
        "unchanged_for_days": None,
        "too_old": False,
        "same_password_as": 2,
        "not_tried_because": None,
    }
    assert found["fine@example.com"]["not_guessed_in"] == 1000
    assert found["plain@example.com"]["plaintext_store"] is True
    assert found["weak@example.com"]["weak_scheme"] == "md5"
    assert found["odd"]["not_tried_because"] == "unknown scheme"
    assert found["odd"]["not_guessed_in"] is None
    assert found["empty@example.com"]["empty"] is True


def test_findings():
    assert result(ALL, max_age_days=700)["findings"] == [
        "empty@example.com has an empty password.",
        "The password of soon@example.com was guessed within 100 guesses: it is made of the account's own name.",
        "The password of guessed@example.com was guessed within 1,000 guesses: it is a common password; "
        "2 other accounts have the same.",
        "The password of late@example.com was guessed in more than 10,000 guesses: it is made of an English word or "
        "name.",
        "The password of old@example.com has been the same for 800 days; 700 are allowed.",
        "Not tried, 1 account of shadow: unknown scheme. odd.",
    ]


def test_evidence():
    audit_run = AUDIT_RUN._replace(is_finished=False, seconds=120.4, waited=30.2, excluded=3, notes=["A note."])
    assert result(ALL, audit_run)["evidence"] == [
        "dovecot-passwd-file: 8 accounts, 4 guessed.",
        "shadow: 2 accounts, 0 guessed, 1 locked.",
        "MD5-CRYPT (quick to guess for whoever steals it): 1 account, 1 not guessed in 90 tries.",
        "PLAIN (the store has the passwords themselves): 1 account, 1 not guessed in 3 tries.",
        "SHA512-CRYPT: 6 accounts, 2 not guessed in 10 to 1,000 tries.",
        "1 account is known to share its password with another one.",
        "3 accounts are excluded by declaration.",
        "The time was over (120 s, 30 of them left to others): the next audit goes on from here.",
        "A note.",
    ]


def test_summary():
    assert result(ALL, AUDIT_RUN._replace(excluded=3), max_age_days=700)["summary"] == {
        "accounts": 10,
        "tried": 8,
        "guessed": 4,
        "empty": 1,
        "within": {"100": 2, "1000": 1, "more": 1},
        "kinds": {"common": 1, "account": 1, "english": 1, "empty": 1},
        "too_old": 1,
        "plaintext_store": 1,
        "weak_scheme": 2,
        "same_password": 1,
        "not_tried": {"locked": 1, "unknown scheme": 1},
        "excluded": 3,
    }


def test_lists_are_capped_and_totals_said():
    many = [account("user{0:03}".format(n), ("common", 100)) for n in range(50)]
    many += [account("empty{0:03}".format(n), ("empty", 100)) for n in range(5)]
    found = result(many, limit_listed=3)
    assert len(found["accounts"]) == 3
    assert found["accounts_total"] == 55
    assert len(found["guessed_accounts"]) == 55
    assert found["findings"][3] == "2 more accounts have an empty password; 5 in all."
    assert found["findings"][-1] == "47 more accounts have a password that was guessed; 50 in all."
    assert len(found["findings"]) == 8


def test_a_cap_of_nothing_still_counts():
    found = result(ALL, limit_listed=0, max_age_days=700)
    assert found["accounts"] == []
    assert found["findings"][0] == "1 more account has an empty password; 1 in all."


def test_names_are_masked_everywhere():
    accounts = [*ALL, *(unread("nobody{0}".format(n), "unknown scheme") for n in range(7))]
    names = [one.name for one in accounts if "@" in one.name or one.name.startswith("nobody")]
    text = repr(result(accounts, mask_accounts=True, name_guessed=False, max_age_days=700))
    assert [name for name in names if name in text] == []
    assert "e***@example.com has an empty password." in text
    assert "'guessed': []" in text
    assert "n***, n***, n***, n*** and 3 more." in text


def test_names_of_those_who_are_to_be_blocked_can_stay_whole():
    found = result(ALL, mask_accounts=True)
    assert "soon@example.com" in found["guessed_accounts"]
    assert "s***@example.com" in repr(found["findings"])


@pytest.mark.parametrize(
    "name", ["a b", "a\nb@example.com", '"a', "#a", "\udcff", "", "\x1b[31m", "\u212aate@example.com", "\u017fam@x"]
)
def test_names_that_nobody_logs_in_by_are_told_but_not_handed_on(name):
    found = result([account(name, ("common", 100))])
    assert found["guessed_accounts"] == []
    assert found["findings"]
    assert "\x1b" not in repr(found["findings"]).replace("\\x1b", "")
    assert "\n" not in found["findings"][0]
    found["findings"][0].encode("utf-8")


def test_what_was_leaked_is_told():
    one = account("bob@example.com", scheme="PLAIN", password=b"canary", tried=(5, 5))
    one.entry.pwned = True
    found = result([one])
    assert found["findings"] == ["The password of bob@example.com is in the list of leaked passwords."]
    assert found["guessed_accounts"] == ["bob@example.com"]
    assert found["accounts"][0]["guessed"] == {"kind": "pwned", "within": None}


def test_what_a_notice_needs():
    told_of = result([account("b", ("common", 100)), account("a", ("empty", 100)), account("c")])["guessed"]
    assert told_of == [
        {"name": "a", "token": "0123456789abcdef", "kind": "empty"},
        {"name": "b", "token": "0123456789abcdef", "kind": "common"},
    ]


def test_age_matters_only_when_asked_and_not_for_those_who_cannot_log_in():
    locked = unread("locked", "locked", True)
    locked.unchanged = 900
    assert result([*ALL, locked])["summary"]["too_old"] == 0
    assert result([locked], max_age_days=100)["findings"] == []
    edge = [account("a", unchanged=100), account("b", unchanged=101)]
    assert result(edge, max_age_days=100)["findings"] == [
        "The password of b has been the same for 101 days; 100 are allowed."
    ]


def test_each_kind_of_rule_has_words():
    assert set(KINDS) <= set(answers.KINDS)


def test_nothing_says_that_a_password_is_strong():
    assert "strong" not in repr(result(ALL)).lower()


def test_who_is_in_two_stores_is_told_once():
    first, second = account("a@example.com", ("date", 100)), account("a@example.com", ("digits", 100))
    second.entry.mac = b"\xff" * 32
    found = result([account("b@example.com", ("date", 100)), first, second])
    assert [(one["name"], one["token"]) for one in found["guessed"]] == [
        ("a@example.com", "0123456789abcdef"),
        ("b@example.com", "0123456789abcdef"),
    ]


def test_a_look_does_not_say_that_the_time_was_over():
    found = result(ALL, AUDIT_RUN._replace(is_finished=False, is_look=True))
    assert found["finished"] is False
    assert "Check mode tries the first 100 guesses only." in found["evidence"]
    assert not any("time was over" in line for line in found["evidence"])


def test_that_nothing_follows_for_a_name_that_nobody_can_be_given_is_said():
    two = [account("john doe@example.com", ("common", 100)), account("info@example.com", ("account", 100))]
    told_of = result(two)
    assert told_of["guessed_accounts"] == ["info@example.com"]
    assert told_of["findings"][-1].startswith("1 of these accounts with guessed passwords have blanks or odd")
    assert not any("odd characters" in line for line in result(two, name_guessed=False)["findings"])
    assert not any("odd characters" in line for line in result(two[1:])["findings"])


def test_whose_blocks_stay_is_said():
    assert answers.of_missed(0, 0, True, 60) == []
    (sentence,) = answers.of_missed(2, 1, True, 60)
    assert sentence.startswith("2 accounts with guessed passwords are in sources that could not be read as a whole")
    assert "1 that is blocked stays so for 60 days" in sentence
    (sentence,) = answers.of_missed(0, 3, False, 60)
    assert "blocks stay until everybody was tried again, for 60 days at most (3 accounts)" in sentence
