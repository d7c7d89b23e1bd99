"""How many passwords a few guesses find: ours, beside john and zxcvbn, and without one class of rules each.

Two sets of 1,000, neither of which the guesser was made with:

- made-up accounts (``made_up_passwords.py``), guessed at with what is known of the account;
- the tail half of a public list: ranks 50,001 to 100,000 of Mark Burnett's ten million passwords, every other one (the
  rest was looked at to weigh the rules), without those that our list of common passwords has. Nothing is known of the
  account, so these are found by rules and dictionaries alone.

john's guesses are its own (``--stdout``): the rules of its single mode on the account's words, then its word list with
its rules. Single mode's rules for pairs of words are missing there, so its true run without a limit is shown besides.
zxcvbn tells how many guesses it takes a password for; it is given what is known of the account.
"""

import datetime
import itertools
import os
import pathlib
import pwd
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

from harden_mail.passwords import candidates
from harden_mail.passwords.candidates import from_account, tails
from made_up_passwords import made_up
from zxcvbn import zxcvbn

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent

ACCOUNTS = 1000
SEED = 20260
TODAY = datetime.date(2026, 11, 1)
# After the last round there are only general guesses.
LIMITS = [limit for limit, _ in candidates.QUOTAS] + [1000000]
OWN = [own for _, own in candidates.QUOTAS] + [candidates.QUOTAS[-1][1]]
NEVER = 10**18

LISTS = PROJECT / ".cache" / "wordlists"
TEST_LIST = PROJECT / ".cache" / "wordlists-test" / "million.txt"
JOHN = shutil.which("john", path=f"{os.environ.get('PATH')}:/usr/sbin")
JOHN_CONFIG = pathlib.Path("/etc/john/john.conf")
JOHN_LIST = pathlib.Path("/usr/share/john/password.lst")


def main(scale):
    count = max(20, round(ACCOUNTS * scale))
    for lists in ([], ["test"]):
        if subprocess.call([sys.executable, PROJECT / "tools" / "wordlists.py", *lists]):
            sys.exit("without its word lists this can't be measured")
    accounts = [(made.name, made.hints, made.password.encode()) for made in made_up(SEED, count)]
    compare(f"{count} made-up accounts", accounts, candidates.KINDS)
    words = [(None, (), word) for word in tail_half(count)]
    of_accounts = ("account", "domain", "name")
    compare(
        f"{count} of the tail half of a list", words, [kind for kind in candidates.KINDS if kind not in of_accounts]
    )


def compare(title, stored, kinds):
    print(f"\n{title}\n{'found within':<28}" + "".join(f"{limit:>9}" for limit in LIMITS))
    began = time.monotonic()
    ranks = our_ranks(stored)
    seconds = time.monotonic() - began
    show("ours", ranks[None])
    show("zxcvbn's guesses", zxcvbn_ranks(stored))
    if john_is_there():
        with John() as john:
            own = john_own_guesses(john, stored)
            show("john: single, its list", john_ranks(john, stored, own, [JOHN_LIST]))
            lists = [LISTS / name for name in ("common.txt", "japanese.txt", "english.txt")]
            show("john: single, our lists", john_ranks(john, stored, own, lists))
            if stored[0][0] is not None:
                print(f"{'john --single, no limit':<28}{john_single_found(john, stored):>{9 * len(LIMITS)}}")
    else:
        print("john is not installed, or this is not run as root")
    print("ours without")
    for kind in kinds:
        if kind != "own-list":
            show(f"  {kind}", ranks[kind])
    for name, rule in (("what is put behind", no_tails), ("what is done to words", no_forms)):
        with rule():
            show(f"  {name}", our_ranks(stored)[None])
    print(f"({seconds:.1f} seconds for ours, {LIMITS[-1]} guesses at each of {len(stored)})")


def tail_half(count):
    """Words (bytes) of ranks 50,001 to 100,000 that our own list of common passwords does not have."""
    ours = set((LISTS / "common.txt").read_bytes().splitlines())
    with TEST_LIST.open("rb") as handle:
        words = [line.rstrip(b"\r\n") for line in itertools.islice(handle, 50001, 100000, 2)]
    return random.Random(SEED).sample([word for word in words if word not in ours], count)


def show(name, ranks):
    print(f"{name:<28}" + "".join(f"{sum(rank < limit for rank in ranks):>9}" for limit in LIMITS), flush=True)


# --- ours ------------------------------------------------------------------------------------------------------------


def our_ranks(stored):
    """For None and each kind of guess, without which: for each account a number below the limit that finds it.

    Guesses of the kind that is left out leave their places to the next ones.
    """
    wanted = {password for _, _, password in stored}
    general = places(general_guesses(), wanted, LIMITS[-1])
    own = [
        places(one_by_one(name, hints), {password}, candidates.MOST_OWN) if name is not None else None
        for name, hints, password in stored
    ]
    return {
        without: [
            rank(mine[without].get(password, NEVER) if mine else None, general[without].get(password, NEVER))
            for mine, (_, _, password) in zip(own, stored)
        ]
        for without in general
    }


def rank(own, general):
    for limit, part in zip(LIMITS, OWN):
        if general < limit - (0 if own is None else part) or (own is not None and own < part):
            return limit - 1
    return NEVER


def general_guesses():
    return candidates.general_batches(str(LISTS), TODAY)


def one_by_one(name, hints):
    return (([word], kind) for word, kind in candidates.derived(name, hints, TODAY))


