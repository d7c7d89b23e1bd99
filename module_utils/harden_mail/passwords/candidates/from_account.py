"""Guesses from what is known about one account: its name, its domain, its owner, the company.

What may be in a password (a *role*: the local part, the domain's name, ...), what is done to it, and what comes behind
or before it have each a share; the product says how likely a guess is. The order of all products is made once for all
accounts; an account then only fills in its words.
"""

import functools
import re

from .dates import year_of
from .romaji import kunrei, romaji, short, with_h
from .tails import FORMS, HEADS, tails

# An account has no more guesses of its own than this.
MOST = 5000

# As many products are in order: of most accounts half of the roles are empty.
_PRODUCTS = 40000

# What may be in a password: role, kind, share of those whose password is made of the account's own words.
_ROLES = (
    ("local", "account", 1.0),
    ("letters", "account", 0.6),
    ("joined", "account", 0.3),
    ("part1", "account", 0.5),
    ("part2", "account", 0.5),
    ("part3", "account", 0.1),
    ("turned", "account", 0.12),
    ("initial-last", "account", 0.08),
    ("first-initial", "account", 0.08),
    ("initials", "account", 0.03),
    ("begin4", "account", 0.02),
    ("begin3", "account", 0.015),
    ("local-kunrei", "account", 0.08),
    ("local-short", "account", 0.08),
    ("meaning1", "account", 0.12),
    ("meaning2", "account", 0.08),
    ("address", "account", 0.10),
    ("local+label", "domain", 0.10),
    ("label+local", "domain", 0.08),
    ("local@label", "domain", 0.07),
    ("local-label", "domain", 0.04),
    ("local_label", "domain", 0.03),
    ("local.label", "domain", 0.02),
    ("label-local", "domain", 0.03),
    ("label", "domain", 0.6),
    ("label-joined", "domain", 0.3),
    ("label-part1", "domain", 0.35),
    ("label-part2", "domain", 0.25),
    ("label-initials", "domain", 0.05),
    ("label-begin", "domain", 0.04),
    ("domain", "domain", 0.06),
    ("label-dot", "domain", 0.03),
    ("name1", "name", 0.4),
    ("name2", "name", 0.4),
    ("name3", "name", 0.2),
    ("name4", "name", 0.15),
    ("name1+name2", "name", 0.15),
    ("name2+name1", "name", 0.12),
    ("name-initial1", "name", 0.06),
    ("name-initial2", "name", 0.06),
    ("name-initials", "name", 0.03),
    ("name1-kunrei", "name", 0.06),
    ("name2-kunrei", "name", 0.06),
    ("name1-short", "name", 0.06),
    ("name2-short", "name", 0.06),
    ("name1-h", "name", 0.03),
)
_KIND = {role: kind for role, kind, _ in _ROLES}

# Names invite more: who takes the account's name for a password feels obliged to do something to it.
_FORM_SHARES = {"capital": 0.25, "doubled": 0.05, "reversed": 0.04, "upper": 0.04, "capital-leet-a": 0.008}
_TAIL_FACTOR = 6
_HEAD_FACTOR = 3
# With something done to the word (other than a capital), only the usual tails are worth a guess.
_TAILS_OF_FORMS = 60
# Words that are long already, or put together, get no rare tails.
_COMPOSED = 0.15
_TAILS_OF_COMPOSED = 30

# Labels of a domain name that say nothing about its owner.
_PUBLIC = frozenset(
    """com net org info biz edu gov mil int co ne or ac go ed gr ad lg jp uk us de fr it es nl eu cn kr tw in au br ru
    io me tv cc app dev online site shop store tech xyz name pro tokyo osaka nagoya yokohama kyoto mail www mx
    smtp""".split()
)

# Words in a company's name that are in every company's.
_EVERYWHERE = frozenset(
    """co ltd inc corp corporation company limited llc gmbh ag kk the and of mr mrs ms dr sama san
    kabushikigaisha kabushikikaisha yuugengaisha goudougaisha""".split()
)

