#!/usr/bin/env python3
"""Made-up mail accounts of small Japanese companies, with passwords as their owners might choose them.

    made_up_passwords.py [SEED [COUNT]]     prints account, hints and password

It knows nothing of the guesser: words, habits and their shares are its own, and were written down before the
guesser's order was tried on it (that order was then set with other draws in view). People are drawn first (name,
birthday, pet, car, what they like), then a habit, then the password. Nobody's real password is in it.
"""

import random
import sys
from collections import namedtuple

Made = namedtuple("Made", "name hints password habit")

SURNAMES = """
sato suzuki takahashi tanaka ito watanabe yamamoto nakamura kobayashi kato yoshida yamada sasaki matsumoto inoue
kimura hayashi shimizu yamazaki mori abe ikeda hashimoto ishikawa ogawa okada hasegawa fujita goto murakami
kondo ishii saito sakamoto endo aoki fujii nishimura fukuda ota miura fujiwara okamoto matsuda nakagawa nakano
harada ono tamura takeuchi kaneko wada nakayama ishida ueda morita hara shibata sakai kudo yokoyama miyazaki
uchida takagi
""".split()

MEN = """
hiroshi takashi kenichi makoto naoki akira satoshi kazuya daisuke shota ryota kenta yusuke tomoya masaru osamu
shinji koji hideki toru minoru susumu kiyoshi yoshio tetsuya
""".split()

WOMEN = """
yuko keiko yumi akiko naoko tomoko mayumi kumiko ayumi mika emi megumi kaori miho ai nana misaki yui aya haruna
chie sachiko kazuko rie hitomi
""".split()

CHILDREN = """
haruto yuto sota ren riku hina yua sakura mei rin mio koharu aoi itsuki hinata kota ayaka yuna
""".split()

PETS = (
    "choco kuro shiro pochi tama momo hana leo maron koro mugi cocoa sora kotaro ruru mimi taro bell coco jiji".split()
)

LIKES = """
tigers giants carp hawks lions marines gamba antlers reds jubilo ferrari porsche skyline crown prius alphard
corolla yamaha kawasaki ducati harley beatles metallica queen arashi perfume babymetal exile yuzu mozart guitar
piano golf tennis soccer fishing ramen sushi curry coffee whisky sake fuji okinawa hawaii kyoto paris london
gundam zaku doraemon conan luffy zoro naruto pikachu zelda mario sonic finalfantasy dragonquest evangelion
ghibli snoopy kitty baseball surfing camping sunflower tulip butterfly rainbow summer winter angel dream freedom
happy lucky smile peace dragon tiger eagle wolf phoenix samurai ninja shogun bushido kendo judo karate
""".split()

JAPANESE_WORDS = """
tanoshii ureshii genki kawaii sugoi ganbarou omoide natsuyasumi hanabi fuyu haru aki kazoku tomodachi kaeru
kitsune tanuki penguin iruka kujira suzume tsubame kumamon unagi takoyaki okonomi udon soba tempura wasabi
nattou miso daifuku yakiniku karaage shougatsu tanabata matsuri onsen fuurin yuuyake asahi taiyou ginga chikyuu
mirai kibou yuujou kizuna kansha shinjiru susume ippo nanakorobi yaoki ichigoichie hakuna shirokuma nekozuki
inuzuki
""".split()

COMPANIES = """
yamato-kogyo hikari-denki marusan-shoji midori-kensetsu aozora-design daiichi-seisaku nishikawa-ss fujimi
sunrise-print toyo-metal kitamura-dental shonan-estate hoshizora-cafe matsuya-honten tsubame-unyu miyabi-ryokan
sankei-tec asunaro-school greenfarm bluewave-it ogata-law nakano-clinic hana-garden rakuda-soft ten-to-ten
""".split()

ENDINGS = ["co.jp", "co.jp", "jp", "com", "com", "net", "or.jp"]

ROLES = """
info sales support contact admin office shop recruit soumu keiri eigyo staff mail test webmaster order reserve
president jimu fax noreply member news service hr
""".split()