def places(batches, wanted, most):
    """For None and each kind, without which: word -> its place, of those words that are wanted and come up."""
    found = {kind: {} for kind in (None, *candidates.KINDS)}
    gone, place = dict.fromkeys(found, 0), 0
    for batch, kind in batches:
        for number, word in enumerate(batch, place):
            if word in wanted:
                for without, words in found.items():
                    if without != kind:
                        words.setdefault(word, number - gone[without])
        place += len(batch)
        gone[kind] += len(batch)
        if place - max(gone.values()) > most:
            break
    return found


class no_tails:
    """Nothing is put behind or before words."""

    def __enter__(self):
        self.kept = tails.tails, from_account.tails, tails.HEADS, from_account.HEADS
        tails.tails = from_account.tails = lambda this_year: []
        tails.HEADS = from_account.HEADS = ()
        from_account._products.cache_clear()

    def __exit__(self, *_):
        tails.tails, from_account.tails, tails.HEADS, from_account.HEADS = self.kept
        from_account._products.cache_clear()


class no_forms:
    """Words stay as they are: no capitals, no leet, nothing doubled or turned round."""

    def __enter__(self):
        self.kept = tails.FORMS
        tails.FORMS = from_account.FORMS = ()
        from_account._products.cache_clear()

    def __exit__(self, *_):
        tails.FORMS = from_account.FORMS = self.kept
        from_account._products.cache_clear()


# --- peers -----------------------------------------------------------------------------------------------------------


def zxcvbn_ranks(stored):
    return [
        int(zxcvbn(password.decode("utf-8", "replace"), known(name, hints))["guesses"])
        for name, hints, password in stored
    ]


def known(name, hints):
    """Words that are known of an account, as john's single mode and zxcvbn want them."""
    if name is None:
        return []
    local, _, domain = name.partition("@")
    words = [local, domain.split(".")[0], name, domain]
    words += [part for text in (local, domain, *hints) for part in re.split(r"[^0-9A-Za-z]+", text) if part]
    return list(dict.fromkeys(words))


def john_own_guesses(john, stored):
    """john's single mode: for each account word -> place."""
    # It takes what is between other characters, and the log-in name as it is.
    words = [[word for word in known(name, hints) if "." not in word or word == name] for name, hints, _ in stored]
    guesses = john.guesses("Single", [john.file(words_of_one) for words_of_one in words], LIMITS[-1])
    return [{word: place for place, word in enumerate(dict.fromkeys(some))} for some in guesses]


def john_ranks(john, stored, own, lists):
    """john's single mode, then word lists with rules."""
    general = {}
    words = john.file([path.read_text(errors="replace").rstrip("\n") for path in lists])
    for word in john.guesses("Wordlist", [words], LIMITS[-1])[0]:
        general.setdefault(word, len(general))
    return [
        places.get(password, len(places) + general.get(password, NEVER))
        for places, (_, _, password) in zip(own, stored)
    ]


def john_single_found(john, stored):
    """How many john's single mode finds with all its guesses, on hashes that cost nothing."""
    lines = [
        f"{name}:$dummy${password.hex()}:1:1:{' '.join(hints)} {name.partition('@')[2]}:/:"
        for name, hints, password in stored
    ]
    file = john.file(lines)
    shown = john.run(f"{JOHN} --single --format=dummy {file} >&2; {JOHN} --show --format=dummy {file}")
    return int(re.search(rb"^(\d+) password hash", shown, re.MULTILINE).group(1))


def john_is_there():
    return bool(JOHN) and os.geteuid() == 0


class John:
    """john with a configuration and a home of its own: its paths are compiled in, so in a mount namespace. As root."""

    def __enter__(self):
        self.kept = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.kept.name)
        (self.directory / "home").mkdir()
        self.files = itertools.count()
        return self

    def __exit__(self, *_):
        self.kept.cleanup()

    def file(self, lines):
        path = self.directory / f"file{next(self.files)}"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def run(self, script, rules="Wordlist"):
        """What a shell script prints; --rules, which has no argument, is a set of rules of john's own by its name."""
        config = JOHN_CONFIG.read_text()
        if rules != "Wordlist":
            section = re.search(rf"^\[List\.Rules:{rules}\]\n(.*?)^\[", config, re.DOTALL | re.MULTILINE).group(1)
            config = re.sub(r"^(\[List\.Rules:)Wordlist\]", r"\1Former]", config, flags=re.MULTILINE)
            config += f"\n[List.Rules:Wordlist]\n{section}"
        own = self.directory / "john.conf"
        own.write_text(config)
        home = pwd.getpwuid(os.geteuid()).pw_dir
        mounts = f"mount --bind {own} {JOHN_CONFIG} && mount --bind {self.directory / 'home'} {home}"
        program = self.file([f"{mounts} || exit 1", script])
        command = ["unshare", "--mount", "sh", program]
        return subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout

    def guesses(self, rules, lists, most):
        """The first guesses (list of bytes) of word-list mode for each of some word lists."""
        script = [
            f"{JOHN} --wordlist={path} --rules --stdout --session={self.directory}/s{number}x"
            f" | head -n {most} >{self.directory}/{number}"
            for number, path in enumerate(lists)
        ]
        at_once = os.cpu_count()
        parts = ["\n".join(["(", *script[part::at_once], ") &"]) for part in range(at_once) if script[part::at_once]]
        self.run("\n".join([*parts, "wait"]), rules)
        return [(self.directory / str(number)).read_bytes().splitlines() for number in range(len(lists))]


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 1.0)
