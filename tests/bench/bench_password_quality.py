"""How many passwords a few guesses find: ours, beside john and zxcvbn, and without one class of rules each.

Two sets of 1,000, neither of which the guesser was made with:

- made-up accounts (``made_up_passwords.py``), guessed at with what is known of the account;
- the tail half of a public list: ranks 50,001 to 100,000 of Mark Burnett's ten million passwords, every other one (the
  rest was looked at to weigh the rules), without those that are in our lists as they stand. Nothing is known of the
  account, so these are found by rules alone.

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

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
sys.path.insert(0, str(PROJECT / "module_utils"))

from harden_mail.passwords import candidates  # noqa: E402
from harden_mail.passwords.candidates import from_account, tails  # noqa: E402
from made_up_passwords import made_up  # noqa: E402

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
    subprocess.run([sys.executable, PROJECT / "tools" / "wordlists.py"], check=True)
    subprocess.run([sys.executable, PROJECT / "tools" / "wordlists.py", "test"], check=True)
    accounts = [(made.name, made.hints, made.password.encode()) for made in made_up(SEED, count)]
    tail = [(None, (), word) for word in tail_half(count)]
    ours = [LISTS / name for name in ("common.txt", "japanese.txt", "english.txt")]
    peers = [
        ("john: single, its list", john_ranks),
        ("john: single, our lists", lambda stored: john_ranks(stored, ours)),
        ("zxcvbn's guesses", zxcvbn_ranks),
    ]
    for title, stored in ((f"{count} made-up accounts", accounts), (f"{count} of the tail half of a list", tail)):
        print(f"\n{title}\n{'found within':<28}" + "".join(f"{limit:>9}" for limit in LIMITS))
        began = time.monotonic()
        show("ours", our_ranks(stored))
        seconds = time.monotonic() - began
        for name, ranks in peers:
            show(name, ranks(stored))
        if stored is accounts:
            show_unlimited("john --single, no limit", john_single_found(stored))
        print(f"ours without ({seconds:.1f} seconds with all)")
        for kind in candidates.KINDS:
            if kind != "own-list" and (stored is accounts or kind not in ("account", "domain", "name")):
                show(f"  {kind}", our_ranks(stored, without=kind))
        for name, rule in (("what is put behind", no_tails), ("what is done to words", no_forms)):
            with rule():
                show(f"  {name}", our_ranks(stored))


def tail_half(count):
    """Words (bytes) of ranks 50,001 to 100,000 that are in none of our lists as they stand."""
    ours = set()
    for path in LISTS.glob("*.txt"):
        ours.update(path.read_bytes().splitlines())
    with TEST_LIST.open("rb") as handle:
        words = [line.rstrip(b"\r\n") for line in itertools.islice(handle, 50001, 100000, 2)]
    return random.Random(SEED).sample([word for word in words if word not in ours], count)


def show(name, ranks):
    print(f"{name:<28}" + "".join(f"{sum(rank < limit for rank in ranks):>9}" for limit in LIMITS), flush=True)


def show_unlimited(name, found):
    print(f"{name:<28}" + (f"{found:>{9 * len(LIMITS)}}" if found is not None else " not installed"), flush=True)


# --- ours ------------------------------------------------------------------------------------------------------------


def our_ranks(stored, without=None):
    """For each account a number below the limits (of guesses) within which its password is found."""
    places = general_places({password for _, _, password in stored}, without)
    ranks = []
    for name, hints, password in stored:
        general = places.get(password, NEVER)
        own = NEVER
        if name is not None:
            words = (word for word, kind in candidates.derived(name, hints, TODAY) if kind != without)
            own = next((place for place, word in enumerate(words) if word == password), NEVER)
        rounds = zip(LIMITS, OWN if name is not None else [0] * len(OWN))
        ranks.append(next((limit - 1 for limit, part in rounds if own < part or general < limit - part), NEVER))
    return ranks


def general_places(wanted, without):
    """Word -> place among the general guesses, of those words that come up."""
    places, place = {}, 0
    for batch, kind in candidates.general_batches(str(LISTS), TODAY):
        if kind == without:
            continue
        for number, word in enumerate(batch, place):
            if word in wanted:
                places.setdefault(word, number)
        place += len(batch)
        if place > LIMITS[-1]:
            return places
    return places


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
    try:
        from zxcvbn import zxcvbn  # noqa: PLC0415
    except ImportError:
        return []
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


def john_ranks(stored, lists=(JOHN_LIST,)):
    if not john_is_there():
        return []
    with John() as john:
        general = {}
        words = john.file([path.read_text(errors="replace").rstrip("\n") for path in lists])
        for word in john.guesses("Wordlist", [words], LIMITS[-1])[0]:
            general.setdefault(word, len(general))
        # Single mode takes what is between other characters, and the log-in name as it is.
        words = [[word for word in known(name, hints) if "." not in word or word == name] for name, hints, _ in stored]
        own = john.guesses("Single", [john.file(words_of_one) for words_of_one in words], LIMITS[-1])
    ranks = []
    for (_, _, password), guesses in zip(stored, own):
        places = {word: place for place, word in reversed(list(enumerate(dict.fromkeys(guesses))))}
        ranks.append(places.get(password, len(places) + general.get(password, NEVER)))
    return ranks


def john_single_found(stored):
    """How many john's single mode finds with all its guesses, on hashes that cost nothing; None without john."""
    if not john_is_there():
        return None
    with John() as john:
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
        command = ["unshare", "--mount", "sh", "-c", f"{mounts} || exit 1\n{script}"]
        return subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout

    def guesses(self, rules, lists, most):
        """The first guesses (list of bytes) of word-list mode for each of some word lists."""
        script = [
            f"{JOHN} --wordlist={path} --rules --stdout --session={self.directory}/s"
            f" | head -n {most} >{self.directory}/{number}"
            for number, path in enumerate(lists)
        ]
        self.run("\n".join(script), rules)
        return [(self.directory / str(number)).read_bytes().splitlines() for number in range(len(lists))]


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 1.0)