# What the usual accounts of an office are called otherwise.
_MEANING = {
    "info": ("information", "infomail"),
    "information": ("info", "infomation"),
    "admin": ("administrator", "kanri"),
    "administrator": ("admin", "kanri"),
    "sales": ("eigyou", "eigyo"),
    "eigyo": ("sales", "eigyou"),
    "eigyou": ("sales", "eigyo"),
    "support": ("sapoto", "help"),
    "recruit": ("saiyou", "saiyo"),
    "saiyo": ("recruit", "saiyou"),
    "saiyou": ("recruit", "saiyo"),
    "soumu": ("somu", "general"),
    "keiri": ("account", "accounting"),
    "accounting": ("keiri", "account"),
    "jinji": ("recruit", "personnel"),
    "shop": ("store", "tenpo"),
    "contact": ("toiawase", "otoiawase"),
    "president": ("shachou", "shacho"),
    "shachou": ("president", "shacho"),
    "office": ("jimusho", "jimu"),
    "jimu": ("office", "jimusho"),
    "webmaster": ("web", "master"),
    "postmaster": ("post", "master"),
    "test": ("tesuto", "testtest"),
    "noreply": ("reply", "mail"),
    "order": ("chuumon", "chumon"),
    "reserve": ("yoyaku", "reservation"),
    "yoyaku": ("reserve", "reservation"),
}

_SEPARATED = re.compile(r"[^0-9A-Za-z\u0080-\U0010ffff]+")
_LATIN_WORD = re.compile(r"[A-Za-z]+|[0-9]+")


def derived(name, hints, today):
    """Guesses at one account's password, likeliest first, none twice.

    :param str name: the account, "info@example.com" or a bare "info"
    :param hints: strings that a guesser may know: display name, company; kana count as they are read, kanji don't
    :param datetime.date today: only its year counts (None: today)
    :returns: iterator of (bytes word, str kind), 5,000 at most
    """
    products, slots = _products(year_of(today))
    values = _values(_words_of(name, hints), slots)
    seen = set()
    for slot, head, tail, kind in products:
        base = values[slot]
        if base is None:
            continue
        word = head + base + tail
        if word in seen:
            continue
        seen.add(word)
        yield word, kind
        if len(seen) >= MOST:
            return


def may_be_derived(name, hints, password, today):
    """Whether ``derived`` may have a password (bytes) among its guesses; False: it has not.

    Where a store holds passwords as they are, this spares an account thousands of guesses.
    """
    _, slots = _products(year_of(today))
    return any(value is not None and value in password for value in _values(_words_of(name, hints), slots))


@functools.lru_cache(maxsize=4)
def _products(this_year):
    """All guesses as (slot, head, tail, kind), likeliest first, and the slots: (role, function or None) each."""
    tail_shares = [(tail.encode(), share * _TAIL_FACTOR) for tail, share in tails(this_year)]
    slots, found = [], []
    for role, kind, role_share in _ROLES:
        for form, form_share, function in (("", 1.0, None),) + FORMS:
            share = role_share * _FORM_SHARES.get(form, form_share)
            slot = len(slots)
            slots.append((role, function))
            found.append((-share, len(found), slot, b"", b"", kind))
            few = form not in ("", "capital")
            most = _TAILS_OF_FORMS if few else _TAILS_OF_COMPOSED if role_share <= _COMPOSED else None
            for tail, tail_share in tail_shares[:most]:
                found.append((-share * tail_share, len(found), slot, b"", tail, kind))
            if not few:
                for head, head_share in HEADS:
                    found.append((-share * head_share * _HEAD_FACTOR, len(found), slot, head.encode(), b"", kind))
    found.sort()
    return [row[2:] for row in found[:_PRODUCTS]], slots


def _values(words, slots):
    """For each slot its text as bytes; None where the account has no such word or the form leaves it as it was."""
    values = []
    for role, function in slots:
        word = words.get(role)
        changed = word if word is None or function is None else function(word)
        values.append(None if function is not None and changed == word else changed)
    return values