# What half of the world takes when nobody forbids it.
EVERYBODY = """
123456 12345678 123456789 password 111111 000000 qwerty abc123 1234567890 password1 1234 123123 iloveyou aaaaaa
654321 88888888 666666 a1b2c3 asdfgh 1q2w3e 1qaz2wsx 1qazxsw2 zaq12wsx qwertyuiop asdfghjkl zxcvbnm passw0rd
Password1 admin123 welcome letmein
""".split()

KEYS = ["1qaz2wsx", "zaq1xsw2", "qazwsxedc", "1qaz@WSX", "poiuytrewq", "qweasdzxc", "asdf;lkj", "7ujm8ik,", "2wsx3edc",
        "qwe123!@#", "mnbvcxz", "0okm9ijn", "aqwsedrf", "tgbyhn", "3edc4rfv", "zxcasdqwe", "qawsedrftg", "lkjhgfdsa",
        "789456123", "qaz123wsx", "yuiophjkl", "1234rewq", "p0o9i8u7", "rfvtgb", "@[:;po"]  # fmt: skip


class Person:
    """Somebody with a mail account, and what is on their mind."""

    def __init__(self, dice, company, domain):
        self.dice, self.company, self.domain = dice, company, domain
        self.surname = dice.choice(SURNAMES)
        self.given = dice.choice(dice.choice((MEN, WOMEN)))
        self.child, self.pet, self.like = dice.choice(CHILDREN), dice.choice(PETS), dice.choice(LIKES)
        self.born = int(min(2004, max(1945, dice.gauss(1977, 13))))
        self.child_born = min(2024, self.born + dice.randint(22, 40))
        self.month, self.day = dice.randint(1, 12), dice.randint(1, 28)
        self.joined = dice.randint(2004, 2026)
        self.is_role = dice.random() < 0.35
        self.local = self._local()

    def _local(self):
        if self.is_role:
            return self.dice.choice(ROLES) + self.dice.choice(["", "", "", "", "2", "01"])
        first, last = self.given, self.surname
        ways = [last, last, first, f"{first}.{last}", f"{first[0]}.{last}", f"{last}-{first}", f"{last}_{first[0]}"]
        return self.dice.choice([*ways, f"{first[0]}{last}", f"{last}{self.dice.randint(1, 20)}"])

    def hints(self):
        """What the mail server's own record says of them."""
        if self.is_role:
            return (self.company.replace("-", " ").title(),) if self.dice.random() < 0.5 else ()
        return (f"{self.surname.title()} {self.given.title()}",) if self.dice.random() < 0.7 else ()


def number_of(person):
    """A number that means something, or is at hand."""
    dice = person.dice
    return dice.choice(
        (
            str(dice.randint(0, 9)),
            str(dice.randint(1, 3)),
            "123",
            "1234",
            f"{dice.randint(0, 99):02d}",
            f"{person.month:02d}{person.day:02d}",
            f"{person.month}{person.day}",
            f"{person.born % 100}",
            str(person.born),
            str(person.joined),
            str(dice.randint(2015, 2026)),
            f"{dice.randint(0, 9999):04d}",
            dice.choice(("777", "1111", "0000", "007", "888", "555", "99", "01", "100")),
        )
    )


# What is done to a word to get it past the rules of where it was last wanted, and the share that does it.
DRESSES = (
    (12, lambda person, word: word),
    (46, lambda person, word: word + number_of(person)),
    (14, lambda person, word: word.capitalize() + number_of(person)),
    (6, lambda person, word: word.capitalize() + person.dice.choice("!@#-_.") + number_of(person)),
    (5, lambda person, word: word + person.dice.choice("-_@.!") + number_of(person)),
    (4, lambda person, word: word.capitalize() + number_of(person) + person.dice.choice("!?.$")),
    (3, lambda person, word: number_of(person) + word),
    (3, lambda person, word: word + word),
    (2, lambda person, word: word.replace("o", "0").replace("i", "1")),
    (2, lambda person, word: word.capitalize().replace("a", "@") + number_of(person)),
    (3, lambda person, word: word.upper() + number_of(person)),
)


