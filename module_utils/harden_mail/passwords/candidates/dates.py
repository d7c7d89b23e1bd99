"""Years, birthdays and strings of digits as people put them into passwords."""

import datetime
import math

# Letter, name, the year before the first one (so that Showa 63 is 1988), the last year, which is also the next era's
# first.
ERAS = (("r", "reiwa", 2018, 9999), ("h", "heisei", 1988, 2019), ("s", "showa", 1925, 1989))

FIRST_BIRTH_YEAR = 1935

DAYS_OF_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DAYS = [(month, day) for month, days in enumerate(DAYS_OF_MONTHS, 1) for day in range(1, days + 1)]


def year_of(today):
    """The year of a day (datetime.date; None: today)."""
    return (today or datetime.date.today()).year


def era_years(year):
    """(letter, name, number) of the Japanese eras that a year belongs to, the newer one first."""
    return [(letter, name, year - before) for letter, name, before, last in ERAS if before < year <= last]


def birth_years(this_year):
    """(year, share) of the years that birthdays in passwords are in: of who works now, and of their children.

    The shares are a guess at how old the owners of mail accounts are, most of them 45 give or take 16, and their
    children; they sum up to 1.
    """
    weights = []
    for year in range(FIRST_BIRTH_YEAR, this_year + 1):
        age = this_year - year
        weights.append((year, math.exp(-(((age - 45) / 16) ** 2) / 2) + 0.35 * math.exp(-(((age - 12) / 8) ** 2) / 2)))
    total = sum(weight for _, weight in weights)
    return [(year, weight / total) for year, weight in weights]


# How a birthday is written, and the share of those who have one that write it so: in Japan the year comes first.
_WRITTEN = (
    ("{y:04d}{m:02d}{d:02d}", 0.28),
    ("{s:02d}{m:02d}{d:02d}", 0.28),
    ("{d:02d}{m:02d}{y:04d}", 0.12),
    ("{d:02d}{m:02d}{s:02d}", 0.12),
    ("{m:02d}{d:02d}{y:04d}", 0.06),
    ("{m:02d}{d:02d}{s:02d}", 0.05),
    ("{y:04d}/{m:02d}/{d:02d}", 0.005),
    ("{y:04d}-{m:02d}-{d:02d}", 0.005),
    ("{y:04d}{m}{d}", 0.01),
)
_WRITTEN_WITH_ERA = (
    ("{e}{n:02d}{m:02d}{d:02d}", 0.03),
    ("{E}{n:02d}{m:02d}{d:02d}", 0.01),
    ("{e}{n}{m:02d}{d:02d}", 0.005),
    ("{n:02d}{m:02d}{d:02d}", 0.02),
)


def birthdays(this_year):
    """All ways to write the birthdays of a year: iterator of (share, function that lists the words as bytes)."""
    for year, share in birth_years(this_year):
        for form, weight in _WRITTEN:
            yield share * weight, _Days(form, year, "", 0)
        for form, weight in _WRITTEN_WITH_ERA:
            for letter, _, number in era_years(year):
                yield share * weight, _Days(form, year, letter, number)


class _Days:
    """The days of a year, written when they are asked for."""

    def __init__(self, form, year, letter, number):
        self.form, self.year, self.letter, self.number = form, year, letter, number

    def __len__(self):
        return len(DAYS)

    def __getitem__(self, part):
        values = {"y": self.year, "s": self.year % 100, "e": self.letter, "E": self.letter.upper(), "n": self.number}
        return [self.form.format(m=month, d=day, **values).encode() for month, day in DAYS[part]]


def digit_patterns():
    """Strings of 4 to 10 digits with a pattern (list of bytes), shorter and simpler ones first, none twice."""
    up, down = "1234567890", "9876543210"
    found = []
    for length in (6, 8, 4, 7, 9, 10, 5):
        found += [up[:length], up[:length][::-1], down[:length], "0123456789"[:length], down[-length:]]
        found += [digit * length for digit in "0123456789"]
    for length in (6, 8, 4):
        half = length // 2
        for number in range(10**half if half < 4 else 0):
            found.append("{0:0{1}d}".format(number, half) * 2)
        for start in range(10 - half + 1):
            run = up[start : start + half]
            found += [run * 2, run + run[::-1]]
    for start in range(8):
        a, b, c, d = (up + up)[start : start + 4]
        found += [a * 2 + b * 2 + c * 2, a * 2 + b * 2 + c * 2 + d * 2, a * 3 + b * 3, a * 4 + b * 4]
    for first in "0123456789":
        for second in "0123456789":
            if first != second:
                found += [first * 3 + second * 3, (first * 2 + second * 2), (first + second) * 3, (first + second) * 4]
    for number in range(10000):
        text = "{0:04d}".format(number)
        if len(set(text)) == 2 or text[:2] == text[2:]:
            found.append(text + text)
    return [text.encode() for text in dict.fromkeys(found)]


class AllDigits:
    """All strings of so many digits in order, written when they are asked for."""

    def __init__(self, length, prefix=b""):
        self.length, self.prefix = length, prefix
        self.form = prefix + b"%0" + str(length).encode() + b"d"

    def __len__(self):
        return 10**self.length

    def __getitem__(self, part):
        form = self.form
        return [form % number for number in range(*part.indices(len(self)))]
