"""What people put behind a word, and before it, and what they do to the word itself."""

from .dates import DAYS, era_years

# Share of those who use a word that put this behind it. The order of the first ones is what a public list of the
# million most frequent passwords shows (docs/wordlists.md), with more weight for what rules on passwords have made
# usual since ("1234", "!", "@", years).
_OFTEN = (
    ("1", 0.060), ("123", 0.035), ("1234", 0.016), ("12", 0.012), ("2", 0.011), ("!", 0.007), ("01", 0.007),
    ("3", 0.005), ("7", 0.005), ("11", 0.0045), ("99", 0.003), ("5", 0.004), ("22", 0.0028), ("23", 0.0028),
    ("6", 0.0038), ("9", 0.0038), ("13", 0.0025), ("10", 0.0028), ("4", 0.0038), ("8", 0.0036), ("21", 0.0022),
    ("0", 0.0034), ("69", 0.002), ("77", 0.0018), ("88", 0.0018), ("00", 0.0024), ("12345", 0.004),
    ("123456", 0.0025), ("0123", 0.0012), ("1!", 0.0025), ("123!", 0.0025), ("@123", 0.003), ("@1", 0.0008),
    ("@1234", 0.0012), ("1234!", 0.001), ("12!", 0.0005), ("#1", 0.0007), ("#123", 0.0006), ("!1", 0.0004),
    ("!123", 0.0005), ("_1", 0.0003), ("-1", 0.0003), ("_123", 0.0004), ("-123", 0.0003), (".123", 0.0002),
    ("0000", 0.0016), ("000", 0.0008), ("001", 0.0008), ("002", 0.0003), ("007", 0.0012), ("100", 0.0007),
    ("101", 0.0007), ("111", 0.0012), ("222", 0.0005), ("321", 0.0006), ("333", 0.0005), ("420", 0.0003),
    ("456", 0.0003), ("555", 0.0005), ("666", 0.0008), ("777", 0.0012), ("789", 0.0002), ("888", 0.0006),
    ("911", 0.0003), ("999", 0.0007), ("1111", 0.0010), ("2222", 0.0003), ("3333", 0.0002), ("5555", 0.0002),
    ("7777", 0.0004), ("8888", 0.0004), ("9999", 0.0003), ("1212", 0.0003), ("4321", 0.0003), ("12345678", 0.0006),
    ("123456789", 0.0006), ("1234567", 0.0002), ("111111", 0.0002), ("000000", 0.0002), ("!!", 0.0008),
    ("!!!", 0.0003), ("@", 0.0016), ("#", 0.0008), (".", 0.0010), ("$", 0.0006), ("*", 0.0006), ("?", 0.0005),
    ("-", 0.0003), ("_", 0.0003), ("+", 0.0002), ("@@", 0.0002), ("!@#", 0.0008), ("123!@#", 0.0004),
    ("a", 0.0010), ("s", 0.0016), ("x", 0.0006), ("z", 0.0004), ("abc", 0.0008), ("xx", 0.0003), ("jp", 0.0008),
    ("pass", 0.0006), ("pw", 0.0003), ("password", 0.0003), ("1a", 0.0004), ("a1", 0.0006), ("123a", 0.0004),
    ("123abc", 0.0003), ("abc123", 0.0005), ("qwe", 0.0002), ("1q", 0.0001), ("1qaz", 0.0002), ("love", 0.0004),
)  # fmt: skip

# Numbers that read as Japanese words: yoroshiku, gokurosan, iikuni, nikoniko, and the like.
_READ_ALOUD = ("4649", "5963", "1192", "2525", "0831", "3150", "1129", "1122", "4126", "8739", "2951", "0840", "0906")

# Share of those who have a word that put this before it.
HEADS = (
    ("1", 0.006), ("123", 0.003), ("12", 0.001), ("my", 0.002), ("the", 0.001), ("@", 0.001), ("1234", 0.0006),
    ("0", 0.0003), ("!", 0.0005), ("i", 0.0004), ("pass", 0.0004), ("2", 0.0005), ("abc", 0.0002), ("new", 0.0003),
)  # fmt: skip

SEPARATORS = ("@", "!", "-", "_", ".", "#", "/")


def tails(this_year):
    """(str tail, share) of what comes behind words, each once, the likeliest first; the empty one is not among them."""
    found = {}

    def add(tail, share):
        found[tail] = found.get(tail, 0) + share

    for tail, share in _OFTEN:
        add(tail, share)
    for number in range(100):
        add("{0:02d}".format(number), 0.0009)
    for year in range(1940, this_year + 2):
        age = this_year - year
        recent = 0.0045 / (1 + max(0, age) * 0.35) if age >= 0 else 0.0004
        born = 0.0004 if 16 <= age <= 70 else 0.0001
        add(str(year), recent + born)
        add("{0:02d}".format(year % 100), recent * 0.5)
        if age <= 25:
            for separator, part in (("@", 0.15), ("!", 0.03), ("-", 0.04), ("_", 0.04), (".", 0.03), ("#", 0.04)):
                add(separator + str(year), recent * part)
            add(str(year) + "!", recent * 0.15)
            add(str(year) + "@", recent * 0.04)
        for letter, name, number in era_years(year):
            add("{0}{1}".format(letter, number), (recent + born) * 0.08)
            add("{0}{1:02d}".format(letter, number), (recent + born) * 0.06)
            add("{0}{1}".format(letter.upper(), number), (recent + born) * 0.04)
            add("{0}{1}".format(name, number), (recent + born) * 0.02)
    for month, day in DAYS:
        add("{0:02d}{1:02d}".format(month, day), 0.00008)
    for number in _READ_ALOUD:
        add(number, 0.0004)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


_LEET = bytes.maketrans(b"aeios", b"43105")
_LEET_SIGNS = bytes.maketrans(b"aois", b"@0!$")
_LEET_A = bytes.maketrans(b"a", b"@")
_LEET_O = bytes.maketrans(b"o", b"0")
_LEET_I = bytes.maketrans(b"i", b"1")
_LEET_E = bytes.maketrans(b"e", b"3")
_LEET_S = bytes.maketrans(b"s", b"5")
_LEET_MOST = bytes.maketrans(b"aeo", b"@30")

# What is done to a word: name, share of those who use the word, function of bytes. Who has a rule to follow makes the
# first letter a capital, and the rest as before. None of them leaves a word as it was (where it does, it's no guess).
FORMS = (
    ("capital", 0.06, bytes.capitalize),
    ("upper", 0.03, bytes.upper),
    ("lower", 0.01, bytes.lower),
    ("doubled", 0.015, lambda word: word + word),
    ("reversed", 0.008, lambda word: word[::-1]),
    ("leet-o", 0.008, lambda word: word.translate(_LEET_O)),
    ("leet-a", 0.008, lambda word: word.translate(_LEET_A)),
    ("leet-i", 0.004, lambda word: word.translate(_LEET_I)),
    ("leet-e", 0.003, lambda word: word.translate(_LEET_E)),
    ("leet-s", 0.002, lambda word: word.translate(_LEET_S)),
    ("leet", 0.004, lambda word: word.translate(_LEET)),
    ("leet-most", 0.004, lambda word: word.translate(_LEET_MOST)),
    ("leet-signs", 0.003, lambda word: word.translate(_LEET_SIGNS)),
    ("capital-leet-o", 0.003, lambda word: word.capitalize().translate(_LEET_O)),
    ("capital-leet-a", 0.004, lambda word: word.capitalize().translate(_LEET_A)),
    ("capital-leet-most", 0.003, lambda word: word.capitalize().translate(_LEET_MOST)),
)