def dressed(person, word):
    shares, ways = zip(*DRESSES)
    return person.dice.choices(ways, shares)[0](person, word)


def from_account(person):
    return dressed(person, person.local)


def from_company(person):
    dice, parts = person.dice, person.company.split("-")
    word = dice.choice((person.company, "".join(parts), parts[0]))
    if dice.random() < 0.25:
        word = person.local + dice.choice(("", "@", "-", ".")) + word
    elif dice.random() < 0.15:
        word = "".join(part[0] for part in parts) + person.local
    return dressed(person, word)


def from_own_name(person):
    first, last = person.given, person.surname
    ways = (first, last, first + last, last + first, first[0] + last, first + last[0])
    return dressed(person, person.dice.choice(ways))


def from_family(person):
    word = person.dice.choice((person.child, person.pet))
    return f"{word}{person.child_born % 100:02d}" if person.dice.random() < 0.15 else dressed(person, word)


def from_birthday(person):
    year, day = person.dice.choice((person.born, person.child_born)), f"{person.month:02d}{person.day:02d}"
    short = f"{year % 100:02d}"
    initial = person.dice.choice((person.given, person.surname))[0]
    era = f"s{year - 1925}" if year < 1989 else f"h{year - 1988}" if year < 2019 else f"r{year - 2018}"
    ways = (year, short, f"{initial}{year}", f"{initial}{short}", era, f"{person.surname}{short}")
    way = person.dice.choice((*ways, None))
    return f"{day}{year}" if way is None else f"{way}{day}"


def from_numbers(person):
    dice = person.dice
    telephone = f"0{dice.randint(10, 99)}{dice.randint(200, 999)}{dice.randint(0, 9999):04d}"
    some = f"{dice.randint(0, 999999):06d}"
    return dice.choice((telephone, telephone[-7:], some, some[:3] * 2, f"{dice.randint(0, 99999999):08d}"))


def from_two_words(person):
    dice = person.dice
    return dressed(person, dice.choice(LIKES) + dice.choice(("", "-", "")) + dice.choice(JAPANESE_WORDS + PETS))


def from_random(person):
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "".join(person.dice.choice(letters) for _ in range(person.dice.choice((8, 8, 8, 10, 12))))


# Where people take a password from: name, how many of a hundred do, how it is made.
HABITS = (
    ("account", 11, from_account),
    ("company", 9, from_company),
    ("everybody's", 8, lambda person: person.dice.choice(EVERYBODY)),
    ("keyboard", 5, lambda person: person.dice.choice(KEYS) + person.dice.choice(("", "", "", "1", "!", "22", "85"))),
    ("own name", 10, from_own_name),
    ("family", 8, from_family),
    ("birthday", 6, from_birthday),
    ("numbers", 4, from_numbers),
    ("likes", 11, lambda person: dressed(person, person.like)),
    ("Japanese word", 6, lambda person: dressed(person, person.dice.choice(JAPANESE_WORDS))),
    ("two words", 4, from_two_words),
    ("sentence", 3, lambda person: "".join(word.title() for word in person.dice.sample(LIKES, 3)) + "7"),
    ("random", 15, from_random),
)


def made_up(seed, count):
    """Accounts (list of ``Made``: name, hints, password, habit); the same seed makes the same ones."""
    dice = random.Random(seed)
    domains = {company: f"{company}.{dice.choice(ENDINGS)}" for company in COMPANIES}
    shares = [share for _, share, _ in HABITS]
    found = {}
    while len(found) < count:
        company = dice.choice(COMPANIES)
        person = Person(dice, company, domains[company])
        habit, _, password_of = dice.choices(HABITS, shares)[0]
        name = f"{person.local}@{person.domain}"
        found.setdefault(name, Made(name, person.hints(), password_of(person), habit))
    return list(found.values())


def main(arguments):
    seed, count = [*map(int, arguments), *(1, 50)[len(arguments) :]]
    for made in made_up(seed, count):
        print(made.name, "/".join(made.hints), made.password, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1:])