def _words_of(name, hints):
    """Role -> word (bytes) of one account; roles that it does not have are missing, and a word is in one role only."""
    found, taken = {}, set()

    def put(role, word):
        word = word.encode("utf-8", "surrogateescape")
        # The name itself is worth a guess however short it is; what is made of it begins with three letters.
        if word and word not in taken and (len(word) > 2 or role == "local"):
            taken.add(word)
            found[role] = word

    local, _, domain = name.partition("@")
    put("local", local)
    label = _label(domain)
    put("label", label)
    _put_local(put, local.lower())
    put("address", name if domain else "")
    if local and label:
        put("local+label", local + label)
        put("label+local", label + local)
        put("local@label", local + "@" + label)
        put("local-label", local + "-" + label)
        put("local_label", local + "_" + label)
        put("local.label", local + "." + label)
        put("label-local", label + "-" + local)
    _put_domain(put, label, domain.lower())
    _put_names(put, hints)
    return found


def _put_local(put, local):
    put("letters", local.rstrip("0123456789._-+"))
    parts = [part for part in _SEPARATED.split(local) if part]
    put("joined", "".join(parts))
    pieces = [part.rstrip("0123456789") for part in parts]
    for number, piece in enumerate(pieces[:3] if len(pieces) > 1 else (), 1):
        put("part{0}".format(number), piece)
    if len(pieces) > 1 and pieces[0] and pieces[-1]:
        put("turned", pieces[-1] + pieces[0])
        put("initial-last", pieces[0][0] + pieces[-1])
        put("first-initial", pieces[0] + pieces[-1][0])
        put("initials", "".join(piece[:1] for piece in pieces))
    first = parts[0] if parts else ""
    letters = first.rstrip("0123456789").encode("utf-8", "surrogateescape")
    put("local-short", short(letters).decode("utf-8", "surrogateescape"))
    put("local-kunrei", kunrei(letters).decode("utf-8", "surrogateescape"))
    put("begin4", first[:4])
    put("begin3", first[:3])
    for number, word in enumerate(_MEANING.get(first, ()), 1):
        put("meaning{0}".format(number), word)


def _label(domain):
    """The part of a domain name that its owner chose: "example" of mail.example.co.jp."""
    labels = [label for label in domain.lower().split(".") if label]
    own = [label for label in labels[:-1] if label not in _PUBLIC] or labels[:1]
    return own[-1] if own else ""


def _put_domain(put, label, domain):
    parts = [part for part in label.split("-") if part]
    put("label-joined", "".join(parts))
    put("label-dot", domain.split(label)[0] + label if label else "")
    if len(parts) > 1:
        put("label-part1", parts[0])
        put("label-part2", parts[-1])
        put("label-initials", "".join(part[0] for part in parts))
    put("label-begin", label[:4])
    put("domain", domain)


def _put_names(put, hints):
    words = []
    for hint in hints:
        for text in re.split(r"[\s,;/()\u3000\uff08\uff09\u30fb]+", hint):
            reading = romaji(text) if text and ord(text[0]) > 0x3000 else None
            words += reading.split() if reading else _LATIN_WORD.findall(text.lower())
    words = list(dict.fromkeys(word for word in words if word not in _EVERYWHERE))
    for number, word in enumerate(words[:4], 1):
        put("name{0}".format(number), word)
    if len(words) > 1:
        first, second = words[:2]
        put("name1+name2", first + second)
        put("name2+name1", second + first)
        put("name-initial1", first[0] + second)
        put("name-initial2", second[0] + first)
        put("name-initials", first[0] + second[0])
    for number, word in enumerate(words[:2], 1):
        spelled = word.encode()
        put("name{0}-kunrei".format(number), kunrei(spelled).decode())
        put("name{0}-short".format(number), short(spelled).decode())
        if number == 1:
            put("name1-h", with_h(spelled).decode())
